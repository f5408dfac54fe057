//! Reads that find the write of a receipt, though it was made in another process.

use std::ffi::c_char;

use scrubjay_core::Error;
use scrubjay_core::host::ConsistencyToken;

use crate::args;
use crate::cache::sj_cache;
use crate::error::{invalid, report, sj_error};
use crate::guard::attempt;
use crate::types::{SJ_ERR_INVALID_OPTION, SJ_OK, sj_slice};

const OPERATION: &str = "observe";

/// The status of a call without an answer.
///
/// # Safety
/// `err` is NULL or valid for a write.
unsafe fn done(result: Result<(), Error>, err: *mut *mut sj_error) -> i32 {
    match result {
        Ok(()) => SJ_OK,
        // SAFETY: NULL or valid, says the caller.
        Err(error) => unsafe { report(&error, err) },
    }
}

/// The 16 bytes at `token`.
///
/// # Safety
/// `token` is NULL or points to 16 readable bytes.
unsafe fn token_at(token: *const u8) -> Result<ConsistencyToken, Error> {
    if token.is_null() {
        return Err(invalid(OPERATION, "token must not be NULL"));
    }
    // SAFETY: not NULL, and readable, says the caller; an array of bytes has no alignment.
    Ok(ConsistencyToken(unsafe { *token.cast::<[u8; 16]>() }))
}

/// Sees to it that reads of these keys which begin after this call find the write of `token`, or a later one, though it
/// was made in another process: what memory has of them from before it is not for them. `token` is the 16 bytes of a
/// receipt. Keys are given as in sj_get_many_async. Waits for nothing. `err` may be NULL.
///
/// # Safety
/// `cache` is live, `token` has 16 readable bytes, `keys` is readable, `ends` has `count` numbers, `err` is NULL or
/// valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_observe(
    cache: *const sj_cache,
    token: *const u8,
    keys: sj_slice,
    ends: *const u64,
    count: usize,
    err: *mut *mut sj_error,
) -> i32 {
    let observed = attempt(OPERATION, || {
        // SAFETY: the caller's promise, for all of it.
        let (cache, token, keys) = unsafe {
            let cache = args::object(OPERATION, "cache", cache)?;
            (cache, token_at(token)?, args::strings(OPERATION, "keys", keys, ends, count)?)
        };
        cache.0.observe(&keys, token)
    });
    // SAFETY: NULL or valid, says the caller.
    unsafe { done(observed, err) }
}

/// Writes the 16 bytes of a receipt's token as text to travel, in a cookie or a header: 32 hexadecimal digits and a NUL.
///
/// # Safety
/// `token` has 16 readable bytes, `text` has room for 33.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_token_text(token: *const u8, text: *mut c_char) -> i32 {
    let digits = attempt(OPERATION, || {
        // SAFETY: NULL or readable, says the caller.
        unsafe { token_at(token) }.map(|token| token.to_string())
    });
    let Ok(digits) = digits else { return SJ_ERR_INVALID_OPTION };
    if text.is_null() {
        return SJ_ERR_INVALID_OPTION;
    }
    // SAFETY: not NULL, with room for the 32 digits and the NUL, says the caller.
    unsafe {
        text.copy_from_nonoverlapping(digits.as_ptr().cast(), digits.len());
        text.add(digits.len()).write(0);
    }
    SJ_OK
}

/// Reads what sj_token_text wrote, in whatever language and process, into the 16 bytes at `token`. Anything else is
/// SJ_ERR_INVALID_OPTION. `err` may be NULL.
///
/// # Safety
/// `text` is readable, `token` has room for 16 bytes, `err` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_token_parse(text: sj_slice, token: *mut u8, err: *mut *mut sj_error) -> i32 {
    let parsed = attempt(OPERATION, || {
        if token.is_null() {
            return Err(invalid(OPERATION, "token must not be NULL"));
        }
        // SAFETY: readable, says the caller.
        let text = unsafe { args::bytes(OPERATION, "text", text)? };
        // What is no text has no digits either.
        let read: ConsistencyToken = std::str::from_utf8(text).unwrap_or_default().parse()?;
        // SAFETY: not NULL, with room for 16 bytes, says the caller; an array of bytes has no alignment.
        unsafe { token.cast::<[u8; 16]>().write(read.0) };
        Ok(())
    });
    // SAFETY: NULL or valid, says the caller.
    unsafe { done(parsed, err) }
}
