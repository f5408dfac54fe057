//! A flight, and the callers that wait for it.

use std::collections::VecDeque;
use std::time::Duration;

use super::cycle::Leader;
use super::grip::Grip;
use super::sink::Sink;
use crate::codec::Codec;
use crate::host::Answer;
use crate::sync::{Arc, AtomicU64, Mutex, Ordering};
use crate::tags::TagSet;

/// One load of one key.
pub(crate) struct Flight<S> {
    pub key: Box<[u8]>,
    pub(super) leader: Leader,
    pub(super) state: Mutex<FlightState<S>>,
    _alive: Alive,
}

/// Counts the flights that exist, those among them that a write has taken out of the map.
struct Alive(Arc<AtomicU64>);

impl Alive {
    fn new(count: &Arc<AtomicU64>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Alive(count.clone())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

pub(super) struct FlightState<S> {
    pub waiters: VecDeque<Waiter>,
    /// A write came in between: what this flight brings is not stored.
    pub void: bool,
    pub stale: Option<S>,
    /// The lease in the shared tier.
    pub grip: Option<Grip>,
    /// The loop or thread that runs the fetch; 0 for none.
    pub owner: u64,
    pub permit: bool,
    pub put: Put,
    /// When the lead began, in ms of the clock.
    pub started: u64,
    /// The count of invalidations of tags then.
    pub moment: u64,
}

/// How a fetched value is to be stored, when its fulfil does not say.
#[derive(Clone, Default)]
pub(crate) struct Put {
    pub ttl: Duration,
    pub codec: Option<Codec>,
    pub tags: TagSet,
}

/// One caller that waits for a flight.
pub(crate) struct Waiter {
    pub sink: Arc<dyn Sink>,
    /// How this caller's fetch is to be stored, should it lead.
    pub put: Put,
    /// It holds leases itself, or belongs to a batch that has its permit: it passes the bulkhead, or it could
    /// wait there for a permit that only its own fetch would give back.
    pub exempt: bool,
    pub owner: u64,
    pub blocking: bool,
}

/// When a fetch is too slow, in milliseconds after its begin.
#[derive(Clone, Copy)]
pub(crate) struct Timeouts {
    /// Waiters get the stale value, if there is one.
    pub soft: Option<u64>,
    /// The key is free again, and waiters get an error.
    pub hard: u64,
}

/// A flight that has ended, on its way to its waiters.
pub(crate) struct Ended<S> {
    pub waiters: VecDeque<Waiter>,
    pub stale: Option<S>,
    pub put: Put,
    /// What it brought may not be stored.
    pub void: bool,
    /// The lease in the shared tier.
    pub grip: Option<Grip>,
    /// When the fetch began, in ms of the clock, and how long it took.
    pub started: u64,
    pub took: u64,
    /// The count of invalidations of tags when it began.
    pub moment: u64,
    /// As of [`Table::ticket`], taken at its end.
    pub ticket: u64,
    /// The next flight that may lead, now that a permit is free.
    pub(super) next: Option<Arc<Flight<S>>>,
}

impl<S> Flight<S> {
    pub fn new(key: &[u8], stale: Option<S>, alive: &Arc<AtomicU64>) -> Self {
        Flight {
            key: key.into(),
            leader: Arc::new(AtomicU64::new(0)),
            state: Mutex::new(FlightState {
                waiters: VecDeque::new(),
                void: false,
                stale,
                grip: None,
                owner: 0,
                permit: false,
                put: Put::default(),
                started: 0,
                moment: 0,
            }),
            _alive: Alive::new(alive),
        }
    }
}

/// Answers on their way out, for when all locks are released.
pub(super) type Deliveries = Vec<(Waiter, Answer)>;

pub(super) fn next_live(waiters: &mut VecDeque<Waiter>) -> Option<Waiter> {
    while let Some(waiter) = waiters.pop_front() {
        if waiter.sink.is_live() {
            return Some(waiter);
        }
    }
    None
}

/// The callers that block the very loop on which the new leader will run: they would wait for ever.
pub(super) fn take_blocked<S>(state: &mut FlightState<S>) -> Deliveries {
    let owner = state.owner;
    if owner == 0 {
        return Vec::new();
    }
    let (blocked, others) =
        state.waiters.drain(..).partition(|waiter: &Waiter| waiter.blocking && waiter.owner == owner);
    state.waiters = others;
    let blocked: VecDeque<Waiter> = blocked;
    blocked.into_iter().map(|waiter| (waiter, Answer::Bypass)).collect()
}

pub(super) fn deliver_all(deliveries: Deliveries) {
    for (waiter, answer) in deliveries {
        drop(waiter.sink.finish(answer));
    }
}
