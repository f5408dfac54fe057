//! The shared tier over one Redis or Valkey server.
//!
//! ```text
//! Tier ── admission (closed? cap, breaker, budget)
//!  ├─ commands        what is sent, and what replies mean
//!  ├─ pending         invalidations that have not landed; landing retries them
//!  └─ link            supervises the one connection: attempts, pauses, order
//!      └─ connection  ── handshake, server time, watchdog
//!          └─ net, tls   from an address to a socket; what moves its bytes is `wire`
//! ```
//!
//! Nothing here is global, so the tier of a forked child shares nothing with its parent's. Scripts and a
//! connection for pushes come in beside `commands` and `link`.

mod address;
mod commands;
mod connection;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod handshake;
mod landing;
mod link;
mod net;
mod pending;
mod server_time;
mod tier;
mod tls;
mod trouble;

pub(crate) use address::{Address, TlsAndAuth};
pub(crate) use tier::{Read, Settings, Tier};
