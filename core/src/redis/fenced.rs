//! The operations of the tier that change something: by scripts, so that what was loaded before a write is never stored
//! after it.
//!
//! A server that has forgotten the scripts gets them anew with the calls it refused. One that has none stores and
//! deletes plainly: see [`Acquired::Unfenced`](super::scripts::Acquired::Unfenced).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::admission::Slot;
use super::link::Turn;
use super::scripts::{self, Call, Landed, Revalidated, Script};
use super::tags::TagSpace;
use super::tier::{Read, Tier, Write};
use super::trouble::Trouble;
use crate::clock::coarse_ms;
use crate::error::Error;
use crate::tags::{Look, Looked, Tag};
use crate::wire::{Kick, Outbound, Replies, Reply};

/// Who holds a lease: one attempt to load a key.
pub(crate) type Token = [u8; 16];

/// Keys that one call of the script invalidates.
pub(super) const KEYS_OF_A_CALL: usize = 100;

/// Tags whose versions are to be seen, and how long the server is to keep them at least.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub tags: Vec<Tag>,
    pub life: Duration,
}

/// Why entries are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// They are what a fetch brought: nothing has changed.
    Loaded,
    /// They are new: other programs are told.
    Written,
}

/// The moment in which entries leave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leaving {
    /// The server's time now or a little earlier, in ms since 1970.
    pub server_now: u64,
    /// Whether that is later than the call.
    pub waited: bool,
    /// Whether the server has our scripts.
    pub fenced: bool,
}

/// A look at versions of tags that leaves with other calls, behind them.
pub(super) struct Beside {
    space: Arc<TagSpace>,
    tags: Vec<Tag>,
    look: Look,
    call: Option<Call>,
}

impl Beside {
    /// Before a load: the versions are to exist, and what is known of that of all entries is to be young.
    pub(super) fn loading(tier: &Tier, Seen { tags, life }: Seen) -> Beside {
        let space = tier.tags.clone();
        let wanted = !tags.is_empty() || tier.look_at_clear().is_some();
        let (look, call) = (space.known.look(), wanted.then(|| space.versions(&tags, life)));
        Beside { space, tags, look, call }
    }

    /// After one, where there is something to be found out.
    pub(super) fn filling(tier: &Tier, tags: Vec<Tag>) -> Beside {
        let space = tier.tags.clone();
        let wanted = !tags.is_empty() || tier.look_at_clear().is_some();
        let (look, call) = (space.known.look(), wanted.then(|| space.look(&tags)));
        Beside { space, tags, look, call }
    }

    /// With a read: what is known of the version of all entries is to be young.
    fn reading(tier: &Tier) -> Beside {
        let space = tier.tags.clone();
        let wanted = tier.look_at_clear().is_some();
        let (look, call) = (space.known.look(), wanted.then(|| space.look(&[])));
        Beside { space, tags: Vec::new(), look, call }
    }

    /// With a write, always where there are versions: nobody else would notice that it was dead when it arrived.
    fn writing(tier: &Tier, Seen { tags, life }: Seen) -> Beside {
        let space = tier.tags.clone();
        let known = space.known.last_seen(&[]).is_some();
        let call = if tags.is_empty() && known { space.look(&tags) } else { space.versions(&tags, life) };
        let look = space.known.look();
        Beside { space, tags, look, call: Some(call).filter(|_| tier.plain.is_none()) }
    }

    pub(super) fn with(&self, mut calls: Vec<Call>) -> Vec<Call> {
        calls.extend(self.call.clone());
        calls
    }

    /// When it left, in ms of the cache's clock.
    pub(super) fn asked(&self) -> u64 {
        self.look.asked
    }

    /// What was seen; nothing where the server would not say.
    pub(super) fn take(&self, replies: &mut Vec<Reply>) -> Looked {
        let reply = self.call.as_ref().and_then(|_| replies.pop());
        reply.and_then(|reply| self.space.seen(self.look, &self.tags, reply).ok()).unwrap_or_default()
    }
}

/// What calls came to so far.
enum Progress<T, F> {
    Done(T),
    /// The server did not know the scripts of some of them.
    Again(Vec<Call>, Vec<Reply>, F),
}

impl Tier {
    /// Reads one entry, unless it is still that of `header`: as [`Tier::get`], in one round trip. `done` gets the name back.
    ///
    /// # Errors
    /// As [`Tier::get`].
    pub fn revalidate(
        &self,
        slot: Slot,
        name: Vec<u8>,
        header: Bytes,
        done: impl FnOnce(Vec<u8>, Result<Read<Revalidated>, Error>) + Send + 'static,
    ) -> Kick {
        let keys = vec![Bytes::copy_from_slice(&name)];
        let named = name.clone();
        let prepare = move |tier: &Tier, turn: &Turn<'_>| {
            let pending = tier.pending.contains(&named);
            let beside = Beside::reading(tier);
            let connection = turn.connection.clone();
            let call = Call { script: Script::Revalidate, keys, arguments: vec![header] };
            let calls = beside.with(vec![call]);
            let finish = move |mut replies: Vec<Reply>| {
                let looked = beside.take(&mut replies);
                let reply = replies.pop().ok_or(Trouble::Unexpected)?;
                let found = match scripts::revalidated(reply)? {
                    // A deletion of ours has not landed.
                    _ if pending => Revalidated::Found(None),
                    found => found,
                };
                let fenced = connection.scripts.is_some();
                Ok(Read { found, server_now: connection.time.late(), looked, fenced })
            };
            (calls, finish)
        };
        self.run("get", slot, prepare, || true, move |read| done(name, read))
    }

    /// Stores entries, in one round trip, and gets what came of each. `entries` makes them from the server's
    /// time now or a little earlier, in ms since 1970, at the moment in which they leave: writes are stored in the order
    /// of the calls. It is told whether that is later than this call; if not, it is called while the caller holds whatever
    /// it holds. Where the server has to be told the scripts first, `is_last` says whether they are still what is
    /// wanted: a later write may have come before.
    ///
    /// The versions of these tags, and that of all entries, are read in passing: an entry that does not carry them is to be
    /// stored once more.
    ///
    /// An acknowledged entry settles the pending invalidation of its key, see `pending`.
    ///
    /// # Errors
    /// As [`Tier::get`]. Some of the entries, or all, may have been stored all the same.
    pub fn put_many(
        &self,
        slot: Slot,
        cause: Cause,
        entries: impl FnOnce(Leaving) -> Vec<Write> + Send + 'static,
        tags: Seen,
        is_last: impl FnOnce() -> bool + Send + 'static,
        done: impl FnOnce(Result<(Vec<Landed>, Looked), Error>) + Send + 'static,
    ) -> Kick {
        let prepare = move |tier: &Tier, turn: &Turn<'_>| {
            let beside = Beside::writing(tier, tags);
            let entries = entries(Leaving {
                server_now: turn.connection.time.early(),
                waited: turn.waited,
                fenced: turn.connection.scripts.is_some(),
            });
            let cover = tier.pending.cover(entries.iter().map(|(name, _, _)| name), turn.connection.uncertain);
            let now = coarse_ms();
            let call = |(name, bytes, life): Write| {
                tier.recent.note(&name, now);
                let key = tier.key_of(&name);
                let told = if cause == Cause::Written { tier.told() } else { Bytes::new() };
                Call {
                    script: Script::Put,
                    keys: vec![name.into(), tier.sequence.clone()],
                    arguments: vec![bytes, number(millis(life)), tier.channel.clone(), key, told],
                }
            };
            let count = entries.len();
            let plainly = cause == Cause::Written && turn.connection.scripts.is_none();
            let told =
                if plainly { tier.tellings(entries.iter().map(|(name, _, _)| &name[..])) } else { Vec::new() };
            let calls = beside.with(entries.into_iter().map(call).chain(told).collect());
            let finish = move |mut replies: Vec<Reply>| {
                let looked = beside.take(&mut replies);
                replies.truncate(count);
                let landed = replies.iter().map(scripts::landed).collect::<Result<_, _>>()?;
                cover.settle();
                Ok((landed, looked))
            };
            (calls, finish)
        };
        self.run("set", slot, prepare, is_last, done)
    }

    /// Invalidates the entries of these names, in one round trip, and gets the number of the last invalidation.
    ///
    /// # Errors
    /// As [`Tier::get`]. Some of the keys, or all, may have been invalidated all the same.
    pub fn invalidate_many(
        &self,
        slot: Slot,
        names: Vec<Vec<u8>>,
        done: impl FnOnce(Vec<Vec<u8>>, Result<u64, Error>) + Send + 'static,
    ) -> Kick {
        let keys = names.clone();
        let prepare = move |tier: &Tier, turn: &Turn<'_>| {
            let position = tier.pending.position();
            let is_counted = turn.connection.scripts.is_some();
            let calls = tier.invalidations(&keys, is_counted);
            (calls, move |replies: Vec<Reply>| Ok((last_of(&replies, is_counted)?, position)))
        };
        let pending = self.pending.clone();
        self.run(
            "delete",
            slot,
            prepare,
            || true,
            move |invalidated: Result<(u64, u64), Error>| {
                if let Ok((_, position)) = invalidated {
                    pending.deleted(&names, position);
                }
                done(names, invalidated.map(|(sequence, _)| sequence));
            },
        )
    }

    /// The calls that invalidate the entries of these names, where the server is `scripted` or not.
    pub(super) fn invalidations(&self, names: &[Vec<u8>], scripted: bool) -> Vec<Call> {
        let now = coarse_ms();
        names.iter().for_each(|name| self.recent.note(name, now));
        let call = |names: &[Vec<u8>]| {
            let names = names.iter().map(|name| Bytes::copy_from_slice(name));
            Call {
                script: Script::Invalidate,
                keys: [self.sequence.clone()].into_iter().chain(names).collect(),
                arguments: vec![self.channel.clone(), number(self.before_key as u64), self.told()],
            }
        };
        let mut calls: Vec<Call> = names.chunks(KEYS_OF_A_CALL).map(call).collect();
        if !scripted {
            calls.extend(self.tellings(names.iter().map(|name| &name[..])));
        }
        calls
    }

    /// The key in the name of an entry.
    pub(super) fn key_of(&self, name: &[u8]) -> Bytes {
        Bytes::copy_from_slice(&name[self.before_key..])
    }

    /// Runs calls in one round trip. `prepare` is called when they are to leave; what it returns with them makes the
    /// result of their replies. Those whose scripts the server did not know are run once more with their texts, where
    /// `again` says so.
    pub(super) fn run<T, F>(
        &self,
        name: &'static str,
        slot: Slot,
        prepare: impl FnOnce(&Tier, &Turn<'_>) -> (Vec<Call>, F) + Send + 'static,
        again: impl FnOnce() -> bool + Send + 'static,
        done: impl FnOnce(Result<T, Error>) + Send + 'static,
    ) -> Kick
    where
        T: Send + 'static,
        F: FnOnce(Vec<Reply>) -> Result<T, Trouble> + Send + 'static,
    {
        let prepare = |tier: &Tier, turn: &Turn<'_>, (): &()| {
            let (calls, finish) = prepare(tier, turn);
            let names = turn.connection.scripts.clone();
            move |(): &(), to: &mut Outbound| {
                match &names {
                    Some(names) => calls.iter().for_each(|call| call.encode(Some(names), to)),
                    None => calls.iter().for_each(|call| call.encode_plainly(to)),
                }
                move |replies: Replies| {
                    let replies = checked(replies, calls.len())?;
                    if replies.iter().any(scripts::is_unknown) {
                        return Ok(Progress::Again(calls, replies, finish));
                    }
                    finish(replies).map(Progress::Done)
                }
            }
        };
        let me = self.handle();
        self.begin(name, slot, (), prepare, move |(), progress| match progress {
            Ok(Progress::Done(result)) => done(Ok(result)),
            Ok(Progress::Again(calls, replies, finish)) => {
                let tier = me.upgrade().ok_or(Trouble::Closed);
                match tier.and_then(|tier| Slot::take(&tier, 0)) {
                    Ok(slot) if again() => {
                        slot.tier.clone().run_by_text(name, slot, calls, replies, finish, done).go_behind();
                    }
                    Ok(_) => done(Err(Trouble::lost("another write came before").into_error(name))),
                    Err(trouble) => done(Err(trouble.into_error(name))),
                }
            }
            Err(error) => done(Err(error)),
        })
    }

    /// Runs the calls that the server did not know the scripts of, with their texts.
    fn run_by_text<T, F>(
        &self,
        name: &'static str,
        slot: Slot,
        calls: Vec<Call>,
        mut replies: Vec<Reply>,
        finish: F,
        done: impl FnOnce(Result<T, Error>) + Send + 'static,
    ) -> Kick
    where
        T: Send + 'static,
        F: FnOnce(Vec<Reply>) -> Result<T, Trouble> + Send + 'static,
    {
        let prepare = |_: &Tier, _: &Turn<'_>, (): &()| {
            move |(): &(), to: &mut Outbound| {
                let unknown: Vec<usize> =
                    (0..calls.len()).filter(|index| scripts::is_unknown(&replies[*index])).collect();
                unknown.iter().for_each(|index| calls[*index].encode(None, to));
                move |new: Replies| {
                    for (index, reply) in unknown.iter().zip(checked(new, unknown.len())?) {
                        replies[*index] = reply;
                    }
                    finish(replies)
                }
            }
        };
        self.begin(name, slot, (), prepare, |(), result| done(result))
    }
}

/// One reply a call; none of them says that the server cannot work.
fn checked(replies: Replies, count: usize) -> Result<Vec<Reply>, Trouble> {
    let replies: Vec<Reply> = replies.into_iter().collect();
    if replies.len() != count {
        return Err(Trouble::Unexpected);
    }
    for reply in replies.iter().filter(|reply| reply.code().is_some()) {
        let trouble = Trouble::from(reply);
        if trouble.counts() || trouble.ends_connection() {
            return Err(trouble);
        }
    }
    Ok(replies)
}

pub(super) fn one(replies: &[Reply]) -> Result<&Reply, Trouble> {
    replies.first().ok_or(Trouble::Unexpected)
}

/// The highest number of writes that were all made; 0 where nobody counts them.
pub(super) fn last_of(replies: &[Reply], is_counted: bool) -> Result<u64, Trouble> {
    let mut last = 0;
    for reply in replies {
        last = scripts::sequence(reply)?.max(last);
    }
    Ok(if is_counted { last } else { 0 })
}

pub(super) fn number(number: u64) -> Bytes {
    number.to_string().into()
}

/// Whole milliseconds, never more than `time`: at least 1, since 0 is an error there.
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX >> 2).max(1)
}
