//! Four threads at once.

use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;

use super::*;

static ALIVE: AtomicI64 = AtomicI64::new(0);

/// A value that knows its key and is counted while it exists.
struct Counted {
    key: u64,
    number: u64,
}

impl Counted {
    fn new(key: u64, number: u64) -> Self {
        ALIVE.fetch_add(1, Ordering::Relaxed);
        Counted { key, number }
    }
}

impl Clone for Counted {
    fn clone(&self) -> Self {
        Counted::new(self.key, self.number)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        ALIVE.fetch_sub(1, Ordering::Relaxed);
    }
}

/// xorshift: the same run each time, for what threads allow.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

const THREADS: u64 = 4;
const KEYS: u64 = 400;
const MAX_BYTES: u64 = 40_000;
const MAX_ENTRIES: u64 = 120;

/// Each thread writes keys of its own and reads everybody's. It must find its own last value or none, of others
/// no value of another key.
fn hammer(cache: &MemoryCache<Counted>, hand: &ManualClock, thread: u64, rounds: u64) {
    let mut random = Random(0x9e37_79b9 + thread);
    let mut last = vec![None; KEYS as usize];
    for number in 0..rounds {
        let key = random.below(KEYS);
        let name = format!("key {key}");
        let own = key % THREADS == thread;
        match random.below(100) {
            0..40 if own => {
                let ttl = Duration::from_millis(1 + random.below(5000));
                cache.set(name.as_str(), Counted::new(key, number), ttl).unwrap();
                last[key as usize] = Some(number);
            }
            40..50 if own => {
                let removed = cache.remove(name.as_str()).map(|value| value.number);
                assert!(removed.is_none() || removed == last[key as usize]);
                last[key as usize] = None;
                assert!(!cache.contains(name.as_str()));
            }
            50..51 if number % 64 == 0 => cache.clear(),
            51..53 => hand.advance(Duration::from_millis(random.below(50))),
            53..55 => drop(cache.store.remove_expired(50)),
            _ => {
                let found = cache.get(name.as_str());
                if let Some(found) = found {
                    assert_eq!(found.key, key);
                    assert!(!own || last[key as usize] == Some(found.number), "an old value of key {key}");
                }
            }
        }
        assert!(cache.weight() <= MAX_BYTES && cache.len() as u64 <= MAX_ENTRIES);
    }
}

#[test]
fn hammered_by_four_threads() {
    for shards in [1, 4] {
        let (setup, hand) = Setup::new();
        let weigher: Weigher<Counted, String> = Box::new(|_, value| value.number % 300);
        let cache = Setup { max_bytes: MAX_BYTES, max_entries: MAX_ENTRIES, shards, weigher, ..setup }.build();
        thread::scope(|scope| {
            for thread in 0..THREADS {
                let (cache, hand) = (&cache, &hand);
                scope.spawn(move || hammer(cache, hand, thread, 60_000));
            }
        });
        let stats = cache.stats();
        assert!(stats.hits > 0 && stats.misses > 0 && stats.evictions > 0 && stats.expired > 0, "{stats:?}");
        // What the ticker has taken out, it drops at once.
        wait_until("only what is held is alive", || ALIVE.load(Ordering::Relaxed) == cache.len() as i64);
        cache.clear();
        assert_eq!((cache.len(), cache.weight()), (0, 0));
        wait_until("nothing is alive", || ALIVE.load(Ordering::Relaxed) == 0);
    }
}

#[test]
fn writers_of_one_key_agree_with_its_readers() {
    let cache = MemoryCache::new();
    cache.set("k", 0_u64, MINUTE).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            for n in 1..=20_000 {
                cache.set("k", n, MINUTE).unwrap();
            }
        });
        for _ in 0..2 {
            scope.spawn(|| {
                let mut seen = 0;
                while seen < 20_000 {
                    // A replaced value is never absent, and never comes back.
                    let now = cache.get("k").expect("it is always there");
                    assert!(now >= seen);
                    seen = now;
                }
            });
        }
    });
}
