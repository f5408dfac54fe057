//! What all tasks of the worker share.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use scrubjay::CacheService;
use serde::{Deserialize, Serialize};

use crate::log::Log;
use crate::truth::Truth;

#[derive(Deserialize)]
pub struct Config {
    pub options: serde_json::Value,
    pub truth: String,
    pub log: String,
    pub worker: u16,
    pub workers: u32,
    pub keys: u32,
    pub readers: u64,
    pub pace: f64,
    pub writes: f64,
    pub padding: usize,
    pub fail: f64,
    pub seed: u64,
}

/// A value names its key and its version.
#[derive(Serialize, Deserialize)]
pub struct Value {
    pub k: u32,
    pub v: i64,
    pub p: String,
}

pub struct Worker {
    pub config: Config,
    pub cache: CacheService,
    pub truth: Truth,
    pub log: Log,
    padding: String,
    stopped_reading: AtomicBool,
    stopped_writing: AtomicBool,
    /// How many writes have returned that had not reached the shared tier, and how many of these have since.
    returned: AtomicU64,
    landed: AtomicU64,
}

impl Worker {
    pub async fn start(config: Config) -> Self {
        let cache = CacheService::from_options_json(&config.options.to_string()).expect("the options are good");
        Worker {
            cache,
            truth: Truth::connect(&config.truth).await,
            log: Log::open(&config.log, config.worker),
            padding: ".".repeat(config.padding),
            stopped_reading: AtomicBool::new(false),
            stopped_writing: AtomicBool::new(false),
            returned: AtomicU64::new(0),
            landed: AtomicU64::new(0),
            config,
        }
    }

    /// The staleness that the cache claims now.
    pub fn bound(&self) -> Option<Duration> {
        self.cache.effective_staleness_bound()
    }

    pub fn value(&self, key: u32, ver: i64) -> Value {
        Value { k: key, v: ver, p: self.padding.clone() }
    }

    pub fn stop_reading(&self) {
        self.stopped_reading.store(true, Ordering::SeqCst);
    }

    pub fn stop_writing(&self) {
        self.stopped_writing.store(true, Ordering::SeqCst);
    }

    pub fn is_reading(&self) -> bool {
        !self.stopped_reading.load(Ordering::SeqCst)
    }

    pub fn is_writing(&self) -> bool {
        !self.stopped_writing.load(Ordering::SeqCst)
    }

    /// A write has returned, and was written down, that has not reached the shared tier.
    pub fn note_pending(&self) {
        self.returned.fetch_add(1, Ordering::SeqCst);
    }

    pub fn returned(&self) -> u64 {
        self.returned.load(Ordering::SeqCst)
    }

    pub fn note_landed(&self, returned: u64) {
        self.landed.store(returned, Ordering::SeqCst);
    }

    pub fn is_pending(&self) -> bool {
        self.returned() > self.landed.load(Ordering::SeqCst)
    }
}

pub fn name(key: u32) -> String {
    format!("key:{key}")
}

/// The key of a name.
pub fn number(name: &str) -> u32 {
    name.rsplit(':').next().and_then(|number| number.parse().ok()).expect("a name of ours")
}

/// Some values end soon, so that they are refreshed and loaded again without any write.
pub fn ttl(key: u32) -> Duration {
    if key % 8 == 5 { Duration::from_millis(300) } else { Duration::from_secs(60) }
}

/// Whether this version of the key says that there is nothing.
pub fn is_absent(key: u32, ver: i64) -> bool {
    key % 4 == 3 && ver % 4 == 3
}
