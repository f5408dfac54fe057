//! Counters of one cache, the same fields in every language.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// A snapshot of the counters of one cache since it was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Reads answered by the memory tier.
    pub hits_l1: u64,
    /// Reads answered by the shared tier.
    pub hits_l2: u64,
    /// Reads that found nothing.
    pub misses: u64,
    /// Values served past their ttl because the fetch failed or was slow.
    pub stale_served: u64,
    /// Fetches that callers were asked to run.
    pub loads: u64,
    /// Fetches that failed or ran into their timeout.
    pub load_errors: u64,
    /// Callers that waited for the fetch, or the read of the shared tier, of another one.
    pub waits: u64,
    /// Entries that left the memory tier for want of room.
    pub evictions: u64,
    /// Entries that left the memory tier at the end of their life.
    pub expired: u64,
    /// Keys deleted, and clears.
    pub invalidations: u64,
    /// Invalidations that the shared tier has not got yet.
    pub pending: u64,
    /// Stored values that could not be read and were treated as absent.
    pub decode_misses: u64,
    /// Operations on the shared tier that failed or ran into their timeout.
    pub l2_errors: u64,
    /// Reads of the connection to the shared tier that brought something, made by the core.
    pub driven_by_core: u64,
    /// The same, made by a thread or an event loop that waited for an answer: a reply wakes that one, and no thread of
    /// the core before it.
    pub driven_by_caller: u64,
    /// Sessions with the server in which it told of writes: one more for each time that some were missed, or its
    /// connection was lost.
    pub push_sessions: u64,
    /// How long ago the server was last asked whether it had told everything, and has answered since, in milliseconds:
    /// what memory answers was current then. 0 while it tells nothing.
    pub coherence_lag_ms: u64,
    /// Whether the shared tier is cut off after repeated failures.
    pub breaker_state: BreakerState,
    /// Entries in the memory tier.
    pub entries: u64,
    /// Bytes in the memory tier, overhead counted.
    pub bytes: u64,
}

/// The state of the breaker before the shared tier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum BreakerState {
    /// Operations pass.
    #[default]
    Closed,
    /// Operations are answered at once as if there were no shared tier.
    Open,
    /// One operation tries whether the shared tier is back.
    HalfOpen,
}

impl fmt::Display for BreakerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BreakerState::Closed => "closed",
            BreakerState::Open => "open",
            BreakerState::HalfOpen => "half_open",
        })
    }
}

impl Stats {
    /// The counters by name, in the order of their documentation.
    pub fn counters(&self) -> [(&'static str, u64); 19] {
        [
            ("hits_l1", self.hits_l1),
            ("hits_l2", self.hits_l2),
            ("misses", self.misses),
            ("stale_served", self.stale_served),
            ("loads", self.loads),
            ("load_errors", self.load_errors),
            ("waits", self.waits),
            ("evictions", self.evictions),
            ("expired", self.expired),
            ("invalidations", self.invalidations),
            ("pending", self.pending),
            ("decode_misses", self.decode_misses),
            ("l2_errors", self.l2_errors),
            ("driven_by_core", self.driven_by_core),
            ("driven_by_caller", self.driven_by_caller),
            ("push_sessions", self.push_sessions),
            ("coherence_lag_ms", self.coherence_lag_ms),
            ("entries", self.entries),
            ("bytes", self.bytes),
        ]
    }

    /// The snapshot as a JSON object; `breaker_state` is `"closed"`, `"open"` or `"half_open"`.
    pub fn to_json(&self) -> String {
        let mut json = String::from("{");
        for (name, value) in self.counters() {
            json.push_str(&format!("\"{name}\":{value},"));
        }
        json.push_str(&format!("\"breaker_state\":\"{}\"}}", self.breaker_state));
        json
    }
}

/// The counters themselves, on cache lines of their own.
#[derive(Default)]
pub(crate) struct Counters {
    pub hits_l1: Counter,
    pub hits_l2: Counter,
    pub misses: Counter,
    pub stale_served: Counter,
    pub load_errors: Counter,
    pub waits: Counter,
    pub invalidations: Counter,
    pub decode_misses: Counter,
    pub l2_errors: Counter,
}

/// One counter, padded so that two of them never share a cache line.
#[derive(Default)]
#[repr(align(128))]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
