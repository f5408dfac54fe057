//! Slots alone: for a host that keeps keys and values in its own memory and asks the core what may live.

use std::sync::Arc;

use super::builder::shards;
use super::departed::{EvictReason, Gone};
use super::policy::NIL;
use super::record::{Content, Numbers};
use super::room::{Instead, NewEntry};
use super::stats::MemoryStats;
use super::store::{Size, Store, low};
use super::table::{Copy, SlotRef, SlotTable, Table};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::options::{DEFAULT_L1_BYTES, MAX_TTL, MIN_TTL};

/// The bound, the expiry and the policy of a host's own memory cache.
///
/// The host keeps `key → (value, slot, generation, until)`, answers hits by itself (see [`Table`]), and drops what it is
/// told has gone.
pub struct Slots {
    store: Arc<Store<(), ()>>,
}

impl Slots {
    /// The longest time to live in milliseconds.
    pub const MAX_TTL_MS: u64 = MAX_TTL.as_millis() as u64;

    /// Opens one that holds at most so many entries and bytes; `None` is no bound of that kind, and 64 MiB where both
    /// are `None`. Starts no thread.
    ///
    /// # Errors
    /// `InvalidOption` naming `max_entries` (1 to 2^32) or `max_bytes` (1 to 2^46); `Overloaded` where the process
    /// has no address space left for the table.
    pub fn open(max_entries: Option<u64>, max_bytes: Option<u64>) -> Result<Arc<Slots>> {
        Self::with_clock(max_entries, max_bytes, Clock::default())
    }

    pub(crate) fn with_clock(
        max_entries: Option<u64>,
        max_bytes: Option<u64>,
        clock: Clock,
    ) -> Result<Arc<Slots>> {
        check("max_entries", max_entries, 1 << 32)?;
        check("max_bytes", max_bytes, 1 << 46)?;
        let default_bytes = if max_entries.is_some() { u64::MAX } else { DEFAULT_L1_BYTES };
        let (max_bytes, max_entries) = (max_bytes.unwrap_or(default_bytes), max_entries.unwrap_or(u64::MAX));
        let size = Size {
            max_bytes,
            max_entries,
            shards: shards(max_bytes, max_entries),
            // Hosts count their own overhead, so an entry weighs what a slot costs and more: but where weights are
            // numbers of the user's own, a small bound may hold as many entries.
            slots: max_entries.min((max_bytes / 32).max(max_bytes.min(1 << 20))).min(1 << 26),
            is_indexed: false,
        };
        let store = Store::new(&size, clock, Box::new(|_, ()| 0), None);
        if !store.attach_host() {
            return Err(Error::new(ErrorKind::Overloaded, "open", "no address space is left for a slot table"));
        }
        Ok(Arc::new(Slots { store }))
    }

    fn host(&self) -> &SlotTable {
        self.store.host.get().expect("attached when it was opened")
    }

    /// The slot table; valid as long as this object.
    pub fn table(&self) -> Table {
        self.host().view()
    }

    /// The time, in milliseconds of the table.
    pub fn now(&self) -> u32 {
        self.host().time(self.store.clock.now_ms())
    }

    /// Takes in an entry of `weight` that lives for `ttl_ms`, 1 ms to 365 days, in the place of `instead`, the entry
    /// of the same key. `hash` is the host's own hash of the key. What was evicted for it is added to `gone`.
    ///
    /// `None`: it is larger than the whole bound; `instead` is gone all the same.
    pub fn insert(
        &self,
        hash: u64,
        weight: u64,
        ttl_ms: u64,
        instead: Option<SlotRef>,
        gone: &mut Vec<SlotRef>,
    ) -> Option<Copy> {
        let now = self.store.clock.now_ms();
        let host = self.host();
        host.set_now(now);
        let deadline = now + ttl_ms.clamp(MIN_TTL.as_millis() as u64, Self::MAX_TTL_MS);
        let hash = self.store.hash(&hash);
        let shard = self.store.shard_of(hash);
        let old = instead.filter(|at| self.store.place_of(at.slot).is_some_and(|place| place.shard == shard));
        if let Some(elsewhere) = instead.filter(|at| old.is_none_or(|old| old != *at)) {
            self.remove(elsewhere);
        }
        let Some(weight) = self.store.storable(weight, deadline, now) else {
            old.map(|at| self.remove(at));
            return None;
        };
        let numbers = Numbers { hash: low(hash), deadline, weight, uses: 0 };
        let entry = NewEntry { shard, numbers: &numbers, instead: old.map_or(Instead::None, Instead::Slot) };
        let mut content = Some(Content { key: (), value: () });
        let mut left = Gone::default();
        let at = loop {
            match self.store.try_insert(&entry, &mut content, now, &mut left) {
                Ok(at) => break at,
                Err(scarce) => {
                    self.store.make_room_elsewhere(shard, u64::from(weight), scarce, now, &mut left);
                }
            }
        };
        self.store.watch();
        gone.extend(std::mem::take(&mut left.dead).into_iter().filter(|dead| Some(*dead) != old));
        Some(Copy { at, until: host.until(deadline, now) })
    }

    /// The entry as it is now, if it is alive: a time to live of more than twelve days is told in steps, so a host
    /// asks this before it takes an entry for dead by its time.
    pub fn renew(&self, at: SlotRef) -> Option<Copy> {
        let place = self.store.place_of(at.slot)?;
        let _state = self.store.lock(place.shard);
        let now = self.store.clock.now_ms();
        let deadline = self.store.record(place).deadline();
        (self.store.slot_of(at) != NIL && deadline > now)
            .then(|| Copy { at, until: self.host().until(deadline, now) })
    }

    /// Takes an entry out. False: it had gone already.
    pub fn remove(&self, at: SlotRef) -> bool {
        let mut gone = Gone::default();
        let removed = self.store.remove_slot(at, EvictReason::Removed, &mut gone);
        gone.dead.clear();
        self.store.release(gone);
        removed
    }

    /// Takes every entry out; none is reported as gone. What other threads insert meanwhile may stay.
    pub fn clear(&self) {
        self.store.clear();
    }

    /// Adds to `gone` at most `max` of the entries that have left since the last call without a call of this thread.
    /// Returns how many. A slot named there may have been given away again: its generation tells.
    pub fn drain(&self, max: usize, gone: &mut Vec<SlotRef>) -> usize {
        self.host().drain(max, gone)
    }

    /// Has `wake` called, on a thread of the core and with no lock held, when there is something to drain again.
    /// Only the first call counts.
    pub fn on_gone(&self, wake: impl Fn() + Send + Sync + 'static) {
        self.host().on_gone(Box::new(wake));
    }

    /// The counters. Hits and misses are the host's to count.
    pub fn stats(&self) -> MemoryStats {
        self.store.stats()
    }
}

fn check(name: &str, given: Option<u64>, most: u64) -> Result<()> {
    match given {
        Some(given) if given == 0 || given > most => {
            let message = format!("{name} must be 1 to {most}, is {given}");
            Err(Error::new(ErrorKind::InvalidOption, "open", message))
        }
        _ => Ok(()),
    }
}

impl std::fmt::Debug for Slots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slots").field("stats", &self.stats()).finish_non_exhaustive()
    }
}
