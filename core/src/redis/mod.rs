//! The shared tier over one Redis or Valkey server.
//!
//! ```text
//! Tier ── closed? breaker, budget
//!  ├─ admission       how much may be in flight
//!  ├─ commands        what is read, and what replies mean
//!  ├─ fenced          what is changed, by scripts: leases, writes, invalidations
//!  ├─ tags            versions of tags, in a partition of their own
//!  ├─ pending         invalidations that have not landed; landing retries them
//!  └─ link            supervises the one connection: attempts, pauses, order
//!      └─ connection  ── handshake, server time, watchdog
//!          └─ net, tls   from an address to a socket; what moves its bytes is `wire`
//! ```
//!
//! Nothing here is global, so the tier of a forked child shares nothing with its parent's. A connection for pushes
//! comes in beside `link`.

mod address;
mod admission;
mod commands;
mod connection;
mod fenced;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod handshake;
mod landing;
mod link;
mod net;
mod pending;
mod scripts;
mod server_time;
mod tags;
mod tier;
mod tls;
mod trouble;

pub(crate) use address::{Address, TlsAndAuth};
pub(crate) use admission::Slot;
pub(crate) use fenced::{Claim, Leaving, Seen, Token};
pub(crate) use scripts::Acquired;
pub(crate) use tags::{Invalidated, TagSpace};
pub(crate) use tier::{Read, Settings, Tier};
