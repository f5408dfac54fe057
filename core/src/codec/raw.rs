//! Bytes as values.

use std::fmt;
use std::ops::Deref;

use bytes::Bytes;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer, forward_to_deserialize_any};

/// Bytes that are stored as they are, whatever the codec of the cache.
///
/// Serde knows no "just these bytes" that differs from a list of numbers, hence this type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Raw(pub Bytes);

impl From<Vec<u8>> for Raw {
    fn from(bytes: Vec<u8>) -> Self {
        Raw(bytes.into())
    }
}

impl From<&[u8]> for Raw {
    fn from(bytes: &[u8]) -> Self {
        Raw(Bytes::copy_from_slice(bytes))
    }
}

impl From<Bytes> for Raw {
    fn from(bytes: Bytes) -> Self {
        Raw(bytes)
    }
}

impl Deref for Raw {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Serialize for Raw {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BytesVisitor;
        impl Visitor<'_> for BytesVisitor {
            type Value = Raw;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes stored by the raw codec")
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Raw, E> {
                Ok(Raw::from(bytes))
            }

            // A JSON string is no bytes: it would come here from serde_json otherwise.
            fn visit_str<E: de::Error>(self, _text: &str) -> Result<Raw, E> {
                Err(E::custom("text is no bytes"))
            }
        }
        // Asked for by a name of its own: a deserializer that gives bytes for text must not be taken for one that
        // holds bytes.
        deserializer.deserialize_newtype_struct(NAME, BytesVisitor)
    }
}

const NAME: &str = "$scrubjay::Raw";

/// Gives stored bytes to types that take bytes, and to no other.
pub(super) struct RawDeserializer<'a>(pub &'a [u8]);

impl<'de> Deserializer<'de> for RawDeserializer<'_> {
    type Error = de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Self::Error> {
        Err(de::Error::custom("stored are bytes, which only a type for bytes can hold"))
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_bytes(self.0)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_bytes(self.0)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        if name == NAME { visitor.visit_bytes(self.0) } else { visitor.visit_newtype_struct(self) }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string option unit unit_struct seq tuple
        tuple_struct map struct enum identifier ignored_any
    }
}
