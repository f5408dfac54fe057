//! The right to load one key, held by one caller.

use std::fmt;
use std::sync::Weak;
use std::sync::atomic::{AtomicU64, Ordering};

/// Who takes a lease back.
pub(crate) trait Lessor: Send + Sync {
    /// The holder gave up: the next waiter leads. Does nothing for a lease that has ended.
    fn abandon(&self, lease: u64);
}

/// The right, and the duty, to load one key. Dropping it abandons it: the next waiter leads.
pub struct Lease {
    id: u64,
    lessor: Weak<dyn Lessor>,
}

impl Lease {
    pub(crate) fn new(id: u64, lessor: Weak<dyn Lessor>) -> Self {
        Lease { id, lessor }
    }

    /// The number of this lease, unique in the process.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Hands the duty to whoever gets the number: `fulfil`, `fail` or `abandon` must follow.
    pub fn into_id(self) -> u64 {
        let id = self.id;
        drop(self.into_parts());
        id
    }

    fn into_parts(mut self) -> Weak<dyn Lessor> {
        let gone: Weak<Nobody> = Weak::new();
        std::mem::replace(&mut self.lessor, gone)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(lessor) = self.lessor.upgrade() {
            lessor.abandon(self.id);
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lease").field(&self.id).finish()
    }
}

/// The lessor of a lease that was handed over.
struct Nobody;

impl Lessor for Nobody {
    fn abandon(&self, _lease: u64) {}
}

/// A new lease number. They start at random, so that one from before a fork or a restart is never met again.
pub(crate) fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    static START: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
    // 52 bits: a number that JavaScript holds exactly, with room for 2^51 leases.
    let start = START.get_or_init(|| (rand::random::<u64>() >> 13) | 1);
    start + NEXT.fetch_add(1, Ordering::Relaxed)
}
