#![doc = include_str!("../README.md")]

mod batch;
mod cache;
mod clock;
mod codec;
mod envelope;
mod error;
mod explain;
mod flight;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
pub mod host;
mod key;
mod memo;
mod memory;
mod mutant;
mod options;
mod redis;
mod resilience;
mod stats;
mod sync;
mod tags;
mod wire;
mod write;

pub use cache::{
    Accepted, Builder, CacheService, Fetched, PartialError, Source, SourceError, StoreError, Turn, UpdateError,
    WriteBehind, WriteThrough, WriterError,
};
pub use clock::{Clock, ManualClock};
pub use codec::{Codec, Raw};
pub use error::{Error, ErrorKind, Failure, Result};
pub use explain::{Explanation, HoldSeen, LeaseSeen, Reason};
pub use host::{ConsistencyToken, Receipt};
pub use key::{Format, template};
pub use memo::{By, Cached, CachedOptions, TagsOf, Unasked, Unless, cached};
pub use memory::{EvictReason, MemoryCache, MemoryCacheBuilder};
pub use options::{DEFAULT_L1_BYTES, MAX_TTL, MIN_TTL, Options, SetOptions, Ttl, UpdateOptions};
pub use stats::{BreakerState, Stats};
pub use tags::{DEFAULT_MAX_TAGS, MAX_TAG, MAX_TAGS};
pub use write::{
    AckLevel, BatchOptions, DrainReport, OnFull, Write, WriteBehindOptions, WriteBehindStats, WriteKind,
};
