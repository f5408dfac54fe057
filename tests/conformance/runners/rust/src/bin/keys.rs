//! The worker of Rust of `make test-keys`: prints a digest of the keys of each block of structures, and how many were unstable.
//! The structures are those of tests/proof/keys/structures.py.

use ring::digest::{Context, SHA256};
use scrubjay::{CacheService, CachedOptions, Raw, cached};
use serde::ser::{Serialize, SerializeTuple, Serializer};

const PIECES: [&str; 20] = [
    "a", "b", "1", "\"", "\\", "\n", "\0", "é", "中", "🐦", "\u{e000}", ",", "}", "]", ")", ":", " ", "!", "#",
    "=",
];
const WORDS: [&str; 10] = ["", "1", "1.5", "true", "null", "[]", "{}", "x\"\"", "NaN", "<>"];
const DEEPEST: u32 = 3;
const BLOCK: u64 = 1000;

struct Random(u32);

enum Value {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    Bytes(Raw),
    List(Vec<Value>),
    /// In the order in which its names came.
    Map(Vec<(String, Value)>),
}

/// A value, with its maps in one order or the other.
struct Ordered<'a>(&'a Value, bool);

impl Serialize for Ordered<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Null => serializer.serialize_none(),
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::Int(value) => serializer.serialize_i128(*value),
            Value::Float(value) => serializer.serialize_f64(*value),
            Value::Text(value) => serializer.serialize_str(value),
            Value::Bytes(value) => value.serialize(serializer),
            Value::List(items) => serializer.collect_seq(items.iter().map(|item| Ordered(item, self.1))),
            Value::Map(entries) => {
                let mut pairs: Vec<(&str, Ordered<'_>)> =
                    entries.iter().map(|(name, value)| (name.as_str(), Ordered(value, self.1))).collect();
                if self.1 {
                    pairs.reverse();
                }
                serializer.collect_map(pairs)
            }
        }
    }
}

struct Arguments<'a>(&'a [Value], bool);

impl Serialize for Arguments<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(self.0.len())?;
        self.0.iter().try_for_each(|argument| tuple.serialize_element(&Ordered(argument, self.1)))?;
        tuple.end()
    }
}

impl Random {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x6D2B_79F5);
        let mut t = self.0;
        t = (t ^ (t >> 15)).wrapping_mul(t | 1);
        t ^= t.wrapping_add((t ^ (t >> 7)).wrapping_mul(t | 61));
        t ^ (t >> 14)
    }

    fn below(&mut self, count: u32) -> u32 {
        self.next() % count
    }

    fn several<T>(&mut self, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let count = self.below(4);
        (0..count).map(|_| make(self)).collect()
    }

    fn value(&mut self, depth: u32) -> Value {
        match self.below(if depth < DEEPEST { 12 } else { 8 }) {
            0 => Value::Null,
            1 => Value::Bool(self.below(2) == 1),
            2 | 3 => Value::Int(i128::from(self.below(5)) - 2),
            4 => {
                let (high, low) = (self.next(), self.next());
                let magnitude = i128::from(high) << 32 | i128::from(low);
                Value::Int(if self.below(2) == 1 { -magnitude } else { magnitude })
            }
            5 => Value::Float(self.number()),
            6 if self.below(2) == 1 => Value::Text(self.text()),
            6 => Value::Text(WORDS[self.below(10) as usize].to_owned()),
            7 => {
                let bytes: Vec<u8> = self.several(|random| u8::try_from(random.below(256)).unwrap_or_default());
                Value::Bytes(bytes.into())
            }
            8 | 9 => Value::List(self.several(|random| random.value(depth + 1))),
            _ => {
                let mut entries: Vec<(String, Value)> = Vec::new();
                let all = self.several(|random| {
                    let name = random.text();
                    (name, random.value(depth + 1))
                });
                for (name, value) in all {
                    // The last one of a name counts.
                    entries.retain(|(other, _)| *other != name);
                    entries.push((name, value));
                }
                Value::Map(entries)
            }
        }
    }

    fn number(&mut self) -> f64 {
        let mantissa = f64::from(self.next().max(1));
        let power = |exponent: u32| 2_f64.powi(i32::try_from(exponent).unwrap_or_default());
        if self.below(4) == 0 {
            return mantissa * power(60 + self.below(900));
        }
        let fraction = mantissa / power(self.below(64));
        if fraction == fraction.floor() { fraction + 0.5 } else { fraction }
    }

    fn text(&mut self) -> String {
        self.several(|random| PIECES[random.below(20) as usize]).concat()
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut number = || arguments.next().unwrap_or_default().parse::<u64>();
    let (seed, runs) = (number()?, number()?);
    let mut random = Random(u32::try_from(seed)?);
    let f = cached(&CacheService::new("memory://", "")?, CachedOptions::named("f"), ());
    let (mut digest, mut unstable) = (Context::new(&SHA256), 0);
    for run in 1..=runs {
        let arguments = random.several(|random| random.value(0));
        let key = f.get_key(&Arguments(&arguments, false))?;
        unstable += u64::from(key != f.get_key(&Arguments(&arguments, true))?);
        digest.update(key.as_bytes());
        digest.update(b"\n");
        if run % BLOCK == 0 || run == runs {
            let done = std::mem::replace(&mut digest, Context::new(&SHA256)).finish();
            println!("{}", done.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        }
    }
    println!("unstable {unstable}");
    Ok(())
}
