//! The shared tier over one Redis or Valkey server.
//!
//! ```text
//! Tier ── order of beginning, admission (closed? cap, breaker, budget)
//!  ├─ commands        what is sent, and what replies mean
//!  ├─ pending         invalidations that have not landed; landing retries them
//!  └─ link            supervises the one connection: attempts, pauses, order
//!      └─ connection  ── handshake, server time, watchdog
//!          └─ net, tls, reply_guard   bytes
//! ```
//!
//! Nothing here is global, so the tier of a forked child shares nothing with its parent's. Scripts and a
//! connection for pushes come in beside `commands` and `link`.

mod address;
mod commands;
mod connection;
mod handshake;
mod landing;
mod link;
mod net;
mod order;
mod pending;
mod reply_guard;
mod server_time;
mod tier;
mod tls;
mod trouble;

pub(crate) use address::{Address, TlsAndAuth};
pub(crate) use tier::{Settings, Tier};
