//! Whom the small queue evicted lately: a key that comes back soon is worth a place in main.
//!
//! A table of fingerprints with the time of their eviction, counted in evictions. What is older than the window
//! counts as forgotten; nothing is ever swept. A collision only sends a key to the wrong queue.

/// Cells in which one fingerprint may lie: two cache lines hold four of them.
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
    /// Notes an eviction. The hash is remembered for the next `window` of them.
    pub fn remember(&mut self, hash: u32, window: u32) {
        self.pass(window);
        let wanted = (window as usize).next_multiple_of(BUCKET);
        // An eighth at a time would be too often, since it forgets what it knows.
        if self.cells.len() < wanted {
            self.grow(wanted + wanted / 4);
        }
        let (fingerprint, now) = (fingerprint(hash), self.step);
        let bucket = self.bucket(hash);
        let mut oldest = 0;
        let mut oldest_age = 0;
        for (at, cell) in bucket.iter().enumerate() {
            if *cell == 0 || cell >> 16 == fingerprint {
                oldest = at;
                break;
            }
            let age = age(*cell, now);
            if age >= oldest_age {
                (oldest, oldest_age) = (at, age);
            }
        }
        bucket[oldest] = fingerprint << 16 | u32::from(now);
    }

    /// Notes an eviction that need not be remembered.
    pub fn pass(&mut self, window: u32) {
        self.part += 1;
        if self.part >= unit(window) {
            self.part = 0;
            self.step = self.step.wrapping_add(1);
        }
    }

    /// Whether a hash is remembered. It is forgotten by the question: the key is in the cache from now on.
    pub fn recall(&mut self, hash: u32, window: u32) -> bool {
        if self.cells.is_empty() {
            return false;
        }
        let (fingerprint, now) = (fingerprint(hash), self.step);
        let found = self.bucket(hash).iter_mut().find(|cell| **cell != 0 && **cell >> 16 == fingerprint);
        found.is_some_and(|cell| u32::from(age(std::mem::take(cell), now)) <= window / unit(window))
    }

    fn bucket(&mut self, hash: u32) -> &mut [u32] {
        let buckets = self.cells.len() / BUCKET;
        let at = (u64::from(hash) * buckets as u64 >> 32) as usize * BUCKET;
        &mut self.cells[at..at + BUCKET]
    }

    fn grow(&mut self, cells: usize) {
        self.cells = vec![0; cells.next_multiple_of(BUCKET)];
    }
}

/// How many evictions make a step.
fn unit(window: u32) -> u32 {
    window / STEPS + 1
}

/// Never 0. The bucket is chosen by the upper bits.
fn fingerprint(hash: u32) -> u32 {
    (hash & 0xffff).max(1)
}

fn age(cell: u32, now: u16) -> u16 {
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is the step")]
    now.wrapping_sub(cell as u16)
}
