//! How a queue tells its host that completions have arrived.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use super::loop_bell::LoopBell;
use crate::wire::Bell;

/// One of the ways to wake a host. Waking is idempotent and never blocks.
pub(crate) enum Wake {
    /// The host waits inside the queue.
    None,
    /// The host polls a descriptor.
    Fd(EventFd),
    /// The host waits inside the queue, on a descriptor among others.
    Bell(Arc<EventFd>),
    /// The host is an event loop, which watches a descriptor beside others.
    Loop(Arc<LoopBell>),
    /// The host gave a function.
    Call(Box<dyn Fn() + Send + Sync>),
}

impl Wake {
    /// The descriptor that a host polls.
    pub(crate) fn fd(&self) -> Option<RawFd> {
        match self {
            Wake::Fd(fd) => Some(fd.as_raw_fd()),
            Wake::None | Wake::Bell(_) | Wake::Loop(_) | Wake::Call(_) => None,
        }
    }

    pub(crate) fn wake(&self) {
        match self {
            Wake::None => {}
            Wake::Call(call) => call(),
            Wake::Fd(fd) => fd.signal(),
            Wake::Bell(fd) => fd.signal(),
            Wake::Loop(bell) => bell.ring(),
        }
    }

    /// Takes back what was signalled, if the host sees a level.
    pub(crate) fn clear(&self) {
        match self {
            // A loop clears its bell at the beginning of a turn.
            Wake::None | Wake::Loop(_) | Wake::Call(_) => {}
            Wake::Fd(fd) => fd.clear(),
            Wake::Bell(fd) => fd.clear(),
        }
    }
}

/// A descriptor that is readable from a signal until it is cleared.
pub(crate) struct EventFd(OwnedFd);

impl EventFd {
    /// An eventfd, close-on-exec and non-blocking.
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: eventfd takes no pointers; the result is checked before it is used.
        let fd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just made and belongs to nobody else.
        Ok(EventFd(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    pub(super) fn signal(&self) {
        let one = 1_u64.to_ne_bytes();
        // SAFETY: `one` is 8 readable bytes, the descriptor is ours. A full counter (EAGAIN) is readable already, so
        // the result does not matter.
        unsafe { libc::write(self.0.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }

    pub(super) fn clear(&self) {
        let mut count = [0_u8; 8];
        // SAFETY: `count` is 8 writable bytes, the descriptor is ours and non-blocking.
        unsafe { libc::read(self.0.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
    }
}

impl AsRawFd for EventFd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl Bell for EventFd {
    fn ring(&self) {
        self.signal();
    }
}
