//! How the results of a function are kept.

use std::fmt;
use std::sync::Arc;

use crate::cache::Remembers;
use crate::codec::Codec;
use crate::options::{SetOptions, Ttl};

/// How the results of a function are kept: under which keys, and for how long.
#[derive(Clone)]
pub struct CachedOptions {
    pub(super) key: Key,
    pub(super) set: SetOptions,
    pub(super) tags: Vec<String>,
    pub(super) remembers: Option<Arc<Remembers>>,
}

#[derive(Clone, Debug)]
pub(super) enum Key {
    Template(String),
    Name(String),
}

impl CachedOptions {
    /// Keys from a template: `{0}` is the argument, or the first part of a tuple, `{1}` the second; `{name}` is the
    /// field of that name of a struct or map; `{0.name}`, `{user.id}`, `{ids[0]}` and `{by_name[ada]}` lead into them. `{{`
    /// and `}}` are braces.
    ///
    /// Strings, integers, floats, booleans, bytes and none can stand in a key. What is not `[A-Za-z0-9_.-]` in them is
    /// escaped, so that no separator in one imitates one of the template. A template does not tell 7 from "7".
    pub fn new(template: impl Into<String>) -> Self {
        Self::of(Key::Template(template.into()))
    }

    /// Keys from a name and the arguments, like `load_user(7,"se")`: no two different arguments meet in one key, 1, 1.0,
    /// "1" and `true` included, and maps and sets have the same key in whatever order they come. The same name and arguments
    /// make the same key in every language and release; the parts of a tuple are the arguments. Arguments whose text is longer than 256
    /// bytes stand in the key as its SHA-256. See docs/wire-format.md.
    pub fn named(name: impl Into<String>) -> Self {
        Self::of(Key::Name(name.into()))
    }

    fn of(key: Key) -> Self {
        CachedOptions { key, set: SetOptions::new(), tags: Vec::new(), remembers: None }
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

    /// Which errors of the function are remembered, for the cache's `negative_ttl`: callers within that time get
    /// [`ErrorKind::FetchFailed`](crate::ErrorKind::FetchFailed) with the message, in every language, and the function is not run. Nothing
    /// stale is served instead. Default: none are.
    #[must_use]
    pub fn cache_errors(
        mut self,
        remembers: impl Fn(&(dyn std::error::Error + 'static)) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.remembers = Some(Arc::new(remembers));
        self
    }
}

impl fmt::Debug for CachedOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedOptions")
            .field("key", &self.key)
            .field("set", &self.set)
            .field("tags", &self.tags)
            .finish()
    }
}
