//! One shard: what its lock protects. Entries go in and out here, each step in the order that keeps hosts right.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::budget::Scarce;
use super::departed::{Departed, EvictReason, Gone, Place};
use super::expiry::{Mortal, Wheel};
use super::index::Index;
use super::orphans::Orphans;
use super::pins::Retired;
use super::policy::{MAX_USES, Policy, Residents, Tuning};
use super::record::{Content, Numbers};
use super::store::Store;
use super::table::SlotTable;
use crate::sync::RwLock;

/// So many slots are looked at for hits of a host at each insert.
const POLLED: u32 = 4;

#[repr(align(128))]
pub(super) struct Shard {
    pub state: RwLock<State>,
    /// Slots that became free where the lock could not be taken.
    pub orphans: Orphans,
    /// What it holds, for others to see who has too much.
    bytes: AtomicU64,
    entries: AtomicU64,
}

pub(super) struct State {
    pub policy: Policy,
    pub wheel: Wheel,
    pub index: Index,
    /// The weight of all entries, which the policy may count otherwise.
    pub bytes: u64,
    free: Vec<u32>,
    /// No slot from this one on was ever used.
    end: u32,
    /// Where [`Store::poll`] goes on.
    cursor: u32,
}

impl Shard {
    pub fn new(tuning: &Arc<Tuning>) -> Self {
        Shard {
            state: RwLock::new(State {
                policy: Policy::new(tuning.clone()),
                wheel: Wheel::default(),
                index: Index::new(),
                bytes: 0,
                free: Vec::new(),
                end: 0,
                cursor: 0,
            }),
            orphans: Orphans::default(),
            bytes: AtomicU64::new(0),
            entries: AtomicU64::new(0),
        }
    }

    pub fn publish(&self, state: &State) {
        self.bytes.store(state.bytes, Ordering::Relaxed);
        self.entries.store(state.policy.len(), Ordering::Relaxed);
    }

    pub fn holds(&self, what: Scarce) -> u64 {
        match what {
            Scarce::Bytes => self.bytes.load(Ordering::Relaxed),
            Scarce::Entries => self.entries.load(Ordering::Relaxed),
        }
    }
}

impl State {
    /// Every slot ever used lies below.
    pub fn end(&self) -> u32 {
        self.end
    }

    pub fn has_slot(&self, limit: u32) -> bool {
        !self.free.is_empty() || self.end < limit
    }

    pub fn free(&mut self, slot: u32) {
        self.free.push(slot);
    }

    fn slot(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.end += 1;
            self.end - 1
        })
    }
}

/// The entries of one shard, as its policy and its wheel see them.
pub(super) struct View<'a, V, K> {
    pub store: &'a Store<V, K>,
    pub shard: u32,
}

impl<V, K> View<'_, V, K> {
    fn place(&self, slot: u32) -> Place {
        Place { shard: self.shard, slot }
    }
}

impl<V, K> Residents for View<'_, V, K> {
    fn uses(&self, slot: u32) -> u8 {
        let place = self.place(slot);
        let own = self.store.record(place).uses();
        match self.store.host.get() {
            Some(host) => own.max(host.visited(self.store.global(place))),
            None => own,
        }
    }

    fn set_uses(&self, slot: u32, uses: u8) {
        let place = self.place(slot);
        self.store.record(place).set_uses(uses);
        if let Some(host) = self.store.host.get() {
            host.set_visited(self.store.global(place), uses);
        }
    }

    fn weight(&self, slot: u32) -> u64 {
        // Where only entries are bounded, one is worth as much as another.
        if self.store.budget.bytes.max == u64::MAX { 1 } else { self.store.record(self.place(slot)).weight() }
    }

    fn hash(&self, slot: u32) -> u32 {
        self.store.record(self.place(slot)).hash()
    }
}

impl<V, K> Mortal for View<'_, V, K> {
    fn deadline(&self, slot: u32) -> u64 {
        self.store.record(self.place(slot)).deadline()
    }

    fn bucket(&self, slot: u32) -> u16 {
        self.store.record(self.place(slot)).bucket()
    }

    fn set_bucket(&self, slot: u32, bucket: u16) {
        self.store.record(self.place(slot)).set_bucket(bucket);
    }
}

impl<V, K> Store<V, K>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// Puts an entry into a slot of its own. Its room has been reserved.
    pub(super) fn add(
        &self,
        state: &mut State,
        shard: u32,
        numbers: &Numbers,
        content: Content<V, K>,
        has_room: bool,
        now: u64,
    ) -> u32 {
        let slot = state.slot();
        self.fill(state, Place { shard, slot }, numbers, content);
        if self.is_indexed {
            state.index.insert(numbers.hash, slot);
        }
        self.enlist(state, Place { shard, slot }, has_room, now);
        slot
    }

    /// Fills a free slot.
    fn fill(&self, state: &mut State, place: Place, numbers: &Numbers, content: Content<V, K>) {
        let record = self.record(place);
        // SAFETY: the slot came from the free list or was just retired and taken, and we hold the shard's lock.
        unsafe { record.write(numbers, content) };
        if let Some(host) = self.host.get() {
            host.bump(self.global(place));
        }
        state.bytes += u64::from(numbers.weight);
    }

    fn enlist(&self, state: &mut State, place: Place, has_room: bool, now: u64) {
        let view = self.view(place.shard);
        state.policy.insert(&view, place.slot, has_room);
        state.wheel.link(&view, place.slot, now);
        if let Some(host) = self.host.get() {
            self.poll(host, state, place.shard);
        }
    }

    /// Has the policy's simulations see hits that a host counted by itself: a few slots at each insert, round and
    /// round. The record remembers what had been counted when we last looked.
    fn poll(&self, host: &SlotTable, state: &mut State, shard: u32) {
        for _ in 0..POLLED.min(state.end) {
            let place = Place { shard, slot: state.cursor };
            state.cursor = if state.cursor + 1 < state.end { state.cursor + 1 } else { 0 };
            let (record, slot) = (self.record(place), self.global(place));
            let visited = host.visited(slot);
            if record.is_live() && visited > record.uses() && self.tuning.is_sampled(u64::from(record.hash())) {
                self.tuning.record(u64::from(record.hash()), record.weight());
                // At the most, one less: so that the next hit shows.
                let seen = visited.min(MAX_USES - 1);
                record.set_uses(seen);
                host.set_visited(slot, seen);
            }
        }
    }

    /// Puts an entry in the place of another, whose room it was given.
    pub(super) fn replace(
        &self,
        state: &mut State,
        old: Place,
        numbers: &Numbers,
        content: Content<V, K>,
        now: u64,
        gone: &mut Gone<V, K>,
    ) -> u32 {
        let view = self.view(old.shard);
        let record = self.record(old);
        let (uses, old_weight) = (view.uses(old.slot), record.weight());
        let reason = if record.deadline() <= now { EvictReason::Expired } else { EvictReason::Replaced };
        // A write is a use too.
        let numbers = Numbers { uses: uses.saturating_add(1).min(MAX_USES), ..*numbers };
        state.wheel.unlink(&view, old.slot);
        state.bytes -= old_weight;
        self.dismiss(old, gone);
        match record.pins.retire() {
            Retired::Writer => {
                // SAFETY: `retire` has made us the one that takes it.
                self.note(Departed::Owned(unsafe { record.take() }), reason, gone);
                let (old_share, new_share) = self.shares(old_weight, u64::from(numbers.weight));
                self.fill(state, old, &numbers, content);
                state.policy.replaced(old.slot, old_share, new_share);
                state.wheel.link(&view, old.slot, now);
                old.slot
            }
            Retired::LastReader => {
                // Its readers keep the slot: the new one gets another, and begins anew in the policy.
                state.policy.remove(&view, old.slot);
                self.note(Departed::Pinned(old), reason, gone);
                let new = Place { shard: old.shard, slot: state.slot() };
                self.fill(state, new, &numbers, content);
                if self.is_indexed {
                    state.index.replace(numbers.hash, old.slot, new.slot);
                }
                self.enlist(state, new, false, now);
                new.slot
            }
        }
    }

    /// What weights count for the policy.
    pub(super) fn shares(&self, old: u64, new: u64) -> (u64, u64) {
        if self.budget.bytes.max == u64::MAX { (1, 1) } else { (old, new) }
    }

    /// Evicts one entry of the shard of `keep`, with its copy if it has one, but not that in the slot of `keep`. False
    /// if there is none.
    pub(super) fn evict(&self, state: &mut State, keep: Place, now: u64, gone: &mut Gone<V, K>) -> bool {
        let Some(slot) = state.policy.evict(&self.view(keep.shard), keep.slot) else { return false };
        self.leave(state, Place { slot, ..keep }, EvictReason::Capacity, now, gone);
        true
    }

    /// Takes a live entry out of everything.
    pub(super) fn detach(
        &self,
        state: &mut State,
        place: Place,
        reason: EvictReason,
        now: u64,
        gone: &mut Gone<V, K>,
    ) {
        state.policy.remove(&self.view(place.shard), place.slot);
        self.leave(state, place, reason, now, gone);
    }

    /// Takes a live entry, which the policy has let go, out of everything else. What was dead when it left, has
    /// expired, whatever took it out.
    fn leave(&self, state: &mut State, place: Place, reason: EvictReason, now: u64, gone: &mut Gone<V, K>) {
        let record = self.record(place);
        let reason = if record.deadline() <= now { EvictReason::Expired } else { reason };
        state.wheel.unlink(&self.view(place.shard), place.slot);
        if self.is_indexed {
            state.index.remove(record.hash(), place.slot);
        }
        let weight = record.weight();
        state.bytes -= weight;
        self.dismiss(place, gone);
        let departed = match record.pins.retire() {
            Retired::Writer => {
                // SAFETY: `retire` has made us the one that takes it.
                let content = unsafe { record.take() };
                state.free(place.slot);
                Departed::Owned(content)
            }
            Retired::LastReader => Departed::Pinned(place),
        };
        // Only now: the room is free when a host can no longer answer with the entry.
        self.budget.give_back(weight, 1);
        self.note(departed, reason, gone);
    }

    /// Ends the life of a record, and kills its copies.
    fn dismiss(&self, place: Place, gone: &mut Gone<V, K>) {
        let record = self.record(place);
        let copied = !self.is_indexed || record.has_copy();
        record.end();
        if let Some(host) = self.host.get() {
            let dead = host.bump(self.global(place));
            // Of entries without an index the host has all.
            if copied {
                gone.dead.push(dead);
            }
        }
    }
}
