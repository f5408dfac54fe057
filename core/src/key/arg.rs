//! Arguments of functions, as keys tell them apart.
//!
//! Two arguments have the same text where they are the same value of the same type, and nowhere else: the text names
//! types by how it is written (`1`, `1.0`, `"1"`, `true`, `null`), quotes what could imitate it, and puts what has no
//! order of its own into one. docs/wire-format.md has the grammar, tests/vectors/arguments.json has it by example, and
//! Node.js and Go, which write it themselves, are held to that.

use std::fmt::Write;

use super::number::shortest;

/// An argument of a function.
#[derive(Clone, Debug, PartialEq)]
pub enum Arg {
    /// Nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer.
    Int(i128),
    /// An integer of any size: decimal digits without leading zeros, behind a `-` where it is negative.
    Digits(String),
    /// A float.
    Float(f64),
    /// Text.
    Str(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A list.
    List(Vec<Arg>),
    /// A tuple, which is another value than a list of the same parts.
    Tuple(Vec<Arg>),
    /// Keys and values, in any order.
    Map(Vec<(Arg, Arg)>),
    /// Elements, in any order.
    Set(Vec<Arg>),
    /// What a language has beside these: the name of its type, and what tells its values apart.
    Typed(String, Box<Arg>),
}

impl Arg {
    /// An integer by its decimal digits.
    pub fn integer(digits: String) -> Self {
        digits.parse().map_or(Arg::Digits(digits), Arg::Int)
    }

    /// The canonical text of this argument.
    pub fn canonical(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    pub(super) fn write(&self, out: &mut String) {
        match self {
            Arg::Null => out.push_str("null"),
            Arg::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Arg::Int(value) => write(out, format_args!("{value}")),
            Arg::Digits(digits) => out.push_str(digits),
            Arg::Float(value) => write_float(*value, out),
            Arg::Str(text) => write_text(text, out),
            Arg::Bytes(bytes) => write_bytes(bytes, out),
            Arg::List(items) => write_all('[', items, ']', out),
            Arg::Tuple(items) => write_all('(', items, ')', out),
            Arg::Map(entries) => {
                let mut pairs: Vec<(String, &Arg)> =
                    entries.iter().map(|(key, value)| (key.canonical(), value)).collect();
                pairs.sort_by(|(one, _), (other, _)| one.cmp(other));
                out.push('{');
                for (index, (key, value)) in pairs.into_iter().enumerate() {
                    out.push_str(if index == 0 { "" } else { "," });
                    out.push_str(&key);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
            Arg::Set(items) => {
                let mut texts: Vec<String> = items.iter().map(Arg::canonical).collect();
                texts.sort_unstable();
                out.push('<');
                out.push_str(&texts.join(","));
                out.push('>');
            }
            Arg::Typed(name, value) => {
                out.push('!');
                escape(name.as_bytes(), out);
                out.push('(');
                value.write(out);
                out.push(')');
            }
        }
    }
}

fn write(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing into a String cannot fail.
    let _ = out.write_fmt(text);
}

fn write_all(open: char, items: &[Arg], close: char, out: &mut String) {
    out.push(open);
    for (index, item) in items.iter().enumerate() {
        out.push_str(if index == 0 { "" } else { "," });
        item.write(out);
    }
    out.push(close);
}

/// A float never looks like an integer.
fn write_float(value: f64, out: &mut String) {
    if value.is_nan() {
        return out.push_str("NaN");
    }
    if value.is_infinite() {
        return out.push_str(if value > 0.0 { "Infinity" } else { "-Infinity" });
    }
    let start = out.len();
    if value == 0.0 && value.is_sign_negative() {
        out.push('-');
    }
    out.push_str(&shortest(value));
    if !out[start..].contains(['.', 'e']) {
        out.push_str(".0");
    }
}

fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => {
                out.push('\\');
                out.push(character);
            }
            '\0'..='\x1f' => write(out, format_args!("\\u{:04x}", u32::from(character))),
            _ => out.push(character),
        }
    }
    out.push('"');
}

fn write_bytes(bytes: &[u8], out: &mut String) {
    out.push_str("x\"");
    for byte in bytes {
        write(out, format_args!("{byte:02x}"));
    }
    out.push('"');
}

/// Whether a byte stands for itself in an escaped text.
pub(super) fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-')
}

/// Text in which only `A-Z a-z 0-9 _ . -` stand for themselves, and every other byte is `%XX`.
pub(super) fn escape(text: &[u8], out: &mut String) {
    for byte in text {
        if is_plain(*byte) {
            out.push(char::from(*byte));
        } else {
            write(out, format_args!("%{byte:02X}"));
        }
    }
}
