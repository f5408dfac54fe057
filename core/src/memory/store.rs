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
use super::budget::Budget;
use super::departed::{Departed, EvictReason, Gone, Place, heap_bytes};
use super::policy::{NIL, Tuning};
use super::read::Found;
use super::record::{Content, Numbers, Record};
use super::room::{Instead, NewEntry};
use super::shard::{Shard, State, View};
use super::stats::{MemoryStats, Reads};
use super::table::SlotTable;
use super::upkeep::Upkeep;
use crate::clock::Clock;
use crate::sync::{RwLockWriteGuard, read, write};

pub(super) type Weigher<V, K> = Box<dyn Fn(&K, &V) -> u64 + Send + Sync>;
pub(super) type Listener<V, K> = Box<dyn Fn(&K, &V, EvictReason) + Send + Sync>;

/// How many entries one holding of a shard's lock clears at most.
const BATCH: usize = 64;

pub(super) struct Store<V, K> {
    records: Arena<Record<V, K>>,
    upkeep: Arena<Upkeep>,
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
    pub(super) reads: Reads,
    evictions: AtomicU64,
    expired: AtomicU64,
    /// The generation of the process whose ticker looks at this store; 0 for none.
    pub(super) watched: AtomicU32,
    pub(super) me: Weak<Store<V, K>>,
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

impl<V, K> Store<V, K> {
    pub(super) fn record(&self, place: Place) -> &Record<V, K> {
        self.records.get(self.global(place) as usize)
    }

    pub(super) fn upkeep(&self, place: Place) -> &Upkeep {
        self.upkeep.get(self.global(place) as usize)
    }

    /// Where that would be, also of a place that does not exist.
    pub(super) fn upkeep_at(&self, place: Place) -> *const Upkeep {
        let number = place.slot.wrapping_mul(self.shard_count()).wrapping_add(place.shard);
        self.upkeep.base().cast::<Upkeep>().wrapping_add(number as usize)
    }

    /// Is told that slots up to this one are used.
    pub(super) fn reached(&self, place: Place) {
        let slot = self.global(place) as usize;
        self.records.reached(slot);
        self.upkeep.reached(slot);
        if let Some(host) = self.host.get() {
            host.reached(slot);
        }
    }

    /// The number of a slot in the whole store: the shards' slots lie side by side, so that each may have as many
    /// as it needs.
    pub(super) fn global(&self, place: Place) -> u32 {
        place.slot * self.shard_count() + place.shard
    }

    pub(super) fn place_of(&self, global: u32) -> Option<Place> {
        let shards = self.shard_count();
        let place = Place { shard: global % shards, slot: global / shards };
        ((global as usize) < self.slots()).then_some(place)
    }

    pub(super) fn shard_count(&self) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "at most 1024 shards")]
        let count = self.shards.len() as u32;
        count
    }

    /// How many slots there are.
    pub(super) fn slots(&self) -> usize {
        self.upkeep.len().min(self.records.len())
    }

    /// How many slots each shard may have.
    pub(super) fn slots_per_shard(&self) -> u32 {
        u32::try_from(self.slots() / self.shards.len()).unwrap_or(NIL) - 1
    }

    pub(super) fn view(&self, shard: u32) -> View<'_, V, K> {
        View { store: self, shard, index: None }
    }

    /// Drops the content of a record whose last reader we were, and frees its slot.
    #[cold]
    pub(super) fn reclaim(&self, place: Place) {
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
        let records = Arena::at_most(usize::try_from(slots).unwrap_or(1 << 31));
        let upkeep = Arena::at_most(records.len());
        Arc::new_cyclic(|me| Store {
            records,
            upkeep,
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

    /// Stores an entry that dies at `deadline`, and evicts for it. Where it cannot be stored, because it is
    /// dead or larger than the whole bound, what was under its key is gone all the same.
    pub fn insert(&self, key: K, value: V, deadline: u64) -> bool {
        let heap = heap_bytes(&key).saturating_add((self.weigher)(&key, &value));
        let weight = Record::<V, K>::weight_with(heap);
        let hash = self.hash(&key);
        self.shards[self.shard_of(hash) as usize].whereabouts.prefetch(low(hash));
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
}

/// The part of a hash by which the index and the policy know an entry.
pub(super) fn low(hash: u64) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is wanted")]
    let low = hash as u32;
    low
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
