//! `update`: the write of a caller's own source, between an intent and an invalidation.
//!
//! ```text
//! begin_update ──intent──▶ held ──the caller writes──▶ end_update ──invalidation──▶ free
//!                           └── nothing is stored under its keys, in no tier of no process
//! ```
//!
//! A load that began before the intent has lost its lease; one that begins later finds the key held, and stores
//! nothing. Tags are held as keys are: while they are they have no version, so that no entry with one of them is good. So what the source held before the write is nowhere when the write is done, even if its writer dies before
//! it can say so: then the hold ends by itself. The right to write is a lease like that of a load: who drops it has it
//! ended.

use std::time::Duration;

use super::holds::Update;
use super::lease::{Lease, Lessor, next_id};
use super::record::millis;
use super::shared::Shared;
use super::sink::Reply;
use super::tiers::Tiers;
use super::write::{done, receipt, receipt_of, receipt_of_tags};
use crate::error::{Error, ErrorKind, Result};
use crate::host::{Answer, Receipt, Step};
use crate::key;
use crate::options::UpdateOptions;
use crate::redis::{Numbers, Placed};
use crate::tags::TagSet;
use crate::wire::Kick;

impl Tiers {
    /// Tells all tiers that keys are about to be written, and what has some tags: `Lead`, with the lease to be given to
    /// [`Tiers::end_update`].
    pub fn begin_update(&self, keys: &[&[u8]], o: &UpdateOptions, reply: &dyn Reply) -> Result<Step> {
        self.check_open("update")?;
        keys.iter().try_for_each(|key| key::check(key, "update"))?;
        let (intent_ttl, hold) = o.check()?;
        let tags = TagSet::of("update", &o.tags, usize::MAX)?;
        let shared = self.shared.as_ref().filter(|_| !keys.is_empty() || !tags.is_empty());
        let bytes = keys.iter().map(|key| key.len()).chain(tags.iter().map(|tag| tag.len())).sum();
        let slot = shared.map(|shared| shared.admit("update", bytes)).transpose()?;
        let sink = shared.map(|_| reply.sink("update", None)).transpose()?;
        let id = next_id();
        let owned: Vec<Vec<u8>> = keys.iter().map(|key| key.to_vec()).collect();
        let hold = if hold.is_zero() { 0 } else { millis(hold) };
        let token = rand::random();
        let update = Update { id, keys: owned.clone(), tags: tags.clone(), token, hold, ..Update::default() };
        if let Err(error) = self.hold_here(&update, intent_ttl) {
            sink.into_iter().for_each(|sink| sink.withdraw());
            return Err(error);
        }
        let lease = Lease::new(id, self.lessor());
        let (Some(shared), Some(slot), Some(sink)) = (shared, slot, sink) else {
            return Ok(Step::Ready(Answer::Lead(lease)));
        };
        let (me, strict) = (self.handle(), o.strict);
        let kick = shared.hold(slot, &update, intent_ttl, move |placed| {
            let failure = match placed {
                Ok(Placed::Held(numbers)) => {
                    if !tags.is_empty() {
                        // What was read meanwhile may have been that of before.
                        me.expect_message(Some(numbers.tags), || me.forget_tags(&tags));
                    }
                    None
                }
                Ok(Placed::Deleted) => strict.then(unsupported),
                Err(error) if strict => Some(error),
                Err(_) => {
                    if let Some(shared) = &me.shared {
                        shared.invalidate_of(owned, &tags);
                    }
                    None
                }
            };
            // Where it fails the lease is dropped, and so the update is ended: the keys may be held all the same.
            drop(sink.finish(failure.map_or(Answer::Lead(lease), Answer::Failed)));
        });
        reply.go(kick);
        Ok(Step::Pending)
    }

    /// Holds in this process what an update writes, and lets go of what memory has of it.
    fn hold_here(&self, update: &Update, intent_ttl: Duration) -> Result<()> {
        let now = self.clock.now_ms();
        let until = now.saturating_add(millis(intent_ttl));
        if !update.tags.is_empty() {
            let keys = update.tags.iter().map(|tag| tag.to_vec()).collect();
            self.tag_holds.begin(Update { id: update.id, keys, ..Update::default() }, now, until)?;
        }
        if let Err(error) = self.holds.begin(update.clone(), now, until) {
            self.let_tags_go(update, now, None);
            return Err(error);
        }
        // Held first: what is stored between the two goes now, and nothing is stored after this.
        update.keys.iter().for_each(|key| self.drop_locally(key));
        self.forget_tags(&update.tags);
        Ok(())
    }

    /// The write is over, whatever it came to: its keys are invalidated, and loads of them are stored again. `Done`.
    pub fn end_update(&self, lease: u64, reply: &dyn Reply) -> Result<Step> {
        self.check_open("update")?;
        let sink = match &self.shared {
            Some(_) => Some(reply.sink("update", None)?),
            None => None,
        };
        let Some(update) = self.holds.end(lease) else {
            sink.into_iter().for_each(|sink| sink.withdraw());
            return Err(Error::new(ErrorKind::LeaseExpired, "update", "the update has ended"));
        };
        match (&self.shared, sink) {
            (Some(shared), Some(sink)) => {
                reply.go(self.finish(shared, update, move |receipt| drop(sink.finish(Answer::Done(receipt)))));
                Ok(Step::Pending)
            }
            _ => {
                self.let_go(&update, None);
                Ok(done(false))
            }
        }
    }

    /// The holder of `lease` gave up: of an update, which ends, or of a load, which the next waiter leads.
    pub fn abandon(&self, lease: u64) {
        let Some(update) = self.holds.end(lease) else { return self.table.abandon(lease) };
        match &self.shared {
            Some(shared) => self.finish(shared, update, drop).go_behind(),
            None => self.let_go(&update, None),
        }
    }

    pub(super) fn finish(
        &self,
        shared: &Shared,
        update: Update,
        done: impl FnOnce(Receipt) + Send + 'static,
    ) -> Kick {
        if update.keys.is_empty() && update.tags.is_empty() {
            done(receipt(false));
            return Kick::NONE;
        }
        let Ok(slot) = shared.admit("update", update.keys.iter().map(Vec::len).sum()) else {
            // The write has been made: its invalidation is owed.
            shared.let_go_later(&update);
            self.let_go(&update, None);
            done(receipt(true));
            return Kick::NONE;
        };
        let me = self.handle();
        shared.let_go(slot, update, move |update, numbers| {
            me.let_go(&update, numbers);
            done(match numbers {
                Some(Numbers { tags, .. }) if update.keys.is_empty() => receipt_of_tags(Some(tags)),
                numbers => receipt_of(numbers.map(|numbers| numbers.keys)),
            });
        })
    }

    /// Ends the holds of an update in this process, and in the shared tier under these numbers. Loads that began within them
    /// are void.
    pub(super) fn let_go(&self, update: &Update, numbers: Option<Numbers>) {
        self.counters.invalidations.add((update.keys.len() + update.tags.iter().count()) as u64);
        let now = self.clock.now_ms();
        let until = (update.hold > 0).then(|| now.saturating_add(update.hold));
        for key in &update.keys {
            self.table.write(key, || {
                self.forget(key);
                self.holds.let_go(key, update.id, now, until);
            });
        }
        if !update.tags.is_empty() {
            // First: what began within the hold is void when it ends.
            self.expect_message(numbers.map(|numbers| numbers.tags), || self.forget_tags(&update.tags));
            self.let_tags_go(update, now, until);
        }
        self.pass_on(update);
    }

    fn let_tags_go(&self, update: &Update, now: u64, until: Option<u64>) {
        self.tag_holds.end(update.id);
        for tag in update.tags.iter() {
            self.tag_holds.let_go(tag, update.id, now, until);
        }
    }
}

impl Lessor for Tiers {
    fn abandon(&self, lease: u64) {
        Tiers::abandon(self, lease);
    }
}

pub(super) fn unsupported() -> Error {
    let message = "the server has no scripts, so that it cannot hold keys for a writer, and strict was asked for";
    Error::new(ErrorKind::Unsupported, "update", message)
}
