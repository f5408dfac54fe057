//! `CacheService`: the face for Rust users. It puts the tiers together and owns no policy.

mod builder;
mod fetched;
mod many;
mod through;
mod update;
mod write_behind;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec;
use crate::error::{Error, ErrorKind, Result};
use crate::explain::Explanation;
use crate::flight::{Generations, Lease, Promise, PromiseReply, Tiers};
use crate::host::{Answer, ConsistencyToken, FetchOptions, PutOptions, Receipt, Step, Value};
use crate::options::{Options, SetOptions};
use crate::stats::Stats;

pub use builder::Builder;
pub use fetched::Fetched;
pub use many::PartialError;
pub use through::{Source, SourceError, StoreError, WriteThrough};
pub use update::UpdateError;
pub use write_behind::{Accepted, Turn, WriteBehind, WriterError};

/// A cache: memory in this process, and behind it the shared tier that its URL names.
///
/// Cloning shares the cache. Opening one starts no thread and opens no socket. Its futures run on any executor
/// and may be dropped at every await: a dropped leader hands its fetch on to the next waiter.
///
/// See the crate documentation for an example.
#[derive(Clone)]
pub struct CacheService(Arc<Generations>);

tokio::task_local! {
    /// The leases inside whose fetches this task runs.
    static HELD: Vec<u64>;
}

impl CacheService {
    /// Opens a cache: `memory://`, `redis://host:port/db`, `rediss://…` or `unix:///path`; keys of different
    /// prefixes never meet.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOption`] naming `url` or `prefix`.
    pub fn new(url: &str, prefix: &str) -> Result<Self> {
        Self::builder().url(url).prefix(prefix).build()
    }

    /// Opens a cache with more options.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Opens a cache with options in JSON: see [`Options::from_json`].
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOption`] naming the option and its limit.
    pub fn from_options_json(json: &str) -> Result<Self> {
        Self::open(Options::from_json(json.as_bytes())?)
    }

    fn open(options: Options) -> Result<Self> {
        Ok(CacheService(Arc::new(Generations::new(options)?)))
    }

    fn tiers(&self) -> &Arc<Tiers> {
        self.0.tiers()
    }

    /// Reads the value of a key; `None` when there is none, or what is stored does not decode into `T`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidKey`], [`ErrorKind::Closed`], [`ErrorKind::Overloaded`] where too many operations, or bytes of
    /// them, are on their way to the shared tier. One that cannot be reached is a miss.
    pub async fn get<T: DeserializeOwned>(&self, key: &(impl AsRef<[u8]> + ?Sized)) -> Result<Option<T>> {
        let key = key.as_ref();
        match self.ask(|reply| self.tiers().get(key, reply)).await? {
            Answer::Hit { value, .. } => Ok(self.decode(key, &value)),
            _ => Ok(None),
        }
    }

    /// Stores a value: for a number of seconds, a `Duration`, or as [`SetOptions`] say.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidKey`], [`ErrorKind::InvalidValue`], [`ErrorKind::InvalidOption`],
    /// [`ErrorKind::Closed`]; [`ErrorKind::Overloaded`] as for [`CacheService::get`]: nothing was stored. A shared tier
    /// that cannot be reached is no error: the receipt is `pending`, and an invalidation of the key is retried until
    /// it lands.
    ///
    /// # Cancel safety
    /// Once polled, the write goes on when the future is dropped.
    pub async fn set<T: Serialize + ?Sized>(
        &self,
        key: &(impl AsRef<[u8]> + ?Sized),
        value: &T,
        options: impl Into<SetOptions>,
    ) -> Result<Receipt> {
        let (value, put) = self.encode("set", value, options.into())?;
        self.write(|reply| self.tiers().set(key.as_ref(), &value, &put, reply)).await
    }

    /// Deletes a key. When this returns, no load that began before can store its value in this process.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidKey`], [`ErrorKind::Closed`], [`ErrorKind::Overloaded`] as for [`CacheService::get`]: nothing
    /// was deleted. A shared tier that cannot be reached is no error: the receipt is `pending`.
    pub async fn delete(&self, key: &(impl AsRef<[u8]> + ?Sized)) -> Result<Receipt> {
        self.write(|reply| self.tiers().delete(key.as_ref(), reply)).await
    }

    /// Invalidates every entry that has one of these tags, however many there are. When this returns, no load that began
    /// before is stored in any tier.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOption`] for a tag that is not 1 to 128 bytes; [`ErrorKind::Closed`], [`ErrorKind::Overloaded`] as
    /// for [`CacheService::get`]: nothing was invalidated. A shared tier that cannot be reached is no error: the receipt is
    /// `pending`, and the invalidation is retried until it lands.
    pub async fn invalidate_tags(&self, tags: &[impl AsRef<str>]) -> Result<Receipt> {
        let tags: Vec<&[u8]> = tags.iter().map(|tag| tag.as_ref().as_bytes()).collect();
        self.write(|reply| self.tiers().invalidate_tags(&tags, reply)).await
    }

    /// Invalidates everything that is stored under the prefix, in both tiers, in one step. When this returns, no load that
    /// began before is stored.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`].
    pub async fn clear(&self) -> Result<Receipt> {
        self.write(|reply| self.tiers().clear(reply)).await
    }

    /// Reads a key, or runs `fetch` and stores what it returns. Of all callers of a key in this process one
    /// runs its fetch; the others get its value, or its error.
    ///
    /// A fetch that returns [`Error::not_found`] is remembered for `negative_ttl`.
    ///
    /// # Errors
    /// [`Error::Fetch`] with the very error of the fetch, for its waiters too; [`ErrorKind::NotFound`],
    /// [`ErrorKind::FetchTimeout`], [`ErrorKind::RecursiveFetch`] when the fetch asks for a key that waits for
    /// it, and those of `get` and `set`, before the fetch runs; but [`ErrorKind::Overloaded`] only where too many
    /// callers wait, or too many keys are being loaded. A shared tier with too much to do is as one that cannot
    /// be reached.
    ///
    /// # Cancel safety
    /// Dropping the future while it waits loses nothing; dropping it while its fetch runs drops the fetch, and
    /// the next caller runs its own. A panic of the fetch does the same.
    pub async fn get_or_fetch<T, E, F, Fut>(
        &self,
        key: &(impl AsRef<[u8]> + ?Sized),
        options: impl Into<SetOptions>,
        fetch: F,
    ) -> Result<T>
    where
        T: Serialize + DeserializeOwned,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
        F: FnOnce() -> Fut,
        Fut: Future<Output = std::result::Result<T, E>>,
    {
        self.get_or_fetch_with(key, options, || async { fetch().await.map(Fetched::new) }).await
    }

    /// As [`CacheService::get_or_fetch`]; the fetch says itself how its value is to be stored, where that is known only
    /// then.
    ///
    /// # Errors
    /// Those of [`CacheService::get_or_fetch`].
    ///
    /// # Cancel safety
    /// As [`CacheService::get_or_fetch`].
    pub async fn get_or_fetch_with<T, E, F, Fut>(
        &self,
        key: &(impl AsRef<[u8]> + ?Sized),
        options: impl Into<SetOptions>,
        fetch: F,
    ) -> Result<T>
    where
        T: Serialize + DeserializeOwned,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
        F: FnOnce() -> Fut,
        Fut: Future<Output = std::result::Result<Fetched<T>, E>>,
    {
        self.get_or_fetch_as(key.as_ref(), options.into(), None, fetch).await
    }

    /// As [`CacheService::get_or_fetch_with`]; `remembers` says which errors of the fetch are remembered for `negative_ttl`.
    pub(crate) async fn get_or_fetch_as<T, E, F, Fut>(
        &self,
        key: &[u8],
        options: SetOptions,
        remembers: Option<&Remembers>,
        fetch: F,
    ) -> Result<T>
    where
        T: Serialize + DeserializeOwned,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
        F: FnOnce() -> Fut,
        Fut: Future<Output = std::result::Result<Fetched<T>, E>>,
    {
        let put = put_options(options);
        let mut bypass_cache = false;
        loop {
            match self.begin(key, &put, bypass_cache).await? {
                Answer::Hit { value, lease: None, .. } | Answer::Stale { value, lease: None } => {
                    match self.decode(key, &value) {
                        Some(decoded) => return Ok(decoded),
                        None if bypass_cache => return Err(other_type()),
                        None => bypass_cache = true,
                    }
                }
                Answer::Hit { value, lease: Some(lease), .. } | Answer::Stale { value, lease: Some(lease) } => {
                    let fresh = self.lead(lease, put, remembers, fetch).await;
                    return match (fresh, self.decode(key, &value)) {
                        // The refresh ahead of the expiry failed: what was there is still good.
                        (Err(_), Some(decoded)) => Ok(decoded),
                        (fresh, _) => fresh,
                    };
                }
                Answer::Lead(lease) => return self.lead(lease, put, remembers, fetch).await,
                Answer::Bypass => {
                    let fetched = fetch().await.map_err(|error| fetch_error(error.into()))?;
                    return Ok(fetched.value);
                }
                answer => return Err(unexpected(&answer)),
            }
        }
    }

    async fn begin(&self, key: &[u8], put: &PutOptions, bypass_cache: bool) -> Result<Answer> {
        let held = held();
        let put = put.clone();
        self.ask(|reply| {
            let o = FetchOptions { put, held: &held, bypass_cache, ..FetchOptions::default() };
            self.tiers().begin(key, &o, reply)
        })
        .await
    }

    /// Runs the fetch of this caller and answers for its lease. Dropped or panicking, it abandons the lease.
    async fn lead<T, E, F, Fut>(
        &self,
        lease: Lease,
        put: PutOptions,
        remembers: Option<&Remembers>,
        fetch: F,
    ) -> Result<T>
    where
        T: Serialize + DeserializeOwned,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
        F: FnOnce() -> Fut,
        Fut: Future<Output = std::result::Result<Fetched<T>, E>>,
    {
        let fetched = HELD.scope(held_with(&[lease.id()]), async { fetch().await }).await;
        let id = lease.into_id();
        match fetched.map_err(|error| fetch_error(error.into())) {
            Ok(fetched) => {
                let Fetched { value, ttl, tags, keep } = fetched;
                let options = SetOptions { ttl, codec: put.codec, tags };
                let encoded = self.encode("get_or_fetch", &value, options);
                let fulfilled = encoded.and_then(|(value, put)| {
                    self.tiers().fulfil(id, &value, &PutOptions { discard: !keep, ..put })
                });
                match fulfilled {
                    Ok(_) => Ok(value),
                    // Its time was over; the value is as good as any for its own caller.
                    Err(error) if error.kind() == ErrorKind::LeaseExpired => Ok(value),
                    Err(error) => {
                        // Ended already where fulfil itself refused the value: then this changes nothing.
                        drop(self.tiers().fail_with(id, &error));
                        Err(error)
                    }
                }
            }
            Err(error) if error.kind() != ErrorKind::NotFound && is_remembered(&error, remembers) => {
                drop(self.tiers().fail_remembered(id, &error));
                Err(error)
            }
            Err(error) => {
                let stale = self.tiers().fail_as(id, &error).ok().flatten();
                let stale = stale.and_then(|value| codec::decode(value.codec, &value.bytes).ok());
                stale.ok_or(error)
            }
        }
    }

    /// Sees to it that reads of these keys which begin after this call find the write of `token`, or a later one, though it
    /// was made in another process: what memory has of them from before it is not for them. A receipt has the token; it
    /// travels as 32 hexadecimal digits, in a cookie or a header.
    ///
    /// ```
    /// # async fn example() -> Result<(), scrubjay::Error> {
    /// # let cache = scrubjay::CacheService::new("redis://localhost:6379", "shop")?;
    /// let cookie = cache.set("user:7", "Ada", 60).await?.token.to_string();
    /// // In another process, for the next request of the same user:
    /// cache.observe(cookie.parse()?, &["user:7"])?;
    /// let name: Option<String> = cache.get("user:7").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::InvalidKey`], [`ErrorKind::Closed`].
    pub fn observe<K: AsRef<[u8]>>(&self, token: ConsistencyToken, keys: &[K]) -> Result<()> {
        let keys: Vec<&[u8]> = keys.iter().map(AsRef::as_ref).collect();
        self.tiers().observe(&keys, token)
    }

    /// How old a hit may be at most, by what is known now: `max_staleness` where memory answers beside a shared tier, nothing
    /// without memory or without a shared tier. None: no bound can be told, for the server has no scripts, so that a value
    /// that was loaded before a delete may be stored after it.
    pub fn effective_staleness_bound(&self) -> Option<Duration> {
        self.tiers().effective_staleness_bound()
    }

    /// What the cache knows of a key: which tier would answer, how old the value is and how long it lives, who loads it and
    /// who is about to write it. It tells neither value nor key, changes nothing and counts as no read.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidKey`], [`ErrorKind::Closed`], [`ErrorKind::Overloaded`]. That the shared tier cannot be asked
    /// is part of the answer.
    pub async fn explain(&self, key: &(impl AsRef<[u8]> + ?Sized)) -> Result<Explanation> {
        match self.ask(|reply| self.tiers().explain(key.as_ref(), reply)).await? {
            Answer::Hit { value, .. } => codec::decode(value.codec, &value.bytes),
            answer => Err(unexpected(&answer)),
        }
    }

    /// A snapshot of the counters.
    pub fn stats(&self) -> Stats {
        self.tiers().stats()
    }

    /// Closes the cache: waiters get [`ErrorKind::Closed`], and invalidations on their way have 5 s to land. The
    /// receipt is `pending` when some did not. Closing twice is allowed.
    ///
    /// # Errors
    /// None so far.
    pub async fn close(&self) -> Result<Receipt> {
        self.write(|reply| self.tiers().close(reply)).await
    }

    /// Makes a call of the tiers and waits for its answer.
    async fn ask(&self, call: impl FnOnce(&PromiseReply) -> Result<Step>) -> Result<Answer> {
        let answer = match started(call)? {
            Ok(answer) => answer,
            Err(promise) => pin!(promise).await,
        };
        if let Answer::Failed(error) = answer { Err(error) } else { Ok(answer) }
    }

    async fn write(&self, call: impl FnOnce(&PromiseReply) -> Result<Step>) -> Result<Receipt> {
        match self.ask(call).await? {
            Answer::Done(receipt) => Ok(receipt),
            answer => Err(unexpected(&answer)),
        }
    }

    fn encode<T: Serialize + ?Sized>(
        &self,
        operation: &'static str,
        value: &T,
        options: SetOptions,
    ) -> Result<(Value, PutOptions)> {
        let (codec, bytes) = codec::encode(operation, value)?;
        Ok((Value { codec, bytes }, put_options(options)))
    }

    /// Decodes what was stored; what does not decode is counted and no error for the reader.
    fn decode<T: DeserializeOwned>(&self, key: &[u8], value: &Value) -> Option<T> {
        match codec::decode(value.codec, &value.bytes) {
            Ok(decoded) => Some(decoded),
            Err(_) => {
                self.tiers().note_undecodable(key);
                None
            }
        }
    }
}

impl std::fmt::Debug for CacheService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CacheService").finish_non_exhaustive()
    }
}

/// Begins a call: its answer, or the promise of it. The reply is not held across an await.
fn started(call: impl FnOnce(&PromiseReply) -> Result<Step>) -> Result<std::result::Result<Answer, Promise>> {
    let reply = PromiseReply::default();
    match call(&reply)? {
        Step::Ready(answer) => Ok(Ok(answer)),
        Step::Pending => reply.take().map(Err).ok_or_else(|| unexpected(&Answer::Miss)),
    }
}

fn put_options(options: SetOptions) -> PutOptions {
    let tags = options.tags.into_iter().map(String::into_bytes).collect();
    PutOptions { ttl: options.ttl, codec: options.codec, tags, discard: false }
}

/// Which errors of a fetch are remembered.
pub(crate) type Remembers = dyn Fn(&(dyn std::error::Error + 'static)) -> bool + Send + Sync;

fn is_remembered(error: &Error, remembers: Option<&Remembers>) -> bool {
    match error {
        Error::Fetch(error) => remembers.is_some_and(|remembers| remembers(&**error)),
        Error::Cache(_) => false,
    }
}

/// The leases that this task holds.
fn held() -> Vec<u64> {
    HELD.try_with(Clone::clone).unwrap_or_default()
}

fn held_with(leases: &[u64]) -> Vec<u64> {
    let mut held = held();
    held.extend_from_slice(leases);
    held
}

/// The error of a fetch as its caller and waiters see it: "not found" of our own stays itself.
fn fetch_error(error: Box<dyn std::error::Error + Send + Sync>) -> Error {
    match error.downcast::<Error>() {
        Ok(ours) if ours.kind() == ErrorKind::NotFound => Error::not_found(),
        Ok(ours) => Error::Fetch(Arc::new(*ours)),
        Err(theirs) => Error::Fetch(Arc::from(theirs)),
    }
}

fn other_type() -> Error {
    let message = "what another caller fetched for this key does not decode into the type asked for";
    Error::new(ErrorKind::InvalidValue, "get_or_fetch", message)
}

fn unexpected(answer: &Answer) -> Error {
    Error::new(ErrorKind::Internal, "get_or_fetch", format!("unexpected answer {answer:?}"))
}
