//! The native half of `MemoryCache`; `_memory.py` makes a `MutableMapping` of it.

use std::sync::OnceLock;

use pyo3::exceptions::{PyKeyError, PyTypeError};
use pyo3::ffi;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyInt, PyList, PyTuple, PyType};
use scrubjay_core::ErrorKind;

use super::opened::{Opened, Sizes, default_timer};
use super::state::Dead;
use super::store::{Lookup, discard, drop_entries};
use super::timer::NEVER_MS;
use super::walk::{MemoryIterator, Shows};
use crate::args;
use crate::errors::error;
use crate::exit::Inside;
use crate::raw;

/// The native half of `MemoryCache`.
#[pyclass(subclass, frozen, module = "scrubjay._scrubjay")]
pub(crate) struct Memory {
    opened: OnceLock<Opened>,
}

/// A cache inside of a call.
pub(crate) struct InUse<'a> {
    opened: &'a Opened,
    _inside: Inside,
}

impl std::ops::Deref for InUse<'_> {
    type Target = Opened;

    fn deref(&self) -> &Opened {
        self.opened
    }
}

impl Memory {
    pub(super) fn opened(&self, py: Python<'_>, operation: &str) -> PyResult<InUse<'_>> {
        let opened = self.opened.get().ok_or_else(|| {
            let message = "the cache was not opened: a subclass must call super().__init__()";
            error(py, ErrorKind::Closed, operation, message)
        })?;
        Ok(InUse { opened, _inside: Inside::enter(py)? })
    }
}

<<<<<<< HEAD
impl Opened {
    /// The live value of a key. Counted as a hit or a miss.
    fn read<'py>(&self, key: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = key.py();
        let hash = key.hash()?;
        if self.timer.is_some() {
            let found = self.peek(key, hash)?;
            self.store.note(py, found.is_some());
            return Ok(found);
        }
        match self.store.lookup(py, key.as_ptr(), hash) {
            Lookup::Hit(value) => Ok(Some(value.into_bound(py))),
            Lookup::Miss => Ok(None),
            Lookup::Raised => Err(PyErr::fetch(py)),
        }
    }

    /// The live value of a key; nothing is counted.
    fn peek<'py>(&self, key: &Bound<'py, PyAny>, hash: isize) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = key.py();
        loop {
            let spot = self.store.find(py, key.as_ptr(), hash).map_err(|_| PyErr::fetch(py))?;
            let Some(found) = self.store.at(py, spot) else { continue };
            let Some((value, expires)) = found else { return Ok(None) };
            let value = value.into_bound(py);
            return Ok(self.is_before(py, expires)?.then_some(value));
        }
    }

    /// Whether the timer, where there is one, is before the end of an entry.
    fn is_before(&self, py: Python<'_>, expires: Option<Py<PyAny>>) -> PyResult<bool> {
        match (&self.timer, expires) {
            (Some(timer), Some(expires)) => timer.now(py)?.lt(expires.into_bound(py)),
            _ => Ok(true),
        }
    }

    /// Removes a key. What its entry was, if it was alive.
    fn remove<'py>(&self, key: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = key.py();
        let hash = key.hash()?;
        loop {
            let spot = self.store.find(py, key.as_ptr(), hash).map_err(|_| PyErr::fetch(py))?;
            let Some(removed) = self.store.remove(py, spot) else { continue };
            let Some((entry, live)) = removed else { return Ok(None) };
            let Dead { key, value, extra, .. } = entry;
            key.drop_ref(py);
            let value = value.into_bound(py);
            return Ok((live && self.is_before(py, extra.expires)?).then_some(value));
        }
    }

    /// Removes a key whose entry is alive, and returns its value. One that has expired stays for `expire` to return.
    fn take<'py>(&self, key: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = key.py();
        let hash = key.hash()?;
        loop {
            let spot = self.store.find(py, key.as_ptr(), hash).map_err(|_| PyErr::fetch(py))?;
            let Some(found) = self.store.at(py, spot) else { continue };
            let Some((value, expires)) = found else { return Ok(None) };
            let value = value.into_bound(py);
            if !self.is_before(py, expires)? {
                return Ok(None);
            }
            let Some(removed) = self.store.remove(py, spot) else { continue };
            drop_entries(py, vec![removed.map(|(entry, _)| entry)]);
            return Ok(Some(value));
        }
    }

    fn expire<'py>(&self, py: Python<'py>, now: Option<&Bound<'py, PyAny>>) -> PyResult<Pairs<'py>> {
        if let Some(timer) = &self.timer {
            let now = now.map_or_else(|| timer.now(py), |now| Ok(now.clone()))?;
            return timer.expire(&self.store, &now);
        }
        // Another time is given as that of the clock which `timer` names.
        let ahead = now.map_or(Ok(0.0), |now| {
            let current: f64 = default_timer(py)?.call0()?.extract()?;
            now.extract::<f64>().map(|given| (given - current) * 1000.0)
        })?;
        let expired = self.store.expire(py, ahead as i32);
        Ok(expired.into_iter().map(|entry| (entry.key.into_bound(py), entry.value.into_bound(py))).collect())
    }

    /// What a value counts, and weighs for the core.
    fn size(
        &self,
        slf: &Bound<'_, Memory>,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<(u64, u64)> {
        let size = match &self.sizes {
            Sizes::One => return Ok((1, 1)),
            Sizes::Estimated => {
                return Ok((1, estimate(key)?.saturating_add(estimate(value)?).saturating_add(OVERHEAD)));
            }
            Sizes::Of(callable) => callable.bind(slf.py()).call1((value,))?,
            Sizes::Method => slf.call_method1(intern!(slf.py(), "getsizeof"), (value,))?,
        };
        let counted = if let Ok(float) = size.cast::<PyFloat>() {
            Some(float.value()).filter(|size| *size >= 0.0 && size.fract() == 0.0).map(|size| size as u64)
        } else {
            size.extract::<u64>().ok()
        };
        counted.map(|size| (size, size)).ok_or_else(|| {
            let shown = size.repr().map_or_else(|_| type_name(&size), |repr| repr.to_string());
            let message = format!("getsizeof must return a whole number from 0 up, returned {shown}");
            error(slf.py(), ErrorKind::InvalidValue, "set", &message)
        })
    }

    fn store(
        &self,
        slf: &Bound<'_, Memory>,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        ttl: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let py = slf.py();
        let expires = match &self.timer {
            Some(timer) => {
                let now = timer.now(py)?;
                timer.expire(&self.store, &now)?;
                let ttl = ttl.map_or_else(|| self.ttl.bind(py), |ttl| ttl);
                check_timer_ttl("set", ttl)?;
                Some(now.add(ttl)?.unbind())
            }
            None => None,
        };
        let ttl_ms = match ttl {
            Some(ttl) if self.timer.is_none() => args::ttl_ms("set", ttl)?,
            _ => self.ttl_ms,
        };
        self.put(slf, key, value, ttl_ms, expires, ttl.is_some())
    }

    /// Stores a value whose end is known.
    fn put(
        &self,
        slf: &Bound<'_, Memory>,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        ttl_ms: u64,
        expires: Option<Py<PyAny>>,
        own_ttl: bool,
    ) -> PyResult<()> {
        let py = slf.py();
        let hash = key.hash()?;
        let (size, weight) = self.size(slf, key, value)?;
        let too_large = |weight: u64| {
            let message = format!("value too large: it counts {weight}, and the cache holds {}", self.largest);
            error(py, ErrorKind::InvalidValue, "set", &message)
        };
        if weight > self.largest {
            return Err(too_large(weight));
        }
        let noted = expires.as_ref().map(|expires| expires.clone_ref(py));
        let put = Put { value: value.clone().unbind(), size, weight, ttl_ms, expires };
        let Some(at) = self.store.put(py, key, hash, put)? else { return Err(too_large(weight)) };
        if let (Some(timer), Some(expires)) = (&self.timer, noted) {
            timer.note(py, at, expires, own_ttl, &self.store);
        }
        Ok(())
    }
}

=======
>>>>>>> wt-python
#[pymethods]
impl Memory {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Memory { opened: OnceLock::new() }
    }

    fn _open(
        slf: &Bound<'_, Self>,
        maxsize: Bound<'_, PyAny>,
        ttl: Bound<'_, PyAny>,
        timer: Option<Bound<'_, PyAny>>,
        getsizeof: Option<Bound<'_, PyAny>>,
        max_bytes: Option<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
<<<<<<< HEAD
        let py = slf.py();
        let refused = |message: String| error(py, ErrorKind::InvalidOption, "open", &message);
        for (name, callable) in [("timer", &timer), ("getsizeof", &getsizeof)] {
            if let Some(object) = callable
                && !object.is_callable()
            {
                return Err(refused(format!("{name} must be callable, is {}", type_name(object))));
            }
        }
        // Reading the clock of the default by its name is no reason not to read a faster one.
        let timer = timer.filter(|timer| default_timer(py).map_or(true, |default| !timer.is(&default)));
        let ttl_ms = match &timer {
            None => args::ttl_ms("open", &ttl)?,
            Some(_) => {
                check_timer_ttl("open", &ttl)?;
                NEVER_MS
            }
        };
        let most = |name: &str, object: &Bound<'_, PyAny>, most: u64| {
            bound(object, most).ok_or_else(|| {
                let shown = object.repr().map_or_else(|_| type_name(object), |repr| repr.to_string());
                refused(format!("{name} must be a number from 0 to {most}, or None, is {shown}"))
            })
        };
        let method = !slf.get_type().is(&py.get_type::<Memory>())
            && !slf
                .get_type()
                .getattr(intern!(py, "getsizeof"))?
                .is(&py.get_type::<Memory>().getattr(intern!(py, "getsizeof"))?);
        let weighs = getsizeof.is_some() || method;
        let count = match (maxsize.is_none(), weighs) {
            (true, true) => {
                return Err(refused(
                    "maxsize must be given with getsizeof: it is the bound of the sizes".to_owned(),
                ));
            }
            (true, false) => None,
            (false, true) => Some(most("maxsize", &maxsize, MOST_BYTES)?),
            (false, false) => Some(most("maxsize", &maxsize, MOST_ENTRIES)?),
        };
        let bytes = max_bytes.as_ref().map(|bytes| most("max_bytes", bytes, MOST_BYTES)).transpose()?;
        if weighs && bytes.is_some() {
            return Err(refused(
                "max_bytes must not be given with getsizeof: sizes have one bound, maxsize".to_owned(),
            ));
        }
        let sizes = match getsizeof {
            Some(callable) => Sizes::Of(callable.unbind()),
            None if method => Sizes::Method,
            None if count.is_none() || bytes.is_some() => Sizes::Estimated,
            None => Sizes::One,
        };
        // A bound of nothing is one that refuses everything: no value gets as far as the core.
        let at_least_one = |bound: u64| bound.max(1);
        let bounds = if weighs {
            Bounds { entries: None, bytes: count.map(at_least_one) }
        } else {
            Bounds { entries: count.map(at_least_one), bytes: bytes.map(at_least_one) }
        };
        let largest = match (weighs, count, bytes) {
            (true, Some(count), _) => count,
            (false, Some(0), _) => 0,
            (_, _, Some(bytes)) => bytes,
            _ => u64::MAX,
        };
        let opened = Opened {
            store: Store::open(py, bounds, seed())?,
            timer: timer.map(|timer| Timer::new(timer.unbind())),
            maxsize: maxsize.unbind(),
            max_bytes: bytes,
            ttl: ttl.unbind(),
            ttl_ms,
            sizes,
            largest,
        };
        slf.get().opened.set(opened).map_err(|_| refused("the cache is open already".to_owned()))
=======
        let opened = Opened::new(slf, maxsize, ttl, timer, getsizeof, max_bytes)?;
        let again = |_| error(slf.py(), ErrorKind::InvalidOption, "open", "the cache is open already");
        slf.get().opened.set(opened).map_err(again)
>>>>>>> wt-python
    }

    /// The value stored under a key, or `default`.
    #[pyo3(signature = (key, default=None))]
    fn get<'py>(
        &self,
        key: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(self.opened(key.py(), "get")?.read(key)?.or(default))
    }

    fn __getitem__<'py>(slf: &Bound<'py, Self>, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        match slf.get().opened(slf.py(), "get")?.read(key)? {
            Some(value) => Ok(value),
            None => slf.call_method1(intern!(slf.py(), "__missing__"), (key,)),
        }
    }

    fn __missing__(&self, key: Bound<'_, PyAny>) -> PyResult<()> {
        Err(PyKeyError::new_err((key.unbind(),)))
    }

    fn __contains__(&self, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        let hash = key.hash()?;
        let opened = self.opened(key.py(), "get")?;
        let seen = if opened.timer.is_none() { opened.store.contains(key.py(), key.as_ptr(), hash) } else { None };
        seen.map_or_else(|| Ok(opened.peek(key, hash)?.is_some()), Ok)
    }

    fn __setitem__(slf: &Bound<'_, Self>, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        slf.get().opened(slf.py(), "set")?.store(slf, key, value, None)
    }

    fn __delitem__(&self, key: &Bound<'_, PyAny>) -> PyResult<()> {
        match self.opened(key.py(), "delete")?.remove(key)? {
            Some(_) => Ok(()),
            None => Err(PyKeyError::new_err((key.clone().unbind(),))),
        }
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        let opened = self.opened(py, "len")?;
        drop(opened.expire(py, None)?);
        Ok(opened.store.len(py))
    }

    fn __iter__(slf: Bound<'_, Self>) -> PyResult<MemoryIterator> {
        MemoryIterator::new(slf, Shows::Keys)
    }

    fn _values(slf: Bound<'_, Self>) -> PyResult<MemoryIterator> {
        MemoryIterator::new(slf, Shows::Values)
    }

    fn _items(slf: Bound<'_, Self>) -> PyResult<MemoryIterator> {
        MemoryIterator::new(slf, Shows::Items)
    }

    fn _lives(slf: Bound<'_, Self>) -> PyResult<MemoryIterator> {
        MemoryIterator::new(slf, Shows::Lives)
    }

    /// Stores a value for a time of its own.
    #[pyo3(signature = (key, value, ttl=None))]
    fn set(
        slf: &Bound<'_, Self>,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        ttl: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        slf.get().opened(slf.py(), "set")?.store(slf, key, value, ttl)
    }

    /// Stores an entry of `_lives`.
    fn _restore(
        slf: &Bound<'_, Self>,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        life: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let opened = slf.get().opened(slf.py(), "set")?;
        match opened.timer {
            Some(_) => opened.put(slf, key, value, NEVER_MS, Some(life.clone().unbind()), true),
            None => opened.put(slf, key, value, args::ttl_ms("set", life)?, None, true),
        }
    }

    /// Removes a key and returns its value, or `default` where one is given.
    #[pyo3(signature = (key, *default))]
    fn pop<'py>(&self, key: &Bound<'py, PyAny>, default: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
        if default.len() > 1 {
            let message = format!("pop expected at most 2 arguments, got {}", 1 + default.len());
            return Err(PyTypeError::new_err(message));
        }
        match (self.opened(key.py(), "pop")?.take(key)?, default.get_item(0)) {
            (Some(value), _) | (None, Ok(value)) => Ok(value),
            (None, Err(_)) => Err(PyKeyError::new_err((key.clone().unbind(),))),
        }
    }

    /// Removes the entry that was stored first, and returns its key and value.
    fn popitem<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        let py = slf.py();
        let opened = slf.get().opened(py, "pop")?;
        drop(opened.expire(py, None)?);
        while let Some((at, expires)) = opened.store.oldest(py) {
            let alive = opened.is_before(py, expires)?;
            if let Some(Dead { key, value, extra, .. }) = opened.store.remove_at(py, at) {
                discard(py, extra.expires.into_iter().collect());
                let pair = (key.into_bound(py), value.into_bound(py));
                if alive {
                    return Ok(pair);
                }
            }
        }
        Err(PyKeyError::new_err(format!("{} is empty", slf.get_type().name()?)))
    }

    /// The value of a key; where there is none, `default`, which is stored.
    #[pyo3(signature = (key, default=None))]
    fn setdefault<'py>(
        slf: &Bound<'py, Self>,
        key: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let opened = slf.get().opened(slf.py(), "set")?;
        if let Some(value) = opened.read(key)? {
            return Ok(value);
        }
        let default = default.unwrap_or_else(|| slf.py().None().into_bound(slf.py()));
        opened.store(slf, key, &default, None)?;
        Ok(default)
    }

    /// Removes every entry.
    fn clear(&self, py: Python<'_>) -> PyResult<()> {
        self.opened(py, "clear")?.store.clear(py);
        Ok(())
    }

    /// Removes what has expired, and returns it as pairs of key and value.
    #[pyo3(signature = (time=None))]
    fn expire<'py>(&self, py: Python<'py>, time: Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, self.opened(py, "expire")?.expire(py, time)?)
    }

    /// What a value counts.
    #[pyo3(signature = (value, /))]
    fn getsizeof<'py>(&self, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        match self.opened.get().map(|opened| &opened.sizes) {
            Some(Sizes::Of(callable)) => callable.bind(value.py()).call1((value,)),
            _ => Ok(PyInt::new(value.py(), 1).into_any()),
        }
    }

    #[getter]
    fn maxsize(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(self.opened(py, "maxsize")?.maxsize.clone_ref(py))
    }

    #[getter]
    fn max_bytes(&self, py: Python<'_>) -> PyResult<Option<u64>> {
        Ok(self.opened(py, "max_bytes")?.max_bytes)
    }

    #[getter]
    fn currsize(&self, py: Python<'_>) -> PyResult<u64> {
        let opened = self.opened(py, "currsize")?;
        drop(opened.expire(py, None)?);
        Ok(opened.store.size(py))
    }

    #[getter]
    fn ttl(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(self.opened(py, "ttl")?.ttl.clone_ref(py))
    }

    #[getter]
    fn timer<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match &self.opened(py, "timer")?.timer {
            Some(timer) => Ok(timer.callable().bind(py).clone()),
            None => default_timer(py),
        }
    }

    fn _timer(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        Ok(self.opened(py, "timer")?.timer.as_ref().map(|timer| timer.callable().clone_ref(py)))
    }

    fn _getsizeof(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        match &self.opened(py, "getsizeof")?.sizes {
            Sizes::Of(callable) => Ok(Some(callable.clone_ref(py))),
            _ => Ok(None),
        }
    }

    /// hits, misses, evictions, expired, entries, bytes
    fn _stats(&self, py: Python<'_>) -> PyResult<(u64, u64, u64, u64, u64, u64)> {
        let counted = self.opened(py, "stats")?.store.counters(py);
        Ok((counted.hits, counted.misses, counted.evictions, counted.expired, counted.entries, counted.bytes))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let Some(opened) = self.opened.get() else { return Ok(()) };
        opened.store.traverse(|object| visit.call(object))?;
        visit.call(&opened.maxsize)?;
        visit.call(&opened.ttl)?;
        if let Sizes::Of(callable) = &opened.sizes {
            visit.call(callable)?;
        }
        opened.timer.as_ref().map_or(Ok(()), |timer| timer.traverse(|object| visit.call(object)))
    }

    fn __clear__(&self, py: Python<'_>) {
        if let Some(opened) = self.opened.get() {
            drop_entries(py, opened.store.take());
        }
    }
}

static REST: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

const GET_DOC: &std::ffi::CStr = c"get($self, key, default=None)\n--\n\nReturn the value stored under a key, or ``default`` where there is none or it has expired.";

/// Puts the fast methods on the class that users see: one of exactly this class is what CPython specialises.
#[pyfunction]
pub(crate) fn install_memory_cache(class: &Bound<'_, PyType>) -> PyResult<()> {
    let py = class.py();
    REST.get_or_try_init(py, || py.get_type::<Memory>().getattr("get").map(Bound::unbind))?;
    raw::install(class, c"get", GET_DOC, get)
}

unsafe extern "C-unwind" fn get(
    slf: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    kwnames: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls methods with the GIL held, `self` of the class that has the method, which is a subclass
    // of `Memory`, and `count` arguments, all alive for the call.
    unsafe {
        let py = Python::assume_attached();
        let slf_borrowed = Borrowed::from_ptr(py, slf);
        let this = slf_borrowed.cast_unchecked::<Memory>();
        if kwnames.is_null()
            && (count == 1 || count == 2)
            && let Some(opened) = this.get().opened.get()
            && opened.timer.is_none()
        {
            let key = *args;
            let hash = ffi::PyObject_Hash(key);
            if hash == -1 {
                return std::ptr::null_mut();
            }
            return match opened.store.lookup(py, key, hash) {
                Lookup::Hit(value) => value.into_ptr(),
                Lookup::Miss if count == 2 => raw::new_reference(*args.add(1)),
                Lookup::Miss => raw::new_reference(ffi::Py_None()),
                Lookup::Raised => std::ptr::null_mut(),
            };
        }
        let rest = REST.get(py).map_or(std::ptr::null_mut(), |rest| rest.as_ptr());
        raw::call_rest(rest, slf, args, count, kwnames)
    }
}
