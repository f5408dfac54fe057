//! JSON to MessagePack and back: what a host hands over and gets is JSON, what is stored is shorter.
//!
//! Integers beyond 64 bits have no place in MessagePack; bytes, extensions, NaN and keys that are no text have
//! none in JSON. Lengths are checked against what is left before anything is allocated.

use rmp::Marker;
use rmp::decode::read_marker;
use rmp::encode as write;

use super::invalid;
use super::json::{Event, scan};
use crate::error::{Error, Result};

/// Translates JSON text, which must be checked already.
pub(crate) fn json_to_msgpack(json: &[u8]) -> Result<Vec<u8>> {
    // MessagePack says how many parts a container has before they come: count first, then write.
    let mut counts: Vec<u32> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    scan(json, usize::MAX, |event| {
        if !matches!(event, Event::End | Event::Key(_))
            && let Some(container) = open.last()
        {
            counts[*container] += 1;
        }
        match event {
            Event::BeginArray | Event::BeginObject => {
                open.push(counts.len());
                counts.push(0);
            }
            Event::End => drop(open.pop()),
            _ => {}
        }
        Ok(())
    })?;
    let mut counts = counts.into_iter();
    let mut out = Vec::with_capacity(json.len());
    scan(json, usize::MAX, |event| put(&mut out, event, &mut counts))?;
    Ok(out)
}

fn put(out: &mut Vec<u8>, event: Event<'_>, counts: &mut impl Iterator<Item = u32>) -> Result<()> {
    let written = match event {
        Event::Null => write::write_nil(out),
        Event::Bool(value) => write::write_bool(out, value),
        Event::Number(text) => return number(out, text),
        Event::Text(text) | Event::Key(text) => {
            let text: String = serde_json::from_str(text).map_err(|error| invalid("set", error.to_string()))?;
            return write::write_str(out, &text).map_err(|error| internal(&error.to_string()));
        }
        Event::BeginArray => {
            return write::write_array_len(out, counts.next().unwrap_or(0))
                .map(drop)
                .map_err(|e| internal(&e.to_string()));
        }
        Event::BeginObject => {
            return write::write_map_len(out, counts.next().unwrap_or(0))
                .map(drop)
                .map_err(|e| internal(&e.to_string()));
        }
        Event::End => Ok(()),
    };
    written.map_err(|error| internal(&error.to_string()))
}

fn number(out: &mut Vec<u8>, text: &str) -> Result<()> {
    let written = if text.contains(['.', 'e', 'E']) || text == "-0" {
        let value: f64 = text.parse().map_err(|_| internal("a checked number does not parse"))?;
        write::write_f64(out, value).map_err(|error| error.to_string())
    } else if let Ok(value) = text.parse::<u64>() {
        write::write_uint(out, value).map(drop).map_err(|error| error.to_string())
    } else if let Ok(value) = text.parse::<i64>() {
        write::write_sint(out, value).map(drop).map_err(|error| error.to_string())
    } else {
        return Err(invalid("set", "an integer beyond 64 bits cannot be stored as msgpack".to_owned()));
    };
    written.map_err(|error| internal(&error))
}

fn internal(message: &str) -> Error {
    Error::new(crate::error::ErrorKind::Internal, "set", message)
}

/// Translates MessagePack from anywhere into JSON text.
pub(crate) fn msgpack_to_json(bytes: &[u8], max_depth: usize) -> Result<Vec<u8>> {
    let mut reader = Reader { left: bytes, out: Vec::with_capacity(bytes.len() + bytes.len() / 2) };
    reader.value(max_depth)?;
    if reader.left.is_empty() { Ok(reader.out) } else { Err(unreadable("has bytes behind its end")) }
}

fn unreadable(what: &str) -> Error {
    invalid("get", format!("the stored msgpack {what}"))
}

struct Reader<'a> {
    left: &'a [u8],
    out: Vec<u8>,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, left) = self.left.split_at_checked(count).ok_or_else(|| unreadable("is cut short"))?;
        self.left = left;
        Ok(taken)
    }

    fn unsigned(&mut self, width: usize) -> Result<u64> {
        Ok(self.take(width)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn signed(&mut self, width: usize) -> Result<i64> {
        let shift = 64 - 8 * width as u32;
        Ok(((self.unsigned(width)? << shift).cast_signed()) >> shift)
    }

    fn length(&mut self, width: usize) -> Result<usize> {
        usize::try_from(self.unsigned(width)?).map_err(|_| unreadable("is cut short"))
    }

    fn marker(&mut self) -> Result<Marker> {
        read_marker(&mut self.left).map_err(|_| unreadable("is cut short"))
    }

    fn value(&mut self, depth: usize) -> Result<()> {
        match self.marker()? {
            Marker::Null => self.out.extend_from_slice(b"null"),
            Marker::True => self.out.extend_from_slice(b"true"),
            Marker::False => self.out.extend_from_slice(b"false"),
            Marker::FixPos(value) => self.say(value),
            Marker::FixNeg(value) => self.say(value),
            Marker::U8 => self.unsigned(1).map(|value| self.say(value))?,
            Marker::U16 => self.unsigned(2).map(|value| self.say(value))?,
            Marker::U32 => self.unsigned(4).map(|value| self.say(value))?,
            Marker::U64 => self.unsigned(8).map(|value| self.say(value))?,
            Marker::I8 => self.signed(1).map(|value| self.say(value))?,
            Marker::I16 => self.signed(2).map(|value| self.say(value))?,
            Marker::I32 => self.signed(4).map(|value| self.say(value))?,
            Marker::I64 => self.signed(8).map(|value| self.say(value))?,
            Marker::F32 => {
                let bits = self.unsigned(4)?;
                self.float(f64::from(f32::from_bits(u32::try_from(bits).unwrap_or(0))))?;
            }
            Marker::F64 => {
                let bits = self.unsigned(8)?;
                self.float(f64::from_bits(bits))?;
            }
            marker @ (Marker::FixStr(_) | Marker::Str8 | Marker::Str16 | Marker::Str32) => self.text(marker)?,
            Marker::FixArray(count) => self.array(usize::from(count), depth)?,
            Marker::Array16 => self.length(2).and_then(|count| self.array(count, depth))?,
            Marker::Array32 => self.length(4).and_then(|count| self.array(count, depth))?,
            Marker::FixMap(count) => self.map(usize::from(count), depth)?,
            Marker::Map16 => self.length(2).and_then(|count| self.map(count, depth))?,
            Marker::Map32 => self.length(4).and_then(|count| self.map(count, depth))?,
            _ => return Err(unreadable("has bytes or an extension, which JSON has no place for")),
        }
        Ok(())
    }

    fn say(&mut self, number: impl ToString) {
        self.out.extend_from_slice(number.to_string().as_bytes());
    }

    fn float(&mut self, value: f64) -> Result<()> {
        if !value.is_finite() {
            return Err(unreadable("has NaN or an infinity"));
        }
        serde_json::to_writer(&mut self.out, &value).map_err(|error| unreadable(&error.to_string()))
    }

    fn text(&mut self, marker: Marker) -> Result<()> {
        let length = match marker {
            Marker::FixStr(length) => usize::from(length),
            Marker::Str8 => self.length(1)?,
            Marker::Str16 => self.length(2)?,
            Marker::Str32 => self.length(4)?,
            _ => return Err(unreadable("has a key that is no text")),
        };
        let text =
            std::str::from_utf8(self.take(length)?).map_err(|_| unreadable("has text that is not UTF-8"))?;
        serde_json::to_writer(&mut self.out, text).map_err(|error| unreadable(&error.to_string()))
    }

    fn deeper(depth: usize) -> Result<usize> {
        depth.checked_sub(1).ok_or_else(|| unreadable("is nested too deep"))
    }

    fn array(&mut self, count: usize, depth: usize) -> Result<()> {
        let depth = Self::deeper(depth)?;
        self.out.push(b'[');
        for index in 0..count {
            if index > 0 {
                self.out.push(b',');
            }
            self.value(depth)?;
        }
        self.out.push(b']');
        Ok(())
    }

    fn map(&mut self, count: usize, depth: usize) -> Result<()> {
        let depth = Self::deeper(depth)?;
        self.out.push(b'{');
        for index in 0..count {
            if index > 0 {
                self.out.push(b',');
            }
            let marker = self.marker()?;
            self.text(marker)?;
            self.out.push(b':');
            self.value(depth)?;
        }
        self.out.push(b'}');
        Ok(())
    }
}
