//! A write-behind: one function for each of its calls. What runs writers is in `lib/write-behind.js`.

use std::time::Duration;

use scrubjay_core::ErrorKind;
use scrubjay_core::host::{self as seam, BatchOptions};

use crate::answer::step;
use crate::cache::{cache, check};
use crate::failure::{failure, refuse};
use crate::host::HostRef;
use crate::input::{KeyRoom, put, value};
use crate::js::{Arguments, Handle, Js, UNDEFINED, Value};
use crate::writes;

const OPERATION: &str = "write_behind";

/// A write-behind and the environment that opened it.
pub struct Behind {
    core: seam::WriteBehind,
    host: HostRef,
}

fn behind<'call>(js: Js, value: Value) -> &'call Behind {
    match js.handle(value) {
        Handle::Behind(behind) => behind,
        _ => unreachable!("the first argument is a write-behind"),
    }
}

/// `behind_open(cache, options)` → a write-behind, or a failure. `options` are JSON text.
pub fn behind_open(js: Js, [this, options, ..]: Arguments) -> Value {
    let this = cache(js, this);
    match seam::WriteBehind::open(&this.core, &js.as_text(options).unwrap_or_default()) {
        Ok(core) => js.external(Handle::Behind(Behind { core, host: this.host.clone() })),
        Err(error) => failure(js, &error),
    }
}

/// `behind_set(behind, key, value, ttl, codec, token, tags)` → done, or a lead.
pub fn behind_set(js: Js, [this, key, stored, ttl, codec, token, tags, ..]: Arguments) -> Value {
    let this = behind(js, this);
    let mut room = KeyRoom::new();
    let key = check!(room.read(js, key, OPERATION));
    let put = check!(put(js, ttl, codec, tags, OPERATION));
    step(js, OPERATION, this.core.set(key, &value(js, stored), &put, this.host.queue(), js.as_id(token)))
}

/// `behind_remove(behind, key, token)`
pub fn behind_remove(js: Js, [this, key, token, ..]: Arguments) -> Value {
    let this = behind(js, this);
    let mut room = KeyRoom::new();
    let key = check!(room.read(js, key, OPERATION));
    step(js, OPERATION, this.core.delete(key, this.host.queue(), js.as_id(token)))
}

/// `behind_delta(behind, key, change, token)`
pub fn behind_delta(js: Js, [this, key, change, token, ..]: Arguments) -> Value {
    let this = behind(js, this);
    let mut room = KeyRoom::new();
    let key = check!(room.read(js, key, OPERATION));
    step(js, OPERATION, this.core.delta(key, &value(js, change), this.host.queue(), js.as_id(token)))
}

/// `behind_turn(behind, lease)` → the write that its caller is to make, undefined where its time is over.
pub fn behind_turn(js: Js, [this, lease, ..]: Arguments) -> Value {
    behind(js, this).core.turn(js.as_id(lease)).map_or(UNDEFINED, |write| writes::one(js, write))
}

/// `behind_next(behind, token, maxItems, maxBytes, linger, wait)` → writes, or undefined where none came within `wait`.
pub fn behind_next(js: Js, [this, token, max_items, max_bytes, linger, wait, ..]: Arguments) -> Value {
    const NEXT: &str = "next_batch";
    let this = behind(js, this);
    let options = BatchOptions {
        max_items: usize::try_from(check!(whole(js, max_items, NEXT, "maxItems"))).unwrap_or(usize::MAX),
        max_bytes: check!(whole(js, max_bytes, NEXT, "maxBytes")),
        linger: check!(seconds(js, linger, NEXT, "linger")).unwrap_or_default(),
        wait: check!(seconds(js, wait, NEXT, "wait")),
    };
    step(js, NEXT, this.core.next_batch(options, this.host.queue(), js.as_id(token)))
}

/// `behind_ack(behind, numbers)` → how many.
pub fn behind_ack(js: Js, [this, numbers, ..]: Arguments) -> Value {
    writes::number(js, behind(js, this).core.ack(&ids(js, numbers)))
}

/// `behind_nack(behind, numbers, error, permanent)` → how many.
pub fn behind_nack(js: Js, [this, numbers, error, permanent, ..]: Arguments) -> Value {
    let error = String::from_utf8(js.as_text(error).unwrap_or_default()).unwrap_or_default();
    writes::number(js, behind(js, this).core.nack(&ids(js, numbers), &error, js.is_true(permanent)))
}

/// `behind_give_back(behind, numbers)`
pub fn behind_give_back(js: Js, [this, numbers, ..]: Arguments) -> Value {
    behind(js, this).core.give_back(&ids(js, numbers));
    UNDEFINED
}

/// `behind_letters(behind, after, limit, token)` → writes.
pub fn behind_letters(js: Js, [this, after, limit, token, ..]: Arguments) -> Value {
    const LETTERS: &str = "dead_letters";
    let this = behind(js, this);
    let limit = usize::try_from(check!(whole(js, limit, LETTERS, "limit"))).unwrap_or(usize::MAX);
    step(js, LETTERS, this.core.dead_letters(js.as_id(after), limit, this.host.queue(), js.as_id(token)))
}

/// `behind_replay(behind, numbers, token)` → how many.
pub fn behind_replay(js: Js, [this, numbers, token, ..]: Arguments) -> Value {
    let this = behind(js, this);
    step(js, "replay", this.core.replay(&ids(js, numbers), this.host.queue(), js.as_id(token)))
}

/// `behind_drop(behind, numbers, token)` → how many.
pub fn behind_drop(js: Js, [this, numbers, token, ..]: Arguments) -> Value {
    let this = behind(js, this);
    step(js, "drop", this.core.drop_letters(&ids(js, numbers), this.host.queue(), js.as_id(token)))
}

/// `behind_flush(behind, timeout, token)` → a report.
pub fn behind_flush(js: Js, [this, timeout, token, ..]: Arguments) -> Value {
    let this = behind(js, this);
    let time = check!(seconds(js, timeout, "flush", "timeout")).unwrap_or(seam::WriteBehind::DRAIN);
    step(js, "flush", this.core.flush(time, this.host.queue(), js.as_id(token)))
}

/// `behind_close(behind, timeout, token)` → a report.
pub fn behind_close(js: Js, [this, timeout, token, ..]: Arguments) -> Value {
    let this = behind(js, this);
    let time = check!(seconds(js, timeout, "close", "timeout")).unwrap_or(seam::WriteBehind::DRAIN);
    step(js, "close", this.core.close(time, this.host.queue(), js.as_id(token)))
}

/// `behind_stats(behind)` → JSON text.
pub fn behind_stats(js: Js, [this, ..]: Arguments) -> Value {
    js.string(&behind(js, this).core.stats().to_json())
}

fn ids(js: Js, numbers: Value) -> Vec<u64> {
    js.as_array(numbers).into_iter().map(|number| js.as_id(number)).collect()
}

/// A number of seconds; none where it is not given.
fn seconds(js: Js, value: Value, operation: &str, name: &str) -> Result<Option<Duration>, Value> {
    let wrong = |found: &str| {
        let message = format!("{name} must be a number of seconds of 0 or more, is {found}");
        refuse(js, ErrorKind::InvalidOption, operation, &message)
    };
    let Some(seconds) = js.as_number(value) else {
        let found = js.type_name(value);
        return if found == "undefined" { Ok(None) } else { Err(wrong(found)) };
    };
    Duration::try_from_secs_f64(seconds).map(Some).map_err(|_| wrong(&seconds.to_string()))
}

/// A whole number of 1 or more; 0 where it is not given.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked before")]
fn whole(js: Js, value: Value, operation: &str, name: &str) -> Result<u64, Value> {
    match js.as_number(value) {
        Some(number) if number.fract() == 0.0 && (1.0..=9.0e15).contains(&number) => Ok(number as u64),
        None if js.type_name(value) == "undefined" => Ok(0),
        _ => {
            let message = format!("{name} must be a whole number of 1 or more");
            Err(refuse(js, ErrorKind::InvalidOption, operation, &message))
        }
    }
}
