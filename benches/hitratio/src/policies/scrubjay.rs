//! Ours, by its public face.

use std::time::Duration;

use scrubjay::MemoryCache;

use super::{Policy, Room};

/// Longer than any replay, so that nothing expires: the policy alone is compared.
const TTL: Duration = Duration::from_secs(24 * 3600);

pub struct Scrubjay(MemoryCache<u32, u32>);

impl Scrubjay {
    /// A bound in entries is what it is for everybody. Our bound in bytes counts the overhead of an entry, those
    /// of the peers do not: so the overhead, measured with one entry, is taken off the size of each object. One
    /// that is smaller than the overhead weighs the overhead here: that little favours the peers.
    pub fn new(room: Room) -> Self {
        if !room.sized {
            return Scrubjay(MemoryCache::builder().max_entries(room.capacity).build());
        }
        let overhead = overhead();
        let cache = MemoryCache::builder()
            .max_bytes(room.capacity)
            .weigher(move |_key: &u32, size: &u32| u64::from(*size).saturating_sub(overhead))
            .build();
        Scrubjay(cache)
    }
}

/// What an entry weighs whose key and value own nothing.
fn overhead() -> u64 {
    let cache = MemoryCache::builder().weigher(|_key: &u32, _size: &u32| 0).build();
    cache.set(&0, 0, TTL).expect("a good ttl");
    cache.weight()
}

impl Policy for Scrubjay {
    fn get(&mut self, key: u32) -> bool {
        self.0.get(&key).is_some()
    }

    fn put(&mut self, key: u32, size: u32) {
        self.0.set(&key, size, TTL).expect("a good ttl");
    }
}
