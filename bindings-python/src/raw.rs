//! Methods below pyo3: what a hit calls costs a few instructions, and nothing else stands on the stack.
//!
//! A pyo3 method costs some 15 ns more than its work. The hits of this package are answered by functions of
//! CPython's fastcall protocol instead, put on a class as method descriptors. They do one thing, look up a hit, and
//! hand everything else over to an ordinary method or function of Python: the *rest*.
//!
//! What the rest runs may be code of the user, in a daemon thread that CPython ends with `pthread_exit` while the
//! interpreter exits. That unwinds the frames here: so they are of the `C-unwind` ABI, and hold nothing that has a
//! destructor while the rest runs.

use std::ffi::{CStr, c_int};

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyType;

/// A method of the fastcall protocol with keywords.
pub(crate) type FastMethod = unsafe extern "C-unwind" fn(
    *mut ffi::PyObject,
    *const *mut ffi::PyObject,
    ffi::Py_ssize_t,
    *mut ffi::PyObject,
) -> *mut ffi::PyObject;

unsafe extern "C-unwind" {
    /// In the stable ABI since 3.12; 3.11 exports it with the same signature.
    #[link_name = "PyObject_Vectorcall"]
    fn vectorcall(
        callable: *mut ffi::PyObject,
        args: *const *mut ffi::PyObject,
        nargsf: usize,
        kwnames: *mut ffi::PyObject,
    ) -> *mut ffi::PyObject;

    #[link_name = "PyObject_RichCompareBool"]
    fn rich_compare_bool(a: *mut ffi::PyObject, b: *mut ffi::PyObject, operation: c_int) -> c_int;
}

/// Whether two objects are equal: 1 or 0, or −1 with an error set.
///
/// # Safety
/// The thread is attached; both objects live until this returns; nothing with a destructor is held.
pub(crate) unsafe fn is_equal(a: *mut ffi::PyObject, b: *mut ffi::PyObject) -> c_int {
    // SAFETY: as the caller says.
    unsafe { rich_compare_bool(a, b, ffi::Py_EQ) }
}

/// So many arguments, `self` included, are more than any method here takes.
const MOST: usize = 16;

/// Puts a method on a class. `doc` begins with the signature, as CPython wants it: `name($self, …)\n--\n\n`.
pub(crate) fn install(
    class: &Bound<'_, PyType>,
    name: &'static CStr,
    doc: &'static CStr,
    method: FastMethod,
) -> PyResult<()> {
    // SAFETY: the two types differ in what may unwind, which is the affair of the one who is called.
    let function = unsafe { std::mem::transmute::<FastMethod, ffi::PyCFunctionFastWithKeywords>(method) };
    // A method descriptor points to its definition for as long as the class lives: classes of a module stay.
    let definition = Box::leak(Box::new(ffi::PyMethodDef {
        ml_name: name.as_ptr(),
        ml_meth: ffi::PyMethodDefPointer { PyCFunctionFastWithKeywords: function },
        ml_flags: ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
        ml_doc: doc.as_ptr(),
    }));
    // SAFETY: the definition stays, and its function has the signature that its flags say.
    let descriptor = unsafe {
        Bound::from_owned_ptr_or_err(
            class.py(),
            ffi::PyDescr_NewMethod(class.as_ptr().cast::<ffi::PyTypeObject>(), definition),
        )
    }?;
    class.setattr(name.to_str().expect("names of methods are ASCII"), descriptor)
}

/// Calls an object with the arguments of a fastcall.
///
/// # Safety
/// The thread is attached; the arguments are as the fastcall protocol says; nothing with a destructor is held.
pub(crate) unsafe fn call(
    callable: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: usize,
    kwnames: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: as the caller says.
    unsafe { vectorcall(callable, args, count, kwnames) }
}

/// Calls the rest of a method with its arguments, `self` first.
///
/// # Safety
/// As for [`call`]; `rest` is a live object.
pub(crate) unsafe fn call_rest(
    rest: *mut ffi::PyObject,
    slf: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    kwnames: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    let mut all = [std::ptr::null_mut(); MOST];
    // SAFETY: as the caller says: `args` has `count` positional arguments and then one for each keyword.
    unsafe {
        let keywords = if kwnames.is_null() { 0 } else { ffi::PyTuple_Size(kwnames) };
        let given = (count + keywords).cast_unsigned();
        if given >= MOST {
            return raise(|| PyTypeError::new_err(format!("too many arguments: {given}")));
        }
        all[0] = slf;
        std::ptr::copy_nonoverlapping(args, all.as_mut_ptr().add(1), given);
        vectorcall(rest, all.as_ptr(), count.cast_unsigned() + 1, kwnames)
    }
}

/// Sets an error. Always null.
///
/// # Safety
/// The thread is attached.
pub(crate) unsafe fn raise(error: impl FnOnce() -> PyErr) -> *mut ffi::PyObject {
    Python::attach(|py| error().restore(py));
    std::ptr::null_mut()
}

/// Another reference to an object.
///
/// # Safety
/// The thread is attached, and the object lives.
#[inline]
pub(crate) unsafe fn new_reference(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: as the caller says.
    unsafe {
        ffi::Py_INCREF(object);
    }
    object
}
