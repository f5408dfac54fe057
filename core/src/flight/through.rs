//! `write_through`: a write to the source, and then its value into the cache, in the order of the source.
//!
//! ```text
//! begin_store ─its turn─▶ intent ─▶ held ──the caller stores──▶ end_store ──the value──▶ free, the next writer's turn
//!                                          └─ or end_update: an invalidation
//! ```
//!
//! It is an update of one key whose end may leave a value. The writers of a key in one process follow one another: the next
//! one's intent leaves when the one before has ended. Writers in several processes may be at the source at once, and
//! nobody knows here who was the last one there: so a value is stored only if from its intent to its end no other writer
//! held the key, and nobody wrote or deleted it. Else the key is left invalidated. So what the cache has is never
//! older than the source, and never ahead of it.

use std::time::Duration;

use super::coherence::Before;
use super::holds::Update;
use super::lease::{Lease, next_id};
use super::record::{Record, Stamp, admit, millis};
use super::shared::{Shared, capped};
use super::sink::{Reply, Sink};
use super::tagged::TAGS_OUTLIVE;
use super::tiers::Tiers;
use super::update::unsupported;
use super::write::{check_codec, done, receipt, receipt_of};
use crate::error::{Error, ErrorKind, Result};
use crate::host::{Answer, PutOptions, Receipt, Step, Value};
use crate::key;
use crate::options::UpdateOptions;
use crate::redis::{Intended, Seen, Slot};
use crate::sync::Arc;
use crate::tags::{TagSet, Verdict};
use crate::wire::Kick;

const OPERATION: &str = "write_through";

/// A value that goes into the cache once the source has it.
#[derive(Clone, Debug)]
pub(crate) struct Storing {
    value: Value,
    ttl: Duration,
    tags: TagSet,
    /// The count of invalidations of tags before the intent.
    moment: u64,
    /// What the shared tier said to the intent; none where it could not be told.
    intended: Option<Intended>,
}

/// A writer that comes to its turn.
pub(crate) struct Writer {
    id: u64,
    key: Vec<u8>,
    storing: Option<Storing>,
    intent_ttl: Duration,
    hold: u64,
    strict: bool,
    sink: Arc<dyn Sink>,
}

impl Writer {
    /// It is not to write, for this reason.
    pub fn refuse(self, why: Error) {
        drop(self.sink.finish(Answer::Failed(why)));
    }
}

/// What has become of the turn of a writer.
enum Turn {
    /// It may write.
    Begun(Lease),
    /// It is told later.
    Asking(Kick),
    Refused(Error),
}

impl Tiers {
    /// Begins a write of one key to the source, when the writers of the key in this process that came before have ended:
    /// `Lead`, with the lease to be given to [`Tiers::end_store`] or [`Tiers::end_update`]. A value is what
    /// goes into the cache then; none for a removal. `held` are the leases of the writes and fetches inside which this is
    /// asked.
    pub fn begin_store(
        &self,
        key: &[u8],
        value: Option<&Value>,
        put: &PutOptions,
        o: &UpdateOptions,
        held: &[u64],
        reply: &dyn Reply,
    ) -> Result<Step> {
        self.check_open(OPERATION)?;
        key::check(key, OPERATION)?;
        let (intent_ttl, hold) = o.check()?;
        if !o.tags.is_empty() {
            let message = "tags to invalidate are for update; make this write inside of one";
            return Err(Error::new(ErrorKind::InvalidOption, OPERATION, message));
        }
        let storing = value.map(|value| self.storing(value, put)).transpose()?;
        let bytes = key.len() + storing.as_ref().map_or(0, |storing| storing.value.bytes.len());
        let sink = reply.sink(OPERATION, None)?;
        let (id, hold) = (next_id(), if hold.is_zero() { 0 } else { millis(hold) });
        let writer =
            Writer { id, key: key.to_vec(), storing, intent_ttl, hold, strict: o.strict, sink: sink.clone() };
        let writer = match self.turns.enter(key, id, held, &sink, bytes, writer) {
            Ok(Some(writer)) => writer,
            Ok(None) => {
                // One that was closed between the check and the queue took none with it that came later.
                if self.check_open(OPERATION).is_err() {
                    self.turn_writers_away();
                }
                return Ok(Step::Pending);
            }
            Err(error) => {
                sink.withdraw();
                return Err(error);
            }
        };
        match self.begin_turn(writer) {
            Turn::Begun(lease) => {
                sink.withdraw();
                Ok(Step::Ready(Answer::Lead(lease)))
            }
            Turn::Asking(kick) => {
                reply.go(kick);
                Ok(Step::Pending)
            }
            Turn::Refused(error) => {
                sink.withdraw();
                self.next_turn(key);
                Err(error)
            }
        }
    }

    /// The source has the value: it goes into the cache, unless another writer was at work meanwhile. `Done`.
    pub fn end_store(&self, lease: u64, reply: &dyn Reply) -> Result<Step> {
        self.check_open(OPERATION)?;
        let sink = match &self.shared {
            Some(_) => Some(reply.sink(OPERATION, None)?),
            None => None,
        };
        let Some(mut update) = self.holds.end(lease) else {
            sink.into_iter().for_each(|sink| sink.withdraw());
            return Err(Error::new(ErrorKind::LeaseExpired, OPERATION, "the write has ended"));
        };
        let storing = update.storing.take();
        match (&self.shared, sink) {
            (Some(shared), Some(sink)) => {
                let done = move |receipt| drop(sink.finish(Answer::Done(receipt)));
                reply.go(match storing {
                    Some(storing) => self.store(shared, update, storing, done),
                    None => self.finish(shared, update, done),
                });
                Ok(Step::Pending)
            }
            _ => {
                match storing {
                    Some(storing) => self.store_here(&update, storing),
                    None => self.let_go(&update, None),
                }
                Ok(done(false))
            }
        }
    }

    /// A write has ended: the next writer of its key has its turn, if it is one of those that follow one another.
    pub(super) fn pass_on(&self, update: &Update) {
        if let (true, Some(key)) = (update.in_turn, update.keys.first()) {
            self.next_turn(key);
        }
    }

    pub(super) fn turn_writers_away(&self) {
        for writer in self.turns.close() {
            writer.refuse(Error::new(ErrorKind::Closed, OPERATION, "the cache was closed"));
        }
    }

    fn storing(&self, value: &Value, put: &PutOptions) -> Result<Storing> {
        let ttl = put.ttl.resolve(OPERATION, self.options.ttl)?;
        check_codec(OPERATION, put.codec)?;
        let value = admit(&self.options, OPERATION, value, put.codec)?;
        let tags = self.tags_of(OPERATION, put)?;
        Ok(Storing { value, ttl, tags, moment: 0, intended: None })
    }

    fn next_turn(&self, key: &[u8]) {
        while let Some(writer) = self.turns.leave(key) {
            if !writer.sink.is_live() {
                continue;
            }
            let sink = writer.sink.clone();
            match self.begin_turn(writer) {
                // Where its caller has left, dropping the lease comes back here.
                Turn::Begun(lease) => return drop(sink.finish(Answer::Lead(lease))),
                Turn::Asking(kick) => return kick.go_behind(),
                Turn::Refused(error) => drop(sink.finish(Answer::Failed(error))),
            }
        }
    }

    /// It is the turn of this writer: all tiers are told of its intent.
    fn begin_turn(&self, writer: Writer) -> Turn {
        let Writer { id, key, mut storing, intent_ttl, hold, strict, sink } = writer;
        let slot = match self.shared.as_ref().map(|shared| shared.admit(OPERATION, key.len())).transpose() {
            Ok(slot) => slot,
            Err(error) => return Turn::Refused(error),
        };
        let now = self.clock.now_ms();
        if let Some(storing) = &mut storing {
            storing.moment = self.known.look().moment();
        }
        let seen = storing.as_ref().map(|storing| self.seen_by(storing, intent_ttl)).unwrap_or_default();
        let token = rand::random();
        let update =
            Update { id, keys: vec![key.clone()], token, hold, in_turn: true, storing, ..Update::default() };
        if let Err(error) = self.holds.begin(update, now, now.saturating_add(millis(intent_ttl))) {
            return Turn::Refused(error);
        }
        // Held first: what is stored between the two goes now, and nothing is stored after this.
        self.drop_locally(&key);
        let lease = Lease::new(id, self.lessor());
        let (Some(shared), Some(slot)) = (&self.shared, slot) else { return Turn::Begun(lease) };
        let (me, named) = (self.handle(), key.clone());
        Turn::Asking(shared.hold_to_store(slot, &key, token, intent_ttl, seen, move |intended| {
            let failure = match intended {
                Ok(Intended { number: None, .. }) => strict.then(unsupported),
                Ok(intended) => {
                    me.holds.learn(id, |storing| storing.intended = Some(intended));
                    None
                }
                Err(error) if strict => Some(error),
                Err(_) => {
                    me.shared.iter().for_each(|shared| shared.invalidate_later([named.clone()]));
                    None
                }
            };
            // Where it fails the lease is dropped, and so the write is ended: the key may be held all the same.
            drop(sink.finish(failure.map_or(Answer::Lead(lease), Answer::Failed)));
        }))
    }

    /// The tags of a value, and for how long the server is to keep them.
    fn seen_by(&self, storing: &Storing, intent_ttl: Duration) -> Seen {
        let life = storing.ttl.saturating_add(self.options.stale_for(storing.ttl));
        let life = life.saturating_add(intent_ttl).saturating_add(TAGS_OUTLIVE);
        Seen { tags: storing.tags.iter().cloned().collect(), life }
    }

    /// Stores in the shared tier, and then in memory; or invalidates, where that may not be.
    fn store(
        &self,
        shared: &Shared,
        update: Update,
        storing: Storing,
        done: impl FnOnce(Receipt) + Send + 'static,
    ) -> Kick {
        let dropped = self.known.was_dropped(&storing.tags, storing.moment);
        let ready = match &storing.intended {
            Some(Intended { number: Some(number), left, looked }) if update.hold == 0 && !dropped => {
                shared.vector(&storing.tags, looked, *left).ok().map(|(vector, _)| (*number, vector))
            }
            _ => None,
        };
        // Without versions it would not be read.
        let ready = ready.filter(|(_, vector)| vector.clear.is_some());
        let admitted: Option<Slot> = shared.admit(OPERATION, storing.value.bytes.len()).ok();
        let (Some((intent, vector)), Some(slot), Some(key)) = (ready, admitted, update.keys.first().cloned())
        else {
            return self.finish(shared, update, done);
        };
        let record = self.lived(storing.value, storing.ttl, 0, storing.tags);
        let (me, sent, before) = (self.handle(), self.clock.now_ms(), self.before(&key));
        let (carried, kept) = (vector.clone(), record.clone());
        let writer = (update.token, intent);
        shared.store_held(slot, &key, writer, record, vector, &self.clock, move |came| {
            let Some(shared) = &me.shared else { return };
            match came {
                Ok((Some(sequence), looked)) => {
                    let is_current = me.known.judge(carried.clear, &carried.tags, &looked);
                    let asked =
                        if let Verdict::Current(asked) = is_current { Some(asked.min(sent)) } else { None };
                    me.stored(&update, kept, before, sequence, asked);
                    done(receipt_of(Some(sequence)));
                }
                Ok((None, _)) => me.finish(shared, update, done).go_behind(),
                Err(_) => {
                    // It may be there or not, and a later one as well.
                    shared.let_go_later(&update);
                    me.let_go(&update, None);
                    done(receipt(true));
                }
            }
        })
    }

    /// The shared tier has a value, under this number: memory gets it too, if its tags were `asked` for by then.
    fn stored(&self, update: &Update, mut record: Record, before: Before, sequence: u64, asked: Option<u64>) {
        let now = self.clock.now_ms();
        for key in &update.keys {
            self.table.write(key, || {
                self.forget(key);
                let alone = self.holds.let_go(key, update.id, now, None);
                if let (true, Some(asked)) = (alone, asked) {
                    let until = capped(record.expires, asked, self.options.max_staleness);
                    record.stamp = Stamp::new(until, sequence);
                    self.remember_read(key, before, &record);
                }
            });
        }
        self.pass_on(update);
    }

    /// As [`Tiers::store`], where there is memory alone.
    fn store_here(&self, update: &Update, storing: Storing) {
        let now = self.clock.now_ms();
        let until = (update.hold > 0).then(|| now.saturating_add(update.hold));
        let dropped = self.known.was_dropped(&storing.tags, storing.moment);
        let record = self.lived(storing.value, storing.ttl, 0, storing.tags);
        for key in &update.keys {
            self.table.write(key, || {
                self.forget(key);
                let alone = self.holds.let_go(key, update.id, now, until);
                if alone && !dropped {
                    self.remember(key, &record);
                }
            });
        }
        self.pass_on(update);
    }
}
