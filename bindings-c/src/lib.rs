//! The C interface of Scrubjay. See `README.md` for its users, `include/scrubjay.h` for every call.
//!
//! Nothing here has an opinion: each function checks its pointers, calls the seam of the core, and turns the answer
//! into a plain struct. No panic leaves a function, and no function keeps a pointer of its caller.
//!
//! ```text
//! cache      open, free, stats
//! copies     decoded values that the caller keeps
//! slots      a memory tier whose values are the caller's own
//! call       one key, many keys: answered at once or through a queue
//! lease      begin, fulfil, fail, abandon
//! queue      completions
//! update     the caller's own writes, and what is known of a key
//! blocking   the same calls for a thread that waits; sj_get_or_fetch with a function of the caller
//! observe    reads that find the write of another process
//! behind     writes that the caller's source gets later; worker who brings them there; drain the end of it
//! ```

#![allow(non_camel_case_types, reason = "the names of C")]

mod answer;
mod args;
mod behind;
mod blocking;
mod cache;
mod call;
mod copies;
mod drain;
mod error;
mod fetch;
mod guard;
mod lease;
mod observe;
mod queue;
mod slots;
pub mod through;
mod types;
mod update;
mod worker;
