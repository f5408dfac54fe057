//! Whom the small queue evicted lately: a key that comes back soon is worth a place in main.
//!
//! A table of fingerprints with the time of their eviction, counted in evictions. What is older than the window
//! counts as forgotten; nothing is ever swept. A collision only sends a key to the wrong queue.

use crate::memory::prefetch::prefetch;

/// Cells in which one fingerprint may lie.
const BUCKET: usize = 8;
/// The time is kept in so many steps for each window, and wraps after some hundred windows.
const STEPS: u32 = 256;

#[derive(Default)]
pub(super) struct Ghost {
    /// Fingerprint in the upper half, step in the lower; 0 is empty.
    cells: Vec<u32>,
    /// Evictions since the step began.
    part: u32,
    step: u16,
}

impl Ghost {
    /// Makes room for so many keys. Where there was less it forgets what it knows, so it should be told early.
    pub fn reserve(&mut self, keys: u32) {
        if self.cells.len() < keys as usize {
            let cells = keys as usize + keys as usize / 8;
            self.cells = vec![0; cells.next_multiple_of(BUCKET)];
        }
    }

    /// Notes an eviction. The hash is remembered for the next `window` of them.
    #[inline]
    pub fn remember(&mut self, hash: u32, window: u32) {
        self.pass(window);
        if self.cells.is_empty() {
            return;
        }
        let (fingerprint, now) = (fingerprint(hash), self.step);
        let bucket = self.bucket(hash);
        let (mut chosen, mut chosen_age) = (0, 0);
        for (at, cell) in bucket.iter().enumerate() {
            if *cell == 0 || cell >> 16 == fingerprint {
                chosen = at;
                break;
            }
            let age = age(*cell, now);
            if age >= chosen_age {
                (chosen, chosen_age) = (at, age);
            }
        }
        bucket[chosen] = fingerprint << 16 | u32::from(now);
    }

    /// Notes an eviction that need not be remembered.
    #[inline]
    pub fn pass(&mut self, window: u32) {
        self.part += 1;
        if self.part >= unit(window) {
            self.part = 0;
            self.step = self.step.wrapping_add(1);
        }
    }

    /// Whether a hash is remembered. It is forgotten by the question: the key is in the cache from now on.
    #[inline]
    pub fn recall(&mut self, hash: u32, window: u32) -> bool {
        if self.cells.is_empty() {
            return false;
        }
        let (fingerprint, now) = (fingerprint(hash), self.step);
        let found = self.bucket(hash).iter_mut().find(|cell| **cell >> 16 == fingerprint);
        found.is_some_and(|cell| u32::from(age(std::mem::take(cell), now)) <= window / unit(window))
    }

    /// Has the cells of a hash fetched.
    #[inline]
    pub fn prefetch(&self, hash: u32) {
        if let Some(cell) = self.cells.get(self.first_cell(hash)) {
            prefetch(cell);
        }
    }

    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        self.cells.capacity() * size_of::<u32>()
    }

    fn bucket(&mut self, hash: u32) -> &mut [u32] {
        let at = self.first_cell(hash);
        &mut self.cells[at..at + BUCKET]
    }

    #[inline]
    fn first_cell(&self, hash: u32) -> usize {
        let buckets = self.cells.len() / BUCKET;
        ((u64::from(hash) * buckets as u64) >> 32) as usize * BUCKET
    }
}

/// How many evictions make a step.
fn unit(window: u32) -> u32 {
    window / STEPS + 1
}

/// Never 0. (The bucket is chosen by the upper bits.)
fn fingerprint(hash: u32) -> u32 {
    (hash & 0xffff).max(1)
}

fn age(cell: u32, now: u16) -> u16 {
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is the step")]
    now.wrapping_sub(cell as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scatter(n: u32) -> u32 {
        let n = (n ^ 0x5bd1).wrapping_mul(0x9e37_79b1);
        (n ^ (n >> 15)).wrapping_mul(0x85eb_ca6b) ^ (n >> 7)
    }

    #[test]
    fn remembers_the_last_evictions_only() {
        let mut ghost = Ghost::default();
        ghost.reserve(2000);
        for n in 0..10_000 {
            ghost.remember(scatter(n), 1000);
        }
        let old = (0..8_000).filter(|n| ghost.recall(scatter(*n), 1000)).count();
        let recent = (9_100..10_000).filter(|n| ghost.recall(scatter(*n), 1000)).count();
        assert!(old < 10, "{old} of 8000 old ones are remembered");
        assert!(recent > 890, "{recent} of 900 recent ones are remembered");
    }

    #[test]
    fn forgets_by_the_question() {
        let mut ghost = Ghost::default();
        assert!(!ghost.recall(7, 16));
        ghost.reserve(16);
        ghost.remember(7, 16);
        assert!(ghost.recall(7, 16));
        assert!(!ghost.recall(7, 16));
    }

    #[test]
    fn its_memory_follows_what_is_reserved() {
        let mut ghost = Ghost::default();
        ghost.reserve(1000);
        for n in 0..100_000 {
            ghost.remember(scatter(n), 1000);
        }
        assert!(ghost.bytes() <= 1200 * 4, "{}", ghost.bytes());
    }
}
