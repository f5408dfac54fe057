//! The two ends of a write to the source whose value goes into the cache: see `flight/through.rs`.

use bytes::Bytes;

use super::admission::Slot;
use super::fenced::{Beside, Seen, Token, last_of, millis, number};
use super::holding::Hold;
use super::link::Turn;
use super::scripts::{self, Call, Script};
use super::tier::{Tier, Write};
use super::trouble::Trouble;
use crate::clock::coarse_ms;
use crate::error::Error;
use crate::tags::{Looked, Tag};
use crate::wire::{Kick, Reply};

/// The intent of a writer whose value is to be stored.
#[derive(Clone, Debug, Default)]
pub(crate) struct Intended {
    /// The number of the intent; none from a server without scripts, which stores no such value.
    pub number: Option<u64>,
    /// When it left, in ms of the cache's clock.
    pub left: u64,
    /// The versions of its tags as they were then.
    pub looked: Looked,
}

impl Tier {
    /// Holds one key, and sees the versions of these tags, in one round trip.
    ///
    /// # Errors
    /// As [`Tier::get`]. The key may be held all the same.
    pub fn hold_to_store(
        &self,
        slot: Slot,
        hold: (Vec<u8>, Hold),
        tags: Seen,
        done: impl FnOnce(Result<Intended, Error>) + Send + 'static,
    ) -> Kick {
        let prepare = move |tier: &Tier, turn: &Turn<'_>| {
            let beside = Beside::loading(tier, tags);
            let calls = beside.with(tier.intents(&[hold]));
            let (fenced, left) = (turn.connection.scripts.is_some(), beside.asked());
            let finish = move |mut replies: Vec<Reply>| {
                let looked = beside.take(&mut replies);
                let number = last_of(&replies, fenced)?;
                Ok(Intended { number: fenced.then_some(number), left, looked })
            };
            (calls, finish)
        };
        self.run("update", slot, prepare, || true, done)
    }

    /// Stores what the writer of `token` has written since the intent of this number, and ends its hold, in one round trip;
    /// `done` gets the number of that, none where it was refused: then the key is still to be let go. `entry` is as for
    /// [`Tier::fill`], and so are the tags.
    ///
    /// # Errors
    /// As [`Tier::get`]. It may have been stored all the same.
    pub fn store_held(
        &self,
        slot: Slot,
        (token, intent): (Token, u64),
        entry: impl FnOnce(u64) -> Write + Send + 'static,
        tags: Vec<Tag>,
        done: impl FnOnce(Result<(Option<u64>, Looked), Error>) + Send + 'static,
    ) -> Kick {
        let prepare = move |tier: &Tier, turn: &Turn<'_>| {
            let beside = Beside::filling(tier, tags);
            let (name, bytes, life) = entry(turn.connection.time.early());
            let key = tier.key_of(&name);
            tier.recent.note(&name, coarse_ms());
            let call = Call {
                script: Script::Store,
                keys: vec![name.into(), tier.sequence.clone()],
                arguments: vec![
                    Bytes::copy_from_slice(&token),
                    number(intent),
                    bytes,
                    number(millis(life)),
                    tier.channel.clone(),
                    key,
                    tier.told(),
                ],
            };
            let calls = beside.with(vec![call]);
            let fenced = turn.connection.scripts.is_some();
            let finish = move |mut replies: Vec<Reply>| {
                let looked = beside.take(&mut replies);
                let reply = replies.first().ok_or(Trouble::Unexpected)?;
                // What such a server says is of the command in the place of the script.
                Ok((if fenced { scripts::filled(reply)? } else { None }, looked))
            };
            (calls, finish)
        };
        self.run("update", slot, prepare, || true, done)
    }
}
