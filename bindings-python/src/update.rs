//! The two ends of an update, and what is known of a key. The write itself is run from Python: see `_update.py`.

use std::time::Duration;

use pyo3::prelude::*;
use scrubjay_core::ErrorKind;
use scrubjay_core::host::{Lease, UpdateOptions};

use crate::args;
use crate::cache::Cache;
use crate::errors::{error, type_name};
use crate::fetch::check_called;
use crate::turn::Turn;

const UPDATE: &str = "update";
const EXPLAIN: &str = "explain";

/// How an update goes: `intent_ttl`, `hold`, `strict` and `tags`.
pub(crate) type How<'py> = (Option<Bound<'py, PyAny>>, Option<Bound<'py, PyAny>>, bool, Option<Bound<'py, PyAny>>);

pub(crate) fn options(operation: &str, (intent_ttl, hold, strict, tags): &How<'_>) -> PyResult<UpdateOptions> {
    let mut options = UpdateOptions::new().strict(*strict);
    if let Some(tags) = tags {
        options = options.tags(args::tags(operation, tags)?);
    }
    if let Some(intent_ttl) = intent_ttl {
        options = options.intent_ttl(time(operation, "intent_ttl", intent_ttl)?);
    }
    if let Some(hold) = hold {
        options = options.hold(time(operation, "hold", hold)?);
    }
    Ok(options)
}

fn time(operation: &str, name: &str, object: &Bound<'_, PyAny>) -> PyResult<Duration> {
    let wrong = |found: String| {
        let message = format!("{name} must be a number of seconds of 0 or more, or a timedelta, is {found}");
        error(object.py(), ErrorKind::InvalidOption, operation, &message)
    };
    let seconds = args::seconds(object)?.ok_or_else(|| wrong(type_name(object)))?;
    Duration::try_from_secs_f64(seconds).map_err(|_| wrong(seconds.to_string()))
}

/// Begins an update: the `Turn` of its caller to write.
#[pyfunction]
pub(crate) fn begin_update<'py>(
    py: Python<'py>,
    cache: &Cache,
    keys: &Bound<'py, PyAny>,
    how: How<'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let (objects, options) = (args::key_objects(UPDATE, keys)?, options(UPDATE, &how)?);
    let keys = args::keys(UPDATE, &objects)?;
    cache.write(py, UPDATE, |core, queue, token| core.begin_update(&keys, &options, queue, token))
}

/// As `begin_update`, for tasks.
#[pyfunction]
pub(crate) fn abegin_update<'py>(
    py: Python<'py>,
    cache: &Cache,
    keys: &Bound<'py, PyAny>,
    how: How<'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let (objects, options) = (args::key_objects(UPDATE, keys)?, options(UPDATE, &how)?);
    let keys = args::keys(UPDATE, &objects)?;
    cache.begin_write(py, UPDATE, |core, queue, token| core.begin_update(&keys, &options, queue, token))
}

/// Ends an update: its receipt.
#[pyfunction]
pub(crate) fn end_update<'py>(py: Python<'py>, cache: &Cache, turn: &Turn) -> PyResult<Bound<'py, PyAny>> {
    cache.write(py, UPDATE, |core, queue, token| core.end_update(number(turn), queue, token))
}

/// As `end_update`, for tasks.
#[pyfunction]
pub(crate) fn aend_update<'py>(py: Python<'py>, cache: &Cache, turn: &Turn) -> PyResult<Bound<'py, PyAny>> {
    cache.begin_write(py, UPDATE, |core, queue, token| core.end_update(number(turn), queue, token))
}

/// The number of the update; one that nobody has where it has ended.
pub(crate) fn number(turn: &Turn) -> u64 {
    turn.take().map_or(0, Lease::into_id)
}

/// Checks a write before anything happens.
#[pyfunction]
pub(crate) fn check_write(write: &Bound<'_, PyAny>, coroutines: bool) -> PyResult<()> {
    check_called(UPDATE, "write", write, coroutines)
}

/// What is known of a key.
#[pyfunction]
pub(crate) fn explain<'py>(
    py: Python<'py>,
    cache: &Cache,
    key: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let key = args::key(EXPLAIN, key)?;
    cache.write(py, EXPLAIN, |core, queue, token| core.explain(key, queue, token))
}

/// As `explain`, for tasks.
#[pyfunction]
pub(crate) fn aexplain<'py>(
    py: Python<'py>,
    cache: &Cache,
    key: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let key = args::key(EXPLAIN, key)?;
    cache.begin_write(py, EXPLAIN, |core, queue, token| core.explain(key, queue, token))
}
