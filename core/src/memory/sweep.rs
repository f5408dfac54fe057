//! The end of entries whose time is up: collected unread, by the one thread of the process that looks at deadlines.

use std::hash::Hash;
use std::sync::Weak;
use std::sync::atomic::Ordering;

use super::departed::{EvictReason, Gone, Place};
use super::store::Store;
use crate::clock::{self, Watch};
use crate::host::fork_generation;

/// How many steps of the wheel are made while the lock of a shard is held.
const BATCH: usize = 8;
/// How many steps of the wheels one tick takes: a few milliseconds, so that others on that thread get their turn.
const STEPS_PER_TICK: usize = 1 << 15;

impl<V, K> Store<V, K>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// Collects entries whose time is up, in at most `budget` steps of the wheels; a step finds an entry or moves
    /// one to where it is found later. Returns how many were collected.
    ///
    /// Each shard in turn: who waits for the lock of one gets it before this thread comes back to it.
    pub fn remove_expired(&self, budget: usize) -> usize {
        let now = self.clock.now_ms();
        let mut left = budget;
        let mut collected = 0;
        let mut more = true;
        while more && left > 0 {
            more = false;
            for shard in 0..self.shard_count() {
                let mut steps = left.min(BATCH);
                left -= steps;
                collected += self.remove_expired_of(shard, now, &mut steps);
                left += steps;
                more |= steps == 0;
            }
        }
        collected
    }

    fn remove_expired_of(&self, shard: u32, now: u64, steps: &mut usize) -> usize {
        let mut gone = Gone::default();
        let mut state = self.lock(shard);
        while let Some(slot) = state.wheel.pop_due(&self.view(shard), now, steps) {
            self.detach(&mut state, Place { shard, slot }, EvictReason::Expired, now, &mut gone);
        }
        self.publish(shard, state);
        let count = gone.len();
        self.release(gone);
        count
    }

    /// Sees to it that entries are collected at the end of their life: by this process, should we have been forked.
    pub(super) fn watch(&self) {
        let generation = fork_generation();
        if self.watched.load(Ordering::Acquire) != generation
            && self.watched.swap(generation, Ordering::AcqRel) != generation
        {
            let me: Weak<Self> = self.me.clone();
            clock::register(me);
        }
    }

    fn is_idle(&self) -> bool {
        self.budget.entries.used() == 0
    }
}

impl<V, K> clock::Tick for Store<V, K>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    fn tick(&self) -> Watch {
        if let Some(host) = self.host.get() {
            host.set_now(self.clock.now_ms());
        }
        // A listener or destructor that panics must not end the thread that all caches share; the panic hook
        // has reported it, and the store is whole, because no lock was held.
        let sweep = std::panic::AssertUnwindSafe(|| self.remove_expired(STEPS_PER_TICK));
        match std::panic::catch_unwind(sweep) {
            // So many were due that more may be.
            Ok(collected) if collected >= STEPS_PER_TICK / 2 => return Watch::Busy,
            _ if !self.is_idle() => return Watch::Waiting,
            _ => {}
        }
        self.watched.store(0, Ordering::Release);
        // What went in between the look and the store found us still watching.
        if !self.is_idle() && self.watched.swap(fork_generation(), Ordering::AcqRel) == 0 {
            return Watch::Waiting;
        }
        Watch::Done
    }
}
