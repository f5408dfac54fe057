//! A value as the memory tier keeps it.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;

use super::session::SessionId;
use crate::codec::{self, Codec};
use crate::error::{Error, ErrorKind, Result};
use crate::host::Value;
use crate::key::Format;
use crate::options::Options;
use crate::tags::TagSet;

/// The deepest nesting of a value.
pub(crate) const MAX_DEPTH: usize = 64;

/// An encoded value and its life. Times are milliseconds of the cache's clock.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub codec: Codec,
    pub bytes: Bytes,
    /// There is no value: the source said that there is nothing, or failed with the message that stands in `bytes`.
    pub negative: bool,
    /// The end of its ttl.
    pub expires: u64,
    /// Until when memory may answer with it.
    pub stamp: Stamp,
    /// Until when it may be served when the fetch fails or is slow.
    pub stale_until: u64,
    /// How long its fetch took.
    pub load_ms: u32,
    /// When it was stored; 0 for before this clock began.
    pub stored: u64,
    /// The header of its entry in the shared tier, where that is worth asking for alone.
    pub origin: Option<Box<Bytes>>,
    pub tags: TagSet,
}

/// How long memory may answer with a record: what becomes known after it was stored is noted where it lies.
///
/// Written with the lock held of the record's shard of the flight table.
#[derive(Debug)]
pub(crate) struct Stamp {
    fresh_until: AtomicU64,
    generation: AtomicU64,
    session: AtomicU32,
}

impl Stamp {
    /// Of a record that is current until `fresh_until` whatever is told, and came from the write of this number; 0 where
    /// that is not known.
    pub fn new(fresh_until: u64, generation: u64) -> Self {
        let (fresh_until, generation) = (fresh_until.into(), generation.into());
        Stamp { fresh_until, generation, session: AtomicU32::new(0) }
    }

    /// Until when it may be served though nothing is told: the end of its ttl, or earlier where the shared tier may know
    /// better.
    pub fn fresh_until(&self) -> u64 {
        self.fresh_until.load(Ordering::Relaxed)
    }

    /// The session in which it was read; 0 for none.
    pub fn session(&self) -> SessionId {
        self.session.load(Ordering::Relaxed)
    }

    /// The number of the write that it came from; 0 where that is not known.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    /// It was read in this session.
    pub fn read_in(&self, session: SessionId) {
        self.session.store(session, Ordering::Relaxed);
    }

    /// Its write was acknowledged with this number, and it is current until `fresh_until`.
    pub fn acknowledge(&self, generation: u64, fresh_until: u64) {
        self.generation.store(generation, Ordering::Relaxed);
        self.fresh_until.store(fresh_until, Ordering::Relaxed);
    }
}

impl Clone for Stamp {
    fn clone(&self) -> Self {
        let stamp = Stamp::new(self.fresh_until(), self.generation());
        stamp.read_in(self.session());
        stamp
    }
}

impl Record {
    /// What a negative record answers with.
    pub fn failure(&self) -> Error {
        match self.bytes.is_empty() {
            true => Error::not_found(),
            false => Error::fetch_failed(String::from_utf8_lossy(&self.bytes).into_owned(), None),
        }
    }

    /// The value as a host gets it: MessagePack becomes JSON.
    pub fn payload(&self) -> Result<Value> {
        match self.codec {
            Codec::MsgPack => {
                let json = codec::msgpack_to_json(&self.bytes, MAX_DEPTH)?;
                Ok(Value { codec: Codec::Json, bytes: json.into() })
            }
            codec => Ok(Value { codec, bytes: self.bytes.clone() }),
        }
    }
}

/// Checks what a host wants to store, and turns it into the codec to store it in.
pub(crate) fn admit(
    options: &Options,
    operation: &'static str,
    value: &Value,
    codec: Option<Codec>,
) -> Result<Value> {
    check_size(options, operation, value.bytes.len())?;
    if options.format == Format::Plain {
        return admit_plain(options, operation, value, codec);
    }
    match value.codec {
        Codec::Raw => Ok(value.clone()),
        Codec::MsgPack => {
            codec::msgpack_to_json(&value.bytes, MAX_DEPTH)?;
            Ok(value.clone())
        }
        Codec::Json => {
            codec::check_json(&value.bytes, MAX_DEPTH)?;
            match codec.unwrap_or(options.codec) {
                Codec::MsgPack => {
                    let bytes = codec::json_to_msgpack(&value.bytes)?;
                    // A few values are longer in MessagePack: `0.5` takes nine bytes.
                    check_size(options, operation, bytes.len())?;
                    Ok(Value { codec: Codec::MsgPack, bytes: bytes.into() })
                }
                _ => Ok(value.clone()),
            }
        }
    }
}

/// The same where entries are plain: they are JSON, and nothing says otherwise.
fn admit_plain(options: &Options, operation: &'static str, value: &Value, codec: Option<Codec>) -> Result<Value> {
    if codec == Some(Codec::MsgPack) {
        let message = "codec must be json where format is plain";
        return Err(Error::new(ErrorKind::InvalidOption, operation, message));
    }
    let bytes = match value.codec {
        Codec::Raw => {
            let message = "the value is bytes, and plain entries are JSON: encode them as text";
            return Err(Error::new(ErrorKind::InvalidValue, operation, message));
        }
        Codec::MsgPack => codec::msgpack_to_json(&value.bytes, MAX_DEPTH)?.into(),
        Codec::Json => {
            codec::check_json(&value.bytes, MAX_DEPTH)?;
            value.bytes.clone()
        }
    };
    check_size(options, operation, bytes.len())?;
    Ok(Value { codec: Codec::Json, bytes })
}

fn check_size(options: &Options, operation: &'static str, is: usize) -> Result<()> {
    let limit = options.max_value;
    if is <= limit {
        return Ok(());
    }
    let message = format!("the value has {is} bytes encoded, the limit is max_value = {limit}");
    Err(Error::new(ErrorKind::InvalidValue, operation, message))
}

/// A ttl shortened at random by up to the share `jitter`: entries made together do not end together.
pub(crate) fn jittered(ttl: Duration, jitter: f64) -> Duration {
    if jitter == 0.0 {
        return ttl;
    }
    ttl.mul_f64(1.0 - jitter * rand::random::<f64>()).max(Duration::from_millis(1)).min(ttl)
}

/// Milliseconds, at least 1.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}
