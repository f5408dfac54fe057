//! How long a lease is asked for: twice what a slow load takes, at least a second.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use super::grip::{Grip, Held};

const SHORTEST_MS: u64 = 1_000;
/// Loads that are remembered: the slowest but one of so many is about the 99th percentile.
const LOADS: usize = 128;

/// The lease time of one cache, and the leases to be renewed.
#[derive(Default)]
pub(super) struct LeaseTime {
    loads: Mutex<VecDeque<u32>>,
    /// In ms; 0 before the first load.
    lease: AtomicU64,
    /// When each lease is to be renewed, in ms of the cache's clock; the earliest first, or nearly so.
    renewals: Mutex<VecDeque<(u64, Weak<Held>)>>,
}

impl LeaseTime {
    /// A load has taken so many milliseconds.
    pub fn note(&self, took: u32) {
        let mut loads = self.loads.lock().unwrap_or_else(PoisonError::into_inner);
        if loads.len() == LOADS {
            loads.pop_front();
        }
        loads.push_back(took);
        let (mut slowest, mut second) = (0, 0);
        for load in &*loads {
            if *load >= slowest {
                (slowest, second) = (*load, slowest);
            } else {
                second = second.max(*load);
            }
        }
        let slow = if loads.len() < LOADS { slowest } else { second };
        self.lease.store((2 * u64::from(slow)).max(SHORTEST_MS), Ordering::Relaxed);
    }

    pub fn get(&self) -> Duration {
        Duration::from_millis(self.lease.load(Ordering::Relaxed).max(SHORTEST_MS))
    }

    /// Renews the lease of `grip` from now on, until it ends.
    pub fn keep(&self, grip: &Grip) {
        if let Some(held) = grip.renewable() {
            let due = grip.since() + self.third();
            self.renewals().push_back((due, held));
        }
    }

    /// Renews what is due. Called with no lock held.
    pub fn renew(&self, now: u64) {
        loop {
            let held = {
                let mut renewals = self.renewals();
                match renewals.front() {
                    Some((due, _)) if *due <= now => renewals.pop_front(),
                    _ => return,
                }
            };
            let Some(held) = held.and_then(|(_, held)| held.upgrade()) else { continue };
            if held.extend(self.get()) {
                self.renewals().push_back((now + self.third(), Arc::downgrade(&held)));
            }
        }
    }

    fn third(&self) -> u64 {
        u64::try_from(self.get().as_millis()).unwrap_or(u64::MAX >> 2) / 3
    }

    fn renewals(&self) -> std::sync::MutexGuard<'_, VecDeque<(u64, Weak<Held>)>> {
        self.renewals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_twice_a_slow_load_and_at_least_a_second() {
        let time = LeaseTime::default();
        assert_eq!(time.get(), Duration::from_secs(1));
        time.note(20);
        assert_eq!(time.get(), Duration::from_secs(1));
        time.note(3_000);
        assert_eq!(time.get(), Duration::from_secs(6));
        // One outlier among many is not what loads take.
        (0..LOADS - 1).for_each(|_| time.note(700));
        assert_eq!(time.get(), Duration::from_millis(1_400));
    }
}
