//! Who stays: S3-FIFO. New entries pass through a small queue; what is used there moves on to the main queue, the
//! rest is evicted and remembered in the ghost; what comes back while remembered enters the main queue at once.
//! The main queue is a clock: an entry that was used goes round again, one use less.

use std::sync::Arc;

use super::ghost::Ghost;

pub(super) const NIL: u32 = u32::MAX;

/// The small queue gets this part of the weight: 1 in 10.
const SMALL_PART: u64 = 10;

/// After so many entries that were used, one is evicted all the same.
const MAX_STEPS: u32 = 4096;

/// What the policy asks of the entries.
pub(super) trait Residents {
    fn uses(&self, slot: u32) -> u8;
    fn set_uses(&self, slot: u32, uses: u8);
    fn weight(&self, slot: u32) -> u64;
    fn hash(&self, slot: u32) -> u32;
}

pub(super) struct Tuning;

impl Tuning {
    pub fn new(_max_entries: u64, _max_bytes: u64) -> Arc<Self> {
        Arc::new(Tuning)
    }

    #[inline]
    pub fn is_sampled(&self, _hash: u64) -> bool {
        false
    }

    pub fn record(&self, _hash: u64, _weight: u64) {}
}

pub(super) struct Policy {
    links: Vec<Link>,
    small: Queue,
    main: Queue,
    ghost: Ghost,
}

#[derive(Clone, Copy)]
struct Link {
    prev: u32,
    next: u32,
    in_main: bool,
}

struct Queue {
    head: u32,
    tail: u32,
    len: u32,
    weight: u64,
}

impl Queue {
    const EMPTY: Queue = Queue { head: NIL, tail: NIL, len: 0, weight: 0 };

    fn push(&mut self, links: &mut [Link], at: u32, weight: u64) {
        let link = &mut links[at as usize];
        link.prev = NIL;
        link.next = self.head;
        match self.head {
            NIL => self.tail = at,
            head => links[head as usize].prev = at,
        }
        self.head = at;
        self.len += 1;
        self.weight += weight;
    }

    fn unlink(&mut self, links: &mut [Link], at: u32, weight: u64) {
        let Link { prev, next, .. } = links[at as usize];
        match prev {
            NIL => self.head = next,
            prev => links[prev as usize].next = next,
        }
        match next {
            NIL => self.tail = prev,
            next => links[next as usize].prev = prev,
        }
        self.len -= 1;
        self.weight -= weight;
    }
}

impl Policy {
    pub fn new(_tuning: Arc<Tuning>) -> Self {
        Policy { links: Vec::new(), small: Queue::EMPTY, main: Queue::EMPTY, ghost: Ghost::default() }
    }

    pub fn len(&self) -> u64 {
        u64::from(self.small.len) + u64::from(self.main.len)
    }

    pub fn weight(&self) -> u64 {
        self.small.weight + self.main.weight
    }

    pub fn insert(&mut self, r: &impl Residents, slot: u32, _has_room: bool) {
        let in_main = self.ghost.recall(u64::from(r.hash(slot)));
        if self.links.len() <= slot as usize {
            self.links.resize(slot as usize + 1, Link { prev: NIL, next: NIL, in_main });
        }
        self.links[slot as usize].in_main = in_main;
        let (queue, links) = self.queue_of(slot);
        queue.push(links, slot, r.weight(slot));
    }

    pub fn replaced(&mut self, slot: u32, old_weight: u64, new_weight: u64) {
        let (queue, _) = self.queue_of(slot);
        queue.weight = queue.weight - old_weight + new_weight;
    }

    pub fn remove(&mut self, r: &impl Residents, slot: u32) {
        let (queue, links) = self.queue_of(slot);
        queue.unlink(links, slot, r.weight(slot));
    }

    pub fn evict(&mut self, r: &impl Residents, keep: u32) -> Option<u32> {
        if self.len() <= u64::from(keep != NIL) {
            return None;
        }
        let mut patience = MAX_STEPS;
        loop {
            patience = patience.saturating_sub(1);
            let from_small = self.takes_from_small(keep);
            let at = if from_small { self.small.tail } else { self.main.tail };
            let uses = if patience > 0 { r.uses(at) } else { 0 };
            if at == keep {
                self.move_to_head(r, at, !from_small);
            } else if uses == 0 {
                if from_small {
                    self.ghost.remember(u64::from(r.hash(at)), self.small.len.saturating_add(self.main.len));
                }
                self.remove(r, at);
                return Some(at);
            } else {
                r.set_uses(at, if from_small { 0 } else { uses - 1 });
                self.move_to_head(r, at, true);
            }
        }
    }

    fn takes_from_small(&self, keep: u32) -> bool {
        let keep_in_main = (keep != NIL).then(|| self.links[keep as usize].in_main);
        let small = self.small.len - u32::from(keep_in_main == Some(false));
        let main = self.main.len - u32::from(keep_in_main == Some(true));
        small > 0 && (main == 0 || self.small.weight.saturating_mul(SMALL_PART) >= self.weight())
    }

    fn move_to_head(&mut self, r: &impl Residents, at: u32, into_main: bool) {
        let weight = r.weight(at);
        let (queue, links) = self.queue_of(at);
        queue.unlink(links, at, weight);
        self.links[at as usize].in_main = into_main;
        let (queue, links) = self.queue_of(at);
        queue.push(links, at, weight);
    }

    fn queue_of(&mut self, at: u32) -> (&mut Queue, &mut [Link]) {
        let queue = if self.links[at as usize].in_main { &mut self.main } else { &mut self.small };
        (queue, &mut self.links)
    }
}
