//! How a [`MemoryCache`] is made.

use std::hash::Hash;
use std::sync::LazyLock;

use super::MemoryCache;
use super::departed::{EvictReason, heap_bytes};
use super::record::Record;
use super::store::{Listener, Size, Store, Weigher};
use crate::clock::Clock;
use crate::options::DEFAULT_L1_BYTES;

/// Sets the bound, the weigher and the listener of a [`MemoryCache`].
///
/// ```
/// use std::time::Duration;
/// use scrubjay::MemoryCache;
///
/// struct Page { html: String, links: Vec<String> }
///
/// let pages = MemoryCache::builder()
///     .max_bytes(16 << 20)
///     .weigher(|_url: &String, page: &Page| {
///         (page.html.len() + page.links.iter().map(|link| 24 + link.len()).sum::<usize>()) as u64
///     })
///     .build();
/// pages.set("/", Page { html: "<p>hi".into(), links: vec![] }, Duration::from_secs(60))?;
/// assert_eq!(pages.get_with("/", |page| page.html.len()), Some(5));
/// # Ok::<(), scrubjay::Error>(())
/// ```
#[must_use = "a builder does nothing until `build`"]
pub struct MemoryCacheBuilder<V, K = String> {
    max_bytes: Option<u64>,
    max_entries: Option<u64>,
    weigher: Option<Weigher<V, K>>,
    listener: Option<Listener<V, K>>,
    clock: Clock,
}

impl<V, K> Default for MemoryCacheBuilder<V, K> {
    fn default() -> Self {
        MemoryCacheBuilder {
            max_bytes: None,
            max_entries: None,
            weigher: None,
            listener: None,
            clock: Clock::default(),
        }
    }
}

impl<V, K> MemoryCacheBuilder<V, K> {
    /// The bound in bytes: keys, values and the cost of an entry itself (some 200 bytes and the sizes of `K` and
    /// `V`) together. Default 64 MiB, or none where [`max_entries`](Self::max_entries) is given. With 0 nothing is
    /// stored.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = Some(bytes);
        self
    }

    /// The bound in entries. Default none. Where both are given, both hold.
    ///
    /// ```
    /// use std::time::Duration;
    /// use scrubjay::MemoryCache;
    ///
    /// let squares = MemoryCache::builder().max_entries(100).build();
    /// for n in 0..1000_u64 {
    ///     squares.set(&n, n * n, Duration::from_secs(60))?;
    /// }
    /// assert_eq!(squares.len(), 100);
    /// # Ok::<(), scrubjay::Error>(())
    /// ```
    pub fn max_entries(mut self, entries: u64) -> Self {
        self.max_entries = Some(entries);
        self
    }

    /// How many bytes a value owns beside its own `size_of`, asked once, at each `set`. What a key that is a
    /// string or byte string owns is counted already.
    ///
    /// Without one, values that are `String`, `Vec<u8>`, or a `Box` or `Arc` of `str` or `[u8]` weigh what they
    /// hold, and those of any other type their `size_of`: give a weigher where they own more.
    pub fn weigher(mut self, weigher: impl Fn(&K, &V) -> u64 + Send + Sync + 'static) -> Self {
        self.weigher = Some(Box::new(weigher));
        self
    }

    /// Is told of each entry that left, and why; also of one that was refused because it is larger than the
    /// bound. Not told when the cache itself is dropped.
    ///
    /// It runs on the thread whose call made the entry leave, or on the one that collects expired entries, and
    /// holds no lock: it may use the cache. The entry has left by then, and another may be under its key. A panic
    /// goes to the caller; on the collecting thread it is caught.
    ///
    /// ```
    /// use std::sync::mpsc;
    /// use std::time::Duration;
    /// use scrubjay::{EvictReason, MemoryCache};
    ///
    /// let (sender, left) = mpsc::channel();
    /// let cache = MemoryCache::builder()
    ///     .on_evict(move |key: &String, value: &u32, reason| {
    ///         sender.send((key.clone(), *value, reason)).unwrap();
    ///     })
    ///     .build();
    /// cache.set("a", 1, Duration::from_secs(60))?;
    /// cache.set("a", 2, Duration::from_secs(60))?;
    /// cache.remove("a");
    /// assert_eq!(left.recv(), Ok(("a".to_owned(), 1, EvictReason::Replaced)));
    /// assert_eq!(left.recv(), Ok(("a".to_owned(), 2, EvictReason::Removed)));
    /// # Ok::<(), scrubjay::Error>(())
    /// ```
    pub fn on_evict(mut self, listener: impl Fn(&K, &V, EvictReason) + Send + Sync + 'static) -> Self {
        self.listener = Some(Box::new(listener));
        self
    }

    /// Where the cache reads the time. For tests: a manual clock lets an hour pass in no time.
    ///
    /// ```
    /// use std::time::Duration;
    /// use scrubjay::{Clock, MemoryCache};
    ///
    /// let (clock, hand) = Clock::manual();
    /// let cache = MemoryCache::builder().clock(clock).build();
    /// cache.set("a", 1, Duration::from_secs(60))?;
    /// hand.advance(Duration::from_millis(59_999));
    /// assert_eq!(cache.get("a"), Some(1));
    /// hand.advance(Duration::from_millis(1));
    /// assert_eq!(cache.get("a"), None);
    /// # Ok::<(), scrubjay::Error>(())
    /// ```
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Makes the cache. This starts no thread; the first `set` starts the one of this process that collects
    /// expired entries.
    #[must_use]
    pub fn build(self) -> MemoryCache<V, K>
    where
        K: Hash + Eq + Send + Sync + 'static,
        V: Send + Sync + 'static,
    {
        let default_bytes = if self.max_entries.is_some() { u64::MAX } else { DEFAULT_L1_BYTES };
        let max_bytes = self.max_bytes.unwrap_or(default_bytes);
        let max_entries = self.max_entries.unwrap_or(u64::MAX);
        let weigher = self.weigher.unwrap_or_else(|| Box::new(|_, value| heap_bytes(value)));
        let slots = max_entries.min(max_bytes / Record::<V, K>::weight_with(0));
        let size =
            Size { max_bytes, max_entries, shards: shards(max_bytes, max_entries), slots, is_indexed: true };
        MemoryCache { store: Store::new(&size, self.clock, weigher, self.listener) }
    }
}

/// Four shards a core keep writers apart, and more of them keep each so small that its index grows in no time. Fewer
/// where a shard would be so small that its own evictions were far from those of the whole.
pub(super) fn shards(max_bytes: u64, max_entries: u64) -> usize {
    const MOST: u64 = 1 << 10;
    /// What one has at least.
    const BYTES: u64 = 1 << 20;
    const ENTRIES: u64 = 1 << 12;
    /// Beyond this there is one more.
    const FULL_BYTES: u64 = 16 << 20;
    const FULL_ENTRIES: u64 = 1 << 16;
    static CORES: LazyLock<u64> =
        LazyLock::new(|| std::thread::available_parallelism().map_or(4, |cores| cores.get() as u64));
    let for_size = (max_bytes / FULL_BYTES).min(max_entries / FULL_ENTRIES);
    let for_cores = CORES.saturating_mul(4).min(max_bytes / BYTES).min(max_entries / ENTRIES);
    let shards = for_cores.max(for_size).clamp(1, MOST) as usize;
    1 << shards.ilog2()
}
