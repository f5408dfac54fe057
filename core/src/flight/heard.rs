//! What was told of keys, in as much room as there is: the highest number of a write for each of some thousand groups of
//! keys, and how often somebody was to be woken.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

/// Two keys of one group cost each other a store into memory now and then, and nothing else.
const GROUPS: usize = 4096;

/// What was told of keys.
pub(crate) struct Heard {
    groups: Box<[Group]>,
    hasher: foldhash::quality::RandomState,
    sleepers: Mutex<HashMap<Box<[u8]>, Arc<Notify>>>,
}

#[derive(Default)]
struct Group {
    sequence: AtomicU64,
    wakes: AtomicU64,
}

impl Default for Heard {
    fn default() -> Self {
        let groups = (0..GROUPS).map(|_| Group::default()).collect();
        Heard { groups, hasher: foldhash::quality::RandomState::default(), sleepers: Mutex::default() }
    }
}

impl Heard {
    /// The highest number of a write that was told of the group of `key`.
    pub fn of(&self, key: &[u8]) -> u64 {
        self.group(key).sequence.load(Ordering::SeqCst)
    }

    /// A write of `key` was told.
    pub fn note(&self, key: &[u8], sequence: u64) {
        self.group(key).sequence.fetch_max(sequence, Ordering::SeqCst);
    }

    /// The numbers begin anew: those of another server may be lower.
    pub fn forget(&self) {
        self.groups.iter().for_each(|group| group.sequence.store(0, Ordering::SeqCst));
    }

    /// How often those that wait for the group of `key` were woken.
    pub fn wakes(&self, key: &[u8]) -> u64 {
        self.group(key).wakes.load(Ordering::SeqCst)
    }

    /// Wakes those that wait for `key`.
    pub fn wake(&self, key: &[u8]) {
        self.group(key).wakes.fetch_add(1, Ordering::SeqCst);
        if let Some(sleepers) = self.sleepers().get(key) {
            sleepers.notify_waiters();
        }
    }

    /// Waits until somebody wakes those that wait for `key`, at most for `pause`; not at all where that has happened since
    /// [`Heard::wakes`] was `before`.
    pub async fn sleep(&self, key: &[u8], before: u64, pause: Duration) {
        let notify = self.sleepers().entry(key.into()).or_default().clone();
        {
            // Before the look: who wakes after it wakes us.
            let woken = notify.notified();
            if self.wakes(key) == before {
                // Woken or not, it is time to look.
                let _ = tokio::time::timeout(pause, woken).await;
            }
        }
        let mut sleepers = self.sleepers();
        drop(notify);
        if sleepers.get(key).is_some_and(|notify| Arc::strong_count(notify) == 1) {
            sleepers.remove(key);
        }
    }

    fn sleepers(&self) -> MutexGuard<'_, HashMap<Box<[u8]>, Arc<Notify>>> {
        self.sleepers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn group(&self, key: &[u8]) -> &Group {
        #[expect(clippy::cast_possible_truncation, reason = "only the low bits are wanted")]
        let at = self.hasher.hash_one(key) as usize % GROUPS;
        &self.groups[at]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_number_stays() {
        let heard = Heard::default();
        heard.note(b"a", 7);
        heard.note(b"a", 5);
        assert_eq!(heard.of(b"a"), 7);
        heard.forget();
        assert_eq!(heard.of(b"a"), 0);
    }

    #[tokio::test]
    async fn who_waits_is_woken_or_looks_after_the_pause() {
        let heard = Arc::new(Heard::default());
        // Longer than any test runs: who waits so long was not woken.
        let long = Duration::from_secs(3600);
        let before = heard.wakes(b"a");
        let sleeper = heard.clone();
        let task = tokio::spawn(async move { sleeper.sleep(b"a", before, long).await });
        tokio::task::yield_now().await;
        heard.wake(b"a");
        task.await.expect("it was woken");
        heard.sleep(b"a", before, long).await;
        heard.sleep(b"a", heard.wakes(b"a"), Duration::from_millis(1)).await;
        assert!(heard.sleepers().is_empty());
    }
}
