//! Who stays: one structure that can behave in many ways, and a contest that finds out which way fits.
//!
//! # The structure
//! New entries stand in a small first-in-first-out queue, those that have proven themselves in a main one. A hit
//! only counts, up to 3, and moves nothing. What reaches the end of the small queue goes on into main if it was
//! used, else it is evicted, and a ghost remembers its hash; what comes back while remembered goes into main at
//! once. What reaches the end of main goes round again for each use. While the cache is being filled, everything
//! goes into main: so a part of a loop larger than the cache stays and is hit, where LRU would have nothing.
//! Removing a slot, putting one in and each step of an eviction cost the same however many there are; an eviction
//! ends after 512 steps whatever readers do meanwhile.
//!
//! # The settings
//! The share of the small queue, how much it takes to get into main, how long the ghost remembers ([`config`]):
//! no setting of these is best everywhere. A small share and a narrow gate come near to the most popular keys,
//! and keep loops and scans out; a large share follows what drifts; and with one more rule, that what was used
//! returns to the head of the small queue and what was not passes through main, the same queues are an LRU whose
//! order is a quarter of the cache coarse.
//!
//! # The contest
//! Each setting has a miniature of the cache ([`simulation`]), which holds hashes and no values. They see the
//! hits and inserts of a sample of keys, chosen by their hash, and have room for the same part of the entries:
//! all keys of a cache of up to 2047 entries, 1024 to 2047 entries of a larger one, and from 65,536 entries on 1
//! in 64 up to 8191. After as many accesses as half of those entries (256 at least) their hits are compared,
//! those of earlier rounds weighing less and less, and the cache follows the best if that leads by 0.5 % of the
//! accesses ([`tuning`]). Nothing is moved for a change: the queues drift to their new parts by what comes and
//! goes.
//!
//! No lock is waited for: an access that meets another one is left out. A hit of a key outside the sample costs
//! one comparison. Where nearly everything is a hit, no more than 32 are simulated for each insert.
//!
//! # Memory
//! Up to 9 bytes a slot for the ghost after the first eviction (4 for each key that it can
//! remember, twice as many as entries). The miniatures together take some 250 bytes for each entry that is
//! simulated: a quarter of a MB for a cache of 1000 entries, 1 to 2 % of one of 64 MiB. Nothing is allocated
//! before the first insert, and where the bound is in bytes, before the first eviction.

mod config;
mod engine;
mod ghost;
mod queue;
mod simulation;
#[cfg(test)]
mod tests;
mod tuning;

use std::sync::Arc;

use engine::Engine;
pub(in crate::memory) use queue::Link;
pub(in crate::memory) use tuning::Tuning;

pub(in crate::memory) const NIL: u32 = u32::MAX;

/// After so many evictions it is looked whether entries have become larger or smaller.
const CHECK_EVERY: u32 = 1024;

/// Uses are counted up to this.
pub(in crate::memory) const MAX_USES: u8 = 3;

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
    /// Its neighbours in its queue, as the policy has set them: [`Link::LOOSE`] at first.
    fn link(&self, slot: u32) -> Link;
    fn set_link(&self, slot: u32, link: Link);
    /// Is told at each eviction of the slot that may go next, and of the one after it: so that what is looked at then
    /// can be fetched from memory until then.
    fn foresee(&self, _next: u32, _later: Option<u32>) {}
}

/// The policy of one shard, used under its lock.
pub(in crate::memory) struct Policy {
    engine: Engine,
    evictions: u32,
    tuning: Arc<Tuning>,
}

impl Policy {
    pub fn new(tuning: Arc<Tuning>) -> Self {
        Policy { engine: Engine::new(0x2545_f491), evictions: 0, tuning }
    }

    /// How many slots are in.
    pub fn len(&self) -> u64 {
        self.engine.len()
    }

    /// What they weigh together.
    pub fn weight(&self) -> u64 {
        self.engine.weight()
    }

    /// Has fetched what is looked at when a key comes in.
    pub fn prefetch(&self, hash: u32) {
        self.engine.prefetch(hash);
    }

    /// Takes in a new entry, whose uses are 0. `has_room`: nothing was evicted for it.
    pub fn insert(&mut self, r: &impl Residents, slot: u32, has_room: bool) {
        self.tuning.record_insert(r.hash(slot), || r.weight(slot));
        self.engine.insert(self.tuning.config(), r, slot, has_room);
    }

    /// Another entry of the same key is in the slot now.
    pub fn replaced(&mut self, r: &impl Residents, slot: u32, old_weight: u64, new_weight: u64) {
        self.engine.replaced(r, slot, old_weight, new_weight);
    }

    /// Takes a slot out; nothing remembers it.
    pub fn remove(&mut self, r: &impl Residents, slot: u32) {
        self.engine.remove(r, slot);
    }

    /// Takes out the slot that is worth least, but not `keep` (or [`NIL`]). None if there is no other.
    pub fn evict(&mut self, r: &impl Residents, keep: u32) -> Option<u32> {
        if self.evictions.is_multiple_of(CHECK_EVERY) {
            self.tuning.learn(self.len(), self.weight());
        }
        self.evictions = self.evictions.wrapping_add(1);
        self.engine.evict(self.tuning.config(), r, keep)
    }
}
