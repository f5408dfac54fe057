//! The bound of the whole cache, shared by its shards.
//!
//! Room is reserved before an entry goes in and given back after it has left, so the bound holds at every
//! moment, not only between calls.

use std::sync::atomic::{AtomicU64, Ordering};

pub(super) struct Budget {
    pub bytes: Bound,
    pub entries: Bound,
}

pub(super) struct Bound {
    pub max: u64,
    used: AtomicU64,
}

/// What there is too little of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scarce {
    Bytes,
    Entries,
}

impl Budget {
    pub fn new(max_bytes: u64, max_entries: u64) -> Self {
        let bound = |max| Bound { max, used: AtomicU64::new(0) };
        Budget { bytes: bound(max_bytes), entries: bound(max_entries) }
    }

    /// Whether an entry of this weight can be held by an empty cache.
    pub fn could_hold(&self, weight: u64) -> bool {
        weight <= self.bytes.max && self.entries.max > 0
    }

    /// Reserves room for an entry of `weight`, in the place of one of the weight `instead`.
    #[inline]
    pub fn reserve(&self, weight: u64, instead: Option<u64>) -> Result<(), Scarce> {
        let freed = instead.unwrap_or(0);
        if !self.bytes.exchange(freed, weight) {
            return Err(Scarce::Bytes);
        }
        if instead.is_none() && !self.entries.exchange(0, 1) {
            self.bytes.give_back(weight);
            return Err(Scarce::Entries);
        }
        Ok(())
    }

    /// Whether an entry of `weight` would find room now.
    pub fn has_room(&self, weight: u64) -> bool {
        self.bytes.left() >= weight && self.entries.left() >= 1
    }

    /// Gives back the room of `entries` entries of `bytes` bytes together.
    #[inline]
    pub fn give_back(&self, bytes: u64, entries: u64) {
        self.bytes.give_back(bytes);
        self.entries.give_back(entries);
    }
}

impl Bound {
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Acquire)
    }

    fn left(&self) -> u64 {
        self.max.saturating_sub(self.used())
    }

    fn give_back(&self, amount: u64) {
        self.used.fetch_sub(amount, Ordering::AcqRel);
    }

    /// Gives back `out` and takes `add`, if that keeps the bound.
    #[inline]
    pub fn exchange(&self, out: u64, add: u64) -> bool {
        if add <= out {
            self.give_back(out - add);
            return true;
        }
        let add = add - out;
        let taken = self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, |used| {
            used.checked_add(add).filter(|used| *used <= self.max)
        });
        taken.is_ok()
    }
}
