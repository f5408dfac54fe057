//! What a cache knows of one key, the same fields in every language. Neither the value nor the key is told.

use serde::{Deserialize, Serialize};

/// What a cache knows of one key, as [`explain`](crate::CacheService::explain) found it. Times are seconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Explanation {
    /// The tier that would answer a read now: `"l1"`, this process' memory, or `"l2"`, the shared tier; none for a miss.
    pub tier: Option<String>,
    /// Why it would, or why not.
    pub reason: Reason,
    /// Whether there is a value past its time: a fetch that fails or is slow is answered with it, nothing else is.
    pub stale: bool,
    /// How long ago the value was stored.
    pub age: Option<f64>,
    /// How long it stays fresh; negative where it is not any more.
    pub ttl: Option<f64>,
    /// How long it may be served stale from now on, its fresh time included.
    pub stale_ttl: Option<f64>,
    /// The number of its write in the sequence of the shared tier, 0 where that does not count.
    pub version: Option<u64>,
    /// The tags of the value.
    pub tags: Vec<String>,
    /// Who loads it now, if anybody does.
    pub lease: Option<LeaseSeen>,
    /// The writers that are between their intent and their invalidation.
    pub hold: Option<HoldSeen>,
    /// How long its last load took, in milliseconds; none for what was set.
    pub load_ms: Option<u32>,
    /// `"json"`, `"msgpack"` or `"raw"`.
    pub codec: Option<String>,
    /// The length of the value as it is stored.
    pub bytes: Option<u64>,
    /// Whether it is a remembered "not found".
    pub negative: bool,
    /// Whether the shared tier could be asked, or there is none.
    pub reachable: bool,
}

/// Why a read would be answered, or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// There is a value within its ttl.
    Fresh,
    /// There is nothing.
    #[default]
    Absent,
    /// The ttl of the value is over.
    Expired,
    /// The value was invalidated, and is kept for when its fetch fails.
    Invalidated,
    /// A writer is at work: nothing is stored.
    Held,
    /// There is nothing yet: it is being loaded.
    Loading,
    /// An invalidation by this process has not reached the shared tier, and what that has is not believed.
    Pending,
    /// What is stored cannot be read.
    Damaged,
    /// What is stored is of a release that this one does not know.
    Foreign,
    /// The shared tier could not be asked, and memory has nothing, or nothing that it may answer with.
    Unreachable,
}

/// A load that goes on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LeaseSeen {
    /// Whether this process loads, and not another one.
    pub here: bool,
    /// How long it has, unless it is extended.
    pub left: f64,
}

/// Writers that are at work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct HoldSeen {
    /// How many. One that died counts until its time is over.
    pub writers: u64,
    /// When the last of them is given up.
    pub left: f64,
}

impl Explanation {
    /// As a JSON object.
    pub fn to_json(&self) -> String {
        // It has text keys and numbers only, none of which is infinite.
        serde_json::to_string(self).unwrap_or_default()
    }
}
