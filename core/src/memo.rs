//! `cached`: a function whose results are kept.

use std::future::Future;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::cache::{CacheService, Fetched};
use crate::codec::Codec;
use crate::error::{Error, ErrorKind, Result};
use crate::key::template::{Arg, Template, default_key};
use crate::options::{SetOptions, Ttl};

/// How the results of a function are kept: under which keys, and for how long.
#[derive(Clone, Debug)]
pub struct CachedOptions {
    key: Key,
    set: SetOptions,
    tags: Vec<String>,
}

#[derive(Clone, Debug)]
enum Key {
    Template(String),
    Name(String),
}

impl CachedOptions {
    /// Keys from a template: `{0}` is the argument, or the first part of a tuple, `{1}` the second; `{name}` is the
    /// field of that name of a struct or map. `{{` and `}}` are braces.
    ///
    /// Strings, integers, floats, booleans and none can stand in a key. What is not `[A-Za-z0-9_.-]` in them is
    /// escaped, so that no two arguments meet in one key.
    pub fn new(template: impl Into<String>) -> Self {
        CachedOptions { key: Key::Template(template.into()), set: SetOptions::new(), tags: Vec::new() }
    }

    /// Keys from a name and the argument as JSON, each behind its length.
    pub fn named(name: impl Into<String>) -> Self {
        CachedOptions { key: Key::Name(name.into()), set: SetOptions::new(), tags: Vec::new() }
    }

    /// How long a result is fresh: a number of seconds or a `Duration`. Default: the cache's.
    #[must_use]
    pub fn ttl(mut self, ttl: impl Into<Ttl>) -> Self {
        self.set = self.set.ttl(ttl);
        self
    }

    /// The tags of results, from templates as those of [`CachedOptions::new`].
    #[must_use]
    pub fn tags<T: Into<String>>(mut self, templates: impl IntoIterator<Item = T>) -> Self {
        self.tags = templates.into_iter().map(Into::into).collect();
        self
    }

    /// The codec to store results in. Default: the cache's.
    #[must_use]
    pub fn codec(mut self, codec: Codec) -> Self {
        self.set = self.set.codec(codec);
        self
    }
}

/// A function with its results kept: see [`cached`].
pub struct Cached<F> {
    cache: CacheService,
    key: std::result::Result<KeyMaker, Error>,
    tags: Result<Vec<Template>>,
    set: SetOptions,
    function: F,
}

enum KeyMaker {
    Template(Template),
    Name(String),
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
    let key = match options.key {
        Key::Template(template) => Template::parse(&template).map(KeyMaker::Template),
        Key::Name(name) => Ok(KeyMaker::Name(name)),
    };
    let tags = options.tags.iter().map(|template| Template::parse_tag(template)).collect();
    Cached { cache: cache.clone(), key, tags, set: options.set, function }
}

impl<F> Cached<F> {
    /// The key under which the result for `argument` is kept.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOption`] for a wrong template, or an argument that cannot stand in a key.
    pub fn key<A: Serialize + ?Sized>(&self, argument: &A) -> Result<String> {
        let json = serde_json::to_value(argument).map_err(|error| unusable(&error.to_string()))?;
        match self.key.as_ref().map_err(Clone::clone)? {
            KeyMaker::Template(template) => render(template, &json),
            KeyMaker::Name(name) => Ok(default_key(name, &json.to_string())),
        }
    }

    /// The tags of the result for `argument`.
    ///
    /// # Errors
    /// As [`Cached::key`].
    pub fn tags<A: Serialize + ?Sized>(&self, argument: &A) -> Result<Vec<String>> {
        let templates = self.tags.as_ref().map_err(Clone::clone)?;
        if templates.is_empty() {
            return Ok(Vec::new());
        }
        let json = serde_json::to_value(argument).map_err(|error| unusable(&error.to_string()))?;
        templates.iter().map(|template| render(template, &json)).collect()
    }

    /// The result of the function for `argument`, kept or made now.
    ///
    /// # Errors
    /// Those of [`CacheService::get_or_fetch`] and of [`Cached::key`].
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
    {
        let key = self.key(&argument)?;
        let options = self.set.clone().tags(self.tags(&argument)?);
        self.cache.get_or_fetch(&key, options, || (self.function)(argument)).await
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
    {
        let key = self.key(&argument)?;
        let options = self.set.clone().tags(self.tags(&argument)?);
        self.cache.get_or_fetch_with(&key, options, || (self.function)(argument)).await
    }

    /// Forgets the result for `argument`.
    ///
    /// # Errors
    /// Those of [`CacheService::delete`] and of [`Cached::key`].
    pub async fn invalidate<A: Serialize + ?Sized>(&self, argument: &A) -> Result<crate::host::Receipt> {
        let key = self.key(argument)?;
        self.cache.delete(&key).await
    }
}

fn render(template: &Template, argument: &Value) -> Result<String> {
    // Numbers are rendered from their digits, which must outlive the placeholders.
    let digits: Vec<Option<String>> =
        template.names().map(|name| find(argument, name).and_then(integer)).collect();
    let mut index = 0;
    template.render(|name| {
        let digits = digits.get(index).and_then(Option::as_deref);
        index += 1;
        match find(argument, name)? {
            Value::Null => Some(Arg::Null),
            Value::Bool(value) => Some(Arg::Bool(*value)),
            Value::String(text) => Some(Arg::Str(text)),
            Value::Number(number) => digits.map(Arg::Int).or_else(|| number.as_f64().map(Arg::Float)),
            Value::Array(_) | Value::Object(_) => None,
        }
    })
}

fn integer(value: &Value) -> Option<String> {
    value.as_number().filter(|number| number.is_i64() || number.is_u64()).map(ToString::to_string)
}

fn find<'a>(argument: &'a Value, name: &str) -> Option<&'a Value> {
    match argument {
        Value::Object(fields) => fields.get(name),
        Value::Array(parts) => parts.get(name.parse::<usize>().ok()?),
        scalar => (name == "0").then_some(scalar),
    }
}

fn unusable(what: &str) -> Error {
    Error::new(ErrorKind::InvalidOption, "cached", format!("key cannot be made from the argument: {what}"))
}

impl<F> std::fmt::Debug for Cached<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cached").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_the_vectors() {
        let vectors: Value =
            serde_json::from_str(include_str!("../../tests/vectors/templates.json")).expect("JSON");
        let cache = CacheService::new("memory://", "").expect("a cache");
        for vector in vectors["vectors"].as_array().expect("a list") {
            let template = vector["template"].as_str().expect("text");
            let made = cached(&cache, CachedOptions::new(template), ()).key(&vector["args"]);
            match vector["key"].as_str() {
                Some(key) => assert_eq!(made.expect(template), key),
                None => assert_eq!(made.expect_err(template).kind(), ErrorKind::InvalidOption),
            }
        }
    }

    #[test]
    fn parts_of_a_tuple_have_numbers() {
        let cache = CacheService::new("memory://", "").expect("a cache");
        let made = cached(&cache, CachedOptions::new("{0}:{1}"), ());
        assert_eq!(made.key(&("a:b", 7)).expect("a key"), "a%3Ab:7");
        let named = cached(&cache, CachedOptions::named("load"), ());
        assert_ne!(named.key(&("a", 7)).expect("a key"), named.key(&("a", "7")).expect("a key"));
    }
}
