//! A thread of a host that waits for answers drives the connections that bring them.
//!
//! It waits on their sockets and on a bell, in one `poll`. So a reply wakes the thread that hands it on, and no thread
//! of the core before it; and what other threads queue meanwhile leaves as one write. The bell is rung for the answers
//! that come from elsewhere, and for what is to be sent.

use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::wake::{EventFd, Wake};
use crate::wire::{Bell, Driver, Due, Line, Round};

/// More connections than this are left to the core.
const MAX_LINES: usize = 64;

/// Which thread it is that waits.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Waits {
    /// One that comes back as soon as it has handed on what it got: it keeps what it drives.
    Always,
    /// One that made a call, for its answer: it drives where nobody else waits for one, and no longer than that.
    ForOneAnswer,
}

/// What a queue has where its waiter drives.
pub(super) struct Driving {
    waits: Waits,
    bell: Arc<dyn Bell>,
    heard: Arc<EventFd>,
    /// Connections that brought answers to this queue, or will.
    lines: Mutex<Vec<Arc<Line>>>,
    /// Whether a thread drives: one at a time does.
    taken: AtomicBool,
    /// Whether the thread that drives hands out answers: it looks at the queue by itself afterwards.
    handing_out: AtomicBool,
}

impl Driving {
    /// The bell of a queue, and what is driven beside it.
    pub fn new(waits: Waits) -> std::io::Result<(Wake, Driving)> {
        let bell = Arc::new(EventFd::new()?);
        let driving = Driving {
            waits,
            bell: bell.clone(),
            heard: bell.clone(),
            lines: Mutex::default(),
            taken: AtomicBool::new(false),
            handing_out: AtomicBool::new(false),
        };
        Ok((Wake::Bell(bell), driving))
    }

    /// An answer will come over this connection. Returns whether the thread that waits for it sees to the connection.
    pub fn adopt(&self, line: &Arc<Line>) -> bool {
        if self.waits == Waits::ForOneAnswer {
            // Its own thread calls this, and waits next.
            let mut lines = self.lines();
            lines.clear();
            lines.push(line.clone());
            return true;
        }
        if line.is_driven_by(&self.bell) {
            return true;
        }
        let mut lines = self.lines();
        if lines.len() < MAX_LINES && !lines.iter().any(|other| Arc::ptr_eq(other, line)) {
            lines.push(line.clone());
            drop(lines);
            // The thread that waits does not wait on this one yet.
            self.bell.ring();
        }
        false
    }

    /// Whether this answer is seen by the thread that hands it out.
    pub fn is_handing_out(&self) -> bool {
        self.handing_out.load(Ordering::Relaxed)
    }

    /// Becomes the driver, if nobody is. Then what it returns drives until it is dropped.
    pub fn begin(&self) -> Option<Turn<'_>> {
        let first = !self.taken.swap(true, Ordering::Acquire);
        // Made only then: its end frees the place.
        first.then(|| Turn(self))
    }

    fn lines(&self) -> MutexGuard<'_, Vec<Arc<Line>>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Driving {
    fn drop(&mut self) {
        let lines = std::mem::take(self.lines.get_mut().unwrap_or_else(PoisonError::into_inner));
        lines.iter().for_each(|line| line.release(&self.bell));
    }
}

/// A thread that drives.
pub(super) struct Turn<'a>(&'a Driving);

impl Turn<'_> {
    /// Waits until there is something to look at, at most until `deadline`, and hands out what has come. False when the
    /// time is over.
    pub fn wait(&mut self, deadline: Option<Instant>) -> bool {
        let lines: Vec<Arc<Line>> = self.0.lines().clone();
        let mut polled = Vec::with_capacity(1 + lines.len());
        polled.push(poll_for(self.0.heard.as_raw_fd(), libc::POLLIN));
        let (mut again, mut handed_out) = (false, false);
        for line in &lines {
            // Who does not drive waits on nothing: poll passes over a negative descriptor.
            let mut entry = poll_for(-1, 0);
            let claimed = match self.0.waits {
                Waits::Always => line.claim(&self.0.bell),
                Waits::ForOneAnswer => line.is_driven_by(&self.0.bell) || line.claim_if_alone(&self.0.bell),
            };
            if !claimed {
                line.have_watched();
            } else {
                entry = poll_for(line.fd(), libc::POLLIN);
                if line.has_outbound() {
                    match self.round(line) {
                        (Round::Wait { write }, some) => {
                            entry.events |= if write { libc::POLLOUT } else { 0 };
                            handed_out |= some;
                        }
                        (Round::Again, some) => {
                            again = true;
                            handed_out |= some;
                        }
                        (Round::Ended, _) => {
                            // What it had left to send is never sent: it would have us look at it for ever.
                            self.forget(line);
                            return true;
                        }
                    }
                }
            }
            polled.push(entry);
        }
        if handed_out || again {
            return true;
        }
        for_driven(&lines, &polled, Line::note_waiting);
        let ready = poll(&mut polled, deadline);
        for_driven(&lines, &polled, Line::note_host);
        if !ready {
            return false;
        }
        if polled[0].revents != 0 {
            self.0.heard.clear();
        }
        for (line, entry) in lines.iter().zip(&polled[1..]) {
            if entry.revents != 0 && matches!(self.round(line), (Round::Ended, _)) {
                self.forget(line);
            }
        }
        true
    }

    /// Nothing comes over this connection any more.
    fn forget(&self, line: &Arc<Line>) {
        self.0.lines().retain(|other| !Arc::ptr_eq(other, line));
    }

    /// Sends and receives, and hands out. Returns what is next, and whether anything was handed out.
    fn round(&self, line: &Line) -> (Round, bool) {
        let mut due = Due::default();
        let round = line.round(Driver::Host, &mut due);
        if due.is_empty() {
            return (round, false);
        }
        // Answers to this queue ring no bell, whoever gives them meanwhile: we look at the queue next.
        self.0.handing_out.store(true, Ordering::Relaxed);
        due.settle();
        self.0.handing_out.store(false, Ordering::Relaxed);
        (round, true)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.0.waits == Waits::ForOneAnswer {
            let lines = std::mem::take(&mut *self.0.lines());
            lines.iter().for_each(|line| line.release(&self.0.bell));
        }
        self.0.taken.store(false, Ordering::Release);
    }
}

fn for_driven(lines: &[Arc<Line>], polled: &[libc::pollfd], note: impl Fn(&Line)) {
    let driven = lines.iter().zip(&polled[1..]).filter(|(_, entry)| entry.fd >= 0);
    driven.for_each(|(line, _)| note(line));
}

fn poll_for(fd: RawFd, events: i16) -> libc::pollfd {
    libc::pollfd { fd, events, revents: 0 }
}

/// Whether one of them is ready, by `deadline`.
fn poll(polled: &mut [libc::pollfd], deadline: Option<Instant>) -> bool {
    let timeout = deadline.map_or(-1, |deadline| {
        let left = deadline.saturating_duration_since(Instant::now());
        // Rounded up: to wake too early is to wake twice.
        i32::try_from(left.as_micros().div_ceil(1000)).unwrap_or(i32::MAX)
    });
    // SAFETY: the array is ours, and as long as it says.
    let ready = unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, timeout) };
    // Interrupted by a signal: to be looked at again, as if it were ready.
    ready != 0
}
