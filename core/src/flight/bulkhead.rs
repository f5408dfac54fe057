//! How many fetches of one cache run at once: the source behind it is protected when everything misses.

use std::collections::VecDeque;

use crate::sync::{Mutex, lock};

/// A number of permits, and who waits for one, in order of arrival.
pub(crate) struct Bulkhead<T> {
    state: Mutex<State<T>>,
}

struct State<T> {
    free: usize,
    queue: VecDeque<T>,
}

impl<T> Bulkhead<T> {
    pub fn new(permits: usize) -> Self {
        Bulkhead { state: Mutex::new(State { free: permits, queue: VecDeque::new() }) }
    }

    /// Takes a permit if one is free.
    pub fn enter(&self) -> bool {
        let mut state = lock(&self.state);
        let free = state.free > 0;
        state.free -= usize::from(free);
        free
    }

    /// Queues `who` for the next permit, unless one is free by now: then it is taken and the answer is true.
    pub fn queue(&self, who: T) -> bool {
        let mut state = lock(&self.state);
        if state.free > 0 {
            state.free -= 1;
            return true;
        }
        state.queue.push_back(who);
        false
    }

    /// Gives a permit back. It goes on to the first in the queue, who is returned.
    pub fn leave(&self) -> Option<T> {
        let mut state = lock(&self.state);
        let next = state.queue.pop_front();
        state.free += usize::from(next.is_none());
        next
    }
}
