//! `get_or_fetch`: from the first look into memory to the value that a fetch brought.

use std::sync::Arc;

use super::claim::Wish;
use super::coherence::Before;
use super::record::{Record, admit};
use super::shared::Loaded;
use super::sink::Reply;
use super::table::{Flight, Join, Joining, Put, Waiter};
use super::tiers::{REFRESH_LOADS, Tiers, waiter};
use super::write::{check_codec, write_receipt};
use crate::error::{Error, ErrorKind, Result};
use crate::host::{
    Answer, ErrorRef, FetchFailure, FetchOptions, Payload, PutOptions, Receipt, Step, Value, process,
};
use crate::key;
use crate::options::Ttl;
use crate::wire::Kick;

/// Where a call of [`Tiers::enter`] stands.
pub(super) enum Entered {
    /// Answered.
    Answer(Answer),
    /// The shared tier is to be asked for this flight, whose first waiter the caller is.
    Probe(Arc<Flight<Record>>),
    /// Another caller leads; the sink will be answered.
    Waiting,
}

impl Tiers {
    /// Answers from a tier, or says who is to run the fetch: see the seam in the crate's documentation.
    pub fn begin(&self, key: &[u8], o: &FetchOptions<'_>, reply: &dyn Reply) -> Result<Step> {
        let put = self.check_fetch("get_or_fetch", &[key], o)?;
        let refreshed = match self.at_hand(key, &put, o) {
            AtHand::Answer(answer) => return Ok(Step::Ready(answer)),
            AtHand::Refresh(record, answer) => Some((record, answer)),
            AtHand::Nothing => None,
        };
        let sink = reply.sink("get_or_fetch", None)?;
        if let Some((record, answer)) = refreshed {
            let Some(wish) = self.refresh(key, record, waiter(sink.clone(), &put, o)) else {
                sink.withdraw();
                return Ok(Step::Ready(answer));
            };
            reply.go(self.claim(vec![wish], None));
            return Ok(Step::Pending);
        }
        match self.enter(key, o, |_| Ok(waiter(sink.clone(), &put, o))) {
            Ok(Entered::Answer(answer)) => {
                sink.withdraw();
                Ok(Step::Ready(answer))
            }
            Ok(Entered::Waiting) => Ok(Step::Pending),
            Ok(Entered::Probe(flight)) => {
                self.look(vec![flight], o, reply);
                Ok(Step::Pending)
            }
            Err(error) => {
                sink.withdraw();
                Err(error)
            }
        }
    }

    /// Checks the arguments of a `get_or_fetch` before anything runs.
    pub(super) fn check_fetch(
        &self,
        operation: &'static str,
        keys: &[&[u8]],
        o: &FetchOptions<'_>,
    ) -> Result<Put> {
        self.check_open(operation)?;
        keys.iter().try_for_each(|key| key::check(key, operation))?;
        check_codec(operation, o.put.codec)?;
        let ttl = o.put.ttl.resolve(operation, self.options.ttl)?;
        Ok(Put { ttl, codec: o.put.codec, tags: self.tags_of(operation, &o.put)? })
    }

    /// What memory answers at once.
    pub(super) fn at_hand(&self, key: &[u8], put: &Put, o: &FetchOptions<'_>) -> AtHand {
        if let Some(answer) = self.answer_dirty_load(key).filter(|_| !o.bypass_cache) {
            return AtHand::Answer(answer);
        }
        let found = if o.bypass_cache { None } else { self.fresh_to_copy(key) };
        let Some((record, copy)) = found else { return AtHand::Nothing };
        let Some(answer) = self.answer_with(&record) else { return AtHand::Nothing };
        self.counters.hits_l1.add(1);
        match answer {
            Answer::Hit { value, .. } if self.draw(&record) => {
                if self.shared.is_some() {
                    return AtHand::Refresh(record, Answer::Hit { value, lease: None, copy });
                }
                let lease = self.table.refresh(key, o.owner, put.clone(), record);
                self.watch();
                AtHand::Answer(Answer::Hit { value, lease, copy })
            }
            Answer::Hit { value, .. } => AtHand::Answer(Answer::Hit { value, lease: None, copy }),
            answer => AtHand::Answer(answer),
        }
    }

    /// Begins to refresh a value ahead of its expiry: by one caller in the whole fleet, so its lease is asked for first.
    /// None while that goes on here already.
    pub(super) fn refresh(&self, key: &[u8], record: Record, waiter: Waiter) -> Option<Wish> {
        let flight = self.table.begin_ahead(key, record, waiter)?;
        self.watch();
        Some(Wish::ahead(flight))
    }

    /// Joins the flight of `key`. `waiter` makes the caller's entry, and is told whether it is the first.
    pub(super) fn enter(
        &self,
        key: &[u8],
        o: &FetchOptions<'_>,
        waiter: impl FnOnce(bool) -> Result<Waiter>,
    ) -> Result<Entered> {
        let probe = self.shared.as_ref().is_some_and(|shared| !shared.is_cut_off());
        let stale = self.remembered(key);
        let recheck = || self.fresh(key).filter(|_| !o.bypass_cache);
        let joined = self.table.join(Joining { key, held: o.held, probe, stale }, waiter, recheck);
        self.watch();
        match joined? {
            Join::Lead(lease) => {
                self.counters.misses.add(1);
                Ok(Entered::Answer(Answer::Lead(lease)))
            }
            Join::Bypass => Ok(Entered::Answer(Answer::Bypass)),
            Join::Found(record) => {
                self.counters.hits_l1.add(1);
                Ok(Entered::Answer(self.answer_with(&record).unwrap_or(Answer::Bypass)))
            }
            Join::Probe(flight) => Ok(Entered::Probe(flight)),
            Join::Queued => {
                self.counters.misses.add(1);
                Ok(Entered::Waiting)
            }
            Join::Wait => {
                self.counters.waits.add(1);
                Ok(Entered::Waiting)
            }
        }
    }

    /// A fresh record as an answer; none when it does not decode.
    fn answer_with(&self, record: &Record) -> Option<Answer> {
        if record.negative {
            return Some(Answer::Failed(record.failure()));
        }
        self.value_of(record).map(|value| Answer::Hit { value, lease: None, copy: None })
    }

    /// Draws whether this caller refreshes the value ahead of its expiry (XFetch: the nearer the end and the
    /// slower the fetch, the likelier), so that one caller at a time does it and nobody waits.
    fn draw(&self, record: &Record) -> bool {
        if !self.options.refresh_ahead || record.load_ms == 0 {
            return false;
        }
        let left = record.expires.saturating_sub(self.clock.now_ms());
        if left > u64::from(record.load_ms) * REFRESH_LOADS {
            return false;
        }
        let random = 1.0 - rand::random::<f64>();
        #[expect(clippy::cast_precision_loss, reason = "a few load times")]
        let won = -f64::from(record.load_ms) * random.ln() >= left as f64;
        won
    }

    /// Has flights that have just begun go on in the shared tier.
    pub(super) fn look(&self, flights: Vec<Arc<Flight<Record>>>, o: &FetchOptions<'_>, reply: &dyn Reply) {
        if o.bypass_cache {
            // Whatever is there: a new value is wanted, and nobody else's.
            let wish = |flight| Wish::anew(flight).impatient();
            return reply.go(self.claim(flights.into_iter().map(wish).collect(), None));
        }
        self.probe(flights, reply);
    }

    /// Asks the shared tier for the keys of `flights`, in one round trip. Those that it has nothing fresh of go on with a
    /// claim.
    fn probe(&self, flights: Vec<Arc<Flight<Record>>>, reply: &dyn Reply) {
        let Some(shared) = &self.shared else { return };
        let (now, until) = (self.clock.now_ms(), shared.budget());
        // Whatever happens in between, no flight is left without an end.
        let begun = flights.iter().map(|flight| (flight.clone(), self.before(&flight.key))).collect();
        let mut open = Probes { tiers: self.handle(), flights: begun };
        let Ok(slot) = shared.admit("get_or_fetch", flights.iter().map(|flight| flight.key.len()).sum()) else {
            // As where it cannot be reached; from a task, since the answers may lead into whoever called.
            process().runtime().spawn(async move { drop(open) });
            return;
        };
        if let [flight] = &flights[..] {
            let known =
                self.remembered(&flight.key).filter(|record| record.origin.is_some() && record.expires > now);
            let kick = shared.load(slot, &flight.key, known, move |named, read| {
                let tiers = open.tiers.clone();
                let Some(shared) = &tiers.shared else { return };
                let found = shared.loaded(named.key(), read, now);
                tiers.settle_one(found, until, move |tiers, loaded| {
                    let Some((flight, before)) = open.flights.pop() else { return };
                    let wish = tiers.probed(flight, before, loaded);
                    tiers.claim(wish.into_iter().collect(), Some(until)).go_behind();
                });
            });
            return reply.go(kick);
        }
        let names = shared.names(flights.iter().map(|flight| &*flight.key));
        let kick = shared.load_many(slot, names, move |names, read| {
            let tiers = open.tiers.clone();
            let Some(shared) = &tiers.shared else { return };
            let found = shared.loaded_many(&names, read, now).collect();
            tiers.settle(found, until, move |tiers, mut loaded| {
                let mut wishes = Vec::new();
                while let (Some((flight, before)), Some(loaded)) = (open.flights.pop(), loaded.pop()) {
                    // A batch that waited for another process would keep what it leads itself from those that wait for it.
                    wishes.extend(tiers.probed(flight, before, loaded).map(Wish::impatient));
                }
                tiers.claim(wishes, Some(until)).go_behind();
            });
        });
        reply.go(kick);
    }

    /// What the look of `flight` came to; the wish for its lease, where a value is to be loaded.
    fn probed(&self, flight: Arc<Flight<Record>>, before: Before, loaded: Loaded) -> Option<Wish> {
        let (stale, force) = match loaded {
            Loaded::Fresh(record) => {
                self.found_shared(&flight, before, record);
                return None;
            }
            Loaded::Stale(record) => (Some(record), false),
            Loaded::Absent => (None, false),
            Loaded::Damaged => (None, true),
            Loaded::Foreign => {
                self.counters.misses.add(1);
                self.table.keep_out(&flight);
                self.table.probed(&flight, None, false);
                return None;
            }
            // Not an error here: whoever leads loads from the source, where the bulkhead lets only so many through.
            Loaded::Unreachable | Loaded::Refused(_) => {
                self.counters.misses.add(1);
                self.table.probed(&flight, None, true);
                return None;
            }
        };
        self.table.note_stale(&flight, stale);
        Some(if force { Wish::anew(flight) } else { Wish::load(flight) })
    }

    /// The shared tier has a fresh value for `flight`.
    pub(super) fn found_shared(&self, flight: &Arc<Flight<Record>>, before: Before, record: Record) {
        let waiters = self.table.found(flight, || self.remember_read(&flight.key, before, &record));
        self.counters.hits_l2.add(waiters.len() as u64);
        let mut waiters = waiters.into_iter();
        let last = waiters.next_back();
        for waiter in waiters {
            drop(waiter.sink.finish(self.answer_with(&record).unwrap_or(Answer::Bypass)));
        }
        if let Some(waiter) = last {
            let answer = self.answer_with(&record).unwrap_or(Answer::Bypass);
            // Then the value is the waiter's alone, where memory does not hold it.
            drop(record);
            drop(waiter.sink.finish(answer));
        }
    }

    /// The fetch brought `value`: it is stored, unless a write came in between, and all waiters get it.
    pub fn fulfil(&self, lease: u64, value: &Value, o: &PutOptions) -> Result<Receipt> {
        let own_ttl = match o.ttl {
            Ttl::Default => Ok(None),
            ttl => ttl.resolve("fulfil", self.options.ttl).map(Some),
        };
        let admitted = own_ttl.and_then(|ttl| {
            check_codec("fulfil", o.codec)?;
            self.check_open("fulfil")?;
            // Encoded for the leader's codec; a fulfil that names its own is rare.
            let codec = o.codec.or_else(|| self.table.put_of(lease).and_then(|put| put.codec));
            let called = self.table.put_of(lease).map(|put| put.tags).unwrap_or_default();
            let tags = called.with("fulfil", &self.tags_of("fulfil", o)?, self.options.max_tags)?;
            Ok((ttl, tags, admit(&self.options, "get_or_fetch", value, codec)?))
        });
        let (ttl, tags, stored) = match admitted {
            Ok(admitted) => admitted,
            Err(error) => {
                self.fail_with(lease, &error)?;
                return Err(error);
            }
        };
        let mut kick = Kick::NONE;
        let ended = self.table.end(lease, |key, ended| {
            let took = u32::try_from(ended.took).unwrap_or(u32::MAX);
            self.lease_time.note(took);
            // What is not kept is given to those who wait, and its lease in the shared tier goes back.
            if !o.discard {
                let record = self.lived(stored, ttl.unwrap_or(ended.put.ttl), took, tags);
                kick = self.keep(key, record, ended);
            }
        })?;
        kick.go_behind();
        self.table.deliver(ended, || Answer::Hit { value: value.clone(), lease: None, copy: None });
        Ok(write_receipt())
    }

    /// The fetch failed. Where a stale value may be served instead, it is the answer.
    pub fn fail(&self, lease: u64, failure: FetchFailure) -> Result<Option<Payload>> {
        match failure.kind {
            ErrorKind::NotFound => {
                let mut kick = Kick::NONE;
                let ended = self.table.end(lease, |key, ended| {
                    let tags = ended.put.tags.clone();
                    kick = self.keep(key, self.negative(tags, ""), ended);
                })?;
                kick.go_behind();
                self.table.deliver(ended, || Answer::Failed(Error::not_found()));
                Ok(None)
            }
            ErrorKind::InvalidValue | ErrorKind::InvalidOption => {
                self.fail_with(lease, &Error::new(failure.kind, "get_or_fetch", failure.message))
            }
            _ => self.fail_with(lease, &Error::fetch_failed(failure.message, ErrorRef::new(failure.error_ref))),
        }
    }

    /// The fetch failed with `error`, and that is remembered for `negative_ttl`: later callers get `FetchFailed` with its
    /// message. Nothing stale is served instead, for this is the answer.
    pub fn fail_remembered(&self, lease: u64, error: &Error) -> Result<()> {
        let mut kick = Kick::NONE;
        let ended = self.table.end(lease, |key, ended| {
            let tags = ended.put.tags.clone();
            kick = self.keep(key, self.negative(tags, &error.message()), ended);
        })?;
        self.counters.load_errors.add(1);
        kick.go_behind();
        self.table.deliver(ended, || Answer::Failed(error.clone()));
        Ok(())
    }

    /// The fetch failed with `error` of Rust: "not found" is remembered, anything else is shared as it is.
    pub fn fail_as(&self, lease: u64, error: &Error) -> Result<Option<Payload>> {
        if error.kind() == ErrorKind::NotFound {
            let failure = FetchFailure { kind: ErrorKind::NotFound, message: String::new(), error_ref: 0 };
            return self.fail(lease, failure);
        }
        self.fail_with(lease, error)
    }

    /// The fetch failed with `error`.
    pub fn fail_with(&self, lease: u64, error: &Error) -> Result<Option<Payload>> {
        let ended = self.table.end(lease, |_, _| ())?;
        self.counters.load_errors.add(1);
        let stale = self.conclude(ended, error.clone());
        let payload = stale.and_then(|stale| stale.payload().ok());
        if payload.is_some() {
            self.counters.stale_served.add(1);
        }
        Ok(payload)
    }
}

/// What memory says of a key.
pub(super) enum AtHand {
    Answer(Answer),
    /// This answer; and the caller was drawn to refresh the value, for which the shared tier is to be asked.
    Refresh(Record, Answer),
    Nothing,
}

/// Flights whose probes are still open; what is left of them is ended as unreachable.
struct Probes {
    tiers: Arc<Tiers>,
    flights: Vec<(Arc<Flight<Record>>, Before)>,
}

impl Drop for Probes {
    fn drop(&mut self) {
        for (flight, before) in self.flights.drain(..) {
            self.tiers.probed(flight, before, Loaded::Unreachable);
        }
    }
}
