//! Flights that refresh a value before its expiry, while all others still get it.

use std::collections::VecDeque;
use std::collections::hash_map::Entry;

use super::flight::{Flight, Put, Waiter, next_live};
use super::grip::Grip;
use super::lease::Lease;
use super::table::{Table, remove};
use crate::sync::{Arc, lock};

/// What became of a flight that refreshes a value, once its lease was won.
pub(crate) enum Ahead<S> {
    /// This waiter leads.
    Lead { waiter: Waiter, lease: Lease, fresh: S },
    /// Nobody refreshes it now.
    Ended { waiters: VecDeque<Waiter>, fresh: Option<S> },
}

impl<S: Clone + Send + Sync + 'static> Table<S> {
    /// Begins a flight that nobody waits for, to refresh a value ahead of its expiry. None while one runs, or
    /// while there is no room for one more fetch.
    pub fn refresh(&self, key: &[u8], owner: u64, put: Put, stale: S) -> Option<Lease> {
        let mut shard = self.shard(key);
        let Entry::Vacant(entry) = shard.flights.entry(key.into()) else { return None };
        if !self.bulkhead.enter() {
            return None;
        }
        let flight = entry.insert(Arc::new(Flight::new(key, Some(stale), &self.alive))).clone();
        let mut state = lock(&flight.state);
        state.permit = true;
        Some(self.lead(&flight, &mut state, owner, put))
    }

    /// Begins a flight to refresh a value ahead of its expiry, as [`Table::refresh`], whose first waiter waits for the
    /// lease in the shared tier. None while one runs.
    pub fn begin_ahead(&self, key: &[u8], fresh: S, waiter: Waiter) -> Option<Arc<Flight<S>>> {
        let mut shard = self.shard(key);
        let Entry::Vacant(entry) = shard.flights.entry(key.into()) else { return None };
        let flight = entry.insert(Arc::new(Flight::new(key, Some(fresh), &self.alive))).clone();
        lock(&flight.state).waiters.push_back(waiter);
        Some(flight)
    }

    /// The lease for a flight of [`Table::begin_ahead`] was won: its first waiter leads, if there is room for one more
    /// fetch; else the flight has ended.
    pub fn lead_ahead(&self, flight: &Arc<Flight<S>>, grip: Grip) -> Ahead<S> {
        let mut shard = self.shard(&flight.key);
        let mut state = lock(&flight.state);
        let fresh = state.stale.clone();
        if let Some(fresh) = &fresh
            && let Some(waiter) = next_live(&mut state.waiters)
        {
            if waiter.exempt || self.bulkhead.enter() {
                state.permit = !waiter.exempt;
                state.grip = Some(grip);
                let lease = self.lead(flight, &mut state, waiter.owner, waiter.put.clone());
                return Ahead::Lead { waiter, lease, fresh: fresh.clone() };
            }
            state.waiters.push_front(waiter);
        }
        remove(&mut shard, flight);
        Ahead::Ended { waiters: std::mem::take(&mut state.waiters), fresh }
    }
}
