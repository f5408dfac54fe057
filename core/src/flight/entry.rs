//! The entry that a record becomes in the shared tier.

use std::time::Duration;

use bytes::Bytes;

use super::judging::Vector;
use super::record::Record;
use crate::clock::Clock;
use crate::envelope::{self, Entry};
use crate::key::{Format, Layout};
use crate::redis::Token;

/// When a record was given to be stored, by the clock of its times.
#[derive(Clone)]
pub(super) struct When {
    clock: Clock,
    at: u64,
}

impl When {
    /// Now.
    pub fn now(clock: &Clock) -> Self {
        When { at: clock.now_ms(), clock: clock.clone() }
    }
}

/// The bytes of a record, and how long the server keeps them. None at all where it has tags and no versions: a server that
/// cannot tell when they end must not have it; nor has it a plain "not found".
pub(super) fn entry_of(
    record: &Record,
    vector: &Vector,
    when: &When,
    server_now: u64,
    token: Token,
    layout: &Layout,
    key: &[u8],
) -> (Bytes, Duration) {
    // Now, not at the call: a connection may have been waited for, and a life is not to grow by that.
    let now = when.clock.now_ms();
    if layout.format == Format::Plain {
        // Nobody else knows a "not found", or a time in which a value may be served stale.
        let bytes = if record.negative { Bytes::new() } else { record.bytes.clone() };
        return (bytes, Duration::from_millis(record.expires.saturating_sub(now).max(1)));
    }
    let life = record.stale_until.saturating_sub(now).max(1);
    if vector.clear.is_none() && !record.tags.is_empty() {
        return (Bytes::new(), Duration::from_millis(life));
    }
    let entry = Entry {
        codec: record.codec,
        negative: record.negative,
        token,
        soft_expiry: server_now + record.expires.saturating_sub(now),
        hard_expiry: server_now + life,
        // For who asks how old it may be.
        stored_at: server_now.saturating_sub(now.saturating_sub(when.at)),
        load_ms: record.load_ms,
        clear: vector.clear,
        tags: vector.tags.clone(),
        payload: record.bytes.clone(),
        ..Entry::default()
    };
    (envelope::encode(&entry, layout.prefix(), key).into(), Duration::from_millis(life))
}
