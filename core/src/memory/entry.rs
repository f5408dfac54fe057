//! One entry, what it weighs, and why entries leave.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

/// A hit is counted up to this.
const MAX_USES: u8 = 3;

/// What an entry costs beside its own allocation, where tables have just grown and are half empty: the
/// allocator's header 8, bucket of the map 39, nodes of queue and wheel 44 each, its share of the ghost 16.
const AROUND: usize = 152;

/// Why an entry left the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EvictReason {
    /// There was no room: it was evicted for others, or was larger than the whole bound and never stored.
    Capacity,
    /// Its time was up.
    Expired,
    /// Another value was set under its key.
    Replaced,
    /// Its key was removed.
    Removed,
    /// The cache was cleared.
    Cleared,
}

/// Key and value in one allocation with what a reader needs; it is read without a lock. Everything but the
/// two atomics stays as it was made.
pub(super) struct Entry<V, K> {
    pub hash: u64,
    /// Milliseconds of the cache's clock; from then on the entry is dead.
    pub deadline: u64,
    pub weight: u64,
    /// Its place in the shard's policy and wheel; written under the shard's lock.
    slot: AtomicU32,
    uses: AtomicU8,
    pub key: K,
    pub value: V,
}

/// An entry that left, with the reason.
pub(super) type Departed<V, K> = (Arc<Entry<V, K>>, EvictReason);

impl<V, K> Entry<V, K> {
    pub fn new(hash: u64, deadline: u64, weight: u64, key: K, value: V) -> Arc<Self> {
        Arc::new(Entry {
            hash,
            deadline,
            weight,
            slot: AtomicU32::new(u32::MAX),
            uses: AtomicU8::new(0),
            key,
            value,
        })
    }

    /// The weight of an entry whose key and value own `heap` bytes elsewhere.
    pub fn weight_with(heap: u64) -> u64 {
        const COUNTS_OF_ARC: usize = 2 * size_of::<usize>();
        heap.saturating_add((size_of::<Self>() + COUNTS_OF_ARC + AROUND) as u64)
    }

    pub fn is_dead(&self, now: u64) -> bool {
        self.deadline <= now
    }

    pub fn slot(&self) -> u32 {
        self.slot.load(Ordering::Relaxed)
    }

    pub fn set_slot(&self, slot: u32) {
        self.slot.store(slot, Ordering::Relaxed);
    }

    /// Notes a hit. Two threads at once may count one: that costs a little precision, and saves the
    /// read-modify-write.
    pub fn touch(&self) {
        let uses = self.uses.load(Ordering::Relaxed);
        if uses < MAX_USES {
            self.uses.store(uses + 1, Ordering::Relaxed);
        }
    }

    pub fn uses(&self) -> u8 {
        self.uses.load(Ordering::Relaxed)
    }

    pub fn set_uses(&self, uses: u8) {
        self.uses.store(uses, Ordering::Relaxed);
    }

    /// Takes the uses of the entry that this one replaces, and counts the write as one more.
    pub fn inherit(&self, old: &Self) {
        self.uses.store(old.uses().saturating_add(1).min(MAX_USES), Ordering::Relaxed);
    }
}

/// The bytes that a string or byte string owns on the heap; 0 for any other type.
pub(super) fn heap_bytes<T: Any>(value: &T) -> u64 {
    let any: &dyn Any = value;
    let bytes = if let Some(text) = any.downcast_ref::<String>() {
        text.capacity()
    } else if let Some(bytes) = any.downcast_ref::<Vec<u8>>() {
        bytes.capacity()
    } else if let Some(text) = any.downcast_ref::<Box<str>>() {
        text.len()
    } else if let Some(bytes) = any.downcast_ref::<Box<[u8]>>() {
        bytes.len()
    } else if let Some(text) = any.downcast_ref::<Arc<str>>() {
        text.len()
    } else if let Some(bytes) = any.downcast_ref::<Arc<[u8]>>() {
        bytes.len()
    } else {
        0
    };
    bytes as u64
}
