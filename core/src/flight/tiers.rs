//! The tiers of one cache in one process, put together: memory, the shared tier, and the flights between them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak, mpsc};
use std::time::Duration;

use super::dirty::Dirty;
use super::heard::Heard;
use super::holds::Holds;
use super::lease::Lessor;
use super::lease_time::LeaseTime;
use super::record::{Record, millis};
use super::session::Session;
use super::shared::Shared;
use super::sink::{Reply, Sink};
use super::table::{Ended, Table, Timeouts, Waiter};
use super::through::Writer;
use super::turns::Turns;
use crate::clock::{self, Clock, Watch};
use crate::codec::Codec;
use crate::error::{Error, ErrorKind, Result};
use crate::host::{Answer, Language, Receipt, Step, process};
use crate::memory::{Copy, MemoryCache, SlotTable};
use crate::options::Options;
use crate::stats::{Counters, Stats};
use crate::tags::{Index, Known, TagSet};

/// A refresh ahead of the expiry is drawn within so many load times of it: earlier, with a chance of one in a hundred
/// million million.
pub(super) const REFRESH_LOADS: u64 = 32;

/// How long `close` waits for invalidations on their way.
const DRAIN: Duration = Duration::from_secs(5);

/// One cache of this process.
pub(crate) struct Tiers {
    pub options: Options,
    pub clock: Clock,
    pub memory: Option<MemoryCache<Record, Vec<u8>>>,
    pub shared: Option<Shared>,
    pub table: Arc<Table<Record>>,
    pub(super) lease_time: LeaseTime,
    pub(super) session: Session,
    pub(super) heard: Heard,
    /// Whether the session is late, and copies were ended for that.
    pub(super) late: AtomicBool,
    /// The number of the last write of a key that was told.
    pub(super) told_to: AtomicU64,
    /// When the last beat was sent that was answered, in ms of the clock.
    pub(super) beat_sent: AtomicU64,
    pub(super) holds: Holds,
    /// The same of tags.
    pub(super) tag_holds: Holds,
    /// The writers of keys that are to follow one another.
    pub(super) turns: Turns<Writer>,
    /// Keys whose writes have not reached the source.
    pub dirty: Dirty,
    /// Numbers of our own invalidations of tags whose messages have not come.
    pub(super) own_tags: Mutex<VecDeque<u64>>,
    /// The number of the last invalidation of tags that was told.
    pub(super) tags_told_to: AtomicU64,
    /// What is known of the versions of tags.
    pub(super) known: Arc<Known>,
    /// Which records of memory have a tag.
    pub(super) index: Arc<Index>,
    pub counters: Arc<Counters>,
    /// For whom decoded copies are granted.
    copies: OnceLock<Language>,
    closed: AtomicBool,
    watched: AtomicBool,
    me: Weak<Tiers>,
}

impl Tiers {
    /// Puts the tiers together. Starts no thread and opens no socket.
    pub fn open(options: Options) -> Result<Arc<Tiers>> {
        options.validate()?;
        let counters = Arc::new(Counters::default());
        let known = Arc::new(Known::new(Shared::believed(&options), Clock::default()));
        let shared = Shared::open(&options, &counters, &known)?;
        let tiers = Self::assemble(options, counters, known, shared);
        if let Some(shared) = &tiers.shared {
            let listener: Weak<Tiers> = tiers.me.clone();
            shared.tell(listener);
        }
        process().enrol(&tiers);
        Ok(tiers)
    }

    /// Tiers that answer every call with `Closed`.
    pub fn closed(options: &Options) -> Arc<Tiers> {
        let known = Arc::new(Known::new(0, Clock::default()));
        let tiers = Self::assemble(options.clone(), Arc::default(), known, None);
        tiers.closed.store(true, Ordering::Release);
        tiers
    }

    fn assemble(
        options: Options,
        counters: Arc<Counters>,
        known: Arc<Known>,
        shared: Option<Shared>,
    ) -> Arc<Tiers> {
        let clock = Clock::default();
        let timeouts =
            Timeouts { soft: options.fetch_soft_timeout.map(millis), hard: millis(options.fetch_hard_timeout) };
        let index = Arc::new(Index::default());
        let gone = index.clone();
        let memory = (options.l1_bytes > 0).then(|| {
            let mut builder = MemoryCache::builder()
                .max_bytes(options.l1_bytes)
                .weigher(|key: &Vec<u8>, record: &Record| {
                    record.bytes.len() as u64 + record.tags.weight(key.len())
                })
                .on_evict(move |key: &Vec<u8>, record: &Record, _| gone.remove(key, &record.tags))
                .clock(clock.clone());
            if let Some(entries) = options.l1_entries {
                builder = builder.max_entries(entries);
            }
            builder.build()
        });
        Arc::new_cyclic(|me| Tiers {
            table: Table::new(options.origin_concurrency, clock.clone(), timeouts, known.moment()),
            lease_time: LeaseTime::default(),
            session: Session::default(),
            heard: Heard::default(),
            late: AtomicBool::new(false),
            told_to: AtomicU64::new(0),
            beat_sent: AtomicU64::new(0),
            holds: Holds::new(timeouts.hard),
            tag_holds: Holds::new(timeouts.hard),
            turns: Turns::default(),
            dirty: Dirty::default(),
            own_tags: Mutex::default(),
            tags_told_to: AtomicU64::new(0),
            known,
            index,
            options,
            clock,
            memory,
            shared,
            counters,
            copies: OnceLock::new(),
            closed: AtomicBool::new(false),
            watched: AtomicBool::new(false),
            me: me.clone(),
        })
    }

    /// Itself, for what goes on in the background.
    pub fn handle(&self) -> Arc<Tiers> {
        self.me.upgrade().expect("a call runs, so somebody holds the tiers")
    }

    /// Itself, as who takes leases of updates back.
    pub(super) fn lessor(&self) -> Weak<dyn Lessor> {
        self.me.clone()
    }

    /// Fails with `Closed` once the cache, or the process, has said good-bye.
    pub fn check_open(&self, operation: &'static str) -> Result<()> {
        if self.closed.load(Ordering::Acquire) || process().is_stopped() {
            return Err(Error::new(ErrorKind::Closed, operation, "the cache is closed"));
        }
        Ok(())
    }

    /// What memory has under `key`, stale values included.
    pub fn remembered(&self, key: &[u8]) -> Option<Record> {
        self.memory.as_ref()?.get_to_copy(key, |_| None).map(|(record, _)| record)
    }

    /// What memory may answer with now.
    pub fn fresh(&self, key: &[u8]) -> Option<Record> {
        self.remembered(key).filter(|record| self.is_fresh(record))
    }

    /// Has decoded copies granted from now on, if there is a memory tier for them.
    pub fn keep_copies(&self, language: Language) {
        if !self.options.isolate && self.memory.as_ref().is_some_and(MemoryCache::attach_host) {
            // The first language stays: a cache object belongs to one host.
            self.copies.get_or_init(|| language);
        }
    }

    /// What hosts read directly.
    pub fn slot_table(&self) -> Option<&SlotTable> {
        self.copies.get()?;
        self.memory.as_ref()?.host_table()
    }

    /// What memory may answer with now, and leave to copy it.
    pub fn fresh_to_copy(&self, key: &[u8]) -> Option<(Record, Option<Copy>)> {
        let Some(language) = self.copies.get() else { return self.fresh(key).map(|record| (record, None)) };
        let found = self.memory.as_ref()?.get_to_copy(key, |record| {
            let weight = language.copy_weight(record.bytes.len(), record.codec == Codec::Raw);
            (!record.negative).then(|| (self.copied_until(record), weight))
        });
        found.filter(|(record, _)| self.is_fresh(record))
    }

    /// Until when a host may answer with a copy of a record and ask nobody: until the tiers would say something else,
    /// be it that a refresh ahead of its expiry is drawn.
    fn copied_until(&self, record: &Record) -> u64 {
        let ahead = if self.options.refresh_ahead { u64::from(record.load_ms) * REFRESH_LOADS } else { 0 };
        let is_live = self.session.is_live(record.stamp.session(), self.clock.now_ms());
        let known = if is_live { record.expires } else { record.stamp.fresh_until() };
        known.min(record.expires.saturating_sub(ahead))
    }

    /// Puts a record into memory, unless its writer is at work. Called under the lock of its shard of the flight table.
    pub fn remember(&self, key: &[u8], record: &Record) {
        if let Some(memory) = &self.memory
            && !self.is_held(key, &record.tags, self.clock.now_ms())
        {
            let mut stored = record.clone();
            if !stored.tags.is_empty() {
                stored.tags = stored.tags.copy();
                self.index.add(key, &stored.tags);
            }
            memory.set_until(key, stored, record.stale_until);
        }
    }

    /// Whether what was read at `since` may be older than a write: its key was held then, or a tag of it, or they are.
    pub(super) fn is_held(&self, key: &[u8], tags: &TagSet, since: u64) -> bool {
        self.holds.covers(key, since) || tags.iter().any(|tag| self.tag_holds.covers(tag, since))
    }

    /// Takes `key` out of memory. Called under the lock of its shard of the flight table.
    pub fn forget(&self, key: &[u8]) {
        if let Some(memory) = &self.memory {
            memory.remove(key);
        }
    }

    /// Sees to it that slow fetches are noticed. To be called once the flight exists: see `tick`.
    pub fn watch(&self) {
        if !self.watched.swap(true, Ordering::SeqCst) {
            let me: Weak<Tiers> = self.me.clone();
            clock::register(me);
        }
    }

    /// Delivers what a flight came to, from anywhere.
    pub fn conclude(&self, ended: Ended<Record>, failure: Error) -> Option<Record> {
        let stale = ended.stale.clone().filter(|stale| self.may_serve(stale));
        let waiters = ended.waiters.len() as u64;
        let payload = stale.as_ref().and_then(|stale| stale.payload().ok());
        if payload.is_some() {
            self.counters.stale_served.add(waiters);
        }
        self.table.deliver(ended, || match &payload {
            Some(value) => Answer::Stale { value: value.clone(), lease: None },
            None => Answer::Failed(failure.clone()),
        });
        payload.and(stale)
    }

    /// A snapshot of the counters.
    pub fn stats(&self) -> Stats {
        let memory = self.memory.as_ref().map(MemoryCache::stats).unwrap_or_default();
        Stats {
            hits_l1: self.counters.hits_l1.get(),
            hits_l2: self.counters.hits_l2.get(),
            misses: self.counters.misses.get(),
            stale_served: self.counters.stale_served.get(),
            loads: self.table.loads.get(),
            load_errors: self.counters.load_errors.get(),
            waits: self.counters.waits.get(),
            evictions: memory.evictions,
            expired: memory.expired,
            invalidations: self.counters.invalidations.get(),
            pending: self.shared.as_ref().map_or(0, |shared| shared.pending() as u64),
            decode_misses: self.counters.decode_misses.get(),
            l2_errors: self.counters.l2_errors.get(),
            driven_by_core: self.shared.as_ref().map_or(0, |shared| shared.driven().by_core()),
            driven_by_caller: self.shared.as_ref().map_or(0, |shared| shared.driven().by_caller()),
            push_sessions: self.session.count(),
            coherence_lag_ms: self.coherence_lag_ms(),
            breaker_state: self.shared.as_ref().map(Shared::breaker_state).unwrap_or_default(),
            entries: memory.entries,
            bytes: memory.bytes,
        }
    }

    /// Closes the cache: waiters get `Closed`, memory is emptied, and invalidations that the shared tier has not
    /// got yet have 5 s to land. The receipt says whether any is left.
    pub fn close(&self, reply: &dyn Reply) -> Result<Step> {
        if self.closed.swap(true, Ordering::AcqRel) {
            return Ok(Step::Ready(Answer::Done(Receipt::default())));
        }
        self.turn_away();
        if self.shared.is_none() {
            return Ok(Step::Ready(Answer::Done(Receipt::default())));
        }
        let sink = reply.sink("close", None)?;
        self.drain_behind(DRAIN, move |left| {
            let receipt = Receipt { pending: left > 0, ..Receipt::default() };
            drop(sink.finish(Answer::Done(receipt)));
        });
        Ok(Step::Pending)
    }

    /// The last handle was dropped without a close.
    pub fn leave(&self) {
        if !self.closed.swap(true, Ordering::AcqRel) {
            self.turn_away();
            if self.shared.as_ref().is_some_and(Shared::is_used) {
                self.drain_behind(DRAIN, |_| ());
            }
        }
    }

    fn turn_away(&self) {
        let error = Error::new(ErrorKind::Closed, "get_or_fetch", "the cache was closed");
        for waiter in self.table.close() {
            drop(waiter.sink.finish(Answer::Failed(error.clone())));
        }
        self.turn_writers_away();
        if let Some(memory) = &self.memory {
            memory.clear();
        }
    }

    /// Gives the shared tier `time` to take what is on its way, then calls `done` with what is left.
    fn drain_behind(&self, time: Duration, done: impl FnOnce(usize) + Send + 'static) {
        let me = self.handle();
        process().runtime().spawn(async move {
            let left = match &me.shared {
                Some(shared) => shared.close(time).await,
                None => 0,
            };
            done(left);
        });
    }

    fn turn_over(&self) -> bool {
        self.lease_time.renew(self.clock.now_ms());
        for ended in self.table.expire() {
            self.counters.load_errors.add(1);
            let message = format!(
                "the fetch did not end within fetch_hard_timeout = {} s",
                self.options.fetch_hard_timeout.as_secs_f64()
            );
            self.conclude(ended, Error::new(ErrorKind::FetchTimeout, "get_or_fetch", message));
        }
        for (waiters, stale) in self.table.give_stale() {
            self.serve_stale(waiters, &stale);
        }
        // Not `||`: both are to be looked at.
        self.look_at_session(self.clock.now_ms()) | self.table.has_flights()
    }

    /// Whether a value past its ttl may still be served.
    pub(super) fn may_serve(&self, stale: &Record) -> bool {
        stale.stale_until > self.clock.now_ms() && !stale.negative
    }

    pub(super) fn serve_stale(&self, waiters: impl IntoIterator<Item = Waiter>, stale: &Record) {
        let Ok(value) = stale.payload() else { return };
        for waiter in waiters {
            self.counters.stale_served.add(1);
            drop(waiter.sink.finish(Answer::Stale { value: value.clone(), lease: None }));
        }
    }
}

impl clock::Tick for Tiers {
    fn tick(&self) -> Watch {
        if self.turn_over() {
            return Watch::Waiting;
        }
        self.watched.store(false, Ordering::SeqCst);
        // A flight begun between the look and the store would have found us still watching.
        if (self.table.has_flights() || self.session.is_begun()) && !self.watched.swap(true, Ordering::SeqCst) {
            return Watch::Waiting;
        }
        Watch::Done
    }
}

/// Gives every cache of this process together `timeout` to send what is on its way.
pub(crate) fn drain_all(timeout: Duration) {
    let (sender, receiver) = mpsc::channel();
    let mut waiting = 0;
    for tiers in process().caches() {
        let sender = sender.clone();
        tiers.turn_away();
        if tiers.shared.as_ref().is_some_and(Shared::is_used) {
            waiting += 1;
            tiers.drain_behind(timeout, move |_| {
                // The receiver may have stopped waiting.
                let _ = sender.send(());
            });
        }
    }
    let deadline = std::time::Instant::now() + timeout;
    for _ in 0..waiting {
        let left = deadline.saturating_duration_since(std::time::Instant::now());
        if receiver.recv_timeout(left).is_err() {
            return;
        }
    }
}

/// A caller as it waits in a flight.
pub(super) fn waiter(sink: Arc<dyn Sink>, put: &super::table::Put, o: &crate::host::FetchOptions<'_>) -> Waiter {
    Waiter { sink, put: put.clone(), exempt: !o.held.is_empty(), owner: o.owner, blocking: o.blocking }
}
