//! The structure itself: two queues and a ghost, under whatever setting is given.

use super::config::{Config, MOST_MEMORY};
use super::ghost::Ghost;
use super::queue::{Place, Queues};
use super::{NIL, Residents};

/// After so many entries that were used, one is evicted all the same.
pub(super) const MAX_STEPS: u32 = 512;
/// Where the small queue has far more than its part, so many in 256 of those that leave it go into main.
const PASSED_ON: u16 = 16;
/// Up to so many entries, the ghost remembers as if there were four times as many: that costs nothing there, and
/// what is asked for often may not come back sooner.
const FEW: u64 = 512;
/// It remembers a few keys even where only one entry fits.
const MIN_WINDOW: u32 = 16;

pub(super) struct Engine {
    queues: Queues,
    ghost: Ghost,
    /// What was held at the last eviction.
    full: u64,
    random: u32,
}

impl Engine {
    pub fn new(seed: u32) -> Self {
        Engine { queues: Queues::new(), ghost: Ghost::default(), full: u64::MAX, random: seed | 1 }
    }

    /// How many slots are in.
    pub fn len(&self) -> u64 {
        self.queues.len()
    }

    /// What they weigh together.
    pub fn weight(&self) -> u64 {
        self.queues.weight()
    }

    /// Has fetched what is looked at when a key comes in.
    pub fn prefetch(&self, hash: u32) {
        self.ghost.prefetch(hash);
    }

    /// Takes in a slot. `has_room`: nothing needs to leave for it.
    pub fn insert(&mut self, config: &Config, r: &impl Residents, slot: u32, has_room: bool) {
        let window = self.window(config);
        let weight = r.weight(slot);
        let recalled = self.ghost.recall(r.hash(slot), window) && self.draw(config.recalled);
        let chosen = recalled || (config.chance > 0 && self.random() & 0xffff < u32::from(config.chance));
        // Where sizes vary, evictions often leave some room over.
        let is_filling =
            has_room && (config.leftovers || weight.saturating_add(self.weight()) <= self.full - self.full / 16);
        let place = if is_filling || (chosen && !config.recency) { Place::Main } else { Place::Small };
        self.queues.push(r, slot, place, weight);
    }

    /// Another weight is in the slot now.
    pub fn replaced(&mut self, r: &impl Residents, slot: u32, old_weight: u64, new_weight: u64) {
        if let Some(place) = Queues::place(r, slot) {
            let queue = self.queues.queue_mut(place);
            queue.weight = queue.weight - old_weight + new_weight;
        }
    }

    /// Takes a slot out; nothing remembers it.
    pub fn remove(&mut self, r: &impl Residents, slot: u32) {
        self.queues.unlink(r, slot, r.weight(slot));
    }

    /// Takes out the entry that is worth least, but not that in slot `keep`.
    pub fn evict(&mut self, config: &Config, r: &impl Residents, keep: u32) -> Option<u32> {
        let kept = if keep == NIL { None } else { Queues::place(r, keep) };
        if self.queues.len() <= u64::from(kept.is_some()) {
            return None;
        }
        self.full = self.weight();
        // Each step takes a use away or moves an entry into main, so it would end; but that may be far, and
        // readers can give uses back. A writer must not be kept here.
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
            let is_used = uses > 0 && (place == Place::Main || uses >= config.proven);
            let (uses, place) = match (uses, place) {
                (_, Place::Small) if !is_used && self.passes_on(config, patience) => (0, Place::Main),
                _ if !is_used => {
                    self.let_go(config, r, slot, place);
                    self.foresee(r, place);
                    return Some(slot);
                }
                (_, _) if config.recency => (0, Place::Small),
                (_, Place::Small) => (0, Place::Main),
                (uses, Place::Main) => (uses - 1, Place::Main),
            };
            r.set_uses(slot, uses);
            self.move_to(r, slot, place);
        }
    }

    /// Has fetched what the next eviction will look at.
    fn foresee(&self, r: &impl Residents, place: Place) {
        if let Some(next) = self.queues.queue(place).tail() {
            r.foresee(next, Queues::before(r, next));
            self.ghost.prefetch(r.hash(next));
        }
    }

    fn let_go(&mut self, config: &Config, r: &impl Residents, slot: u32, place: Place) {
        let len = self.queues.len();
        let window = self.window(config);
        self.queues.unlink(r, slot, r.weight(slot));
        match place {
            Place::Small => {
                self.ghost.reserve(window_of(MOST_MEMORY, len));
                self.ghost.remember(r.hash(slot), window);
            }
            Place::Main => self.ghost.pass(window),
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
            let part = self.queues.weight().saturating_mul(u64::from(config.small));
            self.queues.small.weight.saturating_mul(256) >= part
        };
        if small > 0 && has_its_part() { Place::Small } else { Place::Main }
    }

    /// Whether an entry that was not used goes from the small queue into main, and not out. So in the setting
    /// that is nearly LRU, and where the small queue has far more than its part: after a change of the setting,
    /// main has room that only the used could take.
    fn passes_on(&mut self, config: &Config, patience: u32) -> bool {
        let Queues { small, main, .. } = &self.queues;
        if config.recency {
            return patience > 0 && main.len > 0;
        }
        let is_far_over = |small: u64, main: u64| {
            small.saturating_mul(256) > small.saturating_add(main).saturating_mul(u64::from(config.small) + 8)
        };
        let is_far_over =
            small.len > 4 && is_far_over(small.len, main.len) && is_far_over(small.weight, main.weight);
        is_far_over && patience > 0 && self.draw(PASSED_ON)
    }

    fn move_to(&mut self, r: &impl Residents, slot: u32, place: Place) {
        let weight = r.weight(slot);
        self.queues.unlink(r, slot, weight);
        self.queues.push(r, slot, place, weight);
    }

    fn window(&self, config: &Config) -> u32 {
        window_of(config.memory, self.queues.len())
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

    /// Every slot in the queues, as often as it stands there.
    #[cfg(test)]
    pub fn slots(&self, r: &impl Residents) -> Vec<u32> {
        self.queues.slots(r)
    }

    #[cfg(test)]
    pub fn ghost_bytes(&self) -> usize {
        self.ghost.bytes()
    }
}

/// So many evictions are remembered with that `memory` and so many entries.
fn window_of(memory: u8, len: u64) -> u32 {
    let len = len.max((len * 4).min(FEW));
    u32::try_from(len * u64::from(memory) / 4).unwrap_or(u32::MAX).max(MIN_WINDOW)
}
