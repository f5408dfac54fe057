//! A cache as a handle: open, free, statistics.

use scrubjay_core::host::Cache;

use crate::answer::buffer;
use crate::args;
use crate::error::{report, sj_error};
use crate::guard::{attempt, guarded};
use crate::types::{SJ_OK, sj_buf, sj_slice};

/// A cache: memory in this process, and behind it the shared tier that its URL names. All calls may be made by many
/// threads at once, and in a forked child, which starts with an empty memory.
pub struct sj_cache(pub(crate) Cache);

/// Opens a cache with options in JSON: an object like {"url": "redis://localhost", "prefix": "shop", "ttl": 60},
/// durations in seconds; no bytes are all defaults. Starts no thread and opens no socket.
///
/// Returns SJ_OK, or SJ_ERR_INVALID_OPTION with an error that names the option and its limit. `err` may be NULL.
///
/// # Safety
/// `options_json` is readable; `out` is valid for a write; `err` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_open(options_json: sj_slice, out: *mut *mut sj_cache, err: *mut *mut sj_error) -> i32 {
    const OPERATION: &str = "open";
    let opened = attempt(OPERATION, || {
        // SAFETY: valid or NULL, says the caller.
        unsafe {
            args::object(OPERATION, "out", out)?;
            Cache::open(args::bytes(OPERATION, "options_json", options_json)?)
        }
    });
    match opened {
        Ok(cache) => {
            // SAFETY: checked not to be NULL above; otherwise valid, says the caller.
            unsafe { *out = Box::into_raw(Box::new(sj_cache(cache))) };
            SJ_OK
        }
        // SAFETY: NULL or valid, says the caller.
        Err(error) => unsafe { report(&error, err) },
    }
}

/// Frees a cache, closing it behind if sj_close was not called. No other thread may be in a call with it. NULL is
/// allowed.
///
/// # Safety
/// `cache` is NULL or a cache that was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_cache_free(cache: *mut sj_cache) {
    if !cache.is_null() {
        // SAFETY: it came from sj_open and was not freed, says the caller.
        guarded((), || drop(unsafe { Box::from_raw(cache) }));
    }
}

/// The counters of the cache as a JSON object: hits_l1, hits_l2, misses, stale_served, loads, load_errors, waits,
/// evictions, expired, invalidations, pending, decode_misses, l2_errors, driven_by_core, driven_by_caller, push_sessions,
/// coherence_lag_ms, entries, bytes, and breaker_state ("closed", "open" or "half_open"). Free it with sj_buf_free.
///
/// # Safety
/// `cache` is a cache that was not freed; `out` is valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_stats_json(cache: *const sj_cache, out: *mut sj_buf) -> i32 {
    const OPERATION: &str = "stats";
    let json = attempt(OPERATION, || {
        // SAFETY: valid or NULL, says the caller.
        let cache = unsafe { args::object(OPERATION, "cache", cache)? };
        // SAFETY: valid or NULL, says the caller.
        unsafe { args::object(OPERATION, "out", out)? };
        Ok(cache.0.stats().to_json())
    });
    match json {
        Ok(json) => {
            // SAFETY: checked not to be NULL above; otherwise valid, says the caller.
            unsafe { *out = buffer(json.into()) };
            SJ_OK
        }
        Err(error) => crate::error::status(error.kind()),
    }
}

/// How old a hit may be at most, in milliseconds, by what is known now: max_staleness where memory answers beside a
/// shared tier, 0 without memory or without a shared tier. -1: no bound can be told, for the server has no scripts; or
/// `cache` is NULL.
///
/// # Safety
/// `cache` is NULL or a cache that was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_effective_staleness_bound(cache: *const sj_cache) -> i64 {
    guarded(-1, || {
        // SAFETY: valid or NULL, says the caller.
        let Some(cache) = (unsafe { cache.as_ref() }) else { return -1 };
        let bound = cache.0.effective_staleness_bound();
        bound.map_or(-1, |bound| i64::try_from(bound.as_millis()).unwrap_or(i64::MAX))
    })
}

/// Says that a value read from under `key` did not decode: it is counted, and goes from memory.
///
/// # Safety
/// `cache` is a cache that was not freed; `key` is readable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_note_undecodable(cache: *const sj_cache, key: sj_slice) -> i32 {
    const OPERATION: &str = "get";
    let noted = attempt(OPERATION, || {
        // SAFETY: valid or NULL, says the caller.
        let (cache, key) =
            unsafe { (args::object(OPERATION, "cache", cache)?, args::bytes(OPERATION, "key", key)?) };
        cache.0.note_undecodable(key);
        Ok(())
    });
    noted.map_or_else(|error| crate::error::status(error.kind()), |()| SJ_OK)
}

/// The version of this library, like "0.1.0". Never freed.
#[unsafe(no_mangle)]
pub extern "C" fn sj_version() -> *const std::ffi::c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}
