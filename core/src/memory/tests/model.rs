//! Random calls against a model that learns from the listener what was evicted. So it knows exactly what must be
//! there.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::record::Record;
use super::*;

/// A value: its number, unique in a run, and what it weighs.
type Value = (u64, u64);

#[derive(Clone, Debug)]
enum Op {
    Set { key: u8, weight: u64, ttl: u64 },
    SetUntil { key: u8, life: u64 },
    Get(u8),
    GetWith(u8),
    Contains(u8),
    Remove(u8),
    Advance(u64),
    Sweep(usize),
    Clear,
}

fn op() -> impl Strategy<Value = Op> {
    let ttl = || prop_oneof![1..100_u64, 1..10_000_u64, 1..10_000_000_u64];
    let weight = prop_oneof![8 => 0..200_u64, 1 => 0..10_000_u64];
    prop_oneof![
        40 => (0..30_u8, weight, ttl()).prop_map(|(key, weight, ttl)| Op::Set { key, weight, ttl }),
        5 => (0..30_u8, 0..100_u64).prop_map(|(key, life)| Op::SetUntil { key, life }),
        20 => (0..30_u8).prop_map(Op::Get),
        5 => (0..30_u8).prop_map(Op::GetWith),
        5 => (0..30_u8).prop_map(Op::Contains),
        8 => (0..30_u8).prop_map(Op::Remove),
        8 => ttl().prop_map(Op::Advance),
        4 => (0..50_usize).prop_map(Op::Sweep),
        1 => Just(Op::Clear),
    ]
}

struct Model {
    cache: MemoryCache<Value>,
    hand: ManualClock,
    log: Log<Value>,
    now: u64,
    /// What is in the cache by all we know: number → key and deadline.
    held: BTreeMap<u64, (u8, u64, u64)>,
    seen: u64,
    hits: u64,
    misses: u64,
    evictions: u64,
    expired: u64,
    max_bytes: u64,
    max_entries: u64,
}

fn name(key: u8) -> String {
    format!("key {key}")
}

impl Model {
    fn live(&self, key: u8) -> Option<Value> {
        let found = self.held.iter().find(|(_, (other, deadline, _))| *other == key && *deadline > self.now);
        found.map(|(number, (_, _, weight))| (*number, *weight))
    }

    /// Takes what the listener heard out of the model. `told` is the reason that the last call may have given.
    fn hear(&mut self, told: EvictReason) {
        for (key, (number, _), reason) in std::mem::take(&mut *self.log.lock().unwrap()) {
            let (held_as, deadline, _) = self.held.remove(&number).expect("a value leaves once");
            assert_eq!(name(held_as), key);
            match reason {
                EvictReason::Expired => {
                    assert!(deadline <= self.now);
                    self.expired += 1;
                }
                EvictReason::Capacity => {
                    assert!(deadline > self.now);
                    self.evictions += 1;
                }
                other => {
                    assert!(deadline > self.now);
                    assert_eq!(other, told);
                }
            }
        }
    }

    fn read(&mut self, key: u8, found: Option<Value>) {
        assert_eq!(found, self.live(key), "key {key} at {}", self.now);
        match found {
            Some(_) => self.hits += 1,
            None => self.misses += 1,
        }
    }

    fn insert(&mut self, key: u8, weight: u64, deadline: u64) {
        self.seen += 1;
        let full = Record::<Value, String>::weight_with(weight + name(key).len() as u64);
        self.held.insert(self.seen, (key, deadline, weight));
        let stored = self.cache.set_until(name(key).as_str(), (self.seen, weight), deadline);
        self.hear(EvictReason::Replaced);
        assert_eq!(stored, deadline > self.now && full <= self.max_bytes);
        assert_eq!(self.held.contains_key(&self.seen), stored, "a set is not evicted by itself");
    }

    fn run(&mut self, op: Op) {
        match op {
            Op::Set { key, weight, ttl } => self.insert(key, weight, self.now + ttl),
            Op::SetUntil { key, life } => self.insert(key, 0, (self.now + life).saturating_sub(30)),
            Op::Get(key) => self.read(key, self.cache.get(name(key).as_str())),
            Op::GetWith(key) => self.read(key, self.cache.get_with(name(key).as_str(), |value| *value)),
            Op::Contains(key) => {
                assert_eq!(self.cache.contains(name(key).as_str()), self.live(key).is_some());
            }
            Op::Remove(key) => assert_eq!(self.cache.remove(name(key).as_str()), self.live(key)),
            Op::Advance(by) => {
                self.now += by;
                self.hand.advance(Duration::from_millis(by));
            }
            Op::Sweep(steps) => {
                self.cache.store.remove_expired(steps);
            }
            Op::Clear => self.cache.clear(),
        }
    }

    fn check(&self) {
        let weigh = |(key, _, weight): &(u8, u64, u64)| {
            Record::<Value, String>::weight_with(weight + name(*key).len() as u64)
        };
        let live = || self.held.values().filter(|(_, deadline, _)| *deadline > self.now);
        let (entries, bytes) = (self.cache.len() as u64, self.cache.weight());
        // Dead ones may be on their way out on the ticker's thread, and not heard of yet.
        assert!((live().count() as u64..=self.held.len() as u64).contains(&entries));
        assert!((live().map(weigh).sum::<u64>()..=self.held.values().map(weigh).sum::<u64>()).contains(&bytes));
        assert!(bytes <= self.max_bytes && entries <= self.max_entries);
    }
}

fn check(ops: Vec<Op>, max_bytes: u64, max_entries: u64, shards: usize) {
    let (log, listener) = log();
    let (setup, hand) = Setup::new();
    let now = setup.clock.now_ms();
    let cache = Setup {
        max_bytes,
        max_entries,
        shards,
        weigher: Box::new(|_, value: &Value| value.1),
        listener: Some(listener),
        ..setup
    }
    .build();
    let mut model = Model {
        cache,
        hand,
        log,
        now,
        held: BTreeMap::new(),
        seen: 0,
        hits: 0,
        misses: 0,
        evictions: 0,
        expired: 0,
        max_bytes,
        max_entries,
    };
    for op in ops {
        let told = match op {
            Op::Remove(_) => EvictReason::Removed,
            Op::Clear => EvictReason::Cleared,
            _ => EvictReason::Replaced,
        };
        model.run(op);
        model.hear(told);
        model.check();
    }
    // Everything dies, and nothing is left behind.
    model.run(Op::Advance(20_000_000));
    model.cache.store.remove_expired(usize::MAX);
    assert_eq!((model.cache.len(), model.cache.weight()), (0, 0));
    wait_until("the listener heard of all", || {
        model.hear(EvictReason::Expired);
        model.held.is_empty()
    });
    let stats = model.cache.stats();
    let expected = (model.hits, model.misses, model.evictions, model.expired, 0, 0);
    assert_eq!((stats.hits, stats.misses, stats.evictions, stats.expired, stats.entries, stats.bytes), expected);
}

proptest! {
    #[test]
    fn without_want_of_room(ops in prop::collection::vec(op(), 1..300)) {
        check(ops, u64::MAX, u64::MAX, 1);
    }

    #[test]
    fn bounded_by_entries(ops in prop::collection::vec(op(), 1..300), max in 1..20_u64, log2_shards in 0..3_u32) {
        check(ops, u64::MAX, max, 1_usize << log2_shards);
    }

    #[test]
    fn bounded_by_bytes(ops in prop::collection::vec(op(), 1..300), max in 100..8000_u64, log2_shards in 0..3_u32) {
        check(ops, max, u64::MAX, 1_usize << log2_shards);
    }

    #[test]
    fn bounded_by_both(
        ops in prop::collection::vec(op(), 1..300),
        max_bytes in 100..8000_u64,
        max_entries in 1..20_u64,
        log2_shards in 0..3_u32,
    ) {
        check(ops, max_bytes, max_entries, 1_usize << log2_shards);
    }
}
