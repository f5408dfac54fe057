//! Who waits for a batch of writes.

use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::sync::Arc;

use crate::flight::Sink;

/// How large a batch may be, and how long it may take.
#[derive(Clone, Copy, Debug)]
pub struct BatchOptions {
    /// At most so many writes, 1 to 10,000; 0 for 100.
    pub max_items: usize,
    /// At most so many bytes of keys and values, unless it is one write; 0 for 1 MiB.
    pub max_bytes: u64,
    /// For how long the first write waits for others, up to 1 h.
    pub linger: Duration,
    /// How long to wait for the first one; none for as long as it takes. Then the answer is `Miss`.
    pub wait: Option<Duration>,
}

impl Default for BatchOptions {
    fn default() -> Self {
        BatchOptions { max_items: 0, max_bytes: 0, linger: Duration::ZERO, wait: None }
    }
}

/// More writes than this in one batch are refused.
const MAX_ITEMS: usize = 10_000;

impl BatchOptions {
    pub(super) fn checked(mut self) -> Result<Self> {
        let wrong = |message: String| Error::new(ErrorKind::InvalidOption, "next_batch", message);
        if self.max_items > MAX_ITEMS {
            return Err(wrong(format!("max_items must be 0 to {MAX_ITEMS}, is {}", self.max_items)));
        }
        if self.linger > Duration::from_secs(3600) {
            return Err(wrong(format!("linger must be 0 to 3600 seconds, is {}", self.linger.as_secs_f64())));
        }
        if self.max_items == 0 {
            self.max_items = 100;
        }
        if self.max_bytes == 0 {
            self.max_bytes = 1 << 20;
        }
        Ok(self)
    }
}

/// One call of `next_batch` that waits.
pub(super) struct Waiting {
    pub sink: Arc<dyn Sink>,
    pub options: BatchOptions,
    /// When it gives up, in ms of the clock.
    pub until: u64,
    /// When the first write was there for it.
    pub began: Option<u64>,
}

impl Waiting {
    /// When it is to be looked at again.
    pub fn deadline(&self) -> u64 {
        let linger = u64::try_from(self.options.linger.as_millis()).unwrap_or(u64::MAX / 4);
        self.began.map_or(self.until, |began| self.until.min(began + linger))
    }

    /// Whether it goes with `count` writes of `bytes` at `now`.
    pub fn is_content(&self, count: usize, bytes: u64, now: u64) -> bool {
        let linger = u64::try_from(self.options.linger.as_millis()).unwrap_or(u64::MAX / 4);
        count >= self.options.max_items
            || bytes >= self.options.max_bytes
            || self.began.is_some_and(|began| began + linger <= now)
    }
}
