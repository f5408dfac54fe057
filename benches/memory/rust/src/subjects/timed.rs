//! Caches whose entries have a life. Ours and moka's see to it themselves; for the others it stands beside the
//! value, and every hit compares it with `Instant::now()`.

use std::time::Instant;

use scrubjay::MemoryCache;

use super::plain::{foyer_of, quick_cache_of};
use super::{Cache, Hasher, TTL};
use crate::workload::{Key, Value};

/// Ours.
pub struct Scrubjay(MemoryCache<Value, Key>);

impl Cache for Scrubjay {
    const NAME: &'static str = "scrubjay";

    fn open(entries: u32) -> Self {
        Scrubjay(MemoryCache::builder().max_entries(u64::from(entries)).build())
    }

    fn get(&self, key: &Key) -> Option<Value> {
        self.0.get(key)
    }

    fn put(&self, key: Key, value: Value) {
        self.0.set(&key, value, TTL).expect("a good ttl");
    }

    fn entries(&self) -> usize {
        self.0.len()
    }
}

/// moka with its own time to live.
pub struct MokaTtl(moka::sync::Cache<Key, Value, Hasher>);

impl Cache for MokaTtl {
    const NAME: &'static str = "moka+ttl";

    fn open(entries: u32) -> Self {
        let builder = moka::sync::Cache::builder().max_capacity(u64::from(entries)).time_to_live(TTL);
        MokaTtl(builder.build_with_hasher(Hasher::default()))
    }

    fn get(&self, key: &Key) -> Option<Value> {
        self.0.get(key)
    }

    fn put(&self, key: Key, value: Value) {
        self.0.insert(key, value);
    }

    fn entries(&self) -> usize {
        self.0.run_pending_tasks();
        usize::try_from(self.0.entry_count()).unwrap_or(usize::MAX)
    }
}

/// A value, and when it dies.
type Mortal = (Instant, Value);

fn mortal(value: Value) -> Mortal {
    (Instant::now() + TTL, value)
}

/// quick_cache with a deadline beside each value.
pub struct QuickCacheTtl(quick_cache::sync::Cache<Key, Mortal, quick_cache::UnitWeighter, Hasher>);

impl Cache for QuickCacheTtl {
    const NAME: &'static str = "quick_cache+ttl";

    fn open(entries: u32) -> Self {
        QuickCacheTtl(quick_cache_of(entries))
    }

    fn get(&self, key: &Key) -> Option<Value> {
        let (dies, value) = self.0.get(key)?;
        if Instant::now() < dies {
            return Some(value);
        }
        self.0.remove(key);
        None
    }

    fn put(&self, key: Key, value: Value) {
        self.0.insert(key, mortal(value));
    }

    fn entries(&self) -> usize {
        self.0.len()
    }
}

/// foyer by S3-FIFO with a deadline beside each value.
pub struct FoyerTtl(foyer_memory::Cache<Key, Mortal, Hasher>);

impl Cache for FoyerTtl {
    const NAME: &'static str = "foyer-s3fifo+ttl";

    fn open(entries: u32) -> Self {
        FoyerTtl(foyer_of(entries))
    }

    fn get(&self, key: &Key) -> Option<Value> {
        let entry = self.0.get(key)?;
        let (dies, value) = entry.value();
        if Instant::now() < *dies {
            return Some(value.clone());
        }
        self.0.remove(key);
        None
    }

    fn put(&self, key: Key, value: Value) {
        self.0.insert(key, mortal(value));
    }

    fn entries(&self) -> usize {
        self.0.entries()
    }
}
