//! What becomes of a flight while its lease in the shared tier is asked for.

use std::collections::VecDeque;

use super::flight::{Flight, Put, Waiter};
use super::grip::Grip;
use super::table::{Table, remove};
use crate::sync::{Arc, lock};

impl<S: Clone + Send + Sync + 'static> Table<S> {
    /// Ends a flight that nobody leads: its waiters, and the value that it began with.
    pub fn dissolve(&self, flight: &Arc<Flight<S>>) -> (VecDeque<Waiter>, Option<S>) {
        let mut shard = self.shard(&flight.key);
        remove(&mut shard, flight);
        let mut state = lock(&flight.state);
        (std::mem::take(&mut state.waiters), state.stale.clone())
    }

    /// The lease in the shared tier was won: the first caller that still waits leads.
    pub fn grant(&self, flight: &Arc<Flight<S>>, grip: Grip) {
        lock(&flight.state).grip = Some(grip);
        self.promote(flight);
    }

    /// What the shared tier has of a flight that is being probed: nothing fresh.
    pub fn note_stale(&self, flight: &Arc<Flight<S>>, stale: Option<S>) {
        lock(&flight.state).stale = stale;
    }

    /// How the first caller of `flight` wants the value to be stored.
    pub fn first_put(&self, flight: &Arc<Flight<S>>) -> Option<Put> {
        lock(&flight.state).waiters.front().map(|waiter| waiter.put.clone())
    }

    /// The value to go on with while the flight of it lasts.
    pub fn stale_of(&self, flight: &Arc<Flight<S>>) -> Option<S> {
        lock(&flight.state).stale.clone()
    }

    /// Whether anybody waits for `flight`, which nobody leads; it has ended if not.
    pub fn is_wanted(&self, flight: &Arc<Flight<S>>) -> bool {
        let mut shard = self.shard(&flight.key);
        let mut state = lock(&flight.state);
        state.waiters.retain(|waiter| waiter.sink.is_live());
        if state.waiters.is_empty() {
            remove(&mut shard, flight);
        }
        !state.waiters.is_empty()
    }
}
