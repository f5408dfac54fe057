//! How a thread waits: one queue for each, let go of the GIL only to sleep.
//!
//! The main thread wakes every 50 ms to look for signals, so that Ctrl-C ends a wait; others sleep through.
//! While a thread waits its queue is out of its place: a signal handler that calls a cache of its own waits on
//! another one, and can never take what the interrupted call waits for.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use scrubjay_core::Result;
use scrubjay_core::host::{self, Answer, Completion, Queue, Step};

use crate::errors;
use crate::exit;

/// How long the main thread sleeps between two looks for signals.
const SLICE: Duration = Duration::from_millis(50);

thread_local! {
    static QUEUE: Cell<Option<ThreadQueue>> = const { Cell::new(None) };
}

/// The queue of one thread, and what is known of the thread.
struct ThreadQueue {
    queue: Arc<Queue>,
    generation: u32,
    main: bool,
    token: u64,
}

impl ThreadQueue {
    /// The queue of this thread, made at its first call and after a fork.
    fn take(py: Python<'_>) -> PyResult<Self> {
        let kept = QUEUE.try_with(Cell::take).ok().flatten();
        let generation = host::fork_generation();
        match kept {
            Some(mut kept) if kept.generation == generation => {
                kept.token += 1;
                Ok(kept)
            }
            kept => {
                // What the parent of a fork left may hold locks of threads that do not exist here.
                std::mem::forget(kept);
                Ok(ThreadQueue { queue: Queue::for_caller(), generation, main: is_main(py)?, token: 1 })
            }
        }
    }

    fn put_back(self) {
        // A thread that is ending has no place for it any more.
        let _ = QUEUE.try_with(|slot| slot.set(Some(self)));
    }
}

/// Whether this is the thread in which Python runs signal handlers.
pub(crate) fn is_main(py: Python<'_>) -> PyResult<bool> {
    static THREADING: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    let threading = THREADING.get_or_try_init(py, || py.import("threading").map(Bound::unbind))?.bind(py);
    let main = threading.call_method0("main_thread")?.getattr("ident")?;
    threading.call_method0("get_ident")?.eq(main)
}

/// Makes a call and waits for its answer.
///
/// # Errors
/// The error of the call, and what a signal handler raised: then nothing waits any more, and a lead that came
/// in between has gone on to the next caller.
pub(crate) fn call(py: Python<'_>, start: impl FnOnce(&Arc<Queue>, u64) -> Result<Step>) -> PyResult<Answer> {
    let own = ThreadQueue::take(py)?;
    if exit::is_over() {
        py.detach(|| exit::stay_if_over(own.main));
    }
    let answer = match start(&own.queue, own.token) {
        Ok(Step::Ready(answer)) => Ok(answer),
        Ok(Step::Pending) => wait(py, &own.queue, own.main).map(|completion| completion.answer),
        Err(error) => Err(errors::raised(py, &error)),
    };
    if own.queue.is_closed() {
        return answer;
    }
    own.put_back();
    answer
}

/// Waits for the next completion. When a signal handler raises, the queue is closed.
pub(crate) fn wait(py: Python<'_>, queue: &Arc<Queue>, main: bool) -> PyResult<Completion> {
    let slice = main.then_some(SLICE);
    let mut arrived = Vec::new();
    loop {
        py.detach(|| {
            queue.wait(1, slice, &mut arrived);
            exit::stay_if_over(main);
        });
        if let Some(completion) = arrived.pop() {
            return Ok(completion);
        }
        if let Err(raised) = py.check_signals() {
            queue.close();
            return Err(raised);
        }
    }
}
