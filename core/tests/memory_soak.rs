//! Threads fight over a small memory cache: reused keys, removes, replacements, expiry, clearing, and caches dropped
//! while they hold entries. SCALE=1 is 10 minutes (`make soak-memory`); tests run a few seconds of it. SEED repeats
//! what a thread draws, if not how threads meet.

use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use scrubjay::{EvictReason, MemoryCache};

const FULL: Duration = Duration::from_secs(600);
const THREADS: u32 = 4;
const ROUND: Duration = Duration::from_millis(1_000);
/// A thread that does nothing for so long hangs.
const HANG: Duration = Duration::from_secs(60);
/// What is dead is gone by then, read or not.
const GONE: Duration = Duration::from_secs(30);
/// How late the clock of a cache may be: it moves every few ms, or when a busy host lets the kernel tick.
const CLOCK: Duration = Duration::from_millis(100);

/// The bounds of a cache, and over how many keys the threads fight.
#[derive(Clone, Copy)]
struct Arena {
    entries: Option<u64>,
    bytes: Option<u64>,
    keys: u32,
}

const ARENAS: [Arena; 4] = [
    Arena { entries: Some(1), bytes: None, keys: 16 },
    Arena { entries: Some(64), bytes: None, keys: 200 },
    Arena { entries: None, bytes: Some(64 << 10), keys: 1_000 },
    Arena { entries: Some(3_000), bytes: Some(1 << 20), keys: 10_000 },
];

/// How many values are alive, and how many were ever put in and left.
#[derive(Default)]
struct Census {
    alive: AtomicI64,
    put: AtomicU64,
    left: AtomicU64,
}

struct Value {
    key: u32,
    /// What its key was set to, counted by the thread that owns the key.
    version: u64,
    weight: u64,
    born: Instant,
    /// When it has to be dead, in ms after `born`; 0 until the call that puts it in has returned.
    dead_after_ms: AtomicU64,
    left: AtomicBool,
    census: Arc<Census>,
}

impl Value {
    fn new(census: &Arc<Census>, key: u32, version: u64, weight: u64) -> Arc<Self> {
        census.alive.fetch_add(1, Ordering::Relaxed);
        Arc::new(Value {
            key,
            version,
            weight,
            born: Instant::now(),
            dead_after_ms: AtomicU64::new(0),
            left: AtomicBool::new(false),
            census: census.clone(),
        })
    }

    /// Whether it was dead at `moment` for certain.
    fn was_dead(&self, moment: Instant) -> bool {
        let after = self.dead_after_ms.load(Ordering::Acquire);
        after != 0 && moment > self.born + Duration::from_millis(after) + CLOCK
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        self.census.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

type Cache = MemoryCache<Arc<Value>, u32>;

fn open(arena: Arena, census: &Arc<Census>) -> Cache {
    let census = census.clone();
    let mut builder = MemoryCache::builder().weigher(|_key: &u32, value: &Arc<Value>| value.weight).on_evict(
        move |key, value: &Arc<Value>, _reason: EvictReason| {
            assert_eq!(*key, value.key, "what left stood under another key");
            assert!(!value.left.swap(true, Ordering::Relaxed), "a value left twice");
            census.left.fetch_add(1, Ordering::Relaxed);
        },
    );
    if let Some(entries) = arena.entries {
        builder = builder.max_entries(entries);
    }
    if let Some(bytes) = arena.bytes {
        builder = builder.max_bytes(bytes);
    }
    builder.build()
}

/// What one thread does, one step at a time.
struct Fighter {
    number: u32,
    cache: Cache,
    arena: Arena,
    census: Arc<Census>,
    random: StdRng,
    /// The last version this thread put under each key of its own; `None` after a remove.
    own: Vec<Option<u64>>,
    version: u64,
}

impl Fighter {
    /// Keys that only this thread writes; the others belong to nobody.
    fn owns(&self, key: u32) -> bool {
        key % (2 * THREADS) == self.number
    }

    fn step(&mut self) {
        // Half of the steps go to a tenth of the keys.
        let keys = if self.random.random_bool(0.5) { self.arena.keys.div_ceil(10) } else { self.arena.keys };
        let key = self.random.random_range(0..keys);
        let foreign = key % (2 * THREADS) < THREADS && !self.owns(key);
        match self.random.random_range(0..1_000_u32) {
            0 if self.random.random_bool(0.1) => self.cache.clear(),
            0..350 if !foreign => self.put(key),
            350..450 if !foreign => self.remove(key),
            _ => self.get(key),
        }
    }

    fn put(&mut self, key: u32) {
        self.version += 1;
        // Now and then one that no arena with a bound in bytes can hold.
        let weight = if self.random.random_bool(0.001) { 2 << 20 } else { self.random.random_range(0..300) };
        let value = Value::new(&self.census, key, self.version, weight);
        let ttl = Duration::from_millis(self.random.random_range(1..60));
        self.census.put.fetch_add(1, Ordering::Relaxed);
        self.cache.set(&key, value.clone(), ttl).expect("a good ttl");
        let dead_after = u64::try_from((value.born.elapsed() + ttl).as_millis()).expect("a short time");
        value.dead_after_ms.store(dead_after + 1, Ordering::Release);
        if self.owns(key) {
            self.own[key as usize] = Some(self.version);
        }
    }

    fn remove(&mut self, key: u32) {
        if let Some(value) = self.cache.remove(&key) {
            assert_eq!(value.key, key, "removed: the value of another key");
        }
        if self.owns(key) {
            self.own[key as usize] = None;
            assert!(self.cache.get(&key).is_none(), "key {key} is there after its only writer removed it");
        }
    }

    fn get(&mut self, key: u32) {
        let asked = Instant::now();
        let Some(value) = self.cache.get(&key) else { return };
        assert_eq!(value.key, key, "read: the value of another key");
        assert!(
            !value.was_dead(asked),
            "key {key} was read {:?} after it was set, too late",
            value.born.elapsed()
        );
        if self.owns(key) {
            assert_eq!(
                Some(value.version),
                self.own[key as usize],
                "key {key}: not what its only writer wrote last"
            );
        }
    }
}

/// Fighters at work.
struct Fight {
    cache: Cache,
    stop: Arc<AtomicBool>,
    steps: Vec<Arc<AtomicU64>>,
    threads: Vec<JoinHandle<()>>,
}

impl Fight {
    fn begin(arena: Arena, census: &Arc<Census>, seed: u64) -> Self {
        let cache = open(arena, census);
        let stop = Arc::new(AtomicBool::new(false));
        let (mut steps, mut threads) = (Vec::new(), Vec::new());
        for number in 0..THREADS {
            let done = Arc::new(AtomicU64::new(0));
            let mut fighter = Fighter {
                number,
                cache: cache.clone(),
                arena,
                census: census.clone(),
                random: StdRng::seed_from_u64(seed ^ (u64::from(number) << 48)),
                own: vec![None; arena.keys as usize],
                version: 0,
            };
            steps.push(done.clone());
            let stop = stop.clone();
            threads.push(std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    fighter.step();
                    done.fetch_add(1, Ordering::Relaxed);
                }
            }));
        }
        Fight { cache, stop, steps, threads }
    }

    /// Watches the bounds until `end`, and that every thread gets on.
    fn watch(&self, arena: Arena, end: Instant) {
        let mut seen: Vec<(u64, Instant)> = vec![(0, Instant::now()); self.steps.len()];
        while Instant::now() < end {
            self.check_bounds(arena);
            for (thread, (steps, since)) in self.steps.iter().zip(&mut seen) {
                let now = thread.load(Ordering::Relaxed);
                if now != *steps {
                    (*steps, *since) = (now, Instant::now());
                }
                assert!(since.elapsed() < HANG, "a thread hangs after {now} steps");
            }
            std::thread::yield_now();
        }
    }

    fn check_bounds(&self, arena: Arena) {
        let (entries, bytes) = (self.cache.len() as u64, self.cache.weight());
        assert!(arena.entries.is_none_or(|most| entries <= most), "{entries} entries");
        assert!(arena.bytes.is_none_or(|most| bytes <= most), "{bytes} bytes");
    }

    /// Ends the fight; how many steps there were.
    fn end(&mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        poll("the threads end", HANG, || self.threads.iter().all(JoinHandle::is_finished));
        for thread in self.threads.drain(..) {
            if let Err(why) = thread.join() {
                std::panic::resume_unwind(why);
            }
        }
        self.steps.iter().map(|steps| steps.load(Ordering::Relaxed)).sum()
    }
}

fn poll(what: &str, within: Duration, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + within;
    while !done() {
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
        std::thread::yield_now();
    }
}

fn from_environment<T: FromStr + Display>(name: &str, otherwise: T) -> T {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn nothing_is_mixed_up_kept_or_lost_under_contention() {
    let (seed, scale) = (from_environment("SEED", 0x5c2b_u64), from_environment("SCALE", 0.005_f64));
    println!("seed {seed}");
    let end = Instant::now() + FULL.mul_f64(scale).max(ROUND * 4);
    let (mut steps, mut rounds) = (0, 0);
    while Instant::now() < end {
        let arena = ARENAS[rounds % ARENAS.len()];
        let census = Arc::new(Census::default());
        let mut fight = Fight::begin(arena, &census, seed ^ ((rounds as u64) << 16));
        fight.watch(arena, Instant::now() + ROUND);
        steps += fight.end();
        // Every other time the cache goes while it holds entries.
        let dropped = rounds / ARENAS.len() % 2 == 1;
        if !dropped {
            poll("all entries have expired unread", GONE, || fight.cache.is_empty());
            assert_eq!(fight.cache.weight(), 0, "bytes of no entry");
            let (put, left) = (&census.put, &census.left);
            poll("every value has left, and once", GONE, || {
                left.load(Ordering::Relaxed) == put.load(Ordering::Relaxed)
            });
        }
        drop(fight);
        poll("all values are dropped", GONE, || census.alive.load(Ordering::Relaxed) == 0);
        rounds += 1;
    }
    println!("{rounds} rounds, {steps} steps");
}
