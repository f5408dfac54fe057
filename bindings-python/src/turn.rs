//! The caller's turn: it is to run its fetch, and to say what came of it.

use std::sync::{Mutex, PoisonError};

use pyo3::exceptions::PyBaseException;
use pyo3::prelude::*;
use pyo3::types::PyString;
use scrubjay_core::host::{self, FetchFailure, Lease};
use scrubjay_core::{Error, ErrorKind};

use crate::answer::miss;
use crate::held::Fetching;
use crate::{args, decode, encode, errors};

/// The caller is to run its fetch, or the write of its update or of a full write-behind. What becomes of it is said by `fulfil`, `fail` or `abandon`; a turn that is
/// dropped, because its task or thread has ended, is abandoned.
#[pyclass(frozen, module = "scrubjay._scrubjay")]
pub(crate) struct Turn {
    cache: host::Cache,
    /// The number of the lease, 0 for a fetch that nobody shares and that nothing stores.
    number: u64,
    lease: Mutex<Option<(Lease, Fetching)>>,
    /// A lease is of this process: in a forked child it is not touched.
    generation: u32,
    /// The value to go on with while it is refreshed.
    value: Option<Py<PyAny>>,
}

impl Turn {
    fn object<'py>(
        py: Python<'py>,
        cache: &host::Cache,
        lease: Option<Lease>,
        value: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let turn = Turn {
            cache: cache.clone(),
            number: lease.as_ref().map_or(0, Lease::id),
            lease: Mutex::new(lease.map(|lease| (lease, Fetching::new()))),
            generation: host::fork_generation(),
            value,
        };
        Ok(Bound::new(py, turn)?.into_any())
    }

    /// The fetch is shared and stored.
    pub(crate) fn lead<'py>(py: Python<'py>, cache: &host::Cache, lease: Lease) -> PyResult<Bound<'py, PyAny>> {
        Self::object(py, cache, Some(lease), None)
    }

    /// The fetch is to refresh `value` ahead of its end.
    pub(crate) fn refresh<'py>(
        py: Python<'py>,
        cache: &host::Cache,
        lease: Lease,
        value: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Self::object(py, cache, Some(lease), Some(value.unbind()))
    }

    /// The fetch is the caller's own affair.
    pub(crate) fn bypass<'py>(py: Python<'py>, cache: &host::Cache) -> PyResult<Bound<'py, PyAny>> {
        Self::object(py, cache, None, None)
    }

    /// The number of the lease, 0 for a fetch that is not shared.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn take(&self) -> Option<Lease> {
        let held = self.lease.lock().unwrap_or_else(PoisonError::into_inner).take();
        held.map(|(lease, _)| lease)
    }

    /// Tells that the fetch failed. A value past its ttl that is to be served instead is returned.
    fn report<'py>(&self, py: Python<'py>, failure: FetchFailure) -> PyResult<Bound<'py, PyAny>> {
        let Some(lease) = self.take() else { return Ok(miss(py)) };
        let stale = self.cache.fail(lease.into_id(), failure);
        errors::sweep();
        // A lease that has ended has told its waiters already.
        let stale = stale.ok().flatten().and_then(|payload| decode::value(py, &payload));
        Ok(stale.unwrap_or_else(|| miss(py)))
    }
}

#[pymethods]
impl Turn {
    /// The number of the lease, 0 for a fetch that is not shared.
    #[getter]
    fn lease(&self) -> u64 {
        self.number
    }

    /// True where there is a value to go on with, and the fetch is to refresh it.
    #[getter]
    fn refreshes(&self) -> bool {
        self.value.is_some()
    }

    /// The value to go on with, None where there is none.
    #[getter]
    fn value(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.value.as_ref().map(|value| value.clone_ref(py))
    }

    /// The fetch brought `value`. Returns what the caller is to be given: that very object, or a stored value
    /// where this one cannot be encoded and a value past its ttl may be served. A ttl stands for that of the call; tags are
    /// added to its own.
    #[pyo3(signature = (value, ttl=None, tags=None))]
    fn fulfil<'py>(
        &self,
        py: Python<'py>,
        value: Bound<'py, PyAny>,
        ttl: Option<&Bound<'py, PyAny>>,
        tags: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if self.number == 0 {
            return Ok(value);
        }
        let put = match args::put("get_or_fetch", ttl, None, tags) {
            Ok(put) => put,
            Err(refused) => {
                let message = refused.value(py).getattr("message")?.extract()?;
                let error_ref = errors::keep(refused.value(py))?;
                let stale = self.report(py, FetchFailure { kind: ErrorKind::FetchFailed, message, error_ref })?;
                return if stale.is(miss(py)) { Err(refused) } else { Ok(stale) };
            }
        };
        let encoded = match encode::value("get_or_fetch", &value) {
            Ok(encoded) => encoded,
            Err(refused) => {
                let message = refused.value(py).getattr("message")?.extract()?;
                let failure = FetchFailure { kind: ErrorKind::InvalidValue, message, error_ref: 0 };
                let stale = self.report(py, failure)?;
                return if stale.is(miss(py)) { Err(refused) } else { Ok(stale) };
            }
        };
        let Some(lease) = self.take() else { return Ok(value) };
        match self.cache.fulfil(lease.into_id(), encoded, &put) {
            Ok(_) => Ok(value),
            // The caller has its value all the same; that it was not stored is of no matter to it.
            Err(error) if is_too_late(&error) => Ok(value),
            Err(error) => Err(errors::raised(py, &error)),
        }
    }

    /// The fetch raised `exception`. Returns the value past its ttl to be served instead, or `MISS`.
    fn fail<'py>(
        &self,
        py: Python<'py>,
        exception: &Bound<'py, PyBaseException>,
        message: &Bound<'py, PyString>,
        not_found: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        if self.number == 0 {
            return Ok(miss(py));
        }
        let kind = if not_found { ErrorKind::NotFound } else { ErrorKind::FetchFailed };
        let error_ref = if not_found { 0 } else { errors::keep(exception)? };
        let message = message.to_string_lossy().into_owned();
        self.report(py, FetchFailure { kind, message, error_ref })
    }

    /// The fetch was given up: the next caller leads. Does nothing after another answer.
    fn abandon(&self) {
        // Dropping a lease abandons it.
        drop(self.take());
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.generation != host::fork_generation() {
            std::mem::forget(self.lease.get_mut().unwrap_or_else(PoisonError::into_inner).take());
        }
    }
}

fn is_too_late(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::LeaseExpired | ErrorKind::Closed)
}
