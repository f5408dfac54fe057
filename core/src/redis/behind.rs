//! Streams of writes on their way to the source, as the level `redis` of write-behind keeps them.
//!
//! A partition is a stream with one owner at a time, by a lease: so nobody else hands its writes out, and the writes of a
//! key, which are all in one partition, stay in order. What an owner has read stays in the stream until the source has it:
//! whoever owns the partition next reads it again from its beginning.

use bytes::Bytes;

use super::admission::Slot;
use super::fenced::number;
use super::link::Turn;
use super::scripts::{Call, Script};
use super::tier::Tier;
use super::trouble::Trouble;
use crate::error::Error;
use crate::wire::{Kick, Reply};

/// The names of one write-behind's streams.
#[derive(Clone)]
pub(crate) struct StreamSpace {
    before: Bytes,
    dirty: Bytes,
}

/// A partition, counted from 0.
pub(crate) type Partition = u32;

/// A write to add: its partition, its bytes, its weight, its key.
pub(crate) struct Added {
    pub partition: Partition,
    pub row: Bytes,
    pub weight: u64,
    pub key: Bytes,
}

/// What belongs to a worker, and how much waits in all.
pub(crate) struct Owned {
    pub share: u64,
    pub bytes: u64,
    pub depth: u64,
    pub partitions: Vec<Partition>,
}

/// A write as it was read: its place, its bytes, where it stands in the order of all, and why it is a dead letter.
pub(crate) struct StreamEntry {
    pub place: Bytes,
    pub row: Bytes,
    pub sequence: u64,
    pub dead: Option<String>,
}

/// A write that is done: its place, its weight, its key, its sequence.
pub(crate) type Done = (Bytes, u64, Bytes, u64);

impl StreamSpace {
    pub fn new(before: Vec<u8>, dirty: Vec<u8>) -> Self {
        StreamSpace { before: before.into(), dirty: dirty.into() }
    }

    fn name(&self, what: &str) -> Bytes {
        [&self.before, what.as_bytes()].concat().into()
    }

    fn of(&self, what: char, partition: Partition) -> Bytes {
        self.name(&format!("{what}{partition}"))
    }
}

/// How many bytes of writes are read at once.
const READ_BYTES: u64 = 4 << 20;

impl Tier {
    /// Over how many partitions keys are spread.
    ///
    /// # Errors
    /// As all of these: `Unavailable`, `Unsupported` (a server without scripts), `Closed`, `Overloaded`.
    pub fn stream_open(
        &self,
        slot: Slot,
        space: &StreamSpace,
        partitions: u32,
        done: impl FnOnce(Result<u32, Error>) + Send + 'static,
    ) -> Kick {
        let call = Call {
            script: Script::BehindOpen,
            keys: vec![space.name("p")],
            arguments: vec![number(partitions.into())],
        };
        let told = |replies: Vec<Reply>| match replies.first() {
            Some(Reply::Number(partitions)) => u32::try_from(*partitions).map_err(|_| Trouble::Unexpected),
            _ => Err(Trouble::Unexpected),
        };
        self.stream(slot, vec![call], told, done)
    }

    /// Adds writes, in one round trip. `done` gets what all that wait weigh, and the sequence of each of these.
    pub fn stream_add(
        &self,
        slot: Slot,
        space: &StreamSpace,
        writes: Vec<Added>,
        done: impl FnOnce(Result<(u64, Vec<u64>), Error>) + Send + 'static,
    ) -> Kick {
        let call = |write: Added| Call {
            script: Script::BehindAdd,
            keys: vec![space.of('s', write.partition), space.name("n"), space.dirty.clone()],
            arguments: vec![write.row, number(write.weight), write.key],
        };
        let told = |replies: Vec<Reply>| {
            let (mut bytes, mut sequences) = (0, Vec::with_capacity(replies.len()));
            for reply in &replies {
                let Reply::List(parts) = reply else { return Err(reply.into()) };
                let [total, sequence] = &parts[..] else { return Err(Trouble::Unexpected) };
                bytes = as_number(total)?;
                sequences.push(as_number(sequence)?);
            }
            Ok((bytes, sequences))
        };
        self.stream(slot, writes.into_iter().map(call).collect(), told, done)
    }

    /// Renews the leases of a worker, gives some back, and takes what is free up to its share.
    pub fn stream_own(
        &self,
        slot: Slot,
        space: &StreamSpace,
        count: u32,
        (token, lease_ms, wants): (Bytes, u64, bool),
        given_back: &[Partition],
        done: impl FnOnce(Result<Owned, Error>) + Send + 'static,
    ) -> Kick {
        let owners = (0..count).map(|partition| space.of('o', partition));
        let back = given_back.iter().map(|partition| number(u64::from(*partition) + 1));
        let call = Call {
            script: Script::BehindOwn,
            keys: [space.name("k"), space.name("n")].into_iter().chain(owners).collect(),
            arguments: [token, number(lease_ms), number(wants.into())].into_iter().chain(back).collect(),
        };
        let told = |replies: Vec<Reply>| {
            let Some(Reply::List(parts)) = replies.first() else { return Err(Trouble::Unexpected) };
            let numbers = parts.iter().map(as_number).collect::<Result<Vec<u64>, _>>()?;
            let [share, bytes, depth, partitions @ ..] = &numbers[..] else { return Err(Trouble::Unexpected) };
            let partition = |number: &u64| Partition::try_from(number.wrapping_sub(1)).ok();
            let partitions: Option<Vec<Partition>> = partitions.iter().map(partition).collect();
            let partitions = partitions.ok_or(Trouble::Unexpected)?;
            Ok(Owned { share: *share, bytes: *bytes, depth: *depth, partitions })
        };
        self.stream(slot, vec![call], told, done)
    }

    /// Reads at most so many writes of each partition, from behind a place: none of a partition that is not the worker's.
    pub fn stream_read(
        &self,
        slot: Slot,
        space: &StreamSpace,
        token: &Bytes,
        from: Vec<(Partition, Option<Bytes>)>,
        count: u64,
        done: impl FnOnce(Result<Vec<Option<Vec<StreamEntry>>>, Error>) + Send + 'static,
    ) -> Kick {
        let call = |(partition, after): (Partition, Option<Bytes>)| Call {
            script: Script::BehindRead,
            keys: vec![space.of('s', partition), space.of('o', partition), space.of('x', partition)],
            arguments: vec![
                token.clone(),
                after.map_or(Bytes::from_static(b"-"), |after| [b"(", &after[..]].concat().into()),
                number(count),
                number(READ_BYTES),
            ],
        };
        let told = |replies: Vec<Reply>| replies.into_iter().map(entries).collect();
        self.stream(slot, from.into_iter().map(call).collect(), told, done)
    }

    /// Takes writes out of partitions. `done` gets, for each partition, whether it is still the worker's.
    pub fn stream_done(
        &self,
        slot: Slot,
        space: &StreamSpace,
        token: &Bytes,
        writes: Vec<(Partition, Vec<Done>)>,
        done: impl FnOnce(Result<Vec<bool>, Error>) + Send + 'static,
    ) -> Kick {
        let call = |(partition, writes): (Partition, Vec<Done>)| {
            let each = writes
                .into_iter()
                .flat_map(|(place, weight, key, sequence)| [place, number(weight), key, number(sequence)]);
            Call {
                script: Script::BehindDone,
                keys: vec![
                    space.of('s', partition),
                    space.of('o', partition),
                    space.name("n"),
                    space.dirty.clone(),
                    space.of('x', partition),
                ],
                arguments: [token.clone()].into_iter().chain(each).collect(),
            }
        };
        self.stream(slot, writes.into_iter().map(call).collect(), owned, done)
    }

    /// Notes which writes are dead letters and why, or are so no more. As [`Tier::stream_done`].
    pub fn stream_mark(
        &self,
        slot: Slot,
        space: &StreamSpace,
        token: &Bytes,
        marks: Vec<(Partition, Bytes, Option<String>)>,
        done: impl FnOnce(Result<Vec<bool>, Error>) + Send + 'static,
    ) -> Kick {
        let call = |(partition, place, reason): (Partition, Bytes, Option<String>)| Call {
            script: Script::BehindMark,
            keys: vec![space.of('o', partition), space.of('x', partition)],
            arguments: vec![token.clone(), place, reason.map(|why| format!("d{why}")).unwrap_or_default().into()],
        };
        self.stream(slot, marks.into_iter().map(call).collect(), owned, done)
    }

    /// The sequence of the last write of each key that the source has not got, 0 for none; and bytes and number of all that
    /// wait.
    pub fn stream_seen(
        &self,
        slot: Slot,
        space: &StreamSpace,
        keys: Vec<Bytes>,
        done: impl FnOnce(Result<(u64, u64, Vec<u64>), Error>) + Send + 'static,
    ) -> Kick {
        let call =
            Call { script: Script::BehindSeen, keys: vec![space.dirty.clone(), space.name("n")], arguments: keys };
        let told = |replies: Vec<Reply>| {
            let Some(Reply::List(parts)) = replies.first() else { return Err(Trouble::Unexpected) };
            let numbers = parts.iter().map(as_number).collect::<Result<Vec<u64>, _>>()?;
            let [bytes, depth, keys @ ..] = &numbers[..] else { return Err(Trouble::Unexpected) };
            Ok((*bytes, *depth, keys.to_vec()))
        };
        self.stream(slot, vec![call], told, done)
    }

    fn stream<T: Send + 'static>(
        &self,
        slot: Slot,
        calls: Vec<Call>,
        told: impl FnOnce(Vec<Reply>) -> Result<T, Trouble> + Send + 'static,
        done: impl FnOnce(Result<T, Error>) + Send + 'static,
    ) -> Kick {
        let prepare = move |_: &Tier, turn: &Turn<'_>| {
            let fenced = turn.connection.scripts.is_some();
            let finish = move |replies: Vec<Reply>| {
                if !fenced {
                    let why = "the server has no scripts, which ack = \"redis\" of a write-behind needs";
                    return Err(Trouble::Refused(why.into()));
                }
                // Not refusals alone are checked by now: a script that failed has done nothing, or not all.
                match replies.iter().find(|reply| reply.code().is_some()) {
                    Some(error) => Err(error.into()),
                    None => told(replies),
                }
            };
            (calls, finish)
        };
        self.run("write_behind", slot, prepare, || true, done)
    }
}

/// Counts are never below nothing; where a total was, it is nothing.
fn as_number(reply: &Reply) -> Result<u64, Trouble> {
    match reply {
        Reply::Number(number) => Ok(u64::try_from(*number).unwrap_or(0)),
        other => Err(other.into()),
    }
}

fn owned(replies: Vec<Reply>) -> Result<Vec<bool>, Trouble> {
    let is_owned = |reply: &Reply| match reply {
        Reply::Number(number) => Ok(*number >= 0),
        other => Err(Trouble::from(other)),
    };
    replies.iter().map(is_owned).collect()
}

fn entries(reply: Reply) -> Result<Option<Vec<StreamEntry>>, Trouble> {
    let parts = match reply {
        Reply::Number(_) => return Ok(None),
        Reply::List(parts) => parts,
        other => return Err((&other).into()),
    };
    let mut entries = Vec::with_capacity(parts.len() / 4);
    for parts in parts.chunks(4) {
        let [Reply::Value(place), row, Reply::Number(sequence), Reply::Value(mark)] = parts else {
            return Err(Trouble::Unexpected);
        };
        // What is too large to be let in is read as nothing, which no write is.
        let row = if let Reply::Value(row) = row { row.clone() } else { Bytes::new() };
        let dead = mark.strip_prefix(b"d").map(|why| String::from_utf8_lossy(why).into_owned());
        entries.push(StreamEntry { place: place.clone(), row, sequence: sequence.unsigned_abs(), dead });
    }
    Ok(Some(entries))
}
