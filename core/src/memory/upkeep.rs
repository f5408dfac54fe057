//! What is needed to keep an entry, but not to answer with it: a hit need not fetch it from memory.

use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering};

use super::arena::Zeroed;
use super::expiry;
use super::pins::Pins;
use super::policy::Link;

/// Its bytes: half of what the processor fetches at once, so one entry's never lie in two such lines.
#[cfg(not(feature = "shuttle"))]
const _: () = assert!(size_of::<Upkeep>() == 32);

/// All zero: of a free slot, in no queue and in no bucket.
///
/// Everything but the pins changes with the shard's lock held alone. It is atomic all the same, which costs nothing,
/// because the pins lie beside it and are counted without the lock.
#[derive(Default)]
#[repr(C)]
pub(super) struct Upkeep {
    pub pins: Pins,
    hash: AtomicU32,
    weight: AtomicU32,
    bucket: AtomicU16,
    /// Inverted, so that zero is [`Link::LOOSE`].
    queued: AtomicU64,
    due: AtomicU64,
}

// SAFETY: numbers whose zero is their default.
unsafe impl Zeroed for Upkeep {}

impl Upkeep {
    #[inline]
    pub fn fill(&self, hash: u32, weight: u32) {
        self.hash.store(hash, Ordering::Relaxed);
        self.weight.store(weight, Ordering::Relaxed);
    }

    #[inline]
    pub fn hash(&self) -> u32 {
        self.hash.load(Ordering::Relaxed)
    }

    #[inline]
    pub fn weight(&self) -> u64 {
        u64::from(self.weight.load(Ordering::Relaxed))
    }

    #[inline]
    pub fn set_weight(&self, weight: u32) {
        self.weight.store(weight, Ordering::Relaxed);
    }

    /// Its neighbours in the policy's queue.
    #[inline]
    pub fn queued(&self) -> Link {
        let (prev, next) = halves(!self.queued.load(Ordering::Relaxed));
        Link { prev, next }
    }

    #[inline]
    pub fn set_queued(&self, link: Link) {
        self.queued.store(!whole(link.prev, link.next), Ordering::Relaxed);
    }

    /// The bucket of the wheel.
    #[inline]
    pub fn bucket(&self) -> u16 {
        self.bucket.load(Ordering::Relaxed)
    }

    #[inline]
    pub fn set_bucket(&self, bucket: u16) {
        self.bucket.store(bucket, Ordering::Relaxed);
    }

    /// Its neighbours there.
    #[inline]
    pub fn due(&self) -> expiry::Links {
        let (prev, next) = halves(self.due.load(Ordering::Relaxed));
        expiry::Links { prev, next }
    }

    #[inline]
    pub fn set_due(&self, links: expiry::Links) {
        self.due.store(whole(links.prev, links.next), Ordering::Relaxed);
    }
}

fn whole(prev: u32, next: u32) -> u64 {
    u64::from(prev) << 32 | u64::from(next)
}

#[expect(clippy::cast_possible_truncation, reason = "either half is wanted")]
fn halves(whole: u64) -> (u32, u32) {
    ((whole >> 32) as u32, whole as u32)
}
