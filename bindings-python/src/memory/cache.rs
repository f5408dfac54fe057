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
        let opened = Opened::new(slf, maxsize, ttl, timer, getsizeof, max_bytes)?;
        let again = |_| error(slf.py(), ErrorKind::InvalidOption, "open", "the cache is open already");
        slf.get().opened.set(opened).map_err(again)
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
