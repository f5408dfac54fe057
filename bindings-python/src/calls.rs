//! What the methods of the cache have in common: the cache that was opened, and calls that end with a receipt.

use std::sync::Arc;

use pyo3::prelude::*;
use scrubjay_core::host::{self, Queue, Step};
use scrubjay_core::{ErrorKind, Result};

use crate::cache::Cache;
use crate::errors::error;
use crate::memo::Opened;
use crate::{aio, answer, blocking};

impl Cache {
    pub(crate) fn opened(&self, py: Python<'_>, operation: &str) -> PyResult<&Opened> {
        self.opened.get().map(|opened| &**opened).ok_or_else(|| {
            let message = "the cache was not opened: a subclass must call super().__init__()";
            error(py, ErrorKind::Closed, operation, message)
        })
    }

    pub(crate) fn core(&self, py: Python<'_>, operation: &str) -> PyResult<&host::Cache> {
        self.opened(py, operation).map(|opened| &opened.core)
    }

    /// Blocks for a call whose answer is a receipt.
    pub(crate) fn write<'py>(
        &self,
        py: Python<'py>,
        operation: &str,
        start: impl FnOnce(&host::Cache, &Arc<Queue>, u64) -> Result<Step>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let core = self.core(py, operation)?;
        let answer = blocking::call(py, |queue, token| start(core, queue, token))?;
        answer::object_or_raise(py, core, answer)
    }

    /// Begins such a call for a task.
    pub(crate) fn begin_write<'py>(
        &self,
        py: Python<'py>,
        operation: &str,
        start: impl FnOnce(&host::Cache, &Arc<Queue>, u64) -> Result<Step>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let core = self.core(py, operation)?;
        aio::call(py, core, 0, |_, queue, token| start(core, queue, token))
    }
}
