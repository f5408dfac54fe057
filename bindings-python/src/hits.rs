//! The calls of `CacheService` that are answered from copies: one native method, no lock of the core, no decoding.

use std::ffi::CStr;

use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyFunction, PyType};

use crate::cache::Cache;
use crate::memo::Opened;
use crate::raw::{self, FastMethod};
use crate::ready::ready;

/// Calls of ttls beyond this go the long way, where the core checks them.
const LONGEST_TTL: f64 = 31_536_000.0;
const SHORTEST_TTL: f64 = 0.001;

/// What the methods hand over to.
struct Rests {
    get: Py<PyAny>,
    aget: Py<PyAny>,
    get_or_fetch: Py<PyAny>,
    aget_or_fetch: Py<PyAny>,
}

static RESTS: PyOnceLock<Rests> = PyOnceLock::new();

/// Puts the methods on the class that users see: one of exactly this class is what CPython specialises. What has no
/// copy goes to the methods of the same names with an underscore, and for `get` to that of the base.
#[pyfunction]
pub(crate) fn install_cache_service(class: &Bound<'_, PyType>) -> PyResult<()> {
    let py = class.py();
    let method = |name: &str| class.getattr(name).map(Bound::unbind);
    RESTS.get_or_try_init(py, || {
        PyResult::Ok(Rests {
            get: py.get_type::<Cache>().getattr("get")?.unbind(),
            aget: method("_aget_rest")?,
            get_or_fetch: method("_get_or_fetch")?,
            aget_or_fetch: method("_aget_or_fetch")?,
        })
    })?;
    let methods: [(&CStr, &CStr, FastMethod); 4] = [
        (c"get", GET_DOC, get),
        (c"aget", AGET_DOC, aget),
        (c"get_or_fetch", GET_OR_FETCH_DOC, get_or_fetch),
        (c"aget_or_fetch", AGET_OR_FETCH_DOC, aget_or_fetch),
    ];
    methods.into_iter().try_for_each(|(name, doc, function)| raw::install(class, name, doc, function))
}

/// The cache that `self` is, if it was opened.
///
/// # Safety
/// The thread is attached; the object is a live `Cache`.
#[inline]
unsafe fn opened<'a>(py: Python<'a>, slf: *mut ffi::PyObject) -> Option<&'a Opened> {
    // SAFETY: as the caller says. What was opened lives as long as the object, which the caller of the method holds.
    unsafe {
        let object = Borrowed::from_ptr(py, slf);
        let cache: *const Cache = object.cast_unchecked::<Cache>().get();
        (*cache).opened.get().map(|opened| &**opened)
    }
}

/// The copy that a read asks for, a new reference; null where there is none.
///
/// # Safety
/// As for a fastcall on a `Cache`.
#[inline]
unsafe fn read(
    slf: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    kwnames: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: as the caller says.
    unsafe {
        let py = Python::assume_attached();
        if kwnames.is_null()
            && (count == 1 || count == 2)
            && let Some(opened) = opened(py, slf)
            && let Some(value) = opened.held(py, *args)
        {
            return value.into_ptr();
        }
        std::ptr::null_mut()
    }
}

/// The copy that a `get_or_fetch` asks for, a new reference; null where there is none, and where the arguments want
/// to be looked at more closely.
///
/// # Safety
/// As for a fastcall on a `Cache`.
#[inline]
unsafe fn read_or_fetch(
    slf: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    kwnames: *mut ffi::PyObject,
    coroutines: bool,
) -> *mut ffi::PyObject {
    // SAFETY: as the caller says.
    unsafe {
        let py = Python::assume_attached();
        if kwnames.is_null()
            && count == 3
            && is_plain_ttl(*args.add(1))
            && is_fetch(py, *args.add(2), coroutines)
            && let Some(opened) = opened(py, slf)
            && let Some(value) = opened.held(py, *args)
        {
            return value.into_ptr();
        }
        std::ptr::null_mut()
    }
}

/// Whether a ttl is None, or an `int` or a `float` within the limits.
unsafe fn is_plain_ttl(ttl: *mut ffi::PyObject) -> bool {
    // SAFETY: the thread is attached and the object lives. An `int` that no `long` holds sets an error, which is
    // taken back.
    unsafe {
        if ttl == ffi::Py_None() {
            return true;
        }
        let class = ffi::Py_TYPE(ttl);
        let seconds = if class == &raw mut ffi::PyLong_Type {
            let seconds = ffi::PyLong_AsLong(ttl);
            if seconds == -1 {
                ffi::PyErr_Clear();
            }
            seconds as f64
        } else if class == &raw mut ffi::PyFloat_Type {
            ffi::PyFloat_AsDouble(ttl)
        } else {
            return false;
        };
        (SHORTEST_TTL..=LONGEST_TTL).contains(&seconds)
    }
}

/// Whether an object is callable, and, where coroutines are not wanted, no coroutine function.
unsafe fn is_fetch(py: Python<'_>, fetch: *mut ffi::PyObject, coroutines: bool) -> bool {
    static PLAIN: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    // SAFETY: the thread is attached and the object lives.
    let (callable, fetch) = unsafe { (ffi::PyCallable_Check(fetch) == 1, Borrowed::from_ptr(py, fetch)) };
    if coroutines || !callable {
        return callable;
    }
    if !fetch.is_instance_of::<PyFunction>() {
        return true;
    }
    // A program calls with the functions of few places: the code of the last one is most often that of this one.
    let Ok(code) = fetch.getattr(intern!(py, "__code__")) else { return false };
    if PLAIN.get(py).is_some_and(|plain| plain.is(&code)) {
        return true;
    }
    let plain = crate::fetch::is_plain_code(&code).unwrap_or(false);
    if plain {
        // The first one stays: that there is one is enough for a loop over one function.
        PLAIN.get_or_init(py, || code.unbind());
    }
    plain
}

/// Hands a call over.
///
/// # Safety
/// As for a fastcall on a `Cache`, of which `rest` is a method.
unsafe fn hand_over(
    rest: impl FnOnce(&Rests) -> &Py<PyAny>,
    slf: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    kwnames: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: as the caller says; the rests are there since the methods are.
    unsafe {
        let rests = RESTS.get(Python::assume_attached()).unwrap_unchecked();
        raw::call_rest(rest(rests).as_ptr(), slf, args, count, kwnames)
    }
}

unsafe extern "C-unwind" fn get(
    slf: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    kwnames: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls methods attached, with arguments of the protocol, `self` of the class or one below it.
    unsafe {
        let value = read(slf, args, count, kwnames);
        if value.is_null() { hand_over(|rests| &rests.get, slf, args, count, kwnames) } else { value }
    }
}

unsafe extern "C-unwind" fn aget(
    slf: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    kwnames: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: as in `get`.
    unsafe {
        let value = read(slf, args, count, kwnames);
        if value.is_null() {
            return hand_over(|rests| &rests.aget, slf, args, count, kwnames);
        }
        ready(Python::assume_attached(), value)
    }
}

unsafe extern "C-unwind" fn get_or_fetch(
    slf: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    kwnames: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: as in `get`.
    unsafe {
        let value = read_or_fetch(slf, args, count, kwnames, false);
        if value.is_null() { hand_over(|rests| &rests.get_or_fetch, slf, args, count, kwnames) } else { value }
    }
}

unsafe extern "C-unwind" fn aget_or_fetch(
    slf: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    kwnames: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: as in `get`.
    unsafe {
        let value = read_or_fetch(slf, args, count, kwnames, true);
        if value.is_null() {
            return hand_over(|rests| &rests.aget_or_fetch, slf, args, count, kwnames);
        }
        ready(Python::assume_attached(), value)
    }
}

const GET_DOC: &CStr = c"get($self, key, default=None)\n--\n\nThe value stored under a key, or ``default``. None, 0, \"\" and the like are values.\n\nNever fails because the shared tier is down: that is a miss. The value is shared with other readers: do not\nchange it, or open the cache with ``isolate=True``.\n\nRaises:\n    InvalidKey, Closed: as their names say.";

const AGET_DOC: &CStr = c"aget($self, key, default=None)\n--\n\nAs `get`, for tasks. What memory has is answered without a switch to another task.";

const GET_OR_FETCH_DOC: &CStr = c"get_or_fetch($self, key, ttl, fetch, *, codec=None, tags=None, background=None)\n--\n\nReturn the value of a key; where there is none, run ``fetch``, store what it returns, and return it.\n\nOf all callers that miss a key at one time, threads and tasks, one runs its fetch and the others wait\nfor it. An exception of the fetch is raised unchanged for all of them, unless a value past its ttl can\nbe served instead; nothing is stored then. A fetch that raises `NotFound` says that there is nothing,\nwhich is remembered for ``negative_ttl``. A fetch that is interrupted (``KeyboardInterrupt``,\n``SystemExit``) hands over to the next caller.\n\nArgs:\n    key: 1 to 1024 bytes; text is its UTF-8.\n    ttl: how long the value is fresh, 0.001 s to 365 days; None for the default of the cache.\n    fetch: a function without arguments, run in this thread. It may return a `Fetched`, which says\n        itself how its value is to be stored.\n    codec: what the value is stored as, \"json\" or \"msgpack\"; the default is that of the cache.\n    tags: the tags of the entry, at most 16, by which `invalidate_tags` ends it.\n    background: where a value near its end is refreshed, so that no caller waits for that. Without one\n        the caller that is drawn to refresh the value does so before it returns.\n\nRaises:\n    RecursiveFetch: the fetch asks, directly or through others, for the key that it is loading.\n    FetchTimeout: the fetch of another caller did not end within ``fetch_hard_timeout``.\n    InvalidOption: also when ``fetch`` is a coroutine function: await `aget_or_fetch` then.\n    InvalidKey, InvalidValue, Overloaded, Closed: as their names say.";

const AGET_OR_FETCH_DOC: &CStr = c"aget_or_fetch($self, key, ttl, fetch, *, codec=None, tags=None)\n--\n\nAs `get_or_fetch`, for tasks: ``fetch`` may be a coroutine function or a plain one.\n\nA task that is cancelled while its fetch runs hands over to the next caller; one that is cancelled\nwhile it waits just leaves. A value near its end is refreshed in a task of its own, which runs\n``fetch`` after this call has returned.";
