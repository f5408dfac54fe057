//! The supervisor of a tier's connection: one attempt at a time, going on behind while callers give up; one order
//! in which commands leave.
//!
//! ```text
//! idle --somebody asks--> connecting --handshake done--> up --lost, cut or given up--> waiting --pause over-+
//!  ^                          |  ^                                                       |  ^               |
//!  +-- nobody asked for 60 s -+--|------------------- failed ----------------------------+--+               |
//!                                +--------------------------------------------------------------------------+
//! ```
//!
//! **Order.** Jobs are done in the order of [`Link::submit`]: at once, on the caller's thread, while the connection is
//! up; otherwise when it is, by the supervisor, those that waited first. One lock, of the gate, sees to that. A job that
//! is done at once runs under it, and under whatever its caller holds: it may queue a request and nothing else. One that
//! has waited runs under no lock.
//!
//! Another kind of connection (for pushes, say) is another link: nothing here knows what is sent.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{Instant, sleep, timeout};

use super::address::Address;
use super::connection::Connection;
use super::handshake::Predecessor;
use super::pending::Pending;
use super::tags::TagSpace;
use super::tier::Tier;
use super::trouble::Trouble;
use crate::clock::coarse_ms;
use crate::host::process;
use crate::resilience::{Backoff, Breaker};
use crate::wire::{Driven, Kick};

/// The time for one attempt, from the look-up of the name to the end of the handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// The pause after a look at a namespace that is not ours to touch.
const REFUSED_PAUSE: Duration = Duration::from_secs(5);
/// A connection that held for less does not make the next pause short again.
const STABLE: Duration = Duration::from_secs(1);
/// How often the server's time is asked.
const REFRESH: Duration = Duration::from_secs(30);
/// How often the deadlines of those that wait are looked at, in milliseconds, at least.
const LOOK: u64 = 10;
/// Without a call for so long, in milliseconds, a lost connection is not made anew.
const INTEREST: u64 = 60_000;

/// What a link needs to know.
pub(super) struct LinkSettings {
    pub address: Arc<Address>,
    pub meta_key: Option<Vec<u8>>,
    /// The longest entry that is let in.
    pub max_entry: usize,
    /// Whose connection it is.
    pub tier: Weak<Tier>,
    pub tags: Arc<TagSpace>,
}

/// The connection of a tier, whatever state it is in.
pub(super) struct Link {
    settings: LinkSettings,
    breaker: Arc<Breaker>,
    pending: Arc<Pending>,
    phase: watch::Sender<Phase>,
    gate: Mutex<Gate>,
    /// When somebody last asked for a connection, in ms of `coarse_ms`.
    asked: AtomicU64,
    predecessor: Mutex<Predecessor>,
    /// Which run of which server the last connection was to.
    run: Mutex<Option<Vec<u8>>>,
    supervisor: Mutex<Option<AbortHandle>>,
    driven: Arc<Driven>,
}

/// What is to be done with the connection once there is one, or without: then it is told why, and puts off what follows
/// from that, see [`later`](super::connection::later).
type Job = Box<dyn FnOnce(Result<Turn<'_>, Trouble>) -> Kick + Send>;

/// A job's turn to queue requests.
pub(super) struct Turn<'a> {
    pub connection: &'a Arc<Connection>,
    /// Whether it comes later than it was asked for. If not, the caller's locks are held.
    pub waited: bool,
}

#[derive(Default)]
struct Gate {
    /// The connection, while it is up and nobody waits.
    current: Option<Arc<Connection>>,
    waiting: Vec<Waiting>,
    /// Whether a task looks at the deadlines of those that wait.
    watched: bool,
}

struct Waiting {
    /// In ms of [`coarse_ms`].
    deadline: u64,
    job: Job,
}

#[derive(Clone)]
enum Phase {
    Idle,
    Connecting,
    /// Between two attempts.
    Waiting {
        /// In ms of [`coarse_ms`].
        next: u64,
        why: Trouble,
    },
    Up(Arc<Connection>),
    Closed,
}

impl Link {
    /// A link that nobody has asked yet: it starts nothing.
    pub fn new(settings: LinkSettings, breaker: Arc<Breaker>, pending: Arc<Pending>) -> Self {
        Link {
            settings,
            breaker,
            pending,
            phase: watch::Sender::new(Phase::Idle),
            gate: Mutex::default(),
            asked: AtomicU64::new(0),
            predecessor: Mutex::new(Predecessor::None),
            run: Mutex::default(),
            supervisor: Mutex::default(),
            driven: Arc::default(),
        }
    }

    /// Who drove its connections so far.
    pub fn driven(&self) -> &Driven {
        &self.driven
    }

    /// Does `job` with the connection, once there is one; what it queues is sent in the order of these calls. Fails at
    /// once where nothing can be expected before `deadline` (ms of [`coarse_ms`]), and when that has come.
    ///
    /// What it returns is to be done when no lock is held.
    pub fn submit(
        self: &Arc<Self>,
        deadline: u64,
        job: impl FnOnce(Result<Turn<'_>, Trouble>) -> Kick + Send + 'static,
    ) -> Kick {
        self.asked.store(coarse_ms(), Ordering::Relaxed);
        let mut gate = self.gate();
        if let Some(connection) = &gate.current {
            return job(Ok(Turn { connection, waited: false }));
        }
        let idle = match &*self.phase.borrow() {
            Phase::Closed => return job(Err(Trouble::Closed)),
            Phase::Waiting { next, why } if *next >= deadline => return job(Err(why.clone())),
            phase => matches!(phase, Phase::Idle),
        };
        gate.waiting.push(Waiting { deadline, job: Box::new(job) });
        let watched = std::mem::replace(&mut gate.watched, true);
        drop(gate);
        if idle {
            self.start();
        }
        if !watched {
            process().runtime().spawn(watch_deadlines(Arc::downgrade(self)));
        }
        Kick::NONE
    }

    /// The connection, once there is one.
    pub async fn up(self: &Arc<Self>, deadline: u64) -> Result<Arc<Connection>, Trouble> {
        let (sender, receiver) = oneshot::channel();
        let job = move |turn: Result<Turn<'_>, Trouble>| {
            // Who asked may have gone.
            drop(sender.send(turn.map(|turn| turn.connection.clone())));
            Kick::NONE
        };
        self.submit(deadline, job).go();
        receiver.await.unwrap_or(Err(Trouble::Closed))
    }

    /// Gives `connection` up, if it is still the one.
    pub fn give_up(&self, connection: &Arc<Connection>) {
        self.phase.send_if_modified(|phase| {
            let current = matches!(phase, Phase::Up(current) if Arc::ptr_eq(current, connection));
            if current {
                *phase = Phase::Connecting;
            }
            current
        });
        self.leave(connection);
        connection.cut();
    }

    /// Nobody is sent to `connection` any more.
    fn leave(&self, connection: &Arc<Connection>) {
        let left = self.gate().current.take_if(|current| Arc::ptr_eq(current, connection));
        // The last holder of a connection ends it, and calls those that wait: not under the lock.
        drop(left);
    }

    /// The present connection, if there is one.
    pub fn current(&self) -> Option<Arc<Connection>> {
        match &*self.phase.borrow() {
            Phase::Up(connection) => Some(connection.clone()),
            _ => None,
        }
    }

    /// Gives the present connection up, if there is one.
    pub fn give_up_current(&self) {
        if let Some(connection) = self.current() {
            self.give_up(&connection);
        }
    }

    /// Ends everything, for good.
    pub fn close(&self) {
        let last = self.phase.send_replace(Phase::Closed);
        let current = self.gate().current.take();
        drop(current);
        self.turn_away(|_| true, &Trouble::Closed);
        if let Some(supervisor) = self.supervisor.lock().unwrap_or_else(PoisonError::into_inner).take() {
            supervisor.abort();
        }
        if let Phase::Up(connection) = last {
            connection.cut();
        }
    }

    fn start(self: &Arc<Self>) {
        let begun = self.phase.send_if_modified(|phase| {
            let idle = matches!(phase, Phase::Idle);
            if idle {
                *phase = Phase::Connecting;
            }
            idle
        });
        if !begun {
            return;
        }
        let task = process().runtime().spawn(supervise(Arc::downgrade(self)));
        *self.supervisor.lock().unwrap_or_else(PoisonError::into_inner) = Some(task.abort_handle());
        // Closed in between, by who found no task to end.
        if matches!(*self.phase.borrow(), Phase::Closed) {
            task.abort();
        }
    }

    /// Moves on to `next`; false when the link was closed.
    fn enter(&self, next: Phase) -> bool {
        self.phase.send_if_modified(|phase| {
            let open = !matches!(phase, Phase::Closed);
            if open {
                *phase = next;
            }
            open
        })
    }

    /// The connection is up: those that waited go first.
    fn open(&self, connection: &Arc<Connection>) -> bool {
        if !self.enter(Phase::Up(connection.clone())) {
            return false;
        }
        loop {
            let mut gate = self.gate();
            // Given up, or closed: who still waits has another one to wait for.
            if !matches!(&*self.phase.borrow(), Phase::Up(current) if Arc::ptr_eq(current, connection)) {
                return true;
            }
            let waiting = std::mem::take(&mut gate.waiting);
            if waiting.is_empty() {
                gate.current = Some(connection.clone());
                return true;
            }
            // Those that come meanwhile wait for these.
            drop(gate);
            for waiting in waiting {
                (waiting.job)(Ok(Turn { connection, waited: true })).go();
            }
        }
    }

    /// Nothing is to be expected before `next`: those who cannot wait for that are told why.
    fn pause(&self, next: u64, why: Trouble) -> bool {
        let entered = self.enter(Phase::Waiting { next, why: why.clone() });
        self.turn_away(|deadline| deadline <= next, &why);
        entered
    }

    /// Fails those that wait and whose deadline is of a kind. Returns the first deadline that is left.
    fn turn_away(&self, of_a_kind: impl Fn(u64) -> bool, why: &Trouble) -> Option<u64> {
        let mut gate = self.gate();
        let turned_away: Vec<Waiting> =
            gate.waiting.extract_if(.., |waiting| of_a_kind(waiting.deadline)).collect();
        let next = gate.waiting.iter().map(|waiting| waiting.deadline).min();
        drop(gate);
        for waiting in turned_away {
            (waiting.job)(Err(why.clone())).go();
        }
        next
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the supervision where nobody wants a connection any more.
    fn rest(&self) -> bool {
        if self.is_wanted() {
            return false;
        }
        // Under the lock: who comes now either waits already, or finds the link idle and starts it.
        let gate = self.gate();
        gate.waiting.is_empty() && self.enter(Phase::Idle)
    }

    /// Whether a lost connection is to be made anew.
    fn is_wanted(&self) -> bool {
        !self.pending.is_empty() || coarse_ms().saturating_sub(self.asked.load(Ordering::Relaxed)) < INTEREST
    }

    async fn attempt(&self) -> Result<(Arc<Connection>, JoinHandle<()>), Trouble> {
        let LinkSettings { address, meta_key, max_entry, tier, tags } = &self.settings;
        let predecessor = self.predecessor().clone();
        let queued = || self.pending.position();
        let opening = Connection::open(
            address,
            meta_key.as_deref(),
            tags,
            *max_entry,
            &predecessor,
            queued,
            self.driven.clone(),
        );
        let late = || Trouble::lost("the server did not answer within 5 s of connecting");
        let (connection, driver) = timeout(CONNECT_TIMEOUT, opening).await.map_err(|_| late())??;
        *self.predecessor() = connection.as_predecessor();
        if let Some(run) = &connection.run {
            let last = self.run.lock().unwrap_or_else(PoisonError::into_inner).replace(run.clone());
            // Before anybody is let in: what is pending is not read.
            if last.is_some_and(|last| last != *run)
                && let Some(tier) = tier.upgrade()
            {
                tier.replay();
            }
        }
        Ok((Arc::new(connection), driver))
    }

    fn predecessor(&self) -> std::sync::MutexGuard<'_, Predecessor> {
        self.predecessor.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps a link connected as long as somebody wants it.
async fn supervise(link: Weak<Link>) {
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    loop {
        let Some(this) = link.upgrade() else { return };
        let why = match this.attempt().await {
            Ok((connection, mut driver)) => {
                // Before anybody is let in: a probe of the breaker need not wait.
                this.breaker.reconnected();
                if !this.open(&connection) {
                    return;
                }
                drop(this);
                let since = Instant::now();
                attend(&connection, &mut driver).await;
                if let Some(this) = link.upgrade() {
                    this.leave(&connection);
                }
                if since.elapsed() >= STABLE {
                    backoff.reset();
                }
                Trouble::lost("it was lost")
            }
            Err(why) => {
                drop(this);
                why
            }
        };
        let Some(this) = link.upgrade() else { return };
        if this.rest() {
            return;
        }
        let pause = if matches!(why, Trouble::Refused(_)) { REFUSED_PAUSE } else { backoff.pause() };
        if !this.pause(coarse_ms() + millis(pause), why) {
            return;
        }
        drop(this);
        sleep(pause).await;
    }
}

/// Keeps the server's time fresh until the connection ends.
async fn attend(connection: &Connection, driver: &mut JoinHandle<()>) {
    while timeout(REFRESH, &mut *driver).await.is_err() {
        let refreshed = timeout(CONNECT_TIMEOUT, connection.refresh_time()).await;
        if !matches!(refreshed, Ok(Ok(()))) {
            connection.cut();
            // The driver has been told to stop; it may have ended by itself.
            let _ = driver.await;
            return;
        }
    }
}

/// Fails those that wait for a connection when their time is over; ends when nobody waits.
async fn watch_deadlines(link: Weak<Link>) {
    loop {
        let Some(this) = link.upgrade() else { return };
        let now = coarse_ms();
        let next = this.turn_away(|deadline| deadline <= now, &Trouble::Timeout);
        let Some(next) = next else {
            let mut gate = this.gate();
            if gate.waiting.is_empty() {
                gate.watched = false;
                return;
            }
            continue;
        };
        drop(this);
        // Those that come meanwhile wait for as long; who has less time is looked at a little later.
        sleep(Duration::from_millis((next - now).min(LOOK))).await;
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX / 4)
}
