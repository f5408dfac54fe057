//! How values become bytes: JSON by default, MessagePack when asked for, bytes as they are.

mod check;
mod json;
mod msgpack;
mod raw;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, ErrorKind, Result};

pub(crate) use json::check_json;
pub(crate) use msgpack::{json_to_msgpack, msgpack_to_json};
pub use raw::Raw;

/// The codec of a stored value; the number travels with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum Codec {
    /// Bytes as they are.
    Raw = 0,
    /// JSON text.
    #[default]
    Json = 1,
    /// MessagePack: what JSON can say, in fewer bytes.
    MsgPack = 2,
}

impl Codec {
    /// The codec of this number.
    pub fn from_id(id: u8) -> Option<Self> {
        match id {
            0 => Some(Codec::Raw),
            1 => Some(Codec::Json),
            2 => Some(Codec::MsgPack),
            _ => None,
        }
    }
}

/// Encodes a value of Rust: bytes by the raw codec, everything else as JSON.
pub(crate) fn encode<T: Serialize + ?Sized>(operation: &'static str, value: &T) -> Result<(Codec, Bytes)> {
    match check::check(operation, value)? {
        Some(bytes) => Ok((Codec::Raw, bytes)),
        None => {
            let json = serde_json::to_vec(value).map_err(|error| invalid(operation, error.to_string()))?;
            Ok((Codec::Json, json.into()))
        }
    }
}

/// Decodes into a type of Rust: bytes only into types for bytes, such as [`Raw`].
pub(crate) fn decode<T: DeserializeOwned>(codec: Codec, bytes: &[u8]) -> Result<T> {
    let unreadable = |error: String| invalid("get", error);
    match codec {
        Codec::Raw => T::deserialize(raw::RawDeserializer(bytes)).map_err(|error| unreadable(error.to_string())),
        Codec::Json => serde_json::from_slice(bytes).map_err(|error| unreadable(error.to_string())),
        Codec::MsgPack => {
            let json = msgpack_to_json(bytes, crate::flight::MAX_DEPTH)?;
            serde_json::from_slice(&json).map_err(|error| unreadable(error.to_string()))
        }
    }
}

fn invalid(operation: &'static str, message: String) -> Error {
    Error::new(ErrorKind::InvalidValue, operation, message)
}

#[cfg(test)]
mod tests;
