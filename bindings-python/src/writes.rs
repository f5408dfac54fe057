//! Writes of a write-behind as Python objects: tuples, in the order of the fields of the core.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use scrubjay_core::host::{DrainReport, Writes};

/// `(number, process, sequence, key, kind, codec, value, attempt, enqueued_ms, error)` of each: `key` and `value` as bytes,
/// `kind` 1 to 3 (set, delete, delta), `codec` 0 (raw) or 1 (JSON).
pub(crate) fn list(py: Python<'_>, writes: Writes) -> PyResult<Bound<'_, PyAny>> {
    let tuples: PyResult<Vec<_>> = writes
        .into_items()
        .into_iter()
        .map(|write| {
            let identity = (write.number, write.process, write.sequence);
            let (key, value) = (PyBytes::new(py, &write.key), PyBytes::new(py, &write.value.bytes));
            let (kind, codec) = (write.kind as u8, write.value.codec as u8);
            let (number, process, sequence) = identity;
            let fields = (
                number,
                process,
                sequence,
                key,
                kind,
                codec,
                value,
                write.attempt,
                write.enqueued_ms,
                write.error,
            );
            fields.into_pyobject(py)
        })
        .collect();
    Ok(PyList::new(py, tuples?)?.into_any())
}

/// `(written, left, dead)`
pub(crate) fn report(py: Python<'_>, report: DrainReport) -> PyResult<Bound<'_, PyAny>> {
    Ok((report.written, report.left, report.dead).into_pyobject(py)?.into_any())
}
