//! What a fetch, or a write, may be.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyFunction;
use scrubjay_core::ErrorKind;

use crate::errors::{error, type_name};

/// Checks a fetch before anything runs. What hides that it is a coroutine function is found when it has run.
pub(crate) fn check_fetch(operation: &str, fetch: &Bound<'_, PyAny>, coroutines: bool) -> PyResult<()> {
    check_called(operation, "fetch", fetch, coroutines)
}

/// Checks a function that will be called, by the name of its argument.
pub(crate) fn check_called(
    operation: &str,
    name: &str,
    called: &Bound<'_, PyAny>,
    coroutines: bool,
) -> PyResult<()> {
    let py = called.py();
    if !called.is_callable() {
        let message = format!("{name} must be callable, is {}", type_name(called));
        return Err(error(py, ErrorKind::InvalidOption, operation, &message));
    }
    if coroutines || !called.is_instance_of::<PyFunction>() {
        return Ok(());
    }
    if is_plain_code(&called.getattr(intern!(py, "__code__"))?)? {
        return Ok(());
    }
    let message = format!("{name} must not be a coroutine function here: await a{operation} instead");
    Err(error(py, ErrorKind::InvalidOption, operation, &message))
}

/// Whether code is not that of a coroutine function.
pub(crate) fn is_plain_code(code: &Bound<'_, PyAny>) -> PyResult<bool> {
    const CO_COROUTINE: u32 = 0x80;
    let flags: u32 = code.getattr(intern!(code.py(), "co_flags"))?.extract()?;
    Ok(flags & CO_COROUTINE == 0)
}
