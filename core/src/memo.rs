//! `cached`: a function whose results are kept.

mod asked;
mod options;

use std::future::Future;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cache::{CacheService, Fetched};
use crate::error::{Error, ErrorKind, Result};
use crate::host::Receipt;
use crate::key::serde_arg;
use crate::key::template::{Arg, First, Named, Part, Path, Template};
use crate::options::SetOptions;

pub use asked::{By, TagsOf, Unasked, Unless};
pub use options::CachedOptions;

use options::Key;

/// A function with its results kept: see [`cached`].
pub struct Cached<F, G = Unasked, U = Unasked> {
    cache: CacheService,
    key: Result<KeyMaker>,
    tags: Result<Vec<Template>>,
    options: CachedOptions,
    tags_by: G,
    unless: U,
    function: F,
}

enum KeyMaker {
    Template(Template),
    Name(Named),
}

/// Keeps the results of `function` in `cache`, by [`CacheService::get_or_fetch`]: of all callers with equal
/// arguments one runs the function. A wrong template is the error of every call.
///
/// ```
/// use scrubjay::{CacheService, CachedOptions, cached};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> scrubjay::Result<()> {
/// let cache = CacheService::new("memory://", "shop")?;
/// let user_name = cached(&cache, CachedOptions::new("user:{0}").ttl(300), |id: u64| async move {
///     Ok::<_, std::io::Error>(format!("user number {id}"))
/// });
/// assert_eq!(user_name.call(7).await?, "user number 7");
/// assert_eq!(cache.get::<String>("user:7").await?, Some("user number 7".to_owned()));
/// # Ok(())
/// # }
/// ```
pub fn cached<F>(cache: &CacheService, options: CachedOptions, function: F) -> Cached<F> {
    let key = match &options.key {
        Key::Template(template) => Template::parse(template).map(KeyMaker::Template),
        Key::Name(name) => Named::new(name).map(KeyMaker::Name),
    };
    let tags = options.tags.iter().map(|template| Template::parse_tag(template)).collect();
    Cached { cache: cache.clone(), key, tags, options, tags_by: Unasked, unless: Unasked, function }
}

impl<F, G, U> Cached<F, G, U> {
    /// Adds tags that are made from the argument.
    ///
    /// ```
    /// # use scrubjay::{CacheService, CachedOptions, cached};
    /// # fn example(cache: &CacheService) {
    /// let user = cached(cache, CachedOptions::new("user:{0}"), |id: u64| async move { Ok::<_, std::io::Error>(id) })
    ///     .tags_by(|id: &u64| vec![format!("shard:{}", id % 8)]);
    /// # drop(user);
    /// # }
    /// ```
    #[must_use]
    pub fn tags_by<H>(self, tags: H) -> Cached<F, By<H>, U> {
        let Cached { cache, key, tags: templates, options, unless, function, .. } = self;
        Cached { cache, key, tags: templates, options, tags_by: By(tags), unless, function }
    }

    /// Does not keep the results for which `is_unkept` is true. Those who wait for such a result get it too; what was kept
    /// before stays.
    ///
    /// ```
    /// # use scrubjay::{CacheService, CachedOptions, cached};
    /// # fn example(cache: &CacheService) {
    /// let found = cached(cache, CachedOptions::new("search:{0}"), |text: String| async move {
    ///     Ok::<_, std::io::Error>(Vec::<u64>::new())
    /// })
    /// .unless(|found: &Vec<u64>| found.is_empty());
    /// # drop(found);
    /// # }
    /// ```
    #[must_use]
    pub fn unless<V>(self, is_unkept: V) -> Cached<F, G, By<V>> {
        let Cached { cache, key, tags, options, tags_by, function, .. } = self;
        Cached { cache, key, tags, options, tags_by, unless: By(is_unkept), function }
    }

    /// The key under which the result for `argument` is kept.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOption`] for a wrong template, or an argument that cannot stand in a key.
    pub fn get_key<A: Serialize + ?Sized>(&self, argument: &A) -> Result<String> {
        self.key_of(read(argument)?)
    }

    /// The tags of the result for `argument`.
    ///
    /// # Errors
    /// As [`Cached::get_key`].
    pub fn get_tags<A: Serialize + ?Sized>(&self, argument: &A) -> Result<Vec<String>>
    where
        G: TagsOf<A>,
    {
        let templates = self.tags.as_ref().map_err(Clone::clone)?;
        let mut tags = self.tags_by.tags_of(argument);
        if !templates.is_empty() {
            let argument = read(argument)?;
            for template in templates {
                tags.push(template.render(|path| find(&argument, path))?);
            }
        }
        Ok(tags)
    }

    fn key_of(&self, argument: Arg) -> Result<String> {
        match self.key.as_ref().map_err(Clone::clone)? {
            KeyMaker::Template(template) => template.render(|path| find(&argument, path)),
            KeyMaker::Name(name) => Ok(match argument {
                Arg::Tuple(arguments) => name.key(&arguments, &[]),
                argument => name.key(&[argument], &[]),
            }),
        }
    }

    /// The result of the function for `argument`, kept or made now.
    ///
    /// # Errors
    /// Those of [`CacheService::get_or_fetch`] and of [`Cached::get_key`].
    ///
    /// # Cancel safety
    /// As [`CacheService::get_or_fetch`].
    pub async fn call<A, T, E, Fut>(&self, argument: A) -> Result<T>
    where
        A: Serialize,
        T: Serialize + DeserializeOwned,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
        F: Fn(A) -> Fut,
        Fut: Future<Output = std::result::Result<T, E>>,
        G: TagsOf<A>,
        U: Unless<T>,
    {
        let (key, options) = self.place(&argument)?;
        self.load(&key, options, async || (self.function)(argument).await.map(Fetched::new)).await
    }

    /// As [`Cached::call`], of a function that says itself how its result is to be kept.
    ///
    /// # Errors
    /// As [`Cached::call`].
    ///
    /// # Cancel safety
    /// As [`CacheService::get_or_fetch`].
    pub async fn call_with<A, T, E, Fut>(&self, argument: A) -> Result<T>
    where
        A: Serialize,
        T: Serialize + DeserializeOwned,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
        F: Fn(A) -> Fut,
        Fut: Future<Output = std::result::Result<Fetched<T>, E>>,
        G: TagsOf<A>,
        U: Unless<T>,
    {
        let (key, options) = self.place(&argument)?;
        self.load(&key, options, async || (self.function)(argument).await).await
    }

    /// Forgets the result for `argument`, runs the function, and keeps what it returns: what was loaded before this call,
    /// here or in another process, is neither returned nor kept. Where the function fails nothing is kept.
    ///
    /// # Errors
    /// As [`Cached::call`].
    ///
    /// # Cancel safety
    /// As [`CacheService::get_or_fetch`]; what was kept is forgotten.
    pub async fn refresh<A, T, E, Fut>(&self, argument: A) -> Result<T>
    where
        A: Serialize,
        T: Serialize + DeserializeOwned,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
        F: Fn(A) -> Fut,
        Fut: Future<Output = std::result::Result<T, E>>,
        G: TagsOf<A>,
        U: Unless<T>,
    {
        let (key, options) = self.place(&argument)?;
        self.cache.delete(&key).await?;
        self.load(&key, options, async || (self.function)(argument).await.map(Fetched::new)).await
    }

    /// Forgets the result for `argument`.
    ///
    /// # Errors
    /// Those of [`CacheService::delete`] and of [`Cached::get_key`].
    pub async fn invalidate<A: Serialize + ?Sized>(&self, argument: &A) -> Result<Receipt> {
        let key = self.get_key(argument)?;
        self.cache.delete(&key).await
    }

    fn place<A: Serialize>(&self, argument: &A) -> Result<(String, SetOptions)>
    where
        G: TagsOf<A>,
    {
        Ok((self.get_key(argument)?, self.options.set.clone().tags(self.get_tags(argument)?)))
    }

    async fn load<T, E>(
        &self,
        key: &str,
        options: SetOptions,
        fetch: impl AsyncFnOnce() -> std::result::Result<Fetched<T>, E>,
    ) -> Result<T>
    where
        T: Serialize + DeserializeOwned,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
        U: Unless<T>,
    {
        let fetch = || async {
            let fetched = fetch().await?;
            let keep = fetched.keep && !self.unless.passes(&fetched.value);
            Ok::<_, E>(fetched.keep(keep))
        };
        self.cache.get_or_fetch_as(key.as_bytes(), options, self.options.remembers.as_deref(), fetch).await
    }
}

fn read<A: Serialize + ?Sized>(argument: &A) -> Result<Arg> {
    serde_arg::argument(argument).map_err(|error| {
        let message = format!("key cannot be made from the argument: {error}");
        Error::new(ErrorKind::InvalidOption, "cached", message)
    })
}

/// What a placeholder names.
fn find(argument: &Arg, path: &Path) -> Option<Arg> {
    let first = match (&path.first, argument) {
        (First::Position(position), Arg::Tuple(arguments)) => arguments.get(*position)?,
        (First::Position(0), argument) => argument,
        (First::Position(_), _) => return None,
        (First::Name(name), argument) => field(argument, name)?,
    };
    let mut found = first;
    for part in &path.rest {
        found = match (part, found) {
            (Part::Index(index), Arg::List(items) | Arg::Tuple(items)) => items.get(*index)?,
            (Part::Index(index), map) => field(map, &index.to_string())?,
            (Part::Field(name), map) => field(map, name)?,
        };
    }
    Some(found.clone())
}

fn field<'a>(argument: &'a Arg, name: &str) -> Option<&'a Arg> {
    let Arg::Map(entries) = argument else { return None };
    entries.iter().find_map(|(key, value)| matches!(key, Arg::Str(key) if key == name).then_some(value))
}

impl<F, G, U> std::fmt::Debug for Cached<F, G, U> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cached").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
