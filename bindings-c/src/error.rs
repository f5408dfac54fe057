//! Error objects of the blocking calls.

use std::ffi::{CStr, CString, c_char};

use scrubjay_core::{Error, ErrorKind};

use crate::guard::guarded;

/// A failure, with its message. Free it with sj_error_free.
pub struct sj_error {
    kind: ErrorKind,
    operation: CString,
    message: CString,
}

/// The status of a failure.
pub(crate) fn status(kind: ErrorKind) -> i32 {
    -kind.code()
}

/// Puts the error where the caller asked for it, and returns its status.
///
/// # Safety
/// `out` is NULL or valid for a write.
pub(crate) unsafe fn report(error: &Error, out: *mut *mut sj_error) -> i32 {
    if !out.is_null() {
        let object = Box::new(sj_error {
            kind: error.kind(),
            operation: text(error.operation()),
            message: text(&error.message()),
        });
        // SAFETY: `out` is valid, says the caller.
        unsafe { *out = Box::into_raw(object) };
    }
    status(error.kind())
}

/// A C string; a NUL inside would end it early, so it is left out.
fn text(text: &str) -> CString {
    CString::new(text.replace('\0', "")).unwrap_or_default()
}

pub(crate) fn invalid(operation: &'static str, message: &str) -> Error {
    Error::new(ErrorKind::InvalidOption, operation, message)
}

/// The status of an error: SJ_ERR_INVALID_OPTION and its like; SJ_OK for NULL.
///
/// # Safety
/// `error` is NULL or an error that was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_error_code(error: *const sj_error) -> i32 {
    // SAFETY: NULL or valid, says the caller.
    unsafe { error.as_ref() }.map_or(crate::types::SJ_OK, |error| status(error.kind))
}

/// The sentence for the reader, without values, passwords or full keys; "" for NULL. Lives as long as the error.
///
/// # Safety
/// `error` is NULL or an error that was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_error_message(error: *const sj_error) -> *const c_char {
    // SAFETY: NULL or valid, says the caller.
    unsafe { error.as_ref() }.map_or(c"".as_ptr(), |error| error.message.as_ptr())
}

/// The call that failed, by its name in every language, like "get_or_fetch"; "" for NULL.
///
/// # Safety
/// `error` is NULL or an error that was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_error_operation(error: *const sj_error) -> *const c_char {
    // SAFETY: NULL or valid, says the caller.
    unsafe { error.as_ref() }.map_or(c"".as_ptr(), |error| error.operation.as_ptr())
}

/// Frees an error; NULL is allowed.
///
/// # Safety
/// `error` is NULL or an error that was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_error_free(error: *mut sj_error) {
    if !error.is_null() {
        // SAFETY: it came from `report` and was not freed, says the caller.
        guarded((), || drop(unsafe { Box::from_raw(error) }));
    }
}

/// The name of an error's status, the same in every language, like "InvalidOption"; the sign does not matter. NULL
/// for what is no error. The text is never freed.
#[unsafe(no_mangle)]
pub extern "C" fn sj_kind_name(status: i32) -> *const c_char {
    const NAMES: [&CStr; 16] = [
        c"InvalidOption",
        c"InvalidKey",
        c"InvalidValue",
        c"NotFound",
        c"FetchFailed",
        c"FetchTimeout",
        c"LeaseExpired",
        c"RecursiveFetch",
        c"Overloaded",
        c"Closed",
        c"Cancelled",
        c"Unavailable",
        c"Partial",
        c"DirtyElsewhere",
        c"Unsupported",
        c"Internal",
    ];
    let index = (status.unsigned_abs() as usize).wrapping_sub(1);
    NAMES.get(index).map_or(std::ptr::null(), |name| name.as_ptr())
}

/// Whether the same call may succeed later without a change on the caller's side: 1 or 0. The sign of the status
/// does not matter.
#[unsafe(no_mangle)]
pub extern "C" fn sj_kind_retryable(status: i32) -> i32 {
    let kind = ErrorKind::ALL.iter().find(|kind| kind.code().unsigned_abs() == status.unsigned_abs());
    i32::from(kind.is_some_and(|kind| kind.retryable()))
}
