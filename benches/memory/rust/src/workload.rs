//! What is asked of every cache: keys, values, and who asks when.

use std::sync::Arc;

use scrubjay_bench_common::{Random, Zipf, scaled};

/// 16 bytes.
pub type Key = [u8; 16];
/// 100 bytes, shared by those who read them.
pub type Value = Arc<[u8; 100]>;

/// The key of that number.
pub fn key(number: u32) -> Key {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&Random::new(u64::from(number)).bits().to_le_bytes());
    bytes[8..12].copy_from_slice(&number.to_le_bytes());
    bytes
}

/// The value of that key, which carries the key's number.
pub fn value(of: &Key) -> Value {
    let mut bytes = [0; 100];
    bytes[..16].copy_from_slice(of);
    Arc::new(bytes)
}

/// Whether `value` is that of `key`.
pub fn belongs(value: &Value, key: &Key) -> bool {
    value[..16] == key[..]
}

/// How large it all is, at the SCALE asked for.
#[derive(Clone, Copy)]
pub struct Plan {
    /// Keys that are held for the Zipf reads, and the bound where entries have to leave.
    pub keys: u32,
    /// Keys that are held for the uniform reads.
    pub few: u32,
    /// Operations of one thread in one round.
    pub operations: usize,
    /// Rounds, of which the median counts.
    pub rounds: usize,
}

impl Plan {
    /// The full work times `scale`.
    pub fn new(scale: f64) -> Self {
        let count = |full, least| u32::try_from(scaled(full, scale.min(1.0), least)).unwrap_or(u32::MAX);
        Plan {
            keys: count(1_000_000, 5_000),
            few: count(100_000, 2_000),
            operations: scaled(1_000_000, scale, 5_000),
            rounds: 7,
        }
    }

    /// Keys 0 to `keys`, in random order, as they are filled in: neighbours in popularity are none in memory.
    pub fn fill_order(keys: u32) -> Vec<u32> {
        let mut numbers: Vec<u32> = (0..keys).collect();
        Random::new(1).shuffle(&mut numbers);
        numbers
    }

    /// Keys drawn by Zipf 0.99 among `keys`; `seed` tells the threads apart.
    pub fn zipf(&self, zipf: &Zipf, seed: u64) -> Vec<Key> {
        let mut random = Random::new(0x2100 + seed);
        (0..self.operations).map(|_| key(zipf.draw(&mut random))).collect()
    }

    /// Keys drawn uniformly among `keys`.
    pub fn uniform(&self, keys: u32, seed: u64) -> Vec<Key> {
        let mut random = Random::new(0x5500 + seed);
        (0..self.operations).map(|_| key(random.below(keys))).collect()
    }

    /// Keys that nobody else uses, the same for one `seed`.
    pub fn fresh(&self, count: usize, seed: u32) -> Vec<Key> {
        let first = (1 << 28) + seed * (1 << 23);
        (first..).take(count).map(key).collect()
    }
}
