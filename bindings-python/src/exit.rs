//! The interpreter: which one it may be, and its end.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use pyo3::exceptions::PyImportError;
use pyo3::ffi;
use pyo3::prelude::*;
use scrubjay_core::host;

use crate::{blocking, sweep};

/// Longer than any exit takes.
const STAY: Duration = Duration::from_secs(5);

static OVER: AtomicBool = AtomicBool::new(false);

/// Ends all caches at the exit of the interpreter: waits at most `timeout` seconds for invalidations on their
/// way. Later calls answer `Closed`.
#[pyfunction]
pub(crate) fn shutdown(py: Python<'_>, timeout: f64) {
    OVER.store(true, Ordering::Release);
    let timeout = Duration::try_from_secs_f64(timeout).unwrap_or_default();
    py.detach(|| {
        wait_for_those_inside(timeout);
        sweep::end(timeout);
        host::shutdown(timeout);
    });
}

/// Objects of one interpreter must not be met by another, and what the core calls the process is shared by all.
pub(crate) fn refuse_subinterpreters(py: Python<'_>) -> PyResult<()> {
    // SAFETY: an interpreter runs, for `py` is attached to it. The first one of a process has the number 0.
    let number = unsafe { ffi::PyInterpreterState_GetID(ffi::PyInterpreterState_Get()) };
    if number == 0 {
        return Ok(());
    }
    let message = "scrubjay cannot be used in a subinterpreter of Python";
    Err(PyErr::from_type(py.get_type::<PyImportError>(), message))
}

/// Called without the GIL, before and after a wait. Daemon threads that use a cache when the interpreter begins
/// to exit stay where they are, rather than to be told at the last moment that all is closed. They stay for a
/// while only: something else that runs at exit may wait for them.
pub(crate) fn stay_if_over(main: bool) {
    if main || !is_over() {
        return;
    }
    let deadline = Instant::now() + STAY;
    while let Some(left) = deadline.checked_duration_since(Instant::now()) {
        std::thread::park_timeout(left);
    }
}

/// Threads inside of calls in which code of the user may run: comparisons, ends of objects.
static INSIDE: AtomicUsize = AtomicUsize::new(0);

/// A thread is inside of such a call.
///
/// When the interpreter exits, CPython before 3.14 ends daemon threads wherever they next want the GIL; were that
/// above a frame of ours, the process would abort. So `shutdown` waits for those that are inside, and later calls of
/// daemon threads stay where they are.
pub(crate) struct Inside(());

impl Inside {
    pub(crate) fn enter(py: Python<'_>) -> PyResult<Self> {
        if is_over() {
            let main = blocking::is_main(py)?;
            py.detach(|| stay_if_over(main));
        }
        INSIDE.fetch_add(1, Ordering::Relaxed);
        Ok(Inside(()))
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.fetch_sub(1, Ordering::Release);
    }
}

/// Waits until nobody is inside, at most so long. Called without the GIL.
fn wait_for_those_inside(timeout: Duration) {
    let deadline = Instant::now() + timeout;
    while INSIDE.load(Ordering::Acquire) > 0 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Whether the interpreter exits.
pub(crate) fn is_over() -> bool {
    OVER.load(Ordering::Acquire)
}
