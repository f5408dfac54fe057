//! Leases: who loads a key, as the server decides it.

use std::time::Duration;

use bytes::Bytes;

use super::admission::Slot;
use super::fenced::{Beside, Seen, Token, millis, number, one};
use super::link::Turn;
use super::scripts::{self, Acquired, Call, Script};
use super::tier::{Read, Tier, Write};
use crate::error::Error;
use crate::mutant::{Mutant, is_broken};
use crate::tags::{Looked, Tag};
use crate::wire::{Kick, Reply};

/// A wish for the lease of an entry.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    /// The name of the entry.
    pub name: Vec<u8>,
    pub token: Token,
    /// The entry as it stands there while it is loaded.
    pub stub: Bytes,
    /// To take it though there is a fresh value.
    pub force: bool,
}

impl Tier {
    /// Asks for leases of `lease`, in one round trip; each claim gets its answer. The versions of these tags are read with
    /// them, and kept for `life` at least: what is loaded under the leases carries them.
    ///
    /// # Errors
    /// As [`Tier::get`]. Some of the leases may have been won all the same: they end by themselves.
    pub fn acquire_many(
        &self,
        slot: Slot,
        claims: Vec<Claim>,
        lease: Duration,
        tags: Seen,
        done: impl FnOnce(Result<Read<Vec<Result<Acquired, Error>>>, Error>) + Send + 'static,
    ) -> Kick {
        let (lease, sequence) = (number(millis(lease)), self.sequence.clone());
        let call = move |claim: Claim| Call {
            script: Script::Acquire,
            keys: vec![claim.name.into(), sequence.clone()],
            arguments: vec![
                Bytes::copy_from_slice(&claim.token),
                lease.clone(),
                claim.stub,
                Bytes::from_static(if claim.force { b"1" } else { b"0" }),
            ],
        };
        let prepare = move |tier: &Tier, turn: &Turn<'_>| {
            let beside = Beside::loading(tier, tags);
            let calls = beside.with(claims.into_iter().map(call).collect());
            let connection = turn.connection.clone();
            let finish = move |mut replies: Vec<Reply>| {
                let looked = beside.take(&mut replies);
                let answer =
                    |reply| scripts::acquired(reply).map_err(|trouble| trouble.into_error("get_or_fetch"));
                let found = replies.into_iter().map(answer).collect();
                let fenced = connection.scripts.is_some();
                Ok(Read { found, server_now: connection.time.late(), looked, fenced })
            };
            (calls, finish)
        };
        self.run("get_or_fetch", slot, prepare, || true, done)
    }

    /// Stores what the holder of `token` has loaded, and gets the number of the last write before; none where the lease was
    /// lost. `entry` makes it from the server's time now or a little earlier, in ms since 1970. The versions of its tags
    /// are looked at in passing: whether it was dead when it arrived.
    ///
    /// # Errors
    /// As [`Tier::get`]. It may have been stored all the same.
    pub fn fill(
        &self,
        slot: Slot,
        token: Token,
        entry: impl FnOnce(u64) -> Write + Send + 'static,
        tags: Vec<Tag>,
        done: impl FnOnce(Result<(Option<u64>, Looked), Error>) + Send + 'static,
    ) -> Kick {
        let prepare = move |tier: &Tier, turn: &Turn<'_>| {
            let beside = Beside::filling(tier, tags);
            let (name, bytes, life) = entry(turn.connection.time.early());
            let key = tier.key_of(&name);
            // It settles no pending invalidation: what was loaded may be older than that.
            let arguments =
                vec![Bytes::copy_from_slice(&token), bytes, number(millis(life)), tier.channel.clone(), key];
            let keys = vec![name.into(), tier.sequence.clone()];
            let call = match is_broken(Mutant::NoFence) {
                false => Call { script: Script::Fill, keys, arguments },
                true => {
                    let arguments = arguments.into_iter().skip(1).chain([Bytes::new()]).collect();
                    Call { script: Script::Put, keys, arguments }
                }
            };
            let calls = beside.with(vec![call]);
            let finish = move |mut replies: Vec<Reply>| {
                let looked = beside.take(&mut replies);
                Ok((one(&replies).and_then(scripts::filled)?, looked))
            };
            (calls, finish)
        };
        self.run("get_or_fetch", slot, prepare, || true, done)
    }

    /// Keeps a lease for `lease` from now on; false where it is lost.
    ///
    /// # Errors
    /// As [`Tier::get`].
    pub fn extend(
        &self,
        slot: Slot,
        name: Vec<u8>,
        token: Token,
        lease: Duration,
        done: impl FnOnce(Result<bool, Error>) + Send + 'static,
    ) -> Kick {
        let call = Call {
            script: Script::Extend,
            keys: vec![name.into()],
            arguments: vec![Bytes::copy_from_slice(&token), number(millis(lease))],
        };
        let prepare =
            |_: &Tier, _: &Turn<'_>| (vec![call], |replies: Vec<Reply>| one(&replies).and_then(scripts::was_held));
        self.run("get_or_fetch", slot, prepare, || true, done)
    }

    /// Gives a lease back. What comes of it is nobody's concern: a lease ends by itself.
    pub fn release(&self, slot: Slot, name: Vec<u8>, token: Token) -> Kick {
        let prepare = move |tier: &Tier, _: &Turn<'_>| {
            let key = tier.key_of(&name);
            let call = Call {
                script: Script::Release,
                keys: vec![name.into()],
                arguments: vec![Bytes::copy_from_slice(&token), tier.channel.clone(), key],
            };
            (vec![call], |replies: Vec<Reply>| one(&replies).and_then(scripts::was_held))
        };
        self.run("get_or_fetch", slot, prepare, || true, drop)
    }
}
