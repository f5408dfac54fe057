//! Who may touch the content of a record: a count of readers and the life of the record in one number.
//!
//! ```text
//! free ──publish──▶ live ──retire, no reader──▶ free        (the writer takes the content)
//!                    └──retire, readers──▶ doomed ──last reader leaves──▶ free   (that reader takes it)
//! ```
//!
//! Readers hold no lock. A reader pins, and may look at the content when the record was live at that moment; the
//! content then stays until it unpins. A pin on a record that is not live is taken back and touches nothing; it
//! can come at any time, because a reader may have found the slot in an index that has changed since.

use crate::sync::{AtomicU32, Ordering, fence};

const LIVE: u32 = 1 << 31;
const DOOMED: u32 = 1 << 30;

/// All zero: free.
#[derive(Default)]
pub(super) struct Pins(AtomicU32);

/// What became of a pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pinned {
    /// The content may be read until [`Pins::unpin`].
    Live,
    /// There is nothing to read.
    Dead,
    /// There is nothing to read, and the content of what was there is the caller's to take: it was the last that
    /// kept it.
    Inherited,
}

/// Who takes the content of a record that is retired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retired {
    /// The writer that retired it; the record is free.
    Writer,
    /// Whoever unpins last. The writer holds a pin now, as one of them.
    LastReader,
}

impl Pins {
    #[inline]
    pub fn pin(&self) -> Pinned {
        if self.0.fetch_add(1, Ordering::Acquire) & LIVE != 0 {
            return Pinned::Live;
        }
        if self.unpin() { Pinned::Inherited } else { Pinned::Dead }
    }

    /// True: the content is the caller's to take, after which the slot is free.
    #[inline]
    #[must_use]
    pub fn unpin(&self) -> bool {
        self.0.fetch_sub(1, Ordering::Release) == DOOMED | 1 && self.inherit()
    }

    #[cold]
    fn inherit(&self) -> bool {
        // A late pin may have come in between: then it is the last one, and tries this itself.
        self.0.compare_exchange(DOOMED, 0, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Whether the record is in the cache. Stable under the lock of its shard.
    #[inline]
    pub fn is_live(&self) -> bool {
        self.0.load(Ordering::Acquire) & LIVE != 0
    }

    /// Makes a free record live, whose content has been written. Under the lock of its shard.
    pub fn publish(&self) {
        self.0.fetch_or(LIVE, Ordering::Release);
    }

    /// Takes a live record out. Under the lock of its shard.
    pub fn retire(&self) -> Retired {
        let mut now = self.0.load(Ordering::Relaxed);
        loop {
            debug_assert!(now & LIVE != 0 && now & DOOMED == 0);
            let (then, retired) = match now {
                LIVE => (0, Retired::Writer),
                pinned => ((pinned & !LIVE | DOOMED) + 1, Retired::LastReader),
            };
            match self.0.compare_exchange_weak(now, then, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => {
                    // What comes after, a new generation above all, is seen by nobody who still saw it live.
                    fence(Ordering::SeqCst);
                    return retired;
                }
                Err(other) => now = other,
            }
        }
    }
}
