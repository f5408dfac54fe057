//! The concurrent map: DashMap's shards, used through its raw interface, so that an entry is one allocation
//! (key and value), is hashed once per call, and is found by its own identity where no user code should run.
//!
//! Every change to an entry is made under the lock of its policy shard (see `store`), so what a holder of that
//! lock found here is still here at its next call. The locks of this file are held for one table operation
//! and never leave a function. The only user code under them is `Eq` of keys, in [`Map::find`], before
//! anything has changed; the hash is computed before.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;

use dashmap::{DashMap, SharedValue};

use super::entry::Entry;

pub(super) struct Map<V, K> {
    /// Keyed at random per cache: no request can choose keys that collide.
    seed: RandomState,
    /// Its "keys" are hashes: most strangers are passed over, and a table grows, without a look at the entries.
    table: DashMap<u64, Arc<Entry<V, K>>, RandomState>,
}

impl<V, K> Map<V, K> {
    /// A map of `shards` parts, a power of two.
    pub fn new(shards: usize) -> Self {
        let seed = RandomState::new();
        // DashMap has two shards or more.
        let table = DashMap::with_hasher_and_shard_amount(seed.clone(), shards.max(2));
        Map { seed, table }
    }

    pub fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> u64 {
        self.seed.hash_one(key)
    }

    /// The part in which a hash lies.
    pub fn part_of(&self, hash: u64) -> usize {
        #[expect(clippy::cast_possible_truncation, reason = "DashMap picks a shard by the word-sized hash")]
        self.table.determine_shard(hash as usize)
    }

    pub fn find<Q>(&self, hash: u64, key: &Q) -> Option<Arc<Entry<V, K>>>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let part = self.table.shards()[self.part_of(hash)].read();
        let found = part.get(hash, |(other, entry)| *other == hash && entry.get().key.borrow() == key);
        found.map(|(_, entry)| entry.get().clone())
    }

    /// Puts in an entry whose key is not there.
    pub fn insert(&self, entry: Arc<Entry<V, K>>) {
        let hash = entry.hash;
        let mut part = self.table.shards()[self.part_of(hash)].write();
        part.insert(hash, (hash, SharedValue::new(entry)), |(hash, _)| *hash);
    }

    /// Puts `new` in the place of `old`, which has the same key: a reader finds one or the other. The caller
    /// holds `old`, so nothing of the user's is dropped under the lock.
    pub fn replace(&self, old: &Arc<Entry<V, K>>, new: Arc<Entry<V, K>>) {
        let mut part = self.table.shards()[self.part_of(old.hash)].write();
        match part.get_mut(old.hash, |(_, entry)| Arc::ptr_eq(entry.get(), old)) {
            Some((_, entry)) => *entry.get_mut() = new,
            None => debug_assert!(false, "an entry in the policy is in the map"),
        }
    }

    /// Takes out this very entry, which the caller holds.
    pub fn remove(&self, entry: &Arc<Entry<V, K>>) {
        let mut part = self.table.shards()[self.part_of(entry.hash)].write();
        let removed = part.remove_entry(entry.hash, |(_, other)| Arc::ptr_eq(other.get(), entry));
        debug_assert!(removed.is_some(), "an entry in the policy is in the map");
    }

    /// How many parts there are.
    pub fn parts(&self) -> usize {
        self.table.shards().len()
    }

    /// Empties a part. Returns what was in it, to be dropped without a lock.
    pub fn clear(&self, part: usize) -> impl Sized + use<V, K> {
        std::mem::take(&mut *self.table.shards()[part].write())
    }
}
