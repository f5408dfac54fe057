//! The names of many entries, in one piece of memory.

/// Names of entries as [`Layout::names`](super::Layout::names) makes them.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Names {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    before_key: usize,
}

impl Names {
    pub(super) fn new<'a>(before: &[u8], keys: impl ExactSizeIterator<Item = &'a [u8]>) -> Names {
        const USUAL_KEY: usize = 32;
        let count = keys.len();
        let mut bytes = Vec::with_capacity(count * (before.len() + USUAL_KEY));
        let ends = keys.map(|key| {
            bytes.extend_from_slice(before);
            bytes.extend_from_slice(key);
            bytes.len()
        });
        let ends = ends.collect();
        Names { bytes, ends, before_key: before.len() }
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// The name at `index`.
    pub fn name(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[index]]
    }

    /// The key in the name at `index`.
    pub fn key(&self, index: usize) -> &[u8] {
        &self.name(index)[self.before_key..]
    }
}
