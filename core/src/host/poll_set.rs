//! Descriptors that are watched as one: an epoll set, which is readable while one of them is ready.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use crate::wire::Line;

/// So many that are ready are told at once.
const READY: usize = 16;

/// The set. What is in it is kept open by whoever adds it, until it is removed or the set has gone.
pub(super) struct PollSet(OwnedFd);

impl PollSet {
    /// An empty set.
    pub fn new() -> io::Result<Self> {
        // SAFETY: epoll_create1 takes no pointers; the result is checked before it is used.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just made and belongs to nobody else.
        Ok(PollSet(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// The descriptor that is readable while one in the set is ready.
    pub fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Watches a descriptor for reading.
    ///
    /// # Errors
    /// The operating system's: too many are watched.
    pub fn add(&self, fd: &impl AsRawFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd.as_raw_fd(), false)
    }

    /// Watches the socket of a connection for reading.
    ///
    /// # Errors
    /// As [`PollSet::add`].
    pub fn add_line(&self, line: &Line) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, line.fd(), false)
    }

    /// Watches a connection that is in the set for room to write as well, or no more.
    pub fn change(&self, line: &Line, write: bool) {
        // It fails for one that is not in the set, and there is nothing to do then.
        drop(self.control(libc::EPOLL_CTL_MOD, line.fd(), write));
    }

    /// Watches a connection no more.
    pub fn remove(&self, line: &Line) {
        drop(self.control(libc::EPOLL_CTL_DEL, line.fd(), false));
    }

    /// Which are ready, some of them if there are many.
    pub fn ready(&self) -> Vec<RawFd> {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; READY];
        // SAFETY: the array is ours and has room for as many as it says; a time of 0 does not wait.
        let count = unsafe { libc::epoll_wait(self.fd(), events.as_mut_ptr(), READY as i32, 0) };
        let count = usize::try_from(count).unwrap_or(0);
        events[..count].iter().filter_map(|event| RawFd::try_from(event.u64).ok()).collect()
    }

    fn control(&self, operation: i32, fd: RawFd, write: bool) -> io::Result<()> {
        let wanted = if write { libc::EPOLLIN | libc::EPOLLOUT } else { libc::EPOLLIN };
        let mut event = libc::epoll_event { events: wanted.cast_unsigned(), u64: u64::from(fd.cast_unsigned()) };
        // SAFETY: the event is ours and read during the call only.
        if unsafe { libc::epoll_ctl(self.fd(), operation, fd, &raw mut event) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }
}
