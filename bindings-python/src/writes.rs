//! Writes of a write-behind as Python objects.

use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyList, PyString};
use scrubjay_core::ErrorKind;
use scrubjay_core::host::{self, DrainReport, WriteKind, Writes};

use crate::{decode, errors};

/// A write for the source, as its writer gets it.
#[pyclass(frozen, module = "scrubjay")]
pub(crate) struct Write {
    write: host::Write,
    value: PyOnceLock<Py<PyAny>>,
}

impl Write {
    /// A write as an object.
    pub(crate) fn object(py: Python<'_>, write: host::Write) -> PyResult<Bound<'_, Write>> {
        Bound::new(py, Write { write, value: PyOnceLock::new() })
    }
}

#[pymethods]
impl Write {
    /// The key as text. Bytes that are no UTF-8 are lone surrogates in it, as in names of files.
    #[getter]
    fn key<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match std::str::from_utf8(&self.write.key) {
            Ok(text) => Ok(PyString::new(py, text).into_any()),
            Err(_) => PyBytes::new(py, &self.write.key).call_method1("decode", ("utf-8", "surrogateescape")),
        }
    }

    /// The bytes of the key.
    #[getter]
    fn key_bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.write.key)
    }

    /// What is to be done: "set", "delete" or "delta".
    #[getter]
    fn kind(&self) -> &'static str {
        match self.write.kind {
            WriteKind::Set => "set",
            WriteKind::Delete => "delete",
            WriteKind::Delta => "delta",
        }
    }

    /// The value, or the change; None for a delete.
    #[getter]
    fn value<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        if self.write.kind == WriteKind::Delete {
            return Ok(py.None().into_bound(py));
        }
        let decoded = self.value.get_or_try_init(py, || {
            decode::value(py, &self.write.value).map(Bound::unbind).ok_or_else(|| {
                let message = "the value of the write does not decode";
                errors::error(py, ErrorKind::InvalidValue, "write_behind", message)
            })
        })?;
        Ok(decoded.bind(py).clone())
    }

    /// The identity of the write, `process-sequence`: who meets it twice has written it already.
    #[getter]
    fn id(&self) -> String {
        format!("{}-{}", self.write.process, self.write.sequence)
    }

    /// The first half of the identity: who wrote.
    #[getter]
    fn process(&self) -> u64 {
        self.write.process
    }

    /// The second half. It grows with each write: a source that keeps it can refuse what is older.
    #[getter]
    fn sequence(&self) -> u64 {
        self.write.sequence
    }

    /// Its number in this process, for `dead_letters(after=…)`.
    #[getter]
    fn number(&self) -> u64 {
        self.write.number
    }

    /// How often it was handed out, this time included.
    #[getter]
    fn attempt(&self) -> u32 {
        self.write.attempt
    }

    /// When it was acknowledged, in milliseconds since 1970; where writes were merged, the first of them.
    #[getter]
    fn enqueued_ms(&self) -> u64 {
        self.write.enqueued_ms
    }

    /// Why it is a dead letter; empty otherwise.
    #[getter]
    fn error(&self) -> &str {
        &self.write.error
    }

    fn __repr__(&self) -> String {
        format!("<scrubjay.Write kind={:?} id={:?} attempt={}>", self.kind(), self.id(), self.write.attempt)
    }
}

/// A batch on its way to a worker. One that nobody takes, because its task or thread has ended, is due again.
#[pyclass(frozen, module = "scrubjay._scrubjay")]
pub(crate) struct Handed {
    writes: Mutex<Option<Writes>>,
    /// A batch is of this process: in a forked child it is not touched.
    generation: u32,
}

impl Handed {
    /// The batch as an object.
    pub(crate) fn object(py: Python<'_>, writes: Writes) -> PyResult<Bound<'_, PyAny>> {
        let handed = Handed { writes: Mutex::new(Some(writes)), generation: host::fork_generation() };
        Ok(Bound::new(py, handed)?.into_any())
    }

    fn taken(&self) -> Option<Writes> {
        self.writes.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[pymethods]
impl Handed {
    /// The writes: whoever takes them answers for them.
    fn take<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let writes = self.taken().map_or_else(Vec::new, Writes::into_items);
        let objects: PyResult<Vec<_>> = writes.into_iter().map(|write| Write::object(py, write)).collect();
        PyList::new(py, objects?)
    }

    /// Nobody will: they are due again.
    fn abandon(&self) {
        drop(self.taken());
    }
}

impl Drop for Handed {
    fn drop(&mut self) {
        if self.generation != host::fork_generation() {
            std::mem::forget(self.writes.get_mut().unwrap_or_else(PoisonError::into_inner).take());
        }
    }
}

/// `(written, left, dead)`
pub(crate) fn report(py: Python<'_>, report: DrainReport) -> PyResult<Bound<'_, PyAny>> {
    Ok((report.written, report.left, report.dead).into_pyobject(py)?.into_any())
}
