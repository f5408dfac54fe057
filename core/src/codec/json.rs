//! JSON text, read once from end to end without recursion: syntax, depth, and what some language could not read.
//!
//! Stricter than the grammar where a host's parser would give something else than what was written: a lone
//! surrogate escape, and a float beyond the range of a double, which Python and JavaScript read as infinity.

use super::invalid;
use crate::error::Result;

/// The longest integer in digits: Python refuses more than 4,300, others get slow long before.
const MAX_DIGITS: usize = 1024;

/// What a text is made of, in order. Text and numbers are as they were written, text with its quotes.
pub(super) enum Event<'a> {
    Null,
    Bool(bool),
    Number(&'a str),
    Text(&'a str),
    Key(&'a str),
    BeginArray,
    BeginObject,
    End,
}

/// Checks a text.
pub(crate) fn check_json(bytes: &[u8], max_depth: usize) -> Result<()> {
    scan(bytes, max_depth, |_| Ok(()))
}

/// Reads a text and reports what it is made of.
pub(super) fn scan<'a>(
    bytes: &'a [u8],
    max_depth: usize,
    mut report: impl FnMut(Event<'a>) -> Result<()>,
) -> Result<()> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| invalid("set", format!("the JSON text is not UTF-8 at byte {}", error.valid_up_to())))?;
    let mut scanner = Scanner { text, bytes, at: 0 };
    // The open containers, true for an object: the depth is bounded, so this stays small.
    let mut open: Vec<bool> = Vec::new();
    loop {
        // A value is due.
        scanner.skip_space();
        let begun = match scanner.peek() {
            Some(b'{') => Some(true),
            Some(b'[') => Some(false),
            _ => None,
        };
        if let Some(object) = begun {
            if open.len() == max_depth {
                return Err(invalid("set", format!("the value is nested deeper than {max_depth} levels")));
            }
            scanner.at += 1;
            open.push(object);
            report(if object { Event::BeginObject } else { Event::BeginArray })?;
            scanner.skip_space();
            if !scanner.take(if object { b'}' } else { b']' }) {
                if object {
                    report(Event::Key(scanner.key()?))?;
                }
                continue;
            }
            open.pop();
            report(Event::End)?;
        } else {
            report(scanner.scalar()?)?;
        }
        // A value has ended: close what closes, until another value is due.
        loop {
            scanner.skip_space();
            let Some(object) = open.last().copied() else {
                return if scanner.at == bytes.len() { Ok(()) } else { Err(scanner.wrong("the end")) };
            };
            if scanner.take(b',') {
                if object {
                    scanner.skip_space();
                    report(Event::Key(scanner.key()?))?;
                }
                break;
            }
            if !scanner.take(if object { b'}' } else { b']' }) {
                return Err(scanner.wrong(if object { "',' or '}'" } else { "',' or ']'" }));
            }
            open.pop();
            report(Event::End)?;
        }
    }
}

struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn wrong(&self, expected: &str) -> crate::error::Error {
        let before = self.text.get(..self.at).unwrap_or(self.text);
        let (at, path) = (self.at, path_at_end(before));
        invalid("set", format!("{path} is not JSON: expected {expected} at byte {at}"))
    }

    fn key(&mut self) -> Result<&'a str> {
        let key = self.string()?;
        self.skip_space();
        if self.take(b':') { Ok(key) } else { Err(self.wrong("':'")) }
    }

    fn scalar(&mut self) -> Result<Event<'a>> {
        match self.peek() {
            Some(b'"') => Ok(Event::Text(self.string()?)),
            Some(b'-' | b'0'..=b'9') => Ok(Event::Number(self.number()?)),
            _ => {
                for (word, event) in
                    [("null", Event::Null), ("true", Event::Bool(true)), ("false", Event::Bool(false))]
                {
                    if self.bytes[self.at..].starts_with(word.as_bytes()) {
                        self.at += word.len();
                        return Ok(event);
                    }
                }
                Err(self.wrong("a value"))
            }
        }
    }

    fn string(&mut self) -> Result<&'a str> {
        let start = self.at;
        if !self.take(b'"') {
            return Err(self.wrong("'\"'"));
        }
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(&self.text[start..self.at]);
                }
                Some(b'\\') => self.escape()?,
                Some(0..0x20) | None => return Err(self.wrong("a character of a string")),
                Some(_) => self.at += 1,
            }
        }
    }

    fn escape(&mut self) -> Result<()> {
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 1;
                Ok(())
            }
            Some(b'u') => match self.unit()? {
                0xDC00..0xE000 => Err(self.wrong("no lone surrogate")),
                0xD800..0xDC00 => {
                    let paired = self.take(b'\\') && matches!(self.unit(), Ok(0xDC00..0xE000));
                    if paired { Ok(()) } else { Err(self.wrong("no lone surrogate")) }
                }
                _ => Ok(()),
            },
            _ => Err(self.wrong("an escape")),
        }
    }

    /// The 16-bit unit of an escape, at its `u`.
    fn unit(&mut self) -> Result<u16> {
        let digits = self.bytes.get(self.at + 1..self.at + 5).filter(|_| self.peek() == Some(b'u'));
        let digits = digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let unit = digits.and_then(|digits| u16::from_str_radix(digits, 16).ok());
        self.at += 5;
        unit.ok_or_else(|| self.wrong("four hexadecimal digits"))
    }

    fn number(&mut self) -> Result<&'a str> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') && self.digits() == 0 {
            return Err(self.wrong("a digit"));
        }
        let mut float = false;
        if self.take(b'.') {
            float = true;
            if self.digits() == 0 {
                return Err(self.wrong("a digit"));
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            float = true;
            self.at += 1;
            if !self.take(b'+') {
                self.take(b'-');
            }
            if self.digits() == 0 {
                return Err(self.wrong("a digit"));
            }
        }
        let number = &self.text[start..self.at];
        if number.len() > MAX_DIGITS {
            return Err(invalid("set", format!("a number has more than {MAX_DIGITS} digits")));
        }
        if float && !number.parse::<f64>().is_ok_and(f64::is_finite) {
            return Err(invalid("set", "a number is beyond the range of a double".to_owned()));
        }
        Ok(number)
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        self.at - start
    }
}

/// Where the text breaks off, as `$.a[1]`: everything before was read as JSON.
fn path_at_end(text: &str) -> String {
    /// An open container: the index of the part that is due, or the key it stands under.
    enum Open<'a> {
        Array(usize),
        Object(&'a str),
    }
    let mut open = Vec::new();
    let (mut start, mut escaped) = (None, false);
    let mut last_string = "";
    for (at, byte) in text.bytes().enumerate() {
        match (start, byte) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), b'\\') => escaped = true,
            (Some(from), b'"') => {
                last_string = text.get(from..at).unwrap_or_default();
                start = None;
            }
            (Some(_), _) => {}
            (None, b'"') => start = Some(at + 1),
            (None, b'[') => open.push(Open::Array(0)),
            (None, b'{') => open.push(Open::Object("")),
            (None, b']' | b'}') => drop(open.pop()),
            (None, b':') => {
                if let Some(Open::Object(key)) = open.last_mut() {
                    *key = last_string;
                }
            }
            (None, b',') => {
                if let Some(Open::Array(index)) = open.last_mut() {
                    *index += 1;
                }
            }
            (None, _) => {}
        }
    }
    let mut path = "$".to_owned();
    for part in open {
        match part {
            Open::Array(index) => path.push_str(&format!("[{index}]")),
            Open::Object("") => {}
            Open::Object(key) => path.push_str(&format!(".{key}")),
        }
    }
    path.chars().take(200).collect()
}
