//! The entries of one shard by their slots: a number that policy and wheel know them by.

use std::sync::Arc;

use super::entry::Entry;
use super::policy::{NIL, Residents};

pub(super) struct Slots<V, K> {
    entries: Vec<Option<Arc<Entry<V, K>>>>,
    free: Vec<u32>,
}

impl<V, K> Default for Slots<V, K> {
    fn default() -> Self {
        Slots { entries: Vec::new(), free: Vec::new() }
    }
}

impl<V, K> Slots<V, K> {
    /// Whether there is a slot for one more.
    pub fn has_room(&self) -> bool {
        // The policy needs a bit of the number for itself.
        !self.free.is_empty() || self.entries.len() < (NIL >> 1) as usize
    }

    pub fn get(&self, slot: u32) -> Option<&Arc<Entry<V, K>>> {
        self.entries.get(slot as usize)?.as_ref()
    }

    /// Takes in an entry and gives it a slot.
    pub fn insert(&mut self, entry: Arc<Entry<V, K>>) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "`has_room` was asked")]
        let slot = self.free.pop().unwrap_or(self.entries.len() as u32);
        entry.set_slot(slot);
        if slot as usize == self.entries.len() {
            self.entries.push(Some(entry));
        } else {
            self.entries[slot as usize] = Some(entry);
        }
        slot
    }

    /// Puts `new` in the slot of another, which is returned.
    pub fn replace(&mut self, slot: u32, new: Arc<Entry<V, K>>) -> Option<Arc<Entry<V, K>>> {
        new.set_slot(slot);
        self.entries[slot as usize].replace(new)
    }

    /// Takes an entry out of its slot.
    pub fn take(&mut self, slot: u32) -> Option<Arc<Entry<V, K>>> {
        let entry = self.entries.get_mut(slot as usize)?.take()?;
        self.free.push(slot);
        Some(entry)
    }

    /// Everything that is in, in no order.
    pub fn into_entries(self) -> impl Iterator<Item = Arc<Entry<V, K>>> {
        self.entries.into_iter().flatten()
    }
}

impl<V, K> Residents for Slots<V, K> {
    fn uses(&self, slot: u32) -> u8 {
        self.get(slot).map_or(0, |entry| entry.uses())
    }

    fn set_uses(&self, slot: u32, uses: u8) {
        if let Some(entry) = self.get(slot) {
            entry.set_uses(uses);
        }
    }

    fn weight(&self, slot: u32) -> u64 {
        self.get(slot).map_or(0, |entry| entry.weight)
    }

    fn hash(&self, slot: u32) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "half of the hash is wanted")]
        self.get(slot).map_or(0, |entry| entry.hash as u32)
    }
}
