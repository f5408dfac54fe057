//! Writes that the source gets later: the cache has them at once, by the same steps as those of `write`.

use std::sync::Arc;

use super::dirty::View;
use super::record::Record;
use super::sink::Sink;
use super::tiers::Tiers;
use super::write::{receipt, receipt_of};
use crate::error::{Error, Result};
use crate::host::{Answer, PutOptions, Receipt, Value};
use crate::sync::{Mutex, lock};
use crate::wire::Kick;

/// What a write does to the cache.
pub(crate) enum Change {
    Store(Box<Record>),
    Remove,
}

impl Tiers {
    /// What a write stores, checked as that of a `set`.
    ///
    /// # Errors
    /// `InvalidValue`, `InvalidOption`.
    pub fn stored_behind(&self, value: &Value, o: &PutOptions) -> Result<Change> {
        self.record("write_behind", value, o).map(|record| Change::Store(Box::new(record)))
    }

    /// Changes the cache. It never fails: where the shared tier cannot take it, an invalidation of the key is owed, and the
    /// receipt is pending. What is returned is to be done when no lock is held.
    pub fn apply_behind(&self, key: &[u8], change: Change, done: impl FnOnce(Receipt) + Send + 'static) -> Kick {
        let Some(shared) = &self.shared else {
            self.table.write(key, || self.change(key, &change));
            done(receipt(false));
            return Kick::NONE;
        };
        let bytes = if let Change::Store(record) = &change { record.bytes.len() } else { 0 };
        let Ok(slot) = shared.admit("write_behind", key.len() + bytes) else {
            self.table.write(key, || self.change(key, &change));
            shared.invalidate_later([key.to_vec()]);
            done(receipt(true));
            return Kick::NONE;
        };
        match change {
            Change::Store(record) => {
                let tags = record.tags.clone();
                let sink: Arc<dyn Sink> = Arc::new(Told(Mutex::new(Some(Box::new(done)))));
                self.table.write_with_ticket(key, |ticket| {
                    self.remember(key, &record);
                    self.store_shared(shared, slot, vec![(key.to_vec(), *record)], tags, vec![ticket], sink)
                })
            }
            Change::Remove => {
                self.drop_locally(key);
                let (me, owned) = (self.handle(), key.to_vec());
                shared.invalidate(slot, &[key.to_vec()], move |sequence| {
                    me.drop_locally(&owned);
                    done(receipt_of(sequence));
                })
            }
        }
    }

    fn change(&self, key: &[u8], change: &Change) {
        match change {
            Change::Store(record) => self.remember(key, record),
            Change::Remove => self.forget(key),
        }
    }

    /// What memory has of a key goes: it may be older than a write that was found elsewhere.
    pub fn doubt(&self, key: &[u8]) {
        self.drop_locally(key);
    }

    /// The answer to a read of a dirty key; none where the tiers are to answer.
    pub(super) fn answer_dirty(&self, key: &[u8]) -> Option<Answer> {
        match self.dirty.of(key)? {
            View::Value(value) => {
                self.counters.hits_l1.add(1);
                Some(Answer::Hit { value: self.shown(value)?, lease: None, copy: None })
            }
            View::Deleted => {
                self.counters.misses.add(1);
                Some(Answer::Miss)
            }
            View::Changing => None,
        }
    }

    /// The same for a caller that would load: that there is nothing is an answer too.
    pub(super) fn answer_dirty_load(&self, key: &[u8]) -> Option<Answer> {
        match self.answer_dirty(key)? {
            Answer::Miss => Some(Answer::Failed(Error::not_found())),
            answer => Some(answer),
        }
    }

    /// As a host gets it.
    fn shown(&self, value: Value) -> Option<Value> {
        if value.codec != crate::codec::Codec::MsgPack {
            return Some(value);
        }
        let json = crate::codec::msgpack_to_json(&value.bytes, super::record::MAX_DEPTH);
        let json = json.inspect_err(|_| self.counters.decode_misses.add(1)).ok()?;
        Some(Value { codec: crate::codec::Codec::Json, bytes: json.into() })
    }
}

/// A sink that calls back.
struct Told(Mutex<Option<Tell>>);

type Tell = Box<dyn FnOnce(Receipt) + Send>;

impl Sink for Told {
    fn finish(&self, answer: Answer) -> std::result::Result<(), Answer> {
        let told = lock(&self.0).take();
        if let Some(told) = told {
            told(if let Answer::Done(receipt) = answer { receipt } else { receipt(true) });
        }
        Ok(())
    }

    fn is_live(&self) -> bool {
        true
    }
}
