//! A clock of the user's: then Python objects say when entries expire, and the core only bounds how many there are.

use std::collections::VecDeque;

use pyo3::prelude::*;
use scrubjay_core::host::SlotRef;

use super::store::{Store, discard};
use crate::guarded::Guarded;

/// What is longer than any time of a timer: the longest ttl of the core.
pub(crate) const NEVER_MS: u64 = 365 * 24 * 3600 * 1000;

/// A callable that tells the time, and the entries in the order of their last `set`.
pub(crate) struct Timer {
    call: Py<PyAny>,
    order: Guarded<Order>,
}

#[derive(Default)]
struct Order {
    set: VecDeque<(SlotRef, Py<PyAny>)>,
    /// A ttl of its own was given to an entry: then the order is not that in which they expire.
    mixed: bool,
}

impl Timer {
    pub(crate) fn new(call: Py<PyAny>) -> Self {
        Timer { call, order: Guarded::new(Order::default()) }
    }

    pub(crate) fn callable(&self) -> &Py<PyAny> {
        &self.call
    }

    pub(crate) fn now<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.call.bind(py).call0()
    }

    /// Notes when an entry that was stored just now expires.
    pub(crate) fn note(&self, py: Python<'_>, at: SlotRef, expires: Py<PyAny>, own_ttl: bool, store: &Store) {
        let live = store.len(py);
        let mut former = Vec::new();
        self.order.with(py, |order| {
            order.mixed |= own_ttl;
            order.set.push_back((at, expires));
            if order.set.len() > 2 * live + 16 {
                for _ in 0..order.set.len() {
                    let Some((at, expires)) = order.set.pop_front() else { break };
                    if store.has(py, at) {
                        order.set.push_back((at, expires));
                    } else {
                        former.push(expires);
                    }
                }
            }
        });
        discard(py, former);
    }

    /// Removes what has expired at `now`, and returns it.
    pub(crate) fn expire<'py>(
        &self,
        store: &Store,
        now: &Bound<'py, PyAny>,
    ) -> PyResult<Vec<(Bound<'py, PyAny>, Bound<'py, PyAny>)>> {
        let py = now.py();
        let mut expired = Vec::new();
        let mut place = 0;
        loop {
            let next = self.order.with(py, |order| {
                let (at, expires) = order.set.get(place)?;
                Some((*at, expires.clone_ref(py), order.mixed))
            });
            let Some((at, expires, mixed)) = next else { return Ok(expired) };
            if store.has(py, at) && now.lt(&expires)? {
                if !mixed {
                    return Ok(expired);
                }
                place += 1;
                continue;
            }
            // The comparison ran Python code: only what is still at its place is taken from there.
            let taken = self.order.with(py, |order| {
                let same = order.set.get(place).is_some_and(|(there, _)| *there == at);
                same.then(|| order.set.remove(place)).flatten()
            });
            discard(py, taken.into_iter().map(|(_, expires)| expires).collect());
            if let Some(entry) = store.remove_at(py, at) {
                expired.push((entry.key.into_bound(py), entry.value.into_bound(py)));
                discard(py, entry.extra.expires.into_iter().collect());
            }
            expires.drop_ref(py);
        }
    }

    /// For the garbage collector.
    pub(crate) fn traverse(
        &self,
        mut visit: impl FnMut(&Py<PyAny>) -> Result<(), pyo3::PyTraverseError>,
    ) -> Result<(), pyo3::PyTraverseError> {
        visit(&self.call)?;
        let visited = self.order.try_with(|order| order.set.iter().try_for_each(|(_, expires)| visit(expires)));
        visited.unwrap_or(Ok(()))
    }
}
