//! Options of a Rust cache, one method each.

use std::time::Duration;

use super::CacheService;
use crate::codec::Codec;
use crate::error::Result;
use crate::key::Format;
use crate::options::Options;

/// Options of a [`CacheService`]: what is not set has the default that [`Options`] documents.
#[derive(Clone, Debug, Default)]
#[must_use = "a builder does nothing before build()"]
pub struct Builder {
    options: Options,
}

macro_rules! options {
    ($($(#[$doc:meta])* $name:ident: $kind:ty),* $(,)?) => {$(
        $(#[$doc])*
        pub fn $name(mut self, $name: impl Into<$kind>) -> Self {
            self.options.$name = $name.into();
            self
        }
    )*};
}

impl Builder {
    options! {
        /// `memory://`, `redis://…`, `rediss://…` or `unix://…`.
        url: String,
        /// The namespace of all keys: 0 to 128 bytes of `[A-Za-z0-9_.:-]`.
        prefix: String,
        /// How long a value is fresh when a call gives no ttl.
        ttl: Duration,
        /// How long after its ttl a value may be served when the fetch fails or is slow.
        stale_for: Option<Duration>,
        /// The share of the ttl by which lives are shortened at random, 0 to 0.5.
        jitter: f64,
        /// After this long in a fetch, waiters get the stale value if there is one.
        fetch_soft_timeout: Option<Duration>,
        /// After this long in a fetch, its key is free again and waiters get `FetchTimeout`.
        fetch_hard_timeout: Duration,
        /// The time for all work on the shared tier before a fetch starts.
        l2_timeout: Duration,
        /// Whether repeated failures of the shared tier cut it off for a while.
        breaker: bool,
        /// How old a hit in memory may be while the shared tier could know better.
        max_staleness: Duration,
        /// The bound of the memory tier in bytes; 0 = no memory tier.
        l1_bytes: u64,
        /// A bound of the memory tier in entries, beside that in bytes.
        l1_entries: Option<u64>,
        /// The largest encoded value in bytes.
        max_value: usize,
        /// Whether each hit decodes a value of its own. A Rust cache always does.
        isolate: bool,
        /// How long a "not found" of a fetch is remembered.
        negative_ttl: Duration,
        /// How many tags one entry may have, 1 to 64.
        max_tags: usize,
        /// How many fetches may run at once.
        origin_concurrency: usize,
        /// What values are stored as when a call does not say.
        codec: Codec,
        /// Whether a hit near its end may draw one caller to refresh the value.
        refresh_ahead: bool,
        /// How entries stand in the shared tier.
        format: Format,
        /// Whether memory follows writes of plain entries by other programs.
        tracking: bool,
        /// A channel whose messages are keys that other programs have changed.
        subscribe_invalidations: Option<String>,
        /// A channel on which changed keys are told to other programs.
        publish_invalidations: Option<String>,
        /// Roots to trust for `rediss://`: PEM text or a path.
        tls_ca: Option<String>,
        /// A client certificate for `rediss://`: PEM text or a path.
        tls_cert: Option<String>,
        /// The key of `tls_cert`: PEM text or a path.
        tls_key: Option<String>,
        /// The ACL user, unless the URL names one.
        username: Option<String>,
        /// The password, unless the URL has one.
        password: Option<String>,
    }

    /// Opens the cache.
    ///
    /// # Errors
    /// [`InvalidOption`](crate::ErrorKind::InvalidOption) naming the option and its limit.
    pub fn build(self) -> Result<CacheService> {
        CacheService::open(self.options)
    }
}
