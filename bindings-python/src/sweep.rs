//! What the core lets go leaves the memory of this process too, though nobody calls.
//!
//! A cache whose entries have gone is put on a list, by a thread of the core. Where an event loop has called a cache,
//! the newest one is woken as it is for answers, and drops what is dead between its tasks. One daemon thread of Python
//! does it where there is no loop, or the loop does not come for a while: it waits without the GIL, and takes the dead
//! objects of a few caches at a time. Both hand them to Python to be dropped (`_sweep.py`, the loop itself), for what a
//! `__del__` does must not run above a frame of ours. The thread starts with the first entry, and again after a fork.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyList;
use scrubjay_core::host::{self, Queue};

use crate::exit;

/// At most this many entries are dropped before others get the GIL.
pub(crate) const BATCH: usize = 1_000;

/// A token that no call of a loop has.
const NO_CALL: u64 = 0;

/// So long a loop that was woken may take to come, before the thread does its work.
const GRACE: Duration = Duration::from_millis(100);

/// Something whose entries go by themselves.
pub(crate) trait Sweep: Send + Sync {
    /// Moves what has gone, at most [`BATCH`] entries, to `gone`. Returns whether there may be more.
    fn sweep(&self, py: Python<'_>, gone: &mut Vec<Py<PyAny>>) -> bool;
}

/// The list of one process.
struct Sweeper {
    generation: u32,
    /// Whether the thread runs, or nothing is to run any more.
    settled: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Weak<dyn Sweep>>,
    /// The event loops that have called a cache, the newest last.
    loops: Vec<Loop>,
    running: bool,
    over: bool,
}

struct Loop {
    owner: u64,
    queue: Weak<Queue>,
    /// When it was woken, until it comes.
    woken: Option<Instant>,
}

impl State {
    /// Wakes the newest loop that lives. To be rung once the lock is released.
    fn wake_loop(&mut self) -> Option<Arc<Queue>> {
        let newest = loop {
            let newest = self.loops.last()?.queue.upgrade();
            match newest {
                Some(queue) if !queue.is_closed() => break queue,
                _ => self.loops.pop(),
            };
        };
        let newest_loop = self.loops.last_mut()?;
        // One that has not come since the last time may never do, and its queue is not to grow.
        let first = newest_loop.woken.is_none();
        first.then(|| {
            newest_loop.woken = Some(Instant::now());
            newest
        })
    }

    /// How long the thread leaves the work to a loop.
    fn patience(&self) -> Duration {
        let woken =
            self.loops.last().filter(|newest| newest.queue.strong_count() > 0).and_then(|newest| newest.woken);
        woken.map_or(Duration::ZERO, |woken| GRACE.saturating_sub(woken.elapsed()))
    }
}

impl Sweeper {
    /// That of this process: after a fork another, for the lock of the parent's may be held for ever.
    fn of_this_process() -> &'static Self {
        static CURRENT: AtomicPtr<Sweeper> = AtomicPtr::new(std::ptr::null_mut());
        let generation = host::fork_generation();
        let mut current = CURRENT.load(Ordering::Acquire);
        loop {
            // SAFETY: what CURRENT points to is never freed.
            if let Some(sweeper) = unsafe { current.as_ref() }
                && sweeper.generation == generation
            {
                return sweeper;
            }
            let fresh = Sweeper {
                generation,
                settled: AtomicBool::new(false),
                state: Mutex::default(),
                changed: Condvar::new(),
            };
            let fresh = Box::into_raw(Box::new(fresh));
            match CURRENT.compare_exchange(current, fresh, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => current = fresh,
                Err(winner) => {
                    // SAFETY: `fresh` came from Box::into_raw just now and nobody else saw it.
                    drop(unsafe { Box::from_raw(fresh) });
                    current = winner;
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Entries of this cache have gone. Called on any thread, with or without the GIL.
pub(crate) fn wake(cache: Weak<dyn Sweep>) {
    let sweeper = Sweeper::of_this_process();
    let mut state = sweeper.lock();
    if state.running {
        state.waiting.push_back(cache);
        let woken = state.wake_loop();
        drop(state);
        if let Some(queue) = woken {
            queue.ring(NO_CALL);
        }
        sweeper.changed.notify_one();
    }
}

/// An event loop that takes what has gone, at its wakes: see [`taken_by_loop`].
pub(crate) fn enrol(owner: u64, queue: &Arc<Queue>) {
    let mut state = Sweeper::of_this_process().lock();
    state.loops.retain(|other| other.queue.strong_count() > 0);
    state.loops.push(Loop { owner, queue: Arc::downgrade(queue), woken: None });
}

/// What has gone, for a loop that was woken: at most [`BATCH`] entries of the caches that wait; the loop is woken again
/// where there is more.
pub(crate) fn taken_by_loop(py: Python<'_>, owner: u64) -> Vec<Py<PyAny>> {
    let sweeper = Sweeper::of_this_process();
    let mut gone = Vec::new();
    let cache = {
        let mut state = sweeper.lock();
        let Some(us) = state.loops.iter_mut().find(|other| other.owner == owner) else { return gone };
        if us.woken.take().is_none() || state.over {
            return gone;
        }
        state.waiting.pop_front()
    };
    if let Some(cache) = cache.as_ref().and_then(Weak::upgrade)
        && cache.sweep(py, &mut gone)
    {
        sweeper.lock().waiting.push_back(Arc::downgrade(&cache));
    }
    let mut state = sweeper.lock();
    let more = if state.waiting.is_empty() { None } else { state.wake_loop() };
    drop(state);
    if let Some(queue) = more {
        queue.ring(NO_CALL);
    }
    gone
}

/// Starts the thread where none runs. Called after the first entry of a cache was stored, with no lock held.
pub(crate) fn start(py: Python<'_>) {
    static START: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let sweeper = Sweeper::of_this_process();
    if sweeper.settled.load(Ordering::Relaxed) {
        return;
    }
    {
        let mut state = sweeper.lock();
        sweeper.settled.store(true, Ordering::Relaxed);
        if state.running || state.over {
            return;
        }
        state.running = true;
    }
    let started = START.import(py, "scrubjay._sweep", "start").and_then(|start| start.call0());
    if let Err(error) = started {
        // There may be no more threads just now; whatever is stored next tries again. Calls drop what has gone.
        drop(error);
        sweeper.lock().running = false;
        sweeper.settled.store(false, Ordering::Relaxed);
    }
}

/// Waits until entries have gone, and takes what was in them: a list to be dropped. None when all is over.
#[pyfunction]
pub(crate) fn swept(py: Python<'_>) -> Option<Bound<'_, PyList>> {
    let sweeper = Sweeper::of_this_process();
    let cache = py.detach(|| {
        let mut state = sweeper.lock();
        loop {
            if state.over {
                state.running = false;
                sweeper.changed.notify_all();
                return None;
            }
            if state.waiting.is_empty() {
                state = sweeper.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let patience = state.patience();
            if patience.is_zero() {
                return state.waiting.pop_front();
            }
            state = sweeper.changed.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner).0;
        }
    })?;
    let mut gone = Vec::new();
    if let Some(cache) = cache.upgrade()
        && cache.sweep(py, &mut gone)
    {
        sweeper.lock().waiting.push_back(Arc::downgrade(&cache));
    }
    PyList::new(py, gone).ok()
}

/// Ends the thread at the exit of the interpreter; waits for it at most so long. Called without the GIL.
pub(crate) fn end(timeout: Duration) {
    let sweeper = Sweeper::of_this_process();
    let deadline = Instant::now() + timeout;
    let mut state = sweeper.lock();
    state.over = true;
    sweeper.changed.notify_all();
    while state.running
        && let Some(left) = deadline.checked_duration_since(Instant::now())
    {
        state = sweeper.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
    }
    debug_assert!(exit::is_over());
}
