//! What is tried with any bytes: by the fuzzer (`make fuzz`, under `cfg(fuzzing)`), and by the tests here with drawn
//! ones and with those that the fuzzer found worth keeping.

use bytes::Bytes;

use crate::codec::{self, Codec};
use crate::envelope::{self, HEADER, Unreadable};
use crate::error::ErrorKind;
use crate::flight::{At, Found, Loaded, MAX_DEPTH, Shared};
use crate::key;
use crate::options::Options;
use crate::tags::{Known, Looked};

/// Something that any bytes are tried with: it panics where they break a promise.
pub type Target = fn(&[u8]);

/// The targets by name.
pub const TARGETS: [(&str, Target); 7] = [
    ("resp", resp),
    ("roundtrip", roundtrip),
    ("replies", replies),
    ("envelope", entry),
    ("address", address),
    ("options", options),
    ("codecs", codecs),
];

/// The target of this name.
///
/// # Panics
/// Where there is none.
pub fn target(name: &str) -> Target {
    let found = TARGETS.iter().find(|(other, _)| *other == name);
    found.map(|(_, target)| *target).expect("a target")
}

fn resp(bytes: &[u8]) {
    crate::wire::fuzzing::any_stream(bytes);
}

fn roundtrip(bytes: &[u8]) {
    crate::wire::fuzzing::what_is_written(bytes);
}

fn replies(bytes: &[u8]) {
    crate::redis::fuzzing::any_replies(bytes);
}

fn address(bytes: &[u8]) {
    crate::redis::fuzzing::any_address(bytes);
}

/// Options are taken or refused, with a reason of moderate length.
fn options(bytes: &[u8]) {
    if let Err(error) = Options::from_json(bytes) {
        assert_eq!(error.kind(), ErrorKind::InvalidOption);
        assert!(error.to_string().len() < 1000, "{error}");
    }
}

const PREFIX: &str = "shop";
const KEY: &[u8] = b"user:1";
const MAX_VALUE: usize = 1024;

/// What lies in the shared tier is an entry of its key, whose life makes sense, or none.
fn entry(bytes: &[u8]) {
    let Some((mend, bytes)) = bytes.split_first() else { return };
    let mut bytes = bytes.to_vec();
    mend_entry(*mend, &mut bytes);
    let bytes = Bytes::from(bytes);
    match envelope::decode(bytes.clone(), PREFIX.as_bytes(), KEY, MAX_VALUE) {
        Ok(entry) => {
            assert!(entry.payload.len() <= MAX_VALUE);
            assert_eq!(envelope::encode(&entry, PREFIX.as_bytes(), KEY), bytes, "it says all that was stored");
        }
        Err(Unreadable::Unknown | Unreadable::Corrupt(_) | Unreadable::WrongKey) => {}
    }
    let options = Options {
        url: "redis://localhost".to_owned(),
        prefix: PREFIX.to_owned(),
        max_value: MAX_VALUE,
        ..Options::default()
    };
    let known = std::sync::Arc::new(Known::new(0, crate::clock::Clock::default()));
    let shared =
        Shared::open(&options, &std::sync::Arc::default(), &known).expect("good options").expect("a tier");
    for server_now in [0, 1 << 40, u64::from(*mend) << 32] {
        let now = 1 << 20;
        let at = At { server_now, now, fenced: mend & 8 == 0 };
        let loaded = match shared.found(KEY, Some(bytes.clone()), &Looked::default(), at) {
            Found::Known(loaded) => loaded,
            // A server that says what the entry says.
            Found::Open(candidate) => {
                let seen = candidate.versions();
                assert!(!candidate.unknown.is_empty());
                match shared.judge(*candidate, &seen) {
                    Found::Known(loaded) => loaded,
                    Found::Open(_) => unreachable!("all is known"),
                }
            }
        };
        if let Loaded::Fresh(record) | Loaded::Stale(record) = loaded {
            assert!(record.stamp.fresh_until() <= record.expires && record.stale_until > now);
            // What is served decodes, in a host too.
            if !record.negative {
                let value = record.payload().expect("it was looked through");
                assert!(value.codec == Codec::Raw || codec::check_json(&value.bytes, MAX_DEPTH).is_ok());
            }
        }
    }
}

/// Puts right what no fuzzer guesses: the sums.
fn mend_entry(which: u8, bytes: &mut [u8]) {
    if bytes.len() < HEADER + 8 {
        return;
    }
    if which & 1 != 0 {
        bytes[..4].copy_from_slice(b"SJ\x01\x01");
    }
    if which & 2 != 0 {
        bytes[80..88].copy_from_slice(&key::hash(PREFIX.as_bytes(), KEY).to_le_bytes());
    }
    if which & 4 != 0 {
        let end = bytes.len() - 8;
        let sum = xxhash_rust::xxh3::xxh3_64(&bytes[..end]);
        bytes[end..].copy_from_slice(&sum.to_le_bytes());
    }
}

/// JSON and MessagePack from anywhere: what passes the checks every parser reads, and both say the same.
fn codecs(bytes: &[u8]) {
    if codec::check_json(bytes, MAX_DEPTH).is_ok() {
        let value: serde_json::Value = serde_json::from_slice(bytes).expect("what passes is JSON");
        match codec::json_to_msgpack(bytes) {
            Ok(packed) => {
                let back = codec::msgpack_to_json(&packed, MAX_DEPTH).expect("what was packed");
                let back: serde_json::Value = serde_json::from_slice(&back).expect("JSON");
                assert_eq!(back, value);
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::InvalidValue),
        }
    }
    match codec::msgpack_to_json(bytes, MAX_DEPTH) {
        Ok(json) => {
            assert!(json.len() <= 8 * bytes.len(), "{} bytes became {}", bytes.len(), json.len());
            codec::check_json(&json, MAX_DEPTH).expect("what was unpacked is JSON");
        }
        Err(error) => assert_eq!(error.kind(), ErrorKind::InvalidValue),
    }
    for codec in [Codec::Raw, Codec::Json, Codec::MsgPack] {
        // A type that takes anything.
        let _: Result<serde_json::Value, _> = codec::decode(codec, bytes);
    }
}

#[cfg(test)]
mod tests;
