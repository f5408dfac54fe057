//! The operations of a cache, one function each. `token` is the caller's number for the completion, should the answer
//! be pending; `ttl` is in seconds or undefined, `codec` a name or undefined; values are JSON text or bytes.

use scrubjay_core::ErrorKind;
use scrubjay_core::host::{self as seam, FetchFailure, FetchOptions, Language, PutOptions};

use crate::answer::{payload, read, step};
use crate::exchange::BATCH;
use crate::failure::{failure, failure_in};
use crate::host::HostRef;
use crate::input::{self, KeyRoom, keys, leases, put, slices, tags, value};
use crate::js::{Arguments, Handle, Js, UNDEFINED, Value};
use crate::table::table;

/// An open cache and the environment that opened it.
pub struct Cache {
    pub(crate) core: seam::Cache,
    pub(crate) host: HostRef,
}

pub(crate) fn cache<'call>(js: Js, value: Value) -> &'call Cache {
    match js.handle(value) {
        Handle::Cache(cache) => cache,
        _ => unreachable!("the first argument is a cache"),
    }
}

/// Gives the value of a check, or returns its failure.
macro_rules! check {
    ($checked:expr) => {
        match $checked {
            Ok(value) => value,
            Err(failure) => return failure,
        }
    };
}
pub(crate) use check;

/// `open(host, options)` → a cache, or a failure. `options` are JSON text.
pub fn open(js: Js, [host, options, ..]: Arguments) -> Value {
    let Handle::Host(host) = js.handle(host) else { unreachable!("the first argument is a host") };
    match seam::Cache::open(&js.as_text(options).unwrap_or_default()) {
        Ok(core) => js.external(Handle::Cache(Cache { core, host: host.clone() })),
        Err(error) => failure(js, &error),
    }
}

/// `copies_open(cache)` → the slot table, undefined where no copies may be kept. To be called before the first read.
pub fn copies_open(js: Js, [this, ..]: Arguments) -> Value {
    let core = &cache(js, this).core;
    core.keep_copies(Language::Node);
    // Without a window JavaScript asks the core at each hit.
    core.table().and_then(|slots| table(js, core.clone(), &slots)).unwrap_or(UNDEFINED)
}

/// `copies_wake(cache, id)`: from now on the environment is woken when copies have died, and told the id.
pub fn copies_wake(js: Js, [this, id, ..]: Arguments) -> Value {
    let this = cache(js, this);
    let (host, id) = (this.host.clone(), js.as_id(id));
    this.core.on_gone(move || host.note_gone(id));
    UNDEFINED
}

/// `copies_drain(cache)`: out comes a batch of the copies that have died.
pub fn copies_drain(js: Js, [this, ..]: Arguments) -> Value {
    let this = cache(js, this);
    let mut gone = Vec::with_capacity(BATCH);
    this.core.drain_copies(BATCH, &mut gone);
    this.host.exchange().tell_gone(&mut gone);
    UNDEFINED
}

/// `note_hits(cache, hits)`: counts hits on copies.
pub fn note_hits(js: Js, [this, hits, ..]: Arguments) -> Value {
    cache(js, this).core.note_hits(js.as_id(hits));
    UNDEFINED
}

/// `peek(cache, key)`: what memory has; never pending.
pub fn peek(js: Js, [this, key, ..]: Arguments) -> Value {
    let mut room = KeyRoom::new();
    let key = check!(room.read(js, key, "get"));
    let this = cache(js, this);
    match this.core.peek(key) {
        Ok(Some((value, copy))) => {
            this.host.exchange().grant(copy);
            payload(js, value)
        }
        Ok(None) => UNDEFINED,
        Err(error) => failure(js, &error),
    }
}

/// `get(cache, key, token)`
pub fn get(js: Js, [this, key, token, ..]: Arguments) -> Value {
    let this = cache(js, this);
    let mut room = KeyRoom::new();
    let key = check!(room.read(js, key, "get"));
    read(js, this.host.exchange(), "get", this.core.get(key, this.host.queue(), js.as_id(token)))
}

/// `set(cache, key, value, ttl, codec, token, tags)`
pub fn set(js: Js, [this, key, stored, ttl, codec, token, tags, ..]: Arguments) -> Value {
    let this = cache(js, this);
    let mut room = KeyRoom::new();
    let key = check!(room.read(js, key, "set"));
    let put = check!(put(js, ttl, codec, tags, "set"));
    step(js, "set", this.core.set(key, value(js, stored), &put, this.host.queue(), js.as_id(token)))
}

/// `remove(cache, key, token)`
pub fn remove(js: Js, [this, key, token, ..]: Arguments) -> Value {
    let this = cache(js, this);
    let mut room = KeyRoom::new();
    let key = check!(room.read(js, key, "delete"));
    step(js, "delete", this.core.delete(key, this.host.queue(), js.as_id(token)))
}

/// `invalidate_tags(cache, tags, token)`
pub fn invalidate_tags(js: Js, [this, named, token, ..]: Arguments) -> Value {
    const OPERATION: &str = "invalidate_tags";
    let this = cache(js, this);
    let named = check!(tags(js, named, OPERATION));
    step(js, OPERATION, this.core.invalidate_tags(&named, this.host.queue(), js.as_id(token)))
}

/// `clear(cache, token)`
pub fn clear(js: Js, [this, token, ..]: Arguments) -> Value {
    let this = cache(js, this);
    step(js, "clear", this.core.clear(this.host.queue(), js.as_id(token)))
}

/// `effective_staleness_bound(cache)` → seconds, Infinity where no bound can be told.
pub fn effective_staleness_bound(js: Js, [this, ..]: Arguments) -> Value {
    let bound = cache(js, this).core.effective_staleness_bound();
    js.number(bound.map_or(f64::INFINITY, |bound| bound.as_secs_f64()))
}

/// `observe(cache, token, keys)` → undefined, or a failure.
pub fn observe(js: Js, [this, token, many, ..]: Arguments) -> Value {
    let token = check!(input::token(js, token, "observe"));
    let keys = check!(keys(js, many, "observe"));
    match cache(js, this).core.observe(&slices(&keys), token) {
        Ok(()) => UNDEFINED,
        Err(error) => failure(js, &error),
    }
}

/// `stats(cache)` → JSON text.
pub fn stats(js: Js, [this, ..]: Arguments) -> Value {
    js.string(&cache(js, this).core.stats().to_json())
}

/// `close(cache, token)`
pub fn close(js: Js, [this, token, ..]: Arguments) -> Value {
    let this = cache(js, this);
    step(js, "close", this.core.close(this.host.queue(), js.as_id(token)))
}

/// `note_undecodable(cache, key)`
pub fn note_undecodable(js: Js, [this, key, ..]: Arguments) -> Value {
    let mut room = KeyRoom::new();
    let key = check!(room.read(js, key, "get"));
    cache(js, this).core.note_undecodable(key);
    UNDEFINED
}

/// `get_many(cache, keys, token)`
pub fn get_many(js: Js, [this, many, token, ..]: Arguments) -> Value {
    let this = cache(js, this);
    let keys = check!(keys(js, many, "get_many"));
    step(js, "get_many", this.core.get_many(&slices(&keys), this.host.queue(), js.as_id(token)))
}

/// `set_many(cache, keys, values, ttl, codec, token, tags)`
pub fn set_many(js: Js, [this, many, values, ttl, codec, token, tags, ..]: Arguments) -> Value {
    let this = cache(js, this);
    let keys = check!(keys(js, many, "set_many"));
    let put = check!(put(js, ttl, codec, tags, "set_many"));
    let values = js.as_array(values).into_iter().map(|stored| value(js, stored));
    let entries = keys.iter().map(Vec::as_slice).zip(values).collect();
    step(js, "set_many", this.core.set_many(entries, &put, this.host.queue(), js.as_id(token)))
}

/// `remove_many(cache, keys, token)`
pub fn remove_many(js: Js, [this, many, token, ..]: Arguments) -> Value {
    let this = cache(js, this);
    let keys = check!(keys(js, many, "delete_many"));
    step(js, "delete_many", this.core.delete_many(&slices(&keys), this.host.queue(), js.as_id(token)))
}

/// `begin(cache, key, token, ttl, codec, held, bypass, tags)`: `held` are the leases of the fetches inside which this is called,
/// an array or undefined; `bypass` is true where what is stored did not decode.
pub fn begin(js: Js, [this, key, token, ttl, codec, held, bypass, tags]: Arguments) -> Value {
    let this = cache(js, this);
    let mut room = KeyRoom::new();
    let key = check!(room.read(js, key, "get_or_fetch"));
    let put = check!(put(js, ttl, codec, tags, "get_or_fetch"));
    let held = leases(js, held);
    let options = FetchOptions { put, held: &held, owner: 0, blocking: false, bypass_cache: js.is_true(bypass) };
    let begun = this.core.begin(key, &options, this.host.queue(), js.as_id(token));
    read(js, this.host.exchange(), "get_or_fetch", begun)
}

/// `begin_many(cache, keys, token, ttl, codec, held, tags)`: the answers of keys that others load come under the tokens
/// `token + 1 + index`.
pub fn begin_many(js: Js, [this, many, token, ttl, codec, held, tags, ..]: Arguments) -> Value {
    let this = cache(js, this);
    let keys = check!(keys(js, many, "get_or_fetch_many"));
    let put = check!(put(js, ttl, codec, tags, "get_or_fetch_many"));
    let held = leases(js, held);
    let options = FetchOptions { put, held: &held, ..FetchOptions::default() };
    step(
        js,
        "get_or_fetch_many",
        this.core.begin_many(&slices(&keys), &options, this.host.queue(), js.as_id(token)),
    )
}

/// `fulfil(cache, lease, value, ttl, tags, discard)` → undefined, or a failure.
pub fn fulfil(js: Js, [this, lease, fetched, ttl, tags, discard, ..]: Arguments) -> Value {
    let this = cache(js, this);
    let put = match put(js, ttl, UNDEFINED, tags, "get_or_fetch") {
        Ok(put) => PutOptions { discard: js.is_true(discard), ..put },
        Err(refused) => {
            let message = "what the fetch says of the ttl or the tags of its value is wrong".to_owned();
            let failure = FetchFailure { kind: ErrorKind::InvalidOption, message, error_ref: 0 };
            // A lease that has ended has told its waiters already.
            drop(this.core.fail(js.as_id(lease), failure));
            return refused;
        }
    };
    match this.core.fulfil(js.as_id(lease), value(js, fetched), &put) {
        Ok(_) => UNDEFINED,
        // The caller has its value. That it is not stored is as it should be: its time was over, or the cache is
        // closed.
        Err(error) if matches!(error.kind(), ErrorKind::LeaseExpired | ErrorKind::Closed) => UNDEFINED,
        Err(error) => failure_in(js, "get_or_fetch", &error),
    }
}

/// `fail(cache, lease, kind, message, error_ref)` → a stale value to be served instead, or undefined. `kind` is
/// "NotFound", "InvalidValue" or "FetchFailed".
pub fn fail(js: Js, [this, lease, kind, message, error_ref, ..]: Arguments) -> Value {
    let this = cache(js, this);
    let kind = match js.as_text(kind).as_deref() {
        Some(b"NotFound") => ErrorKind::NotFound,
        Some(b"InvalidValue") => ErrorKind::InvalidValue,
        _ => ErrorKind::FetchFailed,
    };
    let message = String::from_utf8(js.as_text(message).unwrap_or_default()).unwrap_or_default();
    let failure = FetchFailure { kind, message, error_ref: js.as_id(error_ref) };
    match this.core.fail(js.as_id(lease), failure) {
        Ok(Some(stale)) => payload(js, stale),
        // A lease that has ended has told its waiters already.
        Ok(None) | Err(_) => UNDEFINED,
    }
}

/// `fail_remembered(cache, lease, message, error_ref)`
pub fn fail_remembered(js: Js, [this, lease, message, error_ref, ..]: Arguments) -> Value {
    let message = String::from_utf8(js.as_text(message).unwrap_or_default()).unwrap_or_default();
    // A lease that has ended has told its waiters already.
    drop(cache(js, this).core.fail_remembered(js.as_id(lease), message, js.as_id(error_ref)));
    UNDEFINED
}

/// `abandon(cache, lease)`
pub fn abandon(js: Js, [this, lease, ..]: Arguments) -> Value {
    cache(js, this).core.abandon(js.as_id(lease));
    UNDEFINED
}
