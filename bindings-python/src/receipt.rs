//! What became of a write.

use pyo3::prelude::*;
use pyo3::types::PyString;
use scrubjay_core::host;

/// What became of a write.
#[pyclass(frozen, eq, module = "scrubjay")]
#[derive(PartialEq, Eq)]
pub(crate) struct Receipt(host::Receipt);

impl From<host::Receipt> for Receipt {
    fn from(receipt: host::Receipt) -> Self {
        Receipt(receipt)
    }
}

#[pymethods]
impl Receipt {
    /// True when the shared tier was not reached yet: the keys are invalidated there as soon as it is.
    #[getter]
    fn pending(&self) -> bool {
        self.0.pending
    }

    /// Where the write stands in the order of writes: 32 hexadecimal digits.
    #[getter]
    fn token<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        PyString::new(py, &self.0.token.to_string())
    }

    fn __hash__(&self, py: Python<'_>) -> PyResult<isize> {
        self.token(py).hash()
    }

    fn __repr__(&self) -> String {
        let pending = if self.0.pending { "True" } else { "False" };
        format!("Receipt(pending={pending}, token='{}')", self.0.token)
    }
}
