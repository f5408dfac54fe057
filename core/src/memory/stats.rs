//! Counters of one memory cache.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// A snapshot of the counters of one [`MemoryCache`](super::MemoryCache) since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryStats {
    /// Reads that found a live entry.
    pub hits: u64,
    /// Reads that found none.
    pub misses: u64,
    /// Entries that left for want of room, those too large to be stored at all included.
    pub evictions: u64,
    /// Entries that left because their time was up.
    pub expired: u64,
    /// Entries held now, dead ones that were not collected yet included.
    pub entries: u64,
    /// Bytes held now, overhead counted.
    pub bytes: u64,
}

/// Threads are dealt onto so many cells.
const STRIPES: usize = 16;

/// What every read counts: a cell per thread (or a few), so that readers do not write the same line.
#[derive(Default)]
pub(super) struct Reads([Stripe; STRIPES]);

#[derive(Default)]
#[repr(align(128))]
struct Stripe {
    hits: AtomicU64,
    misses: AtomicU64,
}

impl Reads {
    pub fn hit(&self) {
        self.0[stripe()].hits.fetch_add(1, Ordering::Relaxed);
    }

    pub fn miss(&self) {
        self.0[stripe()].misses.fetch_add(1, Ordering::Relaxed);
    }

    pub fn hits(&self) -> u64 {
        self.0.iter().map(|stripe| stripe.hits.load(Ordering::Relaxed)).sum()
    }

    pub fn misses(&self) -> u64 {
        self.0.iter().map(|stripe| stripe.misses.load(Ordering::Relaxed)).sum()
    }
}

/// The cell of this thread.
fn stripe() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static MINE: Cell<usize> = const { Cell::new(STRIPES) };
    }
    // A thread at its very end counts on the first.
    MINE.try_with(|mine| {
        if mine.get() == STRIPES {
            mine.set(NEXT.fetch_add(1, Ordering::Relaxed) % STRIPES);
        }
        mine.get()
    })
    .unwrap_or(0)
}
