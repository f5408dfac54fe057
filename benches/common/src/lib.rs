//! What the benchmark programs share.

mod random;
mod record;
mod scale;
mod zipf;

pub use random::Random;
pub use record::{Record, write_json};
pub use scale::{scale, scaled};
pub use zipf::Zipf;
