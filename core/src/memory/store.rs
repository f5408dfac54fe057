//! Map, policy and wheel put together, in shards.
//!
//! A key's shard is fixed by its hash. Whoever changes an entry holds the lock of its shard, so policy, wheel
//! and map agree whenever that lock is free; the map's own locks are taken inside it, for one table operation
//! each. Readers take only the latter. No thread ever holds the locks of two shards.
//!
//! Weigher, listener, `Clone` and `Drop` of the user's types run with no lock held: a reader works on an
//! `Arc` of the entry, and a writer gathers what has left and lets go of it at the end (`Store::release`).
//! That costs a hit two writes of a reference count, and buys that a value which calls back into the cache, or
//! is slow to clone, cannot block it.

use std::borrow::Borrow;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::budget::{Budget, Scarce};
use super::entry::{Departed, Entry, EvictReason, heap_bytes};
use super::expiry::Wheel;
use super::map::Map;
use super::policy::{NIL, Policy, Tuning};
use super::slots::Slots;
use super::stats::{MemoryStats, Reads};
use crate::clock::{self, Clock};

pub(super) type Weigher<V, K> = Box<dyn Fn(&K, &V) -> u64 + Send + Sync>;
pub(super) type Listener<V, K> = Box<dyn Fn(&K, &V, EvictReason) + Send + Sync>;

/// How many entries one holding of a shard's lock collects or evicts at most.
const BATCH: usize = 64;
/// How many steps of the wheels one tick takes: some ten milliseconds, so that others on that thread get their turn.
const STEPS_PER_TICK: usize = 1 << 15;

pub(super) struct Store<V, K> {
    map: Map<V, K>,
    shards: Box<[Shard<V, K>]>,
    pub budget: Budget,
    pub clock: Clock,
    tuning: Arc<Tuning>,
    weigher: Weigher<V, K>,
    listener: Option<Listener<V, K>>,
    reads: Reads,
    evictions: AtomicU64,
    expired: AtomicU64,
    /// Whether the ticker looks at this store.
    watched: AtomicBool,
    me: Weak<Store<V, K>>,
}

#[repr(align(128))]
struct Shard<V, K> {
    state: Mutex<State<V, K>>,
    /// What it holds, for others to see who has too much.
    bytes: AtomicU64,
    entries: AtomicU64,
}

struct State<V, K> {
    slots: Slots<V, K>,
    policy: Policy,
    wheel: Wheel,
}

impl<V, K> Shard<V, K> {
    fn lock(&self) -> MutexGuard<'_, State<V, K>> {
        // The only panic under the lock is that of a key's `Eq`, and nothing has changed by then.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, state: &State<V, K>) {
        self.bytes.store(state.policy.weight(), Ordering::Relaxed);
        self.entries.store(state.policy.len(), Ordering::Relaxed);
    }
}

impl<V, K> Store<V, K>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    pub fn new(
        budget: Budget,
        shards: usize,
        clock: Clock,
        weigher: Weigher<V, K>,
        listener: Option<Listener<V, K>>,
    ) -> Arc<Self> {
        let tuning = Tuning::new(budget.entries.max, budget.bytes.max);
        let policy = || Policy::new(tuning.clone());
        let shard = || Shard {
            state: Mutex::new(State { slots: Slots::default(), policy: policy(), wheel: Wheel::default() }),
            bytes: AtomicU64::new(0),
            entries: AtomicU64::new(0),
        };
        let parts = (0..shards).map(|_| shard()).collect();
        Arc::new_cyclic(|me| Store {
            map: Map::new(shards),
            shards: parts,
            budget,
            clock,
            tuning,
            weigher,
            listener,
            reads: Reads::default(),
            evictions: AtomicU64::new(0),
            expired: AtomicU64::new(0),
            watched: AtomicBool::new(false),
            me: me.clone(),
        })
    }

    /// The live entry under a key, noted as used and counted.
    pub fn read<Q>(&self, key: &Q) -> Option<Arc<Entry<V, K>>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let found = self.map.find(self.map.hash(key), key);
        match found {
            Some(entry) if !entry.is_dead(self.clock.now_ms()) => {
                entry.touch();
                if self.tuning.is_sampled(entry.hash) {
                    self.tuning.record(entry.hash, entry.weight);
                }
                self.reads.hit();
                Some(entry)
            }
            found => {
                self.reads.miss();
                if let Some(dead) = found {
                    self.collect(&dead);
                }
                None
            }
        }
    }

    /// Whether there is a live entry under a key; neither noted nor counted.
    pub fn contains<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let found = self.map.find(self.map.hash(key), key);
        found.is_some_and(|entry| !entry.is_dead(self.clock.now_ms()))
    }

    /// Stores an entry that dies at `deadline`, and evicts for it. Where it cannot be stored, because it is
    /// dead or larger than the whole bound, what was under its key is gone all the same.
    pub fn insert(&self, key: K, value: V, deadline: u64) -> bool {
        let heap = heap_bytes(&key).saturating_add((self.weigher)(&key, &value));
        let weight = Entry::<V, K>::weight_with(heap);
        let hash = self.map.hash(&key);
        let entry = Entry::new(hash, deadline, weight, key, value);
        let now = self.clock.now_ms();
        // Before the guards below: what has left is dropped after they are.
        let mut gone = Vec::new();
        if entry.is_dead(now) || !self.budget.could_hold(weight) {
            self.take(hash, &entry.key, EvictReason::Replaced, now, &mut gone);
            self.note(entry, EvictReason::Capacity, now, &mut gone);
            self.release(gone);
            return false;
        }
        while let Err(scarce) = self.try_insert(&entry, now, &mut gone) {
            self.make_room_elsewhere(self.index(hash), weight, scarce, now, &mut gone);
        }
        self.watch();
        self.release(gone);
        true
    }

    /// Takes out the entry under a key. What is returned was live; whoever listens has been told.
    pub fn remove<Q>(&self, key: &Q) -> Option<Arc<Entry<V, K>>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let mut gone = Vec::new();
        self.take(self.map.hash(key), key, EvictReason::Removed, self.clock.now_ms(), &mut gone);
        let live = gone.iter().find(|(_, reason)| *reason == EvictReason::Removed).map(|(entry, _)| entry.clone());
        self.release(gone);
        live
    }

    /// Empties the cache, shard by shard: what is set meanwhile may stay.
    pub fn clear(&self) {
        let now = self.clock.now_ms();
        for (index, shard) in self.shards.iter().enumerate() {
            let mut state = shard.lock();
            let slots = std::mem::take(&mut state.slots);
            let (weight, len) = (state.policy.weight(), state.policy.len());
            state.policy.clear();
            let wheel = std::mem::take(&mut state.wheel);
            let parts = (0..self.map.parts()).filter(|part| self.shard_of(*part) == index);
            let tables: Vec<_> = parts.map(|part| self.map.clear(part)).collect();
            self.budget.give_back(weight, len);
            shard.publish(&state);
            drop(state);
            drop((wheel, tables));
            let mut gone = Vec::new();
            for entry in slots.into_entries() {
                self.note(entry, EvictReason::Cleared, now, &mut gone);
            }
            self.release(gone);
        }
    }

    /// Collects entries whose time is up, in at most `budget` steps of the wheels; a step finds an entry or moves
    /// one to where it is found later. Returns how many were collected.
    pub fn remove_expired(&self, budget: usize) -> usize {
        let now = self.clock.now_ms();
        let mut left = budget;
        let mut collected = 0;
        for shard in &self.shards {
            loop {
                let mut gone = Vec::new();
                let mut steps = left.min(BATCH);
                left -= steps;
                let mut state = shard.lock();
                while let Some(slot) = state.wheel.pop_due(now, &mut steps) {
                    if let Some(entry) = self.detach(&mut state, slot) {
                        self.note(entry, EvictReason::Expired, now, &mut gone);
                    }
                }
                if !gone.is_empty() {
                    shard.publish(&state);
                }
                drop(state);
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

    /// The shard to which a part of the map belongs.
    fn shard_of(&self, part: usize) -> usize {
        part & (self.shards.len() - 1)
    }

    fn index(&self, hash: u64) -> usize {
        self.shard_of(self.map.part_of(hash))
    }

    /// Puts the entry in if there is room, or room can be made in its own shard without leaving others more than
    /// their share.
    fn try_insert(
        &self,
        entry: &Arc<Entry<V, K>>,
        now: u64,
        gone: &mut Vec<Departed<V, K>>,
    ) -> Result<(), Scarce> {
        let shard = &self.shards[self.index(entry.hash)];
        let mut state = shard.lock();
        let old = self.map.find(entry.hash, &entry.key);
        let keep = old.as_ref().map_or(NIL, |old| old.slot());
        let instead = old.as_ref().map(|old| old.weight);
        while let Err(scarce) = self.reserve(&state, entry.weight, instead) {
            let over = self.is_over_share(&state, entry.weight, scarce);
            if !over || !self.evict(&mut state, keep, now, gone) {
                shard.publish(&state);
                return Err(scarce);
            }
        }
        let slot = match old {
            Some(old) => {
                entry.inherit(&old);
                let slot = old.slot();
                self.map.replace(&old, entry.clone());
                state.slots.replace(slot, entry.clone());
                state.policy.replaced(slot, old.weight, entry.weight);
                self.note(old, EvictReason::Replaced, now, gone);
                slot
            }
            None => {
                self.map.insert(entry.clone());
                let State { slots, policy, .. } = &mut *state;
                let slot = slots.insert(entry.clone());
                policy.insert(slots, slot, gone.is_empty());
                slot
            }
        };
        state.wheel.link(slot, entry.deadline, now);
        shard.publish(&state);
        Ok(())
    }

    fn reserve(&self, state: &State<V, K>, weight: u64, instead: Option<u64>) -> Result<(), Scarce> {
        if instead.is_none() && !state.slots.has_room() {
            return Err(Scarce::Entries);
        }
        self.budget.reserve(weight, instead)
    }

    /// Whether a shard, with a new entry of `weight`, would hold more than its part of the bound. If not, some
    /// other shard holds more than its own.
    fn is_over_share(&self, state: &State<V, K>, weight: u64, scarce: Scarce) -> bool {
        let State { slots, policy, .. } = state;
        let parts = self.shards.len() as u64;
        match scarce {
            Scarce::Bytes => policy.weight().saturating_add(weight) > self.budget.bytes.max / parts,
            Scarce::Entries => !slots.has_room() || policy.len() + 1 > self.budget.entries.max / parts,
        }
    }

    /// Evicts from the fullest shard but `own`. A batch at a time: the caller tries again, and comes back.
    fn make_room_elsewhere(
        &self,
        own: usize,
        weight: u64,
        scarce: Scarce,
        now: u64,
        gone: &mut Vec<Departed<V, K>>,
    ) {
        let held = |shard: &Shard<V, K>| match scarce {
            Scarce::Bytes => shard.bytes.load(Ordering::Relaxed),
            Scarce::Entries => shard.entries.load(Ordering::Relaxed),
        };
        let others = self.shards.iter().enumerate().filter(|(index, _)| *index != own);
        let Some((_, fullest)) = others.max_by_key(|(_, shard)| held(shard)) else { return };
        let mut state = fullest.lock();
        for _ in 0..BATCH {
            if self.budget.has_room(weight) || !self.evict(&mut state, NIL, now, gone) {
                break;
            }
        }
        fullest.publish(&state);
    }

    /// Evicts one entry other than that in slot `keep`. False if there is none.
    fn evict(&self, state: &mut State<V, K>, keep: u32, now: u64, gone: &mut Vec<Departed<V, K>>) -> bool {
        let State { slots, policy, .. } = state;
        let Some(entry) = policy.evict(slots, keep).and_then(|slot| slots.take(slot)) else { return false };
        state.wheel.unlink(entry.slot());
        self.map.remove(&entry);
        self.budget.give_back(entry.weight, 1);
        self.note(entry, EvictReason::Capacity, now, gone);
        true
    }

    /// Takes the entry in a slot out of everything.
    fn detach(&self, state: &mut State<V, K>, slot: u32) -> Option<Arc<Entry<V, K>>> {
        state.slots.get(slot)?;
        let State { slots, policy, .. } = state;
        policy.remove(slots, slot);
        let entry = slots.take(slot)?;
        state.wheel.unlink(slot);
        self.map.remove(&entry);
        self.budget.give_back(entry.weight, 1);
        Some(entry)
    }

    /// Takes out the entry under a key, if there is one.
    fn take<Q>(&self, hash: u64, key: &Q, reason: EvictReason, now: u64, gone: &mut Vec<Departed<V, K>>)
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let shard = &self.shards[self.index(hash)];
        let mut state = shard.lock();
        let found = self.map.find(hash, key);
        if let Some(entry) = found.and_then(|entry| self.detach(&mut state, entry.slot())) {
            shard.publish(&state);
            self.note(entry, reason, now, gone);
        }
    }

    /// Takes out an entry that a reader found dead, if nobody else has.
    fn collect(&self, dead: &Arc<Entry<V, K>>) {
        let mut gone = Vec::new();
        let shard = &self.shards[self.index(dead.hash)];
        let mut state = shard.lock();
        let still_there = state.slots.get(dead.slot()).is_some_and(|entry| Arc::ptr_eq(entry, dead));
        if still_there && let Some(entry) = self.detach(&mut state, dead.slot()) {
            shard.publish(&state);
            self.note(entry, EvictReason::Expired, dead.deadline, &mut gone);
        }
        drop(state);
        self.release(gone);
    }

    /// Counts an entry that left and keeps it for [`Store::release`]. What was dead when it left, has expired,
    /// whatever took it out.
    fn note(&self, entry: Arc<Entry<V, K>>, reason: EvictReason, now: u64, gone: &mut Vec<Departed<V, K>>) {
        let reason = if entry.is_dead(now) { EvictReason::Expired } else { reason };
        match reason {
            EvictReason::Capacity => self.evictions.fetch_add(1, Ordering::Relaxed),
            EvictReason::Expired => self.expired.fetch_add(1, Ordering::Relaxed),
            _ => 0,
        };
        gone.push((entry, reason));
    }

    /// Tells the listener what left, and lets go of it. Called with no lock held.
    fn release(&self, gone: Vec<Departed<V, K>>) {
        for (entry, reason) in gone {
            if let Some(listener) = &self.listener {
                listener(&entry.key, &entry.value, reason);
            }
        }
    }

    /// Sees to it that entries are collected at the end of their life.
    fn watch(&self) {
        if !self.watched.load(Ordering::Acquire) && !self.watched.swap(true, Ordering::AcqRel) {
            let me: Weak<Self> = self.me.clone();
            clock::register(me);
        }
    }

    fn is_idle(&self) -> bool {
        self.shards.iter().all(|shard| shard.lock().wheel.is_empty())
    }
}

impl<V, K> clock::Tick for Store<V, K>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    fn tick(&self) -> bool {
        // A listener or destructor that panics must not end the thread that all caches share; the panic hook
        // has reported it, and the store is whole, because no lock was held.
        let sweep = std::panic::AssertUnwindSafe(|| self.remove_expired(STEPS_PER_TICK));
        drop(std::panic::catch_unwind(sweep));
        if !self.is_idle() {
            return true;
        }
        self.watched.store(false, Ordering::Release);
        // What went in between the look and the store found us still watching.
        !self.is_idle() && !self.watched.swap(true, Ordering::AcqRel)
    }
}
