//! The leases that the caller holds: the fetches inside which a call is made.
//!
//! They travel in a `ContextVar` of Python, so that threads, tasks and copied contexts have them right. It is
//! read only while any fetch of this process runs: hits need not know.

use std::sync::atomic::{AtomicUsize, Ordering};

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

static FETCHES: AtomicUsize = AtomicUsize::new(0);

/// Counts one fetch for as long as it lives.
pub(crate) struct Fetching(());

impl Fetching {
    pub(crate) fn new() -> Self {
        FETCHES.fetch_add(1, Ordering::Relaxed);
        Fetching(())
    }
}

impl Drop for Fetching {
    fn drop(&mut self) {
        FETCHES.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The leases held in the current context.
pub(crate) fn leases(py: Python<'_>) -> PyResult<Vec<u64>> {
    static GET: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    if FETCHES.load(Ordering::Relaxed) == 0 {
        return Ok(Vec::new());
    }
    let get = GET
        .get_or_try_init(py, || py.import("scrubjay._load")?.getattr("HELD")?.getattr("get").map(Bound::unbind))?;
    get.bind(py).call0()?.extract()
}
