//! Decoded copies that a host keeps of values that lie here: who may keep one, and what it costs.

use std::borrow::Borrow;
use std::hash::Hash;

use super::departed::{EvictReason, Gone, Place};
use super::policy::NIL;
use super::store::Store;
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

    /// A clone of the live value under a key, noted and counted, and leave to copy it. `terms` says until when a
    /// copy may be used and what it weighs; `None` is no copy. It and the clone run under the shard's lock, so `V` is
    /// a type of our own.
    pub fn get_to_copy<Q>(
        &self,
        key: &Q,
        terms: impl FnOnce(&V) -> Option<(u64, u64)>,
    ) -> Option<(V, Option<Copy>)>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
        V: Clone,
    {
        let host = self.host.get();
        let (value, wanted) = self.find(key, |place, record| {
            // SAFETY: the record is in the index, and the lock is held.
            let value = &unsafe { record.content() }.value;
            let wanted = host.and_then(|host| {
                let (until, weight) = terms(value)?;
                let slot = self.global(place);
                // Under the lock, so the generation is that of this entry.
                Some((SlotRef { slot, generation: host.generation(slot) }, until, weight, record.has_copy()))
            });
            (value.clone(), wanted)
        })?;
        let copy = wanted.zip(host).and_then(|((at, until, weight, charged), host)| {
            let now = self.clock.now_ms();
            if until <= now || !(charged || self.charge(at, weight)) {
                return None;
            }
            host.set_now(now);
            Some(Copy { at, until: host.until(until, now) })
        });
        Some((value, copy))
    }

    /// Ends all copies: hosts ask anew. The entries stay, and so does what was charged for their copies.
    pub fn end_copies(&self) {
        let Some(host) = self.host.get() else { return };
        for shard in 0..self.shard_count() {
            let state = self.lock(shard);
            let slots = 0..state.end();
            let copied = slots.map(|slot| Place { shard, slot }).filter(|place| {
                let record = self.record(*place);
                record.is_live() && record.has_copy()
            });
            let dead: Vec<SlotRef> = copied.map(|place| host.bump(self.global(place))).collect();
            self.publish(shard, state);
            host.report(&dead);
        }
    }

    /// Adds the weight of a copy to an entry. False where there is no room, or the entry has left.
    fn charge(&self, at: SlotRef, weight: u64) -> bool {
        let Some(Place { shard, slot }) = self.place_of(at.slot) else { return false };
        let now = self.clock.now_ms();
        let mut gone = Gone::default();
        let mut state = self.lock(shard);
        let (record, upkeep) = (self.record(Place { shard, slot }), self.upkeep(Place { shard, slot }));
        let charged = loop {
            if self.slot_of(at) == NIL {
                break false;
            }
            if record.has_copy() {
                break true;
            }
            let old = upkeep.weight();
            let new = old.saturating_add(weight);
            let Ok(new_number) = u32::try_from(new) else { break false };
            // A copy is an extra: one that would take most of a shard is not worth it.
            if new > self.budget.bytes.max / (2 * self.shards.len() as u64) {
                break false;
            }
            if self.budget.bytes.exchange(old, new) {
                let (old_share, new_share) = self.shares(old, new);
                state.policy.replaced(&self.view(shard), slot, old_share, new_share);
                state.bytes += weight;
                upkeep.set_weight(new_number);
                record.set_copied();
                break true;
            }
            if !self.evict(&mut state, Place { shard, slot }, now, &mut gone) {
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
                if self.record(place).is_live() && host.generation(at.slot) == at.generation =>
            {
                place.slot
            }
            _ => NIL,
        }
    }
}
