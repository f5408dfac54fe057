//! What all callers of the soak share: the caches, the counts, the first failure, and who asks for how long.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use scrubjay::CacheService;
use scrubjay::host::Cache;

use crate::keys::Keys;

/// Who drives the connection on which a caller waits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Driver {
    /// A task on the user's runtime; the core drives.
    Tasks,
    /// A thread that waits for its one answer, and drives where it is alone.
    Callers,
    /// A thread that waits for the answers of many, and drives.
    Waiter,
    /// An event loop that is told of answers; the core drives.
    Loop,
}

impl Driver {
    pub const ALL: [Driver; 4] = [Driver::Tasks, Driver::Callers, Driver::Waiter, Driver::Loop];
}

/// One server, direct or by the proxy, with a cache for tasks and one for hosts.
pub struct Side {
    pub service: CacheService,
    pub cache: Cache,
    pub service_keys: Keys,
    pub cache_keys: Keys,
    pub timeout: Duration,
}

impl Side {
    pub fn open(url: &str, name: &str, keys: usize, timeout: Duration, breaker: bool) -> Side {
        static SALTS: AtomicU64 = AtomicU64::new(0);
        let open = |kind: &str| {
            let salt = SALTS.fetch_add(1, Ordering::Relaxed) as u32;
            let seconds = timeout.as_secs_f64();
            let options = format!(
                r#"{{"url": "{url}", "prefix": "{name}.{kind}.{salt}", "l1_bytes": 0, "jitter": 0,
                     "l2_timeout": {seconds}, "breaker": {breaker}}}"#
            );
            (options, Keys::new(keys, salt))
        };
        let (service, service_keys) = open("tasks");
        let (cache, cache_keys) = open("hosts");
        Side {
            service: CacheService::from_options_json(&service).expect("a cache"),
            cache: Cache::open(cache.as_bytes()).expect("a cache"),
            service_keys,
            cache_keys,
            timeout,
        }
    }
}

/// What came of the operations of one driver.
#[derive(Default)]
pub struct Tally {
    pub hits: AtomicU64,
    pub misses: AtomicU64,
    pub written: AtomicU64,
    /// Writes that the server was not known to have.
    pub pending: AtomicU64,
    pub cancelled: AtomicU64,
    /// Those among the misses and the pending that had all of their time.
    pub late: AtomicU64,
}

impl Tally {
    /// Operations that have ended, each once.
    pub fn ended(&self) -> u64 {
        [&self.hits, &self.misses, &self.written, &self.pending, &self.cancelled]
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .sum()
    }
}

/// What an operation came to.
#[derive(Clone, Copy, PartialEq)]
pub enum Outcome {
    Hit,
    Miss,
    Written,
    Pending,
    Cancelled,
}

impl Outcome {
    pub fn of_write(pending: bool) -> Outcome {
        if pending { Outcome::Pending } else { Outcome::Written }
    }

    /// Whether the server has said something for certain.
    pub fn is_answer(self) -> bool {
        matches!(self, Outcome::Hit | Outcome::Written)
    }
}

pub struct World {
    pub tallies: [Tally; 4],
    pub worst_ms: AtomicU64,
    stopping: AtomicBool,
    /// It stops by itself after so many operations.
    most: u64,
    failure: Mutex<Option<String>>,
    since: Instant,
}

impl World {
    pub fn new(most: u64) -> World {
        World {
            most,
            tallies: Default::default(),
            worst_ms: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            failure: Mutex::default(),
            since: Instant::now(),
        }
    }

    /// Milliseconds; never 0.
    pub fn now(&self) -> u64 {
        self.since.elapsed().as_millis() as u64 + 1
    }

    /// Counts an operation that has ended, after so many milliseconds.
    pub fn count(&self, driver: Driver, outcome: Outcome, took_ms: u64, timeout: Duration) {
        let tally = &self.tallies[driver as usize];
        let count = match outcome {
            Outcome::Hit => &tally.hits,
            Outcome::Miss => &tally.misses,
            Outcome::Written => &tally.written,
            Outcome::Pending => &tally.pending,
            Outcome::Cancelled => &tally.cancelled,
        };
        count.fetch_add(1, Ordering::Relaxed);
        if matches!(outcome, Outcome::Miss | Outcome::Pending) && took_ms as u128 >= timeout.as_millis() {
            tally.late.fetch_add(1, Ordering::Relaxed);
        }
        if took_ms > self.worst_ms.load(Ordering::Relaxed) {
            self.worst_ms.fetch_max(took_ms, Ordering::Relaxed);
        }
    }

    pub fn ended(&self) -> u64 {
        self.tallies.iter().map(Tally::ended).sum()
    }

    /// Nobody is to ask anything new.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    pub fn go_on(&self) {
        self.stopping.store(false, Ordering::SeqCst);
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst) || self.most < u64::MAX && self.ended() >= self.most
    }

    /// Something is wrong: the first of it is told at the end, which is now.
    pub fn fail(&self, what: String) {
        self.failure.lock().expect("no panic under it").get_or_insert(what);
        self.stop();
    }

    pub fn failure(&self) -> Option<String> {
        self.failure.lock().expect("no panic under it").clone()
    }
}

/// When an operation of one caller began, for who looks after them all.
#[derive(Default)]
pub struct Began(AtomicU64);

impl Began {
    pub fn at(&self, now: u64) {
        self.0.store(now, Ordering::SeqCst);
    }

    pub fn ended(&self) {
        self.0.store(0, Ordering::SeqCst);
    }

    /// For how long an operation has been on its way; none is.
    pub fn age(&self, now: u64) -> Option<u64> {
        let began = self.0.load(Ordering::SeqCst);
        (began != 0).then(|| now.saturating_sub(began))
    }

    pub fn is_idle(&self) -> bool {
        self.0.load(Ordering::SeqCst) == 0
    }
}
