//! Keys of updates, held in the shared tier and let go.

use std::time::Duration;

use super::Shared;
use crate::envelope::{self, Entry, State};
use crate::error::Result;
use crate::flight::holds::Update;
use crate::redis::{Hold, Placed, Slot, Token};
use crate::wire::Kick;

impl Shared {
    /// Holds keys for the writer of this token, in one round trip.
    pub fn hold(
        &self,
        slot: Slot,
        keys: &[Vec<u8>],
        token: Token,
        time: Duration,
        done: impl FnOnce(Result<Placed>) + Send + 'static,
    ) -> Kick {
        let counters = self.counters.clone();
        self.tier.hold_many(slot, self.holds(keys, token, time), move |placed| {
            if placed.is_err() {
                counters.l2_errors.add(1);
            }
            done(placed);
        })
    }

    /// Invalidates the keys of an update and ends its holds, in one round trip: `done` gets the number of that. Where it
    /// fails that is queued and retried until it lands; then `done` gets none.
    pub fn let_go(
        &self,
        slot: Slot,
        update: Update,
        done: impl FnOnce(Update, Option<u64>) + Send + 'static,
    ) -> Kick {
        let holds = self.holds(&update.keys, update.token, Duration::from_millis(update.hold));
        let (tier, counters) = (self.tier.clone(), self.counters.clone());
        self.tier.let_go_many(slot, holds, move |holds, ended| {
            if ended.is_err() {
                counters.l2_errors.add(1);
                holds.into_iter().for_each(|(name, hold)| tier.queue_letting_go(name, hold));
            }
            done(update, ended.ok());
        })
    }

    /// Queues the same.
    pub fn let_go_later(&self, update: &Update) {
        let holds = self.holds(&update.keys, update.token, Duration::from_millis(update.hold));
        holds.into_iter().for_each(|(name, hold)| self.tier.queue_letting_go(name, hold));
    }

    fn holds(&self, keys: &[Vec<u8>], token: Token, time: Duration) -> Vec<(Vec<u8>, Hold)> {
        let hold = |key: &Vec<u8>| {
            let stub = Entry { state: State::Hold, ..Entry::default() };
            let mut stub = envelope::encode(&stub, self.layout.prefix(), key);
            stub.truncate(envelope::HEADER);
            (self.layout.entry(key), Hold { token, time, stub: stub.into() })
        };
        keys.iter().map(hold).collect()
    }
}
