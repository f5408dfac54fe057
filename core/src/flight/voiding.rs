//! Flights whose value is not to be stored, since something else than their key was invalidated.

use super::flight::Put;
use super::table::Table;
use crate::sync::lock;

impl<S: Clone + Send + Sync + 'static> Table<S> {
    /// Voids every flight that some caller wants stored with one of these tags, and gives their leases in the shared tier
    /// back: later callers load anew. No store that begins under a shard's lock after this was called is unaware of what
    /// happened before the call.
    pub fn void_tagged(&self, is_meant: impl Fn(&Put) -> bool) {
        for shard in &self.shards {
            let mut shard = lock(shard);
            shard.flights.retain(|_, flight| {
                let mut state = lock(&flight.state);
                let meant = is_meant(&state.put) || state.waiters.iter().any(|waiter| is_meant(&waiter.put));
                if meant {
                    state.void = true;
                    state.grip = None;
                }
                !meant
            });
        }
    }

    /// Voids every flight, then runs `work` while no load can store. Unlike [`Table::write_all`] it leaves the tickets of
    /// writes good: those of this process may come after what is told of another one.
    pub fn void_all(&self, work: impl FnOnce()) {
        let mut shards: Vec<_> = self.shards.iter().map(lock).collect();
        for (_, flight) in shards.iter_mut().flat_map(|shard| shard.flights.drain()) {
            let mut state = lock(&flight.state);
            state.void = true;
            state.grip = None;
        }
        work();
    }

    /// Runs `work` under the lock of the shard of `key`.
    pub fn under_lock(&self, key: &[u8], work: impl FnOnce()) {
        let _shard = self.shard(key);
        work();
    }
}
