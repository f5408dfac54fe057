//! What has left the cache and is on its way out: its content is looked at, dropped and told of with no lock held.

use std::any::Any;
use std::sync::Arc;

use super::record::Content;
use super::table::SlotRef;

/// Why an entry left the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EvictReason {
    /// There was no room: it was evicted for others, or was larger than the whole bound and never stored.
    Capacity,
    /// Its time was up.
    Expired,
    /// Another value was set under its key.
    Replaced,
    /// Its key was removed.
    Removed,
    /// The cache was cleared.
    Cleared,
}

/// An entry that left.
pub(super) enum Departed<V, K> {
    /// Nobody else looks at it.
    Owned(Content<V, K>),
    /// Readers may look at it: it stays in its slot, by our pin among others.
    Pinned(Place),
}

/// A slot, by its shard and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub shard: u32,
    pub slot: u32,
}

/// What one call has driven out.
pub(super) struct Gone<V, K> {
    /// Most calls drive out one at most: that needs no allocation.
    first: Option<(Departed<V, K>, EvictReason)>,
    more: Vec<(Departed<V, K>, EvictReason)>,
    /// The slots among them of which a host holds copies.
    pub dead: Vec<SlotRef>,
}

impl<V, K> Default for Gone<V, K> {
    fn default() -> Self {
        Gone { first: None, more: Vec::new(), dead: Vec::new() }
    }
}

impl<V, K> Gone<V, K> {
    pub fn push(&mut self, departed: Departed<V, K>, reason: EvictReason) {
        match self.first {
            None => self.first = Some((departed, reason)),
            Some(_) => self.more.push((departed, reason)),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.more.len()
    }

    pub fn into_departed(self) -> impl Iterator<Item = (Departed<V, K>, EvictReason)> {
        self.first.into_iter().chain(self.more)
    }
}

/// The bytes that a string or byte string owns on the heap; 0 for any other type.
pub(super) fn heap_bytes<T: Any>(value: &T) -> u64 {
    let any: &dyn Any = value;
    let bytes = if let Some(text) = any.downcast_ref::<String>() {
        text.capacity()
    } else if let Some(bytes) = any.downcast_ref::<Vec<u8>>() {
        bytes.capacity()
    } else if let Some(text) = any.downcast_ref::<Box<str>>() {
        text.len()
    } else if let Some(bytes) = any.downcast_ref::<Box<[u8]>>() {
        bytes.len()
    } else if let Some(text) = any.downcast_ref::<Arc<str>>() {
        text.len()
    } else if let Some(bytes) = any.downcast_ref::<Arc<[u8]>>() {
        bytes.len()
    } else {
        0
    };
    bytes as u64
}
