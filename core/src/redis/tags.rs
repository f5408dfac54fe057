//! The versions of tags on the server. They have a partition of their own, so nothing here touches an entry.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::admission::Slot;
use super::fenced::{last_of, millis, number};
use super::holding::TagHold;
use super::link::Turn;
use super::scripts::{self, Call, Script};
use super::tier::Tier;
use super::trouble::Trouble;
use crate::error::Error;
use crate::tags::{Known, Look, Looked, Tag};
use crate::wire::{Kick, Reply};

/// Tags that one call of the script invalidates.
const TAGS_OF_A_CALL: usize = 100;

/// Where the tags of a namespace are.
pub(crate) struct TagSpace {
    /// What the name of each begins with.
    pub before: Vec<u8>,
    /// Where their invalidations are counted.
    pub sequence: Bytes,
    /// Where they are told.
    pub channel: Bytes,
    pub known: Arc<Known>,
}

/// What an invalidation of tags came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Invalidated {
    /// Its number in the sequence of the tags.
    pub sequence: u64,
    /// Whether it was done by a script: if not, what carries no tags is as good as before.
    pub fenced: bool,
}

impl TagSpace {
    fn name(&self, tag: &[u8]) -> Bytes {
        [&self.before[..], tag].concat().into()
    }

    /// Reads the empty tag and these, as they are.
    pub(super) fn look(&self, tags: &[Tag]) -> Call {
        let all = [self.before.clone().into()].into_iter().chain(tags.iter().map(|tag| self.name(tag)));
        Call { script: Script::Look, keys: all.collect(), arguments: Vec::new() }
    }

    /// The same; those that the server does not know get a version, and all are kept for `life` at least.
    pub(super) fn versions(&self, tags: &[Tag], life: Duration) -> Call {
        let life = u64::try_from(life.as_millis()).unwrap_or(u64::MAX >> 2).max(1);
        Call { script: Script::Tags, arguments: vec![number(life)], ..self.look(tags) }
    }

    /// What the reply to [`TagSpace::look`] or [`TagSpace::versions`] of `tags` says, which is remembered.
    pub(super) fn seen(&self, look: Look, tags: &[Tag], reply: Reply) -> Result<Looked, Trouble> {
        let versions = scripts::versions(reply, tags.len() + 1)?;
        let all = [Tag::from(&[][..])].into_iter().chain(tags.iter().cloned());
        let looked = Looked { look, versions: all.zip(versions).collect() };
        self.known.learn(&looked);
        Ok(looked)
    }

    /// The calls that invalidate these tags.
    pub(super) fn invalidations(&self, tags: &[Tag]) -> Vec<Call> {
        let call = |tags: &[Tag]| Call {
            script: Script::InvalidateTags,
            keys: [self.sequence.clone()].into_iter().chain(tags.iter().map(|tag| self.name(tag))).collect(),
            arguments: vec![self.channel.clone(), number(self.before.len() as u64)],
        };
        tags.chunks(TAGS_OF_A_CALL).map(call).collect()
    }

    /// The calls that hold these tags, or let them go.
    pub(super) fn holding(&self, tags: &[Tag], hold: TagHold) -> Vec<Call> {
        let time = if hold.time.is_zero() { 0 } else { millis(hold.time) };
        let mut calls = self.invalidations(tags);
        for call in &mut calls {
            call.script = Script::HoldTags;
            call.arguments.extend([Bytes::copy_from_slice(&hold.token), number(time)]);
        }
        calls
    }

    /// The calls that invalidate tags that are pending, and end the holds of those that have one.
    fn due(&self, due: &[(Tag, u64)], hold_of: impl Fn(&Tag) -> Option<TagHold>) -> Vec<Call> {
        let (mut free, mut calls) = (Vec::new(), Vec::new());
        for (tag, _) in due {
            match hold_of(tag) {
                Some(hold) => calls.extend(self.holding(std::slice::from_ref(tag), hold)),
                None => free.push(tag.clone()),
            }
        }
        calls.extend(self.invalidations(&free));
        calls
    }

    /// The calls that free what is older than `version` of the empty tag, among the entries of these names.
    pub(super) fn sweep(names: &[Vec<u8>], version: u64) -> Call {
        Call {
            script: Script::Sweep,
            keys: names.iter().map(|name| Bytes::copy_from_slice(name)).collect(),
            arguments: vec![Bytes::copy_from_slice(&version.to_le_bytes())],
        }
    }
}

/// The version that an invalidation with this number gives: see `scripts/invalidate_tags.lua`.
pub(super) fn version_of(sequence: u64) -> u64 {
    sequence.wrapping_mul(2)
}

impl Tier {
    /// Looks at the versions of these tags, and that of all entries, in one round trip.
    ///
    /// # Errors
    /// As [`Tier::get`].
    pub fn look_at(
        &self,
        slot: Slot,
        tags: Vec<Tag>,
        done: impl FnOnce(Result<Looked, Error>) + Send + 'static,
    ) -> Kick {
        self.ask_versions(slot, tags, None, done)
    }

    /// As [`Tier::look_at`]; those that the server does not know get a version, and all are kept for `life` at least.
    ///
    /// # Errors
    /// As [`Tier::get`].
    pub fn versions(
        &self,
        slot: Slot,
        tags: Vec<Tag>,
        life: Duration,
        done: impl FnOnce(Result<Looked, Error>) + Send + 'static,
    ) -> Kick {
        self.ask_versions(slot, tags, Some(life), done)
    }

    fn ask_versions(
        &self,
        slot: Slot,
        tags: Vec<Tag>,
        life: Option<Duration>,
        done: impl FnOnce(Result<Looked, Error>) + Send + 'static,
    ) -> Kick {
        let space = self.tags.clone();
        let prepare = move |_: &Tier, _: &Turn<'_>| {
            let call = life.map_or_else(|| space.look(&tags), |life| space.versions(&tags, life));
            let look = space.known.look();
            let finish = move |replies: Vec<Reply>| {
                let reply = replies.into_iter().next().ok_or(Trouble::Unexpected)?;
                space.seen(look, &tags, reply)
            };
            (vec![call], finish)
        };
        self.run("get", slot, prepare, || true, done)
    }

    /// Invalidates tags, in one round trip. The empty one is on every entry.
    ///
    /// # Errors
    /// As [`Tier::get`]. Some of the tags, or all, may have been invalidated all the same.
    pub fn invalidate_tags(
        &self,
        slot: Slot,
        tags: Vec<Tag>,
        done: impl FnOnce(Result<Invalidated, Error>) + Send + 'static,
    ) -> Kick {
        let (space, pending) = (self.tags.clone(), self.pending.clone());
        let prepare = move |_: &Tier, turn: &Turn<'_>| {
            let (calls, fenced, look) =
                (space.invalidations(&tags), turn.connection.scripts.is_some(), space.known.look());
            let position = pending.position();
            let finish = move |replies: Vec<Reply>| {
                let sequence = last_of(&replies, fenced)?;
                let whole = tags.iter().any(|tag| tag.is_empty());
                if whole && fenced {
                    pending.landed_clear(position);
                    space.known.cleared(version_of(sequence), look);
                } else if !whole {
                    pending.landed_tags(tags.iter().map(|tag| (tag.clone(), position)));
                }
                Ok(Invalidated { sequence, fenced })
            };
            (calls, finish)
        };
        self.run("invalidate_tags", slot, prepare, || true, done)
    }

    /// Queues the invalidation of tags: it is retried until it lands.
    pub fn queue_tags(&self, tags: &[Tag]) {
        tags.iter().for_each(|tag| self.pending.add_tag(tag.clone()));
        self.land_behind();
    }

    /// Whether an invalidation of one of these has not landed.
    pub fn is_tag_pending(&self, tags: &[(Tag, u64)]) -> bool {
        !self.pending.is_empty() && tags.iter().any(|(tag, _)| self.pending.contains_tag(tag))
    }

    /// Lands the tags that are due over `connection`; none where there are none.
    pub(super) async fn land_tags(
        &self,
        connection: &super::connection::Connection,
        patience: Duration,
    ) -> Result<(), Trouble> {
        let due = self.pending.due_tags();
        let calls = self.tags.due(&due, |tag| self.pending.hold_of_tag(tag));
        let scripted = connection.scripts.is_some();
        let sent = connection.exchange(|to| {
            for call in &calls {
                // With its text: whether the server knows the script is not worth another round trip here.
                if scripted { call.encode(None, to) } else { call.encode_plainly(to) }
            }
        });
        scripts::all_counted(&super::tier::soon(patience, sent).await?)?;
        // What was read of them meanwhile was still that of before.
        due.iter().for_each(|(tag, _)| self.tags.known.drop_tag(tag));
        self.pending.landed_tags(due);
        Ok(())
    }
}
