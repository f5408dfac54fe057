//! Miniatures of the cache, one for each setting: they hold the hashes of keys, and no values.
//!
//! All of them see the same accesses, so they share a table of keys; a key's number in it is its slot in each. A
//! key that all of them hold costs one look.

use std::cell::Cell;

use super::config::CONFIGS;
use super::engine::Engine;
use super::{Link, MAX_USES, NIL, Residents};

const COUNT: usize = CONFIGS.len();

pub(super) struct Miniatures {
    engines: [Engine; COUNT],
    count: usize,
    keys: Keys,
    /// What each of them may hold.
    capacity: u64,
}

/// The keys that any of them holds.
struct Keys {
    list: Vec<Key>,
    free: Vec<u32>,
    /// Open addressing: numbers of keys, NIL where there is none. At most half full, a power of two of them.
    index: Vec<u32>,
}

struct Key {
    hash: u32,
    weight: u32,
    /// A bit for each miniature that holds it.
    held: u8,
    uses: [Cell<u8>; COUNT],
    links: [Cell<Link>; COUNT],
}

/// The keys as one of the miniatures sees them.
struct View<'a> {
    keys: &'a [Key],
    number: usize,
}

impl Residents for View<'_> {
    fn uses(&self, slot: u32) -> u8 {
        self.keys[slot as usize].uses[self.number].get()
    }

    fn set_uses(&self, slot: u32, uses: u8) {
        self.keys[slot as usize].uses[self.number].set(uses);
    }

    fn weight(&self, slot: u32) -> u64 {
        u64::from(self.keys[slot as usize].weight)
    }

    fn hash(&self, slot: u32) -> u32 {
        self.keys[slot as usize].hash
    }

    fn link(&self, slot: u32) -> Link {
        self.keys[slot as usize].links[self.number].get()
    }

    fn set_link(&self, slot: u32, link: Link) {
        self.keys[slot as usize].links[self.number].set(link);
    }
}

impl Miniatures {
    /// Of the first `count` settings.
    pub fn new(count: usize, capacity: u64, seed: u32) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "a handful")]
        let engines = std::array::from_fn(|number| Engine::new(seed.wrapping_add(number as u32)));
        Miniatures { engines, count: count.min(COUNT), keys: Keys::new(), capacity }
    }

    /// One access, after which all of them hold the key. Returns a bit for each in which it was a hit.
    pub fn access(&mut self, hash: u32, weight: u64) -> u8 {
        let weight = u32::try_from(weight).unwrap_or(u32::MAX);
        if u64::from(weight) > self.capacity {
            return 0;
        }
        let slot = self.keys.find(hash).unwrap_or_else(|| self.keys.add(hash, weight));
        let held = self.keys.list[slot as usize].held;
        for number in 0..self.count {
            if held & 1 << number != 0 {
                let uses = &self.keys.list[slot as usize].uses[number];
                uses.set((uses.get() + 1).min(MAX_USES));
            } else {
                self.admit(number, slot);
            }
        }
        held
    }

    fn admit(&mut self, number: usize, slot: u32) {
        let Miniatures { engines, keys, capacity, .. } = self;
        let (engine, config, bit) = (&mut engines[number], &CONFIGS[number], 1 << number);
        let key = &mut keys.list[slot as usize];
        key.held |= bit;
        key.uses[number].set(0);
        let has_room = engine.weight() + u64::from(key.weight) <= *capacity;
        engine.insert(config, &View { keys: &keys.list, number }, slot, has_room);
        while engine.weight() > *capacity {
            let Some(victim) = engine.evict(config, &View { keys: &keys.list, number }, slot) else { break };
            let key = &mut keys.list[victim as usize];
            key.held &= !bit;
            if key.held == 0 {
                keys.forget(victim);
            }
        }
    }

    /// That each holds what the table of keys says, and no more than it may.
    #[cfg(test)]
    pub fn check(&self) {
        let mut held = vec![0; self.keys.list.len()];
        for (number, engine) in self.engines.iter().enumerate() {
            assert!(engine.weight() <= self.capacity);
            engine
                .slots(&View { keys: &self.keys.list, number })
                .iter()
                .for_each(|slot| held[*slot as usize] |= 1 << number);
        }
        for (slot, key) in self.keys.list.iter().enumerate() {
            let is_free = self.keys.free.contains(&(slot as u32));
            assert_eq!(is_free, held[slot] == 0);
            assert!(is_free || (key.held == held[slot] && self.keys.find(key.hash) == Some(slot as u32)));
        }
    }
}

impl Keys {
    fn new() -> Self {
        Keys { list: Vec::new(), free: Vec::new(), index: Vec::new() }
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
            if self.list[slot as usize].hash == hash {
                return Some(slot);
            }
            at = self.next(at);
        }
    }

    /// Gives a number to a key that has none.
    fn add(&mut self, hash: u32, weight: u32) -> u32 {
        let (uses, links) = ([const { Cell::new(0) }; COUNT], [const { Cell::new(Link::LOOSE) }; COUNT]);
        let key = Key { hash, weight, held: 0, uses, links };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.list[slot as usize] = key;
                slot
            }
            None => {
                self.list.push(key);
                #[expect(clippy::cast_possible_truncation, reason = "some thousands")]
                let slot = (self.list.len() - 1) as u32;
                slot
            }
        };
        if self.index.len() < self.list.len() * 2 {
            self.grow();
        }
        self.enter(slot);
        slot
    }

    fn enter(&mut self, slot: u32) {
        let mut at = self.home(self.list[slot as usize].hash);
        while self.index[at] != NIL {
            at = self.next(at);
        }
        self.index[at] = slot;
    }

    fn grow(&mut self) {
        let len = (self.index.len() * 2).max(64);
        for slot in std::mem::replace(&mut self.index, vec![NIL; len]) {
            if slot != NIL {
                self.enter(slot);
            }
        }
    }

    /// Takes a key's number back, and moves up in the index what stands behind it.
    fn forget(&mut self, slot: u32) {
        let mask = self.index.len() - 1;
        let mut hole = self.home(self.list[slot as usize].hash);
        while self.index[hole] != slot {
            hole = self.next(hole);
        }
        let mut at = self.next(hole);
        while self.index[at] != NIL {
            let home = self.home(self.list[self.index[at] as usize].hash);
            // Whether it may stand in the hole: that is not before its home.
            if at.wrapping_sub(home) & mask >= at.wrapping_sub(hole) & mask {
                self.index[hole] = self.index[at];
                hole = at;
            }
            at = self.next(at);
        }
        self.index[hole] = NIL;
        self.free.push(slot);
    }

    /// Hashes come here well mixed.
    fn home(&self, hash: u32) -> usize {
        hash as usize & (self.index.len() - 1)
    }

    fn next(&self, at: usize) -> usize {
        (at + 1) & (self.index.len() - 1)
    }
}
