//! Keys of which this process has given values that the shared tier does not have: they were loaded while it could not be
//! asked, or while the key was written.
//!
//! Such a value may be newer than what stands in the shared tier: its write is committed, and the invalidation that
//! follows has not arrived. So what stands there is believed only where it was loaded later, or written later; else it is
//! loaded anew. A process never goes backwards on a key (invariant I5).

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// More keys than this become one moment for all keys.
const MAX_KEYS: usize = 100_000;

/// What was given. Moments are in ms of the cache's clock.
#[derive(Default)]
pub(crate) struct Unstored {
    /// Whether there was anything, for a look without the lock.
    any: AtomicBool,
    given: Mutex<AllGiven>,
    hasher: foldhash::quality::RandomState,
}

#[derive(Default)]
struct AllGiven {
    /// By the hash of the key: two keys that share one cost each other a load.
    of: HashMap<u64, Given>,
    /// When the last was given that is not among these.
    rest: Option<u64>,
}

/// A value that was given and not stored.
#[derive(Clone, Copy)]
pub(crate) struct Given {
    /// When its fetch began, and when it was given.
    pub began: u64,
    pub at: u64,
    /// The number of the last write before its lease was won; none where it had no lease.
    pub after: Option<u64>,
}

/// What stands in the shared tier.
#[derive(Clone, Copy)]
pub(crate) enum Stored {
    /// It was loaded since this moment or a little later.
    Loaded(u64),
    /// It was written at this moment or a little later, by the write of this number.
    Written(u64, u64),
}

impl Unstored {
    /// A value of `key` is given.
    pub fn note(&self, key: &[u8], given: Given) {
        let mut all = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        if all.of.len() >= MAX_KEYS {
            *all = AllGiven { of: HashMap::new(), rest: Some(given.at) };
        }
        all.of.insert(self.hasher.hash_one(key), given);
        self.any.store(true, Ordering::Release);
    }

    /// Whether a value of `key` was given, and nothing later was seen in the shared tier.
    pub fn has(&self, key: &[u8]) -> bool {
        let all = || self.given.lock().unwrap_or_else(PoisonError::into_inner);
        self.any.load(Ordering::Acquire) && all().of.contains_key(&self.hasher.hash_one(key))
    }

    /// Whether what stands under `key` may be older than a value that was given.
    pub fn is_older(&self, key: &[u8], stored: Stored) -> bool {
        if !self.any.load(Ordering::Acquire) {
            return false;
        }
        let hash = self.hasher.hash_one(key);
        let mut all = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = all.rest.map(|at| Given { began: at, at, after: None });
        if all.of.get(&hash).copied().into_iter().chain(rest).any(|given| stored.may_be_older(given)) {
            return true;
        }
        // What comes later was loaded later still.
        if all.of.remove(&hash).is_some() && all.of.is_empty() && all.rest.is_none() {
            self.any.store(false, Ordering::Release);
        }
        false
    }
}

impl Stored {
    fn may_be_older(self, given: Given) -> bool {
        match (self, given.after) {
            (Stored::Loaded(since), _) => since <= given.at,
            (Stored::Written(_, number), Some(after)) => number <= after,
            (Stored::Written(at, _), None) => at <= given.began,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(began: u64, at: u64) -> Given {
        Given { began, at, after: None }
    }

    #[test]
    fn what_was_loaded_before_a_value_was_given_may_be_older() {
        let unstored = Unstored::default();
        assert!(!unstored.is_older(b"a", Stored::Loaded(0)));
        unstored.note(b"a", given(5, 10));
        assert!([10, 3].iter().all(|since| unstored.is_older(b"a", Stored::Loaded(*since))));
        assert!(!unstored.is_older(b"b", Stored::Loaded(3)));
        unstored.note(b"a", given(15, 20));
        assert!(unstored.is_older(b"a", Stored::Loaded(15)));
        assert!(!unstored.is_older(b"a", Stored::Loaded(21)));
        assert!(!unstored.is_older(b"a", Stored::Loaded(15)), "it was seen that a later one stands there");
        assert!(!unstored.any.load(Ordering::Relaxed));
    }

    #[test]
    fn what_was_written_before_its_fetch_began_may_be_older() {
        let unstored = Unstored::default();
        unstored.note(b"a", given(5, 10));
        assert!(unstored.is_older(b"a", Stored::Written(5, 7)));
        assert!(!unstored.is_older(b"a", Stored::Written(6, 7)));
        // The numbers of writes tell it exactly.
        unstored.note(b"a", Given { after: Some(7), ..given(5, 10) });
        assert!(unstored.is_older(b"a", Stored::Written(9, 7)));
        assert!(!unstored.is_older(b"a", Stored::Written(4, 8)));
    }

    #[test]
    fn too_many_keys_are_all_keys() {
        let unstored = Unstored::default();
        for key in 0..=MAX_KEYS {
            unstored.note(&key.to_le_bytes(), given(1, 5));
        }
        assert!(unstored.is_older(b"another", Stored::Loaded(5)));
        assert!(!unstored.is_older(b"another", Stored::Loaded(6)));
        assert!(unstored.given.lock().expect("nobody panicked").of.len() < 10);
    }
}
