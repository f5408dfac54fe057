//! Keys: what users may write, and how they stand in Redis.
//!
//! The hash tag of a Redis key comes first, so that no byte of a user's key can choose its slot; prefixes have no
//! characters that mean anything in a pattern.

mod arg;
mod call;
mod names;
mod number;
mod path;
pub(crate) mod serde_arg;
pub mod template;

use std::sync::Arc;

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

pub(crate) use names::Names;

use crate::error::{Error, ErrorKind, Result};

/// The longest key in bytes.
pub const MAX_KEY: usize = 1024;
/// The longest prefix in bytes.
pub const MAX_PREFIX: usize = 128;

/// Checks a key: 1 byte to 1 KiB.
pub(crate) fn check(key: &[u8], operation: &'static str) -> Result<()> {
    if (1..=MAX_KEY).contains(&key.len()) {
        return Ok(());
    }
    let message = format!("key must be 1 to {MAX_KEY} bytes, has {}", key.len());
    Err(Error::new(ErrorKind::InvalidKey, operation, message))
}

/// Checks a prefix: 0 to 128 bytes of `[A-Za-z0-9_.:-]`.
pub(crate) fn check_prefix(prefix: &str) -> Result<()> {
    let invalid = |what: String| {
        let message = format!("prefix must be 0 to {MAX_PREFIX} bytes of [A-Za-z0-9_.:-], {what}");
        Error::new(ErrorKind::InvalidOption, "open", message)
    };
    if prefix.len() > MAX_PREFIX {
        return Err(invalid(format!("has {}", prefix.len())));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_.:-".contains(c);
    match prefix.chars().position(|c| !allowed(c)) {
        None => Ok(()),
        Some(position) => Err(invalid(format!("has another character at position {position}"))),
    }
}

/// xxh3-64 of the length of the prefix (u32, little endian), the prefix and the key: the proof in each entry that
/// it belongs to its key.
pub(crate) fn hash(prefix: &[u8], key: &[u8]) -> u64 {
    /// Most keys are short, and setting up a hasher that takes pieces costs more than hashing them.
    const SHORT: usize = 128;
    let length = u32::try_from(prefix.len()).unwrap_or(u32::MAX).to_le_bytes();
    let (before, end) = (length.len() + prefix.len(), length.len() + prefix.len() + key.len());
    let mut room = [0; SHORT];
    if let Some(whole) = room.get_mut(..end) {
        whole[..length.len()].copy_from_slice(&length);
        whole[length.len()..before].copy_from_slice(prefix);
        whole[before..].copy_from_slice(key);
        return xxh3_64(whole);
    }
    let mut hasher = Xxh3::new();
    hasher.update(&length);
    hasher.update(prefix);
    hasher.update(key);
    hasher.digest()
}

/// How entries stand in the shared tier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// With a header of our own: leases, tags, a proof that an entry belongs to its key.
    #[default]
    Scrubjay,
    /// Bare JSON at `prefix:key`, for programs that know nothing of Scrubjay. Such entries have no lease, no tags and no
    /// proof.
    Plain,
}

/// The names of one cache in Redis. There is one partition until clusters are supported; their number is
/// recorded under [`Layout::meta`].
#[derive(Clone)]
pub(crate) struct Layout {
    prefix: Arc<str>,
    pub format: Format,
    /// What the name of each entry begins with.
    entries: Arc<[u8]>,
}

impl Layout {
    pub fn new(prefix: &str, format: Format) -> Self {
        let entries = match format {
            Format::Scrubjay => format!("sj:{{{prefix}.0}}:e:"),
            Format::Plain if prefix.is_empty() => String::new(),
            Format::Plain => format!("{prefix}:"),
        };
        Layout { prefix: prefix.into(), format, entries: entries.into_bytes().into() }
    }

    /// The user's prefix.
    pub fn prefix(&self) -> &[u8] {
        self.prefix.as_bytes()
    }

    /// Where the entry of `key` is stored: `sj:{prefix.0}:e:key`, or plain `prefix:key`.
    pub fn entry(&self, key: &[u8]) -> Vec<u8> {
        [&self.entries[..], key].concat()
    }

    /// Where the entries of many keys are stored.
    pub fn names<'a>(&self, keys: impl ExactSizeIterator<Item = &'a [u8]>) -> Names {
        Names::new(&self.entries, keys)
    }

    /// How many bytes stand before the key in the name of an entry.
    pub fn before_key(&self) -> usize {
        self.entries.len()
    }

    /// Where the format and the number of partitions are recorded: `sj:{prefix.m}:meta`.
    pub fn meta(&self) -> Vec<u8> {
        format!("sj:{{{}.m}}:meta", self.prefix).into_bytes()
    }

    /// Where the writes of the partition are counted: `sj:{prefix.0}:s`.
    pub fn sequence(&self) -> Vec<u8> {
        format!("sj:{{{}.0}}:s", self.prefix).into_bytes()
    }

    /// The channel on which they are told: `sj:{prefix.0}:c`.
    pub fn channel(&self) -> Vec<u8> {
        format!("sj:{{{}.0}}:c", self.prefix).into_bytes()
    }

    /// What the name of each tag begins with: `sj:{prefix.t0}:t:`. Tags have a partition of their own.
    pub fn tags(&self) -> Vec<u8> {
        format!("sj:{{{}.t0}}:t:", self.prefix).into_bytes()
    }

    /// Where the invalidations of tags are counted: `sj:{prefix.t0}:s`.
    pub fn tag_sequence(&self) -> Vec<u8> {
        format!("sj:{{{}.t0}}:s", self.prefix).into_bytes()
    }

    /// The channel on which they are told: `sj:{prefix.t0}:c`.
    pub fn tag_channel(&self) -> Vec<u8> {
        format!("sj:{{{}.t0}}:c", self.prefix).into_bytes()
    }

    /// Keys whose writes have not reached the source: `sj:{prefix.0}:d`.
    pub fn dirty(&self) -> Vec<u8> {
        format!("sj:{{{}.0}}:d", self.prefix).into_bytes()
    }

    /// What the names of a write-behind's streams begin with: `sj:{prefix.0}:w:name:`.
    pub fn behind(&self, name: &str) -> Vec<u8> {
        format!("sj:{{{}.0}}:w:{name}:", self.prefix).into_bytes()
    }

    /// The pattern that all entries match, and nothing else.
    pub fn entry_pattern(&self) -> Vec<u8> {
        // A full stop and a colon stand for themselves in a pattern; a prefix has nothing else that could.
        [&self.entries[..], b"*"].concat()
    }
}

#[cfg(test)]
mod tests;
