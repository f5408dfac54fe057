//! Arguments of calls as the core wants them.

use bytes::Bytes;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDelta, PyDict, PyFloat, PyInt, PyMapping, PyString, PyTuple};
use scrubjay_core::host::{ConsistencyToken, PutOptions, Ttl, Value};
use scrubjay_core::{Codec, ErrorKind};

use crate::encode;
use crate::errors::{error, raised, raised_as, type_name};

/// The bytes of a key.
///
/// # Errors
/// `InvalidKey` for what is neither text nor bytes. Its length is the core's to check.
pub(crate) fn key<'a>(operation: &str, object: &'a Bound<'_, PyAny>) -> PyResult<&'a [u8]> {
    if let Ok(text) = object.cast::<PyString>() {
        return match text.to_str() {
            Ok(text) => Ok(text.as_bytes()),
            Err(_) => {
                let message = "key must be text without lone surrogates, or bytes";
                Err(error(object.py(), ErrorKind::InvalidKey, operation, message))
            }
        };
    }
    if let Ok(bytes) = object.cast::<PyBytes>() {
        return Ok(bytes.as_bytes());
    }
    let message = format!("key must be a string or bytes, is {}", type_name(object));
    Err(error(object.py(), ErrorKind::InvalidKey, operation, &message))
}

/// The objects of an iterable of keys.
///
/// # Errors
/// `InvalidOption` for what is not iterable, and for one key: its characters are hardly the keys that were meant.
pub(crate) fn key_objects<'py>(operation: &str, keys: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyAny>>> {
    if !keys.is_instance_of::<PyString>()
        && !keys.is_instance_of::<PyBytes>()
        && let Ok(iterator) = keys.try_iter()
    {
        return iterator.collect();
    }
    let message = format!("keys must be an iterable of keys, is {}", type_name(keys));
    Err(error(keys.py(), ErrorKind::InvalidOption, operation, &message))
}

/// One key, or those of an iterable.
///
/// # Errors
/// `InvalidOption` for what is neither.
pub(crate) fn one_or_more<'py>(operation: &str, keys: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyAny>>> {
    if keys.is_instance_of::<PyString>() || keys.is_instance_of::<PyBytes>() {
        return Ok(vec![keys.clone()]);
    }
    key_objects(operation, keys)
}

/// The token of a receipt, from its text.
pub(crate) fn token(operation: &str, object: &Bound<'_, PyAny>) -> PyResult<ConsistencyToken> {
    let Ok(text) = object.cast::<PyString>() else {
        let message = format!("token must be a string of 32 hexadecimal digits, is {}", type_name(object));
        return Err(error(object.py(), ErrorKind::InvalidOption, operation, &message));
    };
    // What is no text has no digits either.
    text.to_str().unwrap_or_default().parse().map_err(|error| raised(object.py(), &error))
}

/// The bytes of many keys.
pub(crate) fn keys<'a>(operation: &str, objects: &'a [Bound<'_, PyAny>]) -> PyResult<Vec<&'a [u8]>> {
    objects.iter().map(|object| key(operation, object)).collect()
}

/// One entry of `set_many`: the object of its key, and its encoded value.
pub(crate) type Entry<'py> = (Bound<'py, PyAny>, Value);

/// The entries of a mapping, or of an iterable of pairs.
pub(crate) fn entries<'py>(operation: &str, entries: &Bound<'py, PyAny>) -> PyResult<Vec<Entry<'py>>> {
    let py = entries.py();
    let pairs = match entries.cast::<PyMapping>() {
        Ok(mapping) => mapping.items()?.into_any(),
        Err(_) => entries.clone(),
    };
    let wrong = |found: &Bound<'_, PyAny>| {
        let message =
            format!("entries must be a mapping or an iterable of (key, value) pairs, is {}", type_name(found));
        error(py, ErrorKind::InvalidOption, operation, &message)
    };
    let mut read = Vec::new();
    for pair in pairs.try_iter().map_err(|_| wrong(entries))? {
        let pair = pair?;
        let (key, value): (Bound<'py, PyAny>, Bound<'py, PyAny>) = match pair.cast::<PyTuple>() {
            Ok(pair) if pair.len() == 2 => (pair.get_item(0)?, pair.get_item(1)?),
            _ => return Err(wrong(entries)),
        };
        let value = encode::value(operation, &value)?;
        read.push((key, value));
    }
    Ok(read)
}

/// How a value is to be stored.
pub(crate) fn put(
    operation: &str,
    ttl: Option<&Bound<'_, PyAny>>,
    codec: Option<&Bound<'_, PyAny>>,
    tags: Option<&Bound<'_, PyAny>>,
) -> PyResult<PutOptions> {
    let ttl = ttl.map_or(Ok(Ttl::Default), |ttl| self::ttl(operation, ttl))?;
    let codec = codec.map(|codec| self::codec(operation, codec)).transpose()?;
    let tags = tags.map(|tags| self::tags(operation, tags)).transpose()?.unwrap_or_default();
    Ok(PutOptions { ttl, codec, tags })
}

/// How a fetched value is to be stored: ttl, codec and tags, each None where it is not said.
pub(crate) type How<'py> = (Option<Bound<'py, PyAny>>, Option<Bound<'py, PyAny>>, Option<Bound<'py, PyAny>>);

pub(crate) fn put_as(operation: &str, (ttl, codec, tags): &How<'_>) -> PyResult<PutOptions> {
    put(operation, ttl.as_ref(), codec.as_ref(), tags.as_ref())
}

/// The tags of an iterable of strings. Their length and number are the core's to check.
pub(crate) fn tags(operation: &str, tags: &Bound<'_, PyAny>) -> PyResult<Vec<Vec<u8>>> {
    let wrong = |found: &Bound<'_, PyAny>| {
        let message = format!("tags must be an iterable of strings, is {}", type_name(found));
        error(tags.py(), ErrorKind::InvalidOption, operation, &message)
    };
    if tags.is_instance_of::<PyString>() || tags.is_instance_of::<PyBytes>() {
        return Err(wrong(tags));
    }
    let mut all = Vec::new();
    for tag in tags.try_iter().map_err(|_| wrong(tags))? {
        let tag = tag?;
        let text = tag.cast::<PyString>().map_err(|_| wrong(&tag))?;
        let text = text.to_str().map_err(|_| {
            let message = "tags must be text without lone surrogates";
            error(tags.py(), ErrorKind::InvalidOption, operation, message)
        })?;
        all.push(text.as_bytes().to_vec());
    }
    Ok(all)
}

fn ttl(operation: &str, object: &Bound<'_, PyAny>) -> PyResult<Ttl> {
    let py = object.py();
    let seconds = match seconds(object)? {
        Some(seconds) => seconds,
        None => {
            let message = format!("ttl must be a number of seconds or a timedelta, is {}", type_name(object));
            return Err(error(py, ErrorKind::InvalidOption, operation, &message));
        }
    };
    Ttl::from_seconds(seconds).map_err(|error| raised_as(py, operation, &error))
}

/// A ttl in milliseconds, rounded up.
pub(crate) fn ttl_ms(operation: &str, object: &Bound<'_, PyAny>) -> PyResult<u64> {
    match ttl(operation, object)? {
        Ttl::Of(duration) => Ok(duration.as_nanos().div_ceil(1_000_000) as u64),
        Ttl::Default => unreachable!("a ttl that is given is not the default"),
    }
}

/// A number of seconds, or a timedelta; none for anything else, `True` included.
pub(crate) fn seconds(object: &Bound<'_, PyAny>) -> PyResult<Option<f64>> {
    if let Ok(seconds) = object.cast::<PyFloat>() {
        return Ok(Some(seconds.value()));
    }
    if object.is_instance_of::<PyInt>() && !object.is_instance_of::<PyBool>() {
        // What no float holds is out of range anyhow.
        return Ok(Some(object.extract().unwrap_or(f64::INFINITY)));
    }
    if object.is_instance_of::<PyDelta>() {
        return object.call_method0("total_seconds")?.extract().map(Some);
    }
    Ok(None)
}

fn codec(operation: &str, object: &Bound<'_, PyAny>) -> PyResult<Codec> {
    let name = object.cast::<PyString>().ok().and_then(|name| name.to_str().ok());
    match name {
        Some("json") => Ok(Codec::Json),
        Some("msgpack") => Ok(Codec::MsgPack),
        _ => {
            let found = name.map_or_else(|| type_name(object), |name| format!("{name:?}"));
            let message = format!("codec must be \"json\" or \"msgpack\", bytes are always raw; is {found}");
            Err(error(object.py(), ErrorKind::InvalidOption, operation, &message))
        }
    }
}

/// The options of a cache as the JSON that the core reads. What JSON cannot say becomes a text that the core
/// refuses in its own words.
pub(crate) fn options(options: &Bound<'_, PyDict>) -> PyResult<Bytes> {
    options_of("open", options)
}

/// The same for what is opened by another operation.
pub(crate) fn options_of(operation: &str, options: &Bound<'_, PyDict>) -> PyResult<Bytes> {
    let py = options.py();
    let plain = PyDict::new(py);
    for (name, value) in options.iter() {
        plain.set_item(&name, option(&value)?)?;
    }
    match encode::value(operation, &plain.into_any()) {
        Ok(value) => Ok(value.bytes),
        Err(unreadable) => {
            let message = unreadable.value(py).getattr("message")?.extract::<String>()?;
            let message = message.strip_prefix("$.").unwrap_or(&message);
            Err(error(py, ErrorKind::InvalidOption, operation, message))
        }
    }
}

fn option<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = value.py();
    if let Ok(number) = value.cast::<PyFloat>() {
        let name = match number.value() {
            number if number.is_nan() => "NaN",
            f64::INFINITY => "Infinity",
            f64::NEG_INFINITY => "-Infinity",
            _ => return Ok(value.clone()),
        };
        return Ok(PyString::new(py, name).into_any());
    }
    if value.is_instance_of::<PyInt>() && !value.is_instance_of::<PyBool>() && value.extract::<f64>().is_err() {
        return Ok(PyString::new(py, "an endless number").into_any());
    }
    if value.is_instance_of::<PyDelta>() {
        return value.call_method0("total_seconds");
    }
    if value.hasattr("__fspath__")? {
        return py.import("os")?.call_method1("fspath", (value,));
    }
    Ok(value.clone())
}

/// The keys and values of several entries.
pub(crate) fn pairs<'a>(entries: &'a [Entry<'_>]) -> PyResult<Vec<(&'a [u8], Value)>> {
    entries.iter().map(|(object, value)| Ok((key("set_many", object)?, value.clone()))).collect()
}
