//! A write-behind of Python: the calls of its writers and of its workers. What runs writers is in `_write_behind.py`.

use std::sync::Arc;
use std::time::Duration;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use scrubjay_core::ErrorKind;
use scrubjay_core::Result;
use scrubjay_core::host::{self, BatchOptions, Queue, Step};

use crate::cache::Cache;
use crate::errors::{error, raised, type_name};
use crate::turn::Turn;
use crate::writes::Write;
use crate::{aio, answer, args, blocking, encode};

const OPERATION: &str = "write_behind";
const NEXT_BATCH: &str = "next_batch";

/// An argument that may be left out.
type Optional<'a, 'py> = Option<&'a Bound<'py, PyAny>>;

/// What a batch may be: `max_items`, `max_bytes`, `linger` and `wait`, each None where it is not said.
type How<'py> =
    (Option<Bound<'py, PyAny>>, Option<Bound<'py, PyAny>>, Option<Bound<'py, PyAny>>, Option<Bound<'py, PyAny>>);

/// What a `WriteBehind` holds. Methods block the calling thread, with the GIL let go; those that begin with `a` answer at once, if need be with a `Pending`.
#[pyclass(frozen, module = "scrubjay._scrubjay")]
pub(crate) struct Behind {
    cache: host::Cache,
    core: host::WriteBehind,
}

impl Behind {
    fn block<'py>(
        &self,
        py: Python<'py>,
        start: impl FnOnce(&host::WriteBehind, &Arc<Queue>, u64) -> Result<Step>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let answer = blocking::call(py, |queue, token| start(&self.core, queue, token))?;
        answer::object_or_raise(py, &self.cache, answer)
    }

    fn begin<'py>(
        &self,
        py: Python<'py>,
        start: impl FnOnce(&host::WriteBehind, &Arc<Queue>, u64) -> Result<Step>,
    ) -> PyResult<Bound<'py, PyAny>> {
        aio::call(py, &self.cache, 0, |_, queue, token| start(&self.core, queue, token))
    }
}

#[pymethods]
impl Behind {
    #[new]
    fn new(py: Python<'_>, cache: &Cache, options: &Bound<'_, PyDict>) -> PyResult<Self> {
        let cache = cache.core(py, OPERATION)?.clone();
        let options = args::options_of(OPERATION, options)?;
        let core = host::WriteBehind::open(&cache, &options).map_err(|error| raised(py, &error))?;
        Ok(Behind { cache, core })
    }

    /// How long a flush or a close waits where its caller does not say, in seconds.
    #[classattr]
    #[pyo3(name = "DRAIN")]
    fn drain_seconds() -> f64 {
        host::WriteBehind::DRAIN.as_secs_f64()
    }

    fn __reduce__(&self) -> PyResult<()> {
        let message = "a write-behind cannot be pickled or copied; open another one with the same options";
        Err(PyTypeError::new_err(message))
    }

    /// A receipt, or the turn of the caller to make the write.
    #[pyo3(signature = (key, value, ttl=None, codec=None, tags=None))]
    fn set<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        value: &Bound<'py, PyAny>,
        ttl: Optional<'_, 'py>,
        codec: Optional<'_, 'py>,
        tags: Optional<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (key, put) = (args::key(OPERATION, key)?, args::put(OPERATION, ttl, codec, tags)?);
        let value = encode::value(OPERATION, value)?;
        self.block(py, |core, queue, token| core.set(key, &value, &put, queue, token))
    }

    #[pyo3(signature = (key, value, ttl=None, codec=None, tags=None))]
    fn aset<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        value: &Bound<'py, PyAny>,
        ttl: Optional<'_, 'py>,
        codec: Optional<'_, 'py>,
        tags: Optional<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (key, put) = (args::key(OPERATION, key)?, args::put(OPERATION, ttl, codec, tags)?);
        let value = encode::value(OPERATION, value)?;
        self.begin(py, |core, queue, token| core.set(key, &value, &put, queue, token))
    }

    fn delete<'py>(&self, py: Python<'py>, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let key = args::key(OPERATION, key)?;
        self.block(py, |core, queue, token| core.delete(key, queue, token))
    }

    fn adelete<'py>(&self, py: Python<'py>, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let key = args::key(OPERATION, key)?;
        self.begin(py, |core, queue, token| core.delete(key, queue, token))
    }

    fn delta<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        change: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (key, change) = (args::key(OPERATION, key)?, encode::value(OPERATION, change)?);
        self.block(py, |core, queue, token| core.delta(key, &change, queue, token))
    }

    fn adelta<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        change: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (key, change) = (args::key(OPERATION, key)?, encode::value(OPERATION, change)?);
        self.begin(py, |core, queue, token| core.delta(key, &change, queue, token))
    }

    /// The write of a turn; None where its time is over.
    fn write_of<'py>(&self, py: Python<'py>, turn: &Turn) -> PyResult<Option<Bound<'py, Write>>> {
        self.core.turn(turn.number()).map(|write| Write::object(py, write)).transpose()
    }

    /// The source has the write of a turn.
    fn written(&self, turn: &Turn) {
        if let Some(lease) = turn.take() {
            self.core.ack(&[lease.into_id()]);
        }
    }

    /// A batch, or `MISS`.
    fn next_batch<'py>(&self, py: Python<'py>, how: How<'py>) -> PyResult<Bound<'py, PyAny>> {
        let options = batch(py, &how)?;
        self.block(py, |core, queue, token| core.next_batch(options, queue, token))
    }

    fn anext_batch<'py>(&self, py: Python<'py>, how: How<'py>) -> PyResult<Bound<'py, PyAny>> {
        let options = batch(py, &how)?;
        self.begin(py, |core, queue, token| core.next_batch(options, queue, token))
    }

    /// The source has the writes of these numbers.
    fn ack(&self, numbers: Vec<u64>) -> u64 {
        self.core.ack(&numbers)
    }

    /// These writes failed, by one error.
    fn nack(&self, numbers: Vec<u64>, error: &Bound<'_, PyString>, permanent: bool) -> u64 {
        self.core.nack(&numbers, &error.to_string_lossy(), permanent)
    }

    /// These writes were not tried, or not to their end.
    fn give_back(&self, numbers: Vec<u64>) {
        self.core.give_back(&numbers);
    }

    fn dead_letters<'py>(&self, py: Python<'py>, after: u64, limit: usize) -> PyResult<Bound<'py, PyAny>> {
        self.block(py, |core, queue, token| core.dead_letters(after, limit, queue, token))
    }

    fn adead_letters<'py>(&self, py: Python<'py>, after: u64, limit: usize) -> PyResult<Bound<'py, PyAny>> {
        self.begin(py, |core, queue, token| core.dead_letters(after, limit, queue, token))
    }

    fn replay<'py>(&self, py: Python<'py>, numbers: Vec<u64>) -> PyResult<Bound<'py, PyAny>> {
        self.block(py, |core, queue, token| core.replay(&numbers, queue, token))
    }

    fn areplay<'py>(&self, py: Python<'py>, numbers: Vec<u64>) -> PyResult<Bound<'py, PyAny>> {
        self.begin(py, |core, queue, token| core.replay(&numbers, queue, token))
    }

    fn drop_letters<'py>(&self, py: Python<'py>, numbers: Vec<u64>) -> PyResult<Bound<'py, PyAny>> {
        self.block(py, |core, queue, token| core.drop_letters(&numbers, queue, token))
    }

    fn adrop_letters<'py>(&self, py: Python<'py>, numbers: Vec<u64>) -> PyResult<Bound<'py, PyAny>> {
        self.begin(py, |core, queue, token| core.drop_letters(&numbers, queue, token))
    }

    fn flush<'py>(&self, py: Python<'py>, timeout: Optional<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
        let time = drain(py, "flush", timeout)?;
        self.block(py, |core, queue, token| core.flush(time, queue, token))
    }

    fn aflush<'py>(&self, py: Python<'py>, timeout: Optional<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
        let time = drain(py, "flush", timeout)?;
        self.begin(py, |core, queue, token| core.flush(time, queue, token))
    }

    fn close<'py>(&self, py: Python<'py>, timeout: Optional<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
        let time = drain(py, "close", timeout)?;
        self.block(py, |core, queue, token| core.close(time, queue, token))
    }

    fn aclose<'py>(&self, py: Python<'py>, timeout: Optional<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
        let time = drain(py, "close", timeout)?;
        self.begin(py, |core, queue, token| core.close(time, queue, token))
    }

    /// The counters by name.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let counters = PyDict::new(py);
        for (name, value) in self.core.stats().counters() {
            counters.set_item(name, value)?;
        }
        Ok(counters)
    }
}

fn batch(py: Python<'_>, (max_items, max_bytes, linger, wait): &How<'_>) -> PyResult<BatchOptions> {
    let whole = |name: &str, object: &Option<Bound<'_, PyAny>>| match object {
        None => Ok(0),
        Some(object) => object.extract::<u64>().ok().filter(|number| *number > 0).ok_or_else(|| {
            let message = format!("{name} must be a whole number of 1 or more");
            error(py, ErrorKind::InvalidOption, NEXT_BATCH, &message)
        }),
    };
    Ok(BatchOptions {
        max_items: usize::try_from(whole("max_items", max_items)?).unwrap_or(usize::MAX),
        max_bytes: whole("max_bytes", max_bytes)?,
        linger: time(py, NEXT_BATCH, "linger", linger.as_ref())?.unwrap_or_default(),
        wait: time(py, NEXT_BATCH, "wait", wait.as_ref())?,
    })
}

fn drain(py: Python<'_>, operation: &str, timeout: Optional<'_, '_>) -> PyResult<Duration> {
    Ok(time(py, operation, "timeout", timeout)?.unwrap_or(host::WriteBehind::DRAIN))
}

/// A number of seconds, or a timedelta; none for None.
fn time(py: Python<'_>, operation: &str, name: &str, object: Optional<'_, '_>) -> PyResult<Option<Duration>> {
    let wrong = |found: String| {
        let message = format!("{name} must be a number of seconds of 0 or more, or a timedelta, is {found}");
        error(py, ErrorKind::InvalidOption, operation, &message)
    };
    let Some(object) = object else { return Ok(None) };
    let seconds = args::seconds(object)?.ok_or_else(|| wrong(type_name(object)))?;
    Duration::try_from_secs_f64(seconds).map(Some).map_err(|_| wrong(seconds.to_string()))
}
