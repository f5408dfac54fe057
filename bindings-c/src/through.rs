//! A write to the caller's source, whose value goes into the cache.

use std::sync::Arc;

use scrubjay_core::Error;
use scrubjay_core::host::{Answer, Cache, PutOptions, Queue, Step, UpdateOptions, Value};

use crate::args;
use crate::blocking::{waited, written};
use crate::cache::sj_cache;
use crate::call::begun;
use crate::error::{report, sj_error};
use crate::guard::attempt;
use crate::queue::sj_queue;
use crate::types::{SJ_OK, sj_completion, sj_put_opts, sj_receipt, sj_slice, sj_update_opts};
use crate::update::{options, unexpected};

const THROUGH: &str = "write_through";

struct Store<'a> {
    key: &'a [u8],
    value: Option<Value>,
    put: PutOptions,
    options: UpdateOptions,
    held: &'a [u64],
}

impl<'a> Store<'a> {
    /// The arguments of a store, checked.
    ///
    /// # Safety
    /// `key` is readable, `value` is NULL or points to a readable slice, `put` and `opts` are NULL or structs with their
    /// sizes, `held` has `held_len` numbers.
    unsafe fn new(
        key: sj_slice,
        value: *const sj_slice,
        put: *const sj_put_opts,
        opts: *const sj_update_opts,
        held: *const u64,
        held_len: usize,
    ) -> Result<Self, Error> {
        // SAFETY: the caller's promise, for all of it.
        unsafe {
            let (codec, put) = args::put(THROUGH, put)?;
            let value = match value.as_ref() {
                Some(value) => Some(args::value(THROUGH, codec, args::bytes(THROUGH, "value", *value)?)?),
                None => None,
            };
            let held = args::numbers(THROUGH, "held", held, held_len)?;
            Ok(Store {
                key: args::bytes(THROUGH, "key", key)?,
                value,
                put,
                options: options(THROUGH, opts)?,
                held,
            })
        }
    }

    fn begin(&self, cache: &Cache, queue: &Arc<Queue>, token: u64) -> Result<Step, Error> {
        let Store { key, value, put, options, held } = self;
        cache.begin_store(key, value.as_ref(), put, options, held, queue, token)
    }
}

/// Begins a write of one key to your source, once the writes of that key that this process began before have ended: SJ_OK,
/// and from now on nothing that is loaded is stored under it, in any process. When your source has the value, call
/// sj_store_end with the number in `write`; when it has not, sj_update_end, which invalidates the key; sj_abandon does so
/// without waiting.
///
/// `value` is what the cache stores then, NULL for a removal, which ends with sj_update_end. `held` are the leases and writes
/// inside which this is called, so that one that would wait for itself is SJ_ERR_RECURSIVE_FETCH; NULL when `held_len` is 0.
/// Otherwise as sj_update_begin. `put`, `opts` and `err` may be NULL.
///
/// # Safety
/// `cache` is live, `key` is readable, `value` is NULL or points to a readable slice, `put` and `opts` are NULL or structs with
/// their sizes, `held` has `held_len` numbers, `write` is valid for a write, `err` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_store_begin(
    cache: *const sj_cache,
    key: sj_slice,
    value: *const sj_slice,
    put: *const sj_put_opts,
    opts: *const sj_update_opts,
    held: *const u64,
    held_len: usize,
    write: *mut u64,
    err: *mut *mut sj_error,
) -> i32 {
    let begun = attempt(THROUGH, || {
        // SAFETY: the caller's promise, for all of it.
        let (cache, store) = unsafe {
            args::object(THROUGH, "write", write)?;
            (args::object(THROUGH, "cache", cache)?, Store::new(key, value, put, opts, held, held_len)?)
        };
        match waited(&cache.0, |cache, queue, token| store.begin(cache, queue, token))? {
            Answer::Lead(lease) => Ok(lease.into_id()),
            answer => Err(unexpected(THROUGH, &answer)),
        }
    });
    match begun {
        Ok(id) => {
            // SAFETY: checked not to be NULL above; otherwise valid for a write, says the caller.
            unsafe { write.write(id) };
            SJ_OK
        }
        // SAFETY: NULL or valid for a write, says the caller.
        Err(error) => unsafe { report(&error, err) },
    }
}

/// Your source has the value: it goes into the cache, unless another writer was at work on the key meanwhile, in any
/// process; then it is invalidated, since nobody knows whose value the source got last. SJ_OK, or SJ_ERR_LEASE_EXPIRED when
/// the write had ended. A shared tier that cannot be reached is no error: the receipt is pending. `receipt` and `err` may be
/// NULL.
///
/// # Safety
/// `cache` is live, `receipt` and `err` are NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_store_end(
    cache: *const sj_cache,
    write: u64,
    receipt: *mut sj_receipt,
    err: *mut *mut sj_error,
) -> i32 {
    // SAFETY: the caller's promise, for all of it.
    unsafe { written(THROUGH, cache, receipt, err, |cache, queue, token| cache.end_store(write, queue, token)) }
}

/// As sj_store_begin: SJ_LEAD, and its lease is the number of the write. One that is cancelled, or lies in a queue that is
/// freed, ends.
///
/// # Safety
/// The handles are live, `key` is readable, `value` is NULL or points to a readable slice, `put` and `opts` are NULL or structs
/// with their sizes, `held` has `held_len` numbers, `out` is valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_store_begin_async(
    cache: *const sj_cache,
    key: sj_slice,
    value: *const sj_slice,
    put: *const sj_put_opts,
    opts: *const sj_update_opts,
    held: *const u64,
    held_len: usize,
    queue: *const sj_queue,
    token: u64,
    out: *mut sj_completion,
) -> i32 {
    // SAFETY: the caller's promise, for all of it.
    unsafe {
        begun(THROUGH, cache, queue, token, out, |cache, queue| {
            Store::new(key, value, put, opts, held, held_len)?.begin(cache, queue, token)
        })
    }
}

/// As sj_store_end: SJ_OK with a receipt.
///
/// # Safety
/// The handles are live, `out` is valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_store_end_async(
    cache: *const sj_cache,
    write: u64,
    queue: *const sj_queue,
    token: u64,
    out: *mut sj_completion,
) -> i32 {
    // SAFETY: the caller's promise, for all of it.
    unsafe { begun(THROUGH, cache, queue, token, out, |cache, queue| cache.end_store(write, queue, token)) }
}
