//! The level `redis`: writes in streams that all processes share.
//!
//! Whoever writes adds to the stream of the key's partition. Whoever has asked for batches is a worker: it owns partitions,
//! by leases that it renews, reads their writes into its lines, and takes out of the stream what the source has. A worker
//! that dies loses its leases; the next owner reads everything again that was not taken out. One thread does all that, and
//! waits for each answer, so the writes of a process enter the streams in the order of their numbers.

use std::collections::{BTreeMap, HashMap};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use super::behind::{Behind, Submitted};
use super::commit::Work;
use super::item::Item;
use crate::error::{Error, ErrorKind, Result};
use crate::flight::next_id;
use crate::redis::{Added, Done, Partition, Slot, StreamEntry, StreamSpace, Tier};
use crate::sync::{Arc, lock};
use crate::wire::Kick;

/// How long a worker that died keeps its partitions.
const LEASE: Duration = Duration::from_secs(5);
/// How often leases are renewed.
const RENEW: Duration = Duration::from_secs(1);
/// How often streams are looked at for writes of other processes.
const READ: Duration = Duration::from_millis(50);
/// How often a process asks which of its writes the source has, by other processes.
const ASK: Duration = Duration::from_millis(100);
/// So many keys are asked for at once.
const ASKED: usize = 1_000;
/// So many writes are read of a partition at once, and not more while so many wait here.
const READ_WRITES: u64 = 500;
const ENOUGH: u64 = 20_000;
/// For an answer that does not come: longer than any operation of the tier.
const PATIENCE: Duration = Duration::from_secs(90);

/// Where a write is.
struct Place {
    partition: Partition,
    place: Bytes,
    weight: u64,
    key: Bytes,
    sequence: u64,
}

struct Stream {
    tier: Arc<Tier>,
    space: StreamSpace,
    token: Bytes,
    /// None as long as the server has not been asked.
    partitions: Option<u32>,
    /// Partitions that are ours, and up to where they were read.
    owned: BTreeMap<Partition, Option<Bytes>>,
    /// Until when they are, by the clock of this machine.
    until: Instant,
    share: usize,
    places: HashMap<u64, Place>,
    /// Writes to take out, or to mark, that the server has not been told of.
    done: Vec<Place>,
    marks: Vec<(Partition, Bytes, Option<String>)>,
    renew: Instant,
    read: Instant,
    ask: Instant,
}

/// Works until the write-behind is closed.
pub(super) fn run(behind: &Arc<Behind>) {
    let Some(shared) = &behind.tiers.shared else { return };
    let (tier, space) = shared.streams(&behind.options.name);
    let now = Instant::now();
    let mut stream = Stream {
        tier,
        space,
        token: format!("{:016x}", rand::random::<u64>()).into(),
        partitions: None,
        owned: BTreeMap::new(),
        until: now,
        share: usize::MAX,
        places: HashMap::new(),
        done: Vec::new(),
        marks: Vec::new(),
        renew: now,
        read: now,
        ask: now,
    };
    behind.note_opened();
    while let Some(work) = behind.wait_for_work(stream.next_look(behind)) {
        let Work { writes, removed, buried, revived } = work;
        stream.add(behind, writes);
        stream.note(behind, removed, &buried, &revived);
        stream.tell(behind);
        if Instant::now() >= stream.renew {
            stream.own(behind);
        }
        if Instant::now() >= stream.read {
            stream.read(behind);
        }
        if Instant::now() >= stream.ask {
            stream.ask(behind);
        }
    }
    stream.end(behind);
}

impl Stream {
    fn next_look(&self, behind: &Behind) -> Instant {
        let inner = lock(&behind.inner);
        let mut next = self.renew;
        if !self.owned.is_empty() {
            next = next.min(self.read);
        }
        if !inner.outstanding.is_empty() || inner.has_blocked() {
            next = next.min(self.ask);
        }
        // What could not be told is tried again, but not in a circle.
        if !self.done.is_empty() || !self.marks.is_empty() {
            next = next.min(Instant::now() + READ);
        }
        next
    }

    /// Waits for the answer to one operation.
    fn wait<T: Send + 'static>(
        &self,
        bytes: usize,
        call: impl FnOnce(&Tier, Slot, Box<dyn FnOnce(Result<T>) + Send>) -> Kick,
    ) -> Result<T> {
        let (sender, receiver) = mpsc::channel();
        let slot = self.tier.admit("write_behind", bytes)?;
        // The receiver lives until this returns.
        let done: Box<dyn FnOnce(Result<T>) + Send> = Box::new(move |result| drop(sender.send(result)));
        call(&self.tier, slot, done).go();
        let lost = || Error::new(ErrorKind::Unavailable, "write_behind", "the server did not answer");
        receiver.recv_timeout(PATIENCE).unwrap_or_else(|_| Err(lost()))
    }

    /// The number of partitions, as the first process said.
    fn partitions(&mut self, behind: &Behind) -> Result<u32> {
        if let Some(partitions) = self.partitions {
            return Ok(partitions);
        }
        let wanted = behind.options.partitions;
        let partitions = self.wait(0, |tier, slot, done| tier.stream_open(slot, &self.space, wanted, done))?;
        self.partitions = Some(partitions.max(1));
        Ok(partitions.max(1))
    }

    /// Adds writes to their streams; then they are acknowledged.
    fn add(&mut self, behind: &Arc<Behind>, mut writes: Vec<Submitted>) {
        if writes.is_empty() {
            return;
        }
        let kept: Vec<&Item> = writes.iter().filter(|write| !write.direct).map(|write| &write.item).collect();
        let added = match (kept.is_empty(), self.partitions(behind)) {
            (true, _) => Ok(None),
            (false, Err(error)) => Err(error),
            (false, Ok(partitions)) => {
                let added: Vec<Added> = kept
                    .iter()
                    .map(|item| Added {
                        partition: partition_of(&item.key, partitions),
                        row: item.encode(None).into(),
                        weight: item.weight(),
                        key: item.key.clone(),
                    })
                    .collect();
                let bytes = added.iter().map(|write| write.row.len()).sum();
                self.wait(bytes, |tier, slot, done| tier.stream_add(slot, &self.space, added, done)).map(Some)
            }
        };
        match added {
            Ok(added) => {
                let mut inner = lock(&behind.inner);
                inner.failed = None;
                if let Some((bytes, sequences)) = added {
                    inner.remote_bytes = bytes;
                    let kept = writes.iter_mut().filter(|write| !write.direct);
                    kept.zip(sequences).for_each(|(write, sequence)| write.item.sequence = sequence);
                }
                drop(inner);
                // What we have added ourselves is read at once.
                self.read = Instant::now();
                behind.take_effect_elsewhere(writes);
            }
            Err(error) => {
                let mut inner = lock(&behind.inner);
                inner.journal_errors += 1;
                inner.failed = Some(error.message());
                drop(inner);
                behind.refuse(writes);
            }
        }
    }

    /// Notes what is to be told.
    fn note(&mut self, behind: &Behind, removed: Vec<u64>, buried: &[u64], revived: &[Item]) {
        for number in buried {
            let inner = lock(&behind.inner);
            if let (Some(place), Some((_, error))) = (self.places.get(number), inner.pending.error_of(*number))
                && inner.pending.is_dead(*number)
            {
                self.marks.push((place.partition, place.place.clone(), Some(error.to_owned())));
            }
        }
        for item in revived {
            if let Some(place) = self.places.get(&item.number) {
                self.marks.push((place.partition, place.place.clone(), None));
            }
        }
        self.done.extend(removed.into_iter().filter_map(|number| self.places.remove(&number)));
    }

    /// Tells the server what the source has, and what is dead.
    fn tell(&mut self, behind: &Behind) {
        if !self.marks.is_empty() {
            let marks = self.marks.clone();
            let told =
                self.wait(0, |tier, slot, done| tier.stream_mark(slot, &self.space, &self.token, marks, done));
            if told.is_ok() {
                self.marks.clear();
            }
        }
        if self.done.is_empty() {
            return;
        }
        let mut by_partition: BTreeMap<Partition, Vec<Done>> = BTreeMap::new();
        for Place { partition, place, weight, key, sequence } in &self.done {
            let writes = by_partition.entry(*partition).or_default();
            writes.push((place.clone(), *weight, key.clone(), *sequence));
        }
        /// So many numbers and names go into a call of a script.
        const MANY: usize = 500;
        let mut calls: Vec<(Partition, Vec<Done>)> = Vec::new();
        for (partition, writes) in &by_partition {
            calls.extend(writes.chunks(MANY).map(|some| (*partition, some.to_vec())));
        }
        let told = self.wait(0, |tier, slot, done| tier.stream_done(slot, &self.space, &self.token, calls, done));
        if told.is_ok() {
            // Of partitions that are no longer ours, the next owner will find out what the source has.
            let done = std::mem::take(&mut self.done);
            behind.note_gone(done.iter().map(|place| (&place.key, place.sequence)));
        }
    }

    /// Renews the leases, and takes up to our share.
    fn own(&mut self, behind: &Arc<Behind>) {
        self.renew = Instant::now() + RENEW;
        let wants = lock(&behind.inner).pulled;
        if !wants && self.owned.is_empty() {
            return;
        }
        let Ok(partitions) = self.partitions(behind) else { return };
        let asked = Instant::now();
        let back = self.spare(behind);
        let (token, lease) = (self.token.clone(), u64::try_from(LEASE.as_millis()).unwrap_or(u64::MAX));
        let owned = self.wait(0, |tier, slot, done| {
            tier.stream_own(slot, &self.space, partitions, (token, lease, wants), &back, done)
        });
        match owned {
            Ok(owned) => {
                self.until = asked + LEASE;
                self.share = usize::try_from(owned.share).unwrap_or(usize::MAX);
                let mut inner = lock(&behind.inner);
                (inner.remote_bytes, inner.remote_depth) = (owned.bytes, owned.depth);
                drop(inner);
                let lost: Vec<Partition> =
                    self.owned.keys().copied().filter(|owner| !owned.partitions.contains(owner)).collect();
                self.lose(behind, &lost);
                for partition in owned.partitions {
                    self.owned.entry(partition).or_insert(None);
                }
                self.read = Instant::now();
            }
            // Nobody else can have them before the lease is over.
            Err(_) if Instant::now() < self.until - RENEW => {}
            Err(_) => {
                let all: Vec<Partition> = self.owned.keys().copied().collect();
                self.lose(behind, &all);
            }
        }
    }

    /// Partitions beyond our share of which nothing is handed out.
    fn spare(&mut self, behind: &Behind) -> Vec<Partition> {
        let beyond = self.owned.len().saturating_sub(self.share);
        if beyond == 0 {
            return Vec::new();
        }
        let inner = lock(&behind.inner);
        let mut busy: Vec<Partition> = Vec::new();
        for (number, place) in &self.places {
            if inner.pending.is_taken(*number) && !busy.contains(&place.partition) {
                busy.push(place.partition);
            }
        }
        let told = |partition: &Partition| self.done.iter().any(|place| place.partition == *partition);
        let free = self.owned.keys().copied().filter(|partition| !busy.contains(partition) && !told(partition));
        let back: Vec<Partition> = free.take(beyond).collect();
        drop(inner);
        self.lose(behind, &back);
        back
    }

    /// Writes of these partitions are another worker's from now on.
    fn lose(&mut self, behind: &Behind, partitions: &[Partition]) {
        if partitions.is_empty() {
            return;
        }
        let gone: Vec<u64> = self
            .places
            .iter()
            .filter(|(_, place)| partitions.contains(&place.partition))
            .map(|(number, _)| *number)
            .collect();
        let mut inner = lock(&behind.inner);
        for number in gone {
            inner.pending.forget_number(number);
            self.places.remove(&number);
        }
        drop(inner);
        self.done.retain(|place| !partitions.contains(&place.partition));
        self.marks.retain(|(partition, _, _)| !partitions.contains(partition));
        partitions.iter().for_each(|partition| drop(self.owned.remove(partition)));
    }

    /// Reads what is new in our partitions.
    fn read(&mut self, behind: &Arc<Behind>) {
        self.read = Instant::now() + READ;
        if self.owned.is_empty() || lock(&behind.inner).pending.depth() >= ENOUGH {
            return;
        }
        let from: Vec<(Partition, Option<Bytes>)> =
            self.owned.iter().map(|(partition, after)| (*partition, after.clone())).collect();
        let partitions: Vec<Partition> = from.iter().map(|(partition, _)| *partition).collect();
        let read = self
            .wait(0, |tier, slot, done| tier.stream_read(slot, &self.space, &self.token, from, READ_WRITES, done));
        let Ok(read) = read else { return };
        let (mut lost, mut more, mut numbers) = (Vec::new(), false, Vec::new());
        let now = behind.now();
        for (partition, entries) in partitions.into_iter().zip(read) {
            let Some(entries) = entries else {
                lost.push(partition);
                continue;
            };
            more |= entries.len() as u64 >= READ_WRITES;
            let Some(last) = entries.last() else { continue };
            self.owned.insert(partition, Some(last.place.clone()));
            let mut inner = lock(&behind.inner);
            for StreamEntry { place, row, sequence, dead } in entries {
                let number = next_id();
                // What this release cannot read stays for one that can.
                let Some((mut item, _)) = Item::decode(number, &row) else { continue };
                item.sequence = sequence;
                let (weight, key) = (item.weight(), item.key.clone());
                self.places.insert(number, Place { partition, place, weight, key, sequence });
                let replaced = inner.pending.add(item, now, None);
                inner.removed.extend(replaced);
                numbers.push((number, dead));
            }
        }
        let mut inner = lock(&behind.inner);
        for (number, dead) in numbers {
            inner.pending.applied(number);
            if let Some(why) = dead {
                inner.pending.restore_dead(number, why);
            }
        }
        drop(inner);
        self.lose(behind, &lost);
        if more {
            self.read = Instant::now();
        }
        behind.pump();
        behind.retime();
    }

    /// Asks which of our writes the source has, by other processes.
    fn ask(&mut self, behind: &Behind) {
        self.ask = Instant::now() + ASK;
        let asked: Vec<(Bytes, u64)> = {
            let inner = lock(&behind.inner);
            if inner.outstanding.is_empty() && !inner.has_blocked() {
                return;
            }
            inner.outstanding.values().take(ASKED).cloned().collect()
        };
        let keys: Vec<Bytes> = asked.iter().map(|(key, _)| key.clone()).collect();
        let bytes = keys.iter().map(Bytes::len).sum();
        let seen = self.wait(bytes, |tier, slot, done| tier.stream_seen(slot, &self.space, keys, done));
        let Ok((bytes, depth, seen)) = seen else { return };
        {
            let mut inner = lock(&behind.inner);
            (inner.remote_bytes, inner.remote_depth) = (bytes, depth);
        }
        let gone = asked.iter().zip(seen).filter(|((_, sequence), seen)| *seen != *sequence);
        behind.note_gone(gone.map(|((key, sequence), _)| (key, *sequence)));
    }

    /// The write-behind is closed: what is left in the streams is for others.
    fn end(&mut self, behind: &Behind) {
        let removed = std::mem::take(&mut lock(&behind.inner).removed);
        let buried = std::mem::take(&mut lock(&behind.inner).buried);
        self.note(behind, removed, &buried, &[]);
        self.tell(behind);
        if let Some(partitions) = self.partitions.filter(|_| !self.owned.is_empty()) {
            let back: Vec<Partition> = self.owned.keys().copied().collect();
            let token = self.token.clone();
            // Where it fails they are free when the lease is over.
            let _ = self.wait(0, |tier, slot, done| {
                tier.stream_own(slot, &self.space, partitions, (token, 1, false), &back, done)
            });
        }
        behind.end();
    }
}

/// The partition of a key, the same in every process.
fn partition_of(key: &[u8], partitions: u32) -> Partition {
    #[expect(clippy::cast_possible_truncation, reason = "less than the number of partitions")]
    let partition = (xxh3_64(key) % u64::from(partitions)) as u32;
    partition
}
