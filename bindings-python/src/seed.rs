//! What makes hash tables of this process unlike those of another.

use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;

/// A number drawn once by this process.
pub(crate) fn seed() -> u64 {
    static SEED: OnceLock<u64> = OnceLock::new();
    *SEED.get_or_init(|| RandomState::new().hash_one(0_u8))
}
