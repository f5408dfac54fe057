//! `MemoryCache`: objects in this process, bounded and timed by the core.

mod cache;
mod memoised;
mod opened;
mod state;
mod store;
mod timer;
mod walk;

pub(crate) use cache::{Memory, install_memory_cache};
pub(crate) use memoised::{Memo, memoised_type};
