//! The parameters of the one structure, and the settings of them that compete.

/// One setting.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Config {
    /// The small queue may hold this part of the weight, in 256ths.
    pub small: u8,
    /// Of the new keys that the ghost remembers, so many in 256 go into main.
    pub recalled: u16,
    /// So many new keys in 65536 go straight into main.
    pub chance: u16,
    /// How long the ghost remembers, in quarters of as many evictions as there are entries.
    pub memory: u8,
    /// So often an entry must have been used in the small queue to go on into main.
    pub proven: u8,
    /// Nearly LRU: what was used goes to the head of the small queue, what was not passes through main.
    pub recency: bool,
    /// What fits into the room that evictions left over goes into main: the smaller, the likelier.
    pub leftovers: bool,
}

/// The largest `memory` of them.
pub(super) const MOST_MEMORY: u8 = 8;

/// S3-FIFO; the few keys that go straight into main free one that is full of what is no longer asked for.
const PLAIN: Config =
    Config { small: 26, recalled: 256, chance: 256, memory: 4, proven: 1, recency: false, leftovers: false };

/// What is in main stays long.
const STEADY: Config = Config { small: 5, chance: 0, ..PLAIN };

pub(super) const CONFIGS: [Config; 8] = [
    PLAIN,
    // Popularity that does not change, and loops.
    Config { recalled: 64, ..STEADY },
    // Much that is asked for once, between what is asked for again.
    Config { memory: 8, ..STEADY },
    // The same with more room for what is new.
    Config { recalled: 64, chance: 0, ..PLAIN },
    // More and more weight on what was used lately.
    Config { small: 64, chance: 0, proven: 2, ..PLAIN },
    Config { small: 110, chance: 0, memory: 6, proven: 2, ..PLAIN },
    Config { small: 64, recency: true, ..PLAIN },
    // Small entries before large ones.
    Config { recalled: 64, chance: 0, proven: 2, leftovers: true, ..PLAIN },
];

/// Where entries are counted, so many of them compete: the others would be no different.
pub(super) const OF_ENTRIES: usize = 7;
