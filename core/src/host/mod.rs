//! The seam to other languages: begin, fulfil, and a queue of completions.
//!
//! The core never calls user code of another language and never touches an interpreter. The host asks and runs
//! its own fetch in its own runtime:
//!
//! ```text
//! begin(key)  →  Hit · Stale · Lead(lease) · Bypass · Failed, or Pending and later one of them by the queue
//! Lead        →  fulfil(lease, value) · fail(lease, error) · abandon(lease)
//! ```
//!
//! Rules of the seam:
//!
//! * A host chooses its tokens, unique per queue among those outstanding, and registers its waiter *before* the
//!   call: the completion may be drained on another thread before the call has returned `Pending`.
//! * A token is completed exactly once, or never after [`Queue::cancel`] has returned. A call that returns
//!   `Ready` or an error never completes its token.
//! * Only numbers and bytes cross: no host object is ever seen by a thread of the core.
//! * An error of the fetch is for `fail` and is shared with the waiters; cancellation, a panic and what ends
//!   the process or task is for `abandon`: the next waiter leads.
//! * Nothing here blocks, except [`Queue::wait`].

mod answer;
mod cache;
mod copies;
mod driving;
mod error_ref;
mod loop_bell;
mod looping;
mod poll_set;
mod process;
mod queue;
mod wake;
mod write_behind;

pub(crate) use answer::Position;
pub use answer::{
    Answer, Completion, ConsistencyToken, FetchFailure, FetchOptions, Payload, PutOptions, Receipt, Step, Value,
};
pub use cache::Cache;
pub use copies::Language;
pub use error_ref::{ErrorRef, take_released_errors};
pub use process::{fork_generation, shutdown};
#[cfg(all(test, feature = "shuttle"))]
pub(crate) use queue::Mutant;
pub(crate) use queue::Opened;
pub use queue::Queue;

pub use crate::flight::Lease;
pub use crate::memory::{Copy, MemoryStats, SlotRef, Slots, TABLE_HEADER, TABLE_STRIDE, Table};
pub use crate::options::{Ttl, UpdateOptions};
pub use crate::write::{BatchOptions, DrainReport, Write, WriteBehindOptions, WriteKind, Writes};
pub use write_behind::WriteBehind;

pub(crate) use process::process;
