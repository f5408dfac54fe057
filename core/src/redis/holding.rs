//! Keys that are held while their writers are at work: from the intent to write until the invalidation that ends it.
//!
//! Nothing is filled into a held key, so a writer that dies between its commit and its invalidation leaves no old value:
//! at worst the hold, which ends by itself.

use std::time::Duration;

use bytes::Bytes;

use super::admission::Slot;
use super::fenced::{KEYS_OF_A_CALL, Token, last_of, millis, number};
use super::link::Turn;
use super::scripts::{Call, Script};
use super::tier::Tier;
use super::trouble::Trouble;
use crate::error::Error;
use crate::tags::Tag;
use crate::wire::{Kick, Reply};

/// The hold of one key by one writer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hold {
    pub token: Token,
    /// For how long from now on; none to give it back.
    pub time: Duration,
    /// The header of the entry.
    pub stub: Bytes,
}

/// What one writer holds together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Holds {
    /// The names of entries.
    pub keys: Vec<(Vec<u8>, Hold)>,
    pub tags: Vec<Tag>,
    /// The hold of the tags.
    pub tag_hold: TagHold,
}

/// The hold of a tag by one writer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TagHold {
    pub token: Token,
    /// For how long from now on; none to give it back.
    pub time: Duration,
}

/// What became of the intent to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placed {
    /// All is held.
    Held(Numbers),
    /// The server has no scripts: what there is of it is deleted, and that is all.
    Deleted,
}

/// The numbers of one step in the two sequences; 0 where there were no keys, or no tags, or on a server without scripts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Numbers {
    pub keys: u64,
    pub tags: u64,
}

impl Tier {
    /// Holds keys and tags, in one round trip.
    ///
    /// # Errors
    /// As [`Tier::get`]. Some of them, or all, may be held all the same.
    pub fn hold_many(
        &self,
        slot: Slot,
        holds: Holds,
        done: impl FnOnce(Result<Placed, Error>) + Send + 'static,
    ) -> Kick {
        let prepare = move |tier: &Tier, turn: &Turn<'_>| {
            let fenced = turn.connection.scripts.is_some();
            let (calls, keys) = tier.holding(&holds);
            let finish = move |replies: Vec<Reply>| {
                let numbers = numbers_of(&replies, keys, fenced)?;
                Ok(if fenced { Placed::Held(numbers) } else { Placed::Deleted })
            };
            (calls, finish)
        };
        self.run("update", slot, prepare, || true, done)
    }

    /// Invalidates held keys and tags and ends their holds, in one round trip. `done` gets them back, and the numbers of the
    /// last invalidations.
    ///
    /// # Errors
    /// As [`Tier::get`]. Some of them, or all, may have been invalidated all the same.
    pub fn let_go_many(
        &self,
        slot: Slot,
        holds: Holds,
        done: impl FnOnce(Holds, Result<Numbers, Error>) + Send + 'static,
    ) -> Kick {
        let sent = holds.clone();
        let prepare = move |tier: &Tier, turn: &Turn<'_>| {
            let position = tier.pending.position();
            let is_counted = turn.connection.scripts.is_some();
            let (mut calls, keys) = tier.holding(&sent);
            if !is_counted {
                calls.extend(tier.tellings(sent.keys.iter().map(|(name, _)| &name[..])));
            }
            (calls, move |replies: Vec<Reply>| Ok((numbers_of(&replies, keys, is_counted)?, position)))
        };
        let pending = self.pending.clone();
        self.run(
            "update",
            slot,
            prepare,
            || true,
            move |ended: Result<(Numbers, u64), Error>| {
                if let Ok((_, position)) = ended {
                    let names: Vec<Vec<u8>> = holds.keys.iter().map(|(name, _)| name.clone()).collect();
                    pending.deleted(&names, position);
                    pending.landed_tags(holds.tags.iter().map(|tag| (tag.clone(), position)));
                }
                done(holds, ended.map(|(numbers, _)| numbers));
            },
        )
    }

    /// Queues the invalidation of what is held, and the end of its holds: see [`Tier::queue_invalidation`].
    pub fn queue_letting_go(&self, Holds { keys, tags, tag_hold }: Holds) {
        keys.into_iter().for_each(|(name, hold)| self.pending.add_held(name, hold));
        tags.into_iter().for_each(|tag| self.pending.add_held_tag(tag, tag_hold));
        self.land_behind();
    }

    /// The calls that hold these, or let them go, and how many of them are for the keys.
    fn holding(&self, holds: &Holds) -> (Vec<Call>, usize) {
        let mut calls = self.intents(&holds.keys);
        let keys = calls.len();
        calls.extend(self.tags.holding(&holds.tags, holds.tag_hold));
        (calls, keys)
    }

    /// The calls that invalidate pending keys, and end the holds of those that have one.
    pub(super) fn due_calls(&self, names: Vec<Vec<u8>>, scripted: bool) -> Vec<Call> {
        let (mut holds, mut free) = (Vec::new(), Vec::new());
        for name in names {
            match self.pending.hold_of(&name) {
                Some(hold) => holds.push((name, hold)),
                None => free.push(name),
            }
        }
        let mut calls = self.invalidations(&free, scripted);
        calls.extend(self.intents(&holds));
        if !scripted {
            calls.extend(self.tellings(holds.iter().map(|(name, _)| &name[..])));
        }
        calls
    }

    /// One call for neighbours of one writer and time.
    pub(super) fn intents(&self, holds: &[(Vec<u8>, Hold)]) -> Vec<Call> {
        let alike = |(_, a): &(_, Hold), (_, b): &(_, Hold)| a.token == b.token && a.time == b.time;
        let runs = holds.chunk_by(alike).flat_map(|run| run.chunks(KEYS_OF_A_CALL));
        let call = |some: &[(Vec<u8>, Hold)]| {
            let (_, first) = &some[0];
            let time = if first.time.is_zero() { 0 } else { millis(first.time) };
            // Nothing has changed before the hold ends.
            let told = if time == 0 { self.told() } else { Bytes::new() };
            let names = some.iter().map(|(name, _)| Bytes::copy_from_slice(name));
            let arguments = [
                self.channel.clone(),
                number(self.before_key as u64),
                Bytes::copy_from_slice(&first.token),
                number(time),
                told,
            ];
            Call {
                script: Script::Intent,
                keys: [self.sequence.clone()].into_iter().chain(names).collect(),
                arguments: arguments.into_iter().chain(some.iter().map(|(_, hold)| hold.stub.clone())).collect(),
            }
        };
        runs.map(call).collect()
    }
}

/// The numbers in the replies to the calls of keys, so many, and of tags behind them.
fn numbers_of(replies: &[Reply], keys: usize, is_counted: bool) -> Result<Numbers, Trouble> {
    let (keys, tags) = replies.split_at_checked(keys).ok_or(Trouble::Unexpected)?;
    Ok(Numbers { keys: last_of(keys, is_counted)?, tags: last_of(tags, is_counted)? })
}
