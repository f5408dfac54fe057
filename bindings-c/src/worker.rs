//! The workers of a write-behind: they pull batches, make the writes, and say so. And its dead letters.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use scrubjay_core::Error;
use scrubjay_core::host::{Answer, BatchOptions, Queue, Step, Write, WriteBehind};

use crate::answer::{self, buffer};
use crate::args;
use crate::behind::{asked, begun, sj_write_behind, unexpected};
use crate::error::{invalid, report, sj_error, status};
use crate::guard::attempt;
use crate::queue::sj_queue;
use crate::types::{SJ_MISS, SJ_OK, SJ_WRITES, sj_batch_opts, sj_buf, sj_completion, sj_slice, sj_write};

/// The bounds of a batch, those of `SJ_BATCH_OPTS_INIT` for NULL.
///
/// # Safety
/// `opts` is NULL or points to a struct whose `size` says how much of it there is.
unsafe fn bounds(opts: *const sj_batch_opts) -> Result<BatchOptions, Error> {
    const NEXT: &str = "next_batch";
    if opts.is_null() {
        return Ok(BatchOptions::default());
    }
    // SAFETY: at least the size can be read, says the caller; the rest only when the size covers it.
    let size = unsafe { (*opts).size } as usize;
    if size < size_of::<sj_batch_opts>() {
        return Err(invalid(NEXT, &format!("opts.size must be sizeof(sj_batch_opts), is {size}")));
    }
    // SAFETY: see above.
    let opts = unsafe { *opts };
    let linger = u64::try_from(opts.linger_ms).map_err(|_| invalid(NEXT, "linger must not be negative"))?;
    Ok(BatchOptions {
        max_items: opts.max_items as usize,
        max_bytes: opts.max_bytes,
        linger: Duration::from_millis(linger),
        wait: u64::try_from(opts.wait_ms).ok().map(Duration::from_millis),
    })
}

/// Writes as their receiver gets them: the structs, and behind them their bytes.
pub(crate) fn pack(writes: Vec<Write>) -> Bytes {
    let head = writes.len() * size_of::<sj_write>();
    let bytes = |write: &Write| write.key.len() + write.value.bytes.len() + write.error.len();
    let total = head + writes.iter().map(bytes).sum::<usize>();
    let (mut offset, mut structs) = (head, Vec::with_capacity(writes.len()));
    let mut rest: Vec<u8> = Vec::with_capacity(total - head);
    for write in &writes {
        let value_at = offset + write.key.len();
        let error_at = value_at + write.value.bytes.len();
        rest.extend_from_slice(&write.key);
        rest.extend_from_slice(&write.value.bytes);
        rest.extend_from_slice(write.error.as_bytes());
        structs.push(sj_write {
            number: write.number,
            process: write.process,
            sequence: write.sequence,
            enqueued_ms: write.enqueued_ms,
            kind: write.kind as u32,
            codec: answer::codec_id(write.value.codec),
            attempt: write.attempt,
            reserved: 0,
            key: offset as u64,
            key_len: write.key.len() as u64,
            value: value_at as u64,
            value_len: write.value.bytes.len() as u64,
            error: error_at as u64,
            error_len: write.error.len() as u64,
        });
        offset = error_at + write.error.len();
    }
    answer::packed(&structs, &rest)
}

/// A batch as C gets it, and how many writes are in it.
fn batch(answer: Answer) -> Result<(i32, u64, sj_buf), Error> {
    match answer {
        Answer::Writes(writes) => {
            let writes = writes.into_items();
            Ok((SJ_WRITES, writes.len() as u64, buffer(pack(writes))))
        }
        Answer::Miss => Ok((SJ_MISS, 0, sj_buf::EMPTY)),
        answer => Err(unexpected("next_batch", &answer)),
    }
}

/// Puts a batch where its caller asked for it.
///
/// # Safety
/// `writes` and `count` are valid for a write; `err` is NULL or valid for a write.
unsafe fn hand_over(
    got: Result<(i32, u64, sj_buf), Error>,
    writes: *mut sj_buf,
    count: *mut u64,
    err: *mut *mut sj_error,
) -> i32 {
    match got {
        Ok((status, many, bytes)) => {
            // SAFETY: valid for a write, says the caller.
            unsafe { (writes.write(bytes), count.write(many)) };
            status
        }
        // SAFETY: NULL or valid for a write, says the caller.
        Err(error) => unsafe { report(&error, err) },
    }
}

/// The next writes for the source, of different keys, the longest due first: SJ_WRITES, and `writes` begins with `count`
/// structs sj_write, whose offsets are counted from its start; free it with sj_buf_free. SJ_MISS: none came within
/// `wait_ms`. SJ_ERR_CLOSED: there will be no more.
///
/// Make them, then answer for the number of each by sj_write_behind_ack or sj_write_behind_nack, within `visibility`: what
/// is not answered for is handed out again. `opts` and `err` may be NULL.
///
/// # Safety
/// `behind` is live, `opts` is NULL or a struct with its size, `writes` and `count` are valid for a write, `err` is NULL or
/// valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_write_behind_next_batch(
    behind: *const sj_write_behind,
    opts: *const sj_batch_opts,
    writes: *mut sj_buf,
    count: *mut u64,
    err: *mut *mut sj_error,
) -> i32 {
    const NEXT: &str = "next_batch";
    // SAFETY: the caller's promise, for all of it.
    unsafe {
        let got = attempt(NEXT, || {
            args::object(NEXT, "writes", writes)?;
            args::object(NEXT, "count", count)?;
            let bounds = bounds(opts)?;
            batch(asked(NEXT, behind, |behind, queue, token| behind.next_batch(bounds, queue, token))?)
        });
        hand_over(got, writes, count, err)
    }
}

/// As sj_write_behind_next_batch: SJ_WRITES, whose value begins with structs sj_write, as many as `lease` says; or SJ_MISS.
/// A batch that is cancelled, or lies in a queue that is freed, is handed out again.
///
/// # Safety
/// The handles are live, `opts` is NULL or a struct with its size, `out` is valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_write_behind_next_batch_async(
    behind: *const sj_write_behind,
    opts: *const sj_batch_opts,
    queue: *const sj_queue,
    token: u64,
    out: *mut sj_completion,
) -> i32 {
    // SAFETY: the caller's promise, for all of it.
    unsafe {
        begun("next_batch", behind, queue, token, out, |behind, queue| {
            behind.next_batch(bounds(opts)?, queue, token)
        })
    }
}

/// The source has these writes, by the `number` of each. Returns how many of them were waited for, those that are unknown or
/// were answered for before not among them; or a negative number. It never blocks.
///
/// # Safety
/// `behind` is live, `numbers` has `count` numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_write_behind_ack(
    behind: *const sj_write_behind,
    numbers: *const u64,
    count: usize,
) -> i64 {
    const ACK: &str = "ack";
    let acked = attempt(ACK, || {
        // SAFETY: the caller's promise, for all of it.
        let (behind, numbers) =
            unsafe { (args::object(ACK, "behind", behind)?, args::numbers(ACK, "numbers", numbers, count)?) };
        Ok(behind.0.ack(numbers))
    });
    counted(acked)
}

/// These writes failed, by one error, of whose text a dead letter keeps 1 KiB. Name those of a batch that failed as a whole
/// in one call, and those that failed each by itself in a call each: several are tried again, each alone where that may
/// tell whose fault it was, and the error is held against none of them; one alone is tried again after a pause, or is a
/// dead letter where `permanent` is not 0, or it failed `max_attempts` times. Returns as sj_write_behind_ack.
///
/// # Safety
/// `behind` is live, `numbers` has `count` numbers, `error` is readable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_write_behind_nack(
    behind: *const sj_write_behind,
    numbers: *const u64,
    count: usize,
    error: sj_slice,
    permanent: i32,
) -> i64 {
    const NACK: &str = "nack";
    let nacked = attempt(NACK, || {
        // SAFETY: the caller's promise, for all of it.
        let (behind, numbers, error) = unsafe {
            let numbers = args::numbers(NACK, "numbers", numbers, count)?;
            (args::object(NACK, "behind", behind)?, numbers, args::bytes(NACK, "error", error)?)
        };
        Ok(behind.0.nack(numbers, &String::from_utf8_lossy(error), permanent != 0))
    });
    counted(nacked)
}

/// A worker ends, and has not tried these writes, or not to their end: they are due again at once, and it is held against
/// none of them. SJ_OK, or a negative number. It never blocks.
///
/// # Safety
/// `behind` is live, `numbers` has `count` numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_write_behind_give_back(
    behind: *const sj_write_behind,
    numbers: *const u64,
    count: usize,
) -> i32 {
    const GIVE_BACK: &str = "give_back";
    let given = attempt(GIVE_BACK, || {
        // SAFETY: the caller's promise, for all of it.
        let (behind, numbers) = unsafe {
            let numbers = args::numbers(GIVE_BACK, "numbers", numbers, count)?;
            (args::object(GIVE_BACK, "behind", behind)?, numbers)
        };
        behind.0.give_back(numbers);
        Ok(())
    });
    given.map_or_else(|error| status(error.kind()), |()| SJ_OK)
}

/// The write that a caller is to make, by the number that came with its SJ_LEAD, as a worker would get it: with the `sequence`
/// by which a source refuses what is older. SJ_WRITES, and `out` begins with one sj_write; free it with sj_buf_free.
/// SJ_MISS: its time, `visibility`, is over, so it must not be made. It never blocks.
///
/// # Safety
/// `behind` is live, `out` is valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_write_behind_turn(behind: *const sj_write_behind, turn: u64, out: *mut sj_buf) -> i32 {
    const TURN: &str = "turn";
    let write = attempt(TURN, || {
        // SAFETY: the caller's promise, for all of it.
        let behind = unsafe {
            args::object(TURN, "out", out)?;
            args::object(TURN, "behind", behind)?
        };
        Ok(behind.0.turn(turn))
    });
    match write {
        Ok(Some(write)) => {
            // SAFETY: checked not to be NULL above; otherwise valid, says the caller.
            unsafe { out.write(buffer(pack(vec![write]))) };
            SJ_WRITES
        }
        Ok(None) => SJ_MISS,
        Err(error) => status(error.kind()),
    }
}

fn counted(count: Result<u64, Error>) -> i64 {
    match count {
        Ok(count) => i64::try_from(count).unwrap_or(i64::MAX),
        Err(error) => status(error.kind()).into(),
    }
}

/// Dead letters with a number above `after`, at most `max` (0 for 100): as sj_write_behind_next_batch gives writes, each with
/// its `error`; nobody is to answer for them. SJ_WRITES, also where there are none. `err` may be NULL.
///
/// # Safety
/// `behind` is live, `writes` and `count` are valid for a write, `err` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_write_behind_dead_letters(
    behind: *const sj_write_behind,
    after: u64,
    max: usize,
    writes: *mut sj_buf,
    count: *mut u64,
    err: *mut *mut sj_error,
) -> i32 {
    const LETTERS: &str = "dead_letters";
    // SAFETY: the caller's promise, for all of it.
    unsafe {
        let got = attempt(LETTERS, || {
            args::object(LETTERS, "writes", writes)?;
            args::object(LETTERS, "count", count)?;
            let call =
                |behind: &WriteBehind, queue: &Arc<Queue>, token| behind.dead_letters(after, max, queue, token);
            batch(asked(LETTERS, behind, call)?)
        });
        hand_over(got, writes, count, err)
    }
}

/// As sj_write_behind_dead_letters, through a queue: SJ_WRITES as that of sj_write_behind_next_batch_async.
///
/// # Safety
/// The handles are live, `out` is valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_write_behind_dead_letters_async(
    behind: *const sj_write_behind,
    after: u64,
    max: usize,
    queue: *const sj_queue,
    token: u64,
    out: *mut sj_completion,
) -> i32 {
    // SAFETY: the caller's promise, for all of it.
    unsafe {
        begun("dead_letters", behind, queue, token, out, |behind, queue| {
            behind.dead_letters(after, max, queue, token)
        })
    }
}

/// A call that answers with a count.
///
/// # Safety
/// `behind` is NULL or live; `done` and `err` are NULL or valid for a write.
unsafe fn count_of(
    operation: &'static str,
    behind: *const sj_write_behind,
    done: *mut u64,
    err: *mut *mut sj_error,
    call: impl FnOnce(&WriteBehind, &Arc<Queue>, u64) -> Result<Step, Error>,
) -> i32 {
    // SAFETY: NULL or live, says the caller.
    match unsafe { asked(operation, behind, call) } {
        Ok(Answer::Count(count)) => {
            if !done.is_null() {
                // SAFETY: not NULL, and valid for a write, says the caller.
                unsafe { done.write(count) };
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

/// Has these dead letters tried again, all of them where `count` is 0: SJ_OK, and how many in `done`. `done` and `err` may be
/// NULL.
///
/// # Safety
/// `behind` is live, `numbers` has `count` numbers, `done` and `err` are NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_write_behind_replay(
    behind: *const sj_write_behind,
    numbers: *const u64,
    count: usize,
    done: *mut u64,
    err: *mut *mut sj_error,
) -> i32 {
    // SAFETY: the caller's promise, for all of it.
    unsafe {
        count_of("replay", behind, done, err, |behind, queue, token| {
            behind.replay(args::numbers("replay", "numbers", numbers, count)?, queue, token)
        })
    }
}

/// Gives these dead letters up, all of them where `count` is 0; the cache lets go of their keys: SJ_OK, and how many in
/// `done`. `done` and `err` may be NULL.
///
/// # Safety
/// As for sj_write_behind_replay.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_write_behind_drop(
    behind: *const sj_write_behind,
    numbers: *const u64,
    count: usize,
    done: *mut u64,
    err: *mut *mut sj_error,
) -> i32 {
    // SAFETY: the caller's promise, for all of it.
    unsafe {
        count_of("drop", behind, done, err, |behind, queue, token| {
            behind.drop_letters(args::numbers("drop", "numbers", numbers, count)?, queue, token)
        })
    }
}

/// As sj_write_behind_replay, through a queue: SJ_OK, and how many in `lease`.
///
/// # Safety
/// The handles are live, `numbers` has `count` numbers, `out` is valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_write_behind_replay_async(
    behind: *const sj_write_behind,
    numbers: *const u64,
    count: usize,
    queue: *const sj_queue,
    token: u64,
    out: *mut sj_completion,
) -> i32 {
    // SAFETY: the caller's promise, for all of it.
    unsafe {
        begun("replay", behind, queue, token, out, |behind, queue| {
            behind.replay(args::numbers("replay", "numbers", numbers, count)?, queue, token)
        })
    }
}

/// As sj_write_behind_drop, through a queue: SJ_OK, and how many in `lease`.
///
/// # Safety
/// As for sj_write_behind_replay_async.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_write_behind_drop_async(
    behind: *const sj_write_behind,
    numbers: *const u64,
    count: usize,
    queue: *const sj_queue,
    token: u64,
    out: *mut sj_completion,
) -> i32 {
    // SAFETY: the caller's promise, for all of it.
    unsafe {
        begun("drop", behind, queue, token, out, |behind, queue| {
            behind.drop_letters(args::numbers("drop", "numbers", numbers, count)?, queue, token)
        })
    }
}
