//! Which setting the cache follows, and the simulations that choose it.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::config::{CONFIGS, Config};
use super::simulation::Simulation;

/// A simulation holds at most so many entries; a larger cache is simulated on a sample of its keys.
const SIMULATED: u64 = 1024;

pub(in crate::memory) struct Tuning {
    max_entries: u64,
    max_bytes: u64,
    /// Index of the setting in force.
    chosen: AtomicU32,
    /// Bits of a hash that are 0 in a sampled key.
    mask: AtomicU32,
    /// The capacity of the simulations.
    capacity: AtomicU64,
    simulations: Mutex<Option<Box<Simulations>>>,
}

struct Simulations {
    all: Vec<Simulation>,
    hits: [f32; CONFIGS.len()],
    seen: u32,
    total: f32,
    time: [u32; CONFIGS.len()], switches: u32,
}

impl Tuning {
    /// For a cache of so many entries and bytes; `u64::MAX` is no bound.
    pub fn new(max_entries: u64, max_bytes: u64) -> Arc<Self> {
        Self::starting_with(max_entries, max_bytes, 0)
    }

    fn starting_with(max_entries: u64, max_bytes: u64, chosen: u32) -> Arc<Self> {
        let (mut mask, mut capacity) = (u32::MAX, 0);
        if max_entries < u64::MAX {
            let shift = (max_entries / SIMULATED).max(1).next_power_of_two().ilog2();
            mask = (1 << shift) - 1;
            capacity = max_entries >> shift;
        }
        Arc::new(Tuning {
            max_entries,
            max_bytes,
            chosen: AtomicU32::new(chosen),
            mask: AtomicU32::new(mask),
            capacity: AtomicU64::new(capacity),
            simulations: Mutex::new(None),
        })
    }

    /// Whether accesses of a key feed the simulations.
    #[inline]
    pub fn is_sampled(&self, hash: u64) -> bool {
        #[expect(clippy::cast_possible_truncation, reason = "the lower half is asked for")]
        let hash = hash as u32;
        hash & self.mask.load(Ordering::Relaxed) == 0
    }

    /// Notes a hit of a sampled key. (Of misses, the policy itself notes those that lead to an insert.)
    pub fn record(&self, hash: u64, weight: u64) {
        // Another thread is at it: one access more or less makes no difference.
        let Ok(mut simulations) = self.simulations.try_lock() else { return };
        let simulations = simulations.get_or_insert_with(|| Box::new(Simulations::new()));
        #[expect(clippy::cast_possible_truncation, reason = "the lower half is asked for")]
        let hash = (hash as u32).wrapping_mul(0x9e37_79b1);
        let hash = (hash ^ (hash >> 15)).wrapping_mul(0x85eb_ca6b);
        let current = self.chosen.load(Ordering::Relaxed);
        let chosen = simulations.access(hash, weight, self.capacity.load(Ordering::Relaxed), current);
        if chosen != current {
            self.chosen.store(chosen, Ordering::Relaxed);
        }
    }

    #[allow(dead_code)]
    pub fn history(&self) -> String { let s = self.simulations.lock().unwrap(); s.as_ref().map_or(String::new(), |s| format!("{:?} {:?}", s.time, s.switches)) }

    pub(super) fn config(&self) -> &'static Config {
        &CONFIGS[self.chosen.load(Ordering::Relaxed) as usize]
    }
}

impl Simulations {
    fn new() -> Self {
        Simulations {
            all: (0..CONFIGS.len() as u32).map(|n| Simulation::new(n + 1)).collect(),
            hits: [0.0; CONFIGS.len()],
            seen: 0,
            total: 0.0, time: [0; CONFIGS.len()], switches: 0,
        }
    }

    fn access(&mut self, hash: u32, weight: u64, capacity: u64, current: u32) -> u32 {
        for (at, simulation) in self.all.iter_mut().enumerate() {
            if simulation.access(&CONFIGS[at], hash, weight, capacity) {
                self.hits[at] += 1.0;
            }
        }
        self.total += 1.0;
        self.seen += 1;
        if self.seen < 256 {
            return current;
        }
        self.seen = 0;
        let mut best = current as usize;
        let bar = self.hits[best] + 0.005 * self.total;
        for at in 0..self.hits.len() {
            if self.hits[at] > bar && self.hits[at] > self.hits[best] {
                best = at;
            }
        }
        for hits in &mut self.hits {
            *hits *= 0.9;
        }
        self.total *= 0.9;
        self.time[best] += 1; if best != current as usize { self.switches += 1 }
        best as u32
    }
}
