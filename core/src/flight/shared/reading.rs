//! What stands in the shared tier, as a record of memory: its bytes are checked and its times translated.

use bytes::Bytes;

use super::{Asked, Loaded, Shared};
use crate::codec::{self, Codec};
use crate::envelope::{self, State, Unreadable, Vector};
use crate::error::{Error, ErrorKind, Result};
use crate::flight::judging::{At, Candidate, Found};
use crate::flight::record::{MAX_DEPTH, Record, Stamp};
use crate::flight::unstored::Stored;
use crate::key::Names;
use crate::options::MAX_TTL;
use crate::redis::{Read, Token};
use crate::tags::{Looked, TagSet};

/// A ttl and the time for which a value is served stale after it, in ms.
const LONGEST: u64 = 2 * MAX_TTL.as_millis() as u64;

/// An entry of so many bytes is worth being asked whether it is still the same, before it is sent again: the script for that
/// costs a server some microseconds.
const WORTH_ASKING: usize = 4 << 10;

impl Shared {
    /// What a read of `key` came to. `now` is the cache's clock at the call: lives are counted from there, so that the
    /// time of the read itself never makes a record younger.
    pub fn loaded(&self, key: &[u8], read: Result<Read<Asked>>, now: u64) -> Found {
        match read {
            Ok(Read { found: Asked::Found(found), server_now, looked, fenced }) => {
                self.found(key, found, &looked, At { server_now, now, fenced })
            }
            Ok(Read { found: Asked::Same(record), server_now, looked, fenced }) => {
                self.same(key, record, &looked, At { server_now, now, fenced })
            }
            Err(error) => {
                self.counters.l2_errors.add(1);
                Found::Known(of_failure(&error))
            }
        }
    }

    /// What a read of many keys came to: see [`Shared::loaded`].
    pub fn loaded_many<'a>(
        &'a self,
        names: &'a Names,
        read: Result<Read<Vec<Option<Bytes>>>>,
        now: u64,
    ) -> impl Iterator<Item = Found> + 'a {
        // One value for each key, or there is no telling whose they are.
        let read = read.map(|read| (read.found.len() == names.len()).then_some(read));
        if !matches!(read, Ok(Some(_))) {
            self.counters.l2_errors.add(1);
        }
        let nothing = At { server_now: 0, now, fenced: true };
        let (mut found, at, looked, failure) = match read {
            Ok(Some(Read { found, server_now, looked, fenced })) => {
                (found.into_iter(), At { server_now, now, fenced }, looked, None)
            }
            Ok(None) => (Vec::new().into_iter(), nothing, Looked::default(), None),
            Err(error) => (Vec::new().into_iter(), nothing, Looked::default(), Some(error)),
        };
        (0..names.len()).map(move |index| match (found.next(), &failure) {
            (Some(found), _) => self.found(names.key(index), found, &looked, at),
            (None, Some(error)) => Found::Known(of_failure(error)),
            (None, None) => Found::Known(Loaded::Unreachable),
        })
    }

    /// What was found under `key`: see [`Shared::loaded`].
    pub fn found(&self, key: &[u8], found: Option<Bytes>, looked: &Looked, at: At) -> Found {
        Found::Known(match found {
            // An invalidation of this process has not reached it: what stands there is not valid.
            Some(_) if self.is_pending(key) => Loaded::Damaged,
            Some(bytes) => match self.read(key, bytes, at) {
                Ok(candidate) => return self.judge(candidate, looked),
                Err(loaded) => *loaded,
            },
            None => Loaded::Absent,
        })
    }

    /// What memory has of `key` still stands there: its tags may have changed.
    fn same(&self, key: &[u8], record: Record, looked: &Looked, at: At) -> Found {
        let beginning = record.origin.as_ref().and_then(|origin| envelope::versions(origin));
        let Some(Vector { clear, tags, .. }) =
            beginning.filter(|_| !self.is_pending(key) && !self.unstored.has(key))
        else {
            return Found::Known(Loaded::Damaged);
        };
        let fresh_until = record.expires.min(at.now + self.max_staleness);
        record.stamp.acknowledge(record.stamp.generation(), fresh_until);
        self.judge(Candidate { record, is_fresh: true, clear, tags, unknown: Vec::new(), at }, looked)
    }

    pub(super) fn is_pending(&self, key: &[u8]) -> bool {
        self.tier.pending() > 0 && self.tier.is_pending(&self.layout.entry(key))
    }

    fn read(&self, key: &[u8], bytes: Bytes, at: At) -> std::result::Result<Candidate, Box<Loaded>> {
        let At { server_now, now, .. } = at;
        let whole = (bytes.len() >= WORTH_ASKING && !self.is_plain()).then(|| bytes.clone());
        let entry = match envelope::decode(bytes, self.layout.prefix(), key, self.max_value) {
            Ok(entry) => entry,
            Err(Unreadable::Unknown) => {
                self.counters.decode_misses.add(1);
                return Err(Box::new(Loaded::Foreign));
            }
            Err(Unreadable::Corrupt(_)) => {
                self.counters.decode_misses.add(1);
                return Err(Box::new(Loaded::Damaged));
            }
            Err(Unreadable::WrongKey) => {
                // Both: no value could be read, and who brought it is to blame.
                self.counters.decode_misses.add(1);
                self.counters.l2_errors.add(1);
                self.tier.report_wrong_key();
                return Err(Box::new(Loaded::Unreachable));
            }
        };
        // While it is loaded, or written, there is no value.
        if matches!(entry.state, State::Leased | State::Hold) {
            return Err(Box::new(Loaded::Absent));
        }
        if !entry.negative && !readable(entry.codec, &entry.payload) {
            self.counters.decode_misses.add(1);
            return Err(Box::new(Loaded::Damaged));
        }
        // Each of the times is cut to whole milliseconds.
        let since = now.saturating_sub(server_now.saturating_sub(entry.stored_at) + 2);
        let stored = match entry.token == Token::default() && entry.load_ms == 0 {
            true => Stored::Written(since, entry.generation),
            false => Stored::Loaded(since.saturating_sub(entry.load_ms.into())),
        };
        if self.unstored.is_older(key, stored) {
            return Err(Box::new(Loaded::Damaged));
        }
        // Longer than any of ours is no life, and no sum of it is to overflow.
        let life = |end: u64| now + end.saturating_sub(server_now).min(LONGEST);
        let expires = life(entry.soft_expiry);
        let origin = whole.map(|whole| {
            Box::new(Bytes::copy_from_slice(&whole[..envelope::payload_at(&whole, entry.payload.len())]))
        });
        let record = Record {
            codec: entry.codec,
            bytes: entry.payload,
            negative: entry.negative,
            expires,
            stamp: Stamp::new(expires.min(now + self.max_staleness), entry.generation),
            stale_until: life(entry.hard_expiry).max(expires),
            load_ms: entry.load_ms,
            origin,
            stored: now.saturating_sub(server_now.saturating_sub(entry.stored_at)),
            tags: TagSet::new(entry.tags.iter().map(|(tag, _)| tag.clone()).collect()),
        };
        let is_fresh = record.expires > now && matches!(entry.state, State::Fresh | State::FreshLeased);
        if !is_fresh && record.stale_until <= now {
            return Err(Box::new(Loaded::Absent));
        }
        let (clear, tags) = (entry.clear, entry.tags);
        Ok(Candidate { record, is_fresh, clear, tags, unknown: Vec::new(), at })
    }
}

fn of_failure(error: &Error) -> Loaded {
    match error.kind() {
        ErrorKind::Overloaded => Loaded::Refused(error.clone()),
        _ => Loaded::Unreachable,
    }
}

/// Whether a reader in any language can take the payload: depth and syntax are checked here, before bytes from
/// outside reach the parser of a host.
fn readable(codec: Codec, payload: &[u8]) -> bool {
    match codec {
        Codec::Raw => true,
        Codec::Json => codec::check_json(payload, MAX_DEPTH).is_ok(),
        Codec::MsgPack => codec::msgpack_to_json(payload, MAX_DEPTH).is_ok(),
    }
}
