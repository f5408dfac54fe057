//! The two ends of a write to a source whose value goes into the cache. The write itself is run from Python: see
//! `_through.py`.

use std::sync::Arc;

use pyo3::prelude::*;
use scrubjay_core::Result;
use scrubjay_core::host::{self, PutOptions, Queue, Step, UpdateOptions, Value};

use crate::cache::Cache;
use crate::turn::Turn;
use crate::update::{How, number, options};
use crate::{args, encode, held};

const THROUGH: &str = "write_through";

/// What is stored, where it is no removal: the value alone.
type Stored<'py> = Option<(Bound<'py, PyAny>,)>;

struct Store<'a> {
    key: &'a [u8],
    value: Option<Value>,
    put: PutOptions,
    options: UpdateOptions,
    held: Vec<u64>,
}

impl<'a> Store<'a> {
    fn new(
        key: &'a Bound<'_, PyAny>,
        stored: &Stored<'_>,
        put: &args::How<'_>,
        how: &How<'_>,
    ) -> PyResult<Store<'a>> {
        let value = stored.as_ref().map(|(value,)| encode::value(THROUGH, value)).transpose()?;
        let put = args::put_as(THROUGH, put)?;
        let held = held::leases(key.py())?;
        Ok(Store { key: args::key(THROUGH, key)?, value, put, options: options(THROUGH, how)?, held })
    }

    fn begin(&self, core: &host::Cache, queue: &Arc<Queue>, token: u64) -> Result<Step> {
        let Store { key, value, put, options, held } = self;
        core.begin_store(key, value.as_ref(), put, options, held, queue, token)
    }
}

/// Begins a write of one key: the `Turn` of its caller to store, or to remove.
#[pyfunction]
pub(crate) fn begin_store<'py>(
    py: Python<'py>,
    cache: &Cache,
    key: &Bound<'py, PyAny>,
    stored: Stored<'py>,
    put: args::How<'py>,
    how: How<'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let store = Store::new(key, &stored, &put, &how)?;
    cache.write(py, THROUGH, |core, queue, token| store.begin(core, queue, token))
}

/// As `begin_store`, for tasks.
#[pyfunction]
pub(crate) fn abegin_store<'py>(
    py: Python<'py>,
    cache: &Cache,
    key: &Bound<'py, PyAny>,
    stored: Stored<'py>,
    put: args::How<'py>,
    how: How<'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let store = Store::new(key, &stored, &put, &how)?;
    cache.begin_write(py, THROUGH, |core, queue, token| store.begin(core, queue, token))
}

/// The source has the value: it goes into the cache. Its receipt.
#[pyfunction]
pub(crate) fn end_store<'py>(py: Python<'py>, cache: &Cache, turn: &Turn) -> PyResult<Bound<'py, PyAny>> {
    cache.write(py, THROUGH, |core, queue, token| core.end_store(number(turn), queue, token))
}

/// As `end_store`, for tasks.
#[pyfunction]
pub(crate) fn aend_store<'py>(py: Python<'py>, cache: &Cache, turn: &Turn) -> PyResult<Bound<'py, PyAny>> {
    cache.begin_write(py, THROUGH, |core, queue, token| core.end_store(number(turn), queue, token))
}
