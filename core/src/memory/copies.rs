//! Decoded copies that a host keeps of values that lie here: who may keep one, and what it costs.

use std::borrow::Borrow;
use std::hash::Hash;

use super::departed::{EvictReason, Gone, Place};
use super::policy::NIL;
use super::store::{Found, Store};
use super::table::{Copy, SlotRef, SlotTable};

impl<V, K> Store<V, K>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// Makes the slot table for a host. False where there is no room for it.
    pub fn attach_host(&self) -> bool {
        if self.host.get().is_none()
            && let Some(table) = SlotTable::new(self.slots(), self.clock.now_ms())
        {
            // A second caller at the same time made the same.
            drop(self.host.set(table));
        }
        self.host.get().is_some()
    }

    /// The live entry under a key, noted and counted, and leave to copy it. `terms` says until when a copy may be
    /// used and what it weighs; `None` is no copy.
    pub fn read_to_copy<Q>(
        &self,
        key: &Q,
        terms: impl FnOnce(&V) -> Option<(u64, u64)>,
    ) -> Option<(Found<'_, V, K>, Option<Copy>)>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let found = self.read(key)?;
        let copy = match self.host.get() {
            Some(host) => terms(found.value()).and_then(|(until, weight)| self.grant(host, &found, until, weight)),
            None => None,
        };
        Some((found, copy))
    }

    fn grant(&self, host: &SlotTable, found: &Found<'_, V, K>, until: u64, weight: u64) -> Option<Copy> {
        let now = self.clock.now_ms();
        if until <= now || !(found.has_copy() || self.charge(found, weight)) {
            return None;
        }
        let slot = self.global(found.place());
        // In this order: what takes the entry out ends its life first, and then bumps the generation.
        let generation = host.generation(slot);
        host.set_now(now);
        found.pins.is_live().then(|| Copy { at: SlotRef { slot, generation }, until: host.until(until, now) })
    }

    /// Adds the weight of a copy to an entry. False where there is no room, or the entry has left.
    fn charge(&self, found: &Found<'_, V, K>, weight: u64) -> bool {
        let Place { shard, slot } = found.place();
        let now = self.clock.now_ms();
        let mut gone = Gone::default();
        let mut state = self.lock(shard);
        let charged = loop {
            if !found.pins.is_live() {
                break false;
            }
            if found.has_copy() {
                break true;
            }
            let (old, new) = (found.weight(), found.weight().saturating_add(weight));
            let Ok(new_number) = u32::try_from(new) else { break false };
            // A copy is an extra: one that would take most of a shard is not worth it.
            if new > self.budget.bytes.max / (2 * self.shards.len() as u64) {
                break false;
            }
            if self.budget.bytes.exchange(old, new) {
                let (old_share, new_share) = self.shares(old, new);
                state.policy.replaced(slot, old_share, new_share);
                state.bytes += weight;
                found.set_weight(new_number);
                found.set_copy(true);
                break true;
            }
            if !self.evict(&mut state, shard, slot, now, &mut gone) {
                break false;
            }
        };
        self.publish(shard, state);
        self.release(gone);
        charged
    }

    /// Takes out what lies in a slot, if it is still of that generation.
    pub fn remove_slot(&self, at: SlotRef, reason: EvictReason, gone: &mut Gone<V, K>) -> bool {
        let Some(place) = self.place_of(at.slot) else { return false };
        let mut state = self.lock(place.shard);
        let there = self.slot_of(at) != NIL;
        if there {
            self.detach(&mut state, place, reason, self.clock.now_ms(), gone);
        }
        self.publish(place.shard, state);
        there
    }

    /// The slot in its shard of a live entry of that generation, or [`NIL`]. The caller holds the shard's lock.
    pub fn slot_of(&self, at: SlotRef) -> u32 {
        match (self.place_of(at.slot), self.host.get()) {
            (Some(place), Some(host))
                if self.record(place).pins.is_live() && host.generation(at.slot) == at.generation =>
            {
                place.slot
            }
            _ => NIL,
        }
    }
}
