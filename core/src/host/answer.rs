//! What passes through the seam: bytes, numbers and these few shapes.

use std::fmt;

use bytes::Bytes;

use crate::codec::Codec;
use crate::error::{Error, ErrorKind, Result};
use crate::flight::Lease;
use crate::memory::Copy;
use crate::options::Ttl;
use crate::write::{DrainReport, Writes};

/// Encoded bytes and the codec they are in. A host gives and gets only [`Codec::Raw`] and
/// [`Codec::Json`]; what is stored as MessagePack is translated on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// How `bytes` are encoded.
    pub codec: Codec,
    /// The encoded value; cloning shares it.
    pub bytes: Bytes,
}

/// A value on its way to the host.
pub type Payload = Value;

/// How a value is stored.
#[derive(Clone, Debug, Default)]
pub struct PutOptions {
    /// How long the value is fresh.
    pub ttl: Ttl,
    /// The codec to store it in, if it is not the cache's own.
    pub codec: Option<Codec>,
    /// The tags of the entry, each 1 to 128 bytes of UTF-8. With a fulfil: more tags than its `begin` said.
    pub tags: Vec<Vec<u8>>,
    /// With a fulfil: those who wait get the value, and it is stored nowhere.
    pub discard: bool,
}

/// How a `get_or_fetch` is to be answered.
#[derive(Clone, Debug, Default)]
pub struct FetchOptions<'a> {
    /// How the fetched value will be stored. Checked before the fetch runs.
    pub put: PutOptions,
    /// Leases that the caller holds: the fetches inside which this call is made.
    pub held: &'a [u64],
    /// The host's name for the loop or thread that would run the fetch; 0 for none.
    pub owner: u64,
    /// Whether the caller blocks `owner` while it waits. A leader of the same owner could then never end.
    pub blocking: bool,
    /// Do not answer from a tier: what is there did not decode.
    pub bypass_cache: bool,
}

/// The answer to a call: now, or through the queue.
#[derive(Debug)]
pub enum Step {
    /// Answered; the token will not be completed.
    Ready(Answer),
    /// The token will be completed through the queue.
    Pending,
}

/// What a call came to.
#[derive(Debug)]
pub enum Answer {
    /// A fresh value. A lease asks its holder to refresh it; the value is to be used now.
    Hit {
        /// The value.
        value: Payload,
        /// Present when this caller was drawn to refresh the value ahead of its expiry.
        lease: Option<Lease>,
        /// Leave to keep the decoded value and to answer later hits with it: see [`Table`](super::Table). What the copy
        /// weighs is counted already; one that is not kept costs only room.
        copy: Option<Copy>,
    },
    /// A value past its time, served because nothing better can be had.
    Stale {
        /// The value.
        value: Payload,
        /// Present when this caller was drawn to refresh it.
        lease: Option<Lease>,
    },
    /// Nothing is stored under the key.
    Miss,
    /// The caller is to run its fetch and to answer with `fulfil`, `fail` or `abandon`; or to make the write of its update
    /// and to answer with `end_update`.
    Lead(Lease),
    /// The caller is to run its fetch unshared and to store nothing: the leader runs on the very loop that
    /// this caller blocks.
    Bypass,
    /// Inside the `Many` of a `begin_many`: somebody else leads; the answer comes by a token of its own.
    Waiting,
    /// A write was done.
    Done(Receipt),
    /// One answer for each key, in the order of the keys.
    Many(Vec<Answer>),
    /// Writes for the source, from a write-behind.
    Writes(Writes),
    /// So many were meant.
    Count(u64),
    /// What a `flush`, or the close of a write-behind, came to.
    Drained(DrainReport),
    /// The call failed.
    Failed(Error),
}

/// What became of a write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// The second tier was not reached yet: an invalidation of the keys is queued and retried until it lands.
    pub pending: bool,
    /// Where this write stands in the order of writes.
    pub token: ConsistencyToken,
}

/// An opaque position in the order of writes; its text form is 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ConsistencyToken(pub [u8; 16]);

/// The position of a write, by its number in the sequence of what it was one of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Position {
    Keys(u64),
    Tags(u64),
}

impl ConsistencyToken {
    /// What the first byte says: the write was one of keys, and its number in their sequence follows.
    const OF_KEYS: u8 = 1;
    /// The same of tags, a clear included.
    const OF_TAGS: u8 = 2;

    /// That of a write of keys with this number in their sequence.
    pub(crate) fn of_keys(sequence: u64) -> Self {
        let mut token = [0; 16];
        token[0] = Self::OF_KEYS;
        token[8..].copy_from_slice(&sequence.to_be_bytes());
        ConsistencyToken(token)
    }

    /// That of an invalidation of tags with this number in their sequence.
    pub(crate) fn of_tags(sequence: u64) -> Self {
        let mut token = Self::of_keys(sequence);
        token.0[0] = Self::OF_TAGS;
        token
    }

    /// What the write was one of, and its number in their sequence; none where it was one in memory alone.
    pub(crate) fn position(self) -> Option<Position> {
        let [first, .., a, b, c, d, e, f, g, h] = self.0;
        let sequence = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        match first {
            Self::OF_KEYS => Some(Position::Keys(sequence)),
            Self::OF_TAGS => Some(Position::Tags(sequence)),
            _ => None,
        }
    }
}

impl std::str::FromStr for ConsistencyToken {
    type Err = Error;

    /// Reads what `to_string` wrote: 32 hexadecimal digits.
    fn from_str(text: &str) -> Result<Self> {
        let invalid = || {
            let message = "token must be 32 hexadecimal digits, as a receipt has them";
            Error::new(ErrorKind::InvalidOption, "observe", message)
        };
        let mut token = [0; 16];
        if text.len() != 2 * token.len() || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(invalid());
        }
        for (index, byte) in token.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).map_err(|_| invalid())?;
        }
        Ok(ConsistencyToken(token))
    }
}

impl fmt::Display for ConsistencyToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// An answer that comes through a queue.
#[derive(Debug)]
pub struct Completion {
    /// The token that the host gave to the call.
    pub token: u64,
    /// The answer.
    pub answer: Answer,
}

/// What a host says of a fetch that failed.
#[derive(Clone, Debug)]
pub struct FetchFailure {
    /// [`ErrorKind::FetchFailed`], [`ErrorKind::NotFound`] (remembered for `negative_ttl`), or
    /// [`ErrorKind::InvalidValue`] when the fetched value could not be encoded, [`ErrorKind::InvalidOption`] when what it
    /// says of its storing is wrong.
    pub kind: ErrorKind,
    /// The message, for callers that cannot be given the error object.
    pub message: String,
    /// The host's name for its error object, 0 for none.
    pub error_ref: u64,
}
