//! Write-behind: the cache has a value at once, the caller's own source gets it later, and nothing acknowledged is lost.
//!
//! ```text
//! set ─ backpressure ─▶ submitted ─ level: journal | redis | memory ─▶ cache (L1, L2), dirty ─▶ acknowledged
//!                                                                         │
//! next_batch ◀── due ◀── one line a key: in order, states merge, deltas never ◀┘
//!     └── ack ─▶ gone      nack ─▶ due again later, or a dead letter that blocks only its key
//! ```
//!
//! * `options`   what can be chosen, checked once
//! * `item`      one write, and its bytes in a journal
//! * `pending`   lines of writes, one a key: what is due, taken, dead. No I/O, no clock of its own
//! * `behind`    one write-behind of this process: calls in, answers out, what is full and who waits
//! * `commit`    the thread that makes writes durable and puts them into the cache
//! * `journal`, `files`, `adopt`  the level `journal`: one file a process, what a failed fsync means, files of the dead
//! * `stream`, `elsewhere`  the level `redis`: partitions of a stream, each with one owner
//! * `handle`    the object of a host, made anew in a forked child
//!
//! Lock order: `Behind::inner`, then the leaves (`flight::Dirty`, completion queues are never called under it).

mod adopt;
mod batch;
mod behind;
mod commit;
mod drain;
mod elsewhere;
mod files;
mod handle;
mod item;
mod journal;
mod letters;
mod options;
mod outcome;
mod pending;
mod stats;
mod stream;
#[cfg(test)]
mod tests;

pub use batch::BatchOptions;
pub use drain::DrainReport;
pub use item::{Write, WriteKind, Writes};
pub use options::{AckLevel, OnFull, WriteBehindOptions};
pub use stats::WriteBehindStats;

pub(crate) use files::close_in_child;
pub(crate) use handle::Handle;
pub(crate) use item::Taker;
