//! `write_through`: reads and writes of a source, through the cache.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{CacheService, HELD, PartialError, held, held_with};
use crate::error::{Error, ErrorKind, Result};
use crate::host::{Answer, Receipt};
use crate::options::{SetOptions, UpdateOptions};

/// The error of a source: any.
pub type SourceError = Box<dyn StdError + Send + Sync>;

/// What a cache stands before: a table, a service. Each method may be left out; what needs it then fails, and the error of
/// the source is an [`Error`] of the kind [`ErrorKind::Unsupported`].
///
/// ```
/// use scrubjay::{Source, SourceError};
/// # #[derive(serde::Serialize, serde::Deserialize)] struct User { name: String }
/// # struct Db;
/// # impl Db {
/// #     async fn user(&self, _: &str) -> Result<Option<User>, std::io::Error> { Ok(None) }
/// #     async fn save(&self, _: &str, _: &User) -> Result<(), std::io::Error> { Ok(()) }
/// # }
/// struct Users(Db);
///
/// impl Source<User> for Users {
///     async fn load(&self, key: &str) -> Result<Option<User>, SourceError> {
///         Ok(self.0.user(key).await?)
///     }
///
///     async fn store(&self, key: &str, user: &User) -> Result<(), SourceError> {
///         Ok(self.0.save(key, user).await?)
///     }
/// }
/// ```
pub trait Source<V: Send + Sync>: Send + Sync {
    /// The value of a key; none where there is none, which is remembered for `negative_ttl`.
    ///
    /// # Errors
    /// The source's own.
    fn load(&self, _key: &str) -> impl Future<Output = std::result::Result<Option<V>, SourceError>> + Send {
        async { Err(unsupported("load").into()) }
    }

    /// The values of many keys; those that have none are left out. By default one `load` after the other.
    ///
    /// # Errors
    /// The source's own.
    fn load_many(
        &self,
        keys: Vec<String>,
    ) -> impl Future<Output = std::result::Result<HashMap<String, V>, SourceError>> + Send {
        async move {
            let mut values = HashMap::with_capacity(keys.len());
            for key in keys {
                if let Some(value) = self.load(&key).await? {
                    values.insert(key, value);
                }
            }
            Ok(values)
        }
    }

    /// Stores the value of a key. When this returns the source has it.
    ///
    /// # Errors
    /// The source's own.
    fn store(&self, _key: &str, _value: &V) -> impl Future<Output = std::result::Result<(), SourceError>> + Send {
        async { Err(unsupported("store").into()) }
    }

    /// Removes a key.
    ///
    /// # Errors
    /// The source's own.
    fn remove(&self, _key: &str) -> impl Future<Output = std::result::Result<(), SourceError>> + Send {
        async { Err(unsupported("remove").into()) }
    }
}

/// Why a write through the cache failed.
#[derive(Debug)]
pub enum StoreError {
    /// The error of the source, unchanged: the key is invalidated.
    Source(SourceError),
    /// The cache's own.
    Cache(Error),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Source(error) => write!(f, "write_through: the source failed: {error}"),
            StoreError::Cache(error) => error.fmt(f),
        }
    }
}

impl StdError for StoreError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            StoreError::Source(error) => Some(&**error),
            StoreError::Cache(error) => Some(error),
        }
    }
}

impl CacheService {
    /// Reads and writes of a source, through this cache: see [`WriteThrough`]. The options say how its values are stored:
    /// a ttl, or [`SetOptions`].
    ///
    /// ```
    /// # use std::collections::HashMap;
    /// # use std::sync::Mutex;
    /// use scrubjay::{CacheService, Source, SourceError};
    ///
    /// #[derive(Default)]
    /// struct Names(Mutex<HashMap<String, String>>);
    ///
    /// impl Source<String> for Names {
    ///     async fn load(&self, key: &str) -> Result<Option<String>, SourceError> {
    ///         Ok(self.0.lock().unwrap().get(key).cloned())
    ///     }
    ///
    ///     async fn store(&self, key: &str, name: &String) -> Result<(), SourceError> {
    ///         self.0.lock().unwrap().insert(key.to_owned(), name.clone());
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let cache = CacheService::new("memory://", "shop")?;
    /// let names = cache.write_through(Names::default(), 60);
    /// assert_eq!(names.get("user:7").await?, None);
    /// names.set("user:7", &"Ada".to_owned()).await?;
    /// assert_eq!(cache.get::<String>("user:7").await?.as_deref(), Some("Ada"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn write_through<V, S>(&self, source: S, options: impl Into<SetOptions>) -> WriteThrough<V, S>
    where
        V: Serialize + DeserializeOwned + Send + Sync,
        S: Source<V>,
    {
        let options = options.into();
        let writing = UpdateOptions::new();
        WriteThrough { cache: self.clone(), source, options, writing, values: PhantomData }
    }
}

/// A source behind a cache: made by [`CacheService::write_through`].
///
/// A write goes to the source first, and then into the cache. Writes of one key in one process follow one another in the
/// order in which they were asked for, each when the one before has ended. From before a write begins until it has ended
/// nothing that is loaded is stored under its key, in any process. When writers of several processes meet on a key, it
/// is left invalidated, since nobody knows whose value the source got last. A write that fails leaves it so too: the cache
/// is never ahead of the source.
#[derive(Clone, Debug)]
pub struct WriteThrough<V, S> {
    cache: CacheService,
    source: S,
    options: SetOptions,
    writing: UpdateOptions,
    values: PhantomData<fn() -> V>,
}

impl<V, S> WriteThrough<V, S>
where
    V: Serialize + DeserializeOwned + Send + Sync,
    S: Source<V>,
{
    /// How writes go: `intent_ttl` must be longer than the slowest of them; with `hold` their values are not stored but loaded
    /// anew after it.
    #[must_use]
    pub fn writing(mut self, options: UpdateOptions) -> Self {
        self.writing = options;
        self
    }

    /// The source.
    pub fn source(&self) -> &S {
        &self.source
    }

    /// The value of a key, from the cache or else from the source, with one load for all who ask; none where the source
    /// has none.
    ///
    /// # Errors
    /// Those of [`CacheService::get_or_fetch`], but [`ErrorKind::NotFound`].
    ///
    /// # Cancel safety
    /// As [`CacheService::get_or_fetch`].
    pub async fn get(&self, key: &str) -> Result<Option<V>> {
        let load = || async {
            let loaded = self.source.load(key).await?;
            loaded.ok_or_else(|| SourceError::from(Error::not_found()))
        };
        match self.cache.get_or_fetch(key, self.options.clone(), load).await {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The values of many keys, with one `load_many` for those that nobody has or loads. Keys without a value are left out.
    ///
    /// # Errors
    /// [`PartialError`], as [`CacheService::get_or_fetch_many`].
    ///
    /// # Cancel safety
    /// As [`CacheService::get_or_fetch`].
    pub async fn get_many(&self, keys: &[&str]) -> std::result::Result<HashMap<String, V>, PartialError<V>> {
        self.cache.get_or_fetch_many(keys, self.options.clone(), |missing| self.source.load_many(missing)).await
    }

    /// Stores a value in the source, and then in the cache.
    ///
    /// # Errors
    /// [`StoreError::Source`] with the error of the source: the key is invalidated. [`StoreError::Cache`] before the source was
    /// asked: [`InvalidKey`](ErrorKind::InvalidKey), [`InvalidValue`](ErrorKind::InvalidValue),
    /// [`InvalidOption`](ErrorKind::InvalidOption), [`Closed`](ErrorKind::Closed), [`Overloaded`](ErrorKind::Overloaded) where too
    /// many writes wait, [`RecursiveFetch`](ErrorKind::RecursiveFetch) where it would wait for the write inside which it is
    /// made, and with `strict` [`Unavailable`](ErrorKind::Unavailable) or [`Unsupported`](ErrorKind::Unsupported). After it only
    /// `Closed`: the source has the value. Otherwise a shared tier that cannot be reached is no error: the receipt is `pending`.
    ///
    /// # Cancel safety
    /// Dropped while it waits for its turn, nothing happens; dropped while the source works, or where that panics, the key is
    /// invalidated behind.
    pub async fn set(&self, key: &str, value: &V) -> std::result::Result<Receipt, StoreError> {
        self.write(key, Some(value), || self.source.store(key, value)).await
    }

    /// Removes a key from the source, and invalidates it. As [`WriteThrough::set`].
    ///
    /// # Errors
    /// Those of [`WriteThrough::set`].
    ///
    /// # Cancel safety
    /// As [`WriteThrough::set`].
    pub async fn delete(&self, key: &str) -> std::result::Result<Receipt, StoreError> {
        self.write(key, None, || self.source.remove(key)).await
    }

    async fn write<F, Fut>(
        &self,
        key: &str,
        value: Option<&V>,
        write: F,
    ) -> std::result::Result<Receipt, StoreError>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = std::result::Result<(), SourceError>>,
    {
        let cache = &self.cache;
        let encoded = value.map(|value| cache.encode("write_through", value, self.options.clone())).transpose();
        let (value, put) = encoded.map_err(StoreError::Cache)?.unzip();
        let (put, held) = (put.unwrap_or_default(), held());
        let begin = cache.ask(|reply| {
            cache.tiers().begin_store(key.as_bytes(), value.as_ref(), &put, &self.writing, &held, reply)
        });
        let lease = match begin.await.map_err(StoreError::Cache)? {
            Answer::Lead(lease) => lease,
            answer => return Err(StoreError::Cache(super::unexpected(&answer))),
        };
        // The lease is dropped with this future, or by a panic: then the write ends behind, and its key is invalidated.
        let written = HELD.scope(held_with(&[lease.id()]), async { write().await }).await;
        let ended = cache
            .write(|reply| match written {
                Ok(()) => cache.tiers().end_store(lease.id(), reply),
                Err(_) => cache.tiers().end_update(lease.id(), reply),
            })
            .await;
        // It has ended, and dropping it changes nothing.
        drop(lease);
        written.map_err(StoreError::Source)?;
        ended.map_err(StoreError::Cache)
    }
}

fn unsupported(method: &'static str) -> Error {
    Error::new(ErrorKind::Unsupported, "write_through", format!("the source has no {method}"))
}
