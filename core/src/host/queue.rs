//! The completion queue: answers on their way to a host, with one wake a batch.
//!
//! A token is *open* from the call that takes it until its completion is pushed, then *done* until the host
//! drains it. Each transition happens under one lock, so a token is completed exactly once, or never after
//! `cancel` has returned. A host may use the token again then, while the call that it took back is still on its way
//! somewhere: each opening has a number, and the answer to an earlier one is no answer to this.
//! No wake, and no drop of an answer, happens under the lock.
//!
//! The lost wake to avoid: a drainer that clears the signal *after* it saw the queue empty could clear the
//! signal of a push that came in between. The signal is therefore cleared first, and `woken` goes back to
//! false in the same critical section that finds the queue empty.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::RawFd;
#[cfg(not(feature = "shuttle"))]
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::answer::{Answer, Completion, Receipt};
use super::driving::{Driving, Waits};
use super::looping::Looping;
use super::wake::{EventFd, Wake};
use crate::error::{Error, ErrorKind, Result};
use crate::sync::{Arc, Condvar, Mutex, lock};
use crate::wire::Kick;

/// More tokens than this in flight on one queue are refused with [`ErrorKind::Overloaded`].
const MAX_OPEN: usize = 1 << 20;

/// Completions for one host runtime: an event loop, a waiter thread, or one blocked caller.
pub struct Queue {
    state: Mutex<State>,
    arrived: Condvar,
    wake: Wake,
    /// What is put off to the end of a batch.
    #[cfg(not(feature = "shuttle"))]
    owed_wake: AtomicBool,
    #[cfg(not(feature = "shuttle"))]
    owed_sleeper: AtomicBool,
    drives: Drives,
    #[cfg(all(test, feature = "shuttle"))]
    pub(crate) mutant: Option<Mutant>,
}

/// What the host drives.
enum Drives {
    Nothing,
    /// The thread that waits drives.
    Waiter(Driving),
    /// The event loop that watches the descriptor drives.
    Loop(Looping),
}

/// Seeded bugs, for the model checks to find.
#[cfg(all(test, feature = "shuttle"))]
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Mutant {
    /// `drain` says that it has emptied the queue after it has let go of the lock.
    LostWake,
    /// `complete` lets go of the lock between the look at the token and the push.
    CompletionAfterCancel,
}

/// One opening of a token.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opened {
    token: u64,
    number: u64,
}

#[derive(Default)]
struct State {
    /// Tokens, and the number of the opening of each.
    open: HashMap<u64, u64, foldhash::fast::RandomState>,
    openings: u64,
    done: VecDeque<Completion>,
    /// A wake was sent that no drain has answered by emptying the queue.
    woken: bool,
    sleepers: usize,
    closed: bool,
}

impl Queue {
    /// A queue for [`Queue::wait`].
    pub fn new() -> Arc<Queue> {
        Self::with(Wake::None)
    }

    /// A queue for one thread that is most often in [`Queue::wait`]: there it drives the connections that bring its
    /// answers, so that a reply wakes no other thread first. Others may wait as well.
    ///
    /// Where the system has no descriptor left it is as one of [`Queue::new`].
    pub fn driving() -> Arc<Queue> {
        Self::driven_by(Waits::Always)
    }

    /// A queue for one thread that makes a call and is in [`Queue::wait`] until its answer is there: as
    /// [`Queue::driving`], but only where nobody else waits for the same connection, and no longer than that.
    pub fn for_caller() -> Arc<Queue> {
        Self::driven_by(Waits::ForOneAnswer)
    }

    fn driven_by(waits: Waits) -> Arc<Queue> {
        let Ok((bell, driving)) = Driving::new(waits) else { return Self::new() };
        Arc::new(Queue { drives: Drives::Waiter(driving), ..Self::made(bell) })
    }

    /// A queue for an event loop, which watches its [`Queue::fd`] for reading and calls [`Queue::drive`] when that is
    /// so: there it drives the connections that bring its answers, where nobody else uses them. All calls whose answers
    /// come here are made on the thread of the loop.
    ///
    /// Values of more than 64 KiB are looked at by a thread of the core. With `takes_over`, bytes among them come as
    /// nobody else's, for hosts that hand on such memory without a copy.
    ///
    /// # Errors
    /// The operating system's, when it has no descriptor left.
    pub fn looping(takes_over: bool) -> io::Result<Arc<Queue>> {
        let (bell, looping) = Looping::new(takes_over)?;
        Ok(Arc::new(Queue { drives: Drives::Loop(looping), ..Self::made(bell) }))
    }

    /// A queue whose [`Queue::fd`] is readable while completions are there.
    ///
    /// # Errors
    /// The operating system's, when it has no descriptor left.
    pub fn with_fd() -> io::Result<Arc<Queue>> {
        Ok(Self::with(Wake::Fd(EventFd::new()?)))
    }

    /// A queue that calls `wake` once a batch, on a thread of the core, with no lock held. `wake` must not
    /// block and must not call into an interpreter beyond scheduling a drain.
    pub fn with_waker(wake: impl Fn() + Send + Sync + 'static) -> Arc<Queue> {
        Self::with(Wake::Call(Box::new(wake)))
    }

    fn with(wake: Wake) -> Arc<Queue> {
        Arc::new(Self::made(wake))
    }

    fn made(wake: Wake) -> Queue {
        Queue {
            state: Mutex::new(State::default()),
            arrived: Condvar::new(),
            wake,
            #[cfg(not(feature = "shuttle"))]
            owed_wake: AtomicBool::new(false),
            #[cfg(not(feature = "shuttle"))]
            owed_sleeper: AtomicBool::new(false),
            drives: Drives::Nothing,
            #[cfg(all(test, feature = "shuttle"))]
            mutant: None,
        }
    }

    /// A queue with a seeded bug.
    #[cfg(all(test, feature = "shuttle"))]
    pub(crate) fn mutated(mutant: Mutant, wake: impl Fn() + Send + Sync + 'static) -> Arc<Queue> {
        Arc::new(Queue { mutant: Some(mutant), ..Self::made(Wake::Call(Box::new(wake))) })
    }

    /// The descriptor to poll for reading, if this queue has one. It is valid as long as the queue.
    pub fn fd(&self) -> Option<RawFd> {
        match &self.drives {
            Drives::Loop(looping) => Some(looping.fd()),
            _ => self.wake.fd(),
        }
    }

    /// A turn of an event loop: sends and receives what can be without a wait, for about a millisecond at most, and then
    /// as [`Queue::drain`]. Requests that follow, as many as there were answers, leave together.
    pub fn drive(&self, max: usize, out: &mut Vec<Completion>) -> usize {
        let Drives::Loop(looping) = &self.drives else { return self.drain(max, out) };
        looping.turn();
        let count = self.drain(max, out);
        looping.expect(count);
        count
    }

    /// What an event loop asks for from now on is held back until [`Queue::send`]: it is in the midst of a turn.
    pub fn hold(&self) {
        if let Drives::Loop(looping) = &self.drives {
            looping.hold();
        }
    }

    /// Sends what was held back: the turn of the event loop is over.
    pub fn send(&self) {
        if let Drives::Loop(looping) = &self.drives {
            looping.send();
        }
    }

    /// Has the host look at its queue, though there may be nothing.
    pub fn rouse(&self) {
        self.wake.wake();
    }

    /// Appends at most `max` completions and returns how many. Call it until it returns less than `max`;
    /// where more is left, the wake is sent again, so a host may also stop early and go on later.
    pub fn drain(&self, max: usize, out: &mut Vec<Completion>) -> usize {
        self.wake.clear();
        let (count, more) = lock(&self.state).take(max, out);
        #[cfg(all(test, feature = "shuttle"))]
        if self.mutant == Some(Mutant::LostWake) {
            lock(&self.state).woken = true;
            lock(&self.state).woken = more;
        }
        if more {
            self.wake.wake();
        }
        count
    }

    /// Takes completions back that a host has drained and has no time for now, and has it woken again.
    pub fn give_back(&self, rest: impl DoubleEndedIterator<Item = Completion>) {
        let mut state = lock(&self.state);
        if state.closed {
            // What they hold runs into the flight table when it is dropped: never under our lock.
            drop(state);
            return rest.for_each(drop);
        }
        rest.rev().for_each(|completion| state.done.push_front(completion));
        state.woken = true;
        let sleeper = state.sleepers > 0;
        drop(state);
        self.announce(true, sleeper);
    }

    /// Blocks until a completion is there, the time is over or the queue is closed; then as [`Queue::drain`].
    /// Returns 0 in the latter two cases.
    pub fn wait(&self, max: usize, timeout: Option<Duration>, out: &mut Vec<Completion>) -> usize {
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        if let Some(mut turn) = self.waiter().and_then(Driving::begin) {
            loop {
                let mut state = lock(&self.state);
                if !state.done.is_empty() || state.closed {
                    let (count, more) = state.take(max, out);
                    drop(state);
                    if more {
                        self.arrived.notify_one();
                    }
                    return count;
                }
                // What was announced may have been cancelled: what comes from here on is to be announced anew.
                state.woken = false;
                drop(state);
                if !turn.wait(deadline) {
                    return 0;
                }
            }
        }
        let mut state = lock(&self.state);
        while state.done.is_empty() && !state.closed {
            state.sleepers += 1;
            let timed_out;
            (state, timed_out) = self.sleep(state, deadline);
            state.sleepers -= 1;
            if timed_out {
                break;
            }
        }
        let (count, more) = state.take(max, out);
        drop(state);
        if more {
            // The push that filled the queue woke one sleeper only.
            self.arrived.notify_one();
        }
        count
    }

    fn sleep<'a>(
        &self,
        state: crate::sync::MutexGuard<'a, State>,
        deadline: Option<Instant>,
    ) -> (crate::sync::MutexGuard<'a, State>, bool) {
        match deadline {
            None => {
                let state = self.arrived.wait(state);
                (state.unwrap_or_else(std::sync::PoisonError::into_inner), false)
            }
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return (state, true);
                }
                let (state, _) =
                    self.arrived.wait_timeout(state, left).unwrap_or_else(std::sync::PoisonError::into_inner);
                (state, false)
            }
        }
    }

    /// Takes `token` back: after this returns, no completion for it will come. An undelivered lead is
    /// abandoned. Returns false when the completion was delivered already, or the token was never open.
    pub fn cancel(&self, token: u64) -> bool {
        let undelivered;
        let cancelled = {
            let mut state = lock(&self.state);
            let position = state.done.iter().position(|completion| completion.token == token);
            undelivered = position.and_then(|index| state.done.remove(index));
            state.open.remove(&token).is_some() || undelivered.is_some()
        };
        // A lead inside runs into the flight table when it is dropped: never under our lock.
        drop(undelivered);
        cancelled
    }

    /// How many tokens are open, or done and not yet drained.
    pub fn outstanding(&self) -> usize {
        let state = lock(&self.state);
        state.open.len() + state.done.len()
    }

    /// Ends the queue: what is undelivered is dropped, later calls on it fail with [`ErrorKind::Closed`], and
    /// threads in [`Queue::wait`] return.
    pub fn close(&self) {
        let undelivered = {
            let mut state = lock(&self.state);
            state.closed = true;
            state.open.clear();
            std::mem::take(&mut state.done)
        };
        drop(undelivered);
        self.arrived.notify_all();
        self.wake.wake();
    }

    /// Whether [`Queue::close`] was called.
    pub fn is_closed(&self) -> bool {
        lock(&self.state).closed
    }

    /// Opens `token`, so that a completion for it can be pushed.
    pub(crate) fn open(&self, operation: &'static str, token: u64) -> Result<Opened> {
        let mut state = lock(&self.state);
        if state.closed {
            return Err(Error::new(ErrorKind::Closed, operation, "the completion queue is closed"));
        }
        if state.open.len() >= MAX_OPEN {
            let message = format!("more than {MAX_OPEN} operations in flight");
            return Err(Error::new(ErrorKind::Overloaded, operation, message));
        }
        state.openings += 1;
        let number = state.openings;
        match state.open.entry(token) {
            Entry::Vacant(entry) => entry.insert(number),
            Entry::Occupied(_) => {
                let message = format!("token {token} is in use on this queue");
                return Err(Error::new(ErrorKind::InvalidOption, operation, message));
            }
        };
        Ok(Opened { token, number })
    }

    /// Whether somebody still waits for it.
    pub(crate) fn is_open(&self, opened: Opened) -> bool {
        lock(&self.state).open.get(&opened.token) == Some(&opened.number)
    }

    /// Closes it without a completion: the call that took the token was answered at once.
    pub(crate) fn withdraw(&self, opened: Opened) {
        lock(&self.state).close(opened);
    }

    /// Completes it, or gives the answer back when nobody waits for it any more.
    pub(crate) fn complete(self: &Arc<Self>, opened: Opened, mut answer: Answer) -> Result<(), Answer> {
        if let Drives::Loop(looping) = &self.drives {
            looping.own(&mut answer);
        }
        let (wake, sleeper) = {
            let mut state = lock(&self.state);
            if !state.close(opened) {
                return Err(answer);
            }
            #[cfg(all(test, feature = "shuttle"))]
            if self.mutant == Some(Mutant::CompletionAfterCancel) {
                state.open.insert(opened.token, opened.number);
                drop(state);
                state = lock(&self.state);
                state.close(opened);
            }
            state.push(Completion { token: opened.token, answer })
        };
        if (wake || sleeper) && !self.put_off(wake, sleeper) {
            self.announce(wake, sleeper);
        }
        Ok(())
    }

    /// Leaves the wake to the end of the batch in which this answer comes, if it is one.
    #[cfg(not(feature = "shuttle"))]
    fn put_off(self: &Arc<Self>, wake: bool, sleeper: bool) -> bool {
        if !crate::batch::put_off(self) {
            return false;
        }
        self.owed_wake.fetch_or(wake, Ordering::Relaxed);
        self.owed_sleeper.fetch_or(sleeper, Ordering::Relaxed);
        true
    }

    /// The model checks answer from one thread of the operating system, which has no batches.
    #[cfg(feature = "shuttle")]
    fn put_off(self: &Arc<Self>, _: bool, _: bool) -> bool {
        false
    }

    /// Puts an answer there that no call waits for: so a host that waits on its queue hears that there is something
    /// to drain. `token` is one that no call of this queue uses. Does nothing on a closed queue.
    pub fn ring(&self, token: u64) {
        let (wake, sleeper) = {
            let mut state = lock(&self.state);
            if state.closed {
                return;
            }
            state.push(Completion { token, answer: Answer::Done(Receipt::default()) })
        };
        self.announce(wake, sleeper);
    }

    /// Does what is owed for a request that brings an answer to this queue.
    pub(crate) fn go(&self, kick: Kick) {
        match (&self.drives, kick.line()) {
            (Drives::Loop(looping), _) => looping.go(kick),
            (Drives::Waiter(driving), Some(line)) if driving.adopt(line) => kick.go_to_drive(),
            _ => kick.go(),
        }
    }

    fn waiter(&self) -> Option<&Driving> {
        match &self.drives {
            Drives::Waiter(driving) => Some(driving),
            _ => None,
        }
    }

    fn announce(&self, wake: bool, sleeper: bool) {
        let seen = match &self.drives {
            Drives::Nothing => false,
            Drives::Waiter(driving) => driving.is_handing_out(),
            Drives::Loop(looping) => looping.is_handing_out(),
        };
        let wake = wake && !seen;
        if sleeper {
            self.arrived.notify_one();
        }
        if wake {
            self.wake.wake();
        }
    }
}

#[cfg(not(feature = "shuttle"))]
impl crate::batch::Owes for Queue {
    fn pay(&self) {
        let wake = self.owed_wake.swap(false, Ordering::Relaxed);
        let sleeper = self.owed_sleeper.swap(false, Ordering::Relaxed);
        self.announce(wake, sleeper);
    }
}

impl State {
    /// Closes an opening. False when it was closed before, be it that its token was opened again since.
    fn close(&mut self, opened: Opened) -> bool {
        match self.open.entry(opened.token) {
            Entry::Occupied(entry) if *entry.get() == opened.number => {
                entry.remove();
                true
            }
            _ => false,
        }
    }

    /// Whether a wake is due, and whether somebody sleeps.
    fn push(&mut self, completion: Completion) -> (bool, bool) {
        self.done.push_back(completion);
        let first = !std::mem::replace(&mut self.woken, true);
        (first, self.sleepers > 0)
    }

    fn take(&mut self, max: usize, out: &mut Vec<Completion>) -> (usize, bool) {
        let count = max.min(self.done.len());
        out.extend(self.done.drain(..count));
        let more = !self.done.is_empty();
        self.woken = more;
        (count, more)
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").field("outstanding", &self.outstanding()).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(feature = "shuttle")))]
mod tests;
