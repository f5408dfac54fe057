//! The memory tier: a bounded cache that answers without a system call and forgets in time.
//!
//! ```text
//! MemoryCache   the face for Rust        copies, slots   the faces for hosts that keep values themselves
//!   store       the whole; who locks what; beside it read, room (who goes for a newcomer) and sweep (expiry)
//!     shard     one part of it, changed under its lock
//!     record    what a hit needs of an entry, in its slot; pins keep it where a reader has let go of the lock
//!     upkeep    what all others need of it
//!     index     hash → slot
//!     policy    who stays
//!     expiry    when entries die: a timing wheel
//!     budget    the bound of the whole
//!     table     what hosts read directly
//! ```

mod arena;
mod budget;
mod builder;
mod copies;
mod departed;
mod expiry;
mod index;
mod orphans;
mod pins;
mod policy;
mod prefetch;
mod quiet;
mod read;
mod record;
mod room;
mod shard;
mod slots;
mod stats;
mod store;
mod sweep;
mod table;
#[cfg(test)]
mod tests;
mod upkeep;

use std::borrow::Borrow;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

pub use builder::MemoryCacheBuilder;
pub use departed::EvictReason;
pub use slots::Slots;
pub use stats::MemoryStats;
pub(crate) use table::SlotTable;
pub use table::{Copy, SlotRef, TABLE_HEADER, TABLE_STRIDE, Table};

use crate::error::Result;
use crate::options::Ttl;
use store::Store;

/// A bounded, concurrent map in memory whose entries have a life of their own.
///
/// It holds the values themselves and gives out clones of them: make `V` cheap to clone ([`Arc`]) or read it
/// in place with [`get_with`](Self::get_with). A clone of the cache is another handle to the same entries.
///
/// ```
/// use std::time::Duration;
/// use scrubjay::MemoryCache;
///
/// let cache = MemoryCache::new();
/// cache.set("user:7", "Ada".to_owned(), Duration::from_secs(60))?;
/// assert_eq!(cache.get("user:7"), Some("Ada".to_owned()));
/// assert_eq!(cache.get("user:8"), None);
/// # Ok::<(), scrubjay::Error>(())
/// ```
///
/// # What leaves, and when
/// * An entry is never returned at or after the end of its ttl (by a clock with a resolution of a few ms; a
///   process that was stopped for more than a second may answer for 10 ms longer when it goes on). Its memory is
///   given back within about 100 ms, whether or not it is read again, by one thread of the process, started by the
///   first `set` and asleep while no cache holds anything.
/// * Over the bound, entries that were not used since they came go first (S3-FIFO). The bound holds at every
///   moment, keys and overhead counted; an entry that alone exceeds it is not stored.
///
/// # User code and locks
/// `Clone` and `Drop` of values, the weigher, the listener and the closure of `get_with` run with no lock held,
/// and may use the cache. `Eq` of keys runs under a lock and must not.
///
/// # After fork
/// A child process has the entries that its parent had. It collects the dead among them unread from its first `set` on.
pub struct MemoryCache<V, K = String> {
    store: Arc<Store<V, K>>,
}

impl<V, K> MemoryCache<V, K> {
    /// Begins a cache with a bound, weigher or listener of your own.
    pub fn builder() -> MemoryCacheBuilder<V, K> {
        MemoryCacheBuilder::default()
    }
}

impl<V, K> MemoryCache<V, K>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// A cache of at most 64 MiB (`l1_bytes`). Values other than strings and byte strings weigh their `size_of`
    /// here; see [`weigher`](MemoryCacheBuilder::weigher).
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// A clone of the value under `key`.
    #[must_use]
    pub fn get<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
        V: Clone,
    {
        self.store.get(key)
    }

    /// What `read` makes of the value under `key`, which is not cloned.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use scrubjay::MemoryCache;
    /// let cache = MemoryCache::new();
    /// cache.set("primes", vec![2, 3, 5, 7], Duration::from_secs(60))?;
    /// assert_eq!(cache.get_with("primes", |primes| primes.len()), Some(4));
    /// # Ok::<(), scrubjay::Error>(())
    /// ```
    pub fn get_with<Q, R>(&self, key: &Q, read: impl FnOnce(&V) -> R) -> Option<R>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.store.pinned(key).map(|entry| read(entry.value()))
    }

    /// Puts `value` under `key` for the time `ttl`, in the place of what was there.
    ///
    /// An entry that alone is larger than the bound is not stored: it counts as evicted at once, and what was
    /// under its key is gone.
    ///
    /// # Errors
    /// [`InvalidOption`](crate::ErrorKind::InvalidOption) where `ttl` is not 1 ms to 365 days; nothing has changed
    /// then.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use scrubjay::{ErrorKind, MemoryCache};
    /// let cache = MemoryCache::new();
    /// let error = cache.set("a", 1, Duration::ZERO).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::InvalidOption);
    /// ```
    pub fn set<Q>(&self, key: &Q, value: V, ttl: Duration) -> Result<()>
    where
        Q: ToOwned<Owned = K> + ?Sized,
    {
        let ttl = Ttl::from(ttl).resolve("set", ttl)?;
        let millis = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        let deadline = self.store.clock.now_ms().saturating_add(millis);
        self.store.insert(key.to_owned(), value, deadline);
        Ok(())
    }

    /// Puts `value` under `key` until the cache's clock shows `deadline`. Returns whether it was stored; if not,
    /// what was under `key` is gone all the same.
    pub(crate) fn set_until<Q>(&self, key: &Q, value: V, deadline: u64) -> bool
    where
        Q: ToOwned<Owned = K> + ?Sized,
    {
        self.store.insert(key.to_owned(), value, deadline)
    }

    /// A clone of the value under `key`, noted and counted, and leave for a host to keep a decoded copy of it.
    /// `terms` says until when, by the cache's clock, and what the copy weighs.
    pub(crate) fn get_to_copy<Q>(
        &self,
        key: &Q,
        terms: impl FnOnce(&V) -> Option<(u64, u64)>,
    ) -> Option<(V, Option<Copy>)>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
        V: Clone,
    {
        self.store.get_to_copy(key, terms)
    }

    /// Looks at the value under `key`, with a lock held; neither noted nor counted.
    pub(crate) fn look<Q, T>(&self, key: &Q, look: impl FnOnce(&V) -> T) -> Option<T>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.store.look(key, look)
    }

    /// Ends all copies that hosts keep: they ask anew.
    pub(crate) fn end_copies(&self) {
        self.store.end_copies();
    }

    /// Makes the slot table, from which a host answers by itself. False where there is no address space for it.
    pub(crate) fn attach_host(&self) -> bool {
        self.store.attach_host()
    }

    /// The slot table, if one was attached.
    pub(crate) fn host_table(&self) -> Option<&SlotTable> {
        self.store.host.get()
    }

    /// Takes the value under `key` out of the cache; it is cloned only where a reader looks at it this moment.
    pub fn remove<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
        V: Clone,
    {
        self.store.remove(key)
    }

    /// Whether there is a value under `key`. This is no use of it, and counts neither as hit nor as miss.
    #[must_use]
    pub fn contains<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.store.contains(key)
    }

    /// How many entries are held; those whose time was up in the last moments may be among them.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::try_from(self.store.budget.entries.used()).unwrap_or(usize::MAX)
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many bytes are held, overhead counted.
    #[must_use]
    pub fn weight(&self) -> u64 {
        self.store.budget.bytes.used()
    }

    /// Removes every entry. What other threads set meanwhile may stay.
    pub fn clear(&self) {
        self.store.clear();
    }

    /// A snapshot of the counters.
    #[must_use]
    pub fn stats(&self) -> MemoryStats {
        self.store.stats()
    }
}

impl<V, K> Clone for MemoryCache<V, K> {
    fn clone(&self) -> Self {
        MemoryCache { store: self.store.clone() }
    }
}

impl<V, K> Default for MemoryCache<V, K>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    fn default() -> Self {
        Self::new()
    }
}

impl<V, K> fmt::Debug for MemoryCache<V, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let budget = &self.store.budget;
        f.debug_struct("MemoryCache")
            .field("entries", &budget.entries.used())
            .field("bytes", &budget.bytes.used())
            .finish_non_exhaustive()
    }
}
