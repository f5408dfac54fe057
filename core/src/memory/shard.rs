//! One shard: what its lock protects. Entries go in and out here, each step in the order that keeps hosts right.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::budget::Scarce;
use super::departed::{Departed, EvictReason, Gone, Place};
use super::expiry::{Links, Mortal, Wheel};
use super::index::{Index, Whereabouts};
use super::orphans::Orphans;
use super::pins::Retired;
use super::policy::{Link, MAX_USES, Policy, Residents, Tuning};
use super::prefetch::prefetch;
use super::record::{Content, Numbers};
use super::store::Store;
use super::table::SlotTable;
use super::upkeep::Upkeep;
use crate::sync::RwLock;

/// So many slots are looked at for hits of a host at each insert.
const POLLED: u32 = 4;

#[repr(align(128))]
pub(super) struct Shard {
    pub state: RwLock<State>,
    /// Slots that became free where the lock could not be taken.
    pub orphans: Orphans,
    pub whereabouts: Whereabouts,
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
            whereabouts: Whereabouts::default(),
            bytes: AtomicU64::new(0),
            entries: AtomicU64::new(0),
        }
    }

    pub fn publish(&self, state: &State) {
        self.whereabouts.publish(&state.index);
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

    /// A free slot, and whether it was never used before.
    fn slot(&mut self) -> (u32, bool) {
        match self.free.pop() {
            Some(slot) => (slot, false),
            None => {
                self.end += 1;
                (self.end - 1, true)
            }
        }
    }
}

/// The entries of one shard, as its policy and its wheel see them.
pub(super) struct View<'a, V, K> {
    pub store: &'a Store<V, K>,
    pub shard: u32,
    pub index: Option<&'a Index>,
}

impl<V, K> View<'_, V, K> {
    fn place(&self, slot: u32) -> Place {
        Place { shard: self.shard, slot }
    }

    fn upkeep(&self, slot: u32) -> &Upkeep {
        self.store.upkeep(self.place(slot))
    }

    /// Where the upkeep of a slot is, if it is one.
    fn upkeep_at(&self, slot: u32) -> *const Upkeep {
        self.store.upkeep_at(self.place(slot))
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
        if self.store.budget.bytes.max == u64::MAX { 1 } else { self.upkeep(slot).weight() }
    }

    fn hash(&self, slot: u32) -> u32 {
        self.upkeep(slot).hash()
    }

    fn link(&self, slot: u32) -> Link {
        self.upkeep(slot).queued()
    }

    fn set_link(&self, slot: u32, link: Link) {
        self.upkeep(slot).set_queued(link);
    }

    fn foresee(&self, next: u32, later: Option<u32>) {
        if let Some(later) = later {
            let place = self.place(later);
            prefetch(self.store.record(place));
            prefetch(self.store.upkeep(place));
            if let Some(host) = self.store.host.get() {
                host.prefetch(self.store.global(place));
            }
        }
        let upkeep = self.upkeep(next);
        if let Some(index) = self.index {
            index.prefetch(upkeep.hash());
        }
        let Links { prev, next } = upkeep.due();
        prefetch(self.upkeep_at(prev));
        prefetch(self.upkeep_at(next));
    }
}

impl<V, K> Mortal for View<'_, V, K> {
    fn deadline(&self, slot: u32) -> u64 {
        self.store.record(self.place(slot)).deadline()
    }

    fn bucket(&self, slot: u32) -> u16 {
        self.upkeep(slot).bucket()
    }

    fn set_bucket(&self, slot: u32, bucket: u16) {
        self.upkeep(slot).set_bucket(bucket);
    }

    fn links(&self, slot: u32) -> Links {
        self.upkeep(slot).due()
    }

    fn set_links(&self, slot: u32, links: Links) {
        self.upkeep(slot).set_due(links);
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
        let slot = self.free_slot(state, shard);
        if self.is_indexed {
            let State { index, end, .. } = state;
            index.insert(numbers.hash, slot, || self.indexed(shard, *end));
        }
        self.fill(state, Place { shard, slot }, numbers, content);
        self.enlist(state, Place { shard, slot }, has_room, now);
        slot
    }

    fn free_slot(&self, state: &mut State, shard: u32) -> u32 {
        let (slot, is_new) = state.slot();
        if is_new {
            self.reached(Place { shard, slot });
        }
        slot
    }

    /// The live entries of a shard, all slots of which lie below `end`, and their hashes.
    fn indexed(&self, shard: u32, end: u32) -> impl Iterator<Item = (u32, u32)> {
        let places = (0..end).map(move |slot| Place { shard, slot });
        let live = places.filter(|place| self.record(*place).is_live());
        live.map(|place| (place.slot, self.upkeep(place).hash()))
    }

    /// Fills a free slot.
    fn fill(&self, state: &mut State, place: Place, numbers: &Numbers, content: Content<V, K>) {
        let record = self.record(place);
        // SAFETY: the slot came from the free list or was just retired and taken, and we hold the shard's lock.
        unsafe { record.write(numbers, content) };
        self.upkeep(place).fill(numbers.hash, numbers.weight);
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
            if !record.is_live() || visited <= record.uses() {
                continue;
            }
            let upkeep = self.upkeep(place);
            let hash = u64::from(upkeep.hash());
            if self.tuning.is_sampled(hash) {
                self.tuning.record(hash, upkeep.weight());
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
        let (uses, old_weight) = (view.uses(old.slot), self.upkeep(old).weight());
        let reason = if record.deadline() <= now { EvictReason::Expired } else { EvictReason::Replaced };
        // A write is a use too.
        let numbers = Numbers { uses: uses.saturating_add(1).min(MAX_USES), ..*numbers };
        state.wheel.unlink(&view, old.slot);
        state.bytes -= old_weight;
        self.dismiss(old, gone);
        match self.upkeep(old).pins.retire() {
            Retired::Writer => {
                // SAFETY: `retire` has made us the one that takes it.
                self.note(Departed::Owned(unsafe { record.take() }), reason, gone);
                let (old_share, new_share) = self.shares(old_weight, u64::from(numbers.weight));
                self.fill(state, old, &numbers, content);
                state.policy.replaced(&view, old.slot, old_share, new_share);
                state.wheel.link(&view, old.slot, now);
                old.slot
            }
            Retired::LastReader => {
                // Its readers keep the slot: the new one gets another, and begins anew in the policy.
                state.policy.remove(&view, old.slot);
                self.note(Departed::Pinned(old), reason, gone);
                let new = Place { shard: old.shard, slot: self.free_slot(state, old.shard) };
                if self.is_indexed {
                    let State { index, end, .. } = state;
                    index.replace(numbers.hash, old.slot, new.slot, || self.indexed(old.shard, *end));
                }
                self.fill(state, new, &numbers, content);
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
        let view = View { index: self.is_indexed.then_some(&state.index), ..self.view(keep.shard) };
        let Some(slot) = state.policy.evict(&view, keep.slot) else { return false };
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
        let (record, upkeep) = (self.record(place), self.upkeep(place));
        let reason = if record.deadline() <= now { EvictReason::Expired } else { reason };
        state.wheel.unlink(&self.view(place.shard), place.slot);
        if self.is_indexed {
            state.index.remove(upkeep.hash(), place.slot);
        }
        let weight = upkeep.weight();
        state.bytes -= weight;
        self.dismiss(place, gone);
        let departed = match upkeep.pins.retire() {
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
