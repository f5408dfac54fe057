//! Reads that never load: `get`, `get_many`, and the look into memory alone.

use std::sync::Arc;

use super::coherence::Before;
use super::record::Record;
use super::shared::{Loaded, Shared};
use super::sink::{Reply, Sink};
use super::tiers::Tiers;
use crate::error::Result;
use crate::host::{Answer, Payload, Step};
use crate::key;
use crate::memory::Copy;
use crate::redis::Slot;

/// The ticket for a read, and what had been told before.
type Asked = Option<(u64, Before)>;

impl Tiers {
    /// What memory can answer now, alone.
    pub fn peek(&self, key: &[u8]) -> Result<Option<(Payload, Option<Copy>)>> {
        self.check_open("get")?;
        key::check(key, "get")?;
        if let Some(answer) = self.answer_dirty(key) {
            return Ok(if let Answer::Hit { value, .. } = answer { Some((value, None)) } else { None });
        }
        let Some((record, copy)) = self.fresh_to_copy(key) else { return Ok(None) };
        self.counters.hits_l1.add(1);
        Ok(self.value_of(&record).map(|value| (value, copy)))
    }

    /// Reads one key: `Hit` or `Miss`.
    pub fn get(&self, key: &[u8], reply: &dyn Reply) -> Result<Step> {
        self.check_open("get")?;
        key::check(key, "get")?;
        if let Some(answer) = self.answer_dirty(key) {
            return Ok(Step::Ready(answer));
        }
        if let Some((record, copy)) = self.fresh_to_copy(key) {
            self.counters.hits_l1.add(1);
            return Ok(Step::Ready(self.plain(&record, copy)));
        }
        let Some(shared) = self.shared.as_ref().filter(|shared| !shared.is_cut_off()) else {
            self.counters.misses.add(1);
            return Ok(Step::Ready(Answer::Miss));
        };
        let slot = shared.admit("get", key.len())?;
        let sink = reply.sink("get", None)?;
        self.read_one(shared, slot, key, sink, reply);
        Ok(Step::Pending)
    }

    /// Reads many keys, those that memory lacks in one round trip: `Many` of `Hit` and `Miss`.
    pub fn get_many(&self, keys: &[&[u8]], reply: &dyn Reply) -> Result<Step> {
        self.check_open("get_many")?;
        keys.iter().try_for_each(|key| key::check(key, "get_many"))?;
        let mut answers: Vec<Answer> = Vec::with_capacity(keys.len());
        let mut missing = Vec::new();
        for (index, key) in keys.iter().enumerate() {
            answers.push(if let Some(answer) = self.answer_dirty(key) {
                answer
            } else if let Some((record, copy)) = self.fresh_to_copy(key) {
                self.counters.hits_l1.add(1);
                self.plain(&record, copy)
            } else {
                missing.push(index);
                Answer::Miss
            });
        }
        let asked = |shared: &&Shared| !missing.is_empty() && !shared.is_cut_off();
        let Some(shared) = self.shared.as_ref().filter(asked) else {
            self.counters.misses.add(missing.len() as u64);
            return Ok(Step::Ready(Answer::Many(answers)));
        };
        let slot = shared.admit("get_many", missing.iter().map(|index| keys[*index].len()).sum())?;
        let sink = reply.sink("get_many", None)?;
        let me = self.handle();
        let now = self.clock.now_ms();
        let asked: Vec<Asked> = missing.iter().map(|index| self.asked(keys[*index])).collect();
        let names = shared.names(missing.iter().map(|index| keys[*index]));
        let kick = shared.load_many(slot, names, move |names, read| {
            let Some(shared) = &me.shared else { return };
            let found = shared.loaded_many(&names, read, now).collect();
            me.settle(found, shared.ends(now), move |me, loaded| {
                for (index, loaded) in loaded.into_iter().enumerate() {
                    match me.keep_loaded(names.key(index), asked[index], loaded) {
                        // One request, one refusal: that of the call.
                        refusal @ Answer::Failed(_) => {
                            drop(sink.finish(refusal));
                            return;
                        }
                        answer => answers[missing[index]] = answer,
                    }
                }
                drop(sink.finish(Answer::Many(answers)));
            });
        });
        reply.go(kick);
        Ok(Step::Pending)
    }

    /// Reads a key in the shared tier, and keeps what it finds in memory.
    fn read_one(&self, shared: &Shared, slot: Slot, key: &[u8], sink: Arc<dyn Sink>, reply: &dyn Reply) {
        let me = self.handle();
        let now = self.clock.now_ms();
        let asked = self.asked(key);
        let known = self.remembered(key).filter(|record| record.origin.is_some() && record.expires > now);
        let kick = shared.load(slot, key, known, move |named, read| {
            let Some(shared) = &me.shared else { return };
            let found = shared.loaded(named.key(), read, now);
            me.settle_one(found, shared.ends(now), move |me, loaded| {
                drop(sink.finish(me.keep_loaded(named.key(), asked, loaded)));
            });
        });
        reply.go(kick);
    }

    /// Taken before a read: a write in between voids it, and what was read is not kept. None where there is no memory to
    /// keep it in.
    fn asked(&self, key: &[u8]) -> Asked {
        self.memory.as_ref().map(|_| (self.table.ticket(key), self.before(key)))
    }

    /// The answer to a read; what it found is kept in memory, unless the key or a tag was written since it was asked.
    fn keep_loaded(&self, key: &[u8], asked: Asked, loaded: Loaded) -> Answer {
        match loaded {
            Loaded::Fresh(record) => {
                if let Some((ticket, before)) = asked {
                    self.table.store(key, ticket, || self.remember_read(key, before, &record));
                }
                self.counters.hits_l2.add(1);
                self.plain(&record, None)
            }
            Loaded::Stale(_) | Loaded::Absent | Loaded::Damaged | Loaded::Foreign | Loaded::Unreachable => {
                self.counters.misses.add(1);
                Answer::Miss
            }
            Loaded::Refused(error) => Answer::Failed(error),
        }
    }

    /// The answer to a plain read: a remembered "not found" is a miss.
    fn plain(&self, record: &Record, copy: Option<Copy>) -> Answer {
        self.value_of(record).map_or(Answer::Miss, |value| Answer::Hit { value, lease: None, copy })
    }

    /// The value for a host; none for a remembered "not found", or for what does not decode.
    pub(super) fn value_of(&self, record: &Record) -> Option<Payload> {
        if record.negative {
            return None;
        }
        record.payload().inspect_err(|_| self.counters.decode_misses.add(1)).ok()
    }

    /// The host could not decode what it got: it is counted and goes from memory.
    pub fn note_undecodable(&self, key: &[u8]) {
        self.counters.decode_misses.add(1);
        self.table.write(key, || self.forget(key));
    }
}
