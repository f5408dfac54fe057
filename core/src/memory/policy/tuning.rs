//! Which setting a cache follows: the one whose miniature has the most hits lately.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use super::config::{CONFIGS, Config, OF_ENTRIES};
use super::simulation::Miniatures;

/// A cache of twice as many entries or more is simulated on a sample of its keys, of which at least so many fit.
const SIMULATED: u64 = 1024;
/// One key in 64 at least is in the sample, unless more than this would fit.
const MOST_SIMULATED: u64 = 4096;
const RAREST: u32 = 6;
/// So many hits are simulated for each insert: where there are more, there is little to choose.
const HITS_FOR_INSERT: u32 = 32;
const MOST_CREDIT: u32 = 8192;
/// The settings are compared, and earlier results lose weight, after as many accesses as half of the entries
/// that are simulated, but not fewer than this.
const ROUND: u64 = 256;
const ROUND_PART: u64 = 2;
const DECAY: f32 = 0.9;
/// By this part of all accesses another setting must lead.
const LEAD: f32 = 0.005;
/// Where sizes vary, this setting is followed until more is known.
const FIRST_OF_BYTES: u32 = OF_ENTRIES as u32;
const NO_KEY: u32 = u32::MAX;

/// One for all shards of a cache. It holds little before the first accesses, and never makes anybody wait.
pub(in crate::memory) struct Tuning {
    max_entries: u64,
    max_bytes: u64,
    /// Index of the setting in force.
    chosen: AtomicU32,
    /// The bits that are 0 in the hash of a key in the sample.
    sample: AtomicU32,
    /// The same, or [`NO_KEY`] while hits of such keys are not to be noted.
    noted: AtomicU32,
    contest: Mutex<Contest>,
}

/// The settings at work, and how they do.
struct Contest {
    /// None before the first access.
    miniatures: Option<Box<Miniatures>>,
    /// What each of them may hold, in the unit that is scarce; 0 while that is unknown.
    capacity: u64,
    by_bytes: bool,
    sample: u32,
    /// Hits that may be simulated before the next insert.
    credit: u32,
    /// The accesses of this round, and after how many it ends.
    accesses: u32,
    round: u32,
    /// The hits of this round.
    hits: [u32; CONFIGS.len()],
    /// Those of earlier ones.
    past_accesses: f32,
    past_hits: [f32; CONFIGS.len()],
}

impl Tuning {
    /// For a cache of so many entries and bytes; `u64::MAX` is no bound. Where bytes are scarce, the number of
    /// entries is learned from what is stored.
    pub fn new(max_entries: u64, max_bytes: u64) -> Arc<Self> {
        let tuning = Tuning {
            max_entries,
            max_bytes,
            chosen: AtomicU32::new(0),
            sample: AtomicU32::new(NO_KEY),
            noted: AtomicU32::new(NO_KEY),
            contest: Mutex::new(Contest::new(0, 0, false, NO_KEY)),
        };
        if max_bytes == u64::MAX && max_entries < u64::MAX {
            tuning.begin(max_entries, max_entries, false);
        }
        Arc::new(tuning)
    }

    /// Whether a hit is to be [recorded](Self::record): asked on each.
    #[inline]
    pub fn is_sampled(&self, hash: u64) -> bool {
        lower(hash) & self.noted.load(Ordering::Relaxed) == 0
    }

    /// Notes a hit. (The policy itself notes what is inserted; a miss that leads to no insert does not matter.)
    #[cold]
    pub fn record(&self, hash: u64, weight: u64) {
        // Another thread is at it: one access more or less makes no difference.
        let Ok(mut contest) = self.contest.try_lock() else { return };
        if contest.credit == 0 || lower(hash) & contest.sample != 0 {
            return;
        }
        contest.credit -= 1;
        if contest.credit == 0 {
            self.noted.store(NO_KEY, Ordering::Relaxed);
        }
        self.access(&mut contest, lower(hash), weight);
    }

    /// Notes an insert, if it is of a key in the sample.
    #[inline]
    pub(super) fn record_insert(&self, hash: u32, weight: impl FnOnce() -> u64) {
        if hash & self.sample.load(Ordering::Relaxed) == 0 {
            self.record_sampled_insert(hash, weight());
        }
    }

    fn record_sampled_insert(&self, hash: u32, weight: u64) {
        let Ok(mut contest) = self.contest.try_lock() else { return };
        if contest.capacity == 0 {
            return;
        }
        if contest.credit == 0 {
            self.noted.store(contest.sample, Ordering::Relaxed);
        }
        contest.credit = (contest.credit + HITS_FOR_INSERT).min(MOST_CREDIT);
        self.access(&mut contest, hash, weight);
    }

    /// Learns from what a shard holds how many entries the cache will have.
    pub(super) fn learn(&self, len: u64, weight: u64) {
        if self.max_bytes == u64::MAX || len == 0 {
            return;
        }
        let entries = self.max_bytes / (weight / len).max(1);
        if entries < self.max_entries {
            self.begin(entries, self.max_bytes, true);
        } else {
            self.begin(self.max_entries, self.max_entries, false);
        }
    }

    pub(super) fn config(&self) -> &'static Config {
        &CONFIGS[self.chosen.load(Ordering::Relaxed) as usize]
    }

    fn access(&self, contest: &mut Contest, hash: u32, weight: u64) {
        contest.access(scatter(hash), weight);
        if contest.accesses >= contest.round {
            let current = self.chosen.load(Ordering::Relaxed);
            self.chosen.store(contest.compare(current), Ordering::Relaxed);
        }
    }

    /// Begins a contest that fits a cache of so many entries, which are `capacity` in the unit that is scarce;
    /// goes on with the present one if that fits.
    fn begin(&self, entries: u64, capacity: u64, by_bytes: bool) {
        let Ok(mut contest) = self.contest.try_lock() else { return };
        if contest.fits(entries, by_bytes) {
            return;
        }
        let shift = (entries / SIMULATED).max(1).ilog2().min(RAREST);
        let shift = shift.max((entries / MOST_SIMULATED).max(1).ilog2()).min(u32::BITS - 1);
        let sample = (1 << shift) - 1;
        if by_bytes && contest.capacity == 0 {
            self.chosen.store(FIRST_OF_BYTES, Ordering::Relaxed);
        }
        *contest = Contest::new((capacity >> shift).max(1), entries >> shift, by_bytes, sample);
        self.sample.store(sample, Ordering::Relaxed);
        self.noted.store(NO_KEY, Ordering::Relaxed);
    }
}

impl Contest {
    fn new(capacity: u64, entries: u64, by_bytes: bool, sample: u32) -> Self {
        let round = (entries / ROUND_PART).max(ROUND);
        Contest {
            miniatures: None,
            capacity,
            by_bytes,
            sample,
            credit: 0,
            accesses: 0,
            round: u32::try_from(round).unwrap_or(u32::MAX),
            hits: [0; CONFIGS.len()],
            past_accesses: 0.0,
            past_hits: [0.0; CONFIGS.len()],
        }
    }

    /// Whether it may go on where the cache has so many entries. Twice or half as many will do: where sizes vary
    /// it should not begin anew each time.
    fn fits(&self, entries: u64, by_bytes: bool) -> bool {
        let simulated = entries / (u64::from(self.sample) + 1);
        self.capacity > 0
            && self.by_bytes == by_bytes
            && simulated <= MOST_SIMULATED * 4
            && (self.sample == 0 || simulated >= SIMULATED / 2)
    }

    fn access(&mut self, hash: u32, weight: u64) {
        let (count, capacity) = (if self.by_bytes { CONFIGS.len() } else { OF_ENTRIES }, self.capacity);
        let miniatures = self.miniatures.get_or_insert_with(|| Box::new(Miniatures::new(count, capacity, 1)));
        let held = miniatures.access(hash, if self.by_bytes { weight } else { 1 });
        for (number, hits) in self.hits.iter_mut().enumerate() {
            *hits += u32::from(held >> number & 1);
        }
        self.accesses += 1;
    }

    /// Ends a round. Returns the setting to follow.
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    fn compare(&mut self, current: u32) -> u32 {
        let accesses = self.past_accesses + std::mem::take(&mut self.accesses) as f32;
        for (past, new) in self.past_hits.iter_mut().zip(&mut self.hits) {
            *past += std::mem::take(new) as f32;
        }
        let (mut best, mut most) = (current, self.past_hits[current as usize] + LEAD * accesses);
        for (number, hits) in (0..).zip(self.past_hits) {
            if hits > most {
                (best, most) = (number, hits);
            }
        }
        self.past_hits = self.past_hits.map(|hits| hits * DECAY);
        self.past_accesses = accesses * DECAY;
        best
    }
}

fn lower(hash: u64) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "the upper half chose the shard")]
    let lower = hash as u32;
    lower
}

/// Mixes anew: the hashes of a sample have bits in common.
fn scatter(hash: u32) -> u32 {
    let hash = hash.wrapping_mul(0x9e37_79b1);
    (hash ^ (hash >> 15)).wrapping_mul(0x85eb_ca6b)
}
