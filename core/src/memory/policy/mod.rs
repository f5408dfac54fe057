//! Who stays.

mod config;
mod engine;
mod ghost;
mod queue;
mod simulation;
mod tuning;

use std::sync::Arc;

use engine::Engine;
pub(in crate::memory) use tuning::Tuning;

pub(in crate::memory) const NIL: u32 = u32::MAX;

/// What the policy asks of the entries: implemented by the store.
pub(in crate::memory) trait Residents {
    /// How often an entry was used since the policy last looked: 0 to 3.
    fn uses(&self, slot: u32) -> u8;
    /// Takes uses away.
    fn set_uses(&self, slot: u32, uses: u8);
    /// Bytes, or 1 each where only entries are bounded.
    fn weight(&self, slot: u32) -> u64;
    /// The lower half of the key's hash, well mixed.
    fn hash(&self, slot: u32) -> u32;
}

/// The policy of one shard, used under its lock.
pub(in crate::memory) struct Policy {
    engine: Engine,
    tuning: Arc<Tuning>,
}

impl Policy {
    pub fn new(tuning: Arc<Tuning>) -> Self {
        Policy { engine: Engine::new(0x2545_f491), tuning }
    }

    /// How many slots are in.
    pub fn len(&self) -> u64 {
        self.engine.queues.len()
    }

    /// What they weigh together.
    pub fn weight(&self) -> u64 {
        self.engine.queues.weight()
    }

    /// Takes in a new entry, whose uses are 0. `has_room`: nothing needed to be evicted for it.
    pub fn insert(&mut self, r: &impl Residents, slot: u32, has_room: bool) {
        let hash = u64::from(r.hash(slot));
        if self.tuning.is_sampled(hash) {
            self.tuning.record(hash, r.weight(slot));
        }
        self.engine.insert(self.tuning.config(), r, slot, has_room);
    }

    /// Another entry of the same key is in the slot now.
    pub fn replaced(&mut self, slot: u32, old_weight: u64, new_weight: u64) {
        self.engine.replaced(slot, old_weight, new_weight);
    }

    /// Takes a slot out; nothing remembers it.
    pub fn remove(&mut self, r: &impl Residents, slot: u32) {
        self.engine.remove(r, slot);
    }

    /// Takes out the slot that is worth least, but not `keep` (or [`NIL`]). None if there is no other.
    pub fn evict(&mut self, r: &impl Residents, keep: u32) -> Option<u32> {
        self.engine.evict(self.tuning.config(), r, keep)
    }

    /// Takes all slots out.
    pub fn clear(&mut self) {
        self.engine.clear();
    }
}
