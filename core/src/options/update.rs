//! How an update of keys goes.

use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};

/// How long an update holds its keys when a call does not say.
const DEFAULT_INTENT_TTL: Duration = Duration::from_secs(30);
const MIN_INTENT_TTL: Duration = Duration::from_millis(100);
const MAX_HOLD: Duration = Duration::from_secs(3600);

/// How an [`update`](crate::CacheService::update) goes.
#[derive(Clone, Debug, Default)]
pub struct UpdateOptions {
    pub(crate) intent_ttl: Option<Duration>,
    pub(crate) hold: Duration,
    pub(crate) strict: bool,
    pub(crate) tags: Vec<Vec<u8>>,
}

impl UpdateOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// For how long nothing is stored under the keys should the writer die, 100 ms to 1 h; 30 s if it is not given. It must
    /// be longer than the longest transaction: what is read after its end, but before the commit, is stored.
    #[must_use]
    pub fn intent_ttl(mut self, intent_ttl: Duration) -> Self {
        self.intent_ttl = Some(intent_ttl);
        self
    }

    /// For how long after the write nothing is stored under the keys, up to 1 h; not at all if it is not given. For
    /// fetches that read a replica of the source: the bound of its lag.
    #[must_use]
    pub fn hold(mut self, hold: Duration) -> Self {
        self.hold = hold;
        self
    }

    /// Whether the write is not to begin where the shared tier cannot be told of it. Otherwise it begins all the same, and
    /// the invalidation is retried until it lands.
    #[must_use]
    pub fn strict(mut self, strict: bool) -> Self {
        self.strict = strict;
        self
    }

    /// Tags that the write ends, each 1 to 128 bytes of UTF-8: as for the keys, from before the write until its end nothing that
    /// has one of them is stored or read, and then they are invalidated.
    #[must_use]
    pub fn tags<T: Into<Vec<u8>>>(mut self, tags: impl IntoIterator<Item = T>) -> Self {
        self.tags = tags.into_iter().map(Into::into).collect();
        self
    }

    /// The times, checked: that of the intent, and that of the hold after the write.
    pub(crate) fn check(&self) -> Result<(Duration, Duration)> {
        let intent = self.intent_ttl.unwrap_or(DEFAULT_INTENT_TTL);
        if !(MIN_INTENT_TTL..=MAX_HOLD).contains(&intent) {
            return Err(wrong(format!("intent_ttl must be 0.1 to 3600 seconds, is {}", intent.as_secs_f64())));
        }
        if self.hold > MAX_HOLD {
            return Err(wrong(format!("hold must be 0 to 3600 seconds, is {}", self.hold.as_secs_f64())));
        }
        Ok((intent, self.hold))
    }
}

fn wrong(message: String) -> Error {
    Error::new(ErrorKind::InvalidOption, "update", message)
}
