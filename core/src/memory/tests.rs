//! The cache as a whole: against a model, its policy, its manners towards user code, and under threads.

mod background;
mod model;
mod policy;
#[cfg(feature = "shuttle")]
mod schedules;
mod semantics;
mod slots;
mod threads;
mod user_code;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::store::{Listener, Size, Store, Weigher};
use super::{EvictReason, MemoryCache};
use crate::clock::{Clock, ManualClock};

const MINUTE: Duration = Duration::from_secs(60);

/// A cache with as many shards as asked for, which the builder derives from bound and machine.
struct Setup<V> {
    max_bytes: u64,
    max_entries: u64,
    shards: usize,
    clock: Clock,
    weigher: Weigher<V, String>,
    listener: Option<Listener<V, String>>,
}

impl<V: Send + Sync + 'static> Setup<V> {
    fn new() -> (Self, ManualClock) {
        let (clock, hand) = Clock::manual();
        let setup = Setup {
            max_bytes: u64::MAX,
            max_entries: u64::MAX,
            shards: 1,
            clock,
            weigher: Box::new(|_, _| 0),
            listener: None,
        };
        (setup, hand)
    }

    fn build(self) -> MemoryCache<V> {
        let Setup { max_bytes, max_entries, shards, .. } = self;
        let size = Size { max_bytes, max_entries, shards, slots: max_entries.min(1 << 16), is_indexed: true };
        MemoryCache { store: Store::new(&size, self.clock, self.weigher, self.listener) }
    }
}

/// What a listener has heard.
type Log<V> = Arc<Mutex<Vec<(String, V, EvictReason)>>>;

fn log<V: Clone + Send + 'static>() -> (Log<V>, Listener<V, String>) {
    let log = Log::default();
    let ours = log.clone();
    let listener = move |key: &String, value: &V, reason| {
        ours.lock().unwrap().push((key.clone(), value.clone(), reason));
    };
    (log, Box::new(listener))
}

/// Polls until `done`, and fails after 20 s.
fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < deadline, "not within 20 s: {what}");
        std::thread::yield_now();
    }
}
