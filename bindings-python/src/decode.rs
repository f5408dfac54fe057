//! Stored bytes as Python values.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString};
use scrubjay_core::Codec;
use scrubjay_core::host::Payload;

use crate::encode::MAX_DEPTH;
use crate::key_cache;

/// The value of stored bytes; none when they are not what their codec says.
pub(crate) fn value<'py>(py: Python<'py>, payload: &Payload) -> Option<Bound<'py, PyAny>> {
    match payload.codec {
        Codec::Raw => Some(PyBytes::new(py, &payload.bytes).into_any()),
        Codec::Json => json(py, &payload.bytes),
        _ => None,
    }
}

fn json<'py>(py: Python<'py>, bytes: &[u8]) -> Option<Bound<'py, PyAny>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut reader = Reader { py, text, bytes, at: 0 };
    reader.skip_space();
    let value = reader.value(0)?;
    reader.skip_space();
    (reader.at == bytes.len()).then_some(value)
}

/// A reader of JSON text. `None` is the end of it: what is wrong with a stored text matters to nobody.
struct Reader<'a, 'py> {
    py: Python<'py>,
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a, 'py> Reader<'a, 'py> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn value(&mut self, depth: usize) -> Option<Bound<'py, PyAny>> {
        match self.peek()? {
            b'"' => Some(self.string()?.into_any()),
            b'{' if depth < MAX_DEPTH => self.object(depth + 1),
            b'[' if depth < MAX_DEPTH => self.array(depth + 1),
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.word("true", PyBool::new(self.py, true).to_owned().into_any()),
            b'f' => self.word("false", PyBool::new(self.py, false).to_owned().into_any()),
            b'n' => self.word("null", self.py.None().into_bound(self.py)),
            _ => None,
        }
    }

    fn word(&mut self, word: &str, value: Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
        self.bytes[self.at..].starts_with(word.as_bytes()).then(|| {
            self.at += word.len();
            value
        })
    }

    fn array(&mut self, depth: usize) -> Option<Bound<'py, PyAny>> {
        self.at += 1;
        let mut items = Vec::new();
        self.skip_space();
        if !self.take(b']') {
            loop {
                self.skip_space();
                items.push(self.value(depth)?);
                self.skip_space();
                if self.take(b']') {
                    break;
                }
                self.take(b',').then_some(())?;
            }
        }
        Some(PyList::new(self.py, items).ok()?.into_any())
    }

    fn object(&mut self, depth: usize) -> Option<Bound<'py, PyAny>> {
        self.at += 1;
        let object = PyDict::new(self.py);
        self.skip_space();
        if !self.take(b'}') {
            loop {
                self.skip_space();
                let key = self.name()?;
                self.skip_space();
                self.take(b':').then_some(())?;
                self.skip_space();
                let value = self.value(depth)?;
                object.set_item(key, value).ok()?;
                self.skip_space();
                if self.take(b'}') {
                    break;
                }
                self.take(b',').then_some(())?;
            }
        }
        Some(object.into_any())
    }

    /// The name of a field. Those without an escape are shared.
    fn name(&mut self) -> Option<Bound<'py, PyString>> {
        let start = self.at + 1;
        let length = self.bytes.get(start..)?.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))?;
        if self.bytes[start + length] != b'"' || !self.take(b'"') {
            return self.string();
        }
        self.at = start + length + 1;
        Some(key_cache::name(self.py, &self.text[start..start + length]))
    }

    fn string(&mut self) -> Option<Bound<'py, PyString>> {
        self.take(b'"').then_some(())?;
        let start = self.at;
        loop {
            match self.peek()? {
                b'"' => {
                    let text = &self.text[start..self.at];
                    self.at += 1;
                    return Some(PyString::new(self.py, text));
                }
                b'\\' => return self.escaped(start),
                0..0x20 => return None,
                _ => self.at += 1,
            }
        }
    }

    /// The rest of a string that has an escape.
    fn escaped(&mut self, start: usize) -> Option<Bound<'py, PyString>> {
        let mut text = String::from(&self.text[start..self.at]);
        loop {
            let from = self.at;
            while !matches!(self.peek()?, b'"' | b'\\' | 0..0x20) {
                self.at += 1;
            }
            text.push_str(&self.text[from..self.at]);
            if self.take(b'"') {
                return Some(PyString::new(self.py, &text));
            }
            self.take(b'\\').then_some(())?;
            let escape = self.peek()?;
            self.at += 1;
            text.push(match escape {
                b'"' | b'\\' | b'/' => char::from(escape),
                b'b' => '\u{8}',
                b'f' => '\u{c}',
                b'n' => '\n',
                b'r' => '\r',
                b't' => '\t',
                b'u' => self.unicode()?,
                _ => return None,
            });
        }
    }

    fn unicode(&mut self) -> Option<char> {
        let first = self.unit()?;
        if !(0xD800..0xDC00).contains(&first) {
            return char::from_u32(first);
        }
        (self.take(b'\\') && self.take(b'u')).then_some(())?;
        let second = self.unit()?;
        (0xDC00..0xE000).contains(&second).then_some(())?;
        char::from_u32(0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00))
    }

    fn unit(&mut self) -> Option<u32> {
        let digits = self.text.get(self.at..self.at + 4)?;
        digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then_some(())?;
        self.at += 4;
        u32::from_str_radix(digits, 16).ok()
    }

    fn number(&mut self) -> Option<Bound<'py, PyAny>> {
        let start = self.at;
        let mut float = false;
        while let Some(byte) = self.peek() {
            match byte {
                b'0'..=b'9' | b'-' | b'+' => {}
                b'.' | b'e' | b'E' => float = true,
                _ => break,
            }
            self.at += 1;
        }
        let text = &self.text[start..self.at];
        if float {
            let value = text.parse::<f64>().ok().filter(|value| value.is_finite())?;
            return Some(PyFloat::new(self.py, value).into_any());
        }
        if let Ok(value) = text.parse::<i64>() {
            return Some(PyInt::new(self.py, value).into_any());
        }
        long_integer(self.py, text)
    }
}

/// An integer that no i64 holds.
fn long_integer<'py>(py: Python<'py>, text: &str) -> Option<Bound<'py, PyAny>> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let text = std::ffi::CString::new(text).ok()?;
    // SAFETY: the text is a C string of digits; the result is a new reference or an error that is set.
    unsafe {
        Bound::from_owned_ptr_or_err(py, ffi::PyLong_FromString(text.as_ptr(), std::ptr::null_mut(), 10)).ok()
    }
}
