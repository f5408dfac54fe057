//! A function whose results are kept: the callable that `memoize` makes.
//!
//! Its state is an ordinary class, `Memo`. What is called is an object of a subclass below pyo3, which adds a field:
//! the function of CPython's vectorcall protocol. So a call that hits makes no tuple of its arguments, and no frame.

use std::ffi::{c_int, c_uint, c_ulong};
use std::sync::{Arc, OnceLock};

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

use super::store::{Bounds, Lookup, Put, Store, drop_entries};
use crate::exit::Inside;
use crate::{args, raw, seed};

/// A function and its results.
#[pyclass(subclass, frozen, dict, weakref, module = "scrubjay._scrubjay")]
pub(crate) struct Memo {
    function: Py<PyAny>,
    store: Arc<Store>,
    ttl_ms: u64,
    typed: bool,
    /// False with a maxsize of 0: then calls are only counted.
    keeps: bool,
    maxsize: Option<u64>,
    /// What `cache_info` returns.
    info: Py<PyAny>,
}

impl Memo {
    /// Keeps a result. Compares keys, and so may run Python code.
    fn keep(&self, key: &Bound<'_, PyAny>, hash: isize, value: &Bound<'_, PyAny>) -> PyResult<()> {
        if !self.keeps {
            return Ok(());
        }
        let value = value.clone().unbind();
        let put = Put { value, size: 1, weight: 1, ttl_ms: self.ttl_ms, expires: None };
        self.store.put(key.py(), key, hash, put).map(drop)
    }
}

#[pymethods]
impl Memo {
    #[new]
    fn new(
        py: Python<'_>,
        function: Py<PyAny>,
        maxsize: Option<u64>,
        ttl: &Bound<'_, PyAny>,
        typed: bool,
        info: Py<PyAny>,
    ) -> PyResult<Self> {
        let bounds = Bounds { entries: Some(maxsize.unwrap_or(super::opened::MOST_ENTRIES).max(1)), bytes: None };
        Ok(Memo {
            function,
            store: Store::open(py, bounds, seed::seed())?,
            ttl_ms: args::ttl_ms("memoize", ttl)?,
            typed,
            keeps: maxsize != Some(0),
            maxsize,
            info,
        })
    }

    /// How often the function was spared, and how often it ran.
    fn cache_info<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        drop(self.store.expire(py, 0));
        let counted = self.store.counters(py);
        self.info.bind(py).call1((counted.hits, counted.misses, self.maxsize, counted.entries))
    }

    /// Forgets all results, and begins to count anew.
    fn cache_clear(&self, py: Python<'_>) {
        self.store.clear(py);
        self.store.reset_counters(py);
    }

    fn __get__<'py>(
        slf: Bound<'py, Self>,
        instance: Option<Bound<'py, PyAny>>,
        _owner: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        static METHOD: PyOnceLock<Py<PyType>> = PyOnceLock::new();
        match instance {
            None => Ok(slf.into_any()),
            Some(instance) => METHOD.import(slf.py(), "types", "MethodType")?.call1((slf, instance)),
        }
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.getattr("__qualname__")
    }

    fn __copy__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __deepcopy__<'py>(slf: Bound<'py, Self>, _memo: &Bound<'py, PyAny>) -> Bound<'py, Self> {
        slf
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        Ok(format!("<memoized {}>", slf.get().function.bind(slf.py()).repr()?))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.function)?;
        visit.call(&self.info)?;
        self.store.traverse(|object| visit.call(object))
    }

    fn __clear__(&self, py: Python<'_>) {
        drop_entries(py, self.store.take());
    }
}

/// Not in the limited API of 3.11, where it means the same.
const HAVE_VECTORCALL: c_ulong = 1 << 11;
/// The count of arguments may have this bit set: then the place in front of them may be written.
const ARGUMENTS_OFFSET: usize = 1 << (usize::BITS - 1);

unsafe extern "C-unwind" {
    /// In the stable ABI since 3.12; 3.11 exports it with the same signature.
    fn PyVectorcall_Call(
        callable: *mut ffi::PyObject,
        tuple: *mut ffi::PyObject,
        dict: *mut ffi::PyObject,
    ) -> *mut ffi::PyObject;
}

/// Where the field with the function lies in an object.
static FIELD: OnceLock<ffi::Py_ssize_t> = OnceLock::new();

/// The class of memoised functions.
pub(crate) fn memoised_type(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let base = py.get_type::<Memo>();
    let field = *FIELD.get_or_init(|| {
        let size = base.getattr("__basicsize__").and_then(|size| size.extract()).unwrap_or(0);
        debug_assert!(size % align_of::<*mut ()>() as ffi::Py_ssize_t == 0);
        size
    });
    let size = c_int::try_from(field + size_of::<*mut ()>() as ffi::Py_ssize_t)?;
    let members = Box::leak(Box::new([
        ffi::PyMemberDef {
            name: c"__vectorcalloffset__".as_ptr(),
            type_code: ffi::Py_T_PYSSIZET,
            offset: field,
            flags: ffi::Py_READONLY,
            doc: std::ptr::null(),
        },
        ffi::PyMemberDef::default(),
    ]));
    let doc = c"A function whose results are kept.";
    let mut slots = [
        ffi::PyType_Slot { slot: ffi::Py_tp_new, pfunc: new as *mut _ },
        ffi::PyType_Slot { slot: ffi::Py_tp_call, pfunc: PyVectorcall_Call as *mut _ },
        ffi::PyType_Slot { slot: ffi::Py_tp_members, pfunc: members.as_mut_ptr().cast() },
        ffi::PyType_Slot { slot: ffi::Py_tp_doc, pfunc: doc.as_ptr().cast_mut().cast() },
        ffi::PyType_Slot { slot: 0, pfunc: std::ptr::null_mut() },
    ];
    let mut spec = ffi::PyType_Spec {
        name: c"scrubjay._scrubjay.Memoised".as_ptr(),
        basicsize: size,
        itemsize: 0,
        flags: c_uint::try_from(ffi::Py_TPFLAGS_DEFAULT | HAVE_VECTORCALL | ffi::Py_TPFLAGS_METHOD_DESCRIPTOR)?,
        slots: slots.as_mut_ptr(),
    };
    // SAFETY: the spec is whole: its functions have the signatures of their slots, its members are never freed, and
    // objects are larger than those of the base by the field that the member names.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyType_FromSpecWithBases(&raw mut spec, base.as_ptr())) }
}

unsafe extern "C" fn new(
    class: *mut ffi::PyTypeObject,
    args: *mut ffi::PyObject,
    kwargs: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this with the GIL held, for a class whose objects have the field. The base makes an
    // object of `class`, whose field nobody else knows yet.
    unsafe {
        let py = Python::assume_attached();
        let base = py.get_type::<Memo>();
        let base_new: ffi::newfunc =
            std::mem::transmute(ffi::PyType_GetSlot(base.as_ptr().cast::<ffi::PyTypeObject>(), ffi::Py_tp_new));
        let object = base_new(class, args, kwargs);
        if !object.is_null()
            && let Some(field) = FIELD.get()
        {
            object.byte_offset(*field).cast::<*const ()>().write(call as *const ());
        }
        object
    }
}

unsafe extern "C-unwind" fn call(
    slf: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    nargsf: usize,
    kwnames: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    let count = nargsf & !ARGUMENTS_OFFSET;
    // SAFETY: CPython calls this with the GIL held, on an object of our class, with arguments as the vectorcall
    // protocol says. While the function runs, nothing here has a destructor: see `raw`.
    unsafe {
        let py = Python::assume_attached();
        let object = Borrowed::from_ptr(py, slf);
        let memo = object.cast_unchecked::<Memo>().get();
        let own = !(kwnames.is_null() && count == 1 && !memo.typed && stands_for_itself(*args));
        let key = if own { make_key(py, memo.typed, args, count, kwnames) } else { *args };
        if key.is_null() {
            return key;
        }
        let hash = ffi::PyObject_Hash(key);
        let found = if hash == -1 { Lookup::Raised } else { memo.store.lookup(py, key, hash) };
        let result = match found {
            Lookup::Hit(value) => value.into_ptr(),
            Lookup::Raised => std::ptr::null_mut(),
            Lookup::Miss => {
                let result = raw::call(memo.function.as_ptr(), args, count, kwnames);
                if result.is_null() { result } else { keep(memo, key, hash, result) }
            }
        };
        if own {
            ffi::Py_DECREF(key);
        }
        result
    }
}

/// Whether an argument can be the key itself: it is equal to nothing of another type that is a key.
unsafe fn stands_for_itself(argument: *mut ffi::PyObject) -> bool {
    // SAFETY: the argument is a live object, and the types are those of CPython.
    unsafe {
        let class = ffi::Py_TYPE(argument);
        class == &raw mut ffi::PyUnicode_Type || class == &raw mut ffi::PyLong_Type
    }
}

/// Keeps a result that the caller owns; returns it, or null with an error set.
unsafe fn keep(
    memo: &Memo,
    key: *mut ffi::PyObject,
    hash: isize,
    result: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    Python::attach(|py| {
        let inside = Inside::enter(py);
        // SAFETY: the key lives, and the result is a reference of ours to give away.
        let (key, value) = unsafe { (Borrowed::from_ptr(py, key), Bound::from_owned_ptr(py, result)) };
        match inside.and_then(|_inside| memo.keep(&key, hash, &value)) {
            Ok(()) => value.into_ptr(),
            Err(error) => {
                error.restore(py);
                std::ptr::null_mut()
            }
        }
    })
}

/// A tuple of all arguments: the positional ones, a mark and name and value of each keyword, and their types.
unsafe fn make_key(
    py: Python<'_>,
    typed: bool,
    args: *const *mut ffi::PyObject,
    count: usize,
    kwnames: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    static MARK: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    // SAFETY: as in `call`. Items are set once each in a tuple that nobody else has seen.
    unsafe {
        let keywords = if kwnames.is_null() { 0 } else { ffi::PyTuple_Size(kwnames).cast_unsigned() };
        let pairs = if keywords == 0 { 0 } else { 1 + 2 * keywords };
        let types = if typed { count + keywords } else { 0 };
        let tuple = ffi::PyTuple_New((count + pairs + types).cast_signed());
        if tuple.is_null() {
            return tuple;
        }
        let mut place = 0;
        let mut add = |object: *mut ffi::PyObject| {
            ffi::PyTuple_SetItem(tuple, place, raw::new_reference(object));
            place += 1;
        };
        (0..count).for_each(|i| add(*args.add(i)));
        if keywords > 0 {
            let Ok(mark) = MARK.get_or_try_init(py, || py.get_type::<PyAny>().call0().map(Bound::unbind)) else {
                ffi::Py_DECREF(tuple);
                return raw::raise(|| PyTypeError::new_err("object() failed"));
            };
            add(mark.as_ptr());
            for i in 0..keywords {
                add(ffi::PyTuple_GetItem(kwnames, i.cast_signed()));
                add(*args.add(count + i));
            }
        }
        (0..types).for_each(|i| add(ffi::Py_TYPE(*args.add(i)).cast()));
        tuple
    }
}
