//! A fetched value that says itself how it is to be stored.

use crate::options::Ttl;

/// What the fetch of [`CacheService::get_or_fetch_with`](crate::CacheService::get_or_fetch_with) returns: a value, and how it
/// is to be stored, where that is known only now.
///
/// A tag that is named here may have been invalidated while the fetch ran. If nothing is known of it in this process, the
/// value is stored for 2 s and not in memory; the next fetch knows.
///
/// ```
/// use scrubjay::{CacheService, Fetched};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> scrubjay::Result<()> {
/// let cache = CacheService::new("memory://", "shop")?;
/// let post: String = cache
///     .get_or_fetch_with("post:7", 60, || async {
///         let (text, author) = ("Acorns".to_owned(), 3);
///         Ok::<_, std::io::Error>(Fetched::new(text).ttl(300).tags([format!("author:{author}")]))
///     })
///     .await?;
/// assert_eq!(post, "Acorns");
/// cache.invalidate_tags(&["author:3"]).await?;
/// assert_eq!(cache.get::<String>("post:7").await?, None);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Fetched<T> {
    pub(crate) value: T,
    pub(crate) ttl: Ttl,
    pub(crate) tags: Vec<String>,
    pub(crate) keep: bool,
}

impl<T> Fetched<T> {
    /// A value, stored as its call says.
    pub fn new(value: T) -> Self {
        Fetched { value, ttl: Ttl::Default, tags: Vec::new(), keep: true }
    }

    /// How long the value is fresh, instead of what the call says.
    #[must_use]
    pub fn ttl(mut self, ttl: impl Into<Ttl>) -> Self {
        self.ttl = ttl.into();
        self
    }

    /// Tags beside those of the call.
    #[must_use]
    pub fn tags<S: Into<String>>(mut self, tags: impl IntoIterator<Item = S>) -> Self {
        self.tags = tags.into_iter().map(Into::into).collect();
        self
    }

    /// Whether the value is stored at all; those who wait for it get it in any case. What is stored already stays.
    #[must_use]
    pub fn keep(mut self, keep: bool) -> Self {
        self.keep = keep;
        self
    }
}
