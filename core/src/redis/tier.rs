//! The tier: who is let in, for how long, and what an outcome means for breaker and connection.

use std::future::{Future, poll_fn};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout, timeout_at};

use super::address::Address;
use super::commands;
use super::connection::{Connection, Turn};
use super::landing;
use super::link::{Link, LinkSettings};
use super::order::Order;
use super::pending::Pending;
use super::trouble::Trouble;
use crate::clock::Clock;
use crate::error::Error;
use crate::resilience::Breaker;
use crate::stats::BreakerState;

/// Operations of one tier that may be in flight, those that wait for a connection included.
const MAX_IN_FLIGHT: usize = 10_000;

/// What a tier is told by the options.
pub(crate) struct Settings {
    /// The time of one operation, waiting for a connection included.
    pub l2_timeout: Duration,
    pub breaker: bool,
    /// The longest entry that is read.
    pub max_entry: usize,
    /// Where the format of the namespace is recorded.
    pub meta_key: Vec<u8>,
    /// What all entries of the namespace match.
    pub entry_pattern: Vec<u8>,
}

/// What was read.
pub(crate) struct Read {
    /// In the order of the keys. An entry that is too large comes as no bytes.
    pub values: Vec<Option<Bytes>>,
    /// The server's time after the read or a little later, in ms since 1970.
    pub server_now: u64,
}

/// An entry to store: its key, its bytes, and how long the server keeps it.
pub(crate) type Write = (Vec<u8>, Bytes, Duration);

/// The shared tier of one cache in one process.
pub(crate) struct Tier {
    pub(super) l2_timeout: Duration,
    entry_pattern: Vec<u8>,
    pub(super) link: Arc<Link>,
    pub(super) breaker: Arc<Breaker>,
    pub(super) pending: Arc<Pending>,
    order: Arc<Order>,
    in_flight: AtomicUsize,
    /// Notified when the last operation in flight ends, and when all that were asked for have begun.
    quiet: Arc<Notify>,
    closed: AtomicBool,
    /// Whether a task lands what is pending.
    pub(super) landing: AtomicBool,
    me: Weak<Tier>,
}

impl Tier {
    /// A tier. Starts no thread and opens no socket: the first operation does.
    pub fn new(address: Address, settings: Settings) -> Arc<Tier> {
        let Settings { l2_timeout, breaker, max_entry, meta_key, entry_pattern } = settings;
        let breaker = Arc::new(Breaker::new(breaker, Clock::default()));
        let pending = Arc::new(Pending::default());
        let quiet = Arc::new(Notify::new());
        let link = LinkSettings { address, meta_key, max_entry };
        Arc::new_cyclic(|me| Tier {
            l2_timeout,
            entry_pattern,
            link: Arc::new(Link::new(link, breaker.clone(), pending.clone())),
            breaker,
            pending,
            order: Arc::new(Order::new(quiet.clone())),
            in_flight: AtomicUsize::new(0),
            quiet,
            closed: AtomicBool::new(false),
            landing: AtomicBool::new(false),
            me: me.clone(),
        })
    }

    /// Runs `work`, whose operations on this tier begin in the order of these calls.
    pub fn run(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.order.begin(work);
    }

    /// Reads entries, in one round trip. A key whose invalidation was pending when this began is absent.
    ///
    /// # Errors
    /// `Unavailable`, `Overloaded`, `Unsupported` (a namespace of another format), `Closed`.
    pub async fn get_many(&self, keys: &[Vec<u8>]) -> Result<Read, Error> {
        let read = self.operate(async |deadline, used| {
            let (connection, turn) = self.take_turn(deadline, used).await?;
            // A deletion that lands while the value is on its way leaves the queue before the value is here.
            let pending: Vec<bool> = keys.iter().map(|key| self.pending.contains(key)).collect();
            let replies = connection.exchange(commands::get(keys), Some(turn)).await?;
            let mut values = commands::values(replies, keys.len())?;
            for (value, pending) in values.iter_mut().zip(pending) {
                if pending {
                    *value = None;
                }
            }
            Ok(Read { values, server_now: connection.time.late() })
        });
        read.await.map_err(|trouble| trouble.into_error("get"))
    }

    /// Stores entries, in one round trip. `entries` makes them from the server's time now or a little earlier, in
    /// ms since 1970, at the moment in which they leave: writes are stored in the order of the calls.
    ///
    /// An acknowledged entry settles the pending invalidation of its key, see `pending`.
    ///
    /// # Errors
    /// As [`Tier::get_many`]. Some of the entries, or all, may have been stored all the same.
    pub async fn set_many(&self, entries: impl FnOnce(u64) -> Vec<Write>) -> Result<(), Error> {
        let written = self.operate(async |deadline, used| {
            let (connection, turn) = self.take_turn(deadline, used).await?;
            let entries = entries(connection.time.early());
            let cover = self.pending.cover(entries.iter().map(|(key, _, _)| key), connection.uncertain);
            let replies = connection.exchange(commands::set(&entries), Some(turn)).await?;
            commands::all_stored(&replies)?;
            cover.settle();
            Ok(())
        });
        written.await.map_err(|trouble| trouble.into_error("set"))
    }

    /// Deletes keys, in one round trip.
    ///
    /// # Errors
    /// As [`Tier::get_many`]. Some of the keys, or all, may have been deleted all the same.
    pub async fn delete_many(&self, keys: &[Vec<u8>]) -> Result<(), Error> {
        let deleted = self.operate(async |deadline, used| {
            let (connection, turn) = self.take_turn(deadline, used).await?;
            let position = self.pending.position();
            let replies = connection.exchange(commands::unlink(keys), Some(turn)).await?;
            commands::all_deleted(&replies)?;
            self.pending.deleted(keys, position);
            Ok(())
        });
        deleted.await.map_err(|trouble| trouble.into_error("delete"))
    }

    /// Deletes every entry of the namespace. Entries stored meanwhile may be deleted as well.
    ///
    /// # Errors
    /// As [`Tier::get_many`]; `Unavailable` also where there was more to delete than fits into `l2_timeout`.
    pub async fn clear(&self) -> Result<(), Error> {
        let cleared = self.operate(async |deadline, used| {
            let (connection, turn) = self.take_turn(deadline, used).await?;
            self.sweep(&connection, Some(turn), self.l2_timeout, || Instant::now() < deadline).await
        });
        cleared.await.map_err(|trouble| trouble.into_error("clear"))
    }

    /// Deletes every entry over `connection`, as long as `go_on` says so between two steps. Each reply has
    /// `patience` to come.
    pub(super) async fn sweep(
        &self,
        connection: &Connection,
        mut turn: Option<Turn<'_>>,
        patience: Duration,
        go_on: impl Fn() -> bool,
    ) -> Result<(), Trouble> {
        let position = self.pending.position();
        // No server can make us delete what is not ours.
        let prefix = self.entry_pattern.strip_suffix(b"*").unwrap_or(&self.entry_pattern);
        let mut cursor = b"0".to_vec();
        loop {
            let scan = commands::scan(&cursor, &self.entry_pattern);
            let (next, mut found) =
                commands::scanned(soon(patience, connection.exchange(scan, turn.take())).await?)?;
            found.retain(|key| key.starts_with(prefix));
            if !found.is_empty() {
                let unlink = commands::unlink(&found);
                commands::all_deleted(&soon(patience, connection.exchange(unlink, None)).await?)?;
            }
            if next == b"0" {
                self.pending.landed_clear(position);
                return Ok(());
            }
            if !go_on() {
                return Err(Trouble::Unfinished);
            }
            cursor = next;
        }
    }

    /// Queues the invalidation of a key: it is retried until it lands, whatever else happens on this tier.
    pub fn queue_invalidation(&self, key: Vec<u8>) {
        self.pending.add(key);
        self.land_behind();
    }

    /// Queues the invalidation of the whole namespace.
    pub fn queue_clear(&self) {
        self.pending.add_clear();
        self.land_behind();
    }

    fn land_behind(&self) {
        if !self.closed.load(Ordering::Acquire) {
            landing::start(self, &self.me);
        }
    }

    /// Whether an invalidation of `key` has not landed.
    pub fn is_pending(&self, key: &[u8]) -> bool {
        self.pending.contains(key)
    }

    /// How many invalidations have not landed; one of the whole namespace counts as one.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// An entry of another key came back: what brought it is not believed any more.
    pub fn report_wrong_key(&self) {
        self.link.give_up_current();
    }

    pub fn breaker_state(&self) -> BreakerState {
        self.breaker.state()
    }

    /// Gives what is on its way, and what is pending, at most `time`, and ends the connection. Returns how much
    /// is left.
    pub async fn close(&self, time: Duration) -> usize {
        let deadline = Instant::now() + time;
        loop {
            let mut quiet = std::pin::pin!(self.quiet.notified());
            let mut changed = std::pin::pin!(self.pending.changed());
            quiet.as_mut().enable();
            changed.as_mut().enable();
            if self.left() == 0 {
                break;
            }
            let either = poll_fn(|cx| match quiet.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(()),
                Poll::Pending => changed.as_mut().poll(cx),
            });
            if timeout_at(deadline, either).await.is_err() {
                break;
            }
        }
        let left = self.left();
        self.end();
        left
    }

    fn left(&self) -> usize {
        self.pending.len() + self.order.open() + self.in_flight.load(Ordering::Acquire)
    }

    fn end(&self) {
        self.closed.store(true, Ordering::Release);
        self.link.close();
    }

    /// Runs `work` with everything that an operation of a user is subject to. `work` gets its deadline, and notes
    /// the connection that it uses.
    async fn operate<T>(
        &self,
        work: impl AsyncFnOnce(Instant, &mut Option<Arc<Connection>>) -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Trouble::Closed);
        }
        let _slot = self.admit()?;
        let permit = self.breaker.permit().ok_or(Trouble::CutOff)?;
        let deadline = Instant::now() + self.l2_timeout;
        let mut used = None;
        let outcome = match timeout_at(deadline, work(deadline, &mut used)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Trouble::Timeout),
        };
        if let Some(connection) = &used {
            self.judge(connection, &outcome);
        }
        match &outcome {
            Ok(_) => permit.success(),
            Err(trouble) if trouble.is_answer() => permit.success(),
            Err(trouble) if trouble.counts() => permit.failure(),
            Err(_) => drop(permit),
        }
        outcome
    }

    async fn take_turn(
        &self,
        deadline: Instant,
        used: &mut Option<Arc<Connection>>,
    ) -> Result<(Arc<Connection>, Turn<'_>), Trouble> {
        let (connection, turn) = self.link.turn(deadline).await?;
        *used = Some(connection.clone());
        Ok((connection, turn))
    }

    /// Gives `connection` up where the outcome of an operation on it says so.
    pub(super) fn judge<T>(&self, connection: &Arc<Connection>, outcome: &Result<T, Trouble>) {
        let Err(trouble) = outcome else { return };
        let over = match trouble {
            Trouble::Timeout => connection.strike(),
            trouble => trouble.ends_connection(),
        };
        if over {
            self.link.give_up(connection);
        }
    }

    fn admit(&self) -> Result<Slot<'_>, Trouble> {
        let slot = Slot(self);
        if self.in_flight.fetch_add(1, Ordering::AcqRel) >= MAX_IN_FLIGHT {
            return Err(Trouble::Overloaded);
        }
        Ok(slot)
    }
}

/// What `work` comes to within `time`.
pub(super) async fn soon<T>(time: Duration, work: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
    timeout(time, work).await.unwrap_or(Err(Trouble::Timeout))
}

/// The place of an operation in flight.
struct Slot<'a>(&'a Tier);

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        if self.0.in_flight.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.quiet.notify_waiters();
        }
    }
}

impl Drop for Tier {
    fn drop(&mut self) {
        self.end();
    }
}
