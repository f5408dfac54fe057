//! The bytes of an entry in the shared tier: `docs/wire-format.md` has the table.
//!
//! Nothing that comes from outside is trusted: the length is checked before anything is read, the checksum and
//! the hash of the key before anything is believed, and what this release does not know is a miss that is not
//! overwritten.
//!
//! The server's scripts change some fields of the header where they stand (`redis/scripts/`), and cannot make a checksum
//! of ours: it leaves those out.

use bytes::Bytes;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::codec::Codec;
use crate::key;
use crate::tags::{MAX_TAGS, Tag};

/// The length of the header.
pub const HEADER: usize = 88;
const CHECKSUM: usize = 8;
/// What a tag takes beside its own bytes: its length and its version.
const TAG: usize = 10;
/// What an entry may have beside its payload: header, a generous vector of tags, and checksum.
pub const OVERHEAD: usize = HEADER + (64 << 10) + CHECKSUM;
const MAGIC: [u8; 2] = *b"SJ";
const FORMAT: u8 = 1;
const COMPRESSED: u8 = 1;
const ENCRYPTED: u8 = 2;
const NEGATIVE: u8 = 4;
/// Somebody waits for the end of the lease. The scripts set it.
const WAITED: u8 = 16;

/// What an entry is, as the scripts have left it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum State {
    /// A value, or a "not found", that is served until its soft expiry.
    #[default]
    Fresh = 1,
    /// No value yet: somebody loads it.
    Leased = 2,
    /// A value that was invalidated: to be served when the fetch fails.
    Stale = 3,
    /// As `Stale`, and somebody loads a new one.
    StaleLeased = 4,
    /// As `Fresh`, and somebody loads a new one.
    FreshLeased = 5,
    /// No value: a writer is between its intent and its invalidation, and nothing may be filled in.
    Hold = 6,
}

impl State {
    fn from_byte(byte: u8) -> Option<State> {
        use State::{Fresh, FreshLeased, Hold, Leased, Stale, StaleLeased};
        [Fresh, Leased, Stale, StaleLeased, FreshLeased, Hold].into_iter().find(|state| *state as u8 == byte)
    }
}

/// An entry. Times are milliseconds of the server's clock since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    pub state: State,
    pub codec: Codec,
    /// The source said that there is nothing.
    pub negative: bool,
    /// The lease under which it was filled; 0 for a direct write.
    pub token: [u8; 16],
    /// The sequence number of the write.
    pub generation: u64,
    /// The end of a lease or hold; 0 for none.
    pub deadline: u64,
    /// The end of its ttl.
    pub soft_expiry: u64,
    /// The end of the time in which it may be served stale.
    pub hard_expiry: u64,
    pub stored_at: u64,
    /// Writers that are between their intent and their invalidation.
    pub holds: u16,
    /// How long its fetch took.
    pub load_ms: u32,
    pub shard_epoch: u32,
    /// The version of the empty tag, which all entries have and `clear` changes; none where a server without scripts was
    /// written to.
    pub clear: Option<u64>,
    /// The other tags with their versions at the begin of the load.
    pub tags: Vec<(Tag, u64)>,
    pub payload: Bytes,
}

/// Why bytes are no entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// Of a format, state, flag or codec that this release does not know: a miss, not to be overwritten.
    Unknown,
    /// Damaged, or no entry at all.
    Corrupt(&'static str),
    /// An entry of another key: whatever brought it cannot be believed any more.
    WrongKey,
}

/// The bytes of `entry` under this prefix and key.
pub(crate) fn encode(entry: &Entry, prefix: &[u8], key: &[u8]) -> Vec<u8> {
    let tags: usize = entry.tags.iter().map(|(tag, _)| tag.len() + TAG).sum::<usize>() + TAG;
    let count = entry.tags.len() + usize::from(entry.clear.is_some());
    let mut out = Vec::with_capacity(HEADER + tags + entry.payload.len() + CHECKSUM);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[
        FORMAT,
        entry.state as u8,
        if entry.negative { NEGATIVE } else { 0 },
        entry.codec as u8,
    ]);
    out.extend_from_slice(&0_u16.to_le_bytes());
    out.extend_from_slice(&entry.token);
    for time in [entry.generation, entry.deadline, entry.soft_expiry, entry.hard_expiry, entry.stored_at] {
        out.extend_from_slice(&time.to_le_bytes());
    }
    out.extend_from_slice(&entry.holds.to_le_bytes());
    out.extend_from_slice(&u16::try_from(count).unwrap_or(u16::MAX).to_le_bytes());
    out.extend_from_slice(&entry.load_ms.to_le_bytes());
    out.extend_from_slice(&entry.shard_epoch.to_le_bytes());
    out.extend_from_slice(&0_u32.to_le_bytes());
    out.extend_from_slice(&key::hash(prefix, key).to_le_bytes());
    let clear = entry.clear.map(|version| (&[][..], version));
    for (tag, version) in clear.into_iter().chain(entry.tags.iter().map(|(tag, version)| (&**tag, *version))) {
        out.extend_from_slice(&u16::try_from(tag.len()).unwrap_or(u16::MAX).to_le_bytes());
        out.extend_from_slice(tag);
        out.extend_from_slice(&version.to_le_bytes());
    }
    out.extend_from_slice(&entry.payload);
    let checksum = checksum(&out);
    out.extend_from_slice(&checksum.to_le_bytes());
    out
}

/// Reads an entry. Its payload shares `bytes`.
pub(crate) fn decode(bytes: Bytes, prefix: &[u8], key: &[u8], max_value: usize) -> Result<Entry, Unreadable> {
    if bytes.len() < HEADER + CHECKSUM {
        return Err(Unreadable::Corrupt("shorter than a header"));
    }
    if bytes[..2] != MAGIC {
        return Err(Unreadable::Corrupt("no magic"));
    }
    // A newer release may place everything else elsewhere.
    if bytes[2] != FORMAT {
        return Err(Unreadable::Unknown);
    }
    // The server lists writers behind the header of a hold, and can make no checksum. There is no value to be checked.
    let held = bytes[3] == State::Hold as u8;
    let end = bytes.len() - CHECKSUM;
    if !held && checksum(&bytes[..end]).to_le_bytes() != bytes[end..] {
        return Err(Unreadable::Corrupt("checksum"));
    }
    if u64_at(&bytes, 80) != key::hash(prefix, key) {
        return Err(Unreadable::WrongKey);
    }
    let (flags, key_id, reserved) = (bytes[4] & !WAITED, u16_at(&bytes, 6), u32_at(&bytes, 76));
    let known = flags & !(COMPRESSED | ENCRYPTED | NEGATIVE) == 0 && flags & (COMPRESSED | ENCRYPTED) == 0;
    if !known || key_id != 0 || reserved != 0 {
        return Err(Unreadable::Unknown);
    }
    let state = State::from_byte(bytes[3]).ok_or(Unreadable::Unknown)?;
    let codec = Codec::from_id(bytes[5]).ok_or(Unreadable::Unknown)?;
    let Vector { clear, tags, start } = match held {
        true => Vector { clear: None, tags: Vec::new(), start: end },
        false => vector(&bytes[..end], usize::from(u16_at(&bytes, 66)))?,
    };
    if end - start > max_value {
        return Err(Unreadable::Corrupt("larger than max_value"));
    }
    let mut token = [0; 16];
    token.copy_from_slice(&bytes[8..24]);
    Ok(Entry {
        state,
        codec,
        negative: flags & NEGATIVE != 0,
        token,
        generation: u64_at(&bytes, 24),
        deadline: u64_at(&bytes, 32),
        soft_expiry: u64_at(&bytes, 40),
        hard_expiry: u64_at(&bytes, 48),
        stored_at: u64_at(&bytes, 56),
        holds: u16_at(&bytes, 64),
        load_ms: u32_at(&bytes, 68),
        shard_epoch: u32_at(&bytes, 72),
        clear,
        tags,
        payload: bytes.slice(start..end),
    })
}

/// Where the payload of an entry that was read begins.
pub(crate) fn payload_at(entry: &[u8], payload: usize) -> usize {
    entry.len().saturating_sub(payload + CHECKSUM)
}

/// The versions in the beginning of an entry, up to its payload.
pub(crate) fn versions(beginning: &[u8]) -> Option<Vector> {
    let count = beginning.get(66..68)?;
    vector(beginning, usize::from(u16_at(count, 0))).ok()
}

/// Of an entry without its checksum: all of it but what the scripts change.
fn checksum(bytes: &[u8]) -> u64 {
    let (header, rest) = bytes.split_at(HEADER);
    let mut fixed = [0; HEADER];
    fixed.copy_from_slice(header);
    fixed[3] = 0;
    fixed[4] &= !WAITED;
    for changing in [8..40, 64..66, 72..76] {
        fixed[changing].fill(0);
    }
    xxh3_64_with_seed(rest, xxh3_64(&fixed))
}

/// The versions behind the header, and where the payload begins.
pub(crate) struct Vector {
    pub clear: Option<u64>,
    pub tags: Vec<(Tag, u64)>,
    start: usize,
}

fn vector(bytes: &[u8], count: usize) -> Result<Vector, Unreadable> {
    const CUT: Unreadable = Unreadable::Corrupt("cut short in the tags");
    if count > MAX_TAGS + 1 {
        return Err(Unreadable::Corrupt("too many tags"));
    }
    let mut vector = Vector { clear: None, tags: Vec::new(), start: HEADER };
    for index in 0..count {
        let at = vector.start;
        let length =
            usize::from(u16::from_le_bytes(bytes.get(at..at + 2).ok_or(CUT)?.try_into().map_err(|_| CUT)?));
        let tag = bytes.get(at + 2..at + 2 + length).ok_or(CUT)?;
        let version = bytes.get(at + 2 + length..at + TAG + length).ok_or(CUT)?.try_into().map_err(|_| CUT)?;
        let version = u64::from_le_bytes(version);
        match (index, tag.is_empty()) {
            (0, true) => vector.clear = Some(version),
            (_, true) => return Err(Unreadable::Corrupt("an empty tag")),
            (_, false) => vector.tags.push((tag.into(), version)),
        }
        vector.start = at + TAG + length;
    }
    if vector.tags.len() > MAX_TAGS {
        return Err(Unreadable::Corrupt("too many tags"));
    }
    Ok(vector)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests;
