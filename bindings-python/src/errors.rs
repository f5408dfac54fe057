//! Errors of the core as Python exceptions, and the table of the exceptions that fetches raised.
//!
//! The classes are written in Python (`_errors.py`), one for each kind. Waiters of a failed fetch get the very
//! exception of its leader: the core carries a number, the object stays here until no answer can name it any
//! more. An answer that is being looked at still holds its `Error`, and with it the number, so nothing is
//! removed too early.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::PyBaseException;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyTraceback, PyTuple, PyType};
use scrubjay_core::{Error, ErrorKind, host};

/// Tells Python the kinds: name, number, and whether a later try may succeed.
pub(crate) fn add_kinds(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let kinds = ErrorKind::ALL.map(|kind| (kind.name(), kind.code(), kind.retryable()));
    module.add("KINDS", PyTuple::new(module.py(), kinds)?)
}

/// An exception of `kind`.
pub(crate) fn error(py: Python<'_>, kind: ErrorKind, operation: &str, message: &str) -> PyErr {
    match build(py, kind, operation, message) {
        Ok(exception) => PyErr::from_value(exception),
        Err(error) => error,
    }
}

/// An error of the core as an exception that can be raised.
pub(crate) fn raised(py: Python<'_>, error: &Error) -> PyErr {
    match Raise::new(py, error).and_then(|raise| raise.ready(py)) {
        Ok(exception) => PyErr::from_value(exception),
        Err(error) => error,
    }
}

/// An error of the core, named after another operation than the one in which the core found it.
pub(crate) fn raised_as(py: Python<'_>, operation: &str, found: &Error) -> PyErr {
    error(py, found.kind(), operation, &found.message())
}

/// An exception, and the traceback to raise it with: a thousand waiters raise the one exception of their leader,
/// and each raise adds frames to its traceback. So each begins with the traceback of the leader.
struct Raise {
    exception: Py<PyAny>,
    traceback: Option<Py<PyTraceback>>,
}

impl Raise {
    /// The exception of the fetch, where there is one.
    fn new(py: Python<'_>, error: &Error) -> PyResult<Self> {
        match kept(py, error.host_ref()) {
            Some(kept) => Ok(kept),
            None => {
                let exception = build(py, error.kind(), error.operation(), &error.message())?;
                Ok(Raise { exception: exception.unbind(), traceback: None })
            }
        }
    }

    fn ready<'py>(self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let exception = self.exception.into_bound(py);
        exception.setattr("__traceback__", self.traceback)?;
        Ok(exception)
    }

    fn clone_ref(&self, py: Python<'_>) -> Self {
        let traceback = self.traceback.as_ref().map(|traceback| traceback.clone_ref(py));
        Raise { exception: self.exception.clone_ref(py), traceback }
    }
}

/// What a call failed with, for one caller in Python to raise.
///
/// The exception is taken out of it: whoever raises it has the future, and so this object, in a frame of the
/// traceback, and an exception that could be reached from its own traceback would not go before a collection.
#[pyclass(frozen, module = "scrubjay._scrubjay")]
pub(crate) struct Failure(Mutex<Option<Raise>>);

impl Failure {
    /// The failure of `error`.
    pub(crate) fn new(py: Python<'_>, error: &Error) -> PyResult<Self> {
        Ok(Failure(Mutex::new(Some(Raise::new(py, error)?))))
    }
}

#[pymethods]
impl Failure {
    /// The exception, ready to be raised. The second time there is none.
    fn take<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let taken = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        taken.map(|raise| raise.ready(py)).transpose()
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // Locked for a few instructions only, with the GIL: the collector finds it free.
        if let Ok(guard) = self.0.try_lock()
            && let Some(raise) = guard.as_ref()
        {
            visit.call(&raise.exception)?;
            visit.call(&raise.traceback)?;
        }
        Ok(())
    }

    fn __clear__(&self) {
        let taken = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(taken);
    }
}

fn build<'py>(py: Python<'py>, kind: ErrorKind, operation: &str, message: &str) -> PyResult<Bound<'py, PyAny>> {
    static MAKE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let make =
        MAKE.get_or_try_init(py, || py.import("scrubjay._errors")?.getattr("of_kind").map(Bound::unbind))?;
    make.bind(py).call1((kind.name(), operation, message))
}

/// The name of the type of `object`, for messages.
pub(crate) fn type_name(object: &Bound<'_, PyAny>) -> String {
    let class: Bound<'_, PyType> = object.get_type();
    class.name().map_or_else(|_| "an object".to_owned(), |name| name.to_string())
}

#[derive(Default)]
struct Table {
    last: u64,
    kept: HashMap<u64, Raise>,
}

static TABLE: Mutex<Option<Table>> = Mutex::new(None);

/// Locked for a few instructions, only with the GIL, and never while Python code can run.
fn table() -> MutexGuard<'static, Option<Table>> {
    TABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps the exception of a fetch and returns its number.
pub(crate) fn keep(exception: &Bound<'_, PyBaseException>) -> PyResult<u64> {
    let traceback = exception.getattr("__traceback__")?.cast_into::<PyTraceback>().ok().map(Bound::unbind);
    let raise = Raise { exception: exception.clone().into_any().unbind(), traceback };
    let mut guard = table();
    let table = guard.get_or_insert_default();
    table.last += 1;
    let number = table.last;
    table.kept.insert(number, raise);
    Ok(number)
}

fn kept(py: Python<'_>, number: u64) -> Option<Raise> {
    if number == 0 {
        return None;
    }
    table().as_ref()?.kept.get(&number).map(|raise| raise.clone_ref(py))
}

/// Lets go of the exceptions that no answer can name any more. Called after every answer that could name one
/// was looked at, so nothing of a fetch stays alive for long.
pub(crate) fn sweep() {
    let mut released = Vec::new();
    host::take_released_errors(&mut released);
    if released.is_empty() {
        return;
    }
    // Dropped after the lock: an exception that goes may run code of the user.
    let gone: Vec<Option<Raise>> = match table().as_mut() {
        Some(table) => released.iter().map(|number| table.kept.remove(number)).collect(),
        None => Vec::new(),
    };
    drop(gone);
}
