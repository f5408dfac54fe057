//! A get_or_fetch, step by step: begin, then fulfil, fail or abandon.

use scrubjay_core::host::{FetchFailure, FetchOptions};
use scrubjay_core::{Error, ErrorKind};

use crate::answer;
use crate::args;
use crate::cache::sj_cache;
use crate::call::begun;
use crate::error::{invalid, report, sj_error, status};
use crate::guard::{attempt, guarded};
use crate::queue::sj_queue;
use crate::types::{
    SJ_ERR_INVALID_OPTION, SJ_FETCH_BYPASS_CACHE, SJ_OK, SJ_STALE, sj_completion, sj_fetch_opts, sj_put_opts,
    sj_receipt, sj_slice,
};

/// Begins a get_or_fetch. SJ_HIT or SJ_STALE: the value, and with a lease the duty to refresh it. SJ_LEAD: run the
/// fetch, then answer for the lease. SJ_BYPASS: run the fetch for yourself. An error: that of another caller's fetch,
/// or of the arguments. SJ_PENDING: one of these comes through the queue.
///
/// # Safety
/// The handles are live, `key` is readable, `opts` is NULL or a struct with its size, `out` is valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_begin(
    cache: *const sj_cache,
    key: sj_slice,
    opts: *const sj_fetch_opts,
    queue: *const sj_queue,
    token: u64,
    out: *mut sj_completion,
) -> i32 {
    const OPERATION: &str = "get_or_fetch";
    // SAFETY: the caller's promise, for all of it.
    unsafe {
        begun(OPERATION, cache, queue, token, out, |cache, queue| {
            let fetch = args::fetch(OPERATION, opts)?;
            cache.begin(args::bytes(OPERATION, "key", key)?, &options(&fetch, false), queue, token)
        })
    }
}

/// Begins a get_or_fetch of many keys, no key twice: SJ_MANY with an item for each, as sj_begin answers, or
/// SJ_WAITING where another caller loads: that key's answer comes by token + 1 + its index. The tokens from `token` to
/// `token + count` belong to this call.
///
/// Run one fetch for all keys that lead, abandon those that it left out, and only then wait for the others. Keys as
/// in sj_get_many_async.
///
/// # Safety
/// The handles are live, `keys` is readable, `ends` has `count` numbers, `opts` is NULL or a struct with its size,
/// `out` is valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_begin_many(
    cache: *const sj_cache,
    keys: sj_slice,
    ends: *const u64,
    count: usize,
    opts: *const sj_fetch_opts,
    queue: *const sj_queue,
    token: u64,
    out: *mut sj_completion,
) -> i32 {
    const OPERATION: &str = "get_or_fetch_many";
    // SAFETY: the caller's promise, for all of it.
    unsafe {
        begun(OPERATION, cache, queue, token, out, |cache, queue| {
            let fetch = args::fetch(OPERATION, opts)?;
            let keys = args::strings(OPERATION, "keys", keys, ends, count)?;
            cache.begin_many(&keys, &options(&fetch, false), queue, token)
        })
    }
}

pub(crate) fn options<'a>(fetch: &args::Fetch<'a>, blocking: bool) -> FetchOptions<'a> {
    FetchOptions {
        put: fetch.put.clone(),
        held: fetch.held,
        owner: fetch.owner,
        blocking,
        bypass_cache: fetch.flags & SJ_FETCH_BYPASS_CACHE != 0,
    }
}

/// The fetch of `lease` brought a value: it is stored, unless the key was written in between, and all waiters get it.
/// SJ_TTL_DEFAULT and SJ_STORE_DEFAULT in `opts` are those of sj_begin; tags are added to those of sj_begin. A tag that
/// is named only here may have been invalidated while the fetch ran: if nothing is known of it in this process, the value
/// is stored for 2 s and not in memory, and the next fetch knows.
///
/// Returns SJ_OK; SJ_ERR_LEASE_EXPIRED when the lease had ended, and nothing has changed; SJ_ERR_INVALID_VALUE when
/// the value cannot be stored, and the waiters got that error too. `receipt` and `err` may be NULL.
///
/// # Safety
/// `cache` is live, `value` is readable, `opts` is NULL or a struct with its size, `receipt` and `err` are NULL or
/// valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_fulfil(
    cache: *const sj_cache,
    lease: u64,
    value: sj_slice,
    opts: *const sj_put_opts,
    receipt: *mut sj_receipt,
    err: *mut *mut sj_error,
) -> i32 {
    const OPERATION: &str = "fulfil";
    let done = attempt(OPERATION, || {
        // SAFETY: NULL or live, says the caller.
        let cache = unsafe { args::object(OPERATION, "cache", cache)? };
        // SAFETY: the caller's promise, for all of it.
        let given = unsafe {
            args::put(OPERATION, opts).and_then(|(codec, put)| {
                Ok((args::value(OPERATION, codec, args::bytes(OPERATION, "value", value)?)?, put))
            })
        };
        let (value, put) = given.inspect_err(|error| refuse(&cache.0, lease, error))?;
        cache.0.fulfil(lease, value, &put)
    });
    match done {
        Ok(done) => {
            if !receipt.is_null() {
                // SAFETY: not NULL, and valid for a write, says the caller.
                unsafe { receipt.write(answer::receipt(done)) };
            }
            SJ_OK
        }
        // SAFETY: NULL or valid for a write, says the caller.
        Err(error) => unsafe { report(&error, err) },
    }
}

/// What could not even be read is the error of the fetch, or its waiters would wait for its hard timeout.
fn refuse(cache: &scrubjay_core::host::Cache, lease: u64, error: &Error) {
    let failure = FetchFailure { kind: error.kind(), message: error.message(), error_ref: 0 };
    drop(cache.fail(lease, failure));
}

/// The fetch of `lease` failed: `code` is SJ_ERR_FETCH_FAILED, SJ_ERR_NOT_FOUND (remembered for `negative_ttl`), or
/// SJ_ERR_INVALID_VALUE when the fetched value could not be encoded; its sign does not matter. `error_ref` is the
/// caller's number for its error object, carried to the waiters, or 0.
///
/// Returns SJ_OK; SJ_STALE when `out` has a value past its ttl to be served instead of the error; or
/// SJ_ERR_LEASE_EXPIRED. `out` may be NULL.
///
/// # Safety
/// `cache` is live, `message` is readable, `out` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_fail(
    cache: *const sj_cache,
    lease: u64,
    code: i32,
    message: sj_slice,
    error_ref: u64,
    out: *mut sj_completion,
) -> i32 {
    const OPERATION: &str = "fail";
    let failed = attempt(OPERATION, || {
        // SAFETY: NULL or live, and readable, says the caller.
        let (cache, message) =
            unsafe { (args::object(OPERATION, "cache", cache)?, args::bytes(OPERATION, "message", message)?) };
        let kind = args::kind(code)
            .filter(|kind| matches!(kind, ErrorKind::FetchFailed | ErrorKind::NotFound | ErrorKind::InvalidValue));
        let message = String::from_utf8_lossy(message).into_owned();
        let Some(kind) = kind else {
            let refused =
                invalid(OPERATION, "code must be SJ_ERR_FETCH_FAILED, SJ_ERR_NOT_FOUND or SJ_ERR_INVALID_VALUE");
            // The waiters are not to wait for the hard timeout because of this.
            drop(cache.0.fail(lease, FetchFailure { kind: ErrorKind::FetchFailed, message, error_ref }));
            return Err(refused);
        };
        cache.0.fail(lease, FetchFailure { kind, message, error_ref })
    });
    let answer = match failed {
        Ok(None) => answer::plain(0, SJ_OK),
        Ok(Some(stale)) => answer::value(0, SJ_STALE, stale),
        Err(error) => answer::failure(0, &error),
    };
    let status = answer.status;
    if out.is_null() {
        let mut unused = answer.value;
        // SAFETY: a buffer of ours that nobody else has.
        unsafe { answer::sj_buf_free(&mut unused) };
    } else {
        // SAFETY: not NULL, and valid for a write, says the caller.
        unsafe { out.write(answer) };
    }
    status
}

/// As sj_fail with SJ_ERR_FETCH_FAILED, and the failure is remembered for `negative_ttl`: later callers get
/// SJ_ERR_FETCH_FAILED with this message, as they would get SJ_ERR_NOT_FOUND. Nothing stale is served instead.
///
/// Returns SJ_OK or SJ_ERR_LEASE_EXPIRED.
///
/// # Safety
/// `cache` is live, `message` is readable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_fail_remembered(
    cache: *const sj_cache,
    lease: u64,
    message: sj_slice,
    error_ref: u64,
) -> i32 {
    const OPERATION: &str = "fail";
    let failed = attempt(OPERATION, || {
        // SAFETY: NULL or live, and readable, says the caller.
        let (cache, message) =
            unsafe { (args::object(OPERATION, "cache", cache)?, args::bytes(OPERATION, "message", message)?) };
        cache.0.fail_remembered(lease, String::from_utf8_lossy(message).into_owned(), error_ref)
    });
    failed.map_or_else(|error| status(error.kind()), |()| SJ_OK)
}

/// The holder of `lease` gives up: the next waiter leads, or the update ends. Does nothing for a lease that has ended.
///
/// # Safety
/// `cache` is live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_abandon(cache: *const sj_cache, lease: u64) -> i32 {
    // SAFETY: NULL or live, says the caller.
    let Some(cache) = (unsafe { cache.as_ref() }) else { return SJ_ERR_INVALID_OPTION };
    guarded(status(ErrorKind::Internal), || {
        cache.0.abandon(lease);
        SJ_OK
    })
}
