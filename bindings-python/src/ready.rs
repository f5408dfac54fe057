//! A coroutine that has ended: awaiting it gives its value at once, without a frame and without a switch.
//!
//! It passes for a coroutine (`collections.abc.Coroutine` knows one by its methods), so tasks can be made of it.

use std::ffi::{c_int, c_uint, c_void};

use pyo3::exceptions::{PyRuntimeError, PyStopIteration};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyTuple, PyType};

use crate::raw;

static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();

#[repr(C)]
struct Ready {
    head: ffi::PyObject,
    /// Null once it was taken.
    value: *mut ffi::PyObject,
}

/// A coroutine that returns `value`, a reference that it takes. Null with an error set where memory is short.
///
/// # Safety
/// The thread is attached, and `value` is a reference to give away.
#[inline]
pub(crate) unsafe fn ready(py: Python<'_>, value: *mut ffi::PyObject) -> *mut ffi::PyObject {
    let Some(class) = CLASS.get(py) else { return value };
    // SAFETY: the class is that of `Ready`; its object is whole before the collector sees it.
    unsafe {
        let object = ffi::PyObject_GC_New::<Ready>(class.as_ptr().cast());
        if object.is_null() {
            ffi::Py_DECREF(value);
            return std::ptr::null_mut();
        }
        (*object).value = value;
        ffi::PyObject_GC_Track(object.cast());
        object.cast()
    }
}

/// The class of such coroutines.
pub(crate) fn ready_type(py: Python<'_>) -> PyResult<Bound<'_, PyType>> {
    let made = CLASS.get_or_try_init(py, || make_type(py))?;
    Ok(made.bind(py).clone())
}

fn make_type(py: Python<'_>) -> PyResult<Py<PyType>> {
    let methods = Box::leak(Box::new([
        method(
            c"send",
            send,
            ffi::METH_O,
            c"send($self, value, /)\n--\n\nEnd at once: raise StopIteration with the value.",
        ),
        method(c"throw", throw, ffi::METH_VARARGS, c"throw($self, /, *error)\n--\n\nEnd with an exception."),
        method(c"close", close, ffi::METH_NOARGS, c"close($self, /)\n--\n\nEnd without a value."),
        ffi::PyMethodDef::zeroed(),
    ]));
    let slot = |slot: c_int, pfunc: *mut c_void| ffi::PyType_Slot { slot, pfunc };
    let mut slots = [
        slot(ffi::Py_tp_dealloc, dealloc as *mut c_void),
        slot(ffi::Py_tp_traverse, traverse as *mut c_void),
        slot(ffi::Py_tp_clear, clear as *mut c_void),
        slot(ffi::Py_am_await, itself as *mut c_void),
        slot(ffi::Py_am_send, am_send as *mut c_void),
        slot(ffi::Py_tp_iter, itself as *mut c_void),
        slot(ffi::Py_tp_iternext, next as *mut c_void),
        slot(ffi::Py_tp_methods, methods.as_mut_ptr().cast()),
        slot(ffi::Py_tp_doc, c"A coroutine that has its value already.".as_ptr().cast_mut().cast()),
        slot(0, std::ptr::null_mut()),
    ];
    let flags = ffi::Py_TPFLAGS_DEFAULT | ffi::Py_TPFLAGS_HAVE_GC | ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION;
    let mut spec = ffi::PyType_Spec {
        name: c"scrubjay._scrubjay.Ready".as_ptr(),
        basicsize: c_int::try_from(size_of::<Ready>())?,
        itemsize: 0,
        flags: c_uint::try_from(flags)?,
        slots: slots.as_mut_ptr(),
    };
    // SAFETY: the spec is whole: its functions have the signatures of their slots, its methods are never freed.
    let class = unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyType_FromSpec(&raw mut spec)) }?;
    Ok(class.cast_into::<PyType>()?.unbind())
}

fn method(
    name: &'static std::ffi::CStr,
    function: ffi::PyCFunction,
    flags: c_int,
    doc: &'static std::ffi::CStr,
) -> ffi::PyMethodDef {
    let ml_meth = ffi::PyMethodDefPointer { PyCFunction: function };
    ffi::PyMethodDef { ml_name: name.as_ptr(), ml_meth, ml_flags: flags, ml_doc: doc.as_ptr() }
}

/// The value, once: then null.
unsafe fn take(slf: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: CPython calls the functions of this class on its objects only, with the thread attached.
    unsafe { std::mem::replace(&mut (*slf.cast::<Ready>()).value, std::ptr::null_mut()) }
}

/// The value, or null with the error of a coroutine that is awaited twice.
unsafe fn take_or_raise(slf: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: as in `take`.
    unsafe {
        let value = take(slf);
        if value.is_null() {
            return raw::raise(|| PyRuntimeError::new_err("cannot reuse already awaited coroutine"));
        }
        value
    }
}

unsafe extern "C" fn itself(slf: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: as in `take`.
    unsafe { raw::new_reference(slf) }
}

unsafe extern "C" fn am_send(
    slf: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
    result: *mut *mut ffi::PyObject,
) -> ffi::PySendResult {
    // SAFETY: as in `take`; the result is a place of the caller's.
    unsafe {
        *result = take_or_raise(slf);
        if (*result).is_null() { ffi::PySendResult::PYGEN_ERROR } else { ffi::PySendResult::PYGEN_RETURN }
    }
}

unsafe extern "C" fn next(slf: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: as in `take`.
    unsafe {
        let value = take_or_raise(slf);
        if value.is_null() {
            return value;
        }
        raw::raise(|| {
            let value = Bound::from_owned_ptr(Python::assume_attached(), value);
            // A tuple or an exception would be taken apart were it not inside of a tuple.
            PyStopIteration::new_err((value.unbind(),))
        })
    }
}

unsafe extern "C" fn send(slf: *mut ffi::PyObject, _: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: as in `take`.
    unsafe { next(slf) }
}

unsafe extern "C" fn throw(slf: *mut ffi::PyObject, error: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: as in `take`; the arguments are a tuple.
    unsafe {
        ffi::Py_XDECREF(take(slf));
        raw::raise(|| {
            let error = Borrowed::from_ptr(Python::assume_attached(), error);
            thrown(&error.cast_unchecked::<PyTuple>()).unwrap_or_else(|error| error)
        })
    }
}

/// The exception of `throw(exception)`, or of `throw(type, value, traceback)`.
fn thrown(given: &Bound<'_, PyTuple>) -> PyResult<PyErr> {
    let error = given.get_item(0)?;
    if !error.is_instance_of::<PyType>() {
        return Ok(PyErr::from_value(error));
    }
    match given.get_item(1).ok().filter(|value| !value.is_none()) {
        Some(value) if value.is_instance(&error)? => Ok(PyErr::from_value(value)),
        Some(value) => Ok(PyErr::from_value(error.call1((value,))?)),
        None => Ok(PyErr::from_value(error.call0()?)),
    }
}

unsafe extern "C" fn close(slf: *mut ffi::PyObject, _: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: as in `take`.
    unsafe {
        ffi::Py_XDECREF(take(slf));
        raw::new_reference(ffi::Py_None())
    }
}

unsafe extern "C" fn dealloc(slf: *mut ffi::PyObject) {
    // SAFETY: nobody has the object any more; an object of a class made at run time holds a reference to the class.
    unsafe {
        ffi::PyObject_GC_UnTrack(slf.cast());
        ffi::Py_XDECREF(take(slf));
        let class = ffi::Py_TYPE(slf);
        ffi::PyObject_GC_Del(slf.cast());
        ffi::Py_DECREF(class.cast());
    }
}

unsafe extern "C" fn traverse(slf: *mut ffi::PyObject, visit: ffi::visitproc, arg: *mut c_void) -> c_int {
    // SAFETY: as in `take`; the collector only counts what it is shown.
    unsafe {
        for object in [(*slf.cast::<Ready>()).value, ffi::Py_TYPE(slf).cast()] {
            if !object.is_null() {
                let stop = visit(object, arg);
                if stop != 0 {
                    return stop;
                }
            }
        }
        0
    }
}

unsafe extern "C" fn clear(slf: *mut ffi::PyObject) -> c_int {
    // SAFETY: as in `take`.
    unsafe { ffi::Py_XDECREF(take(slf)) };
    0
}
