//! The parameters of the one structure, and the settings of them that compete.

/// One setting.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Config {
    /// The small queue may hold this part of the weight, in 256ths.
    pub small: u8,
    /// Of the new keys that the ghost remembers, and of the entries used while in the small queue, so many in 256
    /// are let into main.
    pub recalled: u16,
    pub promoted: u16,
    /// So many new keys in 65536 go straight into main.
    pub chance: u16,
    /// How long the ghost remembers, in quarters of as many evictions as there are entries.
    pub memory: u8,
    /// What was used goes back to the head of the small queue, and main is emptied first: nearly LRU.
    pub recency: bool,
    /// Larger entries need to be used more.
    pub by_size: bool,
}

const PLAIN: Config =
    Config { small: 26, recalled: 256, promoted: 256, chance: 0, memory: 4, recency: false, by_size: false };

pub(super) const CONFIGS: [Config; 8] = [
    // S3-FIFO as published.
    PLAIN,
    // What is in main stays long: popularity that does not change, loops.
    Config { small: 5, recalled: 64, ..PLAIN },
    Config { small: 5, recalled: 16, ..PLAIN },
    Config { small: 5, memory: 8, chance: 1024, ..PLAIN },
    Config { small: 64, ..PLAIN },
    Config { small: 160, ..PLAIN },
    Config { recency: true, ..PLAIN },
    Config { promoted: 64, recalled: 64, ..PLAIN },
];
