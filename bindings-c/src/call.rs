//! Calls that are answered at once or through a queue.
//!
//! Each returns the status that it puts into `out`: SJ_PENDING when the answer comes by `token` through `queue`; then
//! `out` is not written. A negative status is an error whose message is the value. Tokens are the caller's: any
//! number that is not in use on that queue.

use scrubjay_core::Error;
use scrubjay_core::host::{Cache, PutOptions, Queue, Step, Value};
use std::sync::Arc;

use crate::answer::{completion, failure};
use crate::args;
use crate::cache::sj_cache;
use crate::guard::attempt;
use crate::queue::sj_queue;
use crate::types::{SJ_ERR_INVALID_OPTION, SJ_PENDING, sj_completion, sj_put_opts, sj_slice};

/// Makes a call and puts its answer into `out`, unless it is pending.
///
/// # Safety
/// `cache` and `queue` are NULL or live; `out` is NULL or valid for a write.
pub(crate) unsafe fn begun(
    operation: &'static str,
    cache: *const sj_cache,
    queue: *const sj_queue,
    token: u64,
    out: *mut sj_completion,
    call: impl FnOnce(&Cache, &Arc<Queue>) -> Result<Step, Error>,
) -> i32 {
    if out.is_null() {
        return SJ_ERR_INVALID_OPTION;
    }
    let step = attempt(operation, || {
        // SAFETY: NULL or live, says the caller.
        let (cache, queue) =
            unsafe { (args::object(operation, "cache", cache)?, args::object(operation, "queue", queue)?) };
        Ok(match call(&cache.0, &queue.0)? {
            Step::Ready(answer) => Some(completion(token, answer)),
            Step::Pending => None,
        })
    });
    let answer = match step {
        Ok(None) => return SJ_PENDING,
        Ok(Some(answer)) => answer,
        Err(error) => failure(token, &error),
    };
    // SAFETY: not NULL, and valid for a write, says the caller.
    unsafe { out.write(answer) };
    answer.status
}

/// Reads one key: SJ_HIT or SJ_MISS.
///
/// # Safety
/// The handles are live, `key` is readable, `out` is valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_get_async(
    cache: *const sj_cache,
    key: sj_slice,
    queue: *const sj_queue,
    token: u64,
    out: *mut sj_completion,
) -> i32 {
    const OPERATION: &str = "get";
    // SAFETY: the caller's promise, for all of it.
    unsafe {
        begun(OPERATION, cache, queue, token, out, |cache, queue| {
            cache.get(args::bytes(OPERATION, "key", key)?, queue, token)
        })
    }
}

/// Stores one value: SJ_OK with a receipt. A shared tier that cannot be reached is no error: the receipt is pending.
///
/// # Safety
/// The handles are live, `key` and `value` are readable, `opts` is NULL or a struct with its size, `out` is valid for
/// a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_set_async(
    cache: *const sj_cache,
    key: sj_slice,
    value: sj_slice,
    opts: *const sj_put_opts,
    queue: *const sj_queue,
    token: u64,
    out: *mut sj_completion,
) -> i32 {
    const OPERATION: &str = "set";
    // SAFETY: the caller's promise, for all of it.
    unsafe {
        begun(OPERATION, cache, queue, token, out, |cache, queue| {
            let (codec, put) = args::put(OPERATION, opts)?;
            let key = args::bytes(OPERATION, "key", key)?;
            let value = args::value(OPERATION, codec, args::bytes(OPERATION, "value", value)?)?;
            cache.set(key, value, &put, queue, token)
        })
    }
}

/// Deletes one key: SJ_OK with a receipt. No load that began before can store its value after this.
///
/// # Safety
/// The handles are live, `key` is readable, `out` is valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_delete_async(
    cache: *const sj_cache,
    key: sj_slice,
    queue: *const sj_queue,
    token: u64,
    out: *mut sj_completion,
) -> i32 {
    const OPERATION: &str = "delete";
    // SAFETY: the caller's promise, for all of it.
    unsafe {
        begun(OPERATION, cache, queue, token, out, |cache, queue| {
            cache.delete(args::bytes(OPERATION, "key", key)?, queue, token)
        })
    }
}

/// Invalidates every entry that has one of these tags: SJ_OK with a receipt. No load that began before is stored after
/// this. Tags are given as keys are in sj_get_many_async.
///
/// # Safety
/// The handles are live, `tags` is readable, `ends` has `count` numbers, `out` is valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_invalidate_tags_async(
    cache: *const sj_cache,
    tags: sj_slice,
    ends: *const u64,
    count: usize,
    queue: *const sj_queue,
    token: u64,
    out: *mut sj_completion,
) -> i32 {
    const OPERATION: &str = "invalidate_tags";
    // SAFETY: the caller's promise, for all of it.
    unsafe {
        begun(OPERATION, cache, queue, token, out, |cache, queue| {
            cache.invalidate_tags(&args::strings(OPERATION, "tags", tags, ends, count)?, queue, token)
        })
    }
}

/// Empties the cache and its prefix in the shared tier: SJ_OK with a receipt.
///
/// # Safety
/// The handles are live, `out` is valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_clear_async(
    cache: *const sj_cache,
    queue: *const sj_queue,
    token: u64,
    out: *mut sj_completion,
) -> i32 {
    // SAFETY: the caller's promise, for all of it.
    unsafe { begun("clear", cache, queue, token, out, |cache, queue| cache.clear(queue, token)) }
}

/// Closes the cache: SJ_OK with a receipt, which is pending when invalidations did not land within 5 s. Waiters get
/// SJ_ERR_CLOSED, and so does every later call but this one. The handle still has to be freed.
///
/// # Safety
/// The handles are live, `out` is valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_close_async(
    cache: *const sj_cache,
    queue: *const sj_queue,
    token: u64,
    out: *mut sj_completion,
) -> i32 {
    // SAFETY: the caller's promise, for all of it.
    unsafe { begun("close", cache, queue, token, out, |cache, queue| cache.close(queue, token)) }
}

/// Reads many keys: SJ_MANY with an item for each, SJ_HIT or SJ_MISS. Key i lies in `keys` from `ends[i - 1]`, or 0,
/// to `ends[i]`.
///
/// # Safety
/// The handles are live, `keys` is readable, `ends` has `count` numbers, `out` is valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_get_many_async(
    cache: *const sj_cache,
    keys: sj_slice,
    ends: *const u64,
    count: usize,
    queue: *const sj_queue,
    token: u64,
    out: *mut sj_completion,
) -> i32 {
    const OPERATION: &str = "get_many";
    // SAFETY: the caller's promise, for all of it.
    unsafe {
        begun(OPERATION, cache, queue, token, out, |cache, queue| {
            cache.get_many(&args::strings(OPERATION, "keys", keys, ends, count)?, queue, token)
        })
    }
}

/// Many values on their way in.
pub(crate) struct Entries<'a> {
    pub entries: Vec<(&'a [u8], Value)>,
    pub put: PutOptions,
}

/// The arguments of a call that stores many values.
///
/// # Safety
/// As for `sj_set_many_async`.
#[expect(clippy::too_many_arguments, reason = "those of the C function")]
pub(crate) unsafe fn entries<'a>(
    operation: &'static str,
    keys: sj_slice,
    key_ends: *const u64,
    values: sj_slice,
    value_ends: *const u64,
    codecs: *const u32,
    count: usize,
    opts: *const sj_put_opts,
) -> Result<Entries<'a>, Error> {
    // SAFETY: the caller's promise, for all of it.
    let (codec, put, keys, values) = unsafe {
        let (codec, put) = args::put(operation, opts)?;
        let keys = args::strings(operation, "keys", keys, key_ends, count)?;
        (codec, put, keys, args::strings(operation, "values", values, value_ends, count)?)
    };
    let codecs = if codecs.is_null() {
        vec![codec; count]
    } else {
        // SAFETY: not NULL, with `count` numbers, says the caller.
        unsafe { args::numbers(operation, "codecs", codecs, count)? }.to_vec()
    };
    let mut entries = Vec::with_capacity(count);
    for ((key, bytes), codec) in keys.into_iter().zip(values).zip(codecs) {
        entries.push((key, args::value(operation, codec, bytes)?));
    }
    Ok(Entries { entries, put })
}

/// Stores many values: SJ_OK with a receipt. All are checked before the first is stored. Key i lies in `keys` from
/// `key_ends[i - 1]`, or 0, to `key_ends[i]`; values likewise; `codecs` has what each value is, or is NULL where
/// `opts` says it for all.
///
/// # Safety
/// The handles are live, `keys` and `values` are readable, the arrays have `count` numbers each, `opts` is NULL or a
/// struct with its size, `out` is valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_set_many_async(
    cache: *const sj_cache,
    keys: sj_slice,
    key_ends: *const u64,
    values: sj_slice,
    value_ends: *const u64,
    codecs: *const u32,
    count: usize,
    opts: *const sj_put_opts,
    queue: *const sj_queue,
    token: u64,
    out: *mut sj_completion,
) -> i32 {
    const OPERATION: &str = "set_many";
    // SAFETY: the caller's promise, for all of it.
    unsafe {
        begun(OPERATION, cache, queue, token, out, |cache, queue| {
            let Entries { entries, put } =
                entries(OPERATION, keys, key_ends, values, value_ends, codecs, count, opts)?;
            cache.set_many(entries, &put, queue, token)
        })
    }
}

/// Deletes many keys: SJ_OK with a receipt. Keys as in sj_get_many_async.
///
/// # Safety
/// The handles are live, `keys` is readable, `ends` has `count` numbers, `out` is valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_delete_many_async(
    cache: *const sj_cache,
    keys: sj_slice,
    ends: *const u64,
    count: usize,
    queue: *const sj_queue,
    token: u64,
    out: *mut sj_completion,
) -> i32 {
    const OPERATION: &str = "delete_many";
    // SAFETY: the caller's promise, for all of it.
    unsafe {
        begun(OPERATION, cache, queue, token, out, |cache, queue| {
            cache.delete_many(&args::strings(OPERATION, "keys", keys, ends, count)?, queue, token)
        })
    }
}
