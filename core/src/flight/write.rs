//! Writes: `set`, `delete`, `clear`, and those of many keys; `tagged` has the invalidation of tags.
//!
//! The order is the same for all. Under the lock of the key's shard: the flight is voided, memory is changed,
//! and the work on the shared tier is begun, so that two writes of a key reach both tiers in one order. When
//! the shared tier has acknowledged a delete, the flight is voided and memory is cleared once more: a read that
//! began in between may have brought the old value back.
//!
//! Before all that the shared tier lets the write in, or refuses it: then nothing has happened.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::coherence::Before;
use super::record::{Record, Stamp, admit, jittered, millis};
use super::shared::{Shared, capped};
use super::sink::{Reply, Sink};
use super::tiers::Tiers;
use crate::codec::Codec;
use crate::error::{Error, ErrorKind, Result};
use crate::host::{Answer, ConsistencyToken, PutOptions, Receipt, Step, Value};
use crate::key::{self, Format};
use crate::redis::Slot;
use crate::tags::TagSet;
use crate::wire::Kick;

impl Tiers {
    /// Stores one value: `Done`.
    pub fn set(&self, key: &[u8], value: &Value, o: &PutOptions, reply: &dyn Reply) -> Result<Step> {
        self.check_open("set")?;
        key::check(key, "set")?;
        let record = self.record("set", value, o)?;
        let Some(shared) = &self.shared else {
            self.table.write(key, || {
                self.holds.disturb(key);
                self.remember(key, &record);
            });
            return Ok(done(false));
        };
        let slot = shared.admit("set", key.len() + record.bytes.len())?;
        let tags = record.tags.clone();
        let sink = reply.sink("set", None)?;
        let kick = self.table.write_with_ticket(key, |ticket| {
            self.holds.disturb(key);
            self.remember(key, &record);
            self.store_shared(shared, slot, vec![(key.to_vec(), record)], tags, vec![ticket], sink)
        });
        reply.go(kick);
        Ok(Step::Pending)
    }

    /// Stores many values in one round trip: `Done`. All are checked before the first is stored.
    pub fn set_many(&self, entries: &[(&[u8], Value)], o: &PutOptions, reply: &dyn Reply) -> Result<Step> {
        self.check_open("set_many")?;
        let mut records = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            key::check(key, "set_many")?;
            records.push((key.to_vec(), self.record("set_many", value, o)?));
        }
        let remember = || {
            let write = |(key, record): &(Vec<u8>, Record)| {
                self.table.write_with_ticket(key, |ticket| {
                    self.holds.disturb(key);
                    self.remember(key, record);
                    ticket
                })
            };
            records.iter().map(write).collect::<Vec<u64>>()
        };
        let Some(shared) = self.shared.as_ref().filter(|_| !records.is_empty()) else {
            remember();
            return Ok(done(false));
        };
        let bytes = records.iter().map(|(key, record)| key.len() + record.bytes.len()).sum();
        let slot = shared.admit("set_many", bytes)?;
        let tags = records.first().map(|(_, record)| record.tags.clone()).unwrap_or_default();
        let sink = reply.sink("set_many", None)?;
        let tickets = remember();
        reply.go(self.store_shared(shared, slot, records, tags, tickets, sink));
        Ok(Step::Pending)
    }

    /// Deletes one key: `Done`.
    pub fn delete(&self, key: &[u8], reply: &dyn Reply) -> Result<Step> {
        self.delete_all("delete", &[key], reply)
    }

    /// Deletes many keys in one round trip: `Done`.
    pub fn delete_many(&self, keys: &[&[u8]], reply: &dyn Reply) -> Result<Step> {
        self.delete_all("delete_many", keys, reply)
    }

    fn delete_all(&self, operation: &'static str, keys: &[&[u8]], reply: &dyn Reply) -> Result<Step> {
        self.check_open(operation)?;
        keys.iter().try_for_each(|key| key::check(key, operation))?;
        let count = keys.len() as u64;
        let Some(shared) = self.shared.as_ref().filter(|_| !keys.is_empty()) else {
            self.counters.invalidations.add(count);
            keys.iter().for_each(|key| {
                self.holds.disturb(key);
                self.drop_locally(key);
            });
            return Ok(done(false));
        };
        let slot = shared.admit(operation, keys.iter().map(|key| key.len()).sum())?;
        let sink = reply.sink(operation, None)?;
        self.counters.invalidations.add(count);
        let owned: Vec<Vec<u8>> = keys.iter().map(|key| key.to_vec()).collect();
        keys.iter().for_each(|key| {
            self.holds.disturb(key);
            self.drop_locally(key);
        });
        let me = self.handle();
        let names = owned.clone();
        let kick = shared.invalidate(slot, &names, move |sequence| {
            owned.iter().for_each(|key| me.drop_locally(key));
            drop(sink.finish(Answer::Done(receipt_of(sequence))));
        });
        reply.go(kick);
        Ok(Step::Pending)
    }

    /// Empties the cache, its namespace in the shared tier included: `Done`.
    pub fn clear(&self, reply: &dyn Reply) -> Result<Step> {
        self.check_open("clear")?;
        if self.options.format == Format::Plain && self.options.prefix.is_empty() {
            let message =
                "prefix must not be empty for clear where format is plain: it would delete the whole database";
            return Err(Error::new(ErrorKind::InvalidOption, "clear", message));
        }
        self.counters.invalidations.add(1);
        let Some(shared) = &self.shared else {
            self.forget_all();
            return Ok(done(false));
        };
        let sink = reply.sink("clear", None)?;
        self.forget_all();
        let me = self.handle();
        let kick = shared.clear(move |sequence| {
            // A read or load that began in between may have brought old values back.
            me.expect_message(sequence, || me.clear_locally());
            drop(sink.finish(Answer::Done(receipt_of_tags(sequence))));
        });
        reply.go(kick);
        Ok(Step::Pending)
    }

    /// Everything was invalidated: memory lets go of all it has, and what is being loaded is not stored.
    pub fn forget_all(&self) {
        self.known.drop_all();
        self.clear_locally();
    }

    pub(super) fn drop_locally(&self, key: &[u8]) {
        self.table.write(key, || self.forget(key));
    }

    pub(super) fn clear_locally(&self) {
        self.table.write_all(|| {
            if let Some(memory) = &self.memory {
                memory.clear();
            }
        });
    }

    pub(super) fn store_shared(
        &self,
        shared: &Shared,
        slot: Slot,
        records: Vec<(Vec<u8>, Record)>,
        tags: TagSet,
        tickets: Vec<u64>,
        sink: Arc<dyn Sink>,
    ) -> Kick {
        let me = self.handle();
        let sent = self.clock.now_ms();
        let written: Vec<Written> = records
            .iter()
            .zip(tickets)
            .map(|((key, record), ticket)| Written {
                before: self.before(key),
                key: key.clone(),
                ticket,
                fresh_until: capped(record.expires, sent, self.options.max_staleness),
            })
            .collect();
        let written = Arc::new(written);
        let (table, named) = (self.table.clone(), written.clone());
        let if_last = move |index: usize, work: &mut dyn FnMut()| {
            if let Some(written) = named.get(index) {
                table.store(&written.key, written.ticket, work);
            }
        };
        shared.store(slot, records, tags, &self.clock, Arc::new(if_last), move |stored| {
            match (&stored, &me.shared) {
                (Ok(landed), _) => written.iter().zip(landed).for_each(|(written, landed)| {
                    me.table.store(&written.key, written.ticket, || match landed.held {
                        false => {
                            me.acknowledge(&written.key, written.before, landed.sequence, written.fresh_until);
                        }
                        // A writer is at work: nobody knows which of the two values is the newer one.
                        true => me.forget(&written.key),
                    });
                }),
                (Err(_), Some(shared)) => {
                    shared.invalidate_later(written.iter().map(|written| written.key.clone()));
                }
                (Err(_), None) => {}
            }
            let last =
                stored.ok().map(|landed| landed.iter().map(|landed| landed.sequence).max().unwrap_or_default());
            drop(sink.finish(Answer::Done(receipt_of(last))));
        })
    }

    /// A record of `value` with the life that the options say, from now on.
    pub(super) fn record(&self, operation: &'static str, value: &Value, o: &PutOptions) -> Result<Record> {
        let ttl = o.ttl.resolve(operation, self.options.ttl)?;
        check_codec(operation, o.codec)?;
        let stored = admit(&self.options, operation, value, o.codec)?;
        Ok(self.lived(stored, ttl, 0, self.tags_of(operation, o)?))
    }

    /// A record that lives for `ttl` from now on.
    pub(super) fn lived(&self, stored: Value, ttl: Duration, load_ms: u32, tags: TagSet) -> Record {
        let now = self.clock.now_ms();
        let expires = now + millis(jittered(ttl, self.options.jitter));
        let fresh_until = match self.shared {
            Some(_) => capped(expires, now, self.options.max_staleness),
            None => expires,
        };
        let stale_for = self.options.stale_for(ttl).as_millis();
        Record {
            codec: stored.codec,
            bytes: stored.bytes,
            negative: false,
            expires,
            stamp: Stamp::new(fresh_until, 0),
            stale_until: expires + u64::try_from(stale_for).unwrap_or(u64::MAX / 4),
            load_ms,
            origin: None,
            stored: now,
            tags,
        }
    }

    /// A remembered "not found", or a failure with this message.
    pub(super) fn negative(&self, tags: TagSet, message: &str) -> Record {
        let nothing = Value { codec: Codec::Raw, bytes: cut(message, LONGEST_MESSAGE).to_owned().into() };
        let record = self.lived(nothing, self.options.negative_ttl, 0, tags);
        Record { negative: true, stale_until: record.expires, ..record }
    }
}

/// A write on its way to the shared tier.
struct Written {
    key: Vec<u8>,
    before: Before,
    /// As of [`Table::ticket`](super::table::Table::ticket), taken with the write.
    ticket: u64,
    fresh_until: u64,
}

/// So much of a message is remembered, in bytes.
const LONGEST_MESSAGE: usize = 1000;

/// At most so many bytes of a text, and no half of a character.
fn cut(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}

/// Bytes are always raw, and nothing else ever is: raw cannot be asked for.
pub(super) fn check_codec(operation: &'static str, codec: Option<Codec>) -> Result<()> {
    if codec == Some(Codec::Raw) {
        let message = "codec must be json or msgpack; bytes are always raw";
        return Err(Error::new(ErrorKind::InvalidOption, operation, message));
    }
    Ok(())
}

pub(super) fn done(pending: bool) -> Step {
    Step::Ready(Answer::Done(receipt(pending)))
}

/// The receipt of a write of keys that has this number in their sequence; of one that has not landed for none.
pub(super) fn receipt_of(sequence: Option<u64>) -> Receipt {
    numbered(sequence, ConsistencyToken::of_keys)
}

/// The same of an invalidation of tags.
pub(super) fn receipt_of_tags(sequence: Option<u64>) -> Receipt {
    numbered(sequence, ConsistencyToken::of_tags)
}

fn numbered(sequence: Option<u64>, token: impl FnOnce(u64) -> ConsistencyToken) -> Receipt {
    match sequence {
        None => receipt(true),
        // Nobody counts the writes of a server without scripts, or plain ones: it is later than all.
        Some(0) => Receipt { pending: false, token: token(u64::MAX) },
        Some(sequence) => Receipt { pending: false, token: token(sequence) },
    }
}

/// The position of a write in this process: a random epoch and a count.
pub(super) fn receipt(pending: bool) -> Receipt {
    static EPOCH: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
    static COUNT: AtomicU64 = AtomicU64::new(1);
    let mut token = [0; 16];
    // The first byte stays 0: such a position is known in this process alone.
    token[1..8].copy_from_slice(&EPOCH.get_or_init(rand::random).to_be_bytes()[1..]);
    token[8..].copy_from_slice(&COUNT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    Receipt { pending, token: ConsistencyToken(token) }
}

pub(super) fn write_receipt() -> Receipt {
    receipt(false)
}
