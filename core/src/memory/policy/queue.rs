//! First-in-first-out lists over slots. Their links lie with the entries.

use super::Residents;

/// The last number a slot can have is one less. (The bit above it tells the queue.)
const NO_SLOT: u32 = u32::MAX >> 1;

/// Which queue an entry stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Small,
    Main,
}

/// The neighbours of a slot. The top bit of `prev` is set where the slot stands in main.
#[derive(Clone, Copy, Debug)]
pub(in crate::memory) struct Link {
    pub prev: u32,
    pub next: u32,
}

/// In at the head, out at the tail.
#[derive(Clone, Copy)]
pub(super) struct Queue {
    head: u32,
    tail: u32,
    pub len: u64,
    pub weight: u64,
}

/// Small and main.
pub(super) struct Queues {
    pub small: Queue,
    pub main: Queue,
}

impl Queue {
    const EMPTY: Queue = Queue { head: NO_SLOT, tail: NO_SLOT, len: 0, weight: 0 };

    pub fn tail(&self) -> Option<u32> {
        (self.tail != NO_SLOT).then_some(self.tail)
    }
}

impl Link {
    const MAIN: u32 = 1 << 31;
    /// In no queue.
    pub const LOOSE: Link = Link { prev: u32::MAX, next: u32::MAX };

    fn prev(self) -> u32 {
        self.prev & !Self::MAIN
    }

    fn place(self) -> Place {
        if self.prev & Self::MAIN == 0 { Place::Small } else { Place::Main }
    }
}

impl Queues {
    pub fn new() -> Self {
        Queues { small: Queue::EMPTY, main: Queue::EMPTY }
    }

    pub fn len(&self) -> u64 {
        self.small.len + self.main.len
    }

    pub fn weight(&self) -> u64 {
        self.small.weight + self.main.weight
    }

    /// Where a slot stands.
    pub fn place(r: &impl Residents, slot: u32) -> Option<Place> {
        let link = r.link(slot);
        (link.next != u32::MAX).then(|| link.place())
    }

    /// The slot that came in after this one, which is in a queue.
    pub fn before(r: &impl Residents, slot: u32) -> Option<u32> {
        Some(r.link(slot).prev()).filter(|prev| *prev != NO_SLOT)
    }

    pub fn queue(&self, place: Place) -> &Queue {
        match place {
            Place::Small => &self.small,
            Place::Main => &self.main,
        }
    }

    pub fn queue_mut(&mut self, place: Place) -> &mut Queue {
        match place {
            Place::Small => &mut self.small,
            Place::Main => &mut self.main,
        }
    }

    /// Puts a slot that is in no queue at the head of one.
    pub fn push(&mut self, r: &impl Residents, slot: u32, place: Place, weight: u64) {
        debug_assert!(slot < NO_SLOT, "a slot fits beside the bit");
        let bit = if place == Place::Main { Link::MAIN } else { 0 };
        let queue = self.queue_mut(place);
        let next = std::mem::replace(&mut queue.head, slot);
        queue.len += 1;
        queue.weight += weight;
        if next == NO_SLOT {
            queue.tail = slot;
        } else {
            r.set_link(next, Link { prev: slot | bit, ..r.link(next) });
        }
        r.set_link(slot, Link { prev: NO_SLOT | bit, next });
    }

    /// Takes a slot out of its queue.
    pub fn unlink(&mut self, r: &impl Residents, slot: u32, weight: u64) -> Option<Place> {
        let place = Self::place(r, slot)?;
        let link = r.link(slot);
        r.set_link(slot, Link::LOOSE);
        let bit = link.prev & Link::MAIN;
        let (prev, next) = (link.prev(), link.next);
        if next != NO_SLOT {
            r.set_link(next, Link { prev: prev | bit, ..r.link(next) });
        }
        if prev != NO_SLOT {
            r.set_link(prev, Link { next, ..r.link(prev) });
        }
        let queue = self.queue_mut(place);
        if next == NO_SLOT {
            queue.tail = prev;
        }
        if prev == NO_SLOT {
            queue.head = next;
        }
        queue.len -= 1;
        queue.weight -= weight;
        Some(place)
    }

    #[cfg(test)]
    pub fn slots(&self, r: &impl Residents) -> Vec<u32> {
        let mut slots = Vec::new();
        for (place, queue) in [(Place::Small, &self.small), (Place::Main, &self.main)] {
            let (mut at, mut before) = (queue.head, NO_SLOT);
            while at != NO_SLOT {
                assert_eq!(Self::place(r, at), Some(place));
                assert_eq!(r.link(at).prev(), before, "the links agree both ways");
                slots.push(at);
                (before, at) = (at, r.link(at).next);
            }
            assert_eq!(queue.tail, before);
        }
        slots
    }
}
