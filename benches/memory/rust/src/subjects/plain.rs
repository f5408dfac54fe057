//! Caches that are read without a look at the time.

use std::sync::{Mutex, PoisonError};

use super::{Cache, Hasher};
use crate::workload::{Key, Value};

/// A concurrent map that never forgets: the floor.
pub struct DashMap(dashmap::DashMap<Key, Value, Hasher>);

impl Cache for DashMap {
    const NAME: &'static str = "dashmap";
    const BOUNDED: bool = false;

    fn open(_entries: u32) -> Self {
        DashMap(dashmap::DashMap::with_hasher(Hasher::default()))
    }

    fn get(&self, key: &Key) -> Option<Value> {
        self.0.get(key).map(|entry| entry.value().clone())
    }

    fn put(&self, key: Key, value: Value) {
        self.0.insert(key, value);
    }

    fn entries(&self) -> usize {
        self.0.len()
    }
}

/// quick_cache as it comes: nothing expires.
pub struct QuickCache(quick_cache::sync::Cache<Key, Value, quick_cache::UnitWeighter, Hasher>);

impl Cache for QuickCache {
    const NAME: &'static str = "quick_cache";

    fn open(entries: u32) -> Self {
        QuickCache(quick_cache_of(entries))
    }

    fn get(&self, key: &Key) -> Option<Value> {
        self.0.get(key)
    }

    fn put(&self, key: Key, value: Value) {
        self.0.insert(key, value);
    }

    fn entries(&self) -> usize {
        self.0.len()
    }
}

pub fn quick_cache_of<V: Clone>(
    entries: u32,
) -> quick_cache::sync::Cache<Key, V, quick_cache::UnitWeighter, Hasher> {
    let weighter = quick_cache::UnitWeighter;
    let lifecycle = quick_cache::sync::DefaultLifecycle::default();
    quick_cache::sync::Cache::with(entries as usize, u64::from(entries), weighter, Hasher::default(), lifecycle)
}

/// foyer's memory tier by S3-FIFO: nothing expires.
pub struct Foyer(foyer_memory::Cache<Key, Value, Hasher>);

impl Cache for Foyer {
    const NAME: &'static str = "foyer-s3fifo";

    fn open(entries: u32) -> Self {
        Foyer(foyer_of(entries))
    }

    fn get(&self, key: &Key) -> Option<Value> {
        self.0.get(key).map(|entry| entry.value().clone())
    }

    fn put(&self, key: Key, value: Value) {
        self.0.insert(key, value);
    }

    fn entries(&self) -> usize {
        self.0.entries()
    }
}

pub fn foyer_of<V: Send + Sync + 'static>(entries: u32) -> foyer_memory::Cache<Key, V, Hasher> {
    foyer_memory::CacheBuilder::new(entries as usize)
        .with_eviction_config(foyer_memory::S3FifoConfig::default())
        .with_hash_builder(Hasher::default())
        .build()
}

/// One list behind one lock.
pub struct MutexLru(Mutex<lru::LruCache<Key, Value, Hasher>>);

impl Cache for MutexLru {
    const NAME: &'static str = "mutex-lru";

    fn open(entries: u32) -> Self {
        let entries = std::num::NonZeroUsize::new(entries as usize).expect("room for one at least");
        MutexLru(Mutex::new(lru::LruCache::with_hasher(entries, Hasher::default())))
    }

    fn get(&self, key: &Key) -> Option<Value> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    fn put(&self, key: Key, value: Value) {
        // What was evicted is dropped after the lock.
        let _evicted = self.0.lock().unwrap_or_else(PoisonError::into_inner).push(key, value);
    }

    fn entries(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}
