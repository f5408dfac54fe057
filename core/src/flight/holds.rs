//! Keys whose writers are at work in this process: nothing is stored under them, and no load that began meanwhile may
//! store later.
//!
//! The hold of a writer that never ends its update is over at its deadline, as in the shared tier.

use std::collections::{BTreeSet, HashMap};

use crate::error::{Error, ErrorKind, Result};
use crate::redis::Token;
use crate::sync::{Arc, AtomicU64, Mutex, Ordering, lock};

/// More updates than this at once are refused.
const MAX_UPDATES: usize = 100_000;

/// The holds of one cache in this process. Times are milliseconds of its clock.
pub(crate) struct Holds {
    inner: Mutex<Inner>,
    /// How many keys have one, or had: for a look without the lock.
    count: AtomicU64,
    /// A load takes this long at most. So long a hold is remembered after its end, for what began within it.
    linger: u64,
}

#[derive(Default)]
struct Inner {
    updates: HashMap<u64, Update>,
    /// Who holds a key, and until when.
    keys: HashMap<Arc<[u8]>, Vec<(u64, u64)>>,
    /// When a hold can be forgotten, the earliest first.
    ends: BTreeSet<(u64, Arc<[u8]>, u64)>,
}

/// One update: a writer and what it writes.
#[derive(Clone, Debug)]
pub(crate) struct Update {
    pub id: u64,
    pub keys: Vec<Vec<u8>>,
    /// Its name in the shared tier.
    pub token: Token,
    /// For how long the keys are held after it, in ms.
    pub hold: u64,
}

impl Holds {
    pub fn new(linger: u64) -> Self {
        Holds { inner: Mutex::default(), count: AtomicU64::new(0), linger }
    }

    /// Begins an update, which holds its keys until it is let go, or `until`.
    ///
    /// # Errors
    /// [`ErrorKind::Overloaded`].
    pub fn begin(&self, update: Update, now: u64, until: u64) -> Result<()> {
        let mut inner = lock(&self.inner);
        if inner.updates.len() >= MAX_UPDATES {
            let message = format!("more than {MAX_UPDATES} updates are under way");
            return Err(Error::new(ErrorKind::Overloaded, "update", message));
        }
        self.forget(&mut inner, now);
        for key in &update.keys {
            self.hold(&mut inner, key, update.id, until);
        }
        inner.updates.insert(update.id, update);
        self.note(&inner);
        Ok(())
    }

    /// Ends an update, whose keys stay held; none where it has ended.
    pub fn end(&self, id: u64) -> Option<Update> {
        // A lease that is no update's passes by without the lock.
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        lock(&self.inner).updates.remove(&id)
    }

    /// Lets go of a key, at once or `until` then.
    pub fn let_go(&self, key: &[u8], id: u64, until: Option<u64>) {
        let mut inner = lock(&self.inner);
        let Some(holders) = inner.keys.get_mut(key) else { return };
        holders.retain(|(holder, _)| *holder != id);
        if holders.is_empty() {
            inner.keys.remove(key);
        }
        if let Some(until) = until {
            self.hold(&mut inner, key, id, until);
        }
        self.note(&inner);
    }

    /// Whether what was read at `since` may be older than a write: the key was held then, or is.
    pub fn covers(&self, key: &[u8], since: u64) -> bool {
        if self.count.load(Ordering::Acquire) == 0 {
            return false;
        }
        let inner = lock(&self.inner);
        inner.keys.get(key).is_some_and(|holders| holders.iter().any(|(_, until)| *until > since))
    }

    /// How many writers hold the key at `now`, and for how long the last of them does.
    pub fn of(&self, key: &[u8], now: u64) -> Option<(usize, u64)> {
        let inner = lock(&self.inner);
        let left = |(_, until): &(u64, u64)| until.checked_sub(now).filter(|left| *left > 0);
        let left: Vec<u64> = inner.keys.get(key)?.iter().filter_map(left).collect();
        Some((left.len(), *left.iter().max()?))
    }

    fn hold(&self, inner: &mut Inner, key: &[u8], id: u64, until: u64) {
        let name = inner.keys.get_key_value(key).map_or_else(|| Arc::from(key), |(name, _)| name.clone());
        let holders = inner.keys.entry(name.clone()).or_default();
        // A key may be named twice.
        holders.retain(|(holder, _)| *holder != id);
        holders.push((id, until));
        inner.ends.insert((until.saturating_add(self.linger), name, id));
    }

    /// Forgets holds that ended so long ago that nothing that began within them still goes on.
    fn forget(&self, inner: &mut Inner, now: u64) {
        while inner.ends.first().is_some_and(|(at, _, _)| *at <= now) {
            let Some((at, key, id)) = inner.ends.pop_first() else { return };
            let Some(holders) = inner.keys.get_mut(&key) else { continue };
            holders.retain(|(holder, until)| *holder != id || until.saturating_add(self.linger) > at);
            if holders.is_empty() {
                inner.keys.remove(&key);
            }
        }
    }

    fn note(&self, inner: &Inner) {
        self.count.store((inner.keys.len() + inner.updates.len()) as u64, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(id: u64, keys: &[&str]) -> Update {
        let keys = keys.iter().map(|key| key.as_bytes().to_vec()).collect();
        Update { id, keys, token: Token::default(), hold: 0 }
    }

    #[test]
    fn a_key_is_held_until_its_last_writer_lets_go() {
        let holds = Holds::new(100);
        holds.begin(update(1, &["a", "b", "a"]), 0, 50).expect("room");
        holds.begin(update(2, &["a"]), 10, 60).expect("room");
        assert!(holds.covers(b"a", 20) && holds.covers(b"b", 20) && !holds.covers(b"c", 20));
        assert_eq!((holds.of(b"a", 20), holds.of(b"a", 55)), (Some((2, 40)), Some((1, 5))));
        assert_eq!((holds.of(b"a", 60), holds.of(b"c", 20)), (None, None));
        assert_eq!(holds.end(1).map(|update| update.id), Some(1));
        assert!(holds.end(1).is_none(), "it ends once");
        holds.let_go(b"a", 1, None);
        assert!(holds.covers(b"a", 20) && holds.covers(b"b", 20));
        holds.let_go(b"b", 1, None);
        holds.let_go(b"a", 2, None);
        assert!(!holds.covers(b"a", 20) && !holds.covers(b"b", 20));
    }

    #[test]
    fn a_hold_that_nobody_ends_covers_what_began_within_it() {
        let holds = Holds::new(100);
        holds.begin(update(1, &["a"]), 0, 50).expect("room");
        assert!(holds.covers(b"a", 49) && !holds.covers(b"a", 50));
        holds.begin(update(2, &["b"]), 149, 200).expect("room");
        assert!(holds.covers(b"a", 49), "such a load may still go on");
        holds.begin(update(3, &["b"]), 150, 200).expect("room");
        assert!(!holds.covers(b"a", 49));
    }

    #[test]
    fn a_key_may_stay_held_after_the_write() {
        let holds = Holds::new(100);
        holds.begin(update(1, &["a"]), 0, 50).expect("room");
        holds.let_go(b"a", 1, Some(80));
        assert!(holds.covers(b"a", 79) && !holds.covers(b"a", 80));
        holds.begin(update(2, &["b"]), 160, 200).expect("room");
        assert!(holds.covers(b"a", 79), "the first deadline is not its own any more");
        holds.begin(update(3, &["b"]), 180, 200).expect("room");
        assert!(!holds.covers(b"a", 79));
    }

    #[test]
    fn updates_are_bounded() {
        let holds = Holds::new(100);
        for id in 0..MAX_UPDATES as u64 {
            holds.begin(update(id, &["a"]), 0, 50).expect("room");
            holds.let_go(b"a", id, None);
        }
        let refused = holds.begin(update(u64::MAX, &["a"]), 0, 50).expect_err("no room");
        assert_eq!(refused.kind(), ErrorKind::Overloaded);
    }
}
