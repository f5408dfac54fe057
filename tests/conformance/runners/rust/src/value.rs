//! Values of the corpus as a program in Rust would have them.

use std::collections::BTreeMap;
use std::fmt;

use scrubjay::Raw;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::json::Json;

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    Bytes(Raw),
    List(Vec<Value>),
    Object(BTreeMap<String, Value>),
}

impl Value {
    /// What a JSON text of the corpus means: {"$bytes": …} and its like are what JSON does not have.
    pub fn build(json: &Json) -> Result<Value, String> {
        let text = json.text();
        let wrong = || format!("{text} is no value of the corpus");
        match text.as_bytes().first() {
            Some(b'n') => Ok(Value::Null),
            Some(b't' | b'f') => Ok(Value::Bool(text == "true")),
            Some(b'"') => json.string().map(Value::Text).ok_or_else(wrong),
            Some(b'[') => {
                let parts = json.list().ok_or_else(wrong)?;
                parts.iter().map(Value::build).collect::<Result<_, _>>().map(Value::List)
            }
            Some(b'{') => {
                let fields: BTreeMap<String, Json> = serde_json::from_str(text).map_err(|_| wrong())?;
                if let (1, Some((tag, argument))) = (fields.len(), fields.first_key_value())
                    && tag.starts_with('$')
                {
                    return tagged(tag, argument).ok_or_else(wrong);
                }
                let built = fields.iter().map(|(name, value)| Ok((name.clone(), Value::build(value)?)));
                built.collect::<Result<_, String>>().map(Value::Object)
            }
            _ if text.contains(['.', 'e', 'E']) => text.parse().map(Value::Float).map_err(|_| wrong()),
            _ => text.parse().map(Value::Int).map_err(|_| wrong()),
        }
    }

    /// A key: text or bytes.
    pub fn key(json: &Json) -> Result<Vec<u8>, String> {
        match Value::build(json)? {
            Value::Text(text) => Ok(text.into_bytes()),
            Value::Bytes(bytes) => Ok(bytes.to_vec()),
            _ => Err(format!("{} is no key", json.text())),
        }
    }

    /// A key of a call on many, which takes text only.
    pub fn text_key(json: &Json) -> Result<String, String> {
        String::from_utf8(Value::key(json)?).map_err(|_| format!("{} is no text", json.text()))
    }
}

fn tagged(tag: &str, argument: &Json) -> Option<Value> {
    match tag {
        "$bytes" => base64(&argument.string()?).map(|bytes| Value::Bytes(bytes.into())),
        "$int" => argument.string()?.parse().ok().map(Value::Int),
        "$float" => match argument.string()?.as_str() {
            "NaN" => Some(Value::Float(f64::NAN)),
            "Infinity" => Some(Value::Float(f64::INFINITY)),
            "-Infinity" => Some(Value::Float(f64::NEG_INFINITY)),
            _ => None,
        },
        "$nested" => {
            let depth: usize = argument.text().parse().ok()?;
            Some((1..depth).fold(Value::List(Vec::new()), |inner, _| Value::List(vec![inner])))
        }
        "$repeat" => {
            let (text, count): (String, usize) = serde_json::from_str(argument.text()).ok()?;
            Some(Value::Text(text.repeat(count)))
        }
        "$bytes_repeat" => {
            let (byte, count): (u8, usize) = serde_json::from_str(argument.text()).ok()?;
            Some(Value::Bytes(vec![byte; count].into()))
        }
        _ => None,
    }
}

fn base64(text: &str) -> Option<Vec<u8>> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for digit in text.bytes().filter(|digit| *digit != b'=') {
        let value = ALPHABET.iter().position(|letter| *letter == digit)?;
        bits = bits << 6 | u32::try_from(value).ok()?;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xff) as u8);
        }
    }
    Some(bytes)
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text: String = format!("{self:?}").chars().take(200).collect();
        f.write_str(&text)
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Null => serializer.serialize_none(),
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::Int(value) => match (i64::try_from(*value), u64::try_from(*value)) {
                (Ok(value), _) => serializer.serialize_i64(value),
                (_, Ok(value)) => serializer.serialize_u64(value),
                _ => serializer.serialize_i128(*value),
            },
            Value::Float(value) => serializer.serialize_f64(*value),
            Value::Text(value) => serializer.serialize_str(value),
            Value::Bytes(value) => value.serialize(serializer),
            Value::List(values) => {
                let mut list = serializer.serialize_seq(Some(values.len()))?;
                values.iter().try_for_each(|value| list.serialize_element(value))?;
                list.end()
            }
            Value::Object(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                fields.iter().try_for_each(|(name, value)| map.serialize_entry(name, value))?;
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Int(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_bytes<E>(self, value: &[u8]) -> Result<Value, E> {
        Ok(Value::Bytes(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(part) = parts.next_element()? {
            list.push(part);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut object = BTreeMap::new();
        while let Some((name, value)) = fields.next_entry()? {
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}
