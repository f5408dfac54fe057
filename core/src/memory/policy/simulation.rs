//! A miniature of the cache: the same structure under one setting, holding keys' hashes and no values.

use std::cell::Cell;

use super::config::Config;
use super::engine::Engine;
use super::{NIL, Residents};

pub(super) struct Simulation {
    engine: Engine,
    entries: Entries,
    free: Vec<u32>,
    /// Open addressing: slots, NIL where there is none. At most half full.
    index: Vec<u32>,
}

struct Simulated {
    hash: u32,
    uses: Cell<u8>,
    weight: u64,
}

struct Entries(Vec<Simulated>);

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
        self.0[slot as usize].hash
    }
}

impl Simulation {
    pub fn new(seed: u32) -> Self {
        Simulation { engine: Engine::new(seed), entries: Entries(Vec::new()), free: Vec::new(), index: Vec::new() }
    }

    /// One access. Whether it was a hit; if not, the key is taken in.
    pub fn access(&mut self, config: &Config, hash: u32, weight: u64, capacity: u64) -> bool {
        if let Some(slot) = self.find(hash) {
            let uses = &self.entries.0[slot as usize].uses;
            uses.set((uses.get() + 1).min(3));
            return true;
        }
        if weight > capacity {
            return false;
        }
        let has_room = self.engine.queues.weight() + weight <= capacity;
        let slot = self.take_slot(Simulated { hash, uses: Cell::new(0), weight });
        self.engine.insert(config, &self.entries, slot, has_room);
        while self.engine.queues.weight() > capacity {
            let Some(victim) = self.engine.evict(config, &self.entries, slot) else { break };
            self.forget(victim);
            self.free.push(victim);
        }
        false
    }

    fn take_slot(&mut self, entry: Simulated) -> u32 {
        let hash = entry.hash;
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
        if self.index.len() < self.entries.0.len() * 2 {
            self.rebuild();
        }
        let mut at = self.home(hash);
        while self.index[at] != NIL {
            at = (at + 1) & (self.index.len() - 1);
        }
        self.index[at] = slot;
        slot
    }

    fn rebuild(&mut self) {
        let old = std::mem::take(&mut self.index);
        self.index = vec![NIL; (old.len() * 2).max(16)];
        for slot in old.into_iter().filter(|slot| *slot != NIL) {
            let mut at = self.home(self.entries.0[slot as usize].hash);
            while self.index[at] != NIL {
                at = (at + 1) & (self.index.len() - 1);
            }
            self.index[at] = slot;
        }
    }

    fn home(&self, hash: u32) -> usize {
        // The hash was mixed for the simulations.
        (u64::from(hash) * self.index.len() as u64 >> 32) as usize
    }

    fn find(&self, hash: u32) -> Option<u32> {
        if self.index.is_empty() {
            return None;
        }
        let mut at = self.home(hash);
        loop {
            let slot = self.index[at];
            if slot == NIL {
                return None;
            }
            if self.entries.0[slot as usize].hash == hash {
                return Some(slot);
            }
            at = (at + 1) & (self.index.len() - 1);
        }
    }

    /// Takes a slot out of the index, and moves up what stands behind it.
    fn forget(&mut self, slot: u32) {
        let mask = self.index.len() - 1;
        let mut hole = self.home(self.entries.0[slot as usize].hash);
        while self.index[hole] != slot {
            hole = (hole + 1) & mask;
        }
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let next = self.index[at];
            if next == NIL {
                break;
            }
            let home = self.home(self.entries.0[next as usize].hash);
            if (at.wrapping_sub(home) & mask) >= (at.wrapping_sub(hole) & mask) {
                self.index[hole] = next;
                hole = at;
            }
        }
        self.index[hole] = NIL;
    }
}
