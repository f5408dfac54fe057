//! Keys whose writes have not reached the source: reads see those writes, whatever the tiers have, and what is loaded
//! meanwhile is not stored.

use std::collections::HashMap;
use std::hash::BuildHasher;

use crate::host::Value;
use crate::sync::{AtomicU64, Ordering, RwLock, read, write};
use crate::write::WriteKind;

/// What reads of a dirty key are to see.
#[derive(Clone, Debug)]
pub(crate) enum View {
    /// This value.
    Value(Value),
    /// That there is nothing.
    Deleted,
    /// What the source has, though it is not the last word: the change that waits is not known here.
    Changing,
}

impl View {
    pub fn of(kind: WriteKind, value: &Value) -> View {
        match kind {
            WriteKind::Set => View::Value(value.clone()),
            WriteKind::Delete => View::Deleted,
            WriteKind::Delta => View::Changing,
        }
    }
}

const SHARDS: usize = 16;

type Shard = HashMap<Box<[u8]>, (u64, View)>;

/// The dirty keys of one cache in this process, and by whose write-behind they are.
pub(crate) struct Dirty {
    shards: [RwLock<Shard>; SHARDS],
    hasher: foldhash::quality::RandomState,
    /// How many there are, for a look without a lock.
    count: AtomicU64,
}

impl Default for Dirty {
    fn default() -> Self {
        Dirty {
            shards: std::array::from_fn(|_| RwLock::new(HashMap::new())),
            hasher: foldhash::quality::RandomState::default(),
            count: AtomicU64::new(0),
        }
    }
}

impl Dirty {
    /// What reads of `key` are to see; none where it is not dirty.
    pub fn of(&self, key: &[u8]) -> Option<View> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        read(self.shard(key)).get(key).map(|(_, view)| view.clone())
    }

    /// Whether what is loaded under `key` is not to be stored.
    pub fn covers(&self, key: &[u8]) -> bool {
        self.count.load(Ordering::Acquire) != 0 && read(self.shard(key)).contains_key(key)
    }

    /// From now on reads of `key` see this; or, of none, what the tiers have, if it was this owner's.
    pub fn set(&self, key: &[u8], owner: u64, view: Option<View>) {
        let mut shard = write(self.shard(key));
        let before = shard.len();
        match view {
            Some(view) => drop(shard.insert(key.into(), (owner, view))),
            None if shard.get(key).is_some_and(|(of, _)| *of == owner) => drop(shard.remove(key)),
            None => {}
        }
        match shard.len().cmp(&before) {
            std::cmp::Ordering::Greater => drop(self.count.fetch_add(1, Ordering::AcqRel)),
            std::cmp::Ordering::Less => drop(self.count.fetch_sub(1, Ordering::AcqRel)),
            std::cmp::Ordering::Equal => {}
        }
    }

    fn shard(&self, key: &[u8]) -> &RwLock<Shard> {
        #[expect(clippy::cast_possible_truncation, reason = "a few bits of it")]
        let index = self.hasher.hash_one(key) as usize % SHARDS;
        &self.shards[index]
    }
}
