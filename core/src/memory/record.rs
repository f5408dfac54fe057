//! One entry, in its slot: key and value, and what a hit must know of them.

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, Ordering};

use super::arena::Zeroed;
use super::policy::MAX_USES;

/// What an entry costs beside its record: its upkeep 32, its share of the index 7, ghost 8, slot table 8.
const AROUND: usize = 55;

/// All zero: free, with nothing in it.
///
/// With a key of 16 bytes and a shared pointer it has 32, and never lies in two lines of the processor's cache.
/// What readers write, or read while it may be written, is atomic. Everything else changes with the shard's lock
/// held alone; it is atomic too, which costs nothing, because a pinned record is read without the lock.
#[repr(C)]
pub(super) struct Record<V, K> {
    /// The lower half and the quarter above it: milliseconds of some thousand years.
    deadline_low: AtomicU32,
    deadline_high: AtomicU16,
    uses: AtomicU8,
    flags: AtomicU8,
    content: UnsafeCell<MaybeUninit<Content<V, K>>>,
}

/// What the user gave.
pub(super) struct Content<V, K> {
    pub key: K,
    pub value: V,
}

impl<V, K> Default for Record<V, K> {
    fn default() -> Self {
        Record {
            deadline_low: AtomicU32::new(0),
            deadline_high: AtomicU16::new(0),
            uses: AtomicU8::new(0),
            flags: AtomicU8::new(0),
            content: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }
}

// SAFETY: all numbers are zero in `default`, the content of a free record is uninitialised, so any bytes; records
// have no drop of their own.
unsafe impl<V, K> Zeroed for Record<V, K> {}

// SAFETY: the content is reached through `content`, `write` and `take` only, whose callers see to it that writers
// are alone and that readers share: values are read by many threads (Sync) and dropped by any (Send).
unsafe impl<V: Send + Sync, K: Send + Sync> Sync for Record<V, K> {}

impl<V, K> Record<V, K> {
    /// The weight of an entry whose key and value own `heap` bytes elsewhere.
    pub fn weight_with(heap: u64) -> u64 {
        heap.saturating_add((size_of::<Self>() + AROUND) as u64)
    }

    /// Fills a free record.
    ///
    /// # Safety
    /// The record is free, its content taken, and the caller holds the lock of the shard that owns the slot alone.
    pub unsafe fn write(&self, entry: &Numbers, content: Content<V, K>) {
        let deadline = entry.deadline.min(NEVER);
        #[expect(clippy::cast_possible_truncation, reason = "the lower half and what is left above it")]
        let (low, high) = (deadline as u32, (deadline >> 32) as u16);
        self.deadline_low.store(low, Ordering::Relaxed);
        self.deadline_high.store(high, Ordering::Relaxed);
        self.uses.store(entry.uses, Ordering::Relaxed);
        self.flags.store(LIVE, Ordering::Relaxed);
        // SAFETY: nobody reads the content of a record that is not live, says the contract of `content`.
        unsafe { (*self.content.get()).write(content) };
    }

    /// The content.
    ///
    /// # Safety
    /// As long as the reference is used the caller holds a pin on the record; or the record is in the index and the
    /// caller holds the lock of its shard, at least shared.
    #[inline]
    pub unsafe fn content(&self) -> &Content<V, K> {
        // SAFETY: it was written when the record was filled, and is not taken while the record is live or pinned.
        unsafe { (*self.content.get()).assume_init_ref() }
    }

    /// Takes the content out.
    ///
    /// # Safety
    /// `pins` has made the caller the one that takes it, and it is taken once.
    pub unsafe fn take(&self) -> Content<V, K> {
        // SAFETY: it was written when the record was filled, and is not read again before the next `write`.
        unsafe { (*self.content.get()).assume_init_read() }
    }

    /// Milliseconds of the cache's clock; from then on the entry is dead.
    #[inline]
    pub fn deadline(&self) -> u64 {
        let (low, high) = (self.deadline_low.load(Ordering::Relaxed), self.deadline_high.load(Ordering::Relaxed));
        let deadline = u64::from(high) << 32 | u64::from(low);
        if deadline == NEVER { u64::MAX } else { deadline }
    }

    pub fn uses(&self) -> u8 {
        self.uses.load(Ordering::Relaxed)
    }

    pub fn set_uses(&self, uses: u8) {
        self.uses.store(uses, Ordering::Relaxed);
    }

    /// Notes a hit. Two threads at once may count one: that costs a little precision, and saves the
    /// read-modify-write.
    #[inline]
    pub fn touch(&self) {
        let uses = self.uses.load(Ordering::Relaxed);
        if uses < MAX_USES {
            self.uses.store(uses + 1, Ordering::Relaxed);
        }
    }

    /// Whether the entry is in the cache: in index, policy and wheel of its shard. Asked with the lock held.
    pub fn is_live(&self) -> bool {
        self.flags.load(Ordering::Relaxed) & LIVE != 0
    }

    /// Whether a host holds a decoded copy, whose weight is part of ours.
    pub fn has_copy(&self) -> bool {
        self.flags.load(Ordering::Relaxed) & COPIED != 0
    }

    /// A host has got leave to keep a copy. With the lock held alone, as [`Record::end`].
    pub fn set_copied(&self) {
        self.flags.store(LIVE | COPIED, Ordering::Relaxed);
    }

    /// The entry has left the cache.
    pub fn end(&self) {
        self.flags.store(0, Ordering::Relaxed);
    }
}

/// How a deadline is written that lies further ahead than can be written.
const NEVER: u64 = (1 << 48) - 1;

const LIVE: u8 = 1;
const COPIED: u8 = 2;

/// The numbers of a new entry.
pub(super) struct Numbers {
    pub hash: u32,
    pub deadline: u64,
    pub weight: u32,
    pub uses: u8,
}
