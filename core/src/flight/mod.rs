//! One load at a time: how the tiers answer together, and who runs the fetch when they cannot.

mod ahead;
mod behind;
mod bulkhead;
mod claim;
mod claimed;
mod coherence;
mod cycle;
mod dirty;
mod entry;
mod explain;
#[expect(clippy::module_inception, reason = "a flight is the one concept of its file")]
mod flight;
mod generation;
mod grip;
mod heard;
mod holds;
mod joining;
mod judging;
mod keep;
mod lease;
mod lease_time;
mod load;
mod many;
mod promise;
mod read;
mod record;
mod session;
mod shared;
mod sink;
mod storing;
mod table;
mod tagged;
mod through;
mod tiers;
mod told;
mod turns;
mod unstored;
mod update;
mod voiding;
mod write;

#[cfg(test)]
mod tests;

pub use lease::Lease;

pub(crate) use behind::Change;
pub(crate) use dirty::View;
pub(crate) use lease::{Lessor, next_id};
pub(crate) use sink::{Reply, Sink};

pub(crate) use generation::Generations;
#[cfg(any(test, fuzzing))]
pub(crate) use judging::{At, Found};
pub(crate) use promise::{Promise, PromiseReply};
pub(crate) use record::MAX_DEPTH;
#[cfg(any(test, fuzzing))]
pub(crate) use shared::{Loaded, Shared};
pub(crate) use sink::QueueReply;
pub(crate) use tiers::{Tiers, drain_all};
