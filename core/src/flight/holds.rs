//! Keys whose writers are at work in this process: nothing is stored under them, and no load that began meanwhile may
//! store later.
//!
//! The hold of a writer that never ends its update is over at its deadline, as in the shared tier.

use std::collections::{BTreeSet, HashMap};

use super::through::Storing;
use crate::error::{Error, ErrorKind, Result};
use crate::redis::Token;
use crate::sync::{Arc, AtomicU64, Mutex, Ordering, lock};
use crate::tags::TagSet;

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
    /// Who holds a key.
    keys: HashMap<Arc<[u8]>, Vec<Holder>>,
    /// When a hold can be forgotten, the earliest first.
    ends: BTreeSet<(u64, Arc<[u8]>, u64)>,
}

/// The hold of a key by one writer.
#[derive(Clone, Copy)]
struct Holder {
    id: u64,
    until: u64,
    /// Whether another writer held the key, or wrote it, meanwhile: nobody knows whose value is the newer one.
    disturbed: bool,
}

/// One update: a writer and what it writes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Update {
    pub id: u64,
    pub keys: Vec<Vec<u8>>,
    /// The tags that it ends, held beside the keys.
    pub tags: TagSet,
    /// Its name in the shared tier.
    pub token: Token,
    /// For how long the keys are held after it, in ms.
    pub hold: u64,
    /// Whether the next writer of its one key waits for its end.
    pub in_turn: bool,
    /// What is to be stored at its end.
    pub storing: Option<Storing>,
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
            self.hold(&mut inner, key, update.id, now, until);
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

    /// The intent of an update was acknowledged: what is to be stored at its end learns more.
    pub fn learn(&self, id: u64, learn: impl FnOnce(&mut Storing)) {
        let mut inner = lock(&self.inner);
        if let Some(storing) = inner.updates.get_mut(&id).and_then(|update| update.storing.as_mut()) {
            learn(storing);
        }
    }

    /// Lets go of a key at `now`, or `until` then. Whether it was held until now, and nobody else held or wrote it meanwhile.
    pub fn let_go(&self, key: &[u8], id: u64, now: u64, until: Option<u64>) -> bool {
        let mut inner = lock(&self.inner);
        let Some(holders) = inner.keys.get_mut(key) else { return false };
        let alone = holders.iter().any(|own| own.id == id && !own.disturbed && own.until > now);
        holders.retain(|holder| holder.id != id);
        holders.iter_mut().for_each(|other| other.disturbed = true);
        if holders.is_empty() {
            inner.keys.remove(key);
        }
        if let Some(until) = until {
            self.hold(&mut inner, key, id, now, until);
        }
        self.note(&inner);
        alone
    }

    /// Somebody writes a key: its writers learn that, where it has any.
    pub fn disturb(&self, key: &[u8]) {
        if self.count.load(Ordering::Acquire) > 0 {
            let mut inner = lock(&self.inner);
            inner.keys.get_mut(key).into_iter().flatten().for_each(|holder| holder.disturbed = true);
        }
    }

    /// Whether what was read at `since` may be older than a write: the key was held then, or is.
    pub fn covers(&self, key: &[u8], since: u64) -> bool {
        if self.count.load(Ordering::Acquire) == 0 {
            return false;
        }
        let inner = lock(&self.inner);
        inner.keys.get(key).is_some_and(|holders| holders.iter().any(|holder| holder.until > since))
    }

    /// How many writers hold the key at `now`, and for how long the last of them does.
    pub fn of(&self, key: &[u8], now: u64) -> Option<(usize, u64)> {
        let inner = lock(&self.inner);
        let left = |holder: &Holder| holder.until.checked_sub(now).filter(|left| *left > 0);
        let left: Vec<u64> = inner.keys.get(key)?.iter().filter_map(left).collect();
        Some((left.len(), *left.iter().max()?))
    }

    fn hold(&self, inner: &mut Inner, key: &[u8], id: u64, now: u64, until: u64) {
        let name = inner.keys.get_key_value(key).map_or_else(|| Arc::from(key), |(name, _)| name.clone());
        let holders = inner.keys.entry(name.clone()).or_default();
        // A key may be named twice.
        holders.retain(|holder| holder.id != id);
        holders.iter_mut().for_each(|other| other.disturbed = true);
        let disturbed = holders.iter().any(|other| other.until > now);
        holders.push(Holder { id, until, disturbed });
        inner.ends.insert((until.saturating_add(self.linger), name, id));
    }

    /// Forgets holds that ended so long ago that nothing that began within them still goes on.
    fn forget(&self, inner: &mut Inner, now: u64) {
        while inner.ends.first().is_some_and(|(at, _, _)| *at <= now) {
            let Some((at, key, id)) = inner.ends.pop_first() else { return };
            let Some(holders) = inner.keys.get_mut(&key) else { continue };
            holders.retain(|holder| holder.id != id || holder.until.saturating_add(self.linger) > at);
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
        Update { id, keys, ..Update::default() }
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
        holds.let_go(b"a", 1, 20, None);
        assert!(holds.covers(b"a", 20) && holds.covers(b"b", 20));
        holds.let_go(b"b", 1, 20, None);
        holds.let_go(b"a", 2, 20, None);
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
        holds.let_go(b"a", 1, 20, Some(80));
        assert!(holds.covers(b"a", 79) && !holds.covers(b"a", 80));
        holds.begin(update(2, &["b"]), 160, 200).expect("room");
        assert!(holds.covers(b"a", 79), "the first deadline is not its own any more");
        holds.begin(update(3, &["b"]), 180, 200).expect("room");
        assert!(!holds.covers(b"a", 79));
    }

    #[test]
    fn a_writer_knows_whether_it_was_alone() {
        let holds = Holds::new(100);
        let begun = |id: u64| holds.begin(update(id, &["a"]), 0, 50).expect("room");
        begun(1);
        assert!(holds.let_go(b"a", 1, 49, None));
        begun(2);
        assert!(!holds.let_go(b"a", 2, 50, None), "its time was over");
        begun(3);
        holds.disturb(b"b");
        holds.disturb(b"a");
        assert!(!holds.let_go(b"a", 3, 10, None), "it was written");
        begun(4);
        begun(5);
        assert!(!holds.let_go(b"a", 5, 10, None), "another one was there before");
        assert!(!holds.let_go(b"a", 4, 10, None), "another one came and went");
        begun(6);
        holds.let_go(b"a", 6, 10, Some(60));
        holds.begin(update(7, &["a"]), 60, 90).expect("room");
        assert!(holds.let_go(b"a", 7, 70, None), "that hold was over");
    }

    #[test]
    fn updates_are_bounded() {
        let holds = Holds::new(100);
        for id in 0..MAX_UPDATES as u64 {
            holds.begin(update(id, &["a"]), 0, 50).expect("room");
            holds.let_go(b"a", id, 0, None);
        }
        let refused = holds.begin(update(u64::MAX, &["a"]), 0, 50).expect_err("no room");
        assert_eq!(refused.kind(), ErrorKind::Overloaded);
    }
}
