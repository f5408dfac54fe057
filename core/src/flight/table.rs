//! Single flight: who leads, who waits, who takes over.
//!
//! A *flight* is one load of one key. It begins by a look into the shared tier (*probing*), where there is one;
//! then one caller *leads*: it runs its fetch while the others wait. The lead is a lease:
//!
//! ```text
//! (none) ──join──▶ probing ──miss──▶ leading ──fulfil / fail / hard timeout──▶ (none)
//!    └────join without a shared tier───▲  │
//!                                      └──┴ abandon: the next waiter leads; none left ──▶ (none)
//! ```
//!
//! * A flight in the map is alive. Whoever ends one removes it from the map first, under the shard's lock, and
//!   only then takes its waiters; whoever joins does so under the same lock. So no waiter joins a flight that
//!   has ended, and none is forgotten.
//! * A delete or a set of the key *voids* its flight: it leaves the map, so that later callers load anew, and
//!   what it brings is given to the callers it already had and stored nowhere.
//! * Stores into memory happen under the shard's lock too: after a delete has returned, no load that began
//!   before it can store (invariant I1, here within one process).
//! * Answers are delivered after all locks are released. Lock order: shard, flight, then the leaves (leases,
//!   bulkhead, wait graph).
//!
//! tokio and DashMap do not occur here: the model checks run this very file.

use std::collections::hash_map::{Entry, HashMap};
use std::collections::{BTreeSet, VecDeque};
use std::hash::BuildHasher;

use super::bulkhead::Bulkhead;
use super::cycle::WaitGraph;
pub(crate) use super::flight::{Ended, Flight, Put, Timeouts, Waiter};
use super::flight::{FlightState, deliver_all, next_live, take_blocked};
pub(crate) use super::joining::{Join, Joining};
use super::lease::{Lease, Lessor, next_id};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::host::Answer;
use crate::mutant::{Mutant, is_broken};
use crate::stats::Counter;
use crate::sync::{Arc, AtomicU64, Mutex, MutexGuard, Ordering, lock};

const SHARDS: usize = 64;
/// More callers than this waiting for one key are refused.
const MAX_WAITERS: usize = 100_000;
/// More keys than this loaded at once, those that wait for the bulkhead included, are refused.
const MAX_FLIGHTS: u64 = 100_000;

/// The loads of one cache in this process. `S` is what is kept of a stale value.
pub(crate) struct Table<S> {
    pub(super) shards: Box<[Mutex<Shard<S>>]>,
    /// Chooses the shard; keyed for this process.
    hasher: foldhash::quality::RandomState,
    leases: Mutex<Leases<S>>,
    pub(super) bulkhead: Bulkhead<Arc<Flight<S>>>,
    graph: WaitGraph,
    pub(super) alive: Arc<AtomicU64>,
    clock: Clock,
    timeouts: Timeouts,
    /// Counts the invalidations of tags: see `tags::Known`.
    moment: Arc<AtomicU64>,
    /// How many leases were given.
    pub loads: Counter,
    me: std::sync::Weak<dyn Lessor>,
}

pub(super) struct Shard<S> {
    pub(super) flights: HashMap<Box<[u8]>, Arc<Flight<S>>>,
    /// Counts the writes in this shard: a load that was begun before one must not be stored.
    pub(super) writes: u64,
}

struct Leases<S> {
    given: HashMap<u64, Given<S>>,
    /// (hard deadline, lease), so that the earliest is first.
    hard: BTreeSet<(u64, u64)>,
    /// (soft deadline, lease).
    soft: BTreeSet<(u64, u64)>,
}

/// A lease that is out, and when its fetch is too slow, in ms of the clock.
struct Given<S> {
    flight: Arc<Flight<S>>,
    hard: u64,
    soft: Option<u64>,
}

impl<S: Clone + Send + Sync + 'static> Table<S> {
    pub fn new(permits: usize, clock: Clock, timeouts: Timeouts, moment: Arc<AtomicU64>) -> Arc<Self> {
        Arc::new_cyclic(|me: &std::sync::Weak<Table<S>>| Table {
            shards: (0..SHARDS).map(|_| Mutex::new(Shard { flights: HashMap::new(), writes: 0 })).collect(),
            hasher: foldhash::quality::RandomState::default(),
            leases: Mutex::new(Leases { given: HashMap::new(), hard: BTreeSet::new(), soft: BTreeSet::new() }),
            bulkhead: Bulkhead::new(permits),
            graph: WaitGraph::default(),
            alive: Arc::new(AtomicU64::new(0)),
            clock,
            timeouts,
            moment,
            loads: Counter::default(),
            me: me.clone(),
        })
    }

    /// Joins the flight of a key, or begins one: by a probe of the shared tier, or by a lead. `waiter` makes
    /// the caller's entry, and is told whether it is the first of a new flight; `recheck` looks into memory
    /// once more.
    pub fn join(
        &self,
        joining: Joining<'_, S>,
        waiter: impl FnOnce(bool) -> Result<Waiter>,
        recheck: impl FnOnce() -> Option<S>,
    ) -> Result<Join<S>> {
        let Joining { key, held, probe, stale } = joining;
        let mut shard = self.shard(key);
        let flight = match shard.flights.entry(key.into()) {
            Entry::Occupied(entry) => {
                let flight = entry.get().clone();
                return self.wait_for(&flight, waiter(false)?, held);
            }
            Entry::Vacant(entry) => {
                // Between the caller's look into memory and this lock, a flight may have ended and stored.
                if let Some(found) = recheck() {
                    return Ok(Join::Found(found));
                }
                if self.alive.load(Ordering::Relaxed) >= MAX_FLIGHTS {
                    let message = format!("more than {MAX_FLIGHTS} keys are being loaded");
                    return Err(Error::new(ErrorKind::Overloaded, "get_or_fetch", message));
                }
                entry.insert(Arc::new(Flight::new(key, stale, &self.alive))).clone()
            }
        };
        let waiter = match waiter(true) {
            Ok(waiter) => waiter,
            Err(error) => {
                remove(&mut shard, &flight);
                return Err(error);
            }
        };
        let permit = !probe && (waiter.exempt || self.bulkhead.enter());
        if permit {
            let mut state = lock(&flight.state);
            state.permit = !waiter.exempt;
            return Ok(Join::Lead(self.lead(&flight, &mut state, waiter.owner, waiter.put)));
        }
        self.graph.wait(held, &flight.leader, &waiter.sink);
        lock(&flight.state).waiters.push_back(waiter);
        drop(shard);
        if probe {
            return Ok(Join::Probe(flight));
        }
        self.queue_up(&flight);
        Ok(Join::Queued)
    }

    fn wait_for(&self, flight: &Arc<Flight<S>>, waiter: Waiter, held: &[u64]) -> Result<Join<S>> {
        let mut state = lock(&flight.state);
        // Before the bypass: a fetch that asks for its own key would run itself without end.
        if !self.graph.wait(held, &flight.leader, &waiter.sink) {
            waiter.sink.withdraw();
            let message = "the fetch asks for a key whose own fetch waits for this one";
            return Err(Error::new(ErrorKind::RecursiveFetch, "get_or_fetch", message));
        }
        let leads = flight.leader.load(Ordering::Acquire) != 0;
        if leads && waiter.blocking && waiter.owner != 0 && waiter.owner == state.owner {
            waiter.sink.withdraw();
            return Ok(Join::Bypass);
        }
        if state.waiters.len() >= MAX_WAITERS {
            state.waiters.retain(|waiter| waiter.sink.is_live());
        }
        if state.waiters.len() >= MAX_WAITERS {
            waiter.sink.withdraw();
            let message = format!("more than {MAX_WAITERS} callers wait for one key");
            return Err(Error::new(ErrorKind::Overloaded, "get_or_fetch", message));
        }
        state.waiters.push_back(waiter);
        Ok(Join::Wait)
    }

    /// Ends the probe of `flight` without a value: the first caller that still waits leads. `stale` is what
    /// the shared tier had; `unreachable` says that it could not be asked, so what memory has still counts.
    pub fn probed(&self, flight: &Arc<Flight<S>>, stale: Option<S>, unreachable: bool) {
        {
            let mut state = lock(&flight.state);
            if !unreachable || stale.is_some() {
                state.stale = stale;
            }
        }
        self.promote(flight);
    }

    /// Ends the probe of `flight` with a value, which `store` puts into memory unless a write came in between.
    pub fn found(&self, flight: &Arc<Flight<S>>, store: impl FnOnce()) -> VecDeque<Waiter> {
        let mut shard = self.shard(&flight.key);
        remove(&mut shard, flight);
        let mut state = lock(&flight.state);
        if !state.void {
            store();
        }
        std::mem::take(&mut state.waiters)
    }

    /// Ends the flight of `lease`. `store` runs under the shard's lock, and is told whether it may store.
    ///
    /// # Errors
    /// [`ErrorKind::LeaseExpired`] when the lease has ended; nothing has changed then.
    pub fn end(&self, lease: u64, store: impl FnOnce(&[u8], &mut Ended<S>)) -> Result<Ended<S>> {
        let flight = self.take_lease(lease).ok_or_else(|| {
            let message = "the lease has ended: its time was over, or it was answered already";
            Error::new(ErrorKind::LeaseExpired, "fulfil", message)
        })?;
        let mut shard = self.shard(&flight.key);
        remove(&mut shard, &flight);
        let mut state = lock(&flight.state);
        flight.leader.store(0, Ordering::Release);
        let mut ended = Ended {
            waiters: std::mem::take(&mut state.waiters),
            stale: state.stale.take(),
            put: state.put.clone(),
            void: state.void,
            grip: state.grip.take(),
            started: state.started,
            moment: state.moment,
            took: self.clock.now_ms().saturating_sub(state.started),
            ticket: shard.writes,
            next: None,
        };
        if std::mem::take(&mut state.permit) {
            ended.next = self.bulkhead.leave();
        }
        drop(state);
        store(&flight.key, &mut ended);
        Ok(ended)
    }

    /// How long the fetch of `key` that goes on here may still take, in ms.
    pub fn leading(&self, key: &[u8]) -> Option<u64> {
        let leader = self.shard(key).flights.get(key)?.leader.load(Ordering::Acquire);
        let hard = lock(&self.leases).given.get(&leader)?.hard;
        Some(hard.saturating_sub(self.clock.now_ms()))
    }

    /// How the holder of `lease` said that its value is to be stored.
    pub fn put_of(&self, lease: u64) -> Option<Put> {
        let flight = lock(&self.leases).given.get(&lease)?.flight.clone();
        let put = lock(&flight.state).put.clone();
        Some(put)
    }

    /// Delivers `answer` to the waiters of a flight that has ended, and lets the next one lead.
    pub fn deliver(&self, ended: Ended<S>, answer: impl Fn() -> Answer) {
        for waiter in ended.waiters {
            // One that has left is no loss: it is not a lead.
            drop(waiter.sink.finish(answer()));
        }
        if let Some(next) = ended.next {
            self.promote_permitted(&next);
        }
    }

    /// Runs `write` under the lock of the shard of `key`, after the flight of that key was voided.
    pub fn write<R>(&self, key: &[u8], write: impl FnOnce() -> R) -> R {
        self.write_with_ticket(key, |_| write())
    }

    /// As [`Table::write`]; `write` gets the ticket that is good until the next write.
    pub fn write_with_ticket<R>(&self, key: &[u8], write: impl FnOnce(u64) -> R) -> R {
        let mut shard = self.shard(key);
        shard.writes += 1;
        if let Some(flight) = shard.flights.remove(key) {
            lock(&flight.state).void = true;
        }
        write(shard.writes)
    }

    /// Voids every flight, then runs `write` while no load can store.
    pub fn write_all<R>(&self, write: impl FnOnce() -> R) -> R {
        let mut shards: Vec<_> = self.shards.iter().map(lock).collect();
        for shard in &mut shards {
            shard.writes += 1;
            for (_, flight) in shard.flights.drain() {
                lock(&flight.state).void = true;
            }
        }
        write()
    }

    /// A ticket for a load of `key` that is no flight: [`Table::store`] takes it back.
    pub fn ticket(&self, key: &[u8]) -> u64 {
        self.shard(key).writes
    }

    /// Runs `store` under the lock of the shard of `key`, unless a write came since the ticket was taken.
    pub fn store(&self, key: &[u8], ticket: u64, store: impl FnOnce()) {
        let shard = self.shard(key);
        if shard.writes == ticket || is_broken(Mutant::NoTicket) {
            store();
        }
    }

    /// The waiters of fetches whose time is over; their keys are free and late answers are refused.
    pub fn expire(&self) -> Vec<Ended<S>> {
        let now = self.clock.now_ms();
        let due: Vec<u64> = {
            let leases = lock(&self.leases);
            leases.hard.iter().take_while(|(at, _)| *at <= now).map(|(_, lease)| *lease).collect()
        };
        due.into_iter().filter_map(|lease| self.end(lease, |_, _| ()).ok()).collect()
    }

    /// The waiters of slow fetches that have a stale value to go on with; the fetches go on.
    pub fn give_stale(&self) -> Vec<(VecDeque<Waiter>, S)> {
        let now = self.clock.now_ms();
        let mut leases = lock(&self.leases);
        let mut slow = Vec::new();
        while let Some((at, lease)) = leases.soft.first().copied()
            && at <= now
        {
            leases.soft.pop_first();
            slow.extend(leases.given.get(&lease).map(|given| given.flight.clone()));
        }
        drop(leases);
        slow.into_iter()
            .filter_map(|flight| {
                let mut state = lock(&flight.state);
                let stale = state.stale.clone()?;
                Some((std::mem::take(&mut state.waiters), stale))
            })
            .collect()
    }

    /// Marks the flight of a probe: what it brings is not stored, because what stands there now is not ours to
    /// overwrite.
    pub fn keep_out(&self, flight: &Arc<Flight<S>>) {
        lock(&flight.state).void = true;
    }

    /// Whether [`Table::expire`] has anything to look at, or will have: a flight without a lease may be given one
    /// by any thread.
    pub fn has_flights(&self) -> bool {
        self.alive.load(Ordering::SeqCst) > 0
    }

    /// Whether any lease is out.
    #[cfg(all(test, feature = "shuttle"))]
    pub fn has_leases(&self) -> bool {
        !lock(&self.leases).given.is_empty()
    }

    /// Takes every waiter of every flight: the cache closes.
    pub fn close(&self) -> Vec<Waiter> {
        let mut waiters = Vec::new();
        for shard in &self.shards {
            let flights: Vec<_> = lock(shard).flights.drain().map(|(_, flight)| flight).collect();
            for flight in flights {
                let mut state = lock(&flight.state);
                state.void = true;
                waiters.extend(state.waiters.drain(..));
            }
        }
        // Flights that a write has voided are no longer in the map, but their waiters still wait.
        let led: Vec<_> = lock(&self.leases).given.values().map(|given| given.flight.clone()).collect();
        for flight in led {
            waiters.extend(lock(&flight.state).waiters.drain(..));
        }
        waiters
    }

    pub(super) fn shard(&self, key: &[u8]) -> MutexGuard<'_, Shard<S>> {
        let hash = self.hasher.hash_one(key);
        #[expect(clippy::cast_possible_truncation, reason = "only the low bits are wanted")]
        lock(&self.shards[hash as usize % SHARDS])
    }

    fn take_lease(&self, lease: u64) -> Option<Arc<Flight<S>>> {
        let mut leases = lock(&self.leases);
        let Given { flight, hard, soft } = leases.given.remove(&lease)?;
        leases.hard.remove(&(hard, lease));
        if let Some(soft) = soft {
            leases.soft.remove(&(soft, lease));
        }
        Some(flight)
    }

    /// Makes a lease on `flight` for a caller of `owner`.
    pub(super) fn lead(&self, flight: &Arc<Flight<S>>, state: &mut FlightState<S>, owner: u64, put: Put) -> Lease {
        let lease = next_id();
        self.loads.add(1);
        flight.leader.store(lease, Ordering::Release);
        state.owner = owner;
        state.put = put;
        state.started = self.clock.now_ms();
        state.moment = self.moment.load(Ordering::SeqCst);
        let hard = state.started.saturating_add(self.timeouts.hard);
        let soft = self.timeouts.soft.map(|soft| state.started.saturating_add(soft));
        let mut leases = lock(&self.leases);
        leases.given.insert(lease, Given { flight: flight.clone(), hard, soft });
        leases.hard.insert((hard, lease));
        if let Some(soft) = soft {
            leases.soft.insert((soft, lease));
        }
        Lease::new(lease, self.me.clone())
    }

    /// Lets the next caller of `flight` lead once the bulkhead has a permit.
    pub(super) fn promote(&self, flight: &Arc<Flight<S>>) {
        let exempt = {
            let mut state = lock(&flight.state);
            while state.waiters.front().is_some_and(|waiter| !waiter.sink.is_live()) {
                state.waiters.pop_front();
            }
            state.waiters.front().is_none_or(|waiter| waiter.exempt)
        };
        if exempt {
            self.hand_over(flight, false);
        } else if self.bulkhead.enter() {
            self.promote_permitted(flight);
        } else {
            self.queue_up(flight);
        }
    }

    fn queue_up(&self, flight: &Arc<Flight<S>>) {
        // A permit may have come back since it was refused: then it is ours.
        if self.bulkhead.queue(flight.clone()) {
            self.promote_permitted(flight);
        }
    }

    /// Lets the next caller of `flight` lead with a permit that was taken for it.
    fn promote_permitted(&self, flight: &Arc<Flight<S>>) {
        let mut flight = flight.clone();
        while !self.hand_over(&flight, true) {
            // Nobody waits there any more: the permit goes on.
            match self.bulkhead.leave() {
                Some(next) => flight = next,
                None => return,
            }
        }
    }

    /// Gives the lead to the first caller that takes it. False when there was none: the flight has ended.
    fn hand_over(&self, flight: &Arc<Flight<S>>, permit: bool) -> bool {
        loop {
            let (waiter, lease, blocked) = {
                let mut shard = self.shard(&flight.key);
                let mut state = lock(&flight.state);
                let Some(waiter) = next_live(&mut state.waiters) else {
                    remove(&mut shard, flight);
                    return false;
                };
                state.permit = permit;
                let lease = self.lead(flight, &mut state, waiter.owner, waiter.put.clone());
                (waiter, lease, take_blocked(&mut state))
            };
            deliver_all(blocked);
            match waiter.sink.finish(Answer::Lead(lease)) {
                Ok(()) => return true,
                // It left in between. The lease goes back by hand: dropping it would come here again from
                // inside, once for each caller that left.
                Err(Answer::Lead(lease)) => drop(self.take_lease(lease.into_id())),
                Err(_) => return true,
            }
            flight.leader.store(0, Ordering::Release);
        }
    }
}

impl<S: Clone + Send + Sync + 'static> Lessor for Table<S> {
    fn abandon(&self, lease: u64) {
        let Some(flight) = self.take_lease(lease) else { return };
        flight.leader.store(0, Ordering::Release);
        if std::mem::take(&mut lock(&flight.state).permit)
            && let Some(next) = self.bulkhead.leave()
        {
            self.promote_permitted(&next);
        }
        self.promote(&flight);
    }
}

/// Takes `flight` out of the map, unless a write has voided it and another took its place.
pub(super) fn remove<S>(shard: &mut Shard<S>, flight: &Arc<Flight<S>>) {
    if let Entry::Occupied(entry) = shard.flights.entry(flight.key.clone())
        && Arc::ptr_eq(entry.get(), flight)
    {
        entry.remove();
    }
}
