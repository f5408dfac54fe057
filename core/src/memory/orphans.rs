//! Slots that became free in the hands of a reader that may itself be inside the shard's lock, or hold it off: they
//! wait here for the next one that takes it.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::sync::{Mutex, lock};

#[derive(Default)]
pub(super) struct Orphans {
    some: AtomicBool,
    slots: Mutex<Vec<u32>>,
}

impl Orphans {
    pub fn push(&self, slot: u32) {
        lock(&self.slots).push(slot);
        self.some.store(true, Ordering::Release);
    }

    pub fn pop(&self) -> Option<u32> {
        if !self.some.load(Ordering::Acquire) {
            return None;
        }
        let mut slots = lock(&self.slots);
        let slot = slots.pop();
        self.some.store(!slots.is_empty(), Ordering::Release);
        slot
    }
}
