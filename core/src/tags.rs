//! Tags: names by which many entries are invalidated at once.
//!
//! The server keeps a version of each tag, and an entry carries those that its tags had before it was loaded: it is good
//! as long as they are equal. A version says nothing but that, so a tag that the server has lost costs misses and
//! nothing else. `clear` is a tag that every entry has: the empty one.
//!
//! ```text
//! TagSet   the tags of a call, or of an entry
//! Known    the versions that this process has seen lately
//! Index    which entries of memory have a tag
//! ```

mod index;
mod known;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub(crate) use index::Index;
pub(crate) use known::{Known, Look, Looked, Verdict};

use crate::error::{Error, ErrorKind, Result};

/// The longest tag in bytes.
pub const MAX_TAG: usize = 128;
/// The most tags that one entry may have, whatever the options say.
pub const MAX_TAGS: usize = 64;
/// How many tags one entry may have by default.
pub const DEFAULT_MAX_TAGS: usize = 16;

/// A tag, 1 to 128 bytes of text; the empty one is on every entry.
pub(crate) type Tag = Arc<[u8]>;

/// The tags of an entry: checked, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TagSet(Option<Arc<Vec<Tag>>>);

impl TagSet {
    /// The tags that a call names.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOption`]: a tag is not 1 to 128 bytes of text, or there are more than `most`.
    pub fn of(operation: &'static str, tags: &[impl AsRef<[u8]>], most: usize) -> Result<TagSet> {
        let mut set: Vec<Tag> = Vec::with_capacity(tags.len().min(MAX_TAGS));
        for tag in tags {
            let tag = tag.as_ref();
            check(operation, tag)?;
            if !set.iter().any(|other| **other == *tag) {
                set.push(tag.into());
            }
        }
        if set.len() > most {
            let message = format!("tags must be at most {most}, are {}", set.len());
            return Err(Error::new(ErrorKind::InvalidOption, operation, message));
        }
        Ok(TagSet::new(set))
    }

    pub(crate) fn new(set: Vec<Tag>) -> TagSet {
        TagSet((!set.is_empty()).then(|| Arc::new(set)))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Tag> {
        self.0.iter().flat_map(|tags| tags.iter())
    }

    pub fn contains(&self, tag: &[u8]) -> bool {
        self.iter().any(|own| **own == *tag)
    }

    /// These, and those of `others` beside them.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOption`]: they are more than `most` together.
    pub fn with(&self, operation: &'static str, others: &TagSet, most: usize) -> Result<TagSet> {
        if others.iter().all(|tag| self.contains(tag)) {
            return Ok(self.clone());
        }
        let all: Vec<&Tag> = self.iter().chain(others.iter()).collect();
        TagSet::of(operation, &all, most)
    }

    /// A name for the record that keeps a set of its own.
    pub fn identity(&self) -> usize {
        self.0.as_ref().map_or(0, |tags| Arc::as_ptr(tags).addr())
    }

    /// The same tags in a place of their own.
    #[must_use]
    pub fn copy(&self) -> TagSet {
        TagSet(self.0.as_ref().map(|tags| Arc::new((**tags).clone())))
    }

    /// The bytes that an entry of memory needs for them, its share of the index included.
    pub fn weight(&self, key: usize) -> u64 {
        const OF_AN_ENTRY: usize = 48;
        self.iter().map(|tag| (tag.len() + key + OF_AN_ENTRY) as u64).sum()
    }
}

/// Checks a tag: 1 to 128 bytes of UTF-8.
pub(crate) fn check(operation: &'static str, tag: &[u8]) -> Result<()> {
    let invalid = |is: &str| {
        let message = format!("tags must be text of 1 to {MAX_TAG} bytes, one {is}");
        Err(Error::new(ErrorKind::InvalidOption, operation, message))
    };
    if !(1..=MAX_TAG).contains(&tag.len()) {
        return invalid(&format!("has {}", tag.len()));
    }
    if std::str::from_utf8(tag).is_err() {
        return invalid("is not UTF-8");
    }
    Ok(())
}
