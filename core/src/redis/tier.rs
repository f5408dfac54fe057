//! The tier: who is let in, for how long, and what an outcome means for breaker and connection.

use std::future::{Future, poll_fn};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout, timeout_at};

use super::address::Address;
use super::admission::{InFlight, Slot};
use super::commands;
use super::connection::{Connection, later};
use super::landing;
use super::link::{Link, LinkSettings, Turn};
use super::pending::Pending;
use super::plain::Plain;
use super::recent::Recent;
use super::tags::TagSpace;
use super::trouble::Trouble;
use crate::clock::{Clock, coarse_ms};
use crate::error::Error;
use crate::key::Names;
use crate::resilience::{Breaker, Permit};
use crate::stats::BreakerState;
use crate::tags::{Look, Looked};
use crate::wire::{Driven, Failure, Kick, Outbound, Replies};

/// What a tier is told by the options.
pub(crate) struct Settings {
    /// The time of one operation, waiting for a connection included.
    pub l2_timeout: Duration,
    pub breaker: bool,
    /// The longest entry that is read.
    pub max_entry: usize,
    /// Where the format of the namespace is recorded; nowhere for plain entries.
    pub meta_key: Option<Vec<u8>>,
    /// How plain entries are read, where they are.
    pub plain: Option<Plain>,
    /// Where other programs tell keys that they have changed.
    pub subscribed: Option<Bytes>,
    /// Where keys are told to them.
    pub published: Option<Bytes>,
    /// What all entries of the namespace match.
    pub entry_pattern: Vec<u8>,
    /// Where writes are counted.
    pub sequence: Vec<u8>,
    /// Where they are told.
    pub channel: Vec<u8>,
    /// From one beat of the push connection to the next.
    pub beat: Duration,
    /// How many bytes stand before the key in the name of an entry.
    pub before_key: usize,
    /// Where tags are.
    pub tags: TagSpace,
}

/// What was read: an entry, or one for each key in their order. An entry that is too large comes as no bytes.
pub(crate) struct Read<V> {
    pub found: V,
    /// The server's time after the read or a little later, in ms since 1970.
    pub server_now: u64,
    /// What versions of tags were seen in passing.
    pub looked: Looked,
    /// Whether the server has our scripts: what it holds has a version of the empty tag.
    pub fenced: bool,
}

impl<V> Read<V> {
    /// The same read, of which something else is told.
    pub fn map<W>(self, tell: impl FnOnce(V) -> W) -> Read<W> {
        let Read { found, server_now, looked, fenced } = self;
        Read { found: tell(found), server_now, looked, fenced }
    }
}

/// An entry to store: its key, its bytes, and how long the server keeps it.
pub(crate) type Write = (Vec<u8>, Bytes, Duration);

/// The shared tier of one cache in one process.
pub(crate) struct Tier {
    pub(super) l2_timeout: Duration,
    pub(super) entry_pattern: Vec<u8>,
    pub(super) sequence: Bytes,
    pub(super) channel: Bytes,
    pub(super) beat: Duration,
    pub(super) address: Arc<Address>,
    pub(super) meta_key: Option<Vec<u8>>,
    pub(super) plain: Option<Plain>,
    pub(super) subscribed: Option<Bytes>,
    pub(super) published: Option<Bytes>,
    pub(super) listening: Mutex<Option<AbortHandle>>,
    pub(super) before_key: usize,
    pub(super) tags: Arc<TagSpace>,
    pub(super) link: Arc<Link>,
    pub(super) breaker: Arc<Breaker>,
    pub(super) pending: Arc<Pending>,
    pub(super) recent: Recent,
    pub(super) in_flight: InFlight,
    pub(super) closed: AtomicBool,
    /// Whether a task lands what is pending.
    pub(super) landing: AtomicBool,
    /// The clear whose old entries are being freed; 0 while none are.
    pub(super) swept: AtomicU64,
    me: Weak<Tier>,
}

impl Tier {
    /// A tier. Starts no thread and opens no socket: the first operation does.
    pub fn new(address: Address, settings: Settings) -> Arc<Tier> {
        let Settings { l2_timeout, breaker, max_entry, meta_key, entry_pattern, before_key, .. } = settings;
        let Settings { sequence, channel, tags, beat, plain, subscribed, published, .. } = settings;
        let (address, tags) = (Arc::new(address), Arc::new(tags));
        let breaker = Arc::new(Breaker::new(breaker, Clock::default()));
        let pending = Arc::new(Pending::default());
        let link = |me: &Weak<Tier>| LinkSettings {
            address: address.clone(),
            meta_key: meta_key.clone(),
            max_entry,
            tier: me.clone(),
            tags: tags.clone(),
        };
        Arc::new_cyclic(|me| Tier {
            l2_timeout,
            entry_pattern,
            sequence: sequence.into(),
            channel: channel.into(),
            beat,
            address: address.clone(),
            meta_key: meta_key.clone(),
            plain: plain.clone(),
            subscribed: subscribed.clone(),
            published: published.clone(),
            listening: Mutex::default(),
            before_key,
            tags: tags.clone(),
            link: Arc::new(Link::new(link(me), breaker.clone(), pending.clone())),
            breaker,
            pending,
            recent: Recent::default(),
            in_flight: InFlight::default(),
            closed: AtomicBool::new(false),
            landing: AtomicBool::new(false),
            swept: AtomicU64::new(0),
            me: me.clone(),
        })
    }

    /// Lets an operation in, whose request has so many bytes. It is one of those in flight until `done` was called.
    ///
    /// # Errors
    /// `Overloaded`: there are too many. Nothing has been done.
    pub fn admit(self: &Arc<Self>, operation: &'static str, bytes: usize) -> Result<Slot, Error> {
        Slot::take(self, bytes).map_err(|trouble| trouble.into_error(operation))
    }

    /// Reads one entry, in one round trip; none where its invalidation was pending when this began. `done` gets the
    /// key back.
    ///
    /// As with all operations here, `done` is called once, on a thread of the core or on one that waits for an answer
    /// of its own, and the commands of two operations leave in the order of the calls.
    ///
    /// # Errors
    /// `Unavailable`, `Unsupported` (a namespace of another format), `Closed`; `Overloaded` where more waits to be sent
    /// than the connection takes.
    pub fn get(
        &self,
        slot: Slot,
        key: Vec<u8>,
        done: impl FnOnce(Vec<u8>, Result<Read<Option<Bytes>>, Error>) + Send + 'static,
    ) -> Kick {
        if let Some(plain) = &self.plain {
            return self.get_plain(plain.clone(), slot, key, done);
        }
        let prepare = |tier: &Tier, turn: &Turn<'_>, key: &Vec<u8>| {
            // A deletion that lands while the value is on its way leaves the queue before the value is here.
            let pending = tier.pending.contains(key);
            let (connection, passing) = (turn.connection.clone(), Passing::of(tier));
            move |key: &Vec<u8>, to: &mut Outbound| {
                commands::get(key, to);
                passing.encode(to);
                move |replies: Replies| {
                    let (replies, looked) = passing.take(replies)?;
                    let found = commands::value(replies)?.filter(|_| !pending);
                    let fenced = connection.scripts.is_some();
                    Ok(Read { found, server_now: connection.time.late(), looked, fenced })
                }
            }
        };
        self.begin("get", slot, key, prepare, done)
    }

    /// Reads many entries, in one round trip: as [`Tier::get`].
    ///
    /// # Errors
    /// As [`Tier::get`]; `Overloaded` also where the entries are too many bytes together.
    pub fn get_many(
        &self,
        slot: Slot,
        names: Names,
        done: impl FnOnce(Names, Result<Read<Vec<Option<Bytes>>>, Error>) + Send + 'static,
    ) -> Kick {
        if let Some(plain) = &self.plain {
            return self.get_many_plain(plain.clone(), slot, names, done);
        }
        let prepare = |tier: &Tier, turn: &Turn<'_>, names: &Names| {
            let pending: Vec<usize> = match tier.pending.is_empty() {
                true => Vec::new(),
                false => (0..names.len()).filter(|index| tier.pending.contains(names.name(*index))).collect(),
            };
            let (connection, count, passing) = (turn.connection.clone(), names.len(), Passing::of(tier));
            move |names: &Names, to: &mut Outbound| {
                commands::get_many(names, to);
                passing.encode(to);
                move |replies: Replies| {
                    let (replies, looked) = passing.take(replies)?;
                    let mut found = commands::values(replies, count)?;
                    pending.into_iter().for_each(|index| found[index] = None);
                    let fenced = connection.scripts.is_some();
                    Ok(Read { found, server_now: connection.time.late(), looked, fenced })
                }
            }
        };
        self.begin("get_many", slot, names, prepare, done)
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

    /// A look at the version of all entries, where that is due. Plain ones have none.
    pub(super) fn look_at_clear(&self) -> Option<Look> {
        self.tags.known.look_at_clear().filter(|_| self.plain.is_none())
    }

    /// Itself, for what goes on later.
    pub(super) fn handle(&self) -> Weak<Tier> {
        self.me.clone()
    }

    pub(super) fn land_behind(&self) {
        if !self.closed.load(Ordering::Acquire) {
            landing::start(self, &self.me);
        }
    }

    /// When an operation that begins now has to have ended, in ms of [`coarse_ms`]. Looks at deadlines are some milliseconds
    /// apart, so it is a little early: who waited is to go on within `l2_timeout`.
    pub fn budget(&self) -> u64 {
        let time = u64::try_from(self.l2_timeout.as_millis()).unwrap_or(u64::MAX / 4);
        coarse_ms() + (time - time / 50).max(1)
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

    /// Who drove its connections.
    pub fn driven(&self) -> &Driven {
        self.link.driven()
    }

    /// Whether the present connection, if there is one, has scripts.
    pub fn is_fenced(&self) -> bool {
        self.plain.is_none() && self.link.current().is_none_or(|connection| connection.scripts.is_some())
    }

    pub fn breaker_state(&self) -> BreakerState {
        self.breaker.state()
    }

    /// Gives what is on its way, and what is pending, at most `time`, and ends the connection. Returns how much
    /// is left.
    pub async fn close(&self, time: Duration) -> usize {
        let deadline = Instant::now() + time;
        loop {
            let mut quiet = std::pin::pin!(self.in_flight.quiet());
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
        self.pending.len() + self.in_flight.operations()
    }

    fn end(&self) {
        self.closed.store(true, Ordering::Release);
        self.link.close();
        if let Some(listening) = self.listening.lock().unwrap_or_else(PoisonError::into_inner).take() {
            listening.abort();
        }
    }

    /// Begins an operation of a user, with everything that such a one is subject to. `prepare` is called when its
    /// commands are to leave. What it returns adds them, and what that returns makes the result of the replies. The
    /// subject of the operation, its keys, is lent to both and ends at `done`.
    pub(super) fn begin<S, T, E, F>(
        &self,
        name: &'static str,
        slot: Slot,
        subject: S,
        prepare: impl FnOnce(&Tier, &Turn<'_>, &S) -> E + Send + 'static,
        done: impl FnOnce(S, Result<T, Error>) + Send + 'static,
    ) -> Kick
    where
        S: Send + 'static,
        E: FnOnce(&S, &mut Outbound) -> F,
        F: FnOnce(Replies) -> Result<T, Trouble> + Send + 'static,
    {
        let operation = match Operation::begin(slot) {
            Ok(operation) => operation,
            Err(trouble) => {
                // The caller may hold locks that `done` takes.
                later(move || done(subject, Err(trouble.into_error(name))));
                return Kick::NONE;
            }
        };
        let deadline = operation.deadline;
        let end = move |operation: Operation, subject, outcome: Result<T, Trouble>| {
            operation.end(&outcome);
            done(subject, outcome.map_err(|trouble| trouble.into_error(name)));
        };
        self.link.submit(deadline, move |turn| {
            let turn = match turn {
                Ok(turn) => turn,
                Err(trouble) => {
                    later(move || end(operation, subject, Err(trouble)));
                    return Kick::NONE;
                }
            };
            let encode = prepare(&operation.slot.tier, &turn, &subject);
            let used = turn.connection.clone();
            turn.connection.submit(deadline, move |to| match to {
                Ok(to) => {
                    let finish = encode(&subject, to);
                    Some(Box::new(move |replies: Result<Replies, Failure>| {
                        let outcome = replies.map_err(Trouble::from).and_then(finish);
                        operation.slot.tier.judge(&used, &outcome);
                        end(operation, subject, outcome);
                    }))
                }
                Err(failure) => {
                    later(move || end(operation, subject, Err(failure.into())));
                    None
                }
            })
        })
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
}

/// A look at the version of the empty tag, in the company of a read, when it is time for one.
struct Passing {
    tags: Arc<TagSpace>,
    look: Option<Look>,
}

impl Passing {
    fn of(tier: &Tier) -> Passing {
        Passing { tags: tier.tags.clone(), look: tier.look_at_clear() }
    }

    fn encode(&self, to: &mut Outbound) {
        if self.look.is_some() {
            self.tags.look(&[]).encode(None, to);
        }
    }

    /// The replies to the read, and what was seen.
    fn take(&self, replies: Replies) -> Result<(Replies, Looked), Trouble> {
        let (replies, seen) = commands::without_last(replies, self.look.is_some())?;
        match (self.look, seen) {
            // A user who may not is told by what cannot be judged then.
            (Some(look), Some(seen)) => Ok((replies, self.tags.seen(look, &[], seen).unwrap_or_default())),
            _ => Ok((replies, Looked::default())),
        }
    }
}

/// An operation of a user that was let in.
pub(super) struct Operation {
    /// In ms of [`coarse_ms`].
    pub(super) deadline: u64,
    permit: Permit,
    slot: Slot,
}

impl Operation {
    pub(super) fn begin(slot: Slot) -> Result<Operation, Trouble> {
        let tier = &slot.tier;
        if tier.closed.load(Ordering::Acquire) {
            return Err(Trouble::Closed);
        }
        let permit = tier.breaker.permit().ok_or(Trouble::CutOff)?;
        let deadline = slot.until.unwrap_or_else(|| tier.budget());
        Ok(Operation { deadline, permit, slot })
    }

    /// Tells the breaker what came of it.
    pub(super) fn end<T>(self, outcome: &Result<T, Trouble>) {
        match outcome {
            Ok(_) => self.permit.success(),
            Err(trouble) if trouble.is_answer() => self.permit.success(),
            Err(trouble) if trouble.counts() => self.permit.failure(),
            // Dropped without a word.
            Err(_) => {}
        }
    }
}

/// What `work` comes to within `time`.
pub(super) async fn soon<T>(time: Duration, work: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
    timeout(time, work).await.unwrap_or(Err(Trouble::Timeout))
}

impl Drop for Tier {
    fn drop(&mut self) {
        self.end();
    }
}
