//! How a caller joins a flight, and what becomes of that.

use super::flight::Flight;
use super::lease::Lease;
use crate::sync::Arc;

/// A caller on its way into a flight.
pub(crate) struct Joining<'a, S> {
    pub key: &'a [u8],
    /// The leases that the caller holds.
    pub held: &'a [u64],
    /// Whether a new flight begins with a look into the shared tier.
    pub probe: bool,
    /// What memory still has, for a new flight.
    pub stale: Option<S>,
}

/// What became of a call to [`Table::join`](super::table::Table::join).
pub(crate) enum Join<S> {
    /// The caller leads.
    Lead(Lease),
    /// The caller's flight begins with a look into the shared tier, to be followed by [`Table::probed`](super::table::Table::probed).
    Probe(Arc<Flight<S>>),
    /// Another caller is before it; its sink will be answered.
    Wait,
    /// It is the first, and will lead once there is room for one more fetch.
    Queued,
    /// A load that ended just now has left a fresh value.
    Found(S),
    /// The leader runs on the loop that this caller blocks.
    Bypass,
}
