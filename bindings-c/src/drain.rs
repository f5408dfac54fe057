//! The end of a write-behind, and its counters.

use std::sync::Arc;
use std::time::Duration;

use scrubjay_core::Error;
use scrubjay_core::host::{Answer, Queue, Step, WriteBehind};

use crate::answer::buffer;
use crate::args;
use crate::behind::{asked, begun, sj_write_behind, unexpected};
use crate::error::{report, sj_error, status};
use crate::guard::attempt;
use crate::queue::sj_queue;
use crate::types::{SJ_OK, sj_buf, sj_completion, sj_drain_report};

/// A call that answers with a report.
///
/// # Safety
/// `behind` is NULL or live; `out` and `err` are NULL or valid for a write.
unsafe fn drained(
    operation: &'static str,
    behind: *const sj_write_behind,
    out: *mut sj_drain_report,
    err: *mut *mut sj_error,
    call: impl FnOnce(&WriteBehind, &Arc<Queue>, u64) -> Result<Step, Error>,
) -> i32 {
    // SAFETY: NULL or live, says the caller.
    match unsafe { asked(operation, behind, call) } {
        Ok(Answer::Drained(done)) => {
            if !out.is_null() {
                let done = sj_drain_report { written: done.written, left: done.left, dead: done.dead };
                // SAFETY: not NULL, and valid for a write, says the caller.
                unsafe { out.write(done) };
            }
            SJ_OK
        }
        Ok(answer) => {
            let error = unexpected(operation, &answer);
            // SAFETY: NULL or valid for a write, says the caller.
            unsafe { report(&error, err) }
        }
        // SAFETY: NULL or valid for a write, says the caller.
        Err(error) => unsafe { report(&error, err) },
    }
}

/// Waits, at most so long, until the source has every write that was acknowledged before; dead letters are not waited for.
/// SJ_OK, also when the time is over: then `left` of the report is not 0. Some other thread must pull batches meanwhile.
/// `out` and `err` may be NULL.
///
/// # Safety
/// `behind` is live, `out` and `err` are NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_write_behind_flush(
    behind: *const sj_write_behind,
    timeout_ms: u64,
    out: *mut sj_drain_report,
    err: *mut *mut sj_error,
) -> i32 {
    let time = Duration::from_millis(timeout_ms);
    // SAFETY: the caller's promise, for all of it.
    unsafe { drained("flush", behind, out, err, |behind, queue, token| behind.flush(time, queue, token)) }
}

/// Takes no more writes, hands out those that there are for so long at most, and ends: SJ_OK and a report. Those who wait for
/// a batch then get SJ_ERR_CLOSED. A second close reports what there is. `out` and `err` may be NULL.
///
/// # Safety
/// `behind` is live, `out` and `err` are NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_write_behind_close(
    behind: *const sj_write_behind,
    timeout_ms: u64,
    out: *mut sj_drain_report,
    err: *mut *mut sj_error,
) -> i32 {
    let time = Duration::from_millis(timeout_ms);
    // SAFETY: the caller's promise, for all of it.
    unsafe { drained("close", behind, out, err, |behind, queue, token| behind.close(time, queue, token)) }
}

/// As sj_write_behind_flush, through a queue: SJ_HIT, and the report as JSON: {"written":1,"left":0,"dead":0}.
///
/// # Safety
/// The handles are live, `out` is valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_write_behind_flush_async(
    behind: *const sj_write_behind,
    timeout_ms: u64,
    queue: *const sj_queue,
    token: u64,
    out: *mut sj_completion,
) -> i32 {
    let time = Duration::from_millis(timeout_ms);
    // SAFETY: the caller's promise, for all of it.
    unsafe { begun("flush", behind, queue, token, out, |behind, queue| behind.flush(time, queue, token)) }
}

/// As sj_write_behind_close, through a queue: SJ_HIT with the report as JSON.
///
/// # Safety
/// The handles are live, `out` is valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_write_behind_close_async(
    behind: *const sj_write_behind,
    timeout_ms: u64,
    queue: *const sj_queue,
    token: u64,
    out: *mut sj_completion,
) -> i32 {
    let time = Duration::from_millis(timeout_ms);
    // SAFETY: the caller's promise, for all of it.
    unsafe { begun("close", behind, queue, token, out, |behind, queue| behind.close(time, queue, token)) }
}

/// The counters of a write-behind in this process as a JSON object: depth, bytes, oldest_age_ms, in_flight, accepted, written,
/// coalesced, retried, dead, adopted, rejected, journal_errors, and journal_failed (1 while writes are not acknowledged).
/// Free it with sj_buf_free.
///
/// # Safety
/// `behind` is live; `out` is valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_write_behind_stats_json(behind: *const sj_write_behind, out: *mut sj_buf) -> i32 {
    const STATS: &str = "stats";
    let json = attempt(STATS, || {
        // SAFETY: valid or NULL, says the caller.
        unsafe {
            args::object(STATS, "out", out)?;
            Ok(args::object(STATS, "behind", behind)?.0.stats().to_json())
        }
    });
    match json {
        Ok(json) => {
            // SAFETY: checked not to be NULL above; otherwise valid, says the caller.
            unsafe { out.write(buffer(json.into())) };
            SJ_OK
        }
        Err(error) => status(error.kind()),
    }
}
