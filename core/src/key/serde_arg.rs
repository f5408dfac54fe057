//! Arguments of Rust: whatever serde can serialise.
//!
//! What looks the same to serde is told apart where a key could suffer: a set has an order of its own in each process, and
//! `Some(None)` would be `None`.

use std::fmt;

use serde::ser::{self, Serialize, Serializer};

use super::arg::Arg;

/// The deepest nesting of an argument.
const MAX_DEPTH: usize = 64;

/// An argument as keys see it.
///
/// # Errors
/// What it has that no key can tell, as a sentence.
pub(crate) fn argument<T: Serialize + ?Sized>(value: &T) -> Result<Arg, Unusable> {
    at(0, value)
}

/// Why something cannot be a part of a key.
#[derive(Debug)]
pub(crate) struct Unusable(String);

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unusable {}

impl ser::Error for Unusable {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Unusable(message.to_string())
    }
}

fn at<T: Serialize + ?Sized>(depth: usize, value: &T) -> Result<Arg, Unusable> {
    if depth > MAX_DEPTH {
        return Err(Unusable(format!("it is nested deeper than {MAX_DEPTH} levels")));
    }
    let argument = value.serialize(Reader { depth })?;
    Ok(match argument {
        Arg::List(items) if is_set(std::any::type_name::<T>()) => Arg::Set(items),
        // The empty tuple, which serde takes for null: of a function without arguments, none.
        Arg::Null if std::any::type_name::<T>() == "()" => Arg::Tuple(Vec::new()),
        argument => argument,
    })
}

/// Whether a type is a set of the standard library, which serde shows as a list.
fn is_set(mut name: &str) -> bool {
    const AROUND: [&str; 5] = ["&", "mut ", "alloc::boxed::Box<", "alloc::sync::Arc<", "alloc::rc::Rc<"];
    while let Some(inner) = AROUND.iter().find_map(|prefix| name.strip_prefix(prefix)) {
        name = inner;
    }
    name.starts_with("std::collections::hash::set::HashSet<")
        || name.starts_with("alloc::collections::btree::set::BTreeSet<")
}

#[derive(Clone, Copy)]
struct Reader {
    depth: usize,
}

impl Reader {
    fn inside<T: Serialize + ?Sized>(self, value: &T) -> Result<Arg, Unusable> {
        at(self.depth + 1, value)
    }

    fn gather(self, name: Option<&'static str>) -> Gather {
        Gather { reader: self, variant: name, items: Vec::new() }
    }

    fn fields(self, name: Option<&'static str>) -> Fields {
        Fields { reader: self, variant: name, key: None, entries: Vec::new() }
    }
}

macro_rules! integers {
    ($($method:ident($type:ty))*) => {$(
        fn $method(self, value: $type) -> Result<Arg, Unusable> {
            Ok(Arg::Int(value.into()))
        }
    )*};
}

impl Serializer for Reader {
    type Ok = Arg;
    type Error = Unusable;
    type SerializeSeq = Gather;
    type SerializeTuple = Tuple;
    type SerializeTupleStruct = Tuple;
    type SerializeTupleVariant = Tuple;
    type SerializeMap = Fields;
    type SerializeStruct = Fields;
    type SerializeStructVariant = Fields;

    integers! {
        serialize_i8(i8) serialize_i16(i16) serialize_i32(i32) serialize_i64(i64) serialize_i128(i128)
        serialize_u8(u8) serialize_u16(u16) serialize_u32(u32) serialize_u64(u64)
    }

    fn serialize_u128(self, value: u128) -> Result<Arg, Unusable> {
        Ok(Arg::integer(value.to_string()))
    }

    fn serialize_bool(self, value: bool) -> Result<Arg, Unusable> {
        Ok(Arg::Bool(value))
    }

    fn serialize_f32(self, value: f32) -> Result<Arg, Unusable> {
        Ok(Arg::Float(value.into()))
    }

    fn serialize_f64(self, value: f64) -> Result<Arg, Unusable> {
        Ok(Arg::Float(value))
    }

    fn serialize_char(self, value: char) -> Result<Arg, Unusable> {
        Ok(Arg::Str(value.into()))
    }

    fn serialize_str(self, value: &str) -> Result<Arg, Unusable> {
        Ok(Arg::Str(value.to_owned()))
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<Arg, Unusable> {
        Ok(Arg::Bytes(value.to_owned()))
    }

    fn serialize_none(self) -> Result<Arg, Unusable> {
        Ok(Arg::Null)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Arg, Unusable> {
        let inner = self.inside(value)?;
        let is_nothing = match &inner {
            Arg::Null => true,
            Arg::Typed(name, _) => name == "some",
            _ => false,
        };
        Ok(if is_nothing { Arg::Typed("some".to_owned(), Box::new(inner)) } else { inner })
    }

    fn serialize_unit(self) -> Result<Arg, Unusable> {
        Ok(Arg::Null)
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<Arg, Unusable> {
        Ok(Arg::Null)
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<Arg, Unusable> {
        Ok(Arg::Str(variant.to_owned()))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<Arg, Unusable> {
        self.inside(value)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Arg, Unusable> {
        Ok(of_variant(Some(variant), self.inside(value)?))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Gather, Unusable> {
        Ok(self.gather(None))
    }

    fn serialize_tuple(self, _: usize) -> Result<Tuple, Unusable> {
        Ok(Tuple(self.gather(None)))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Tuple, Unusable> {
        Ok(Tuple(self.gather(None)))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Tuple, Unusable> {
        Ok(Tuple(self.gather(Some(variant))))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Fields, Unusable> {
        Ok(self.fields(None))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Fields, Unusable> {
        Ok(self.fields(None))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Fields, Unusable> {
        Ok(self.fields(Some(variant)))
    }
}

/// A variant with something in it, as JSON has it.
fn of_variant(variant: Option<&'static str>, value: Arg) -> Arg {
    match variant {
        Some(name) => Arg::Map(vec![(Arg::Str(name.to_owned()), value)]),
        None => value,
    }
}

/// The parts of a list.
struct Gather {
    reader: Reader,
    variant: Option<&'static str>,
    items: Vec<Arg>,
}

impl Gather {
    fn add<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unusable> {
        self.items.push(self.reader.inside(value)?);
        Ok(())
    }
}

impl ser::SerializeSeq for Gather {
    type Ok = Arg;
    type Error = Unusable;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unusable> {
        self.add(value)
    }

    fn end(self) -> Result<Arg, Unusable> {
        Ok(Arg::List(self.items))
    }
}

/// The parts of a tuple.
struct Tuple(Gather);

macro_rules! tuples {
    ($($trait:ident::$method:ident)*) => {$(
        impl ser::$trait for Tuple {
            type Ok = Arg;
            type Error = Unusable;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unusable> {
                self.0.add(value)
            }

            fn end(self) -> Result<Arg, Unusable> {
                Ok(of_variant(self.0.variant, Arg::Tuple(self.0.items)))
            }
        }
    )*};
}

tuples! {
    SerializeTuple::serialize_element
    SerializeTupleStruct::serialize_field
    SerializeTupleVariant::serialize_field
}

/// The entries of a map, or the fields of a struct.
struct Fields {
    reader: Reader,
    variant: Option<&'static str>,
    key: Option<Arg>,
    entries: Vec<(Arg, Arg)>,
}

impl Fields {
    fn add<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Unusable> {
        let value = self.reader.inside(value)?;
        self.entries.push((Arg::Str(name.to_owned()), value));
        Ok(())
    }
}

impl ser::SerializeMap for Fields {
    type Ok = Arg;
    type Error = Unusable;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Unusable> {
        self.key = Some(self.reader.inside(key)?);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unusable> {
        let value = self.reader.inside(value)?;
        self.entries.push((self.key.take().unwrap_or(Arg::Null), value));
        Ok(())
    }

    fn end(self) -> Result<Arg, Unusable> {
        Ok(Arg::Map(self.entries))
    }
}

macro_rules! structs {
    ($($trait:ident)*) => {$(
        impl ser::$trait for Fields {
            type Ok = Arg;
            type Error = Unusable;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), Unusable> {
                self.add(name, value)
            }

            fn end(self) -> Result<Arg, Unusable> {
                Ok(of_variant(self.variant, Arg::Map(self.entries)))
            }
        }
    )*};
}

structs! { SerializeStruct SerializeStructVariant }
