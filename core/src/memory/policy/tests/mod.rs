//! The policy against a model, and on workloads of which the right answer is known.

mod behaviour;
mod model;

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;

use super::tuning::Tuning;
use super::{Link, MAX_USES, NIL, Policy, Residents};

/// What a store would hold: entries by their slots.
#[derive(Default)]
struct Entries(Vec<Entry>);

struct Entry {
    key: u64,
    weight: u64,
    uses: Cell<u8>,
    link: Cell<Link>,
}

impl Entry {
    fn new(key: u64, weight: u64) -> Self {
        Entry { key, weight, uses: Cell::new(0), link: Cell::new(Link::LOOSE) }
    }
}

impl Residents for Entries {
    fn uses(&self, slot: u32) -> u8 {
        self.0[slot as usize].uses.get()
    }

    fn set_uses(&self, slot: u32, uses: u8) {
        self.0[slot as usize].uses.set(uses);
    }

    fn weight(&self, slot: u32) -> u64 {
        self.0[slot as usize].weight
    }

    fn hash(&self, slot: u32) -> u32 {
        hash(self.0[slot as usize].key) as u32
    }

    fn link(&self, slot: u32) -> Link {
        self.0[slot as usize].link.get()
    }

    fn set_link(&self, slot: u32, link: Link) {
        self.0[slot as usize].link.set(link);
    }
}

fn hash(key: u64) -> u64 {
    let key = key.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let key = (key ^ key >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let key = (key ^ key >> 29).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    key ^ key >> 32
}

/// A cache of keys in one shard.
struct Cache {
    policy: Policy,
    tuning: Arc<Tuning>,
    entries: Entries,
    free: Vec<u32>,
    slots: HashMap<u64, u32>,
    max_entries: u64,
    max_bytes: u64,
}

impl Cache {
    fn of_entries(max_entries: u64) -> Self {
        Self::new(max_entries, u64::MAX)
    }

    fn new(max_entries: u64, max_bytes: u64) -> Self {
        let tuning = Tuning::new(max_entries, max_bytes);
        Cache {
            policy: Policy::new(tuning.clone()),
            tuning,
            entries: Entries::default(),
            free: Vec::new(),
            slots: HashMap::new(),
            max_entries,
            max_bytes,
        }
    }

    /// Gets a key, or else inserts it. Whether it was there.
    fn access(&mut self, key: u64, weight: u64) -> bool {
        if let Some(slot) = self.slots.get(&key) {
            let entry = &self.entries.0[*slot as usize];
            entry.uses.set((entry.uses.get() + 1).min(MAX_USES));
            if self.tuning.is_sampled(hash(key)) {
                self.tuning.record(hash(key), entry.weight);
            }
            return true;
        }
        let mut has_room = true;
        while self.policy.len() >= self.max_entries || self.policy.weight() + weight > self.max_bytes {
            has_room = false;
            let Some(victim) = self.policy.evict(&self.entries, NIL) else { break };
            self.slots.remove(&self.entries.0[victim as usize].key);
            self.free.push(victim);
        }
        let entry = Entry::new(key, weight);
        let slot = match self.free.pop() {
            Some(slot) => {
                self.entries.0[slot as usize] = entry;
                slot
            }
            None => {
                self.entries.0.push(entry);
                self.entries.0.len() as u32 - 1
            }
        };
        self.slots.insert(key, slot);
        self.policy.insert(&self.entries, slot, has_room);
        false
    }

    /// The hits of a sequence, in percent.
    fn play(&mut self, keys: impl IntoIterator<Item = u64>) -> u64 {
        let (mut hits, mut all) = (0, 0);
        for key in keys {
            hits += u64::from(self.access(key, 1));
            all += 1;
        }
        hits * 100 / all
    }
}
