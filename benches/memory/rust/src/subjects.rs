//! The caches that are compared, each the way its users use it, with its default parameters; keys are hashed
//! with foldhash, the same as ours, wherever the hasher can be chosen.

mod plain;
mod timed;

use std::time::Duration;

pub use plain::{DashMap, Foyer, MutexLru, QuickCache};
pub use timed::{FoyerTtl, MokaTtl, QuickCacheTtl, Scrubjay};

use crate::workload::{Key, Value};

/// The life of an entry, where entries have one: longer than any run.
const TTL: Duration = Duration::from_secs(3600);

type Hasher = foldhash::quality::RandomState;

/// A cache under test.
pub trait Cache: Send + Sync {
    /// As the tables have it.
    const NAME: &'static str;
    /// Whether it keeps a bound.
    const BOUNDED: bool = true;

    /// A cache of at most `entries` entries.
    fn open(entries: u32) -> Self;
    /// What is held under `key`.
    fn get(&self, key: &Key) -> Option<Value>;
    /// Holds `value` under `key`, in the place of what was there.
    fn put(&self, key: Key, value: Value);
    /// How many entries are held.
    fn entries(&self) -> usize;
}
