//! What becomes of a value that a fetch brought: where it is stored, and for how long memory may answer with it.

use std::time::Duration;

use super::coherence::Before;
use super::grip::{Grip, Taken};
use super::judging::Vector;
use super::record::{Record, Stamp, millis};
use super::shared::{Shared, capped};
use super::table::Ended;
use super::tagged::{TAGS_OUTLIVE, UNSURE};
use super::tiers::Tiers;
use super::unstored::{Given, Stored};
use crate::error::Result;
use crate::mutant::{Mutant, is_broken};
use crate::redis::{Seen, Slot};
use crate::tags::{Looked, Tag, Verdict};
use crate::wire::Kick;

/// A value on its way into the shared tier.
struct Filling {
    key: Vec<u8>,
    expires: u64,
    vector: Vector,
    given: Given,
    before: Before,
    /// As of [`Table::ticket`](super::table::Table::ticket).
    ticket: u64,
}

impl Tiers {
    /// Stores what a fetch brought, in both tiers, unless a write came in between. Called under the lock of the key's
    /// shard; what is returned is to be done when it is free.
    pub(super) fn keep(&self, key: &[u8], mut record: Record, ended: &mut Ended<Record>) -> Kick {
        // Dropped where it is not taken: others need not wait for its end then.
        let grip = ended.grip.take();
        let given = Given {
            began: ended.started,
            at: self.clock.now_ms(),
            after: grip.as_ref().map(Grip::sequence).filter(|sequence| *sequence != 0),
        };
        // Without this the fence of the server is alone.
        let alone = is_broken(Mutant::NoFence) || is_broken(Mutant::TokenPerClient);
        if ended.void && !(alone && grip.is_some()) {
            self.note_unstored(key, given);
            // The write has ended the lease as well.
            grip.into_iter().for_each(Grip::forget);
            return Kick::NONE;
        }
        if self.known.was_dropped(&record.tags, ended.moment)
            || self.is_held(key, &record.tags, ended.started)
            || self.dirty.covers(key)
        {
            // A tag was invalidated, or its writer was at work, when this had begun; or a write is on its way to the source.
            self.note_unstored(key, given);
            return Kick::NONE;
        }
        let Some(shared) = &self.shared else {
            self.remember(key, &record);
            return Kick::NONE;
        };
        let Some(grip) = grip else {
            // The shared tier could not be asked.
            record.stamp = Stamp::new(capped(record.expires, ended.started, self.options.max_staleness), 0);
            self.note_unstored(key, given);
            self.remember(key, &record);
            return Kick::NONE;
        };
        let (vector, since) = match shared.vector(&record.tags, &grip.seen(), grip.since()) {
            Ok(known) => known,
            // They were asked for: a writer held them when this had begun.
            Err(unknown) if grip.is_fenced() && unknown.iter().any(|tag| grip.seen().version(tag).is_some()) => {
                self.note_unstored(key, given);
                return Kick::NONE;
            }
            Err(unknown) => return self.keep_unsure(shared, key, record, grip, unknown),
        };
        // What was loaded was current when the lease was won and the versions were seen: until it is known to have been so
        // for longer, memory answers with it from there on.
        record.stamp = Stamp::new(capped(record.expires, since, self.options.max_staleness), 0);
        self.remember(key, &record);
        // Without versions it would not be read.
        let admitted = match grip.is_fenced() && vector.clear.is_none() {
            true => None,
            false => admitted(shared, key, &record, grip),
        };
        let Some((slot, taken)) = admitted else {
            self.note_unstored(key, given);
            return Kick::NONE;
        };
        let (before, ticket) = (self.before(key), ended.ticket);
        let filling = Filling { key: key.to_vec(), expires: record.expires, vector, given, before, ticket };
        self.fill(shared, slot, taken, record, filling)
    }

    fn fill(&self, shared: &Shared, slot: Slot, taken: Taken, record: Record, filling: Filling) -> Kick {
        let (me, sent) = (self.handle(), self.clock.now_ms());
        let (table, named, ticket) = (self.table.clone(), filling.key.clone(), filling.ticket);
        let wanted = move || table.ticket(&named) == ticket;
        let vector = filling.vector.clone();
        shared.fill(slot, taken, record, vector, &self.clock, wanted, move |came| me.filled(&filling, sent, came))
    }

    /// What was sent at `sent` has arrived, or not.
    fn filled(&self, filling: &Filling, sent: u64, came: Result<(Option<u64>, Looked)>) {
        let Filling { key, expires, vector, given, before, ticket } = filling;
        let Ok((accepted, looked)) = came else {
            // It may be there or not: memory has it for as long as it was surely current.
            return self.note_unstored(key, *given);
        };
        let verdict = match vector.clear {
            // Where there are no scripts there are no versions.
            None => Verdict::Current(sent),
            clear => self.known.judge(clear, &vector.tags, &looked),
        };
        match (verdict, accepted) {
            // The lease was still ours, so nothing was written until then; nor was a tag invalidated.
            (Verdict::Current(asked), Some(sequence)) => {
                if let Some(shared) = &self.shared {
                    // So what was given before that is stored, or something later.
                    shared.unstored.is_older(key, Stored::Loaded(given.began));
                }
                let known = capped(*expires, sent.min(asked), self.options.max_staleness);
                self.table.store(key, *ticket, || self.acknowledge(key, *before, sequence, known));
            }
            (Verdict::Unknown(_), Some(_)) => {}
            // It was written meanwhile, or was dead when it arrived. What another write of this process may have stored
            // since is loaded anew.
            _ => {
                self.note_unstored(key, *given);
                self.table.under_lock(key, || self.forget(key));
            }
        }
    }

    /// A value that was loaded is given, and is not stored in the shared tier, or may not be.
    fn note_unstored(&self, key: &[u8], given: Given) {
        if let Some(shared) = &self.shared {
            shared.unstored.note(key, given);
        }
    }

    /// As [`Tiers::keep`], where nobody knows which version some tag had before the load: the fetch chose it from the value,
    /// and it may have been invalidated since. So it lives for a moment, and not in memory; the next load knows.
    fn keep_unsure(&self, shared: &Shared, key: &[u8], mut record: Record, grip: Grip, unknown: Vec<Tag>) -> Kick {
        let now = self.clock.now_ms();
        let life = Duration::from_millis(record.stale_until.saturating_sub(now)) + TAGS_OUTLIVE;
        record.expires = record.expires.min(now + millis(UNSURE));
        record.stale_until = record.expires;
        let Ok(slot) = shared.admit("get_or_fetch", 0) else { return Kick::NONE };
        if !grip.is_fenced() {
            return Kick::NONE;
        }
        let (me, key) = (self.handle(), key.to_vec());
        shared.versions(slot, Seen { tags: unknown, life }, move |looked| {
            let (Some(shared), Ok(looked)) = (&me.shared, looked) else { return };
            let mut seen = (*grip.seen()).clone();
            seen.versions.retain(|(tag, _)| tag.is_empty() || looked.version(tag).is_none());
            seen.versions.extend(looked.versions.into_iter().filter(|(tag, _)| !tag.is_empty()));
            let Ok((vector @ Vector { clear: Some(_), .. }, _)) = shared.vector(&record.tags, &seen, grip.since())
            else {
                return;
            };
            let Some((slot, taken)) = admitted(shared, &key, &record, grip) else { return };
            // Whether it arrives is nobody's concern.
            shared.fill(slot, taken, record, vector, &me.clock, || true, drop).go_behind();
        })
    }
}

/// The place of a fill, and what is left of its lease; none where there is too much to do, or the lease was lost.
fn admitted(shared: &Shared, key: &[u8], record: &Record, grip: Grip) -> Option<(Slot, Taken)> {
    let slot = shared.admit("get_or_fetch", key.len() + record.bytes.len()).ok()?;
    Some((slot, grip.take()?))
}
