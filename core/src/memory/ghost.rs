//! Whom the small queue evicted lately: a key that comes back soon goes straight into the main queue.
//!
//! A table of fingerprints with the time of their eviction, counted in evictions. What is older than the window
//! counts as forgotten; nothing is ever swept. A collision only sends a key to the wrong queue.

/// Cells that one fingerprint may lie in.
const BUCKET: usize = 4;
const MIN_CELLS: usize = 64;

#[derive(Default)]
pub(super) struct Ghost {
    /// Fingerprint in the upper half, time in the lower; 0 is empty. A power of two of them, or none.
    cells: Vec<u64>,
    time: u32,
    window: u32,
}

impl Ghost {
    /// Remembers a hash for the next `window` evictions.
    pub fn remember(&mut self, hash: u64, window: u32) {
        self.window = window.max(16);
        if self.cells.len() < self.window as usize {
            self.grow();
        }
        // 0 stands for an empty cell.
        self.time = self.time.wrapping_add(1).max(1);
        self.put(fingerprint(hash), self.time);
    }

    /// Whether a hash is remembered. It is forgotten by the question: the key is in the cache from now on.
    pub fn recall(&mut self, hash: u64) -> bool {
        let fingerprint = fingerprint(hash);
        let (time, window) = (self.time, self.window);
        let Some(range) = self.bucket(fingerprint) else { return false };
        let found = self.cells[range].iter_mut().find(|cell| is_of(**cell, fingerprint));
        found.is_some_and(|cell| age(std::mem::take(cell), time) < window)
    }

    fn put(&mut self, fingerprint: u32, time: u32) {
        let now = self.time;
        let Some(range) = self.bucket(fingerprint) else { return };
        let cells = &mut self.cells[range];
        let same = cells.iter().position(|cell| is_of(*cell, fingerprint));
        let free = || cells.iter().position(|cell| *cell == 0);
        let oldest = || (0..BUCKET).max_by_key(|at| age(cells[*at], now));
        if let Some(at) = same.or_else(free).or_else(oldest) {
            cells[at] = u64::from(fingerprint) << 32 | u64::from(time);
        }
    }

    fn bucket(&self, fingerprint: u32) -> Option<std::ops::Range<usize>> {
        let buckets = self.cells.len() / BUCKET;
        let at = (fingerprint as usize & buckets.checked_sub(1)?) * BUCKET;
        Some(at..at + BUCKET)
    }

    fn grow(&mut self) {
        let len = (self.window as usize).next_power_of_two().max(MIN_CELLS);
        let old = std::mem::replace(&mut self.cells, vec![0; len]);
        for cell in old.into_iter().filter(|cell| *cell != 0) {
            #[expect(clippy::cast_possible_truncation, reason = "the halves of a cell")]
            self.put((cell >> 32) as u32, cell as u32);
        }
    }
}

/// The lower half of the hash: the upper bits chose the shard, and are the same for all of its entries.
fn fingerprint(hash: u64) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "half of the hash is wanted")]
    let half = hash as u32;
    half
}

fn is_of(cell: u64, fingerprint: u32) -> bool {
    cell != 0 && cell >> 32 == u64::from(fingerprint)
}

fn age(cell: u64, now: u32) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is the time")]
    now.wrapping_sub(cell as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scatter(n: u64) -> u64 {
        n.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
    }

    #[test]
    fn remembers_the_last_evictions_only() {
        let mut ghost = Ghost::default();
        for n in 0..10_000 {
            ghost.remember(scatter(n), 1000);
        }
        let old = (0..8_000).filter(|n| ghost.recall(scatter(*n))).count();
        let recent = (9_300..10_000).filter(|n| ghost.recall(scatter(*n))).count();
        assert!(old < 10, "{old} of 8000 old ones are remembered");
        assert!(recent > 600, "{recent} of 700 recent ones are remembered");
    }

    #[test]
    fn forgets_by_the_question() {
        let mut ghost = Ghost::default();
        assert!(!ghost.recall(7));
        ghost.remember(7, 16);
        assert!(ghost.recall(7));
        assert!(!ghost.recall(7));
    }

    #[test]
    fn keeps_what_it_knows_when_it_grows() {
        let mut ghost = Ghost::default();
        for n in 0..20 {
            ghost.remember(scatter(n), 32);
        }
        ghost.remember(scatter(100), 100_000);
        assert_eq!((0..20).filter(|n| ghost.recall(scatter(*n))).count(), 20);
    }
}
