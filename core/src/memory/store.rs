//! Index, records, policy and wheel put together, in shards.
//!
//! A key's shard and its place in the index are fixed by its hash. Whoever changes an entry holds the lock of its
//! shard alone, so policy, wheel and index agree whenever that lock is free; readers share it. No thread ever holds
//! the locks of two shards.
//!
//! Weigher, listener, `Clone` and `Drop` of the user's types run with no lock held: a reader pins the record and lets
//! go of the lock (`pins`), and a writer gathers what has left and lets go of it at the end (`Store::release`).
//! Only types that are known to run no code of the user's are cloned under the lock (`quiet`).

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use foldhash::quality::RandomState;

use super::arena::Arena;
use super::budget::{Budget, Scarce};
use super::departed::{Departed, EvictReason, Gone, Place, heap_bytes};
use super::policy::{NIL, Tuning};
use super::quiet::clones_quietly;
use super::record::{Content, Numbers, Record};
use super::shard::{Shard, State, View};
use super::stats::{MemoryStats, Reads};
use super::table::{SlotRef, SlotTable};
use crate::clock::{self, Clock, Watch};
use crate::host::fork_generation;
use crate::sync::{RwLockWriteGuard, read, write};

pub(super) type Weigher<V, K> = Box<dyn Fn(&K, &V) -> u64 + Send + Sync>;
pub(super) type Listener<V, K> = Box<dyn Fn(&K, &V, EvictReason) + Send + Sync>;

/// How many entries one holding of a shard's lock collects or evicts at most.
const BATCH: usize = 64;
/// How many steps of the wheels one tick takes: a few milliseconds, so that others on that thread get their turn.
const STEPS_PER_TICK: usize = 1 << 15;

pub(super) struct Store<V, K> {
    records: Arena<Record<V, K>>,
    pub(super) shards: Box<[Shard]>,
    /// Keyed at random per cache: no request can choose keys that collide.
    seed: RandomState,
    /// The upper bits of a hash say the shard.
    shard_shift: u32,
    pub budget: Budget,
    pub clock: Clock,
    weigher: Weigher<V, K>,
    listener: Option<Listener<V, K>>,
    /// Whether entries are found by their keys; a host finds its own by their slots.
    pub(super) is_indexed: bool,
    pub(super) tuning: Arc<Tuning>,
    /// What a host reads directly, once there is one.
    pub(super) host: OnceLock<SlotTable>,
    reads: Reads,
    evictions: AtomicU64,
    expired: AtomicU64,
    /// The generation of the process whose ticker looks at this store; 0 for none.
    watched: AtomicU32,
    me: Weak<Store<V, K>>,
}

/// How large a store is to be.
pub(super) struct Size {
    pub max_bytes: u64,
    pub max_entries: u64,
    /// A power of two.
    pub shards: usize,
    /// The most entries that can be in at once.
    pub slots: u64,
    /// Whether entries are found by their keys.
    pub is_indexed: bool,
}

/// A record that was live when we pinned it.
pub(super) struct Found<'a, V, K> {
    store: &'a Store<V, K>,
    record: &'a Record<V, K>,
    place: Place,
}

impl<V, K> Found<'_, V, K> {
    pub fn value(&self) -> &V {
        // SAFETY: we hold a pin.
        &unsafe { self.record.content() }.value
    }

    fn key(&self) -> &K {
        // SAFETY: we hold a pin.
        &unsafe { self.record.content() }.key
    }
}

impl<V, K> Drop for Found<'_, V, K> {
    #[inline]
    fn drop(&mut self) {
        if self.record.pins.unpin() {
            self.store.reclaim(self.place);
        }
    }
}

impl<V, K> Store<V, K> {
    pub(super) fn record(&self, place: Place) -> &Record<V, K> {
        self.records.get(self.global(place) as usize)
    }

    /// The number of a slot in the whole store: the shards' slots lie side by side, so that each may have as many
    /// as it needs.
    pub(super) fn global(&self, place: Place) -> u32 {
        place.slot * self.shard_count() + place.shard
    }

    pub(super) fn place_of(&self, global: u32) -> Option<Place> {
        let shards = self.shard_count();
        let place = Place { shard: global % shards, slot: global / shards };
        ((global as usize) < self.records.len()).then_some(place)
    }

    fn shard_count(&self) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "at most 1024 shards")]
        let count = self.shards.len() as u32;
        count
    }

    /// How many slots there are.
    pub(super) fn slots(&self) -> usize {
        self.records.len()
    }

    /// How many slots each shard may have.
    pub(super) fn slots_per_shard(&self) -> u32 {
        u32::try_from(self.records.len() / self.shards.len()).unwrap_or(NIL) - 1
    }

    pub(super) fn view(&self, shard: u32) -> View<'_, V, K> {
        View { store: self, shard }
    }

    /// Drops the content of a record whose last reader we were, and frees its slot.
    #[cold]
    fn reclaim(&self, place: Place) {
        // SAFETY: `unpin` has told us to, and tells nobody else.
        let content = unsafe { self.record(place).take() };
        self.shards[place.shard as usize].orphans.push(place.slot);
        drop(content);
    }

    /// Counts an entry that left and keeps it for [`Store::release`].
    pub(super) fn note(&self, departed: Departed<V, K>, reason: EvictReason, gone: &mut Gone<V, K>) {
        match reason {
            EvictReason::Capacity => self.evictions.fetch_add(1, Ordering::Relaxed),
            EvictReason::Expired => self.expired.fetch_add(1, Ordering::Relaxed),
            _ => 0,
        };
        gone.push(departed, reason);
    }

    /// Tells host and listener what left, and lets go of it. Called with no lock held.
    pub(super) fn release(&self, mut gone: Gone<V, K>) {
        if let Some(host) = self.host.get() {
            host.report(&std::mem::take(&mut gone.dead));
        }
        for (departed, reason) in gone.into_departed() {
            drop(self.heard(departed, reason));
        }
    }

    /// Tells the listener of an entry; the content, if nobody else still looks at it.
    fn heard(&self, departed: Departed<V, K>, reason: EvictReason) -> Option<Content<V, K>> {
        match departed {
            Departed::Owned(content) => {
                if let Some(listener) = &self.listener {
                    listener(&content.key, &content.value, reason);
                }
                Some(content)
            }
            Departed::Pinned(place) => {
                let found = Found { store: self, record: self.record(place), place };
                if let Some(listener) = &self.listener {
                    listener(found.key(), found.value(), reason);
                }
                None
            }
        }
    }
}

impl<V, K> Store<V, K>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    pub fn new(size: &Size, clock: Clock, weigher: Weigher<V, K>, listener: Option<Listener<V, K>>) -> Arc<Self> {
        debug_assert!(size.shards.is_power_of_two());
        let tuning = Tuning::new(size.max_entries, size.max_bytes);
        // Shards are never filled evenly, and records that are still being read keep their slots a little longer.
        let per_shard = (size.slots / size.shards as u64).saturating_mul(5) / 4 + 128;
        let slots = per_shard.saturating_mul(size.shards as u64).min(1 << 31);
        Arc::new_cyclic(|me| Store {
            records: Arena::at_most(usize::try_from(slots).unwrap_or(1 << 31)),
            shards: (0..size.shards).map(|_| Shard::new(&tuning)).collect(),
            seed: RandomState::default(),
            shard_shift: 63 - size.shards.ilog2(),
            budget: Budget::new(size.max_bytes, size.max_entries),
            clock,
            weigher,
            listener,
            is_indexed: size.is_indexed,
            tuning,
            host: OnceLock::new(),
            reads: Reads::default(),
            evictions: AtomicU64::new(0),
            expired: AtomicU64::new(0),
            watched: AtomicU32::new(0),
            me: me.clone(),
        })
    }

    pub(super) fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> u64 {
        self.seed.hash_one(key)
    }

    /// The shard of a hash, by its upper bits: the lower ones are for the index.
    pub(super) fn shard_of(&self, hash: u64) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "at most 1024 shards")]
        let shard = (hash >> 1 >> self.shard_shift) as u32;
        shard
    }

    /// Looks an entry up, notes the use and counts. `take` runs under the shard's lock, shared with other readers.
    #[inline]
    pub(super) fn find<Q, R>(&self, key: &Q, take: impl FnOnce(Place, &Record<V, K>) -> R) -> Option<R>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hash(key);
        let shard = self.shard_of(hash);
        let now = self.clock.now_ms();
        let state = read(&self.shards[shard as usize].state);
        let found = self.find_in(&state, shard, low(hash), key);
        let Some(place) = found.map(|slot| Place { shard, slot }) else {
            drop(state);
            self.reads.miss();
            return None;
        };
        let record = self.record(place);
        if record.deadline() <= now {
            drop(state);
            self.reads.miss();
            self.collect(place, now);
            return None;
        }
        record.touch();
        let weight = record.weight();
        let taken = take(place, record);
        drop(state);
        self.reads.hit();
        self.accessed(hash, weight);
        Some(taken)
    }

    /// A clone of the live value under a key, noted as used and counted.
    #[inline]
    pub fn get<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
        V: Clone,
    {
        if clones_quietly::<V>() {
            // SAFETY: the record is in the index, and the lock is held.
            return self.find(key, |_, record| unsafe { record.content() }.value.clone());
        }
        self.pinned(key).map(|found| found.value().clone())
    }

    /// The live entry under a key, noted as used and counted, and kept from being taken away.
    pub fn pinned<Q>(&self, key: &Q) -> Option<Found<'_, V, K>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let place = self.find(key, |place, record| {
            record.pins.pin();
            place
        })?;
        Some(Found { store: self, record: self.record(place), place })
    }

    /// Whether there is a live entry under a key; neither noted nor counted.
    pub fn contains<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hash(key);
        let shard = self.shard_of(hash);
        let state = read(&self.shards[shard as usize].state);
        let found = self.find_in(&state, shard, low(hash), key);
        found.is_some_and(|slot| self.record(Place { shard, slot }).deadline() > self.clock.now_ms())
    }

    /// Has the policy's simulations see a hit, if the key is one of theirs.
    #[inline]
    pub(super) fn accessed(&self, hash: u64, weight: u64) {
        if self.tuning.is_sampled(hash) {
            self.tuning.record(hash, weight);
        }
    }

    /// Stores an entry that dies at `deadline`, and evicts for it. Where it cannot be stored, because it is
    /// dead or larger than the whole bound, what was under its key is gone all the same.
    pub fn insert(&self, key: K, value: V, deadline: u64) -> bool {
        let heap = heap_bytes(&key).saturating_add((self.weigher)(&key, &value));
        let weight = Record::<V, K>::weight_with(heap);
        let hash = self.hash(&key);
        let now = self.clock.now_ms();
        let mut gone = Gone::default();
        let Some(weight) = self.storable(weight, deadline, now) else {
            self.take(hash, &key, EvictReason::Replaced, now, &mut gone);
            let reason = if deadline <= now { EvictReason::Expired } else { EvictReason::Capacity };
            self.note(Departed::Owned(Content { key, value }), reason, &mut gone);
            self.release(gone);
            return false;
        };
        let numbers = Numbers { hash: low(hash), deadline, weight, uses: 0 };
        let mut content = Some(Content { key, value });
        let shard = self.shard_of(hash);
        loop {
            let entry = NewEntry { shard, numbers: &numbers, instead: Instead::SameKey };
            match self.try_insert(&entry, &mut content, now, &mut gone) {
                Ok(_) => break,
                Err(scarce) => self.make_room_elsewhere(shard, u64::from(weight), scarce, now, &mut gone),
            }
        }
        self.watch();
        self.release(gone);
        true
    }

    /// The weight of an entry that can be stored.
    pub(super) fn storable(&self, weight: u64, deadline: u64, now: u64) -> Option<u32> {
        let weight = u32::try_from(weight).ok()?;
        (deadline > now && self.budget.could_hold(u64::from(weight))).then_some(weight)
    }

    /// Takes out the entry under a key. What is returned was live; whoever listens has been told.
    pub fn remove<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
        V: Clone,
    {
        let mut gone = Gone::default();
        self.take(self.hash(key), key, EvictReason::Removed, self.clock.now_ms(), &mut gone);
        if let Some(host) = self.host.get() {
            host.report(&std::mem::take(&mut gone.dead));
        }
        let mut value = None;
        for (departed, reason) in gone.into_departed() {
            let live = reason == EvictReason::Removed;
            if let Departed::Pinned(place) = departed
                && live
            {
                // Somebody reads it this moment: we leave them theirs.
                // SAFETY: the writer that retired it holds a pin, which `heard` gives back.
                value = Some(unsafe { self.record(place).content() }.value.clone());
            }
            let content = self.heard(departed, reason);
            value = value.or(content.filter(|_| live).map(|content| content.value));
        }
        value
    }

    /// Empties the cache, shard by shard and a few entries at a time: what is set meanwhile may stay.
    pub fn clear(&self) {
        for shard in 0..self.shard_count() {
            let end = read(&self.shards[shard as usize].state).end();
            let mut next = 0;
            while next < end {
                let mut gone = Gone::default();
                let now = self.clock.now_ms();
                let mut state = self.lock(shard);
                while next < end && gone.len() < BATCH {
                    let record = self.record(Place { shard, slot: next });
                    if record.is_live() {
                        self.detach(&mut state, Place { shard, slot: next }, EvictReason::Cleared, now, &mut gone);
                    }
                    next += 1;
                }
                self.publish(shard, state);
                if !self.is_indexed {
                    // The host clears its own.
                    gone.dead.clear();
                }
                self.release(gone);
            }
        }
    }

    /// Collects entries whose time is up, in at most `budget` steps of the wheels; a step finds an entry or moves
    /// one to where it is found later. Returns how many were collected.
    pub fn remove_expired(&self, budget: usize) -> usize {
        let now = self.clock.now_ms();
        let mut left = budget;
        let mut collected = 0;
        for shard in 0..self.shard_count() {
            loop {
                let mut gone = Gone::default();
                let mut steps = left.min(BATCH);
                left -= steps;
                let mut state = self.lock(shard);
                while let Some(slot) = state.wheel.pop_due(&self.view(shard), now, &mut steps) {
                    self.detach(&mut state, Place { shard, slot }, EvictReason::Expired, now, &mut gone);
                }
                self.publish(shard, state);
                collected += gone.len();
                self.release(gone);
                left += steps;
                if steps > 0 || left == 0 {
                    break;
                }
            }
        }
        collected
    }

    pub fn stats(&self) -> MemoryStats {
        MemoryStats {
            hits: self.reads.hits(),
            misses: self.reads.misses(),
            evictions: self.evictions.load(Ordering::Relaxed),
            expired: self.expired.load(Ordering::Relaxed),
            entries: self.budget.entries.used(),
            bytes: self.budget.bytes.used(),
        }
    }

    pub(super) fn lock(&self, shard: u32) -> RwLockWriteGuard<'_, State> {
        // The only panic under the lock is that of a key's `Eq`, and nothing has changed by then.
        let shard = &self.shards[shard as usize];
        let mut state = write(&shard.state);
        while let Some(slot) = shard.orphans.pop() {
            state.free(slot);
        }
        state
    }

    /// Says what the shard holds, for others to see who has too much, and lets go of its lock.
    pub(super) fn publish(&self, shard: u32, state: RwLockWriteGuard<'_, State>) {
        self.shards[shard as usize].publish(&state);
    }

    /// Puts the entry in if there is room, or room can be made in its own shard without leaving others more than
    /// their share. Returns where it lies.
    pub(super) fn try_insert(
        &self,
        entry: &NewEntry<'_>,
        content: &mut Option<Content<V, K>>,
        now: u64,
        gone: &mut Gone<V, K>,
    ) -> Result<SlotRef, Scarce> {
        let NewEntry { shard, numbers, instead } = *entry;
        let mut state = self.lock(shard);
        let old = match (instead, &content) {
            (Instead::SameKey, Some(content)) => self.find_in(&state, shard, numbers.hash, &content.key),
            (Instead::Slot(at), _) => Some(self.slot_of(at)).filter(|slot| *slot != NIL),
            _ => None,
        };
        let keep = old.unwrap_or(NIL);
        let weight = u64::from(numbers.weight);
        let freed = old.map(|slot| self.record(Place { shard, slot }).weight());
        let mut has_room = gone.is_empty();
        while let Err(scarce) = self.reserve(&state, weight, freed) {
            let over = self.is_over_share(&state, weight, scarce);
            if !over || !self.evict(&mut state, Place { shard, slot: keep }, scarce, now, gone) {
                self.publish(shard, state);
                return Err(scarce);
            }
            has_room = false;
        }
        let Some(content) = content.take() else { unreachable!("an entry goes in once") };
        let slot = match old {
            Some(old) => self.replace(&mut state, Place { shard, slot: old }, numbers, content, now, gone),
            None => self.add(&mut state, shard, numbers, content, has_room, now),
        };
        let slot = self.global(Place { shard, slot });
        // Before the lock is let go: it may be evicted at once.
        let generation = self.host.get().map_or(0, |host| host.generation(slot));
        self.publish(shard, state);
        Ok(SlotRef { slot, generation })
    }

    /// The slot of a key.
    #[inline]
    fn find_in<Q>(&self, state: &State, shard: u32, hash: u32, key: &Q) -> Option<u32>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        state.index.find(hash, |slot| {
            // SAFETY: the record is in the index, and the caller holds the lock, as it has the state.
            let content = unsafe { self.record(Place { shard, slot }).content() };
            (content.key.borrow() == key).then_some(slot)
        })
    }

    fn reserve(&self, state: &State, weight: u64, instead: Option<u64>) -> Result<(), Scarce> {
        // In the place of one that is being read, an entry needs a slot of its own.
        if !state.has_slot(self.slots_per_shard()) {
            return Err(Scarce::Entries);
        }
        self.budget.reserve(weight, instead)
    }

    /// Whether a shard, with a new entry of `weight`, would hold more than its part of the bound. If not, some
    /// other shard holds more than its own.
    fn is_over_share(&self, state: &State, weight: u64, scarce: Scarce) -> bool {
        let parts = self.shards.len() as u64;
        match scarce {
            Scarce::Bytes => state.bytes.saturating_add(weight) > self.budget.bytes.max / parts,
            Scarce::Entries => {
                !state.has_slot(self.slots_per_shard()) || state.policy.len() + 1 > self.budget.entries.max / parts
            }
        }
    }

    /// Evicts from the fullest shard but `own`. A batch at a time: the caller tries again, and comes back.
    pub(super) fn make_room_elsewhere(
        &self,
        own: u32,
        weight: u64,
        scarce: Scarce,
        now: u64,
        gone: &mut Gone<V, K>,
    ) {
        let others = (0..self.shard_count()).filter(|shard| *shard != own);
        let Some(fullest) = others.max_by_key(|shard| self.shards[*shard as usize].holds(scarce)) else { return };
        let mut state = self.lock(fullest);
        for _ in 0..BATCH {
            if self.budget.has_room(weight)
                || !self.evict(&mut state, Place { shard: fullest, slot: NIL }, scarce, now, gone)
            {
                break;
            }
        }
        self.publish(fullest, state);
    }

    /// Takes out the entry under a key, if there is one.
    fn take<Q>(&self, hash: u64, key: &Q, reason: EvictReason, now: u64, gone: &mut Gone<V, K>)
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let shard = self.shard_of(hash);
        let mut state = self.lock(shard);
        if let Some(slot) = self.find_in(&state, shard, low(hash), key) {
            self.detach(&mut state, Place { shard, slot }, reason, now, gone);
            self.publish(shard, state);
        }
    }

    /// Takes out an entry that a reader found dead, if nobody else has. Whatever dead entry lies there may go.
    #[cold]
    fn collect(&self, place: Place, now: u64) {
        let mut gone = Gone::default();
        let mut state = self.lock(place.shard);
        let record = self.record(place);
        if record.is_live() && record.deadline() <= now {
            self.detach(&mut state, place, EvictReason::Expired, now, &mut gone);
        }
        self.publish(place.shard, state);
        self.release(gone);
    }

    /// Sees to it that entries are collected at the end of their life: by this process, should we have been forked.
    pub(super) fn watch(&self) {
        let generation = fork_generation();
        if self.watched.load(Ordering::Acquire) != generation
            && self.watched.swap(generation, Ordering::AcqRel) != generation
        {
            let me: Weak<Self> = self.me.clone();
            clock::register(me);
        }
    }

    fn is_idle(&self) -> bool {
        self.budget.entries.used() == 0
    }
}

/// An entry on its way in.
#[derive(Clone, Copy)]
pub(super) struct NewEntry<'a> {
    pub shard: u32,
    pub numbers: &'a Numbers,
    pub instead: Instead,
}

/// What a new entry replaces.
#[derive(Clone, Copy)]
pub(super) enum Instead {
    /// The entry of the same key, if there is one.
    SameKey,
    /// That of a slot, if it is still there.
    Slot(SlotRef),
    /// Nothing.
    None,
}

/// The part of a hash by which the index and the policy know an entry.
pub(super) fn low(hash: u64) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is wanted")]
    let low = hash as u32;
    low
}

impl<V, K> clock::Tick for Store<V, K>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    fn tick(&self) -> Watch {
        if let Some(host) = self.host.get() {
            host.set_now(self.clock.now_ms());
        }
        // A listener or destructor that panics must not end the thread that all caches share; the panic hook
        // has reported it, and the store is whole, because no lock was held.
        let sweep = std::panic::AssertUnwindSafe(|| self.remove_expired(STEPS_PER_TICK));
        match std::panic::catch_unwind(sweep) {
            // So many were due that more may be.
            Ok(collected) if collected >= STEPS_PER_TICK / 2 => return Watch::Busy,
            _ if !self.is_idle() => return Watch::Waiting,
            _ => {}
        }
        self.watched.store(0, Ordering::Release);
        // What went in between the look and the store found us still watching.
        if !self.is_idle() && self.watched.swap(fork_generation(), Ordering::AcqRel) == 0 {
            return Watch::Waiting;
        }
        Watch::Done
    }
}

impl<V, K> Drop for Store<V, K> {
    fn drop(&mut self) {
        for (number, shard) in (0..).zip(self.shards.iter()) {
            let end = read(&shard.state).end();
            for slot in 0..end {
                let record = self.record(Place { shard: number, slot });
                if record.is_live() {
                    // SAFETY: nobody else has the store any more, so nobody reads, and each live record is taken once.
                    drop(unsafe { record.take() });
                }
            }
        }
    }
}
