//! The two ends of an update, and what is known of a key.

use std::time::Duration;

use scrubjay_core::ErrorKind;
use scrubjay_core::host::UpdateOptions;

use crate::answer::step;
use crate::cache::{cache, check};
use crate::failure::refuse;
use crate::input::{KeyRoom, keys, slices, tags};
use crate::js::{Arguments, Js, UNDEFINED, Value};

const UPDATE: &str = "update";

/// A number of seconds; none where it is not given.
fn time(js: Js, value: Value, name: &str, operation: &str) -> Result<Option<Duration>, Value> {
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

/// How an update goes: an array of `intentTtl`, `hold`, `strict` and `tags`.
pub(crate) fn options(js: Js, how: Value, operation: &str) -> Result<UpdateOptions, Value> {
    let how = js.as_array(how);
    let part = |at: usize| how.get(at).copied().unwrap_or(UNDEFINED);
    let mut options = UpdateOptions::new().strict(js.is_true(part(2)));
    if let Some(intent_ttl) = time(js, part(0), "intentTtl", operation)? {
        options = options.intent_ttl(intent_ttl);
    }
    if let Some(hold) = time(js, part(1), "hold", operation)? {
        options = options.hold(hold);
    }
    Ok(match js.type_name(part(3)) {
        "undefined" => options,
        _ => options.tags(tags(js, part(3), operation)?),
    })
}

/// `begin_update(cache, keys, token, how)` → a lead, whose lease is the number of the update.
pub fn begin_update(js: Js, [this, many, token, how, ..]: Arguments) -> Value {
    let this = cache(js, this);
    let keys = check!(keys(js, many, UPDATE));
    let options = check!(options(js, how, UPDATE));
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
