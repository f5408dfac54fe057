//! The structure itself: two queues and a ghost, under whatever setting is given.

use super::config::Config;
use super::ghost::Ghost;
use super::queue::{Place, Queues};
use super::{NIL, Residents};

/// After so many entries that were used, one is evicted all the same.
const MAX_STEPS: u32 = 256;
/// The ghost remembers a few keys even where only one entry fits.
const MIN_WINDOW: u32 = 8;

pub(super) struct Engine {
    pub queues: Queues,
    ghost: Ghost,
    random: u32,
}

impl Engine {
    pub fn new(seed: u32) -> Self {
        Engine { queues: Queues::new(), ghost: Ghost::default(), random: seed | 1 }
    }

    pub fn insert(&mut self, config: &Config, r: &impl Residents, slot: u32, has_room: bool) {
        let window = self.window(config);
        let recalled = self.ghost.recall(r.hash(slot), window) && self.draw(config.recalled);
        let chosen = recalled || (config.chance > 0 && self.random() & 0xffff < u32::from(config.chance));
        let place = if has_room || (chosen && !config.recency) { Place::Main } else { Place::Small };
        self.queues.push(slot, place, r.weight(slot));
    }

    pub fn replaced(&mut self, slot: u32, old_weight: u64, new_weight: u64) {
        if let Some(place) = self.queues.place(slot) {
            let queue = self.queues.queue_mut(place);
            queue.weight = queue.weight - old_weight + new_weight;
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Engine::new(self.random);
    }

    pub fn remove(&mut self, r: &impl Residents, slot: u32) {
        self.queues.unlink(slot, r.weight(slot));
    }

    /// Takes out the entry that is worth least, but not that in slot `keep`.
    pub fn evict(&mut self, config: &Config, r: &impl Residents, keep: u32) -> Option<u32> {
        let kept = if keep == NIL { None } else { self.queues.place(keep) };
        if self.queues.len() <= u64::from(kept.is_some()) {
            return None;
        }
        // Each step takes a use away or moves an entry into main, so it would end; but that may be far, and readers
        // can give uses back. A writer must not be kept here.
        let mut patience = MAX_STEPS;
        loop {
            let place = self.source(config, kept);
            let slot = self.queues.queue(place).tail()?;
            if slot == keep {
                self.move_to(r, slot, place);
                continue;
            }
            patience = patience.saturating_sub(1);
            let uses = if patience > 0 { r.uses(slot) } else { 0 };
            let enough = match place {
                _ if config.recency => uses > 0,
                Place::Small => uses > 0 && self.draw(config.promoted),
                Place::Main => uses > 0,
            };
            if !enough {
                self.queues.unlink(slot, r.weight(slot));
                match place {
                    Place::Small => self.ghost.remember(r.hash(slot), self.window(config)),
                    Place::Main => self.ghost.pass(self.window(config)),
                }
                return Some(slot);
            }
            match place {
                _ if config.recency => {
                    r.set_uses(slot, uses - 1);
                    self.move_to(r, slot, Place::Small);
                }
                Place::Small => {
                    r.set_uses(slot, 0);
                    self.move_to(r, slot, Place::Main);
                }
                Place::Main => {
                    r.set_uses(slot, uses - 1);
                    self.move_to(r, slot, Place::Main);
                }
            }
        }
    }

    /// The queue from which the next is to go. There is one beside the slot that is kept.
    fn source(&self, config: &Config, kept: Option<Place>) -> Place {
        let small = self.queues.small.len - u64::from(kept == Some(Place::Small));
        let main = self.queues.main.len - u64::from(kept == Some(Place::Main));
        if main == 0 {
            return Place::Small;
        }
        let has_its_part = || {
            let weight = u128::from(self.queues.small.weight) * 256;
            weight >= u128::from(self.queues.weight()) * u128::from(config.small)
        };
        if small > 0 && !config.recency && has_its_part() { Place::Small } else { Place::Main }
    }

    fn move_to(&mut self, r: &impl Residents, slot: u32, place: Place) {
        let weight = r.weight(slot);
        self.queues.unlink(slot, weight);
        self.queues.push(slot, place, weight);
    }

    fn window(&self, config: &Config) -> u32 {
        let window = self.queues.len() * u64::from(config.memory) / 4;
        u32::try_from(window).unwrap_or(u32::MAX).max(MIN_WINDOW)
    }

    /// True in `chances` of 256 cases.
    fn draw(&mut self, chances: u16) -> bool {
        chances >= 256 || (self.random() & 0xff) < u32::from(chances)
    }

    fn random(&mut self) -> u32 {
        // xorshift: never 0.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        self.random >> 3
    }
}
