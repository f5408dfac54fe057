//! The caches that are compared, behind one face.
//!
//! Each is single and unsharded where it can be told so, hashes keys with foldhash from a fixed seed, and has its
//! default parameters otherwise. Bounds are in entries, or in bytes where the trace has sizes.

mod lru;
mod scrubjay;

use foldhash::fast::FixedState;

pub use self::lru::Lru;
pub use self::scrubjay::Scrubjay;

/// A bounded cache of object sizes under keys.
pub trait Policy {
    /// Whether `key` is held; a use of it.
    fn get(&mut self, key: u32) -> bool;
    /// Takes in the object of `key` after a miss.
    fn put(&mut self, key: u32, size: u32);
}

/// What a cache is made for.
#[derive(Clone, Copy)]
pub struct Room {
    /// Entries, or bytes if `sized`.
    pub capacity: u64,
    /// How many entries that will be.
    pub entries: u64,
    pub sized: bool,
}

impl Room {
    fn entries(self) -> usize {
        usize::try_from(self.entries).unwrap_or(usize::MAX)
    }

    fn capacity(self) -> usize {
        usize::try_from(self.capacity).unwrap_or(usize::MAX)
    }
}

/// The subject names of the policies, ours first, then in the order of the columns.
pub const POLICIES: [&str; 8] =
    ["scrubjay", "quick_cache", "moka", "foyer-lru", "foyer-w-tinylfu", "foyer-s3fifo", "foyer-sieve", "lru"];

/// The name of the optimum, which is no policy: it knows the future.
pub const BELADY: &str = "belady";

/// The policy of that name, empty.
pub fn policy(name: &str, room: Room) -> Box<dyn Policy> {
    match name {
        "scrubjay" => Box::new(Scrubjay::new(room)),
        "quick_cache" => Box::new(QuickCache::new(room)),
        "moka" => Box::new(Moka::new(room)),
        "foyer-lru" => Box::new(Foyer::new(room, foyer_memory::LruConfig::default())),
        "foyer-w-tinylfu" => Box::new(Foyer::new(room, foyer_memory::LfuConfig::default())),
        "foyer-s3fifo" => Box::new(Foyer::new(room, foyer_memory::S3FifoConfig::default())),
        "foyer-sieve" => Box::new(Foyer::new(room, sieve())),
        "lru" => Box::new(Lru::new(room)),
        _ => unreachable!("a name of POLICIES: {name}"),
    }
}

/// foyer 0.22.3, the newest for our Rust version, has the type of this configuration but does not export it.
fn sieve() -> foyer_memory::EvictionConfig {
    serde_json::from_value(serde_json::json!({ "Sieve": null })).expect("a variant without fields")
}

#[derive(Clone)]
struct BySize;

impl quick_cache::Weighter<u32, u32> for BySize {
    fn weight(&self, _key: &u32, size: &u32) -> u64 {
        u64::from(*size)
    }
}

struct QuickCache(quick_cache::sync::Cache<u32, u32, BySize, FixedState>);

impl QuickCache {
    fn new(room: Room) -> Self {
        let options = quick_cache::OptionsBuilder::new()
            .shards(1)
            .estimated_items_capacity(room.entries())
            .weight_capacity(room.capacity)
            .build()
            .expect("both capacities are given");
        let lifecycle = quick_cache::sync::DefaultLifecycle::default();
        QuickCache(quick_cache::sync::Cache::with_options(options, BySize, FixedState::default(), lifecycle))
    }
}

impl Policy for QuickCache {
    fn get(&mut self, key: u32) -> bool {
        self.0.get(&key).is_some()
    }

    fn put(&mut self, key: u32, size: u32) {
        self.0.insert(key, size);
    }
}

/// moka works off what it has noted in batches, by the clock and by the length of its logs. Here the batches are
/// counted, so that the result is the same each time: 64 requests as by its logs, but in a small cache no more
/// inserts than 1 % of it, since what waits is held beyond the bound.
struct Moka {
    cache: moka::sync::Cache<u32, u32, FixedState>,
    requests: u64,
    inserts: u64,
    most_inserts: u64,
}

impl Moka {
    const BATCH: u64 = 64;

    fn new(room: Room) -> Self {
        let cache = moka::sync::Cache::builder()
            .max_capacity(room.capacity)
            .weigher(|_key, size| *size)
            .build_with_hasher(FixedState::default());
        Moka { cache, requests: 0, inserts: 0, most_inserts: (room.entries / 100).clamp(1, Self::BATCH) }
    }

    fn work_off(&mut self) {
        if self.requests >= Self::BATCH || self.inserts >= self.most_inserts {
            self.cache.run_pending_tasks();
            (self.requests, self.inserts) = (0, 0);
        }
    }
}

impl Policy for Moka {
    fn get(&mut self, key: u32) -> bool {
        let hit = self.cache.get(&key).is_some();
        self.requests += 1;
        self.work_off();
        hit
    }

    fn put(&mut self, key: u32, size: u32) {
        self.cache.insert(key, size);
        self.inserts += 1;
        self.work_off();
    }
}

struct Foyer(foyer_memory::Cache<u32, u32, FixedState>);

impl Foyer {
    fn new(room: Room, eviction: impl Into<foyer_memory::EvictionConfig>) -> Self {
        let cache = foyer_memory::CacheBuilder::new(room.capacity())
            .with_shards(1)
            .with_eviction_config(eviction)
            .with_hash_builder(FixedState::default())
            .with_weighter(|_key, size| *size as usize)
            .build();
        Foyer(cache)
    }
}

impl Policy for Foyer {
    fn get(&mut self, key: u32) -> bool {
        self.0.get(&key).is_some()
    }

    fn put(&mut self, key: u32, size: u32) {
        self.0.insert(key, size);
    }
}
