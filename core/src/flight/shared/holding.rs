//! Keys of updates, held in the shared tier and let go.

use std::time::Duration;

use super::Shared;
use crate::clock::Clock;
use crate::envelope::{self, Entry, State};
use crate::error::Result;
use crate::flight::entry::{When, entry_of};
use crate::flight::holds::Update;
use crate::flight::judging::Vector;
use crate::flight::record::Record;
use crate::redis::{Hold, Holds, Intended, Numbers, Placed, Seen, Slot, TagHold, Token};
use crate::tags::{Looked, Tag, TagSet};
use crate::wire::Kick;

impl Shared {
    /// Holds the keys and tags of an update, in one round trip.
    pub fn hold(
        &self,
        slot: Slot,
        update: &Update,
        time: Duration,
        done: impl FnOnce(Result<Placed>) + Send + 'static,
    ) -> Kick {
        let counters = self.counters.clone();
        self.tier.hold_many(slot, self.holds(update, time), move |placed| {
            if placed.is_err() {
                counters.l2_errors.add(1);
            }
            done(placed);
        })
    }

    /// Holds one key for the writer of this token, whose value is to be stored with these tags, in one round trip.
    pub fn hold_to_store(
        &self,
        slot: Slot,
        key: &[u8],
        token: Token,
        time: Duration,
        tags: Seen,
        done: impl FnOnce(Result<Intended>) + Send + 'static,
    ) -> Kick {
        let counters = self.counters.clone();
        self.tier.hold_to_store(slot, self.hold_of(key, token, time), tags, move |intended| {
            if intended.is_err() {
                counters.l2_errors.add(1);
            }
            done(intended);
        })
    }

    /// Stores what the writer of this token has written since the intent of this number, with the versions that its tags
    /// had then: as [`Tier::store_held`](crate::redis::Tier::store_held).
    #[expect(clippy::too_many_arguments, reason = "what is stored, by whom, and what is to be known of it")]
    pub fn store_held(
        &self,
        slot: Slot,
        key: &[u8],
        writer: (Token, u64),
        record: Record,
        vector: Vector,
        clock: &Clock,
        done: impl FnOnce(Result<(Option<u64>, Looked)>) + Send + 'static,
    ) -> Kick {
        let (when, layout, counters) = (When::now(clock), self.layout.clone(), self.counters.clone());
        let (name, at) = (layout.entry(key), layout.before_key());
        let tags: Vec<Tag> = vector.tags.iter().map(|(tag, _)| tag.clone()).collect();
        let entry = move |server_now: u64| {
            let (bytes, life) =
                entry_of(&record, &vector, &when, server_now, Token::default(), &layout, &name[at..]);
            (name, bytes, life)
        };
        self.tier.store_held(slot, writer, entry, tags, move |stored| {
            if stored.is_err() {
                counters.l2_errors.add(1);
            }
            done(stored);
        })
    }

    /// Invalidates the keys and tags of an update and ends its holds, in one round trip: `done` gets the numbers of that.
    /// Where it fails that is queued and retried until it lands; then `done` gets none.
    pub fn let_go(
        &self,
        slot: Slot,
        update: Update,
        done: impl FnOnce(Update, Option<Numbers>) + Send + 'static,
    ) -> Kick {
        let holds = self.holds(&update, Duration::from_millis(update.hold));
        let (tier, counters) = (self.tier.clone(), self.counters.clone());
        self.tier.let_go_many(slot, holds, move |holds, ended| {
            if ended.is_err() {
                counters.l2_errors.add(1);
                tier.queue_letting_go(holds);
            }
            done(update, ended.ok());
        })
    }

    /// Queues the same.
    pub fn let_go_later(&self, update: &Update) {
        self.tier.queue_letting_go(self.holds(update, Duration::from_millis(update.hold)));
    }

    /// Queues the invalidation of what an update writes: its intent did not come through.
    pub fn invalidate_of(&self, keys: Vec<Vec<u8>>, tags: &TagSet) {
        self.invalidate_later(keys);
        if !tags.is_empty() {
            self.tier.queue_tags(&tags.iter().cloned().collect::<Vec<_>>());
        }
    }

    fn holds(&self, update: &Update, time: Duration) -> Holds {
        let Update { keys, tags, token, .. } = update;
        Holds {
            keys: keys.iter().map(|key| self.hold_of(key, *token, time)).collect(),
            tags: tags.iter().cloned().collect(),
            tag_hold: TagHold { token: *token, time },
        }
    }

    fn hold_of(&self, key: &[u8], token: Token, time: Duration) -> (Vec<u8>, Hold) {
        let stub = Entry { state: State::Hold, ..Entry::default() };
        let mut stub = envelope::encode(&stub, self.layout.prefix(), key);
        stub.truncate(envelope::HEADER);
        (self.layout.entry(key), Hold { token, time, stub: stub.into() })
    }
}
