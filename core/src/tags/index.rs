//! Which entries of memory have a tag.
//!
//! Exact: an entry is added before memory gets it and taken out when memory has let go of it, whatever the reason. The
//! two may cross for one key, so each entry is known by the place of its own tag set, which nobody else has as long as the
//! entry lives.

use std::collections::HashMap;

use super::{Tag, TagSet};
use crate::sync::{Mutex, lock};

/// The entries of a tag: key and identity.
type Entries = HashMap<Box<[u8]>, usize>;

/// Tag → entries. A hit never looks at it.
#[derive(Default)]
pub(crate) struct Index {
    tags: Mutex<HashMap<Tag, Entries>>,
}

impl Index {
    /// Memory gets an entry with these tags, which are its own.
    pub fn add(&self, key: &[u8], tags: &TagSet) {
        if tags.is_empty() {
            return;
        }
        let mut index = lock(&self.tags);
        for tag in tags.iter() {
            index.entry(tag.clone()).or_default().insert(key.into(), tags.identity());
        }
    }

    /// Memory has let go of an entry.
    pub fn remove(&self, key: &[u8], tags: &TagSet) {
        if tags.is_empty() {
            return;
        }
        let mut index = lock(&self.tags);
        for tag in tags.iter() {
            let Some(entries) = index.get_mut(tag) else { continue };
            if entries.get(key) == Some(&tags.identity()) {
                entries.remove(key);
                // What was a large set once is not to stay one.
                if entries.len() < entries.capacity() / 4 {
                    entries.shrink_to_fit();
                }
            }
            if entries.is_empty() {
                index.remove(tag);
            }
        }
    }

    /// The keys of the entries with this tag.
    pub fn keys(&self, tag: &[u8]) -> Vec<Box<[u8]>> {
        lock(&self.tags).get(tag).map(|entries| entries.keys().cloned().collect()).unwrap_or_default()
    }

    /// How many pairs of tag and entry there are.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        lock(&self.tags).values().map(HashMap::len).sum()
    }
}
