//! The two ends of an update, and what is known of a key.

use std::time::Duration;

use scrubjay_core::ErrorKind;
use scrubjay_core::host::UpdateOptions;

use crate::answer::step;
use crate::cache::{cache, check};
use crate::failure::refuse;
use crate::input::{KeyRoom, keys, slices};
use crate::js::{Arguments, Js, Value};

const UPDATE: &str = "update";

/// A number of seconds; none where it is not given.
fn time(js: Js, value: Value, name: &str) -> Result<Option<Duration>, Value> {
    let wrong = |found: &str| {
        let message = format!("{name} must be a number of seconds of 0 or more, is {found}");
        refuse(js, ErrorKind::InvalidOption, UPDATE, &message)
    };
    let Some(seconds) = js.as_number(value) else {
        let found = js.type_name(value);
        return if found == "undefined" { Ok(None) } else { Err(wrong(found)) };
    };
    Duration::try_from_secs_f64(seconds).map(Some).map_err(|_| wrong(&seconds.to_string()))
}

/// `begin_update(cache, keys, token, intentTtl, hold, strict)` → a lead, whose lease is the number of the update.
pub fn begin_update(js: Js, [this, many, token, intent_ttl, hold, strict, ..]: Arguments) -> Value {
    let this = cache(js, this);
    let keys = check!(keys(js, many, UPDATE));
    let mut options = UpdateOptions::new().strict(js.is_true(strict));
    if let Some(intent_ttl) = check!(time(js, intent_ttl, "intentTtl")) {
        options = options.intent_ttl(intent_ttl);
    }
    if let Some(hold) = check!(time(js, hold, "hold")) {
        options = options.hold(hold);
    }
    step(js, UPDATE, this.core.begin_update(&slices(&keys), &options, this.host.queue(), js.as_id(token)))
}

/// `end_update(cache, update, token)`
pub fn end_update(js: Js, [this, update, token, ..]: Arguments) -> Value {
    let this = cache(js, this);
    step(js, UPDATE, this.core.end_update(js.as_id(update), this.host.queue(), js.as_id(token)))
}

/// `explain(cache, key, token)` → JSON text.
pub fn explain(js: Js, [this, key, token, ..]: Arguments) -> Value {
    let this = cache(js, this);
    let mut room = KeyRoom::new();
    let key = check!(room.read(js, key, "explain"));
    step(js, "explain", this.core.explain(key, this.host.queue(), js.as_id(token)))
}
