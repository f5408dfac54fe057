//! `update`: the write of a caller's own source, between an intent and an invalidation.
//!
//! ```text
//! begin_update ──intent──▶ held ──the caller writes──▶ end_update ──invalidation──▶ free
//!                           └── nothing is stored under its keys, in no tier of no process
//! ```
//!
//! A load that began before the intent has lost its lease; one that begins later finds the key held, and stores
//! nothing. So what the source held before the write is nowhere when the write is done, even if its writer dies before
//! it can say so: then the hold ends by itself. The right to write is a lease like that of a load: who drops it has it
//! ended.

use super::holds::Update;
use super::lease::{Lease, Lessor, next_id};
use super::record::millis;
use super::shared::Shared;
use super::sink::Reply;
use super::tiers::Tiers;
use super::write::{done, receipt, receipt_of};
use crate::error::{Error, ErrorKind, Result};
use crate::host::{Answer, Receipt, Step};
use crate::key;
use crate::options::UpdateOptions;
use crate::redis::Placed;
use crate::wire::Kick;

impl Tiers {
    /// Tells all tiers that keys are about to be written: `Lead`, with the lease to be given to [`Tiers::end_update`].
    pub fn begin_update(&self, keys: &[&[u8]], o: &UpdateOptions, reply: &dyn Reply) -> Result<Step> {
        self.check_open("update")?;
        keys.iter().try_for_each(|key| key::check(key, "update"))?;
        let (intent_ttl, hold) = o.check()?;
        let shared = self.shared.as_ref().filter(|_| !keys.is_empty());
        let slot = match shared {
            Some(shared) => Some(shared.admit("update", keys.iter().map(|key| key.len()).sum())?),
            None => None,
        };
        let sink = match shared {
            Some(_) => Some(reply.sink("update", None)?),
            None => None,
        };
        let (id, now) = (next_id(), self.clock.now_ms());
        let owned: Vec<Vec<u8>> = keys.iter().map(|key| key.to_vec()).collect();
        let hold = if hold.is_zero() { 0 } else { millis(hold) };
        let update = Update { id, keys: owned.clone(), token: rand::random(), hold, ..Update::default() };
        let token = update.token;
        if let Err(error) = self.holds.begin(update, now, now.saturating_add(millis(intent_ttl))) {
            sink.into_iter().for_each(|sink| sink.withdraw());
            return Err(error);
        }
        // Held first: what is stored between the two goes now, and nothing is stored after this.
        keys.iter().for_each(|key| self.drop_locally(key));
        let lease = Lease::new(id, self.lessor());
        let (Some(shared), Some(slot), Some(sink)) = (shared, slot, sink) else {
            return Ok(Step::Ready(Answer::Lead(lease)));
        };
        let (me, strict) = (self.handle(), o.strict);
        let names = owned.clone();
        let kick = shared.hold(slot, &names, token, intent_ttl, move |placed| {
            let failure = match placed {
                Ok(Placed::Held) => None,
                Ok(Placed::Deleted) => strict.then(unsupported),
                Err(error) if strict => Some(error),
                Err(_) => {
                    if let Some(shared) = &me.shared {
                        shared.invalidate_later(owned);
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
                self.let_go(&update);
                Ok(done(false))
            }
        }
    }

    /// The holder of `lease` gave up: of an update, which ends, or of a load, which the next waiter leads.
    pub fn abandon(&self, lease: u64) {
        let Some(update) = self.holds.end(lease) else { return self.table.abandon(lease) };
        match &self.shared {
            Some(shared) => self.finish(shared, update, drop).go_behind(),
            None => self.let_go(&update),
        }
    }

    pub(super) fn finish(
        &self,
        shared: &Shared,
        update: Update,
        done: impl FnOnce(Receipt) + Send + 'static,
    ) -> Kick {
        if update.keys.is_empty() {
            done(receipt(false));
            return Kick::NONE;
        }
        let Ok(slot) = shared.admit("update", update.keys.iter().map(Vec::len).sum()) else {
            // The write has been made: its invalidation is owed.
            shared.let_go_later(&update);
            self.let_go(&update);
            done(receipt(true));
            return Kick::NONE;
        };
        let me = self.handle();
        shared.let_go(slot, update, move |update, sequence| {
            me.let_go(&update);
            done(receipt_of(sequence));
        })
    }

    /// Ends the holds of an update in this process. Loads that began within them are void.
    pub(super) fn let_go(&self, update: &Update) {
        self.counters.invalidations.add(update.keys.len() as u64);
        let now = self.clock.now_ms();
        let until = (update.hold > 0).then(|| now.saturating_add(update.hold));
        for key in &update.keys {
            self.table.write(key, || {
                self.forget(key);
                self.holds.let_go(key, update.id, now, until);
            });
        }
        self.pass_on(update);
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
