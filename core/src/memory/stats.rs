//! Counters of one memory cache.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

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

/// So many threads count on cells of their own, any more share one.
const OWN: usize = 32;

/// What every read counts: a cell per thread, so that readers do not write the same line, and need no
/// read-modify-write.
pub(super) struct Reads([Stripe; OWN + 1]);

impl Default for Reads {
    fn default() -> Self {
        Reads(std::array::from_fn(|_| Stripe::default()))
    }
}

#[derive(Default)]
#[repr(align(128))]
struct Stripe {
    hits: AtomicU64,
    misses: AtomicU64,
}

impl Reads {
    #[inline]
    pub fn hit(&self) {
        let number = stripe();
        count(&self.0[number].hits, number);
    }

    pub fn miss(&self) {
        let number = stripe();
        count(&self.0[number].misses, number);
    }

    pub fn hits(&self) -> u64 {
        self.0.iter().map(|stripe| stripe.hits.load(Ordering::Relaxed)).sum()
    }

    pub fn misses(&self) -> u64 {
        self.0.iter().map(|stripe| stripe.misses.load(Ordering::Relaxed)).sum()
    }
}

#[inline]
fn count(cell: &AtomicU64, number: usize) {
    if number < OWN {
        // Nobody else writes it.
        cell.store(cell.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    } else {
        cell.fetch_add(1, Ordering::Relaxed);
    }
}

/// The stripes that belong to no thread now.
static FREE: Mutex<Vec<usize>> = Mutex::new(Vec::new());
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// No stripe chosen yet.
const UNKNOWN: usize = usize::MAX;

thread_local! {
    static MINE: Cell<usize> = const { Cell::new(UNKNOWN) };
    static RETURN: Return = const { Return };
}

/// Gives a thread's stripe back at its end.
struct Return;

impl Drop for Return {
    fn drop(&mut self) {
        // What this thread reads after this, it counts on the shared stripe.
        let mine = MINE.try_with(|mine| mine.replace(OWN)).unwrap_or(OWN);
        if mine < OWN {
            FREE.lock().unwrap_or_else(PoisonError::into_inner).push(mine);
        }
    }
}

/// The stripe of this thread.
#[inline]
fn stripe() -> usize {
    match MINE.try_with(Cell::get) {
        Ok(mine) if mine != UNKNOWN => mine,
        _ => choose(),
    }
}

#[cold]
fn choose() -> usize {
    // A thread at its very end cannot give one back.
    if RETURN.try_with(|_| ()).is_err() {
        return OWN;
    }
    let freed = FREE.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let mine = freed.unwrap_or_else(|| match NEXT.load(Ordering::Relaxed) {
        OWN.. => OWN,
        _ => NEXT.fetch_add(1, Ordering::Relaxed).min(OWN),
    });
    // The handover of a stripe from thread to thread goes through the lock above.
    MINE.try_with(|cell| cell.set(mine)).map_or(OWN, |()| mine)
}
