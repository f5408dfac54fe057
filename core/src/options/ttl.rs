//! How long a value is fresh, as a call says it.

use std::time::Duration;

use crate::codec::Codec;
use crate::error::{Error, ErrorKind, Result};

/// The shortest ttl: 1 ms.
pub const MIN_TTL: Duration = Duration::from_millis(1);
/// The longest ttl: 365 days.
pub const MAX_TTL: Duration = Duration::from_secs(365 * 24 * 3600);

/// How long a value is fresh: a number of seconds, a [`Duration`], or the cache's default.
///
/// Zero, less than 1 ms and more than 365 days are refused by the call with
/// [`ErrorKind::InvalidOption`]; there is no "for ever".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ttl {
    /// The `ttl` option of the cache.
    #[default]
    Default,
    /// This long.
    Of(Duration),
}

impl From<u64> for Ttl {
    fn from(seconds: u64) -> Self {
        Ttl::Of(Duration::from_secs(seconds))
    }
}

impl From<Duration> for Ttl {
    fn from(duration: Duration) -> Self {
        Ttl::Of(duration)
    }
}

impl Ttl {
    /// From a number of seconds, as Python and Node give it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOption`] for what is not 1 ms to 365 days, NaN and infinities included.
    pub fn from_seconds(seconds: f64) -> Result<Self> {
        let in_range = seconds >= MIN_TTL.as_secs_f64() && seconds <= MAX_TTL.as_secs_f64();
        if !in_range {
            return Err(out_of_range("set", seconds));
        }
        Ok(Ttl::Of(Duration::from_secs_f64(seconds)))
    }

    /// From a number of milliseconds, as C and Go give it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOption`] for what is not 1 ms to 365 days.
    pub fn from_millis(millis: i64) -> Result<Self> {
        let duration = u64::try_from(millis).map(Duration::from_millis);
        match duration {
            Ok(duration) if (MIN_TTL..=MAX_TTL).contains(&duration) => Ok(Ttl::Of(duration)),
            #[expect(clippy::cast_precision_loss, reason = "only shown to the reader")]
            _ => Err(out_of_range("set", millis as f64 / 1000.0)),
        }
    }

    /// The duration meant, checked.
    pub(crate) fn resolve(self, operation: &'static str, default: Duration) -> Result<Duration> {
        match self {
            Ttl::Default => Ok(default),
            Ttl::Of(ttl) if (MIN_TTL..=MAX_TTL).contains(&ttl) => Ok(ttl),
            Ttl::Of(ttl) => Err(out_of_range(operation, ttl.as_secs_f64())),
        }
    }
}

fn out_of_range(operation: &'static str, seconds: f64) -> Error {
    let message = format!("ttl must be 0.001 to 31536000 seconds (365 days), is {seconds}");
    Error::new(ErrorKind::InvalidOption, operation, message)
}

/// How a value is stored. A number of seconds or a [`Duration`] turns into one.
#[derive(Clone, Debug, Default)]
pub struct SetOptions {
    pub(crate) ttl: Ttl,
    pub(crate) codec: Option<Codec>,
    pub(crate) tags: Vec<String>,
}

impl SetOptions {
    /// The cache's defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// How long the value is fresh.
    #[must_use]
    pub fn ttl(mut self, ttl: impl Into<Ttl>) -> Self {
        self.ttl = ttl.into();
        self
    }

    /// The codec to store the value in, if it is not the cache's own.
    #[must_use]
    pub fn codec(mut self, codec: Codec) -> Self {
        self.codec = Some(codec);
        self
    }

    /// The tags of the entry, by which [`CacheService::invalidate_tags`](crate::CacheService::invalidate_tags) ends it: at
    /// most 16 (the option `max_tags`), each 1 to 128 bytes.
    #[must_use]
    pub fn tags<T: Into<String>>(mut self, tags: impl IntoIterator<Item = T>) -> Self {
        self.tags = tags.into_iter().map(Into::into).collect();
        self
    }
}

impl From<Ttl> for SetOptions {
    fn from(ttl: Ttl) -> Self {
        SetOptions { ttl, ..SetOptions::default() }
    }
}

impl From<u64> for SetOptions {
    fn from(seconds: u64) -> Self {
        Ttl::from(seconds).into()
    }
}

impl From<Duration> for SetOptions {
    fn from(duration: Duration) -> Self {
        Ttl::from(duration).into()
    }
}
