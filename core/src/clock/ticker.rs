//! One thread a process that looks at deadlines: expiry in memory, fetches past their timeout.
//!
//! It is started by the first registration and sleeps without a timeout while nothing is left to watch.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError, Weak};
use std::time::Duration;

use super::{foresee, note_sleep, stop_foreseeing};
use crate::host::process;

const PERIOD: Duration = Duration::from_millis(10);

/// Something with deadlines.
pub(crate) trait Tick: Send + Sync {
    /// Looks at what is due.
    fn tick(&self) -> Watch;
}

/// What is left to watch after a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watch {
    /// Nothing: it is forgotten until it is registered again.
    Done,
    /// Something, for the next tick.
    Waiting,
    /// Something that is due already: the next tick comes at once.
    Busy,
}

/// What the thread of one process generation watches.
#[derive(Default)]
pub(crate) struct Ticker {
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Default)]
struct State {
    arrived: Vec<Weak<dyn Tick>>,
    running: bool,
}

/// Watches `tick` until it says that nothing is left. A second registration of the same object while it is
/// watched costs a call more a period: callers remember that they are registered.
pub(crate) fn register(tick: Weak<dyn Tick>) {
    // Under the model checker there are no threads but its own, and no time passes.
    if cfg!(feature = "shuttle") {
        return;
    }
    let ticker = process().ticker();
    let mut state = ticker.state.lock().unwrap_or_else(PoisonError::into_inner);
    state.arrived.push(tick);
    if !state.running {
        state.running = true;
        let thread = std::thread::Builder::new().name("scrubjay-tick".to_owned());
        // Without the thread entries still expire when they are read, only their memory stays.
        if thread.spawn(move || ticker.run()).is_err() {
            state.running = false;
        }
    }
    ticker.work.notify_one();
}

impl Ticker {
    fn run(&self) {
        let mut watched: Vec<Weak<dyn Tick>> = Vec::new();
        loop {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            while watched.is_empty() && state.arrived.is_empty() {
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            watched.append(&mut state.arrived);
            drop(state);
            note_sleep();
            let sweep = Sweep::begin();
            let mut busy = false;
            watched.retain(|tick| {
                let left = tick.upgrade().map_or(Watch::Done, |tick| tick.tick());
                busy |= left == Watch::Busy;
                left != Watch::Done
            });
            drop(sweep);
            if !watched.is_empty() && !busy {
                // Not while others' code may hold this thread up.
                foresee();
                std::thread::sleep(PERIOD);
                stop_foreseeing();
            }
        }
    }
}

static SWEEPING: AtomicBool = AtomicBool::new(false);
static FORKING: AtomicBool = AtomicBool::new(false);

thread_local! {
    static IS_TICKER: Cell<bool> = const { Cell::new(false) };
}

/// While it lives the thread may hold locks of what it watches, which no fork may copy.
struct Sweep;

impl Sweep {
    fn begin() -> Self {
        IS_TICKER.set(true);
        loop {
            SWEEPING.store(true, Ordering::SeqCst);
            if !FORKING.load(Ordering::SeqCst) {
                return Sweep;
            }
            SWEEPING.store(false, Ordering::SeqCst);
            std::thread::yield_now();
        }
    }
}

impl Drop for Sweep {
    fn drop(&mut self) {
        SWEEPING.store(false, Ordering::SeqCst);
    }
}

/// Waits until the thread holds no lock, and keeps it from taking one. Before a fork.
pub(crate) fn pause_for_fork() {
    FORKING.store(true, Ordering::SeqCst);
    // User code on that very thread may fork; then it is no other that has to wait.
    while SWEEPING.load(Ordering::SeqCst) && !IS_TICKER.get() {
        std::thread::yield_now();
    }
}

/// Lets it go on, in the parent. The child has no such thread until something is registered there.
pub(crate) fn resume_after_fork() {
    FORKING.store(false, Ordering::SeqCst);
}

/// In a forked child: what the parent's thread did, it does not do here.
pub(crate) fn forget_in_child() {
    stop_foreseeing();
    SWEEPING.store(false, Ordering::SeqCst);
    FORKING.store(false, Ordering::SeqCst);
}
