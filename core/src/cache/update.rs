//! `update`: invalidation on a write to the source.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;

use super::CacheService;
use crate::error::{Error, Result};
use crate::host::{Answer, Receipt};
use crate::options::UpdateOptions;

impl CacheService {
    /// Makes a write to the source of these keys, such that no old value of theirs is left when it is done: from before
    /// `write` runs until after it has ended, however that may be, nothing is stored under the keys in any process. A
    /// process that dies in between leaves only that, for `intent_ttl`.
    ///
    /// ```
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    /// # runtime.block_on(async {
    /// use scrubjay::{CacheService, UpdateOptions};
    ///
    /// let cache = CacheService::new("memory://", "shop")?;
    /// cache.set("user:7", "Ada", 60).await?;
    /// let (rows, receipt) = cache
    ///     .update(&["user:7"], UpdateOptions::new(), || async {
    ///         // A transaction, committed here.
    ///         Ok::<_, std::io::Error>(1)
    ///     })
    ///     .await
    ///     .expect("it is written");
    /// assert_eq!((rows, receipt.pending), (1, false));
    /// assert_eq!(cache.get::<String>("user:7").await?, None);
    /// # Ok::<_, scrubjay::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`UpdateError::Write`] with the error of `write`, unchanged: its keys are invalidated all the same, since nobody knows
    /// how far it came. [`UpdateError::Cache`] before it has run: [`InvalidKey`](crate::ErrorKind::InvalidKey),
    /// [`InvalidOption`](crate::ErrorKind::InvalidOption), [`Closed`](crate::ErrorKind::Closed),
    /// [`Overloaded`](crate::ErrorKind::Overloaded), and with `strict`
    /// [`Unavailable`](crate::ErrorKind::Unavailable) or [`Unsupported`](crate::ErrorKind::Unsupported). After it, only
    /// `Closed`: the cache was closed meanwhile. Otherwise a shared tier that cannot be reached is no error: the
    /// receipt is `pending`, and the invalidation is retried until it lands.
    ///
    /// # Cancel safety
    /// A future that is dropped, or a write that panics, ends the update as well: the keys are invalidated behind.
    pub async fn update<T, E, F, Fut>(
        &self,
        keys: &[&str],
        options: UpdateOptions,
        write: F,
    ) -> std::result::Result<(T, Receipt), UpdateError<E>>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = std::result::Result<T, E>>,
    {
        let names: Vec<&[u8]> = keys.iter().map(|key| key.as_bytes()).collect();
        let begun = self.ask(|reply| self.tiers().begin_update(&names, &options, reply)).await;
        let lease = match begun.map_err(UpdateError::Cache)? {
            Answer::Lead(lease) => lease,
            answer => return Err(UpdateError::Cache(super::unexpected(&answer))),
        };
        // The lease is dropped with this future, or by a panic: then the update ends behind.
        let written = write().await;
        let ended = self.end_update(lease.id()).await;
        // It has ended, and dropping it changes nothing.
        drop(lease);
        let written = written.map_err(UpdateError::Write)?;
        Ok((written, ended.map_err(UpdateError::Cache)?))
    }

    async fn end_update(&self, lease: u64) -> Result<Receipt> {
        self.write(|reply| self.tiers().end_update(lease, reply)).await
    }
}

/// Why an [`update`](CacheService::update) failed.
#[derive(Debug)]
pub enum UpdateError<E> {
    /// The write failed, with this error of its own.
    Write(E),
    /// The write has not run, or the cache was closed while it ran.
    Cache(Error),
}

impl<E: fmt::Display> fmt::Display for UpdateError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UpdateError::Write(error) => write!(f, "update: the write failed: {error}"),
            UpdateError::Cache(error) => error.fmt(f),
        }
    }
}

impl<E: StdError + 'static> StdError for UpdateError<E> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            UpdateError::Write(error) => Some(error),
            UpdateError::Cache(error) => Some(error),
        }
    }
}
