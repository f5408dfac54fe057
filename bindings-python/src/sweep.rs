//! What the core lets go leaves the memory of this process too, though nobody calls.
//!
//! A cache whose entries have gone is put on a list, by a thread of the core. One daemon thread of Python waits for
//! that without the GIL, and takes the dead objects of a few caches at a time: `_sweep.py` drops them, for what a
//! `__del__` does must not run above a frame of ours. It starts with the first entry, and again after a fork.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyList;
use scrubjay_core::host;

use crate::exit;

/// At most this many entries are dropped before others get the GIL.
pub(crate) const BATCH: usize = 1_000;

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
    running: bool,
    over: bool,
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
        drop(state);
        sweeper.changed.notify_one();
    }
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
            match state.waiting.pop_front() {
                Some(cache) => return Some(cache),
                None => state = sweeper.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    })?;
    let mut gone = Vec::new();
    if let Some(cache) = cache.upgrade()
        && cache.sweep(py, &mut gone)
    {
        sweeper.lock().waiting.push_back(std::sync::Arc::downgrade(&cache));
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
