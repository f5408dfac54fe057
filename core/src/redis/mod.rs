//! The shared tier over one Redis or Valkey server.
//!
//! ```text
//! Tier ── closed? breaker, budget
//!  ├─ admission       how much may be in flight
//!  ├─ commands        what is read, and what replies mean
//!  ├─ fenced          what is changed, by scripts: leases, writes, invalidations
//!  ├─ leasing         who loads a key
//!  ├─ holding         keys that are held while their writers are at work
//!  ├─ plain           entries of programs that know nothing of Scrubjay
//!  ├─ sweep           frees what a clear has ended
//!  ├─ telling         keys on the channel of those programs
//!  ├─ trial           whether a server that was cut off is back
//!  ├─ tags            versions of tags, in a partition of their own
//!  ├─ behind          streams of writes on their way to the source
//!  ├─ pending         invalidations that have not landed; landing retries them
//!  ├─ following       listens to the server, and tells it again what another one may have lost
//!  ├─ recent          writes of the last minute, for a server that comes back without them
//!  ├─ push            a connection of its own, on which the server tells of writes: messages, and beats that prove that
//!  │                  all were told
//!  └─ link            supervises the one connection: attempts, pauses, order
//!      └─ connection  ── handshake, server time, watchdog
//!          └─ net, tls   from an address to a socket; what moves its bytes is `wire`
//! ```
//!
//! Nothing here is global, so the tier of a forked child shares nothing with its parent's.

mod address;
mod admission;
mod behind;
mod commands;
mod connection;
mod fenced;
mod following;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod handshake;
mod holding;
mod landing;
mod leasing;
mod link;
mod net;
mod pending;
mod plain;
mod push;
mod recent;
mod scripts;
mod server_time;
mod sweep;
mod tags;
mod telling;
mod through;
mod tier;
mod tls;
mod trial;
mod trouble;

pub(crate) use address::{Address, TlsAndAuth};
pub(crate) use admission::Slot;
pub(crate) use behind::{Added, Done, Partition, StreamEntry, StreamSpace};
pub(crate) use fenced::{Cause, Leaving, Seen, Token};
pub(crate) use holding::{Hold, Holds, Numbers, Placed, TagHold};
pub(crate) use leasing::Claim;
pub(crate) use plain::Plain;
pub(crate) use push::{Kind, Listener, Message};
pub(crate) use scripts::{Acquired, Landed, Revalidated};
pub(crate) use tags::{Invalidated, TagSpace};
pub(crate) use through::Intended;
pub(crate) use tier::{Read, Settings, Tier};
