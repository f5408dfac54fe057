//! The cache object: the calls of threads, and the beginnings of those of tasks.

use std::sync::{Arc, OnceLock};

use pyo3::exceptions::PyTypeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use scrubjay_core::ErrorKind;
use scrubjay_core::host::{self, Answer, FetchOptions, Step};

use crate::answer::{self, miss, undecodable};
use crate::args::{self, How};
use crate::batch::{self, Batch};
use crate::errors::{error, raised};
use crate::fetch::check_fetch;
use crate::memo::{self, Opened};
use crate::stats::Stats;
use crate::turn::Turn;
use crate::{aio, blocking, decode, encode, held, weight};

/// What `get_or_fetch` calls its failures.
const FETCH: &str = "get_or_fetch";
const FETCH_MANY: &str = "get_or_fetch_many";
const INVALIDATE: &str = "invalidate_tags";

/// The native half of `CacheService`. Methods without an underscore block the calling thread, with the GIL let
/// go, until the answer is there; those that begin with `_a` answer at once, if need be with a `Pending`.
#[pyclass(subclass, frozen, module = "scrubjay._scrubjay")]
pub(crate) struct Cache {
    pub(crate) opened: OnceLock<Arc<Opened>>,
}

/// An argument that may be left out.
type Optional<'a, 'py> = Option<&'a Bound<'py, PyAny>>;

/// What is known at once of a call on many keys, what is still to come, and what of that came early.
type BegunMany<'py> = (Bound<'py, PyAny>, Bound<'py, Batch>, Vec<(u64, Bound<'py, PyAny>)>);

#[pymethods]
impl Cache {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Cache { opened: OnceLock::new() }
    }

    fn __reduce__(&self) -> PyResult<()> {
        let message = "a cache cannot be pickled or copied; open another one with the same options";
        Err(PyTypeError::new_err(message))
    }

    fn _open(&self, py: Python<'_>, options: &Bound<'_, PyDict>) -> PyResult<()> {
        let core = host::Cache::open(&args::options(options)?).map_err(|error| raised(py, &error))?;
        self.opened
            .set(Opened::new(core))
            .map_err(|_| error(py, ErrorKind::InvalidOption, "open", "the cache is open already"))
    }

    /// The value stored under a key, or `default`.
    #[pyo3(signature = (key, default=None))]
    fn get<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let opened = self.opened(py, "get")?;
        let bytes = args::key("get", key)?;
        if let Some(value) = opened.copy_of(key) {
            return Ok(value);
        }
        let answer = blocking::call(py, |queue, token| opened.core.get(bytes, queue, token))?;
        let found = match answer {
            Answer::Hit { value, copy, .. } => {
                let copy = copy.filter(|_| weight::is_light(&value));
                let value = decode::value(py, &value);
                match (&value, copy) {
                    (Some(value), Some(copy)) => opened.keep(key, copy, value),
                    (None, _) => opened.core.note_undecodable(bytes),
                    _ => {}
                }
                value
            }
            Answer::Failed(error) => return Err(raised(py, &error)),
            _ => None,
        };
        Ok(found.or(default).unwrap_or_else(|| py.None().into_bound(py)))
    }

    #[pyo3(signature = (key, default=None))]
    fn _aget<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let opened = self.opened(py, "get")?;
        let core = &opened.core;
        let bytes = args::key("get", key)?;
        if let Some(value) = opened.copy_of(key) {
            return Ok(value);
        }
        let mut copy = None;
        let answer = aio::call(py, core, 0, |_, queue, token| {
            let step = core.get(bytes, queue, token)?;
            copy = memo::granted(&step);
            Ok(step)
        })?;
        if answer.is(undecodable(py)) {
            core.note_undecodable(bytes);
        } else if !answer.is(miss(py)) {
            if let Some(copy) = copy {
                opened.keep(key, copy, &answer);
            }
            return Ok(answer);
        }
        Ok(default.unwrap_or_else(|| py.None().into_bound(py)))
    }

    /// Stores a value.
    #[pyo3(signature = (key, value, ttl=None, *, codec=None, tags=None))]
    fn set<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        value: &Bound<'py, PyAny>,
        ttl: Optional<'_, 'py>,
        codec: Optional<'_, 'py>,
        tags: Optional<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (key, put) = (args::key("set", key)?, args::put("set", ttl, codec, tags)?);
        let value = encode::value("set", value)?;
        self.write(py, "set", |core, queue, token| core.set(key, value, &put, queue, token))
    }

    #[pyo3(signature = (key, value, ttl=None, *, codec=None, tags=None))]
    fn _aset<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        value: &Bound<'py, PyAny>,
        ttl: Optional<'_, 'py>,
        codec: Optional<'_, 'py>,
        tags: Optional<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (key, put) = (args::key("set", key)?, args::put("set", ttl, codec, tags)?);
        let value = encode::value("set", value)?;
        self.begin_write(py, "set", |core, queue, token| core.set(key, value, &put, queue, token))
    }

    /// Deletes a key.
    fn delete<'py>(&self, py: Python<'py>, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let key = args::key("delete", key)?;
        self.write(py, "delete", |core, queue, token| core.delete(key, queue, token))
    }

    fn _adelete<'py>(&self, py: Python<'py>, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let key = args::key("delete", key)?;
        self.begin_write(py, "delete", |core, queue, token| core.delete(key, queue, token))
    }

    /// The values of those keys that are stored.
    fn get_many<'py>(&self, py: Python<'py>, keys: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
        let opened = self.opened(py, "get_many")?;
        let core = &opened.core;
        let objects = args::key_objects("get_many", keys)?;
        let held: Vec<_> = objects.iter().map(|key| opened.copy_of(key)).collect();
        let missing: Vec<_> = objects.iter().zip(&held).filter(|(_, held)| held.is_none()).collect();
        let missing =
            missing.into_iter().map(|(key, _)| args::key("get_many", key)).collect::<PyResult<Vec<_>>>()?;
        let mut answers = Vec::new();
        if !missing.is_empty() || objects.is_empty() {
            match blocking::call(py, |queue, token| core.get_many(&missing, queue, token))? {
                Answer::Many(many) => answers = many,
                Answer::Failed(error) => return Err(raised(py, &error)),
                _ => {}
            }
        }
        let mut answers = missing.into_iter().zip(answers);
        let found = PyDict::new(py);
        for (object, held) in objects.iter().zip(held) {
            if let Some(value) = held {
                found.set_item(object, value)?;
            } else if let Some((key, Answer::Hit { value, copy, .. })) = answers.next() {
                let copy = copy.filter(|_| weight::is_light(&value));
                let Some(value) = decode::value(py, &value) else {
                    core.note_undecodable(key);
                    continue;
                };
                if let Some(copy) = copy {
                    opened.keep(object, copy, &value);
                }
                found.set_item(object, value)?;
            }
        }
        Ok(found)
    }

    /// For each key its copy, or `MISS`. Checks the other arguments of a `get_or_fetch_many`.
    fn _held<'py>(
        &self,
        py: Python<'py>,
        keys: &Bound<'py, PyList>,
        how: How<'py>,
        fetch: Optional<'_, 'py>,
        coroutines: bool,
    ) -> PyResult<Bound<'py, PyList>> {
        if let Some(fetch) = fetch {
            args::put_as(FETCH_MANY, &how)?;
            check_fetch(FETCH_MANY, fetch, coroutines)?;
        }
        let opened = self.opened(py, FETCH_MANY)?;
        PyList::new(py, keys.iter().map(|key| opened.copy_of(&key).unwrap_or_else(|| miss(py))))
    }

    fn _aget_many<'py>(&self, py: Python<'py>, keys: &Bound<'py, PyList>) -> PyResult<Bound<'py, PyAny>> {
        let opened = self.opened(py, "get_many")?;
        let core = &opened.core;
        let objects = args::key_objects("get_many", keys)?;
        let keys = args::keys("get_many", &objects)?;
        let mut copies = Vec::new();
        let answers = aio::call(py, core, 0, |_, queue, token| {
            let step = core.get_many(&keys, queue, token)?;
            copies = memo::granted_many(&step);
            Ok(step)
        })?;
        opened.keep_many(&objects, &copies, &answers);
        Ok(answers)
    }

    /// Stores many values: all are checked before the first is stored.
    #[pyo3(signature = (entries, ttl=None, *, codec=None, tags=None))]
    fn set_many<'py>(
        &self,
        py: Python<'py>,
        entries: &Bound<'py, PyAny>,
        ttl: Optional<'_, 'py>,
        codec: Optional<'_, 'py>,
        tags: Optional<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let put = args::put("set_many", ttl, codec, tags)?;
        let entries = args::entries("set_many", entries)?;
        let pairs = args::pairs(&entries)?;
        self.write(py, "set_many", |core, queue, token| core.set_many(pairs, &put, queue, token))
    }

    #[pyo3(signature = (entries, ttl=None, *, codec=None, tags=None))]
    fn _aset_many<'py>(
        &self,
        py: Python<'py>,
        entries: &Bound<'py, PyAny>,
        ttl: Optional<'_, 'py>,
        codec: Optional<'_, 'py>,
        tags: Optional<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let put = args::put("set_many", ttl, codec, tags)?;
        let entries = args::entries("set_many", entries)?;
        let pairs = args::pairs(&entries)?;
        self.begin_write(py, "set_many", |core, queue, token| core.set_many(pairs, &put, queue, token))
    }

    /// Deletes many keys.
    fn delete_many<'py>(&self, py: Python<'py>, keys: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let objects = args::key_objects("delete_many", keys)?;
        let keys = args::keys("delete_many", &objects)?;
        self.write(py, "delete_many", |core, queue, token| core.delete_many(&keys, queue, token))
    }

    fn _adelete_many<'py>(&self, py: Python<'py>, keys: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let objects = args::key_objects("delete_many", keys)?;
        let keys = args::keys("delete_many", &objects)?;
        self.begin_write(py, "delete_many", |core, queue, token| core.delete_many(&keys, queue, token))
    }

    /// Invalidates every entry that has one of these tags.
    fn invalidate_tags<'py>(&self, py: Python<'py>, tags: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let tags = args::tags(INVALIDATE, tags)?;
        self.write(py, INVALIDATE, |core, queue, token| core.invalidate_tags(&tags, queue, token))
    }

    fn _ainvalidate_tags<'py>(&self, py: Python<'py>, tags: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let tags = args::tags(INVALIDATE, tags)?;
        self.begin_write(py, INVALIDATE, |core, queue, token| core.invalidate_tags(&tags, queue, token))
    }

    /// Empties the cache: every key of its prefix.
    fn clear<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.write(py, "clear", host::Cache::clear)
    }

    fn _aclear<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.begin_write(py, "clear", host::Cache::clear)
    }

    /// Closes the cache.
    fn close<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let receipt = self.write(py, "close", host::Cache::close);
        self.opened(py, "close")?.drop_copies(py);
        receipt
    }

    fn _aclose<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let receipt = self.begin_write(py, "close", host::Cache::close);
        self.opened(py, "close")?.drop_copies(py);
        receipt
    }

    /// The counters of the cache since it was opened.
    fn stats(&self, py: Python<'_>) -> PyResult<Stats> {
        let opened = self.opened(py, "stats")?;
        opened.note_hits(py);
        Ok(Stats(opened.core.stats()))
    }

    /// How old a hit may be at most, in seconds, by what is known now.
    fn effective_staleness_bound(&self, py: Python<'_>) -> PyResult<f64> {
        let bound = self.opened(py, "effective_staleness_bound")?.core.effective_staleness_bound();
        Ok(bound.map_or(f64::INFINITY, |bound| bound.as_secs_f64()))
    }

    /// Reads of these keys that begin later find the write of `token`, or a later one.
    fn observe<'py>(&self, py: Python<'py>, token: &Bound<'py, PyAny>, keys: &Bound<'py, PyAny>) -> PyResult<()> {
        let token = args::token("observe", token)?;
        let objects = args::one_or_more("observe", keys)?;
        let keys = args::keys("observe", &objects)?;
        self.opened(py, "observe")?.core.observe(&keys, token).map_err(|error| raised(py, &error))
    }

    /// A value, or the turn of the caller to run its fetch.
    fn _begin<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        how: How<'py>,
        fetch: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let opened = self.opened(py, FETCH)?;
        let core = &opened.core;
        let bytes = args::key(FETCH, key)?;
        let put = args::put_as(FETCH, &how)?;
        check_fetch(FETCH, fetch, false)?;
        if let Some(value) = opened.copy_of(key) {
            return Ok(value);
        }
        let held = held::leases(py)?;
        let owner = aio::owner_in_this_thread(py)?;
        let mut options = FetchOptions { put, held: &held, owner, blocking: owner != 0, bypass_cache: false };
        loop {
            let answer = blocking::call(py, |queue, token| {
                // Inside a fetch, a leader on this very thread may be that fetch. That is a recursion, which the
                // core tells only to callers that would wait; so we wait, and take it back at once.
                if owner != 0 && !held.is_empty() {
                    let waiting = FetchOptions { blocking: false, ..options.clone() };
                    let step = core.begin(bytes, &waiting, queue, token)?;
                    if matches!(step, Step::Ready(_)) || !queue.cancel(token) {
                        return Ok(step);
                    }
                }
                core.begin(bytes, &options, queue, token)
            })?;
            let copy = memo::granted_by(&answer);
            let object = answer::object_or_raise(py, core, answer)?;
            if !object.is(undecodable(py)) {
                if let Some(copy) = copy {
                    opened.keep(key, copy, &object);
                }
                return Ok(object);
            }
            core.note_undecodable(bytes);
            if std::mem::replace(&mut options.bypass_cache, true) {
                return Turn::bypass(py, core);
            }
        }
    }

    fn _abegin<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        how: How<'py>,
        fetch: &Bound<'py, PyAny>,
        bypass_cache: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let opened = self.opened(py, FETCH)?;
        let core = &opened.core;
        let bytes = args::key(FETCH, key)?;
        let put = args::put_as(FETCH, &how)?;
        check_fetch(FETCH, fetch, true)?;
        if !bypass_cache && let Some(value) = opened.copy_of(key) {
            return Ok(value);
        }
        let held = held::leases(py)?;
        let mut copy = None;
        let answer = aio::call(py, core, 0, |own, queue, token| {
            let options = FetchOptions { put, held: &held, owner: own.owner(), blocking: false, bypass_cache };
            let step = core.begin(bytes, &options, queue, token)?;
            copy = memo::granted(&step);
            Ok(step)
        })?;
        if let Some(copy) = copy
            && !answer.is(undecodable(py))
        {
            opened.keep(key, copy, &answer);
        }
        Ok(answer)
    }

    /// For each key a value, a turn or an exception, or `MISS` where another caller loads it: then the answer
    /// comes from the batch.
    fn _begin_many<'py>(
        &self,
        py: Python<'py>,
        keys: &Bound<'py, PyList>,
        how: How<'py>,
        fetch: &Bound<'py, PyAny>,
    ) -> PyResult<BegunMany<'py>> {
        let opened = self.opened(py, FETCH_MANY)?;
        let core = &opened.core;
        let objects = args::key_objects(FETCH_MANY, keys)?;
        let keys = args::keys(FETCH_MANY, &objects)?;
        let put = args::put_as(FETCH_MANY, &how)?;
        check_fetch(FETCH_MANY, fetch, false)?;
        let held = held::leases(py)?;
        let owner = aio::owner_in_this_thread(py)?;
        let options = FetchOptions { put, held: &held, owner, blocking: owner != 0, bypass_cache: false };
        let batch = Batch::new(py, core)?;
        let mut early = Vec::new();
        let step = core.begin_many(&keys, &options, batch.queue(), batch::TOKEN);
        let step = step.map_err(|error| raised(py, &error))?;
        let copies = memo::granted_many(&step);
        let answer = match step {
            Step::Ready(answer) => answer,
            Step::Pending => batch.first(py, &mut early)?,
        };
        let answers = answer::object_or_raise(py, core, answer)?;
        opened.keep_many(&objects, &copies, &answers);
        let early = early.into_iter().map(|(index, answer)| Ok((index, answer::object(py, core, answer)?)));
        let early = early.collect::<PyResult<Vec<_>>>()?;
        Ok((answers, Bound::new(py, batch)?, early))
    }

    fn _abegin_many<'py>(
        &self,
        py: Python<'py>,
        keys: &Bound<'py, PyList>,
        how: How<'py>,
        fetch: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let opened = self.opened(py, FETCH_MANY)?;
        let core = &opened.core;
        let objects = args::key_objects(FETCH_MANY, keys)?;
        let keys = args::keys(FETCH_MANY, &objects)?;
        let put = args::put_as(FETCH_MANY, &how)?;
        check_fetch(FETCH_MANY, fetch, true)?;
        let held = held::leases(py)?;
        let mut copies = Vec::new();
        let answers = aio::call(py, core, keys.len(), |own, queue, token| {
            let options =
                FetchOptions { put, held: &held, owner: own.owner(), blocking: false, bypass_cache: false };
            let step = core.begin_many(&keys, &options, queue, token)?;
            copies = memo::granted_many(&step);
            Ok(step)
        })?;
        opened.keep_many(&objects, &copies, &answers);
        Ok(answers)
    }

    /// The keys of an iterable, to be walked through twice.
    #[staticmethod]
    fn _listed<'py>(keys: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(keys.py(), args::key_objects("get_many", keys)?)
    }

    /// The keys of an iterable, each once, in their order. Text and its bytes are one key.
    #[staticmethod]
    fn _unique<'py>(keys: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyList>> {
        let objects = args::key_objects(FETCH_MANY, keys)?;
        let mut seen = std::collections::HashSet::new();
        let unique = PyList::empty(keys.py());
        for object in &objects {
            if seen.insert(args::key(FETCH_MANY, object)?) {
                unique.append(object)?;
            }
        }
        Ok(unique)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
        self.opened.get().map_or(Ok(()), |opened| opened.traverse(&visit))
    }

    fn __clear__(&self, py: Python<'_>) {
        if let Some(opened) = self.opened.get() {
            opened.drop_copies(py);
        }
    }

    /// What is stored under a key did not decode.
    fn _note_undecodable(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<()> {
        self.core(py, "get")?.note_undecodable(args::key("get", key)?);
        Ok(())
    }
}
