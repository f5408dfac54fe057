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
//! Another kind of connection (for pushes, say) is another link: nothing here knows what is sent.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{Instant, sleep, timeout};

use super::address::Address;
use super::connection::{Connection, Turn};
use super::handshake::Predecessor;
use super::pending::Pending;
use super::trouble::Trouble;
use crate::clock::boottime_ms;
use crate::host::process;
use crate::resilience::{Backoff, Breaker};

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
/// Without a call for so long, in milliseconds, a lost connection is not made anew.
const INTEREST: u64 = 60_000;

/// What a link needs to know.
pub(super) struct LinkSettings {
    pub address: Address,
    pub meta_key: Vec<u8>,
    /// The longest entry that is let in.
    pub max_entry: usize,
}

/// The connection of a tier, whatever state it is in.
pub(super) struct Link {
    settings: LinkSettings,
    breaker: Arc<Breaker>,
    pending: Arc<Pending>,
    phase: watch::Sender<Phase>,
    /// One permit: who holds it is next to hand commands over. Permits are given in the order of asking, so
    /// operations that waited for a connection leave in the order in which they came.
    turnstile: Semaphore,
    /// When somebody last asked for a connection, in ms since boot.
    asked: AtomicU64,
    predecessor: Mutex<Predecessor>,
    supervisor: Mutex<Option<AbortHandle>>,
}

#[derive(Clone)]
enum Phase {
    Idle,
    Connecting,
    /// Between two attempts.
    Waiting {
        next: Instant,
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
            turnstile: Semaphore::new(1),
            asked: AtomicU64::new(0),
            predecessor: Mutex::new(Predecessor::None),
            supervisor: Mutex::default(),
        }
    }

    /// The connection, and the turn to hand commands over: in the order of asking. Fails at once where nothing
    /// can be expected before `deadline`; it is for the caller to stop waiting then.
    pub async fn turn(self: &Arc<Self>, deadline: Instant) -> Result<(Arc<Connection>, Turn<'_>), Trouble> {
        let turn = self.turnstile.acquire().await.map_err(|_| Trouble::Closed)?;
        Ok((self.up(deadline).await?, turn))
    }

    /// The connection, once there is one.
    pub async fn up(self: &Arc<Self>, deadline: Instant) -> Result<Arc<Connection>, Trouble> {
        self.asked.store(boottime_ms(), Ordering::Relaxed);
        if let Phase::Up(connection) = &*self.phase.borrow() {
            return Ok(connection.clone());
        }
        let mut phase = self.phase.subscribe();
        loop {
            let now = phase.borrow_and_update().clone();
            match now {
                Phase::Up(connection) => return Ok(connection),
                Phase::Closed => return Err(Trouble::Closed),
                Phase::Idle => self.start(),
                Phase::Waiting { next, why } if next >= deadline => return Err(why),
                Phase::Connecting | Phase::Waiting { .. } => {}
            }
            phase.changed().await.map_err(|_| Trouble::Closed)?;
        }
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
        connection.cut();
    }

    /// Gives the present connection up, if there is one.
    pub fn give_up_current(&self) {
        let current = match &*self.phase.borrow() {
            Phase::Up(connection) => Some(connection.clone()),
            _ => None,
        };
        if let Some(connection) = current {
            self.give_up(&connection);
        }
    }

    /// Ends everything, for good.
    pub fn close(&self) {
        let last = self.phase.send_replace(Phase::Closed);
        self.turnstile.close();
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

    /// Whether a lost connection is to be made anew.
    fn is_wanted(&self) -> bool {
        !self.pending.is_empty() || boottime_ms().saturating_sub(self.asked.load(Ordering::Relaxed)) < INTEREST
    }

    async fn attempt(&self) -> Result<(Arc<Connection>, JoinHandle<()>), Trouble> {
        let LinkSettings { address, meta_key, max_entry } = &self.settings;
        let predecessor = self.predecessor().clone();
        let queued = || self.pending.position();
        let opening = Connection::open(address, meta_key, *max_entry, &predecessor, queued);
        let late = || Trouble::lost("the server did not answer within 5 s of connecting");
        let (connection, driver) = timeout(CONNECT_TIMEOUT, opening).await.map_err(|_| late())??;
        *self.predecessor() = connection.as_predecessor();
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
                if !this.enter(Phase::Up(connection.clone())) {
                    return;
                }
                this.breaker.reconnected();
                drop(this);
                let since = Instant::now();
                attend(&connection, &mut driver).await;
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
        if !this.is_wanted() {
            this.enter(Phase::Idle);
            return;
        }
        let pause = if matches!(why, Trouble::Refused(_)) { REFUSED_PAUSE } else { backoff.pause() };
        let next = Instant::now() + pause;
        if !this.enter(Phase::Waiting { next, why }) {
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
