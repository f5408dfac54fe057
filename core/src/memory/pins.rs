//! Who still looks at the content of a record that no lock protects: a count of readers, and whether the last of
//! them is to take it away.
//!
//! ```text
//! free ──fill──▶ live ──retire, no reader──▶ free            (the writer takes the content)
//!                 └──retire, readers──▶ doomed ──last reader leaves──▶ free   (that reader takes it)
//! ```
//!
//! A reader pins while it holds the lock of the shard, shared, so the record is live at that moment; the content then
//! stays until it unpins, which needs no lock. A writer retires with the lock held alone, so no pin comes meanwhile.

use crate::sync::{AtomicU32, Ordering};

const DOOMED: u32 = 1 << 31;

/// The readers of a record; none at first.
#[derive(Default)]
pub(super) struct Pins(AtomicU32);

/// Who takes the content of a record that is retired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retired {
    /// The writer that retired it; the record is free.
    Writer,
    /// Whoever unpins last. The writer holds a pin now, as one of them.
    LastReader,
}

impl Pins {
    /// Keeps the content of a live record. The caller holds the shard's lock, at least shared.
    #[inline]
    pub fn pin(&self) {
        // The lock orders this after the filling, and before the retiring.
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// True: the content is the caller's to take, after which the record is free.
    #[inline]
    #[must_use]
    pub fn unpin(&self) -> bool {
        let was_last = self.0.fetch_sub(1, Ordering::AcqRel) == DOOMED | 1;
        if was_last {
            // Nobody else comes: a doomed record is in no index.
            self.0.store(0, Ordering::Relaxed);
        }
        was_last
    }

    /// Takes a live record out. The caller holds the shard's lock alone.
    pub fn retire(&self) -> Retired {
        // Readers may only leave meanwhile. Acquire: what they have read, they have read before we take it.
        if self.0.load(Ordering::Acquire) == 0 {
            return Retired::Writer;
        }
        // Our own pin, so that the last reader is not gone between the look and this.
        if self.0.fetch_add(DOOMED + 1, Ordering::AcqRel) > 0 {
            return Retired::LastReader;
        }
        // They have all left by now, and we are the last.
        self.0.store(0, Ordering::Relaxed);
        Retired::Writer
    }
}
