//! The JSON form of the options.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{Options, invalid};
use crate::codec::Codec;
use crate::error::Result;
use crate::key::Format;

/// More than any honest set of options, PEM texts included.
const MAX_JSON: usize = 1 << 20;

pub(super) fn from_json(json: &[u8]) -> Result<Options> {
    if json.len() > MAX_JSON {
        return Err(invalid(format!("options must be at most {MAX_JSON} bytes of JSON, are {}", json.len())));
    }
    let mut options = Options::default();
    if json.is_empty() {
        return Ok(options);
    }
    let fields: Map<String, Value> = serde_json::from_slice(json)
        .map_err(|error| invalid(format!("options must be a JSON object: {error}")))?;
    for (name, value) in &fields {
        apply(&mut options, name, value)?;
    }
    Ok(options)
}

fn apply(options: &mut Options, name: &str, value: &Value) -> Result<()> {
    match name {
        "url" => options.url = text(name, value)?,
        "prefix" => options.prefix = text(name, value)?,
        "ttl" => options.ttl = seconds(name, value)?,
        "stale_for" => options.stale_for = optional(value, |value| seconds(name, value))?,
        "jitter" => {
            options.jitter = value.as_f64().ok_or_else(|| wrong(name, "a number from 0 to 0.5", value))?;
        }
        "fetch_soft_timeout" => options.fetch_soft_timeout = optional(value, |value| seconds(name, value))?,
        "fetch_hard_timeout" => options.fetch_hard_timeout = seconds(name, value)?,
        "l2_timeout" => options.l2_timeout = seconds(name, value)?,
        "breaker" => options.breaker = boolean(name, value)?,
        "max_staleness" => options.max_staleness = seconds(name, value)?,
        "l1_bytes" => options.l1_bytes = whole(name, value)?,
        "l1_entries" => options.l1_entries = optional(value, |value| whole(name, value))?,
        "max_value" => options.max_value = usize::try_from(whole(name, value)?).unwrap_or(usize::MAX),
        "isolate" => options.isolate = boolean(name, value)?,
        "negative_ttl" => options.negative_ttl = seconds(name, value)?,
        "origin_concurrency" => {
            options.origin_concurrency = usize::try_from(whole(name, value)?).unwrap_or(usize::MAX);
        }
        "codec" => {
            options.codec = match value.as_str() {
                Some("json") => Codec::Json,
                Some("msgpack") => Codec::MsgPack,
                _ => return Err(wrong(name, "\"json\" or \"msgpack\"", value)),
            }
        }
        "max_tags" => options.max_tags = usize::try_from(whole(name, value)?).unwrap_or(usize::MAX),
        "refresh_ahead" => options.refresh_ahead = boolean(name, value)?,
        "format" => {
            options.format = match value.as_str() {
                Some("scrubjay") => Format::Scrubjay,
                Some("plain") => Format::Plain,
                _ => return Err(wrong(name, "\"scrubjay\" or \"plain\"", value)),
            }
        }
        "tracking" => options.tracking = boolean(name, value)?,
        "subscribe_invalidations" => {
            options.subscribe_invalidations = optional(value, |value| text(name, value))?;
        }
        "publish_invalidations" => options.publish_invalidations = optional(value, |value| text(name, value))?,
        "tls_ca" => options.tls_ca = optional(value, |value| text(name, value))?,
        "tls_cert" => options.tls_cert = optional(value, |value| text(name, value))?,
        "tls_key" => options.tls_key = optional(value, |value| text(name, value))?,
        "username" => options.username = optional(value, |value| text(name, value))?,
        "password" => options.password = optional(value, |value| text(name, value))?,
        _ => return Err(invalid(format!("{:?} is not an option", shortened(name)))),
    }
    Ok(())
}

fn optional<T>(value: &Value, read: impl FnOnce(&Value) -> Result<T>) -> Result<Option<T>> {
    if value.is_null() { Ok(None) } else { read(value).map(Some) }
}

fn text(name: &str, value: &Value) -> Result<String> {
    value.as_str().map(str::to_owned).ok_or_else(|| wrong(name, "a string", value))
}

fn boolean(name: &str, value: &Value) -> Result<bool> {
    value.as_bool().ok_or_else(|| wrong(name, "true or false", value))
}

fn whole(name: &str, value: &Value) -> Result<u64> {
    let number = value.as_u64().or_else(|| {
        // JavaScript and Lua write whole numbers as floats.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked in the filter")]
        value.as_f64().filter(|n| n.fract() == 0.0 && (0.0..=9.0e15).contains(n)).map(|n| n as u64)
    });
    number.ok_or_else(|| wrong(name, "a whole number of 0 or more", value))
}

fn seconds(name: &str, value: &Value) -> Result<Duration> {
    value
        .as_f64()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| wrong(name, "a number of seconds of 0 or more", value))
}

fn wrong(name: &str, expected: &str, value: &Value) -> crate::error::Error {
    // The value itself may be a secret in the wrong place: only its kind is told, and numbers.
    let found = match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "a boolean".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(_) => "a string".to_owned(),
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    };
    invalid(format!("{name} must be {expected}, is {found}"))
}

fn shortened(name: &str) -> String {
    name.chars().take(64).collect()
}
