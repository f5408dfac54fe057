//! Fetches that wait for each other.
//!
//! A fetch may ask for other keys. When it asks for its own key, or when two fetches ask for each other's, all
//! of them would wait until the hard timeout. Each caller says which leases it holds; here stands which lease
//! waits for which flight, and a wait that would close a circle is refused.

use std::collections::HashMap;

use super::sink::Sink;
use crate::sync::{Arc, AtomicU64, Mutex, Ordering, lock};

/// The lease that leads a flight now, 0 for none. Shared, so that the graph needs no lock of a flight.
pub(crate) type Leader = Arc<AtomicU64>;

/// Which lease waits for which flight. Only callers that hold a lease ever come here.
#[derive(Default)]
pub(crate) struct WaitGraph {
    waits: Mutex<HashMap<u64, Vec<Wait>>>,
}

struct Wait {
    leader: Leader,
    caller: Arc<dyn Sink>,
}

impl WaitGraph {
    /// Notes that the holder of `held` waits for the flight of `leader`, unless that closes a circle: then
    /// nothing is noted and the answer is false. Check and note are one step, so of two callers that would
    /// close the circle together, the second sees the first.
    pub fn wait(&self, held: &[u64], leader: &Leader, caller: &Arc<dyn Sink>) -> bool {
        if held.is_empty() {
            return true;
        }
        let mut waits = lock(&self.waits);
        waits.retain(|_, list| {
            list.retain(|wait| wait.caller.is_live());
            !list.is_empty()
        });
        let mut seen = Vec::new();
        let mut next = vec![leader.load(Ordering::Acquire)];
        while let Some(lease) = next.pop() {
            if lease == 0 || seen.contains(&lease) {
                continue;
            }
            if held.contains(&lease) {
                return false;
            }
            seen.push(lease);
            let awaited = waits.get(&lease).into_iter().flatten();
            next.extend(awaited.map(|wait| wait.leader.load(Ordering::Acquire)));
        }
        for lease in held {
            let wait = Wait { leader: leader.clone(), caller: caller.clone() };
            waits.entry(*lease).or_default().push(wait);
        }
        true
    }
}
