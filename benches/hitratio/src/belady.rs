//! Belady's optimum: what a cache that knows the future would reach.
//!
//! Without sizes it is exact, and allows what some real policies do too: not to take a new object in at all.
//! What is used farthest in the future leaves, the newcomer included.
//!
//! With sizes the optimum is NP-hard. Here it is approximated ("Belady-size"): of 64 residents drawn from a
//! fixed seed, and the newcomer, the one leaves whose size times the distance to its next use is largest; what is
//! never used again leaves at once. This is close to the best known, but no proven upper bound.

#[cfg(test)]
mod tests;

use std::collections::BinaryHeap;

use scrubjay_bench_common::Random;

use crate::trace::Trace;

const NEVER: u32 = u32::MAX;
const SAMPLE: usize = 64;

/// The hits of the optimum with room for `capacity` entries, or bytes where the trace has sizes.
pub fn hits(trace: &Trace, capacity: u64) -> u64 {
    let next = next_uses(trace);
    if trace.sizes.is_some() { by_size(trace, &next, capacity) } else { exact(trace, &next, capacity) }
}

/// For each request, when its key is requested next.
fn next_uses(trace: &Trace) -> Vec<u32> {
    let mut seen = vec![NEVER; trace.keys as usize];
    let mut next = vec![NEVER; trace.requests.len()];
    for (at, key) in trace.requests.iter().enumerate().rev() {
        let later = &mut seen[*key as usize];
        next[at] = *later;
        *later = u32::try_from(at).unwrap_or(NEVER);
    }
    next
}

fn exact(trace: &Trace, next: &[u32], capacity: u64) -> u64 {
    let mut resident = vec![false; trace.keys as usize];
    let mut held = 0;
    // Who is used when, the farthest on top. Entries of the past stay at the bottom and mean nothing.
    let mut by_next_use: BinaryHeap<(u32, u32)> = BinaryHeap::new();
    let mut hits = 0;
    for (&key, &next_use) in trace.requests.iter().zip(next) {
        if resident[key as usize] {
            hits += 1;
            if next_use == NEVER {
                resident[key as usize] = false;
                held -= 1;
            } else {
                by_next_use.push((next_use, key));
            }
            continue;
        }
        if next_use == NEVER {
            continue;
        }
        if held < capacity {
            held += 1;
        } else {
            match by_next_use.peek() {
                Some(&(farthest, victim)) if farthest > next_use => {
                    by_next_use.pop();
                    resident[victim as usize] = false;
                }
                _ => continue,
            }
        }
        resident[key as usize] = true;
        by_next_use.push((next_use, key));
    }
    hits
}

/// Objects held, with the next use of each.
struct Residents<'a> {
    trace: &'a Trace,
    keys: Vec<u32>,
    /// The place of each key in `keys`; `NEVER` where it is not held.
    place: Vec<u32>,
    next_use: Vec<u32>,
    bytes: u64,
}

impl Residents<'_> {
    fn insert(&mut self, key: u32, next_use: u32) {
        self.place[key as usize] = u32::try_from(self.keys.len()).unwrap_or(NEVER);
        self.next_use[key as usize] = next_use;
        self.keys.push(key);
        self.bytes += u64::from(self.trace.size(key));
    }

    fn remove(&mut self, key: u32) {
        let place = std::mem::replace(&mut self.place[key as usize], NEVER) as usize;
        self.keys.swap_remove(place);
        if let Some(moved) = self.keys.get(place) {
            self.place[*moved as usize] = u32::try_from(place).unwrap_or(NEVER);
        }
        self.bytes -= u64::from(self.trace.size(key));
    }

    /// What it costs to keep `key` until it is used.
    fn cost(&self, key: u32, next_use: u32, now: usize) -> u64 {
        u64::from(self.trace.size(key)) * (u64::from(next_use) - now as u64)
    }

    /// The costliest of a sample, of all where they are few.
    fn costliest(&self, random: &mut Random, now: usize) -> Option<(u64, u32)> {
        let count = u32::try_from(self.keys.len()).unwrap_or(NEVER);
        let cost = |key: u32| (self.cost(key, self.next_use[key as usize], now), key);
        if self.keys.len() <= SAMPLE {
            return self.keys.iter().map(|key| cost(*key)).max();
        }
        (0..SAMPLE).map(|_| cost(self.keys[random.below(count) as usize])).max()
    }
}

fn by_size(trace: &Trace, next: &[u32], capacity: u64) -> u64 {
    let keys = trace.keys as usize;
    let mut residents =
        Residents { trace, keys: Vec::new(), place: vec![NEVER; keys], next_use: vec![NEVER; keys], bytes: 0 };
    let mut random = Random::new(1);
    let mut victims: Vec<u32> = Vec::new();
    let mut hits = 0;
    for (now, (&key, &next_use)) in trace.requests.iter().zip(next).enumerate() {
        if residents.place[key as usize] != NEVER {
            hits += 1;
            if next_use == NEVER {
                residents.remove(key);
            } else {
                residents.next_use[key as usize] = next_use;
            }
            continue;
        }
        let size = u64::from(trace.size(key));
        if next_use == NEVER || size > capacity {
            continue;
        }
        let cost = residents.cost(key, next_use, now);
        let mut worth_it = true;
        while residents.bytes + size > capacity {
            match residents.costliest(&mut random, now) {
                Some((worst, victim)) if worst > cost => {
                    residents.remove(victim);
                    victims.push(victim);
                }
                _ => {
                    worth_it = false;
                    break;
                }
            }
        }
        if worth_it {
            residents.insert(key, next_use);
            victims.clear();
        }
        // The newcomer was the costliest after all: nobody has to leave for it.
        for victim in victims.drain(..) {
            let next_use = residents.next_use[victim as usize];
            residents.insert(victim, next_use);
        }
    }
    hits
}
