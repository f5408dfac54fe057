//! What a write of another process means for the flights here.

use super::table::{Table, remove};
use crate::sync::{Arc, Ordering, lock};

impl<S: Clone + Send + Sync + 'static> Table<S> {
    /// Reads of `key` which begin from now on are to be newer than the write of this number: they do not join a flight from
    /// before it, and what was read before they began is not stored. `forget` runs under the lock of the shard.
    ///
    /// That flight goes on, for its callers, and its value is stored if its lease holds: the write may have been one of
    /// another key.
    pub fn set_aside(&self, key: &[u8], sequence: u64, forget: impl FnOnce()) {
        let mut shard = self.shard(key);
        shard.writes += 1;
        if let Some(flight) = shard.flights.get(key).map(Arc::clone) {
            let leased = lock(&flight.state).grip.as_ref().map_or(0, super::grip::Grip::sequence);
            if leased < sequence {
                remove(&mut shard, &flight);
            }
        }
        forget();
    }

    /// A write of `key` with this number was told. Its flight is voided where the fetch began before that: what it brings
    /// goes to those that wait, and later callers load anew. `forget` runs under the lock of the shard.
    ///
    /// A flight that nobody leads so far has read nothing that it could not tell to be older.
    pub fn invalidated(&self, key: &[u8], sequence: u64, forget: impl FnOnce()) {
        let mut shard = self.shard(key);
        if let Some(flight) = shard.flights.get(key).map(Arc::clone) {
            let mut state = lock(&flight.state);
            let is_led = flight.leader.load(Ordering::Acquire) != 0;
            let leased = state.grip.as_ref().map_or(0, super::grip::Grip::sequence);
            if is_led && leased < sequence {
                state.void = true;
                drop(state);
                remove(&mut shard, &flight);
            }
        }
        forget();
    }
}
