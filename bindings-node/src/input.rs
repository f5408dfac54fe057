//! Arguments on their way to the core.

use bytes::Bytes;
use scrubjay_core::host::{ConsistencyToken, PutOptions, Ttl};
use scrubjay_core::{Codec, ErrorKind};

use crate::failure::{failure_in, refuse};
use crate::js::{Js, Value};

/// The room for a key on the stack: the longest that is allowed, and what tells that one is longer.
const KEY_ROOM: usize = 1024 + 8;
/// Texts up to this many units are read on the stack, in one go.
const SMALL_TEXT: usize = 1024;

/// Where a key is read to: on the stack, unless it is too long.
pub struct KeyRoom {
    short: [u8; KEY_ROOM],
    long: Vec<u8>,
}

impl KeyRoom {
    /// Empty.
    pub fn new() -> Self {
        KeyRoom { short: [0; KEY_ROOM], long: Vec::new() }
    }

    /// Reads a key, a string or bytes; one of another type is answered with a failure.
    ///
    /// A key that is too long comes as it is: the core has a message for that.
    pub fn read(&mut self, js: Js, value: Value, operation: &str) -> Result<&[u8], Value> {
        let Some(length) = js.read_text(value, &mut self.short) else {
            return js.as_bytes(value).ok_or_else(|| {
                let message = format!("key must be a string or bytes, is {}", js.type_name(value));
                refuse(js, ErrorKind::InvalidKey, operation, &message)
            });
        };
        // U+FFFD may stand for what was no text.
        if self.short[..length].windows(3).any(|window| window == "\u{FFFD}".as_bytes())
            && js.has_lone_surrogate(value)
        {
            let message = "key has a surrogate that is not one of a pair: it is no text";
            return Err(refuse(js, ErrorKind::InvalidKey, operation, message));
        }
        if length + 4 < KEY_ROOM {
            return Ok(&self.short[..length]);
        }
        self.long = js.as_text(value).unwrap_or_default();
        Ok(&self.long)
    }
}

/// The keys of an array.
pub fn keys(js: Js, value: Value, operation: &str) -> Result<Vec<Vec<u8>>, Value> {
    let keys = js.as_array(value);
    let mut room = KeyRoom::new();
    keys.into_iter().map(|key| Ok(room.read(js, key, operation)?.to_vec())).collect()
}

/// The token of a receipt, from its text.
pub fn token(js: Js, value: Value, operation: &str) -> Result<ConsistencyToken, Value> {
    if js.units(value).is_none() {
        let message = format!("token must be a string of 32 hexadecimal digits, is {}", js.type_name(value));
        return Err(refuse(js, ErrorKind::InvalidOption, operation, &message));
    }
    let text = js.as_text(value).unwrap_or_default();
    std::str::from_utf8(&text).unwrap_or_default().parse().map_err(|error| failure_in(js, operation, &error))
}

/// Borrows each.
pub fn slices(keys: &[Vec<u8>]) -> Vec<&[u8]> {
    keys.iter().map(Vec::as_slice).collect()
}

/// A value as our JavaScript encodes it: a string is JSON text, everything else bytes.
pub fn value(js: Js, value: Value) -> scrubjay_core::host::Value {
    let Some(units) = js.units(value) else {
        let bytes = Bytes::copy_from_slice(js.as_bytes(value).unwrap_or_default());
        return scrubjay_core::host::Value { codec: Codec::Raw, bytes };
    };
    let bytes = if units <= SMALL_TEXT {
        let mut room = [0; SMALL_TEXT * 3 + 1];
        let length = js.read_text(value, &mut room).unwrap_or(0);
        Bytes::copy_from_slice(&room[..length])
    } else {
        js.as_text(value).unwrap_or_default().into()
    };
    scrubjay_core::host::Value { codec: Codec::Json, bytes }
}

/// How to store: `ttl` in seconds or undefined, `codec` by name or undefined, `tags` an array or undefined.
pub fn put(js: Js, ttl: Value, codec: Value, tags: Value, operation: &str) -> Result<PutOptions, Value> {
    let ttl = match js.as_number(ttl) {
        Some(seconds) => Ttl::from_seconds(seconds).map_err(|error| failure_in(js, operation, &error))?,
        None => match js.type_name(ttl) {
            "undefined" | "null" => Ttl::Default,
            other => {
                let message = format!("ttl must be a number of seconds, is {other}");
                return Err(refuse(js, ErrorKind::InvalidOption, operation, &message));
            }
        },
    };
    let codec = match js.as_text(codec).as_deref() {
        // "raw" is refused by the core.
        Some(b"raw") => Some(Codec::Raw),
        Some(b"json") => Some(Codec::Json),
        Some(b"msgpack") => Some(Codec::MsgPack),
        Some(_) => {
            let message = "codec must be \"json\" or \"msgpack\"";
            return Err(refuse(js, ErrorKind::InvalidOption, operation, message));
        }
        None => match js.type_name(codec) {
            "undefined" | "null" => None,
            other => {
                let message = format!("codec must be \"json\" or \"msgpack\", is {other}");
                return Err(refuse(js, ErrorKind::InvalidOption, operation, &message));
            }
        },
    };
    let tags = self::tags(js, tags, operation)?;
    Ok(PutOptions { ttl, codec, tags, discard: false })
}

/// The tags of an array, none of undefined. Their length and number are the core's to check.
pub fn tags(js: Js, value: Value, operation: &str) -> Result<Vec<Vec<u8>>, Value> {
    let read = |tag: Value| {
        let is_text = js.type_name(tag) == "a string";
        js.as_text(tag).filter(|_| is_text && !js.has_lone_surrogate(tag)).ok_or_else(|| {
            let is = if is_text { "has a surrogate that is not one of a pair" } else { js.type_name(tag) };
            let message = format!("tags must be strings, one is {is}");
            refuse(js, ErrorKind::InvalidOption, operation, &message)
        })
    };
    js.as_array(value).into_iter().map(read).collect()
}

/// The leases that a caller holds: an array of numbers, or undefined for none.
pub fn leases(js: Js, value: Value) -> Vec<u64> {
    js.as_array(value).into_iter().map(|lease| js.as_id(lease)).collect()
}
