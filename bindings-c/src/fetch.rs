//! get_or_fetch for a thread that waits, with a function of the caller that runs in that very thread.
//!
//! The core never calls it: this file runs it between sj_begin and sj_fulfil, as any host would.

use std::ffi::c_void;
use std::sync::Arc;

use bytes::Bytes;
use scrubjay_core::host::{Answer, Cache, FetchFailure, FetchOptions, Lease, PutOptions, Queue, Value};
use scrubjay_core::{Error, ErrorKind};

use crate::answer::completion;
use crate::args;
use crate::blocking::{hand_over, next, own_queue, waited};
use crate::cache::sj_cache;
use crate::error::{invalid, report, sj_error};
use crate::guard::{attempt, guarded};
use crate::lease::options;
use crate::types::{
    SJ_ERR_INVALID_OPTION, SJ_ERR_PARTIAL, SJ_HIT, SJ_OK, SJ_STALE, sj_buf, sj_fetch_opts, sj_put_opts, sj_slice,
};

/// A fetch under way: what it brings is put here. It lives as long as the call of the function that got it.
pub struct sj_fetch {
    values: Vec<Option<Brought>>,
    message: String,
    held: Vec<u64>,
}

/// A value, and how it is to be stored.
type Brought = (Value, PutOptions);

/// Fetches one value: calls sj_fetch_value and returns SJ_OK; or returns SJ_ERR_NOT_FOUND (remembered for
/// `negative_ttl`), SJ_ERR_CANCELLED (the next caller runs its own fetch), or SJ_ERR_FETCH_FAILED or any other negative
/// number, which is shared with all callers, with the message of sj_fetch_message.
///
/// It runs in the thread of its caller, and must return: no longjmp, no exception of C++.
pub type sj_fetch_fn = Option<unsafe extern "C" fn(user: *mut c_void, fetch: *mut sj_fetch) -> i32>;

/// Fetches many values: calls sj_fetch_value_at for each that it finds, and returns as sj_fetch_fn does. Keys that it
/// leaves out stay absent.
pub type sj_fetch_many_fn = Option<
    unsafe extern "C" fn(user: *mut c_void, fetch: *mut sj_fetch, missing: *const sj_slice, count: usize) -> i32,
>;

/// What the fetch brings: copied. `codec` is SJ_JSON or SJ_RAW.
///
/// # Safety
/// `fetch` is the one that the function was given; `value` is readable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_fetch_value(fetch: *mut sj_fetch, value: sj_slice, codec: u32) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { sj_fetch_value_at(fetch, 0, value, codec) }
}

/// What the fetch brings for `missing[index]`: copied. `codec` is SJ_JSON or SJ_RAW.
///
/// # Safety
/// `fetch` is the one that the function was given; `value` is readable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_fetch_value_at(
    fetch: *mut sj_fetch,
    index: usize,
    value: sj_slice,
    codec: u32,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { bring(fetch, index, value, |_| Ok((codec, PutOptions::default()))) }
}

/// As sj_fetch_value_at, with how the value is to be stored, where only the value tells: a ttl stands for that of the
/// call, tags are added to its own, and `codec` in `opts` says what the bytes are. See sj_fulfil.
///
/// # Safety
/// `fetch` is the one that the function was given; `value` is readable, `opts` is NULL or a struct with its size.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_fetch_value_as(
    fetch: *mut sj_fetch,
    index: usize,
    value: sj_slice,
    opts: *const sj_put_opts,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { bring(fetch, index, value, |operation| args::put(operation, opts)) }
}

/// Puts a value where the call will find it.
///
/// # Safety
/// `fetch` is NULL or that of a call under way; `value` is readable.
unsafe fn bring(
    fetch: *mut sj_fetch,
    index: usize,
    value: sj_slice,
    how: impl FnOnce(&'static str) -> Result<(u32, PutOptions), Error>,
) -> i32 {
    const OPERATION: &str = "get_or_fetch";
    // SAFETY: NULL or valid, says the caller.
    let Some(fetch) = (unsafe { fetch.as_mut() }) else { return SJ_ERR_INVALID_OPTION };
    let put = attempt(OPERATION, || {
        let (codec, put) = how(OPERATION)?;
        // SAFETY: readable, says the caller.
        let bytes = unsafe { args::bytes(OPERATION, "value", value)? };
        let value = args::value(OPERATION, codec, bytes)?;
        let place = fetch.values.get_mut(index).ok_or_else(|| invalid(OPERATION, "index is out of range"))?;
        *place = Some((value, put));
        Ok(())
    });
    put.map_or_else(
        |error| {
            // A function that returns this status says why, too.
            fetch.message = error.message();
            crate::error::status(error.kind())
        },
        |()| SJ_OK,
    )
}

/// What went wrong, for the callers: copied.
///
/// # Safety
/// `fetch` is the one that the function was given; `message` is readable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_fetch_message(fetch: *mut sj_fetch, message: sj_slice) -> i32 {
    // SAFETY: NULL or valid, says the caller.
    let Some(fetch) = (unsafe { fetch.as_mut() }) else { return SJ_ERR_INVALID_OPTION };
    // SAFETY: readable, says the caller.
    let Ok(text) = (unsafe { args::bytes("get_or_fetch", "message", message) }) else {
        return SJ_ERR_INVALID_OPTION;
    };
    guarded(crate::types::SJ_ERR_INTERNAL, || {
        fetch.message = String::from_utf8_lossy(text).into_owned();
        SJ_OK
    })
}

/// The leases inside which this fetch runs, its own last: for `held` in the options of calls that it makes, so that
/// a fetch that asks for its own key is refused instead of waiting for itself.
///
/// # Safety
/// `fetch` is the one that the function was given; `count` is valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_fetch_held(fetch: *const sj_fetch, count: *mut usize) -> *const u64 {
    // SAFETY: NULL or valid, says the caller.
    let held = unsafe { fetch.as_ref() }.map_or(&[][..], |fetch| &fetch.held);
    if !count.is_null() {
        // SAFETY: not NULL, and valid for a write, says the caller.
        unsafe { count.write(held.len()) };
    }
    held.as_ptr()
}

/// How a fetch ended.
enum Fetched {
    Values(Vec<Option<Brought>>),
    /// What the waiters hear, and the error of its own caller: the very status that the function returned.
    Failed(FetchFailure, Error),
    Cancelled,
}

/// Runs a fetch for `count` keys.
fn run(held: Vec<u64>, count: usize, fetch: impl FnOnce(*mut sj_fetch) -> i32) -> Fetched {
    let mut state = sj_fetch { values: vec![None; count], message: String::new(), held };
    let code = fetch(&mut state);
    if code == SJ_OK {
        return Fetched::Values(state.values);
    }
    let own = args::kind(code).filter(|_| code < 0).unwrap_or(ErrorKind::FetchFailed);
    let kind = match own {
        ErrorKind::Cancelled => return Fetched::Cancelled,
        ErrorKind::NotFound => ErrorKind::NotFound,
        _ => ErrorKind::FetchFailed,
    };
    let message = if state.message.is_empty() { format!("the fetch returned {code}") } else { state.message };
    let error = match own {
        ErrorKind::NotFound => Error::not_found(),
        own => Error::new(own, "get_or_fetch", message.clone()),
    };
    Fetched::Failed(FetchFailure { kind, message, error_ref: 0 }, error)
}

fn cancelled(operation: &'static str) -> Error {
    Error::new(ErrorKind::Cancelled, operation, "the fetch was cancelled")
}

/// Reads a key, or runs `fetch` and stores what it brings. Of all callers of a key in this process one runs its fetch,
/// the others wait for it.
///
/// Returns SJ_HIT with a value that was there or that another caller fetched, SJ_OK with what this call fetched,
/// SJ_STALE with a value past its ttl where the fetch failed, or an error: that of the fetch included. Free the value
/// with sj_buf_free. `opts`, `user`, `codec` and `err` may be NULL.
///
/// # Safety
/// `cache` is live, `key` is readable, `opts` is NULL or a struct with its size, `fetch` keeps to sj_fetch_fn, `value`
/// is valid for a write, `codec` and `err` are NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_get_or_fetch(
    cache: *const sj_cache,
    key: sj_slice,
    opts: *const sj_fetch_opts,
    fetch: sj_fetch_fn,
    user: *mut c_void,
    value: *mut sj_buf,
    codec: *mut u32,
    err: *mut *mut sj_error,
) -> i32 {
    const OPERATION: &str = "get_or_fetch";
    let got = attempt(OPERATION, || {
        // SAFETY: the caller's promise, for all of it.
        let (cache, key, o) = unsafe {
            args::object(OPERATION, "value", value)?;
            let key = args::bytes(OPERATION, "key", key)?;
            (args::object(OPERATION, "cache", cache)?, key, args::fetch(OPERATION, opts)?)
        };
        let fetch = fetch.ok_or_else(|| invalid(OPERATION, "fetch must not be NULL"))?;
        // SAFETY: the function keeps to its description, says the caller; `state` lives as long as the call.
        let call = |state| unsafe { fetch(user, state) };
        get_or_fetch(&cache.0, key, &options(&o, true), call)
    });
    match got {
        Ok((status, found)) => {
            // SAFETY: `value` was checked not to be NULL; otherwise the caller's promise.
            unsafe { hand_over(found, value, codec) };
            status
        }
        // SAFETY: NULL or valid for a write, says the caller.
        Err(error) => unsafe { report(&error, err) },
    }
}

fn get_or_fetch(
    cache: &Cache,
    key: &[u8],
    o: &FetchOptions<'_>,
    fetch: impl FnOnce(*mut sj_fetch) -> i32,
) -> Result<(i32, Value), Error> {
    match waited(cache, |cache, queue, token| cache.begin(key, o, queue, token))? {
        Answer::Hit { value, lease: None, .. } => Ok((SJ_HIT, value)),
        Answer::Stale { value, lease: None } => Ok((SJ_STALE, value)),
        // Drawn to refresh it ahead of its end: what was there is good even if that fails.
        Answer::Hit { value, lease: Some(lease), .. } => {
            Ok(lead(cache, lease, o, fetch).unwrap_or((SJ_HIT, value)))
        }
        Answer::Stale { value, lease: Some(lease) } => {
            Ok(lead(cache, lease, o, fetch).unwrap_or((SJ_STALE, value)))
        }
        Answer::Lead(lease) => lead(cache, lease, o, fetch),
        Answer::Bypass => match run(o.held.to_vec(), 1, fetch) {
            Fetched::Values(mut values) => {
                values.pop().flatten().map(|(value, _)| (SJ_OK, value)).ok_or_else(no_value)
            }
            Fetched::Failed(_, error) => Err(error),
            Fetched::Cancelled => Err(cancelled("get_or_fetch")),
        },
        answer => Err(unexpected(&answer)),
    }
}

fn no_value() -> Error {
    invalid("get_or_fetch", "fetch returned SJ_OK without a call of sj_fetch_value")
}

fn unexpected(answer: &Answer) -> Error {
    Error::new(ErrorKind::Internal, "get_or_fetch", format!("unexpected answer {answer:?}"))
}

fn inside(held: &[u64], leases: &[u64]) -> Vec<u64> {
    held.iter().chain(leases).copied().collect()
}

/// Runs the fetch of one lease and answers for it. Should it unwind, the lease is abandoned.
fn lead(
    cache: &Cache,
    lease: Lease,
    o: &FetchOptions<'_>,
    fetch: impl FnOnce(*mut sj_fetch) -> i32,
) -> Result<(i32, Value), Error> {
    let fetched = run(inside(o.held, &[lease.id()]), 1, fetch);
    settle(cache, lease, fetched, "get_or_fetch")
}

/// Answers for one lease.
fn settle(cache: &Cache, lease: Lease, fetched: Fetched, operation: &'static str) -> Result<(i32, Value), Error> {
    let (failure, error) = match fetched {
        Fetched::Cancelled => return Err(cancelled(operation)),
        Fetched::Values(mut values) => match values.pop().flatten() {
            Some((value, put)) => {
                // What it does not say is as in the begin.
                return match cache.fulfil(lease.into_id(), value.clone(), &put) {
                    // Its time was over, or the cache closed: the value is as good as any for its own caller.
                    Err(error) if !matches!(error.kind(), ErrorKind::LeaseExpired | ErrorKind::Closed) => {
                        Err(error)
                    }
                    _ => Ok((SJ_OK, value)),
                };
            }
            None => {
                let message = no_value().message();
                (FetchFailure { kind: ErrorKind::FetchFailed, message, error_ref: 0 }, no_value())
            }
        },
        Fetched::Failed(failure, error) => (failure, error),
    };
    match cache.fail(lease.into_id(), failure) {
        Ok(Some(stale)) => Ok((SJ_STALE, stale)),
        _ => Err(error),
    }
}

/// Reads many keys, no key twice, or runs `fetch` once for those that are missing and that nobody else is loading.
///
/// Returns SJ_OK, or SJ_ERR_PARTIAL when some keys failed; then too `items` begins with one sj_item for each key, as in
/// sj_get_many: SJ_HIT or SJ_STALE with a value, SJ_MISS for what the fetch left out, or an error with its message. Any
/// other error is of the whole call, and `items` is not written. Keys as in sj_get_many_async. `opts`, `user` and `err`
/// may be NULL.
///
/// # Safety
/// `cache` is live, `keys` is readable, `ends` has `count` numbers, `opts` is NULL or a struct with its size, `fetch`
/// keeps to sj_fetch_many_fn, `items` is valid for a write, `err` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sj_get_or_fetch_many(
    cache: *const sj_cache,
    keys: sj_slice,
    ends: *const u64,
    count: usize,
    opts: *const sj_fetch_opts,
    fetch: sj_fetch_many_fn,
    user: *mut c_void,
    items: *mut sj_buf,
    err: *mut *mut sj_error,
) -> i32 {
    const OPERATION: &str = "get_or_fetch_many";
    let got = attempt(OPERATION, || {
        // SAFETY: the caller's promise, for all of it.
        let (cache, keys, o) = unsafe {
            args::object(OPERATION, "items", items)?;
            let keys = args::strings(OPERATION, "keys", keys, ends, count)?;
            (args::object(OPERATION, "cache", cache)?, keys, args::fetch(OPERATION, opts)?)
        };
        let fetch = fetch.ok_or_else(|| invalid(OPERATION, "fetch must not be NULL"))?;
        let mut load = Many { cache: &cache.0, keys: &keys, o: options(&o, true), answers: Vec::new() };
        load.answers.resize_with(keys.len(), || Answer::Miss);
        // SAFETY: the function keeps to its description, says the caller; state and keys live as long as the call.
        load.run(|state, missing| unsafe { fetch(user, state, missing.as_ptr(), missing.len()) })?;
        let partial = load.answers.iter().any(|answer| matches!(answer, Answer::Failed(_)));
        Ok((partial, completion(0, Answer::Many(load.answers)).value))
    });
    match got {
        Ok((partial, packed)) => {
            // SAFETY: checked not to be NULL above; otherwise valid for a write, says the caller.
            unsafe { items.write(packed) };
            if partial { SJ_ERR_PARTIAL } else { SJ_OK }
        }
        // SAFETY: NULL or valid for a write, says the caller.
        Err(error) => unsafe { report(&error, err) },
    }
}

struct Many<'a> {
    cache: &'a Cache,
    keys: &'a [&'a [u8]],
    o: FetchOptions<'a>,
    answers: Vec<Answer>,
}

/// A key that this caller loads; no lease: unshared.
type Led = (usize, Option<Lease>);

impl Many<'_> {
    fn run(&mut self, mut fetch: impl FnMut(*mut sj_fetch, &[sj_slice]) -> i32) -> Result<(), Error> {
        let (queue, token) = own_queue(1 + self.keys.len() as u64);
        let step = self.cache.begin_many(self.keys, &self.o, &queue, token)?;
        let answer = match step {
            scrubjay_core::host::Step::Ready(answer) => answer,
            scrubjay_core::host::Step::Pending => next(&queue).ok_or_else(cancelled_wait)?.answer,
        };
        let answers = match answer {
            Answer::Many(answers) => answers,
            Answer::Failed(error) => return Err(error),
            answer => return Err(unexpected(&answer)),
        };
        let mut waiting = Waiting { queue: &queue, tokens: Vec::new() };
        let mut led = Vec::new();
        for (index, answer) in answers.into_iter().enumerate() {
            if matches!(answer, Answer::Waiting) {
                waiting.tokens.push(token + 1 + index as u64);
            } else {
                self.sort(index, answer, &mut led);
            }
        }
        self.lead(led, &mut fetch)?;
        while let Some(done) = waiting.next()? {
            let index = usize::try_from(done.token - token - 1).unwrap_or(usize::MAX);
            let mut led = Vec::new();
            self.sort(index, done.answer, &mut led);
            self.lead(led, &mut fetch)?;
        }
        Ok(())
    }

    fn sort(&mut self, index: usize, answer: Answer, led: &mut Vec<Led>) {
        let (kept, lease) = match answer {
            Answer::Lead(lease) => (Answer::Miss, Some(Some(lease))),
            Answer::Bypass => (Answer::Miss, Some(None)),
            Answer::Hit { value, lease, copy } => (Answer::Hit { value, lease: None, copy }, lease.map(Some)),
            Answer::Stale { value, lease } => (Answer::Stale { value, lease: None }, lease.map(Some)),
            answer => (answer, None),
        };
        self.answers[index] = kept;
        led.extend(lease.map(|lease| (index, lease)));
    }

    /// Runs the fetch once for these keys and answers their leases. It fails only when the fetch was cancelled.
    fn lead(
        &mut self,
        led: Vec<Led>,
        fetch: &mut impl FnMut(*mut sj_fetch, &[sj_slice]) -> i32,
    ) -> Result<(), Error> {
        if led.is_empty() {
            return Ok(());
        }
        let missing: Vec<sj_slice> = led
            .iter()
            .map(|(index, _)| sj_slice { ptr: self.keys[*index].as_ptr(), len: self.keys[*index].len() })
            .collect();
        let leases: Vec<u64> = led.iter().filter_map(|(_, lease)| lease.as_ref().map(Lease::id)).collect();
        let fetched = run(inside(self.o.held, &leases), led.len(), |state| fetch(state, &missing));
        let results: Vec<Option<Fetched>> = match fetched {
            Fetched::Cancelled => return Err(cancelled("get_or_fetch_many")),
            Fetched::Values(values) => {
                values.into_iter().map(|value| value.map(|value| Fetched::Values(vec![Some(value)]))).collect()
            }
            Fetched::Failed(failure, error) => {
                led.iter().map(|_| Some(Fetched::Failed(failure.clone(), error.clone()))).collect()
            }
        };
        for ((index, lease), result) in led.into_iter().zip(results) {
            // Left out: dropping the lease lets the next waiter ask the source itself.
            let Some(result) = result else { continue };
            let settled = match lease {
                Some(lease) => settle(self.cache, lease, result, "get_or_fetch_many"),
                None => unshared(result),
            };
            let was_there = matches!(self.answers[index], Answer::Hit { .. } | Answer::Stale { .. });
            match settled {
                Ok((SJ_STALE, value)) => self.answers[index] = Answer::Stale { value, lease: None },
                Ok((_, value)) => self.answers[index] = Answer::Hit { value, lease: None, copy: None },
                Err(_) if was_there => {}
                Err(error) => self.answers[index] = Answer::Failed(error),
            }
        }
        Ok(())
    }
}

fn unshared(fetched: Fetched) -> Result<(i32, Value), Error> {
    let nothing = Value { codec: scrubjay_core::Codec::Raw, bytes: Bytes::new() };
    match fetched {
        Fetched::Values(mut values) => Ok((SJ_OK, values.pop().flatten().map_or(nothing, |(value, _)| value))),
        Fetched::Failed(_, error) => Err(error),
        Fetched::Cancelled => Err(cancelled("get_or_fetch_many")),
    }
}

fn cancelled_wait() -> Error {
    crate::guard::defect("get_or_fetch_many")
}

/// The keys that others load. What is not waited for is taken back.
struct Waiting<'a> {
    queue: &'a Arc<Queue>,
    tokens: Vec<u64>,
}

impl Waiting<'_> {
    fn next(&mut self) -> Result<Option<scrubjay_core::host::Completion>, Error> {
        if self.tokens.is_empty() {
            return Ok(None);
        }
        let done = next(self.queue).ok_or_else(cancelled_wait)?;
        self.tokens.retain(|token| *token != done.token);
        Ok(Some(done))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        for token in &self.tokens {
            self.queue.cancel(*token);
        }
    }
}
