//! What is in flight on one tier: operations, and the bytes of their requests. What would be too much is refused at
//! the door, before anything has been done; whoever was let in is counted until its answer is there, be it on its way,
//! waiting to be sent or waiting for a connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

use super::tier::Tier;
use super::trouble::Trouble;

/// Operations at once. More do not make a server faster; each that waits here is a caller that had better hear so.
const MAX_OPERATIONS: u64 = 10_000;
/// With more bytes of requests in flight nobody else is let in: a server that does not read must not make this process
/// hold all that is written. One request may be as long as it is: its caller holds it anyway.
const MAX_BYTES: u64 = 64 << 20;
/// Where the count of operations begins in the word. Below it are the bytes, up to 16 TiB.
const SHIFT: u32 = 44;

/// Both counts in one word, so that they are one atomic operation in and one out.
#[derive(Default)]
pub(super) struct InFlight {
    word: AtomicU64,
    /// Notified when the last operation ends.
    quiet: Notify,
}

impl InFlight {
    /// How many operations are in flight.
    pub fn operations(&self) -> usize {
        usize::try_from(self.word.load(Ordering::Acquire) >> SHIFT).unwrap_or(usize::MAX)
    }

    /// Completes when none is, after it was called.
    pub fn quiet(&self) -> tokio::sync::futures::Notified<'_> {
        self.quiet.notified()
    }

    fn enter(&self, bytes: u64) -> Result<(), Trouble> {
        let more = |word: u64| {
            let full = word >> SHIFT >= MAX_OPERATIONS || word & (u64::MAX >> (64 - SHIFT)) > MAX_BYTES;
            (!full).then_some(word + (1 << SHIFT) + bytes)
        };
        let entered = self.word.fetch_update(Ordering::AcqRel, Ordering::Relaxed, more);
        entered.map(drop).map_err(|_| Trouble::Overloaded)
    }

    fn leave(&self, bytes: u64) {
        let before = self.word.fetch_sub((1 << SHIFT) + bytes, Ordering::AcqRel);
        if before >> SHIFT == 1 {
            self.quiet.notify_waiters();
        }
    }
}

/// The place of an operation in flight.
pub(crate) struct Slot {
    pub(super) tier: Arc<Tier>,
    bytes: u64,
    /// When the operation has to have ended, in ms of [`coarse_ms`](crate::clock::coarse_ms); after `l2_timeout` for none.
    pub(super) until: Option<u64>,
}

impl Slot {
    /// A place for an operation whose request has so many bytes.
    pub(super) fn take(tier: &Arc<Tier>, bytes: usize) -> Result<Slot, Trouble> {
        // No process has as many as do not fit.
        let bytes = bytes as u64;
        tier.in_flight.enter(bytes)?;
        Ok(Slot { tier: tier.clone(), bytes, until: None })
    }

    /// The same place for an operation that goes on with what another one began, and ends with that: see
    /// [`Tier::budget`].
    pub fn until(mut self, until: Option<u64>) -> Slot {
        self.until = until;
        self
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.tier.in_flight.leave(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_operations_and_no_more() {
        let in_flight = InFlight::default();
        for _ in 0..MAX_OPERATIONS {
            assert_eq!(in_flight.enter(10), Ok(()));
        }
        assert_eq!(in_flight.enter(10), Err(Trouble::Overloaded));
        in_flight.leave(10);
        assert_eq!(in_flight.enter(10), Ok(()));
        assert_eq!(in_flight.enter(10), Err(Trouble::Overloaded));
        (0..MAX_OPERATIONS).for_each(|_| in_flight.leave(10));
        assert_eq!(in_flight.word.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn one_may_be_long_but_nothing_comes_on_top_of_it() {
        let in_flight = InFlight::default();
        assert_eq!(in_flight.enter(MAX_BYTES), Ok(()));
        assert_eq!(in_flight.enter(3 * MAX_BYTES), Ok(()));
        assert_eq!(in_flight.enter(0), Err(Trouble::Overloaded));
        assert_eq!(in_flight.operations(), 2);
        in_flight.leave(3 * MAX_BYTES);
        assert_eq!(in_flight.enter(1), Ok(()));
        assert_eq!(in_flight.enter(1), Err(Trouble::Overloaded));
    }
}
