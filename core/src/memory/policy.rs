//! Who stays: S3-FIFO. New entries pass through a small queue; what is used there moves on to the main queue, the
//! rest is evicted and remembered in the ghost; what comes back while remembered enters the main queue at once.
//! The main queue is a clock: an entry that was used goes round again, one use less.
//!
//! One `Policy` belongs to one shard of the store and is used under its lock. It owns the slots: an entry's
//! slot is its number here and in the wheel.

use std::sync::Arc;

use super::entry::Entry;
use super::ghost::Ghost;

pub(super) const NIL: u32 = u32::MAX;

/// The small queue gets this part of the weight: 1 in 10.
const SMALL_PART: u64 = 10;

/// After so many entries that were used, one is evicted all the same.
const MAX_STEPS: u32 = 4096;

pub(super) struct Policy<V, K> {
    slots: Vec<Slot<V, K>>,
    /// The first of the free slots, chained by `next`.
    free: u32,
    small: Queue,
    main: Queue,
    ghost: Ghost,
}

struct Slot<V, K> {
    entry: Option<Arc<Entry<V, K>>>,
    prev: u32,
    next: u32,
    in_main: bool,
}

/// A doubly linked list over the slots: in at the head, out at the tail.
struct Queue {
    head: u32,
    tail: u32,
    len: u32,
    weight: u64,
}

impl<V, K> Default for Policy<V, K> {
    fn default() -> Self {
        Policy { slots: Vec::new(), free: NIL, small: Queue::EMPTY, main: Queue::EMPTY, ghost: Ghost::default() }
    }
}

impl Queue {
    const EMPTY: Queue = Queue { head: NIL, tail: NIL, len: 0, weight: 0 };

    fn push<V, K>(&mut self, slots: &mut [Slot<V, K>], at: u32, weight: u64) {
        let slot = &mut slots[at as usize];
        slot.prev = NIL;
        slot.next = self.head;
        match self.head {
            NIL => self.tail = at,
            head => slots[head as usize].prev = at,
        }
        self.head = at;
        self.len += 1;
        self.weight += weight;
    }

    fn unlink<V, K>(&mut self, slots: &mut [Slot<V, K>], at: u32, weight: u64) {
        let Slot { prev, next, .. } = slots[at as usize];
        match prev {
            NIL => self.head = next,
            prev => slots[prev as usize].next = next,
        }
        match next {
            NIL => self.tail = prev,
            next => slots[next as usize].prev = prev,
        }
        self.len -= 1;
        self.weight -= weight;
    }
}

impl<V, K> Policy<V, K> {
    pub fn len(&self) -> u64 {
        u64::from(self.small.len) + u64::from(self.main.len)
    }

    pub fn weight(&self) -> u64 {
        self.small.weight + self.main.weight
    }

    /// Whether there is a slot for one more.
    pub fn has_room(&self) -> bool {
        self.free != NIL || self.slots.len() < NIL as usize
    }

    /// The entry in a slot.
    pub fn get(&self, slot: u32) -> Option<&Arc<Entry<V, K>>> {
        self.slots.get(slot as usize)?.entry.as_ref()
    }

    /// Takes in an entry and gives it a slot.
    pub fn insert(&mut self, entry: Arc<Entry<V, K>>) -> u32 {
        let weight = entry.weight;
        let in_main = self.ghost.recall(entry.hash);
        let at = self.free;
        let at = if at == NIL {
            #[expect(clippy::cast_possible_truncation, reason = "`has_room` was asked")]
            let at = self.slots.len() as u32;
            entry.set_slot(at);
            self.slots.push(Slot { entry: Some(entry), prev: NIL, next: NIL, in_main });
            at
        } else {
            entry.set_slot(at);
            let slot = &mut self.slots[at as usize];
            self.free = slot.next;
            slot.entry = Some(entry);
            slot.in_main = in_main;
            at
        };
        let (queue, slots) = self.queue_of(at);
        queue.push(slots, at, weight);
        at
    }

    /// Puts `new` in the slot and the place of `old`, and returns that.
    pub fn replace(&mut self, at: u32, new: Arc<Entry<V, K>>) -> Option<Arc<Entry<V, K>>> {
        new.set_slot(at);
        let weight = new.weight;
        let old = self.slots[at as usize].entry.replace(new)?;
        let (queue, _) = self.queue_of(at);
        queue.weight = queue.weight - old.weight + weight;
        Some(old)
    }

    /// Takes an entry out of its slot.
    pub fn remove(&mut self, at: u32) -> Option<Arc<Entry<V, K>>> {
        let entry = self.slots.get_mut(at as usize)?.entry.take()?;
        let (queue, slots) = self.queue_of(at);
        queue.unlink(slots, at, entry.weight);
        self.slots[at as usize].next = self.free;
        self.free = at;
        Some(entry)
    }

    /// Takes out the entry that is worth least, but not the one in slot `keep`. None if there is no other.
    pub fn evict(&mut self, keep: u32) -> Option<Arc<Entry<V, K>>> {
        if self.len() <= u64::from(self.holds(keep)) {
            return None;
        }
        // Each step takes a use away or moves an entry into main, so it would end; but that may be far, and readers
        // can give uses back. A writer must not be kept here.
        let mut patience = MAX_STEPS;
        loop {
            patience = patience.saturating_sub(1);
            let from_small = self.takes_from_small(keep);
            let at = if from_small { self.small.tail } else { self.main.tail };
            let entry = self.get(at)?;
            let uses = if patience > 0 { entry.uses() } else { 0 };
            if at == keep {
                self.move_to_head(at, !from_small);
            } else if uses == 0 {
                if from_small {
                    let hash = entry.hash;
                    // As many as are in: a key seen twice within that many evictions is worth a place.
                    self.ghost.remember(hash, self.small.len.saturating_add(self.main.len));
                }
                return self.remove(at);
            } else {
                entry.set_uses(if from_small { 0 } else { uses - 1 });
                self.move_to_head(at, true);
            }
        }
    }

    /// Everything that is in, in no order.
    pub fn into_entries(self) -> impl Iterator<Item = Arc<Entry<V, K>>> {
        self.slots.into_iter().filter_map(|slot| slot.entry)
    }

    fn holds(&self, at: u32) -> bool {
        self.get(at).is_some()
    }

    /// Whether the next to go is the last of the small queue.
    fn takes_from_small(&self, keep: u32) -> bool {
        let keep_in_main = self.slots.get(keep as usize).map(|slot| slot.in_main);
        let small = self.small.len - u32::from(keep_in_main == Some(false));
        let main = self.main.len - u32::from(keep_in_main == Some(true));
        small > 0 && (main == 0 || self.small.weight.saturating_mul(SMALL_PART) >= self.weight())
    }

    fn move_to_head(&mut self, at: u32, into_main: bool) {
        let Some(weight) = self.get(at).map(|entry| entry.weight) else { return };
        let (queue, slots) = self.queue_of(at);
        queue.unlink(slots, at, weight);
        self.slots[at as usize].in_main = into_main;
        let (queue, slots) = self.queue_of(at);
        queue.push(slots, at, weight);
    }

    fn queue_of(&mut self, at: u32) -> (&mut Queue, &mut [Slot<V, K>]) {
        let queue = if self.slots[at as usize].in_main { &mut self.main } else { &mut self.small };
        (queue, &mut self.slots)
    }
}
