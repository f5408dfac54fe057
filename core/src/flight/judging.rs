//! Whether an entry of the shared tier is still good, and which versions a new one is to carry.

use super::record::Record;
use super::shared::{Loaded, Shared};
use crate::tags::{Looked, Tag, TagSet, Verdict};

/// What a read found, as far as it can be told.
pub(crate) enum Found {
    Known(Loaded),
    /// Good, if its tags still have these versions.
    Open(Box<Candidate>),
}

impl Found {
    /// The tags that are to be looked at.
    pub fn unknown(&self) -> &[Tag] {
        match self {
            Found::Known(_) => &[],
            Found::Open(candidate) => &candidate.unknown,
        }
    }
}

/// A record whose tags are to be looked at.
pub(crate) struct Candidate {
    pub record: Record,
    pub is_fresh: bool,
    pub clear: Option<u64>,
    pub tags: Vec<(Tag, u64)>,
    pub unknown: Vec<Tag>,
    pub at: At,
}

#[cfg(any(test, fuzzing))]
impl Candidate {
    /// What a server would say that has just these versions.
    pub fn versions(&self) -> Looked {
        let own = self.tags.iter().map(|(tag, version)| (tag.clone(), Some(*version)));
        let all = [(Tag::from(&[][..]), self.clear)].into_iter().chain(own);
        Looked { versions: all.collect(), ..Looked::default() }
    }
}

/// When something was read, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At {
    /// The server's time after the read or a little later, in ms since 1970.
    pub server_now: u64,
    /// The cache's clock at the call.
    pub now: u64,
    /// Whether the server has our scripts.
    pub fenced: bool,
}

/// The versions that an entry is to carry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Vector {
    pub clear: Option<u64>,
    pub tags: Vec<(Tag, u64)>,
}

impl Vector {
    /// Whether `looked` has seen another version of any of them.
    pub(super) fn is_outdated(&self, looked: &Looked) -> bool {
        let other = |tag: &[u8], version: Option<u64>| looked.version(tag).is_some_and(|seen| seen != version);
        other(&[], self.clear) || self.tags.iter().any(|(tag, version)| other(tag, Some(*version)))
    }
}

impl Shared {
    /// What a record is worth, as far as the versions of its tags are known.
    pub fn judge(&self, candidate: Candidate, looked: &Looked) -> Found {
        let Candidate { record, is_fresh, clear, tags, at, .. } = candidate;
        if self.tier.is_tag_pending(&tags) {
            return Found::Known(Loaded::Damaged);
        }
        // Where there are no scripts, entries have no versions, and a clear deletes them.
        let verdict = match clear.is_none() && !at.fenced && tags.is_empty() {
            true => Verdict::Current(at.now),
            false => self.known.judge(clear, &tags, looked),
        };
        match verdict {
            Verdict::Current(asked) => {
                let known = record.stamp.fresh_until().min(asked.saturating_add(self.max_staleness));
                record.stamp.acknowledge(record.stamp.generation(), known);
                Found::Known(if is_fresh { Loaded::Fresh(record) } else { Loaded::Stale(record) })
            }
            Verdict::Outdated => Found::Known(Loaded::Damaged),
            Verdict::Unknown(unknown) => {
                Found::Open(Box::new(Candidate { record, is_fresh, clear, tags, unknown, at }))
            }
        }
    }

    /// The versions that an entry is to carry that was loaded with what a lease had `seen`, asked for at `since`; and
    /// when the oldest of them was asked. Else the tags of which nobody knows what version they had then.
    pub fn vector(
        &self,
        tags: &TagSet,
        seen: &Looked,
        since: u64,
    ) -> std::result::Result<(Vector, u64), Vec<Tag>> {
        let mut oldest = since;
        let mut version = |tag: &[u8]| {
            let (version, asked) = match seen.version(tag) {
                Some(version) => (version?, seen.look.asked),
                None => self.known.seen_before(tag, since)?,
            };
            oldest = oldest.min(asked);
            Some(version)
        };
        let clear = version(&[]);
        let mut unknown = Vec::new();
        let mut vector = Vector { clear, tags: Vec::new() };
        for tag in tags.iter() {
            match version(tag) {
                Some(version) => vector.tags.push((tag.clone(), version)),
                None => unknown.push(tag.clone()),
            }
        }
        if unknown.is_empty() { Ok((vector, oldest)) } else { Err(unknown) }
    }
}
