//! One write-behind of this process: calls come in, answers go out.
//!
//! A write is *submitted*; the thread of `commit` makes it durable, puts it into the cache and lets it into its line; then
//! its caller has its answer. Writes of a key are submitted, made durable and lined up in one order, that of the lock.
//! What waits for a moment (retries, lingering batches, deadlines) is looked at by a task of the runtime.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::Notify;

use super::batch::{BatchOptions, Waiting};
use super::commit;
use super::drain::{Draining, Flush};
use super::files::Disk;
use super::item::{Item, Taker, WriteKind, Writes, weight};
use super::options::{AckLevel, OnFull, WriteBehindOptions};
use super::pending::{Pending, Rules};
use super::stats::WriteBehindStats;
use crate::error::{Error, ErrorKind, Result};
use crate::flight::{Change, Lease, Lessor, Reply, Sink, Tiers, next_id};
use crate::host::{Answer, PutOptions, Step, Value, process};
use crate::key;
use crate::sync::{Arc, Condvar, Mutex, lock};

pub(super) const OPERATION: &str = "write_behind";

/// A write-behind of one process.
pub(crate) struct Behind {
    pub(super) options: WriteBehindOptions,
    pub(super) tiers: Arc<Tiers>,
    pub(super) disk: Arc<dyn Disk>,
    /// Whose keys are dirty.
    pub(super) owner: u64,
    /// The first half of the identity of its writes.
    process: u64,
    pub(super) inner: Mutex<Inner>,
    /// There is work for the thread.
    pub(super) work: Condvar,
    /// The next moment to look at may be nearer.
    timers: Notify,
    pub(super) me: std::sync::Weak<Behind>,
}

/// Where its life stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    /// No more writes; those that there are still go to the source.
    Draining,
    Closed,
}

/// What is asked for once the journal has been opened.
type Ask = Box<dyn FnOnce(&Behind) + Send>;

pub(super) struct Inner {
    pub phase: Phase,
    started: bool,
    /// The journals that there were have been read.
    pub opened: bool,
    pub asks: Vec<Ask>,
    pub pending: Pending,
    /// Writes that are not durable.
    pub submitted: VecDeque<Submitted>,
    /// What they, and those being committed, weigh.
    pub uncommitted_bytes: u64,
    /// Their numbers.
    pub uncommitted: BTreeSet<u64>,
    blocked: VecDeque<Blocked>,
    /// How their callers' writes change the cache, of writes that callers make themselves.
    pub changes: HashMap<u64, Change>,
    /// When those whose turn has not come give up, the earliest first.
    turn_ends: VecDeque<(u64, u64)>,
    /// Rows that the next commit removes, buries, or keeps as writes again.
    pub removed: Vec<u64>,
    pub buried: Vec<u64>,
    pub revived: Vec<Item>,
    waiting: VecDeque<Waiting>,
    pub flushes: Vec<Flush>,
    pub draining: Option<Draining>,
    last_sequence: u64,
    pub accepted: u64,
    pub adopted: u64,
    pub rejected: u64,
    pub journal_errors: u64,
    /// Why writes are not acknowledged.
    pub failed: Option<String>,
    /// Whether writes are in streams, which others read as well.
    pub shared: bool,
    /// Whether batches were ever asked for: with `redis`, a worker.
    pub pulled: bool,
    /// With `redis`: writes of this process that the source is not known to have, their keys and sequences.
    pub outstanding: std::collections::BTreeMap<u64, (bytes::Bytes, u64)>,
    /// With `redis`: what waits in all streams together.
    pub remote_bytes: u64,
    pub remote_depth: u64,
}

/// What a caller wants written.
struct Asked {
    kind: WriteKind,
    key: bytes::Bytes,
    value: Value,
    change: Change,
    sink: Arc<dyn Sink>,
}

/// A write on its way to the journal.
pub(super) struct Submitted {
    pub item: Item,
    pub change: Change,
    pub sink: Arc<dyn Sink>,
    /// Its caller is to make it, so it is kept nowhere.
    pub direct: bool,
}

/// A write for which there is no room.
struct Blocked {
    asked: Asked,
    /// In ms of the clock.
    until: u64,
}

impl Behind {
    /// A write-behind that does nothing yet: it starts no thread and opens no file.
    pub fn new(options: WriteBehindOptions, tiers: Arc<Tiers>, disk: Arc<dyn Disk>) -> Arc<Behind> {
        let rules = Rules {
            max_attempts: options.max_attempts,
            base: millis(options.retry_base),
            longest: millis(options.retry_max),
            visibility: millis(options.visibility),
        };
        let shared = options.ack == AckLevel::Redis;
        Arc::new_cyclic(|me| Behind {
            options,
            tiers,
            disk,
            owner: next_id(),
            // 52 bits: a number that JavaScript holds exactly.
            process: rand::random::<u64>() >> 12,
            inner: Mutex::new(Inner {
                phase: Phase::Open,
                started: false,
                opened: false,
                asks: Vec::new(),
                pending: Pending::new(rules),
                submitted: VecDeque::new(),
                uncommitted_bytes: 0,
                uncommitted: BTreeSet::new(),
                blocked: VecDeque::new(),
                changes: HashMap::new(),
                turn_ends: VecDeque::new(),
                removed: Vec::new(),
                buried: Vec::new(),
                revived: Vec::new(),
                waiting: VecDeque::new(),
                flushes: Vec::new(),
                draining: None,
                last_sequence: 0,
                accepted: 0,
                adopted: 0,
                rejected: 0,
                journal_errors: 0,
                failed: None,
                shared,
                pulled: false,
                outstanding: std::collections::BTreeMap::new(),
                remote_bytes: 0,
                remote_depth: 0,
            }),
            work: Condvar::new(),
            timers: Notify::new(),
            me: me.clone(),
        })
    }

    pub(super) fn handle(&self) -> Arc<Behind> {
        self.me.upgrade().expect("a call runs, so somebody holds it")
    }

    pub(super) fn now(&self) -> u64 {
        self.tiers.clock.now_ms()
    }

    /// Writes a value, a deletion or a change behind: `Done` when it is acknowledged; `Lead` where the caller is to make it
    /// itself, then to `ack` or `nack` the number of the lease.
    pub fn write(
        &self,
        kind: WriteKind,
        key: &[u8],
        value: &Value,
        o: &PutOptions,
        reply: &dyn Reply,
    ) -> Result<Step> {
        self.tiers.check_open(OPERATION)?;
        key::check(key, OPERATION)?;
        let change = self.tiers.stored_behind(value, o)?;
        let change = if kind == WriteKind::Set { change } else { Change::Remove };
        let cost = weight(key.len(), value.bytes.len());
        if cost > self.options.max_bytes {
            let message =
                format!("the write weighs {cost} bytes, the limit is max_bytes = {}", self.options.max_bytes);
            return Err(Error::new(ErrorKind::InvalidValue, OPERATION, message));
        }
        let sink = reply.sink(OPERATION, None)?;
        let mut inner = lock(&self.inner);
        if inner.phase != Phase::Open {
            drop(inner);
            sink.withdraw();
            return Err(closed());
        }
        self.start(&mut inner);
        let key = bytes::Bytes::copy_from_slice(key);
        if inner.blocked.is_empty() && !self.is_full(&inner, cost) {
            inner.submit(self.process, Asked { kind, key, value: value.clone(), change, sink }, false);
            drop(inner);
            self.work.notify_one();
            return Ok(Step::Pending);
        }
        match self.options.on_full {
            OnFull::Reject => {
                inner.rejected += 1;
                drop(inner);
                sink.withdraw();
                Err(overloaded())
            }
            OnFull::Block => {
                let until = self.now() + self.block_for();
                let asked = Asked { kind, key, value: value.clone(), change, sink };
                inner.blocked.push_back(Blocked { asked, until });
                drop(inner);
                self.timers.notify_one();
                Ok(Step::Pending)
            }
            OnFull::WriteThrough => {
                let until = self.now() + self.block_for();
                // Behind what is on its way to the journal: in the order of the calls.
                let number =
                    inner.submit(self.process, Asked { kind, key, value: value.clone(), change, sink }, true);
                inner.turn_ends.push_back((until, number));
                drop(inner);
                self.work.notify_one();
                self.timers.notify_one();
                Ok(Step::Pending)
            }
        }
    }

    fn block_for(&self) -> u64 {
        u64::try_from(self.options.block_for.as_millis()).unwrap_or(u64::MAX / 4)
    }

    /// Whether there is no room for so much more.
    pub(super) fn is_full(&self, inner: &Inner, cost: u64) -> bool {
        // What is read of a stream counts there.
        let kept = if self.options.ack == AckLevel::Redis { inner.remote_bytes } else { inner.pending.bytes() };
        if kept + inner.uncommitted_bytes + cost > self.options.max_bytes {
            return true;
        }
        let too_old =
            |oldest: u64| self.options.max_age.is_some_and(|age| millis(age) < unix_ms().saturating_sub(oldest));
        inner.pending.oldest().is_some_and(too_old)
    }

    /// Starts the thread and the timers, at the first use in this process.
    pub(super) fn start(&self, inner: &mut Inner) {
        if std::mem::replace(&mut inner.started, true) {
            return;
        }
        let me = self.handle();
        let thread = std::thread::Builder::new().name("scrubjay-wb".to_owned());
        if thread.spawn(move || commit::run(&me)).is_err() {
            // Tried again by the next call.
            inner.started = false;
            inner.failed = Some("the operating system gave no thread".to_owned());
            return;
        }
        process().runtime().spawn(watch(self.me.clone()));
    }

    /// The host has gone without a close: what is durable stays for whoever finds it.
    pub fn leave(&self) {
        let mut inner = lock(&self.inner);
        inner.phase = Phase::Closed;
        drop(inner);
        self.work.notify_one();
        self.timers.notify_one();
    }

    /// Has the timers look at what is new.
    pub(super) fn retime(&self) {
        self.timers.notify_one();
    }

    /// The next batch: `Writes`, or `Miss` when none came in time.
    pub fn next_batch(&self, options: BatchOptions, reply: &dyn Reply) -> Result<Step> {
        let options = options.checked()?;
        let now = self.now();
        let until = options.wait.map_or(u64::MAX / 4, |wait| now.saturating_add(millis(wait)).min(u64::MAX / 4));
        let sink = reply.sink("next_batch", None)?;
        let mut inner = lock(&self.inner);
        if inner.phase == Phase::Closed {
            drop(inner);
            sink.withdraw();
            return Err(closed());
        }
        self.start(&mut inner);
        let first = !std::mem::replace(&mut inner.pulled, true);
        inner.waiting.push_back(Waiting { sink, options, until, began: None });
        drop(inner);
        if first {
            self.work.notify_one();
        }
        self.pump();
        self.timers.notify_one();
        Ok(Step::Pending)
    }

    /// Gives what is due to those that wait for it, and lets in those that wait for room.
    pub(super) fn pump(&self) {
        let mut answers: Vec<(Arc<dyn Sink>, Answer)> = Vec::new();
        let mut let_in = false;
        {
            let now = self.now();
            let mut inner = lock(&self.inner);
            for number in inner.pending.lapse(now) {
                inner.changes.remove(&number);
                inner.pending.drop_head(number);
            }
            while let Some(front) = inner.blocked.front() {
                let cost = weight(front.asked.key.len(), front.asked.value.bytes.len());
                let over = front.until <= now || inner.phase != Phase::Open;
                if !over && self.is_full(&inner, cost) {
                    break;
                }
                let Some(Blocked { asked, .. }) = inner.blocked.pop_front() else { break };
                if over {
                    inner.rejected += 1;
                    let error = if inner.phase == Phase::Open { overloaded() } else { closed() };
                    answers.push((asked.sink, Answer::Failed(error)));
                } else {
                    inner.submit(self.process, asked, false);
                    let_in = true;
                }
            }
            while let Some((_, number)) = inner.turn_ends.front().copied().filter(|(until, _)| *until <= now) {
                inner.turn_ends.pop_front();
                if let Some(sink) = inner.pending.withdraw(number) {
                    inner.changes.remove(&number);
                    inner.rejected += 1;
                    answers.push((sink, Answer::Failed(overloaded())));
                }
            }
            let lessor: std::sync::Weak<dyn Lessor> = self.me.clone();
            for (number, sink) in inner.pending.turns(now) {
                answers.push((sink, Answer::Lead(Lease::new(number, lessor.clone()))));
            }
            self.hand_out(&mut inner, now, &mut answers);
            inner.end_flushes(now, &mut answers);
            if inner.draining.as_ref().is_some_and(Draining::is_over) && inner.phase == Phase::Draining {
                inner.phase = Phase::Closed;
                let_in = true;
            }
        }
        if let_in {
            self.work.notify_one();
        }
        for (sink, answer) in answers {
            // What nobody takes goes back by itself.
            drop(sink.finish(answer));
        }
    }

    fn hand_out(&self, inner: &mut Inner, now: u64, answers: &mut Vec<(Arc<dyn Sink>, Answer)>) {
        let taker: std::sync::Weak<dyn Taker> = self.me.clone();
        for mut waiting in std::mem::take(&mut inner.waiting) {
            if !waiting.sink.is_live() {
                continue;
            }
            if inner.phase == Phase::Closed {
                answers.push((waiting.sink, Answer::Failed(closed())));
                continue;
            }
            let (count, bytes) = inner.pending.ready(waiting.options.max_items, now);
            if count > 0 {
                waiting.began.get_or_insert(now);
            } else {
                waiting.began = None;
            }
            let hurried = inner.phase == Phase::Draining || !inner.flushes.is_empty() || waiting.until <= now;
            if count > 0 && (hurried || waiting.is_content(count, bytes, now)) {
                let writes = inner.pending.take(waiting.options.max_items, waiting.options.max_bytes, now);
                answers.push((waiting.sink, Answer::Writes(Writes::new(writes, taker.clone()))));
            } else if waiting.until <= now {
                answers.push((waiting.sink, Answer::Miss));
            } else {
                inner.waiting.push_back(waiting);
            }
        }
    }

    /// The next moment to look, in ms of the clock; none when it has ended.
    fn next_look(&self) -> Option<u64> {
        let now = self.now();
        let inner = lock(&self.inner);
        if inner.phase == Phase::Closed {
            return None;
        }
        let moments = [
            inner.pending.next(now),
            inner.blocked.front().map(|blocked| blocked.until),
            inner.turn_ends.front().map(|(until, _)| *until),
            inner.waiting.iter().map(Waiting::deadline).min(),
            inner.flushes.iter().map(|flush| flush.until).min(),
            inner.drains_until(),
        ];
        // The age of the oldest write lets nobody in by itself, but what blocks may end meanwhile.
        Some(moments.into_iter().flatten().min().unwrap_or(now + 60_000))
    }

    /// A snapshot.
    pub fn stats(&self) -> WriteBehindStats {
        let mut inner = lock(&self.inner);
        if self.options.ack == AckLevel::Journal && inner.phase == Phase::Open {
            // So that what a dead process has left is seen, and taken over.
            self.start(&mut inner);
        }
        let pending = &inner.pending;
        let (depth, bytes) = match self.options.ack {
            AckLevel::Redis => (inner.remote_depth.max(inner.outstanding.len() as u64), inner.remote_bytes),
            _ => (pending.depth(), pending.bytes()),
        };
        WriteBehindStats {
            depth: depth + inner.uncommitted.len() as u64,
            bytes: bytes + inner.uncommitted_bytes,
            oldest_age_ms: pending.oldest().map_or(0, |oldest| unix_ms().saturating_sub(oldest)),
            in_flight: pending.in_flight(),
            accepted: inner.accepted,
            written: pending.written,
            coalesced: pending.coalesced,
            retried: pending.retried,
            dead: pending.dead(),
            adopted: inner.adopted,
            rejected: inner.rejected,
            journal_errors: inner.journal_errors,
            journal_failed: u64::from(inner.failed.is_some()),
        }
    }
}

impl Inner {
    /// Whether writes wait for room.
    pub fn has_blocked(&self) -> bool {
        !self.blocked.is_empty()
    }

    /// Whether anything has been asked of it.
    pub fn has_started(&self) -> bool {
        self.started
    }

    /// Takes a write in. Returns its number.
    fn submit(&mut self, process: u64, asked: Asked, direct: bool) -> u64 {
        let Asked { kind, key, value, change, sink } = asked;
        let number = next_id();
        let enqueued_ms = unix_ms();
        let sequence = self.sequence();
        let codec = value.codec;
        let item = Item { number, process, sequence, key, kind, codec, value: value.bytes, enqueued_ms };
        self.uncommitted_bytes += item.weight();
        self.uncommitted.insert(number);
        self.submitted.push_back(Submitted { item, change, sink, direct });
        number
    }

    /// The next number in the order of writes: the clock, and never twice.
    fn sequence(&mut self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        self.last_sequence = (self.last_sequence + 1).max(u64::try_from(now).unwrap_or(u64::MAX / 2));
        self.last_sequence
    }

    /// A write of another process was met: ours from here on are younger.
    pub fn witness(&mut self, sequence: u64) {
        self.last_sequence = self.last_sequence.max(sequence);
    }
}

/// Looks whenever the next moment has come.
async fn watch(behind: std::sync::Weak<Behind>) {
    loop {
        let Some(this) = behind.upgrade() else { return };
        let Some(next) = this.next_look() else { return this.pump() };
        let pause = Duration::from_millis(next.saturating_sub(this.now()).clamp(1, 60_000));
        // A moment that cannot be told from the end of it is none: the sleep is the longer one of the two clocks.
        let _ = tokio::time::timeout(pause, this.timers.notified()).await;
        this.pump();
    }
}

pub(super) fn closed() -> Error {
    Error::new(ErrorKind::Closed, OPERATION, "the write-behind is closed")
}

fn overloaded() -> Error {
    let message = "too much waits for the source: see max_bytes, max_age and on_full";
    Error::new(ErrorKind::Overloaded, OPERATION, message)
}

pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX / 4)
}

/// The time, in milliseconds since 1970.
pub(super) fn unix_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX / 2)
}
