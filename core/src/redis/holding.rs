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
use crate::error::Error;
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

/// What became of the intent to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placed {
    /// The keys are held.
    Held,
    /// The server has no scripts: their values are deleted, and that is all.
    Deleted,
}

impl Tier {
    /// Holds keys, in one round trip.
    ///
    /// # Errors
    /// As [`Tier::get`]. Some of the keys, or all, may be held all the same.
    pub fn hold_many(
        &self,
        slot: Slot,
        holds: Vec<(Vec<u8>, Hold)>,
        done: impl FnOnce(Result<Placed, Error>) + Send + 'static,
    ) -> Kick {
        let prepare = move |tier: &Tier, turn: &Turn<'_>| {
            let placed = if turn.connection.scripts.is_some() { Placed::Held } else { Placed::Deleted };
            (tier.intents(&holds), move |replies: Vec<Reply>| last_of(&replies).map(|_| placed))
        };
        self.run("update", slot, prepare, || true, done)
    }

    /// Invalidates held keys and ends their holds, in one round trip. `done` gets them back, and the number of the last
    /// invalidation.
    ///
    /// # Errors
    /// As [`Tier::get`]. Some of the keys, or all, may have been invalidated all the same.
    pub fn let_go_many(
        &self,
        slot: Slot,
        holds: Vec<(Vec<u8>, Hold)>,
        done: impl FnOnce(Vec<(Vec<u8>, Hold)>, Result<u64, Error>) + Send + 'static,
    ) -> Kick {
        let sent = holds.clone();
        let prepare = move |tier: &Tier, _: &Turn<'_>| {
            let position = tier.pending.position();
            (tier.intents(&sent), move |replies: Vec<Reply>| Ok((last_of(&replies)?, position)))
        };
        let pending = self.pending.clone();
        self.run(
            "update",
            slot,
            prepare,
            || true,
            move |ended: Result<(u64, u64), Error>| {
                if let Ok((_, position)) = ended {
                    let names: Vec<Vec<u8>> = holds.iter().map(|(name, _)| name.clone()).collect();
                    pending.deleted(&names, position);
                }
                done(holds, ended.map(|(sequence, _)| sequence));
            },
        )
    }

    /// Queues the invalidation of a held key, and the end of its hold: see [`Tier::queue_invalidation`].
    pub fn queue_letting_go(&self, name: Vec<u8>, hold: Hold) {
        self.pending.add_held(name, hold);
        self.land_behind();
    }

    /// The calls that invalidate pending keys, and end the holds of those that have one.
    pub(super) fn due_calls(&self, names: Vec<Vec<u8>>) -> Vec<Call> {
        let (mut holds, mut free) = (Vec::new(), Vec::new());
        for name in names {
            match self.pending.hold_of(&name) {
                Some(hold) => holds.push((name, hold)),
                None => free.push(name),
            }
        }
        let mut calls = self.invalidations(&free);
        calls.extend(self.intents(&holds));
        calls
    }

    /// One call for neighbours of one writer and time.
    pub(super) fn intents(&self, holds: &[(Vec<u8>, Hold)]) -> Vec<Call> {
        let alike = |(_, a): &(_, Hold), (_, b): &(_, Hold)| a.token == b.token && a.time == b.time;
        let runs = holds.chunk_by(alike).flat_map(|run| run.chunks(KEYS_OF_A_CALL));
        let call = |some: &[(Vec<u8>, Hold)]| {
            let (_, first) = &some[0];
            let time = if first.time.is_zero() { 0 } else { millis(first.time) };
            let names = some.iter().map(|(name, _)| Bytes::copy_from_slice(name));
            let arguments = [
                self.channel.clone(),
                number(self.before_key as u64),
                Bytes::copy_from_slice(&first.token),
                number(time),
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
