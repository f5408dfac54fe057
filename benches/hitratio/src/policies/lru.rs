//! Least recently used, exactly, with a bound in entries or bytes.

use foldhash::fast::FixedState;
use lru::LruCache;

use super::{Policy, Room};

pub struct Lru {
    cache: LruCache<u32, u32, FixedState>,
    capacity: u64,
    held: u64,
}

impl Lru {
    pub fn new(room: Room) -> Self {
        Lru { cache: LruCache::unbounded_with_hasher(FixedState::default()), capacity: room.capacity, held: 0 }
    }
}

impl Policy for Lru {
    fn get(&mut self, key: u32) -> bool {
        self.cache.get(&key).is_some()
    }

    fn put(&mut self, key: u32, size: u32) {
        self.held += u64::from(size);
        if let Some(old) = self.cache.put(key, size) {
            self.held -= u64::from(old);
        }
        while self.held > self.capacity {
            match self.cache.pop_lru() {
                Some((_, old)) => self.held -= u64::from(old),
                None => break,
            }
        }
    }
}
