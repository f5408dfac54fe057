//! A sequence of requests.

use std::collections::HashMap;

use foldhash::fast::FixedState;

/// Requests in order. Keys are numbered from 0 as they first appear.
pub struct Trace {
    /// What its cases are called.
    pub name: String,
    /// The key of each request.
    pub requests: Vec<u32>,
    /// The size of each key's object in bytes, where the trace has sizes. An object keeps the size it first had.
    pub sizes: Option<Vec<u32>>,
    /// How many different keys there are.
    pub keys: u32,
}

impl Trace {
    /// The size of the object of `key`; 1 where sizes are not known.
    pub fn size(&self, key: u32) -> u32 {
        self.sizes.as_ref().map_or(1, |sizes| sizes[key as usize])
    }

    /// What a cache that never evicts would hold: entries, or bytes where sizes are known.
    pub fn footprint(&self) -> u64 {
        match &self.sizes {
            Some(sizes) => sizes.iter().map(|size| u64::from(*size)).sum(),
            None => u64::from(self.keys),
        }
    }

    /// How many entries of middling size fit into `capacity`.
    pub fn entries_in(&self, capacity: u64) -> u64 {
        let mean = self.footprint() / u64::from(self.keys).max(1);
        (capacity / mean.max(1)).max(1)
    }

    /// The first `count` requests, keys numbered anew.
    pub fn shortened(&self, count: usize) -> Trace {
        let mut builder = Builder::new(count);
        for key in self.requests.iter().take(count) {
            builder.push(u64::from(*key), self.size(*key)).expect("as many as it was made for");
        }
        builder.finish(&self.name, self.sizes.is_some())
    }
}

/// Why a trace cannot be built.
#[derive(Debug, PartialEq, Eq)]
pub struct TooMany {
    /// The limit.
    pub limit: usize,
}

/// Takes requests one by one.
pub struct Builder {
    limit: usize,
    numbers: HashMap<u64, u32, FixedState>,
    requests: Vec<u32>,
    sizes: Vec<u32>,
}

impl Builder {
    /// A trace of at most `limit` requests.
    pub fn new(limit: usize) -> Self {
        let limit = limit.min(u32::MAX as usize - 1);
        Builder { limit, numbers: HashMap::default(), requests: Vec::new(), sizes: Vec::new() }
    }

    /// Whether `more` requests would be too many.
    pub fn room_for(&self, more: u64) -> Result<(), TooMany> {
        let left = (self.limit - self.requests.len()) as u64;
        if more > left { Err(TooMany { limit: self.limit }) } else { Ok(()) }
    }

    /// One request for `key`, whose object has `size` bytes.
    pub fn push(&mut self, key: u64, size: u32) -> Result<(), TooMany> {
        self.room_for(1)?;
        let next = u32::try_from(self.sizes.len()).unwrap_or(u32::MAX);
        let number = *self.numbers.entry(key).or_insert(next);
        if number == next {
            self.sizes.push(size);
        }
        self.requests.push(number);
        Ok(())
    }

    pub fn len(&self) -> usize {
        self.requests.len()
    }

    /// The trace, with sizes if `sized`.
    pub fn finish(self, name: &str, sized: bool) -> Trace {
        Trace {
            name: name.to_owned(),
            keys: u32::try_from(self.sizes.len()).unwrap_or(u32::MAX),
            requests: self.requests,
            sizes: sized.then_some(self.sizes),
        }
    }
}
