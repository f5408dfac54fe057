//! Answers of the core as Python objects.
//!
//! A decoded value is never of one of our own classes: so a call of the native half answers either a value or
//! something else, and Python tells them apart by their type.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyList;
use scrubjay_core::host::{self, Answer, Lease, Payload};

use crate::decode;
use crate::errors;
use crate::receipt::Receipt;
use crate::turn::Turn;
use crate::writes;

/// What is no value: a miss, or stored bytes that do not decode.
#[pyclass(frozen, module = "scrubjay._scrubjay")]
pub(crate) struct Signal(&'static str);

#[pymethods]
impl Signal {
    fn __repr__(&self) -> &'static str {
        self.0
    }
}

static MISS: PyOnceLock<Py<Signal>> = PyOnceLock::new();
static UNDECODABLE: PyOnceLock<Py<Signal>> = PyOnceLock::new();

pub(crate) fn add_signals(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add("MISS", miss(py))?;
    module.add("UNDECODABLE", undecodable(py))
}

fn signal<'py>(py: Python<'py>, cell: &'static PyOnceLock<Py<Signal>>, name: &'static str) -> Bound<'py, PyAny> {
    let signal = cell.get_or_try_init(py, || Py::new(py, Signal(name)));
    signal.expect("an object of a few bytes can be made").bind(py).clone().into_any()
}

/// Nothing is stored under the key.
pub(crate) fn miss(py: Python<'_>) -> Bound<'_, PyAny> {
    signal(py, &MISS, "MISS")
}

/// What is stored under the key does not decode.
pub(crate) fn undecodable(py: Python<'_>) -> Bound<'_, PyAny> {
    signal(py, &UNDECODABLE, "UNDECODABLE")
}

/// Whether an object is no value.
pub(crate) fn is_signal(object: &Bound<'_, PyAny>) -> bool {
    object.is_instance_of::<Signal>()
}

/// An answer as an object: a value, a [`Turn`], a [`Receipt`], a [`Signal`], a batch of writes, a list of such, or
/// a [`Failure`](errors::Failure).
pub(crate) fn object<'py>(py: Python<'py>, cache: &host::Cache, answer: Answer) -> PyResult<Bound<'py, PyAny>> {
    match answer {
        Answer::Hit { value, lease, .. } | Answer::Stale { value, lease } => hit(py, cache, &value, lease),
        Answer::Miss | Answer::Waiting => Ok(miss(py)),
        Answer::Lead(lease) => Turn::lead(py, cache, lease),
        Answer::Bypass => Turn::bypass(py, cache),
        Answer::Done(receipt) => Ok(Bound::new(py, Receipt::from(receipt))?.into_any()),
        Answer::Many(answers) => {
            let objects: PyResult<Vec<_>> = answers.into_iter().map(|answer| object(py, cache, answer)).collect();
            Ok(PyList::new(py, objects?)?.into_any())
        }
        Answer::Writes(writes) => writes::Handed::object(py, writes),
        Answer::Count(count) => Ok(count.into_pyobject(py)?.into_any()),
        Answer::Drained(report) => writes::report(py, report),
        Answer::Failed(error) => {
            let failure = Bound::new(py, errors::Failure::new(py, &error)?)?;
            drop(error);
            errors::sweep();
            Ok(failure.into_any())
        }
    }
}

/// An answer as an object, and a failure raised.
pub(crate) fn object_or_raise<'py>(
    py: Python<'py>,
    cache: &host::Cache,
    answer: Answer,
) -> PyResult<Bound<'py, PyAny>> {
    match answer {
        Answer::Failed(error) => {
            let exception = errors::raised(py, &error);
            drop(error);
            errors::sweep();
            Err(exception)
        }
        answer => object(py, cache, answer),
    }
}

fn hit<'py>(
    py: Python<'py>,
    cache: &host::Cache,
    payload: &Payload,
    lease: Option<Lease>,
) -> PyResult<Bound<'py, PyAny>> {
    match (decode::value(py, payload), lease) {
        (Some(value), None) => Ok(value),
        (Some(value), Some(lease)) => Turn::refresh(py, cache, lease, value),
        // A lease to refresh it goes back: the call begins again, past what is stored.
        (None, _) => Ok(undecodable(py)),
    }
}
