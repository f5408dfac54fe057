//! The completion queue.

use std::sync::Arc;
use std::time::Duration;

use scrubjay_core::host::{Completion, Queue, take_released_errors};

use crate::answer::completion;
use crate::guard::guarded;
use crate::types::{SJ_MISS, SJ_OK, sj_completion};

/// Answers on their way to one event loop, one waiter thread, or one caller. It belongs to the process that made it:
/// a forked child makes its own.
pub struct sj_queue(pub(crate) Arc<Queue>);

/// A queue for sj_queue_wait. Best for one thread that is most often there: while it waits it drives the connections
/// that bring its answers, so that a reply wakes no other thread first. Free it with sj_queue_free.
#[unsafe(no_mangle)]
pub extern "C" fn sj_queue_new() -> *mut sj_queue {
    guarded(std::ptr::null_mut(), || Box::into_raw(Box::new(sj_queue(Queue::driving()))))
}

/// A queue whose descriptor is readable while answers are there: poll it, then call sj_queue_wait with a timeout of
/// 0. NULL when the system has no descriptor left.
#[unsafe(no_mangle)]
pub extern "C" fn sj_queue_new_fd() -> *mut sj_queue {
    guarded(std::ptr::null_mut(), || match Queue::with_fd() {
        Ok(queue) => Box::into_raw(Box::new(sj_queue(queue))),
        Err(_) => std::ptr::null_mut(),
    })
}

/// The descriptor of a queue made by sj_queue_new_fd, valid as long as the queue; −1 for others and for NULL.
///
/// # Safety
/// `queue` is NULL or a queue that was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_queue_fd(queue: *const sj_queue) -> i32 {
    // SAFETY: NULL or valid, says the caller.
    unsafe { queue.as_ref() }.and_then(|queue| queue.0.fd()).unwrap_or(-1)
}

/// Takes up to `max` answers. Waits for the first of them at most `timeout_ms` milliseconds: 0 not at all, −1 for
/// ever. Returns how many there are, 0 when the time is over, or SJ_ERR_CLOSED when the queue was closed.
///
/// Each answer's value is the caller's to free, and each lease the caller's to answer.
///
/// # Safety
/// `queue` is a queue that was not freed; `out` has room for `max` answers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_queue_wait(
    queue: *const sj_queue,
    out: *mut sj_completion,
    max: usize,
    timeout_ms: i32,
) -> isize {
    // SAFETY: NULL or valid, says the caller.
    let Some(queue) = (unsafe { queue.as_ref() }) else { return crate::types::SJ_ERR_INVALID_OPTION as isize };
    if out.is_null() || max == 0 {
        return crate::types::SJ_ERR_INVALID_OPTION as isize;
    }
    guarded(crate::types::SJ_ERR_INTERNAL as isize, || {
        let mut taken: Vec<Completion> = Vec::new();
        if timeout_ms == 0 {
            queue.0.drain(max, &mut taken);
        } else {
            let timeout = u64::try_from(timeout_ms).ok().map(Duration::from_millis);
            queue.0.wait(max, timeout, &mut taken);
            if queue.0.fd().is_some() && !taken.is_empty() {
                // The descriptor follows what is left.
                let room = max - taken.len();
                queue.0.drain(room, &mut taken);
            }
        }
        if taken.is_empty() && queue.0.is_closed() {
            return crate::types::SJ_ERR_CLOSED as isize;
        }
        let count = taken.len();
        for (index, done) in taken.into_iter().enumerate() {
            // SAFETY: `index` is below `max`, for which there is room, says the caller.
            unsafe { out.add(index).write(completion(done.token, done.answer)) };
        }
        count as isize
    })
}

/// Takes a token back: after this no answer for it will come, and a lease that was on its way goes to the next
/// waiter. Returns SJ_OK, or SJ_MISS when the answer was taken from the queue already, or the token was never open.
///
/// # Safety
/// `queue` is a queue that was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_cancel(queue: *const sj_queue, token: u64) -> i32 {
    // SAFETY: NULL or valid, says the caller.
    let Some(queue) = (unsafe { queue.as_ref() }) else { return crate::types::SJ_ERR_INVALID_OPTION };
    guarded(crate::types::SJ_ERR_INTERNAL, || if queue.0.cancel(token) { SJ_OK } else { SJ_MISS })
}

/// Ends a queue: what was not taken is dropped, threads in sj_queue_wait return SJ_ERR_CLOSED, and so does every
/// later call that names it and would have to wait.
///
/// # Safety
/// `queue` is a queue that was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_queue_close(queue: *const sj_queue) {
    // SAFETY: NULL or valid, says the caller.
    if let Some(queue) = unsafe { queue.as_ref() } {
        guarded((), || queue.0.close());
    }
}

/// Closes and frees a queue. No other thread may be in a call with it. NULL is allowed.
///
/// # Safety
/// `queue` is NULL or a queue that was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_queue_free(queue: *mut sj_queue) {
    if !queue.is_null() {
        guarded((), || {
            // SAFETY: it came from sj_queue_new and was not freed, says the caller.
            let queue = unsafe { Box::from_raw(queue) };
            queue.0.close();
        });
    }
}

/// Takes up to `max` of the numbers given to sj_fail that no later answer can carry, so that their error objects can
/// be freed, and returns how many. An answer taken before this call may still carry one. Call it until it returns
/// less than `max`.
///
/// # Safety
/// `out` has room for `max` numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_released_errors(out: *mut u64, max: usize) -> usize {
    use std::sync::{Mutex, PoisonError};
    /// What was released and did not fit.
    static LEFT: Mutex<Vec<u64>> = Mutex::new(Vec::new());
    if out.is_null() || max == 0 {
        return 0;
    }
    guarded(0, || {
        let mut left = LEFT.lock().unwrap_or_else(PoisonError::into_inner);
        if left.len() < max {
            take_released_errors(&mut left);
        }
        let count = left.len().min(max);
        for (index, number) in left.drain(..count).enumerate() {
            // SAFETY: `index` is below `max`, for which there is room, says the caller.
            unsafe { out.add(index).write(number) };
        }
        count
    })
}

/// Refuses new operations of every cache of this process, waits at most `timeout_ms` milliseconds for invalidations
/// on their way, and leaves the library's threads parked: for a host at the end of its process.
#[unsafe(no_mangle)]
pub extern "C" fn sj_shutdown(timeout_ms: u32) {
    guarded((), || scrubjay_core::host::shutdown(Duration::from_millis(u64::from(timeout_ms))));
}

/// A number that changes in a forked child: queues made under another number belong to the parent.
#[unsafe(no_mangle)]
pub extern "C" fn sj_fork_generation() -> u32 {
    guarded(0, scrubjay_core::host::fork_generation)
}
