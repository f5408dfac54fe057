//! Every option and every default, once. The builder of Rust and the JSON form of the bindings end here.

mod parse;
mod ttl;
mod update;

use std::time::Duration;

use crate::codec::Codec;
use crate::error::{Error, ErrorKind, Result};
use crate::key::{self, Format};
use crate::tags::{DEFAULT_MAX_TAGS, MAX_TAGS};

pub use ttl::{MAX_TTL, MIN_TTL, SetOptions, Ttl};
pub use update::UpdateOptions;

/// Default bound of the memory tier: 64 MiB.
pub const DEFAULT_L1_BYTES: u64 = 64 << 20;

/// The options of a cache, with their defaults. Durations in JSON are seconds.
#[derive(Clone)]
#[non_exhaustive]
pub struct Options {
    /// `memory://`, or `redis://`, `rediss://` (TLS), `unix://` of the shared tier. Default `memory://`.
    pub url: String,
    /// The namespace of all keys: 0 to 128 bytes of `[A-Za-z0-9_.:-]`. Default empty.
    pub prefix: String,
    /// How long a value is fresh when a call gives no ttl. Default 3600 s.
    pub ttl: Duration,
    /// How long after its ttl a value may still be served when the fetch fails or is slow. Default: ten times
    /// the ttl of the value, at most 1 h.
    pub stale_for: Option<Duration>,
    /// The share of the ttl by which lives are shortened at random, 0 to 0.5. Default 0.1.
    pub jitter: f64,
    /// After this long in a fetch, waiters get the stale value if there is one. Default none.
    pub fetch_soft_timeout: Option<Duration>,
    /// After this long in a fetch, its key is free again and waiters get `FetchTimeout`. Default 30 s.
    pub fetch_hard_timeout: Duration,
    /// The time for all work on the shared tier before a fetch starts. Default 250 ms.
    pub l2_timeout: Duration,
    /// Whether repeated failures of the shared tier cut it off for a while. Default true.
    pub breaker: bool,
    /// How old a hit in memory may be while the shared tier could know better; 0 asks it each time. Default 1 s.
    pub max_staleness: Duration,
    /// The bound of the memory tier in bytes, overhead counted; 0 = no memory tier. Default 64 MiB.
    pub l1_bytes: u64,
    /// A bound of the memory tier in entries, beside that in bytes. Default none.
    pub l1_entries: Option<u64>,
    /// The largest encoded value in bytes, 1 KiB to 512 MiB. Default 8 MiB.
    pub max_value: usize,
    /// Whether each hit decodes a value of its own, which its reader may change. Otherwise Python, Node and Go keep
    /// the decoded value of a hit in their own memory and give it to later readers too. Default false.
    pub isolate: bool,
    /// How long a "not found" of a fetch is remembered. Default 5 s.
    pub negative_ttl: Duration,
    /// How many fetches of this cache may run at once, 1 to 1,000,000. Default 64.
    pub origin_concurrency: usize,
    /// What values are stored as when a call does not say: JSON or MessagePack. Default JSON.
    pub codec: Codec,
    /// How many tags one entry may have, 1 to 64. Default 16.
    pub max_tags: usize,
    /// Whether a hit near its end may draw one caller to refresh the value ahead of its expiry. Default true.
    pub refresh_ahead: bool,
    /// How entries stand in the shared tier: `"plain"` is bare JSON at `prefix:key`, for programs that know nothing of
    /// Scrubjay. Default `"scrubjay"`.
    pub format: Format,
    /// Whether memory follows writes of plain entries by other programs, by the server's tracking of keys; only with the
    /// plain format. Default false: then memory answers for `max_staleness` after a read.
    pub tracking: bool,
    /// A channel whose messages are keys that other programs have changed: they are invalidated. Default none.
    pub subscribe_invalidations: Option<String>,
    /// A channel on which the keys of `set`, `delete` and `update` are told to other programs. Default none.
    pub publish_invalidations: Option<String>,
    /// Roots to trust for `rediss://`: PEM text, or the path of a PEM file. Default: the system's.
    pub tls_ca: Option<String>,
    /// A client certificate for `rediss://`: PEM text or a path; needs `tls_key`.
    pub tls_cert: Option<String>,
    /// The key of `tls_cert`: PEM text or a path.
    pub tls_key: Option<String>,
    /// The ACL user, unless the URL names one.
    pub username: Option<String>,
    /// The password, unless the URL has one.
    pub password: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            url: "memory://".to_owned(),
            prefix: String::new(),
            ttl: Duration::from_secs(3600),
            stale_for: None,
            jitter: 0.1,
            fetch_soft_timeout: None,
            fetch_hard_timeout: Duration::from_secs(30),
            l2_timeout: Duration::from_millis(250),
            breaker: true,
            max_staleness: Duration::from_secs(1),
            l1_bytes: DEFAULT_L1_BYTES,
            l1_entries: None,
            max_value: 8 << 20,
            isolate: false,
            negative_ttl: Duration::from_secs(5),
            origin_concurrency: 64,
            codec: Codec::Json,
            max_tags: DEFAULT_MAX_TAGS,
            refresh_ahead: true,
            format: Format::Scrubjay,
            tracking: false,
            subscribe_invalidations: None,
            publish_invalidations: None,
            tls_ca: None,
            tls_cert: None,
            tls_key: None,
            username: None,
            password: None,
        }
    }
}

impl Options {
    /// Reads the JSON form: an object with the names of the fields above, durations in seconds. Unknown names
    /// are refused.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOption`] naming the option and its limit.
    pub fn from_json(json: &[u8]) -> Result<Self> {
        let options = parse::from_json(json)?;
        options.validate()?;
        Ok(options)
    }

    /// Checks every limit.
    pub(crate) fn validate(&self) -> Result<()> {
        key::check_prefix(&self.prefix)?;
        duration("ttl", self.ttl, MIN_TTL, MAX_TTL)?;
        if let Some(stale_for) = self.stale_for {
            duration("stale_for", stale_for, Duration::ZERO, MAX_TTL)?;
        }
        if !(0.0..=0.5).contains(&self.jitter) {
            return Err(invalid(format!("jitter must be 0 to 0.5, is {}", self.jitter)));
        }
        if let Some(soft) = self.fetch_soft_timeout {
            duration("fetch_soft_timeout", soft, MIN_TTL, HOUR)?;
        }
        duration("fetch_hard_timeout", self.fetch_hard_timeout, MIN_TTL, HOUR)?;
        duration("l2_timeout", self.l2_timeout, MIN_TTL, Duration::from_secs(60))?;
        duration("max_staleness", self.max_staleness, Duration::ZERO, HOUR)?;
        duration("negative_ttl", self.negative_ttl, MIN_TTL, MAX_TTL)?;
        range("l1_bytes", self.l1_bytes, 0, 1 << 46)?;
        if let Some(entries) = self.l1_entries {
            range("l1_entries", entries, 1, 1 << 32)?;
        }
        range("max_value", self.max_value as u64, 1 << 10, 512 << 20)?;
        range("origin_concurrency", self.origin_concurrency as u64, 1, 1_000_000)?;
        range("max_tags", self.max_tags as u64, 1, MAX_TAGS as u64)?;
        if self.codec == Codec::Raw {
            return Err(invalid("codec must be \"json\" or \"msgpack\"; bytes are always raw".to_owned()));
        }
        self.validate_shared()
    }

    /// Checks what says how other programs take part.
    fn validate_shared(&self) -> Result<()> {
        let channels = [
            ("subscribe_invalidations", &self.subscribe_invalidations),
            ("publish_invalidations", &self.publish_invalidations),
        ];
        let channels = channels.into_iter().filter_map(|(name, channel)| Some((name, channel.as_deref()?)));
        let plain = (self.format == Format::Plain).then_some("format");
        if let (true, Some(name)) =
            (self.url == "memory://", plain.or(channels.clone().map(|(name, _)| name).next()))
        {
            return Err(invalid(format!("{name} needs a shared tier, and url is memory://")));
        }
        for (name, channel) in channels {
            if !(1..=MAX_CHANNEL).contains(&channel.len()) {
                return Err(invalid(format!("{name} must be 1 to {MAX_CHANNEL} bytes, has {}", channel.len())));
            }
            if channel.starts_with("sj:{") {
                return Err(invalid(format!("{name} must not begin with sj:{{, as our own channels do")));
            }
        }
        if self.format != Format::Plain && self.tracking {
            return Err(invalid("tracking is of the plain format: others are followed anyway".to_owned()));
        }
        if self.format == Format::Plain && self.codec != Codec::Json {
            return Err(invalid("codec must be \"json\" where format is \"plain\"".to_owned()));
        }
        Ok(())
    }

    /// How long a value with this ttl may be served stale.
    pub(crate) fn stale_for(&self, ttl: Duration) -> Duration {
        self.stale_for.unwrap_or_else(|| ttl.saturating_mul(10).min(HOUR))
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // URL, password and key may hold secrets.
        f.debug_struct("Options").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

const HOUR: Duration = Duration::from_secs(3600);
/// The longest name of a channel in bytes.
const MAX_CHANNEL: usize = 512;

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidOption, "open", message)
}

fn duration(name: &str, value: Duration, min: Duration, max: Duration) -> Result<()> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    let (min, max, value) = (min.as_secs_f64(), max.as_secs_f64(), value.as_secs_f64());
    Err(invalid(format!("{name} must be {min} to {max} seconds, is {value}")))
}

fn range(name: &str, value: u64, min: u64, max: u64) -> Result<()> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(invalid(format!("{name} must be {min} to {max}, is {value}")))
}
