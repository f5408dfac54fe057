//! An update: the caller's own write, between an intent and an invalidation. And what is known of a key.

use std::time::Duration;

use scrubjay_core::host::{Answer, UpdateOptions};
use scrubjay_core::{Error, ErrorKind};

use crate::answer;
use crate::args;
use crate::blocking::{waited, written};
use crate::cache::sj_cache;
use crate::call::begun;
use crate::error::{invalid, report, sj_error};
use crate::guard::attempt;
use crate::queue::sj_queue;
use crate::types::{SJ_OK, SJ_UPDATE_STRICT, sj_buf, sj_completion, sj_receipt, sj_slice, sj_update_opts};

const UPDATE: &str = "update";
const EXPLAIN: &str = "explain";

/// The options of an update, those of `SJ_UPDATE_OPTS_INIT` for NULL.
///
/// # Safety
/// `opts` is NULL or points to a struct whose `size` says how much of it there is; `tags` in it as in [`args::strings`].
pub(crate) unsafe fn options(
    operation: &'static str,
    opts: *const sj_update_opts,
) -> Result<UpdateOptions, Error> {
    if opts.is_null() {
        return Ok(UpdateOptions::new());
    }
    // SAFETY: at least the size can be read, says the caller; the rest only when the size covers it.
    let size = unsafe { (*opts).size } as usize;
    if size < size_of::<sj_update_opts>() {
        return Err(invalid(operation, &format!("opts.size must be sizeof(sj_update_opts), is {size}")));
    }
    // SAFETY: see above.
    let opts = unsafe { *opts };
    if opts.flags & !SJ_UPDATE_STRICT != 0 {
        return Err(invalid(operation, &format!("opts.flags must be 0 or SJ_UPDATE_STRICT, is {}", opts.flags)));
    }
    let millis = |name: &str, millis: i64| {
        let millis = u64::try_from(millis).map_err(|_| {
            let message = format!("{name} must not be negative, is {} seconds", millis as f64 / 1000.0);
            invalid(operation, &message)
        });
        millis.map(Duration::from_millis)
    };
    let (intent_ttl, hold) = (millis("intent_ttl", opts.intent_ttl_ms)?, millis("hold", opts.hold_ms)?);
    // SAFETY: the caller's promise.
    let tags = unsafe { args::tags(operation, opts.tags, opts.tag_ends, opts.tags_len)? };
    let options = UpdateOptions::new().hold(hold).strict(opts.flags & SJ_UPDATE_STRICT != 0).tags(tags);
    Ok(if intent_ttl.is_zero() { options } else { options.intent_ttl(intent_ttl) })
}

/// Begins an update of keys, and of what has the tags of `opts`: SJ_OK, and from now on nothing is stored under them, in any process, until sj_update_end
/// is given the number in `update`. Make your write in between, and end the update whatever came of it; sj_abandon does
/// so without waiting. A process that dies leaves only that, for `intent_ttl`.
///
/// A shared tier that cannot be reached is no error, unless SJ_UPDATE_STRICT asks for one: SJ_ERR_UNAVAILABLE, and do
/// not write. Keys as in sj_get_many_async. `opts` and `err` may be NULL.
///
/// # Safety
/// `cache` is live, `keys` is readable, `ends` has `count` numbers, `opts` is NULL or a struct with its size, `update`
/// is valid for a write, `err` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_update_begin(
    cache: *const sj_cache,
    keys: sj_slice,
    ends: *const u64,
    count: usize,
    opts: *const sj_update_opts,
    update: *mut u64,
    err: *mut *mut sj_error,
) -> i32 {
    let begun = attempt(UPDATE, || {
        // SAFETY: the caller's promise, for all of it.
        let (cache, keys, options) = unsafe {
            args::object(UPDATE, "update", update)?;
            let keys = args::strings(UPDATE, "keys", keys, ends, count)?;
            (args::object(UPDATE, "cache", cache)?, keys, options(UPDATE, opts)?)
        };
        match waited(&cache.0, |cache, queue, token| cache.begin_update(&keys, &options, queue, token))? {
            Answer::Lead(lease) => Ok(lease.into_id()),
            answer => Err(unexpected(UPDATE, &answer)),
        }
    });
    match begun {
        Ok(id) => {
            // SAFETY: checked not to be NULL above; otherwise valid for a write, says the caller.
            unsafe { update.write(id) };
            SJ_OK
        }
        // SAFETY: NULL or valid for a write, says the caller.
        Err(error) => unsafe { report(&error, err) },
    }
}

/// Ends an update, whatever its write came to: its keys are invalidated, and loads of them are stored again. SJ_OK, or
/// SJ_ERR_LEASE_EXPIRED when it had ended. A shared tier that cannot be reached is no error: the receipt is pending.
/// `receipt` and `err` may be NULL.
///
/// # Safety
/// `cache` is live, `receipt` and `err` are NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_update_end(
    cache: *const sj_cache,
    update: u64,
    receipt: *mut sj_receipt,
    err: *mut *mut sj_error,
) -> i32 {
    // SAFETY: the caller's promise, for all of it.
    unsafe { written(UPDATE, cache, receipt, err, |cache, queue, token| cache.end_update(update, queue, token)) }
}

/// As sj_update_begin: SJ_LEAD, and its lease is the number of the update. One that is cancelled, or lies in a queue that
/// is freed, ends.
///
/// # Safety
/// The handles are live, `keys` is readable, `ends` has `count` numbers, `opts` is NULL or a struct with its size,
/// `out` is valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_update_begin_async(
    cache: *const sj_cache,
    keys: sj_slice,
    ends: *const u64,
    count: usize,
    opts: *const sj_update_opts,
    queue: *const sj_queue,
    token: u64,
    out: *mut sj_completion,
) -> i32 {
    // SAFETY: the caller's promise, for all of it.
    unsafe {
        begun(UPDATE, cache, queue, token, out, |cache, queue| {
            let keys = args::strings(UPDATE, "keys", keys, ends, count)?;
            cache.begin_update(&keys, &options(UPDATE, opts)?, queue, token)
        })
    }
}

/// As sj_update_end: SJ_OK with a receipt.
///
/// # Safety
/// The handles are live, `out` is valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_update_end_async(
    cache: *const sj_cache,
    update: u64,
    queue: *const sj_queue,
    token: u64,
    out: *mut sj_completion,
) -> i32 {
    // SAFETY: the caller's promise, for all of it.
    unsafe { begun(UPDATE, cache, queue, token, out, |cache, queue| cache.end_update(update, queue, token)) }
}

/// What is known of a key, as a JSON object: which tier would answer and why, or why not (`tier`, `reason`), its age and
/// lives in seconds, who loads it and who is about to write it. It tells neither value nor key, and counts as no read.
/// Free `out` with sj_buf_free. `err` may be NULL.
///
/// # Safety
/// `cache` is live, `key` is readable, `out` is valid for a write, `err` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_explain(
    cache: *const sj_cache,
    key: sj_slice,
    out: *mut sj_buf,
    err: *mut *mut sj_error,
) -> i32 {
    let explained = attempt(EXPLAIN, || {
        // SAFETY: the caller's promise, for all of it.
        let (cache, key) = unsafe {
            args::object(EXPLAIN, "out", out)?;
            (args::object(EXPLAIN, "cache", cache)?, args::bytes(EXPLAIN, "key", key)?)
        };
        match waited(&cache.0, |cache, queue, token| cache.explain(key, queue, token))? {
            Answer::Hit { value, .. } => Ok(value),
            answer => Err(unexpected(EXPLAIN, &answer)),
        }
    });
    match explained {
        Ok(json) => {
            // SAFETY: checked not to be NULL above; otherwise valid for a write, says the caller.
            unsafe { out.write(answer::buffer(json.bytes)) };
            SJ_OK
        }
        // SAFETY: NULL or valid for a write, says the caller.
        Err(error) => unsafe { report(&error, err) },
    }
}

/// As sj_explain: SJ_HIT with the object.
///
/// # Safety
/// The handles are live, `key` is readable, `out` is valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_explain_async(
    cache: *const sj_cache,
    key: sj_slice,
    queue: *const sj_queue,
    token: u64,
    out: *mut sj_completion,
) -> i32 {
    // SAFETY: the caller's promise, for all of it.
    unsafe {
        begun(EXPLAIN, cache, queue, token, out, |cache, queue| {
            cache.explain(args::bytes(EXPLAIN, "key", key)?, queue, token)
        })
    }
}

pub(crate) fn unexpected(operation: &'static str, answer: &Answer) -> Error {
    Error::new(ErrorKind::Internal, operation, format!("unexpected answer {answer:?}"))
}
