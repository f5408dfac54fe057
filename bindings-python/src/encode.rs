//! Python values as JSON text, exactly: what JSON cannot say is refused with its path, never changed.

use bytes::Bytes;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyInt, PyList, PyMemoryView, PyString, PyTuple};
use scrubjay_core::host::Value;
use scrubjay_core::{Codec, ErrorKind};

use crate::errors::{error, type_name};

/// The deepest nesting that the core takes.
pub(crate) const MAX_DEPTH: usize = 64;
/// The longest integer that the core takes, in digits.
const MAX_DIGITS: usize = 1024;
/// A path longer than this is shortened in a message.
const MAX_PATH: usize = 200;

/// Encodes a value: bytes as they are, everything else as JSON.
///
/// # Errors
/// `InvalidValue` naming the path and what stands there.
pub(crate) fn value(operation: &str, object: &Bound<'_, PyAny>) -> PyResult<Value> {
    if let Some(bytes) = raw(operation, object)? {
        return Ok(Value { codec: Codec::Raw, bytes });
    }
    let mut writer = Writer { out: Vec::with_capacity(128) };
    match writer.write(object, 0) {
        Ok(()) => Ok(Value { codec: Codec::Json, bytes: writer.out.into() }),
        Err(fault) => Err(error(object.py(), ErrorKind::InvalidValue, operation, &fault.message())),
    }
}

/// The bytes of a type for bytes.
fn raw(operation: &str, object: &Bound<'_, PyAny>) -> PyResult<Option<Bytes>> {
    if let Ok(bytes) = object.cast::<PyBytes>() {
        return Ok(Some(Bytes::copy_from_slice(bytes.as_bytes())));
    }
    if let Ok(bytes) = object.cast::<PyByteArray>() {
        return Ok(Some(bytes.to_vec().into()));
    }
    if object.is_instance_of::<PyMemoryView>() {
        let bytes = object.call_method0("tobytes").and_then(|bytes| Ok(bytes.cast_into::<PyBytes>()?));
        return match bytes {
            Ok(bytes) => Ok(Some(Bytes::copy_from_slice(bytes.as_bytes()))),
            Err(_) => {
                let message = "$: the memoryview was released";
                Err(error(object.py(), ErrorKind::InvalidValue, operation, message))
            }
        };
    }
    Ok(None)
}

/// The decimal digits of an integer of any size, whatever a subclass makes of `str`.
pub(crate) fn digits(object: &Bound<'_, PyAny>) -> PyResult<String> {
    // SAFETY: `object` is a live reference, and the result a new one or an error that is set.
    let text = unsafe { Bound::from_owned_ptr_or_err(object.py(), ffi::PyNumber_ToBase(object.as_ptr(), 10)) }?;
    text.extract()
}

/// What cannot be stored, and where: the path from the inside out.
struct Fault {
    what: String,
    path: Vec<Segment>,
}

enum Segment {
    Key(String),
    Index(usize),
}

type Done = Result<(), Box<Fault>>;

impl Fault {
    fn new(what: impl Into<String>) -> Box<Self> {
        Box::new(Fault { what: what.into(), path: Vec::new() })
    }

    fn inside(mut self: Box<Self>, segment: Segment) -> Box<Self> {
        self.path.push(segment);
        self
    }

    fn message(&self) -> String {
        let mut path = String::from("$");
        for segment in self.path.iter().rev() {
            match segment {
                Segment::Key(key) => {
                    path.push('.');
                    path.push_str(key);
                }
                Segment::Index(index) => path.push_str(&format!("[{index}]")),
            }
        }
        if let Some((end, _)) = path.char_indices().nth(MAX_PATH) {
            path.truncate(end);
            path.push('…');
        }
        format!("{path}: {}", self.what)
    }
}

struct Writer {
    out: Vec<u8>,
}

impl Writer {
    fn write(&mut self, object: &Bound<'_, PyAny>, depth: usize) -> Done {
        if let Ok(text) = object.cast::<PyString>() {
            return self.text(text);
        }
        if object.is_none() {
            self.out.extend_from_slice(b"null");
            return Ok(());
        }
        if let Ok(value) = object.cast::<PyBool>() {
            self.out.extend_from_slice(if value.is_true() { b"true" } else { b"false" });
            return Ok(());
        }
        if let Ok(value) = object.cast::<PyInt>() {
            return self.integer(value);
        }
        if let Ok(value) = object.cast::<PyFloat>() {
            return self.float(value.value());
        }
        if let Ok(object) = object.cast::<PyDict>() {
            return self.object(object, depth);
        }
        if let Ok(list) = object.cast::<PyList>() {
            return self.array(list.iter(), depth);
        }
        if let Ok(tuple) = object.cast::<PyTuple>() {
            return self.array(tuple.iter(), depth);
        }
        Err(Fault::new(not_json(object)))
    }

    fn text(&mut self, text: &Bound<'_, PyString>) -> Done {
        let text = text.to_str().map_err(|_| Fault::new("the text has a lone surrogate"))?;
        self.quoted(text);
        Ok(())
    }

    fn quoted(&mut self, text: &str) {
        self.out.push(b'"');
        let bytes = text.as_bytes();
        let mut from = 0;
        for (at, byte) in bytes.iter().enumerate() {
            if *byte >= 0x20 && *byte != b'"' && *byte != b'\\' {
                continue;
            }
            self.out.extend_from_slice(&bytes[from..at]);
            from = at + 1;
            match byte {
                b'"' => self.out.extend_from_slice(b"\\\""),
                b'\\' => self.out.extend_from_slice(b"\\\\"),
                b'\n' => self.out.extend_from_slice(b"\\n"),
                b'\r' => self.out.extend_from_slice(b"\\r"),
                b'\t' => self.out.extend_from_slice(b"\\t"),
                _ => self.out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            }
        }
        self.out.extend_from_slice(&bytes[from..]);
        self.out.push(b'"');
    }

    fn integer(&mut self, value: &Bound<'_, PyInt>) -> Done {
        let mut overflow = 0;
        // SAFETY: `value` is a live int, for which this call neither fails nor runs code of the user.
        let small = unsafe { ffi::PyLong_AsLongLongAndOverflow(value.as_ptr(), &raw mut overflow) };
        if overflow == 0 {
            self.out.extend_from_slice(small.to_string().as_bytes());
            return Ok(());
        }
        let long = || Fault::new(format!("the integer has more than {MAX_DIGITS} digits"));
        // Python itself refuses more than 4300 digits.
        let digits = digits(value).map_err(|_| long())?;
        if digits.len() > MAX_DIGITS {
            return Err(long());
        }
        self.out.extend_from_slice(digits.as_bytes());
        Ok(())
    }

    fn float(&mut self, value: f64) -> Done {
        if !value.is_finite() {
            return Err(Fault::new(format!("{value} is not a JSON number")));
        }
        // The shortest text that reads back as this float, always with a '.' or an 'e': it stays a float.
        self.out.extend_from_slice(format!("{value:?}").as_bytes());
        Ok(())
    }

    fn array<'py>(&mut self, items: impl Iterator<Item = Bound<'py, PyAny>>, depth: usize) -> Done {
        let depth = deeper(depth)?;
        self.out.push(b'[');
        for (index, item) in items.enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            self.write(&item, depth).map_err(|fault| fault.inside(Segment::Index(index)))?;
        }
        self.out.push(b']');
        Ok(())
    }

    fn object(&mut self, object: &Bound<'_, PyDict>, depth: usize) -> Done {
        let depth = deeper(depth)?;
        self.out.push(b'{');
        for (index, (key, value)) in object.iter().enumerate() {
            self.entry(index, key_text(&key)?, &value, depth)?;
        }
        self.out.push(b'}');
        Ok(())
    }

    fn entry(&mut self, index: usize, key: &str, value: &Bound<'_, PyAny>, depth: usize) -> Done {
        if index > 0 {
            self.out.push(b',');
        }
        self.quoted(key);
        self.out.push(b':');
        self.write(value, depth).map_err(|fault| fault.inside(Segment::Key(key.to_owned())))
    }
}

fn deeper(depth: usize) -> Result<usize, Box<Fault>> {
    if depth == MAX_DEPTH {
        return Err(Fault::new(format!("nested deeper than {MAX_DEPTH} levels, or inside itself")));
    }
    Ok(depth + 1)
}

fn key_text<'a>(key: &'a Bound<'_, PyAny>) -> Result<&'a str, Box<Fault>> {
    let Ok(text) = key.cast::<PyString>() else {
        return Err(Fault::new(format!("a key of the dict is of type {}, not str", type_name(key))));
    };
    text.to_str().map_err(|_| Fault::new("a key of the dict has a lone surrogate"))
}

fn not_json(object: &Bound<'_, PyAny>) -> String {
    let name = type_name(object);
    if object.is_instance_of::<PyBytes>()
        || object.is_instance_of::<PyByteArray>()
        || object.is_instance_of::<PyMemoryView>()
    {
        return format!("{name} can be stored as a value of its own only, not inside another");
    }
    format!("a value of type {name} cannot be stored: it has no JSON form")
}
