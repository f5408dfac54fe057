//! The calls for a thread that waits for its answer.

use std::cell::RefCell;
use std::sync::Arc;

use scrubjay_core::Error;
use scrubjay_core::host::{Answer, Cache, Completion, Queue, Receipt, Step, fork_generation};

use crate::answer::{self, completion};
use crate::args;
use crate::cache::sj_cache;
use crate::call::{Entries, entries};
use crate::error::{report, sj_error};
use crate::guard::attempt;
use crate::types::{SJ_HIT, SJ_MISS, SJ_OK, sj_buf, sj_put_opts, sj_receipt, sj_slice};

/// The queue of a thread that waits. One of the parent process may be in any state: a forked child makes its own.
struct Mine {
    generation: u32,
    queue: Arc<Queue>,
    next: u64,
}

thread_local! {
    static MINE: RefCell<Option<Mine>> = const { RefCell::new(None) };
}

/// A queue of this thread, and the first of `count` tokens that it has not used.
pub(crate) fn own_queue(count: u64) -> (Arc<Queue>, u64) {
    MINE.with_borrow_mut(|mine| {
        let generation = fork_generation();
        if mine.as_ref().is_none_or(|mine| mine.generation != generation) {
            // The parent's is leaked: its lock may be held by a thread that does not exist here.
            std::mem::forget(mine.replace(Mine { generation, queue: Queue::for_caller(), next: 1 }));
        }
        let mine = mine.as_mut().expect("it was made just now");
        let token = mine.next;
        mine.next += count;
        (mine.queue.clone(), token)
    })
}

/// The next answer that this thread waits for.
pub(crate) fn next(queue: &Queue) -> Option<Completion> {
    let mut taken = Vec::with_capacity(1);
    queue.wait(1, None, &mut taken);
    taken.pop()
}

/// Makes a call and waits for its answer.
pub(crate) fn waited(
    cache: &Cache,
    call: impl FnOnce(&Cache, &Arc<Queue>, u64) -> Result<Step, Error>,
) -> Result<Answer, Error> {
    finished(|queue, token| call(cache, queue, token))
}

/// Makes a call through the queue of this thread and waits for its answer.
pub(crate) fn finished(call: impl FnOnce(&Arc<Queue>, u64) -> Result<Step, Error>) -> Result<Answer, Error> {
    let (queue, token) = own_queue(1);
    match call(&queue, token)? {
        Step::Ready(Answer::Failed(error)) => Err(error),
        Step::Ready(answer) => Ok(answer),
        Step::Pending => match next(&queue).map(|done| done.answer) {
            Some(Answer::Failed(error)) => Err(error),
            Some(answer) => Ok(answer),
            None => Err(crate::guard::defect("wait")),
        },
    }
}

/// A write: its receipt.
///
/// # Safety
/// `cache` is NULL or live; `out` and `err` are NULL or valid for a write.
pub(crate) unsafe fn written(
    operation: &'static str,
    cache: *const sj_cache,
    out: *mut sj_receipt,
    err: *mut *mut sj_error,
    call: impl FnOnce(&Cache, &Arc<Queue>, u64) -> Result<Step, Error>,
) -> i32 {
    let done = attempt(operation, || {
        // SAFETY: NULL or live, says the caller.
        let cache = unsafe { args::object(operation, "cache", cache)? };
        Ok(match waited(&cache.0, call)? {
            Answer::Done(receipt) => receipt,
            _ => Receipt::default(),
        })
    });
    match done {
        Ok(done) => {
            if !out.is_null() {
                // SAFETY: not NULL, and valid for a write, says the caller.
                unsafe { out.write(answer::receipt(done)) };
            }
            SJ_OK
        }
        // SAFETY: NULL or valid for a write, says the caller.
        Err(error) => unsafe { report(&error, err) },
    }
}

/// Reads one key: SJ_HIT with the value and what it is (SJ_JSON or SJ_RAW), SJ_MISS, or an error. Free the value with
/// sj_buf_free. `codec` and `err` may be NULL.
///
/// # Safety
/// `cache` is live, `key` is readable, `value` is valid for a write, `codec` and `err` are NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_get(
    cache: *const sj_cache,
    key: sj_slice,
    value: *mut sj_buf,
    codec: *mut u32,
    err: *mut *mut sj_error,
) -> i32 {
    const OPERATION: &str = "get";
    let read = attempt(OPERATION, || {
        // SAFETY: valid or NULL, says the caller.
        let (cache, key) = unsafe {
            args::object(OPERATION, "value", value)?;
            (args::object(OPERATION, "cache", cache)?, args::bytes(OPERATION, "key", key)?)
        };
        waited(&cache.0, |cache, queue, token| cache.get(key, queue, token))
    });
    match read {
        Ok(Answer::Hit { value: found, .. }) => {
            // SAFETY: `value` was checked not to be NULL; otherwise the caller's promise.
            unsafe { hand_over(found, value, codec) };
            SJ_HIT
        }
        Ok(_) => {
            // SAFETY: as above.
            unsafe { value.write(sj_buf::EMPTY) };
            SJ_MISS
        }
        // SAFETY: NULL or valid for a write, says the caller.
        Err(error) => unsafe { report(&error, err) },
    }
}

/// Puts a value where the caller asked for it.
///
/// # Safety
/// `value` is valid for a write, `codec` is NULL or valid for a write.
pub(crate) unsafe fn hand_over(found: scrubjay_core::host::Value, value: *mut sj_buf, codec: *mut u32) {
    if !codec.is_null() {
        // SAFETY: not NULL, and valid for a write, says the caller.
        unsafe { codec.write(answer::codec_id(found.codec)) };
    }
    // SAFETY: valid for a write, says the caller.
    unsafe { value.write(answer::buffer(found.bytes)) };
}

/// Stores one value. A shared tier that cannot be reached is no error: the receipt is pending. `opts`, `receipt` and
/// `err` may be NULL.
///
/// # Safety
/// `cache` is live, `key` and `value` are readable, `opts` is NULL or a struct with its size, `receipt` and `err` are
/// NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_set(
    cache: *const sj_cache,
    key: sj_slice,
    value: sj_slice,
    opts: *const sj_put_opts,
    receipt: *mut sj_receipt,
    err: *mut *mut sj_error,
) -> i32 {
    const OPERATION: &str = "set";
    // SAFETY: the caller's promise, for all of it.
    unsafe {
        written(OPERATION, cache, receipt, err, |cache, queue, token| {
            let (codec, put) = args::put(OPERATION, opts)?;
            let key = args::bytes(OPERATION, "key", key)?;
            let value = args::value(OPERATION, codec, args::bytes(OPERATION, "value", value)?)?;
            cache.set(key, value, &put, queue, token)
        })
    }
}

/// Deletes one key. No load that began before can store its value after this. `receipt` and `err` may be NULL.
///
/// # Safety
/// `cache` is live, `key` is readable, `receipt` and `err` are NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_delete(
    cache: *const sj_cache,
    key: sj_slice,
    receipt: *mut sj_receipt,
    err: *mut *mut sj_error,
) -> i32 {
    const OPERATION: &str = "delete";
    // SAFETY: the caller's promise, for all of it.
    unsafe {
        written(OPERATION, cache, receipt, err, |cache, queue, token| {
            cache.delete(args::bytes(OPERATION, "key", key)?, queue, token)
        })
    }
}

/// Invalidates every entry that has one of these tags, however many there are. No load that began before is stored after
/// this. Tags are given as keys are in sj_get_many_async. `receipt` and `err` may be NULL.
///
/// # Safety
/// `cache` is live, `tags` is readable, `ends` has `count` numbers, `receipt` and `err` are NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_invalidate_tags(
    cache: *const sj_cache,
    tags: sj_slice,
    ends: *const u64,
    count: usize,
    receipt: *mut sj_receipt,
    err: *mut *mut sj_error,
) -> i32 {
    const OPERATION: &str = "invalidate_tags";
    // SAFETY: the caller's promise, for all of it.
    unsafe {
        written(OPERATION, cache, receipt, err, |cache, queue, token| {
            cache.invalidate_tags(&args::strings(OPERATION, "tags", tags, ends, count)?, queue, token)
        })
    }
}

/// Empties the cache and its prefix in the shared tier. `receipt` and `err` may be NULL.
///
/// # Safety
/// `cache` is live, `receipt` and `err` are NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_clear(
    cache: *const sj_cache,
    receipt: *mut sj_receipt,
    err: *mut *mut sj_error,
) -> i32 {
    // SAFETY: the caller's promise, for all of it.
    unsafe { written("clear", cache, receipt, err, |cache, queue, token| cache.clear(queue, token)) }
}

/// Closes the cache; see sj_close_async. `receipt` and `err` may be NULL.
///
/// # Safety
/// `cache` is live, `receipt` and `err` are NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_close(
    cache: *const sj_cache,
    receipt: *mut sj_receipt,
    err: *mut *mut sj_error,
) -> i32 {
    // SAFETY: the caller's promise, for all of it.
    unsafe { written("close", cache, receipt, err, |cache, queue, token| cache.close(queue, token)) }
}

/// Reads many keys: SJ_OK, and `items` begins with one sj_item for each key, SJ_HIT or SJ_MISS, whose offsets are
/// counted from its start. Free it with sj_buf_free. Keys as in sj_get_many_async. `err` may be NULL.
///
/// # Safety
/// `cache` is live, `keys` is readable, `ends` has `count` numbers, `items` is valid for a write, `err` is NULL or valid
/// for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_get_many(
    cache: *const sj_cache,
    keys: sj_slice,
    ends: *const u64,
    count: usize,
    items: *mut sj_buf,
    err: *mut *mut sj_error,
) -> i32 {
    const OPERATION: &str = "get_many";
    let read = attempt(OPERATION, || {
        // SAFETY: the caller's promise, for all of it.
        let (cache, keys) = unsafe {
            args::object(OPERATION, "items", items)?;
            let keys = args::strings(OPERATION, "keys", keys, ends, count)?;
            (args::object(OPERATION, "cache", cache)?, keys)
        };
        waited(&cache.0, |cache, queue, token| cache.get_many(&keys, queue, token))
    });
    match read {
        Ok(answer) => {
            // SAFETY: checked not to be NULL above; otherwise valid for a write, says the caller.
            unsafe { items.write(completion(0, answer).value) };
            SJ_OK
        }
        // SAFETY: NULL or valid for a write, says the caller.
        Err(error) => unsafe { report(&error, err) },
    }
}

/// Stores many values; arguments as in sj_set_many_async. `receipt` and `err` may be NULL.
///
/// # Safety
/// As for sj_set_many_async; `receipt` and `err` are NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_set_many(
    cache: *const sj_cache,
    keys: sj_slice,
    key_ends: *const u64,
    values: sj_slice,
    value_ends: *const u64,
    codecs: *const u32,
    count: usize,
    opts: *const sj_put_opts,
    receipt: *mut sj_receipt,
    err: *mut *mut sj_error,
) -> i32 {
    const OPERATION: &str = "set_many";
    // SAFETY: the caller's promise, for all of it.
    unsafe {
        written(OPERATION, cache, receipt, err, |cache, queue, token| {
            let Entries { entries, put } =
                entries(OPERATION, keys, key_ends, values, value_ends, codecs, count, opts)?;
            cache.set_many(entries, &put, queue, token)
        })
    }
}

/// Deletes many keys, given as in sj_get_many_async. `receipt` and `err` may be NULL.
///
/// # Safety
/// `cache` is live, `keys` is readable, `ends` has `count` numbers, `receipt` and `err` are NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_delete_many(
    cache: *const sj_cache,
    keys: sj_slice,
    ends: *const u64,
    count: usize,
    receipt: *mut sj_receipt,
    err: *mut *mut sj_error,
) -> i32 {
    const OPERATION: &str = "delete_many";
    // SAFETY: the caller's promise, for all of it.
    unsafe {
        written(OPERATION, cache, receipt, err, |cache, queue, token| {
            cache.delete_many(&args::strings(OPERATION, "keys", keys, ends, count)?, queue, token)
        })
    }
}
