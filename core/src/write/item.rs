//! One write: what it is, and its bytes in a journal.

use std::sync::Weak;

use bytes::Bytes;

use crate::codec::Codec;
use crate::host::Value;

/// What a write does to its key in the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum WriteKind {
    /// The whole new value. Of several that wait for one key only the newest is written.
    Set = 1,
    /// The key goes. It merges with sets as they do with each other.
    Delete = 2,
    /// A change, to be applied to what is there. Each one is written, in order.
    Delta = 3,
}

impl WriteKind {
    /// The kind of this number.
    pub fn from_id(id: u8) -> Option<Self> {
        match id {
            1 => Some(WriteKind::Set),
            2 => Some(WriteKind::Delete),
            3 => Some(WriteKind::Delta),
            _ => None,
        }
    }

    /// Whether it says all there is to say of its key.
    pub(super) fn is_state(self) -> bool {
        self != WriteKind::Delta
    }
}

/// A write on its way to the source, as a writer gets it.
#[derive(Clone, Debug)]
pub struct Write {
    /// For `ack` and `nack`, `replay` and `drop`: good in this process.
    pub number: u64,
    /// With `sequence` the identity of the write: a writer that meets it twice has written it already.
    pub process: u64,
    /// Grows with each write of a process, and follows the clock across processes: microseconds since 1970 or more. A
    /// source that keeps it with the row can refuse what is older (`… WHERE sequence < :sequence`).
    pub sequence: u64,
    /// The key.
    pub key: Bytes,
    /// What is to be done.
    pub kind: WriteKind,
    /// The value, or the change; no bytes for a delete.
    pub value: Value,
    /// How often it was handed out, this time included; of a dead letter, how often it was.
    pub attempt: u32,
    /// When it was acknowledged, in milliseconds since 1970; where writes were merged, the first of them.
    pub enqueued_ms: u64,
    /// Why it is a dead letter; empty otherwise.
    pub error: String,
}

/// Who takes writes back that nobody has answered for.
pub(crate) trait Taker: Send + Sync {
    fn give_back(&self, numbers: &[u64]);
}

/// Writes on their way to a host. Dropped before they were delivered, they are due again.
pub struct Writes {
    items: Vec<Write>,
    taker: Option<Weak<dyn Taker>>,
}

impl Writes {
    pub(super) fn new(items: Vec<Write>, taker: Weak<dyn Taker>) -> Self {
        Writes { items, taker: Some(taker) }
    }

    /// Writes that are only shown.
    pub(super) fn shown(items: Vec<Write>) -> Self {
        Writes { items, taker: None }
    }

    /// The writes: whoever takes them answers for them with `ack` or `nack`.
    pub fn into_items(mut self) -> Vec<Write> {
        self.taker = None;
        std::mem::take(&mut self.items)
    }
}

impl Drop for Writes {
    fn drop(&mut self) {
        if let Some(taker) = self.taker.take().and_then(|taker| taker.upgrade()) {
            let numbers: Vec<u64> = self.items.iter().map(|item| item.number).collect();
            taker.give_back(&numbers);
        }
    }
}

impl std::fmt::Debug for Writes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writes").field("count", &self.items.len()).finish()
    }
}

/// A write as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub number: u64,
    pub process: u64,
    pub sequence: u64,
    pub key: Bytes,
    pub kind: WriteKind,
    pub codec: Codec,
    pub value: Bytes,
    pub enqueued_ms: u64,
}

/// What a write weighs beside its bytes: its places in the maps, measured with 1 M writes of 16 bytes.
const OVERHEAD: u64 = 400;

/// The version of the bytes below.
const VERSION: u8 = 1;

impl Item {
    pub fn weight(&self) -> u64 {
        weight(self.key.len(), self.value.len())
    }

    /// The bytes of a row: version, kind, codec, then little-endian process, sequence, time, length of the reason, length of
    /// the key; the reason why it is a dead letter, the key, the value.
    pub fn encode(&self, reason: Option<&str>) -> Vec<u8> {
        let reason = reason.unwrap_or_default().as_bytes();
        let mut row = Vec::with_capacity(35 + reason.len() + self.key.len() + self.value.len());
        row.extend_from_slice(&[VERSION, self.kind as u8, self.codec as u8]);
        row.extend_from_slice(&self.process.to_le_bytes());
        row.extend_from_slice(&self.sequence.to_le_bytes());
        row.extend_from_slice(&self.enqueued_ms.to_le_bytes());
        row.extend_from_slice(&length(reason.len()).to_le_bytes());
        row.extend_from_slice(&length(self.key.len()).to_le_bytes());
        row.extend_from_slice(reason);
        row.extend_from_slice(&self.key);
        row.extend_from_slice(&self.value);
        row
    }

    /// Reads what `encode` wrote, as the write of this number, and the reason. None for what is of another version, or
    /// nothing of ours.
    pub fn decode(number: u64, row: &[u8]) -> Option<(Item, String)> {
        let (head, rest) = row.split_at_checked(35)?;
        let u64_at = |at: usize| head[at..at + 8].try_into().map(u64::from_le_bytes).ok();
        let len_at = |at: usize| head[at..at + 4].try_into().map(u32::from_le_bytes).ok();
        if head[0] != VERSION {
            return None;
        }
        let (kind, codec) = (WriteKind::from_id(head[1])?, Codec::from_id(head[2])?);
        let (reason, rest) = rest.split_at_checked(len_at(27)? as usize)?;
        let (key, value) = rest.split_at_checked(len_at(31)? as usize)?;
        let item = Item {
            number,
            process: u64_at(3)?,
            sequence: u64_at(11)?,
            key: Bytes::copy_from_slice(key),
            kind,
            codec,
            value: Bytes::copy_from_slice(value),
            enqueued_ms: u64_at(19)?,
        };
        Some((item, String::from_utf8_lossy(reason).into_owned()))
    }

    /// As its writer gets it.
    pub fn written(&self, attempt: u32, error: &str) -> Write {
        Write {
            number: self.number,
            process: self.process,
            sequence: self.sequence,
            key: self.key.clone(),
            kind: self.kind,
            value: Value { codec: self.codec, bytes: self.value.clone() },
            attempt,
            enqueued_ms: self.enqueued_ms,
            error: error.to_owned(),
        }
    }
}

pub(super) fn weight(key: usize, value: usize) -> u64 {
    key as u64 + value as u64 + OVERHEAD
}

fn length(is: usize) -> u32 {
    u32::try_from(is).unwrap_or(u32::MAX)
}
