//! Write-behind: values in the cache at once, in the caller's source later.
//!
//! Its callers set, delete and change; its workers pull batches, make the writes and say so. See sj_write for what a worker
//! gets.

use std::sync::Arc;

use scrubjay_core::host::{Answer, Queue, Step, WriteBehind};
use scrubjay_core::{Error, ErrorKind};

use crate::answer::{self, completion, failure};
use crate::args;
use crate::blocking::finished;
use crate::cache::sj_cache;
use crate::error::{invalid, report, sj_error};
use crate::guard::{attempt, guarded};
use crate::queue::sj_queue;
use crate::types::{
    SJ_ERR_INVALID_OPTION, SJ_LEAD, SJ_OK, SJ_PENDING, sj_completion, sj_put_opts, sj_receipt, sj_slice,
};

const OPERATION: &str = "write_behind";

/// A write-behind over a cache. All calls may be made by many threads at once, and in a forked child, which has a journal
/// of its own and nothing of what its parent's callers wrote.
pub struct sj_write_behind(pub(crate) WriteBehind);

/// Opens a write-behind with options in JSON, durations in seconds: `name` (1 to 64 of [A-Za-z0-9_.-], required), `ack`
/// ("journal", "redis" or "memory"), `directory` (required by "journal"), `max_bytes` (64 MiB), `max_age` (none), `on_full`
/// ("block", "write_through" or "reject"), `block_for` (5), `max_attempts` (20; 0: never a dead letter for failing too
/// often), `retry_base` (0.1), `retry_max` (30), `visibility` (60), `partitions` (16). It starts no thread and opens no file
/// before its first use, so it may be opened before a fork.
///
/// Returns SJ_OK, or SJ_ERR_INVALID_OPTION with an error that names the option and its limit, or SJ_ERR_CLOSED. `err` may
/// be NULL.
///
/// # Safety
/// `cache` is live; `options_json` is readable; `out` is valid for a write; `err` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_write_behind_open(
    cache: *const sj_cache,
    options_json: sj_slice,
    out: *mut *mut sj_write_behind,
    err: *mut *mut sj_error,
) -> i32 {
    let opened = attempt(OPERATION, || {
        // SAFETY: the caller's promise, for all of it.
        unsafe {
            args::object(OPERATION, "out", out)?;
            let cache = args::object(OPERATION, "cache", cache)?;
            WriteBehind::open(&cache.0, args::bytes(OPERATION, "options_json", options_json)?)
        }
    });
    match opened {
        Ok(behind) => {
            // SAFETY: checked not to be NULL above; otherwise valid, says the caller.
            unsafe { *out = Box::into_raw(Box::new(sj_write_behind(behind))) };
            SJ_OK
        }
        // SAFETY: NULL or valid, says the caller.
        Err(error) => unsafe { report(&error, err) },
    }
}

/// Frees a write-behind. Without a sj_write_behind_close before it what is durable stays where it is, for whoever opens it
/// next. No other thread may be in a call with it; its cache may be freed before or after. NULL is allowed.
///
/// # Safety
/// `behind` is NULL or was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_write_behind_free(behind: *mut sj_write_behind) {
    if !behind.is_null() {
        // SAFETY: it came from sj_write_behind_open and was not freed, says the caller.
        guarded((), || drop(unsafe { Box::from_raw(behind) }));
    }
}

/// Makes a call and waits for its answer.
///
/// # Safety
/// `behind` is NULL or live.
pub(crate) unsafe fn asked(
    operation: &'static str,
    behind: *const sj_write_behind,
    call: impl FnOnce(&WriteBehind, &Arc<Queue>, u64) -> Result<Step, Error>,
) -> Result<Answer, Error> {
    attempt(operation, || {
        // SAFETY: NULL or live, says the caller.
        let behind = unsafe { args::object(operation, "behind", behind)? };
        finished(|queue, token| call(&behind.0, queue, token))
    })
}

/// Makes a call and puts its answer into `out`, unless it is pending.
///
/// # Safety
/// `behind` and `queue` are NULL or live; `out` is NULL or valid for a write.
pub(crate) unsafe fn begun(
    operation: &'static str,
    behind: *const sj_write_behind,
    queue: *const sj_queue,
    token: u64,
    out: *mut sj_completion,
    call: impl FnOnce(&WriteBehind, &Arc<Queue>) -> Result<Step, Error>,
) -> i32 {
    if out.is_null() {
        return SJ_ERR_INVALID_OPTION;
    }
    let step = attempt(operation, || {
        // SAFETY: NULL or live, says the caller.
        let (behind, queue) =
            unsafe { (args::object(operation, "behind", behind)?, args::object(operation, "queue", queue)?) };
        Ok(match call(&behind.0, &queue.0)? {
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

/// A write that waits: its receipt, or the number of the write that the caller makes itself.
///
/// # Safety
/// `behind` is NULL or live; `turn`, `receipt` and `err` are NULL or valid for a write.
unsafe fn written(
    behind: *const sj_write_behind,
    turn: *mut u64,
    receipt: *mut sj_receipt,
    err: *mut *mut sj_error,
    call: impl FnOnce(&WriteBehind, &Arc<Queue>, u64) -> Result<Step, Error>,
) -> i32 {
    // SAFETY: NULL or live, says the caller.
    let done = unsafe { asked(OPERATION, behind, call) };
    match done {
        Ok(Answer::Lead(lease)) if turn.is_null() => {
            // Dropped, it is given up: nobody could answer for it.
            drop(lease);
            let error = invalid(OPERATION, "turn must not be NULL where on_full is \"write_through\"");
            // SAFETY: NULL or valid for a write, says the caller.
            unsafe { report(&error, err) }
        }
        Ok(Answer::Lead(lease)) => {
            // SAFETY: not NULL, and valid for a write, says the caller.
            unsafe { turn.write(lease.into_id()) };
            SJ_LEAD
        }
        Ok(Answer::Done(done)) => {
            if !receipt.is_null() {
                // SAFETY: not NULL, and valid for a write, says the caller.
                unsafe { receipt.write(answer::receipt(done)) };
            }
            SJ_OK
        }
        Ok(answer) => {
            let error = unexpected(OPERATION, &answer);
            // SAFETY: NULL or valid for a write, says the caller.
            unsafe { report(&error, err) }
        }
        // SAFETY: NULL or valid for a write, says the caller.
        Err(error) => unsafe { report(&error, err) },
    }
}

/// Stores a value in the cache, and behind it in the source. Of several values that wait for one key the source gets the
/// newest. SJ_OK when it is acknowledged; SJ_ERR_UNAVAILABLE where the journal, or the stream, cannot be written, and
/// nothing has happened; SJ_ERR_OVERLOADED where too much waits.
///
/// SJ_LEAD, with `on_full` "write_through" only: make this very write yourself, now, then answer for the number in `turn` by
/// sj_write_behind_ack or sj_write_behind_nack; sj_write_behind_turn gives it with its `sequence`. `opts`, `turn`, `receipt` and
/// `err` may be NULL; not `turn`, where SJ_LEAD is possible.
///
/// # Safety
/// `behind` is live, `key` and `value` are readable, `opts` is NULL or a struct with its size, `turn`, `receipt` and `err`
/// are NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_write_behind_set(
    behind: *const sj_write_behind,
    key: sj_slice,
    value: sj_slice,
    opts: *const sj_put_opts,
    turn: *mut u64,
    receipt: *mut sj_receipt,
    err: *mut *mut sj_error,
) -> i32 {
    // SAFETY: the caller's promise, for all of it.
    unsafe {
        written(behind, turn, receipt, err, |behind, queue, token| {
            let (codec, put) = args::put(OPERATION, opts)?;
            let key = args::bytes(OPERATION, "key", key)?;
            let value = args::value(OPERATION, codec, args::bytes(OPERATION, "value", value)?)?;
            behind.set(key, &value, &put, queue, token)
        })
    }
}

/// Deletes a key from the cache, and behind it from the source; until the source has it, a get_or_fetch of the key is
/// SJ_ERR_NOT_FOUND. As sj_write_behind_set.
///
/// # Safety
/// `behind` is live, `key` is readable, `turn`, `receipt` and `err` are NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_write_behind_delete(
    behind: *const sj_write_behind,
    key: sj_slice,
    turn: *mut u64,
    receipt: *mut sj_receipt,
    err: *mut *mut sj_error,
) -> i32 {
    // SAFETY: the caller's promise, for all of it.
    unsafe {
        written(behind, turn, receipt, err, |behind, queue, token| {
            behind.delete(args::bytes(OPERATION, "key", key)?, queue, token)
        })
    }
}

/// Has the source change what it has under a key, by `change`, which its writer understands. It never merges with another
/// write. The cache lets go of the key, and stores nothing that is loaded before the source has it. `codec` is SJ_JSON or
/// SJ_RAW. As sj_write_behind_set.
///
/// # Safety
/// `behind` is live, `key` and `change` are readable, `turn`, `receipt` and `err` are NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_write_behind_delta(
    behind: *const sj_write_behind,
    key: sj_slice,
    change: sj_slice,
    codec: u32,
    turn: *mut u64,
    receipt: *mut sj_receipt,
    err: *mut *mut sj_error,
) -> i32 {
    // SAFETY: the caller's promise, for all of it.
    unsafe {
        written(behind, turn, receipt, err, |behind, queue, token| {
            let key = args::bytes(OPERATION, "key", key)?;
            let change = args::value(OPERATION, codec, args::bytes(OPERATION, "change", change)?)?;
            behind.delta(key, &change, queue, token)
        })
    }
}

/// As sj_write_behind_set: SJ_OK with a receipt, or SJ_LEAD, whose lease is the number of the write that the caller makes
/// itself. A lead that is cancelled, or lies in a queue that is freed, is given up.
///
/// # Safety
/// The handles are live, `key` and `value` are readable, `opts` is NULL or a struct with its size, `out` is valid for a
/// write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_write_behind_set_async(
    behind: *const sj_write_behind,
    key: sj_slice,
    value: sj_slice,
    opts: *const sj_put_opts,
    queue: *const sj_queue,
    token: u64,
    out: *mut sj_completion,
) -> i32 {
    // SAFETY: the caller's promise, for all of it.
    unsafe {
        begun(OPERATION, behind, queue, token, out, |behind, queue| {
            let (codec, put) = args::put(OPERATION, opts)?;
            let key = args::bytes(OPERATION, "key", key)?;
            let value = args::value(OPERATION, codec, args::bytes(OPERATION, "value", value)?)?;
            behind.set(key, &value, &put, queue, token)
        })
    }
}

/// As sj_write_behind_delete, through a queue: see sj_write_behind_set_async.
///
/// # Safety
/// The handles are live, `key` is readable, `out` is valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_write_behind_delete_async(
    behind: *const sj_write_behind,
    key: sj_slice,
    queue: *const sj_queue,
    token: u64,
    out: *mut sj_completion,
) -> i32 {
    // SAFETY: the caller's promise, for all of it.
    unsafe {
        begun(OPERATION, behind, queue, token, out, |behind, queue| {
            behind.delete(args::bytes(OPERATION, "key", key)?, queue, token)
        })
    }
}

/// As sj_write_behind_delta, through a queue: see sj_write_behind_set_async.
///
/// # Safety
/// The handles are live, `key` and `change` are readable, `out` is valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_write_behind_delta_async(
    behind: *const sj_write_behind,
    key: sj_slice,
    change: sj_slice,
    codec: u32,
    queue: *const sj_queue,
    token: u64,
    out: *mut sj_completion,
) -> i32 {
    // SAFETY: the caller's promise, for all of it.
    unsafe {
        begun(OPERATION, behind, queue, token, out, |behind, queue| {
            let key = args::bytes(OPERATION, "key", key)?;
            let change = args::value(OPERATION, codec, args::bytes(OPERATION, "change", change)?)?;
            behind.delta(key, &change, queue, token)
        })
    }
}

pub(crate) fn unexpected(operation: &'static str, answer: &Answer) -> Error {
    Error::new(ErrorKind::Internal, operation, format!("unexpected answer {answer:?}"))
}
