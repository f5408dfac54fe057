//! What belongs to this process: the runtime, and what a fork must not inherit.
//!
//! A forked child has only the thread that forked: the runtime's threads are gone, and any lock may have been
//! held by one of them. So nothing here is shared with the parent: the child's first call finds a new
//! generation, makes a new [`Process`], and leaks the old one (dropping it would join threads that do not
//! exist). In the child the fork handler itself only writes numbers; before the fork it waits for the thread that looks
//! at deadlines to let go of its locks, because a memory cache is not made anew: a child has its parent's entries.

use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Once, OnceLock, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::Runtime;

use crate::clock::{self, Ticker};
use crate::flight::Tiers;

static GENERATION: AtomicU32 = AtomicU32::new(1);
static CURRENT: AtomicPtr<Process> = AtomicPtr::new(std::ptr::null_mut());

/// The state of one process generation. It lives as long as the process.
pub(crate) struct Process {
    generation: u32,
    runtime: OnceLock<Runtime>,
    stopped: OnceLock<()>,
    released_errors: Mutex<Vec<u64>>,
    ticker: Ticker,
    caches: Mutex<Vec<Weak<Tiers>>>,
}

/// The generation of this process: it changes in a forked child. Queues made under another generation belong
/// to the parent.
pub fn fork_generation() -> u32 {
    watch_forks();
    GENERATION.load(Ordering::Relaxed)
}

/// The state of this process, made anew after a fork.
pub(crate) fn process() -> &'static Process {
    let generation = fork_generation();
    let mut current = CURRENT.load(Ordering::Acquire);
    loop {
        // SAFETY: what CURRENT points to is never freed.
        if let Some(process) = unsafe { current.as_ref() }
            && process.generation == generation
        {
            return process;
        }
        let fresh = Box::into_raw(Box::new(Process {
            generation,
            runtime: OnceLock::new(),
            stopped: OnceLock::new(),
            released_errors: Mutex::new(Vec::new()),
            ticker: Ticker::default(),
            caches: Mutex::new(Vec::new()),
        }));
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

impl Process {
    /// The one runtime of all caches, started at the first call.
    pub(crate) fn runtime(&self) -> &Runtime {
        self.runtime.get_or_init(|| {
            tokio::runtime::Builder::new_multi_thread()
                // One worker: operations of a key leave in the order in which they were asked for.
                .worker_threads(1)
                .thread_name("scrubjay-rt")
                .enable_io()
                .enable_time()
                .build()
                .expect("the operating system gave no thread or no epoll descriptor")
        })
    }

    /// The one thread that looks at deadlines.
    pub(crate) fn ticker(&self) -> &Ticker {
        &self.ticker
    }

    /// Whether [`shutdown`] was called.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.get().is_some()
    }

    /// Notes a cache, for the end of the process.
    pub(crate) fn enrol(&self, tiers: &Arc<Tiers>) {
        let mut caches = self.caches.lock().unwrap_or_else(PoisonError::into_inner);
        if caches.len() == caches.capacity() {
            caches.retain(|cache| cache.strong_count() > 0);
        }
        caches.push(Arc::downgrade(tiers));
    }

    /// The caches that are still held.
    pub(crate) fn caches(&self) -> Vec<Arc<Tiers>> {
        let caches = self.caches.lock().unwrap_or_else(PoisonError::into_inner);
        caches.iter().filter_map(Weak::upgrade).collect()
    }

    pub(crate) fn release_error(&self, id: u64) {
        self.released_errors.lock().unwrap_or_else(PoisonError::into_inner).push(id);
    }

    pub(crate) fn take_released_errors(&self, out: &mut Vec<u64>) {
        out.append(&mut self.released_errors.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Stops taking new operations, for hosts at the end of their interpreter; later calls answer
/// [`Closed`](crate::ErrorKind::Closed). The runtime's threads are left parked: they touch nothing of the host, and
/// joining them could hang the exit. Waits at most `timeout` for invalidations still on their way.
pub fn shutdown(timeout: Duration) {
    let process = process();
    if process.stopped.set(()).is_ok() && process.runtime.get().is_some() {
        crate::flight::drain_all(timeout);
    }
}

fn watch_forks() {
    static ONCE: Once = Once::new();
    extern "C" fn before() {
        clock::pause_for_fork();
    }
    extern "C" fn in_parent() {
        clock::resume_after_fork();
    }
    extern "C" fn in_child() {
        clock::forget_in_child();
        crate::write::close_in_child();
        GENERATION.fetch_add(1, Ordering::Relaxed);
    }
    if ONCE.is_completed() {
        return;
    }
    ONCE.call_once(|| {
        // SAFETY: the handlers are plain functions that live for ever. In the child they only write atomics, which
        // is safe there.
        unsafe { libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child)) };
    });
}
