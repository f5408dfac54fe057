//! The formats, and how they are told apart.

use std::fmt;
use std::str::FromStr;

/// How a trace is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Keys of four bytes, big endian.
    Int32,
    /// One decimal key a line.
    Keys,
    /// Lines `time key size`.
    Sized,
    /// Lines `start count ignored n`: `count` blocks from `start` on.
    Blocks,
}

impl Format {
    /// The format of what begins with `head`.
    pub fn of(head: &[u8]) -> Option<Self> {
        let text = head.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\t' | b'\n' | b'\r'));
        if !text {
            return Some(Format::Int32);
        }
        head.split(|byte| *byte == b'\n').find_map(|line| match numbers(line)? {
            (_, 1) => Some(Format::Keys),
            (_, 3) => Some(Format::Sized),
            (_, 4) => Some(Format::Blocks),
            _ => None,
        })
    }

    /// The numbers of one line; `None` where it is not a line of this format.
    pub fn fields(self, line: &[u8]) -> Option<[u64; 4]> {
        let wanted = match self {
            Format::Int32 => return None,
            Format::Keys => 1,
            Format::Sized => 3,
            Format::Blocks => 4,
        };
        numbers(line).filter(|(_, count)| *count == wanted).map(|(fields, _)| fields)
    }
}

/// The numbers of a line and how many they are; `None` where something is not a number, or there are none or
/// more than four.
fn numbers(line: &[u8]) -> Option<([u64; 4], usize)> {
    let mut fields = [0; 4];
    let mut count = 0;
    for field in line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty()) {
        let text = str::from_utf8(field).ok()?;
        let number = text.parse::<u64>().or_else(|_| text.parse::<i64>().map(i64::cast_unsigned)).ok()?;
        *fields.get_mut(count)? = number;
        count += 1;
    }
    (count > 0).then_some((fields, count))
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "int32" => Ok(Format::Int32),
            "keys" => Ok(Format::Keys),
            "sized" => Ok(Format::Sized),
            "blocks" => Ok(Format::Blocks),
            _ => Err(format!("format `{text}`: int32, keys, sized or blocks is expected")),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Int32 => "int32",
            Format::Keys => "keys",
            Format::Sized => "sized",
            Format::Blocks => "blocks",
        })
    }
}
