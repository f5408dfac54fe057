//! Protocols without I/O, and what moves their bytes.
//!
//! ```text
//! Line ── one connection: who may do I/O, and what it does then
//!  ├─ kick        what is owed for a request that was queued
//!  ├─ watch       who waits on the socket, and who is told of what
//!  ├─ exclusive   one at a time does I/O, and nothing that was queued is left behind
//!  ├─ io          sends and receives what can be without a wait
//!  ├─ pipe        what is to be sent and what is waited for; replies meet their requests here
//!  │   └─ outbound    commands, encoded
//!  ├─ parser      bytes to replies, values straight into the memory that is handed on
//!  └─ transport   a socket, plain or TLS, that never blocks
//! ```
//!
//! Nothing here knows what a command means, what a time-out costs, or when to connect: that is `redis`. Whoever holds
//! a [`Line`] may drive it: a task of the core, or the thread of a caller that waits.

mod exclusive;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod io;
mod kick;
mod line;
#[cfg(all(test, feature = "shuttle"))]
mod model;
mod outbound;
mod parser;
mod pipe;
mod reply;
mod transport;
mod watch;

pub(crate) use kick::Kick;
pub(crate) use line::{Driven, Driver, Line, Round, drive};
pub(crate) use outbound::Outbound;
pub(crate) use pipe::{Done, Due, Failure, Replies};
pub(crate) use reply::Reply;
pub(crate) use transport::Transport;
pub(crate) use watch::Bell;
