//! What serde_json would change in silence, found before it does: NaN and infinities become null there, keys
//! that are numbers become text, bytes become a list.

use std::fmt::{self, Write};

use bytes::Bytes;
use serde::ser::{
    self, Impossible, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant,
    SerializeTuple, SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use crate::error::{Error, ErrorKind, Result};

/// Walks through a value. Bytes at its top are returned: they go by the raw codec.
pub(super) fn check<T: Serialize + ?Sized>(operation: &'static str, value: &T) -> Result<Option<Bytes>> {
    let mut check = Check { path: String::from("$"), raw: None };
    match value.serialize(&mut check) {
        Ok(()) => Ok(check.raw),
        Err(Found(message)) => {
            let message = format!("{}: {message}", check.path);
            Err(Error::new(ErrorKind::InvalidValue, operation, message))
        }
    }
}

struct Check {
    /// Where the walk is, like `$.a[3]`; after an error, where it was found.
    path: String,
    raw: Option<Bytes>,
}

#[derive(Debug)]
struct Found(String);

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Found {}

impl ser::Error for Found {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Found(message.to_string())
    }
}

type Done = std::result::Result<(), Found>;

impl Check {
    fn float(&self, value: f64) -> Done {
        if value.is_finite() { Ok(()) } else { Err(Found(format!("{value} is not a JSON number"))) }
    }

    /// Walks into a part of the value. The path is put back only where all is well.
    fn inside<T: Serialize + ?Sized>(&mut self, segment: fmt::Arguments<'_>, value: &T) -> Done {
        let outside = self.path.len();
        // Writing to a String does not fail.
        let _ = self.path.write_fmt(segment);
        value.serialize(&mut *self)?;
        self.path.truncate(outside);
        Ok(())
    }

    fn parts(&mut self) -> Parts<'_> {
        Parts { check: self, index: 0, key: String::new() }
    }
}

struct Parts<'a> {
    check: &'a mut Check,
    index: usize,
    key: String,
}

impl Parts<'_> {
    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Done {
        self.check.inside(format_args!("[{}]", self.index), value)?;
        self.index += 1;
        Ok(())
    }

    fn field<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Done {
        self.check.inside(format_args!(".{name}"), value)
    }
}

macro_rules! fine {
    ($($method:ident($kind:ty)),* $(,)?) => {$(
        fn $method(self, _value: $kind) -> Done {
            Ok(())
        }
    )*};
}

impl<'a> Serializer for &'a mut Check {
    type Ok = ();
    type Error = Found;
    type SerializeSeq = Parts<'a>;
    type SerializeTuple = Parts<'a>;
    type SerializeTupleStruct = Parts<'a>;
    type SerializeTupleVariant = Parts<'a>;
    type SerializeMap = Parts<'a>;
    type SerializeStruct = Parts<'a>;
    type SerializeStructVariant = Parts<'a>;

    fine! {
        serialize_bool(bool), serialize_i8(i8), serialize_i16(i16), serialize_i32(i32), serialize_i64(i64),
        serialize_i128(i128), serialize_u8(u8), serialize_u16(u16), serialize_u32(u32), serialize_u64(u64),
        serialize_u128(u128), serialize_char(char), serialize_str(&str), serialize_unit_struct(&'static str),
    }

    fn serialize_f32(self, value: f32) -> Done {
        self.float(f64::from(value))
    }

    fn serialize_f64(self, value: f64) -> Done {
        self.float(value)
    }

    fn serialize_bytes(self, value: &[u8]) -> Done {
        if self.path != "$" {
            return Err(Found("bytes can be stored as a value of their own only".to_owned()));
        }
        self.raw = Some(Bytes::copy_from_slice(value));
        Ok(())
    }

    fn serialize_none(self) -> Done {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Done {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Done {
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Done {
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Done {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Done {
        self.inside(format_args!(".{variant}"), value)
    }

    fn serialize_seq(self, _: Option<usize>) -> std::result::Result<Parts<'a>, Found> {
        Ok(self.parts())
    }

    fn serialize_tuple(self, _: usize) -> std::result::Result<Parts<'a>, Found> {
        Ok(self.parts())
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> std::result::Result<Parts<'a>, Found> {
        Ok(self.parts())
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> std::result::Result<Parts<'a>, Found> {
        Ok(self.parts())
    }

    fn serialize_map(self, _: Option<usize>) -> std::result::Result<Parts<'a>, Found> {
        Ok(self.parts())
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> std::result::Result<Parts<'a>, Found> {
        Ok(self.parts())
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> std::result::Result<Parts<'a>, Found> {
        Ok(self.parts())
    }
}

macro_rules! items {
    ($($kind:ident::$method:ident),* $(,)?) => {$(
        impl $kind for Parts<'_> {
            type Ok = ();
            type Error = Found;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Done {
                self.item(value)
            }

            fn end(self) -> Done {
                Ok(())
            }
        }
    )*};
}

items! {
    SerializeSeq::serialize_element, SerializeTuple::serialize_element, SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field,
}

impl SerializeMap for Parts<'_> {
    type Ok = ();
    type Error = Found;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Done {
        self.key = key.serialize(KeyText)?;
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Done {
        let key = std::mem::take(&mut self.key);
        self.field(&key, value)
    }

    fn end(self) -> Done {
        Ok(())
    }
}

impl SerializeStruct for Parts<'_> {
    type Ok = ();
    type Error = Found;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Done {
        self.field(name, value)
    }

    fn end(self) -> Done {
        Ok(())
    }
}

impl SerializeStructVariant for Parts<'_> {
    type Ok = ();
    type Error = Found;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Done {
        self.field(name, value)
    }

    fn end(self) -> Done {
        Ok(())
    }
}

/// The text of a key; keys of any other kind are refused.
struct KeyText;

type Key = std::result::Result<String, Found>;

macro_rules! refused {
    ($($method:ident($kind:ty)),* $(,)?) => {$(
        fn $method(self, _value: $kind) -> Key {
            Err(not_text())
        }
    )*};
}

fn not_text() -> Found {
    Found("a key of a map must be text".to_owned())
}

impl Serializer for KeyText {
    type Ok = String;
    type Error = Found;
    type SerializeSeq = Impossible<String, Found>;
    type SerializeTuple = Impossible<String, Found>;
    type SerializeTupleStruct = Impossible<String, Found>;
    type SerializeTupleVariant = Impossible<String, Found>;
    type SerializeMap = Impossible<String, Found>;
    type SerializeStruct = Impossible<String, Found>;
    type SerializeStructVariant = Impossible<String, Found>;

    refused! {
        serialize_bool(bool), serialize_i8(i8), serialize_i16(i16), serialize_i32(i32), serialize_i64(i64),
        serialize_i128(i128), serialize_u8(u8), serialize_u16(u16), serialize_u32(u32), serialize_u64(u64),
        serialize_u128(u128), serialize_f32(f32), serialize_f64(f64), serialize_bytes(&[u8]),
        serialize_unit_struct(&'static str),
    }

    fn serialize_char(self, value: char) -> Key {
        Ok(value.to_string())
    }

    fn serialize_str(self, value: &str) -> Key {
        Ok(value.to_owned())
    }

    fn serialize_none(self) -> Key {
        Err(not_text())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Key {
        Err(not_text())
    }

    fn serialize_unit(self) -> Key {
        Err(not_text())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Key {
        Ok(variant.to_owned())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Key {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Key {
        Err(not_text())
    }

    fn serialize_seq(self, _: Option<usize>) -> std::result::Result<Self::SerializeSeq, Found> {
        Err(not_text())
    }

    fn serialize_tuple(self, _: usize) -> std::result::Result<Self::SerializeTuple, Found> {
        Err(not_text())
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> std::result::Result<Self::SerializeSeq, Found> {
        Err(not_text())
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> std::result::Result<Self::SerializeSeq, Found> {
        Err(not_text())
    }

    fn serialize_map(self, _: Option<usize>) -> std::result::Result<Self::SerializeMap, Found> {
        Err(not_text())
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> std::result::Result<Self::SerializeMap, Found> {
        Err(not_text())
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> std::result::Result<Self::SerializeMap, Found> {
        Err(not_text())
    }
}
