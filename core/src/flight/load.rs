//! `get_or_fetch`: from the first look into memory to the value that a fetch brought.

use std::sync::Arc;

use super::lease::{Lease, Lessor};
use super::record::{Record, admit};
use super::shared::Loaded;
use super::sink::Reply;
use super::table::{Flight, Join, Joining, Put, Waiter};
use super::tiers::{REFRESH_LOADS, Tiers, waiter};
use super::write::{check_codec, write_receipt};
use crate::error::{Error, ErrorKind, Result};
use crate::host::{Answer, ErrorRef, FetchFailure, FetchOptions, Payload, PutOptions, Receipt, Step, Value};
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
        if let Some(answer) = self.at_hand(key, put, o) {
            return Ok(Step::Ready(answer));
        }
        let sink = reply.sink("get_or_fetch", None)?;
        match self.enter(key, o, |_| Ok(waiter(sink.clone(), put, o))) {
            Ok(Entered::Answer(answer)) => {
                sink.withdraw();
                Ok(Step::Ready(answer))
            }
            Ok(Entered::Waiting) => Ok(Step::Pending),
            Ok(Entered::Probe(flight)) => {
                self.probe(vec![flight], reply);
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
        Ok(Put { ttl, codec: o.put.codec })
    }

    /// What memory answers at once.
    pub(super) fn at_hand(&self, key: &[u8], put: Put, o: &FetchOptions<'_>) -> Option<Answer> {
        if o.bypass_cache {
            return None;
        }
        let (record, copy) = self.fresh_to_copy(key)?;
        let answer = self.answer_with(&record)?;
        self.counters.hits_l1.add(1);
        Some(match answer {
            Answer::Hit { value, .. } => Answer::Hit { value, lease: self.draw(key, &record, put, o), copy },
            answer => answer,
        })
    }

    /// Joins the flight of `key`. `waiter` makes the caller's entry, and is told whether it is the first.
    pub(super) fn enter(
        &self,
        key: &[u8],
        o: &FetchOptions<'_>,
        waiter: impl FnOnce(bool) -> Result<Waiter>,
    ) -> Result<Entered> {
        let probe = self.shared.is_some() && !o.bypass_cache;
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
            return Some(Answer::Failed(Error::not_found()));
        }
        self.value_of(record).map(|value| Answer::Hit { value, lease: None, copy: None })
    }

    /// Draws whether this caller refreshes the value ahead of its expiry (XFetch: the nearer the end and the
    /// slower the fetch, the likelier), so that one caller at a time does it and nobody waits.
    fn draw(&self, key: &[u8], record: &Record, put: Put, o: &FetchOptions<'_>) -> Option<Lease> {
        if !self.options.refresh_ahead || record.load_ms == 0 {
            return None;
        }
        let left = record.expires.saturating_sub(self.clock.now_ms());
        if left > u64::from(record.load_ms) * REFRESH_LOADS {
            return None;
        }
        let random = 1.0 - rand::random::<f64>();
        #[expect(clippy::cast_precision_loss, reason = "a few load times")]
        let won = -f64::from(record.load_ms) * random.ln() >= left as f64;
        if !won {
            return None;
        }
        let lease = self.table.refresh(key, o.owner, put, record.clone());
        self.watch();
        lease
    }

    /// Asks the shared tier for the keys of `flights`, in one round trip, and ends their probes.
    pub(super) fn probe(&self, flights: Vec<Arc<Flight<Record>>>, reply: &dyn Reply) {
        let Some(shared) = &self.shared else { return };
        let now = self.clock.now_ms();
        // Whatever happens in between, no flight is left without an end.
        let mut open = Probes { tiers: self.handle(), flights: flights.clone() };
        if let [flight] = &flights[..] {
            let kick = shared.load(&flight.key, move |named, read| {
                let (Some(shared), Some(flight)) = (&open.tiers.shared, open.flights.pop()) else { return };
                open.tiers.probed(&flight, shared.loaded(named.key(), read, now));
            });
            return reply.go(kick);
        }
        let keys = flights.iter().map(|flight| &*flight.key);
        let kick = shared.load_many(keys, move |read| {
            let Some(shared) = &open.tiers.shared else { return };
            let mut loaded = shared.loaded_many(open.flights.iter().map(|flight| &*flight.key), read, now);
            while let (Some(flight), Some(loaded)) = (open.flights.pop(), loaded.pop()) {
                open.tiers.probed(&flight, loaded);
            }
        });
        reply.go(kick);
    }

    fn probed(&self, flight: &Arc<Flight<Record>>, loaded: Loaded) {
        match loaded {
            Loaded::Fresh(record) => {
                let waiters = self.table.found(flight, || self.remember(&flight.key, &record));
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
                return;
            }
            Loaded::Stale(record) => self.table.probed(flight, Some(record), false),
            Loaded::Absent => self.table.probed(flight, None, false),
            Loaded::Foreign => {
                self.table.keep_out(flight);
                self.table.probed(flight, None, false);
            }
            Loaded::Unreachable => self.table.probed(flight, None, true),
        }
        self.counters.misses.add(1);
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
            Ok((ttl, admit(&self.options, "get_or_fetch", value, codec)?))
        });
        let (ttl, stored) = match admitted {
            Ok(admitted) => admitted,
            Err(error) => {
                self.fail_with(lease, &error)?;
                return Err(error);
            }
        };
        let mut kick = Kick::NONE;
        let ended = self.table.end(lease, |key, ended| {
            if !ended.void {
                let took = u32::try_from(ended.took).unwrap_or(u32::MAX);
                let record = self.lived(stored, ttl.unwrap_or(ended.put.ttl), took);
                kick = self.keep(key, &record, ended.ticket);
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
                    if !ended.void {
                        kick = self.keep(key, &self.negative(), ended.ticket);
                    }
                })?;
                kick.go_behind();
                self.table.deliver(ended, || Answer::Failed(Error::not_found()));
                Ok(None)
            }
            ErrorKind::InvalidValue => {
                self.fail_with(lease, &Error::new(failure.kind, "get_or_fetch", failure.message))
            }
            _ => self.fail_with(lease, &Error::fetch_failed(failure.message, ErrorRef::new(failure.error_ref))),
        }
    }

    /// The fetch failed with `error` of Rust: "not found" is remembered, anything else is shared as it is.
    pub fn fail_as(&self, lease: u64, error: &Error) -> Result<Option<Payload>> {
        if error.kind() == ErrorKind::NotFound {
            let failure = FetchFailure { kind: ErrorKind::NotFound, message: String::new(), error_ref: 0 };
            return self.fail(lease, failure);
        }
        self.fail_with(lease, error)
    }

    /// The holder of `lease` gave up: the next waiter leads.
    pub fn abandon(&self, lease: u64) {
        self.table.abandon(lease);
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

    /// Stores what a fetch brought, in both tiers. Called under the lock of the key's shard; what is returned is to be
    /// done when it is free.
    fn keep(&self, key: &[u8], record: &Record, ticket: u64) -> Kick {
        self.remember(key, record);
        let Some(shared) = &self.shared else { return Kick::NONE };
        let table = self.table.clone();
        // A fill that does not come through leaves what was there: nothing that was valid before.
        let unwritten = move |key: &[u8]| table.ticket(key) == ticket;
        shared.store(vec![(key.to_vec(), record.clone())], &self.clock, unwritten, drop)
    }
}

/// Flights whose probes are still open; what is left of them is ended as unreachable.
struct Probes {
    tiers: Arc<Tiers>,
    flights: Vec<Arc<Flight<Record>>>,
}

impl Drop for Probes {
    fn drop(&mut self) {
        for flight in self.flights.drain(..) {
            self.tiers.probed(&flight, Loaded::Unreachable);
        }
    }
}
