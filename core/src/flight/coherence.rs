//! How memory follows writes of other processes: what the server tells takes entries away, and what was read while it
//! tells everything may be answered from memory for its whole life.
//!
//! Two things keep an entry from being older than it seems. It carries the number of the write that it came from, so a
//! message of a later one takes it away and an earlier one's does not; that goes for our own writes, whose messages come
//! back to us. And a read remembers what had been told of its key before it was sent: where something was told
//! meanwhile that is later than what was read, it is not stored. See `docs/coherence.md`.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use super::record::Record;
use super::session::SessionId;
use super::tiers::Tiers;
use crate::error::Result;
use crate::host::{ConsistencyToken, Position};
use crate::key;
use crate::memory::MemoryCache;
use crate::mutant::{Mutant, is_broken};
use crate::redis::{Kind, Listener, Message};

/// What was known of a key before it was read in the shared tier.
#[derive(Clone, Copy, Default)]
pub(crate) struct Before {
    session: SessionId,
    heard: u64,
    /// The count of invalidations of tags.
    moment: u64,
}

impl Tiers {
    /// To be called before a read is sent.
    pub(super) fn before(&self, key: &[u8]) -> Before {
        Before {
            session: self.session.current(self.clock.now_ms()),
            heard: self.heard.of(key),
            moment: self.known.look().moment(),
        }
    }

    /// Whether a record with this number, read since `before`, may be stored: no later write was told.
    pub(super) fn is_last(&self, key: &[u8], before: Before, generation: u64) -> bool {
        let heard = self.heard.of(key);
        heard == before.heard || heard <= generation || is_broken(Mutant::NoTicket)
    }

    /// Puts what was read since `before` into memory. Called under the lock of its shard of the flight table.
    pub(super) fn remember_read(&self, key: &[u8], before: Before, record: &Record) {
        let is_dropped = self.known.was_dropped(&record.tags, before.moment);
        if is_dropped || !self.is_last(key, before, record.stamp.generation()) {
            return;
        }
        record.stamp.read_in(before.session);
        // The very same stays where it is, and so do the copies of hosts.
        let stays = record.origin.is_some()
            && self.memory.as_ref().and_then(|memory| {
                memory.look(key, |there| {
                    let same = there.bytes.as_ptr() == record.bytes.as_ptr();
                    if same {
                        there.stamp.acknowledge(record.stamp.generation(), record.stamp.fresh_until());
                        there.stamp.read_in(before.session);
                    }
                    same
                })
            }) == Some(true);
        if !stays {
            self.remember(key, record);
        }
    }

    /// What memory has under `key` was written, and acknowledged with this number: it may be served as long as nothing
    /// later is told. Called under the lock of its shard of the flight table, with nothing written since.
    pub(super) fn acknowledge(&self, key: &[u8], before: Before, generation: u64, fresh_until: u64) {
        let Some(memory) = &self.memory else { return };
        if !self.is_last(key, before, generation) {
            memory.remove(key);
            return;
        }
        memory.look(key, |record| {
            record.stamp.acknowledge(generation, fresh_until);
            record.stamp.read_in(before.session);
        });
    }

    /// Whether memory may answer with a record now.
    #[inline]
    pub(super) fn is_fresh(&self, record: &Record) -> bool {
        let now = self.clock.now_ms();
        record.stamp.fresh_until() > now
            || record.expires > now && self.session.is_live(record.stamp.session(), now)
    }

    /// Sees to it that reads of these keys which begin after this call find the write of this token, or a later one: what
    /// memory has of them from before it is not for them.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidKey`](crate::ErrorKind::InvalidKey), [`ErrorKind::Closed`](crate::ErrorKind::Closed).
    pub fn observe(&self, keys: &[&[u8]], token: ConsistencyToken) -> Result<()> {
        self.check_open("observe")?;
        keys.iter().try_for_each(|key| key::check(key, "observe"))?;
        // One of a cache without a shared tier is of this process, which never goes backwards.
        let (Some(position), Some(_)) = (token.position(), &self.shared) else { return Ok(()) };
        let (told_to, sequence) = match position {
            Position::Keys(sequence) => (&self.told_to, sequence),
            Position::Tags(sequence) => (&self.tags_told_to, sequence),
        };
        if self.session.current(self.clock.now_ms()) != 0 && told_to.load(Ordering::Acquire) >= sequence {
            return Ok(());
        }
        let is_of_tags = matches!(position, Position::Tags(_));
        if is_of_tags {
            // Nobody knows which: their versions are asked anew.
            self.known.doubt();
        }
        for key in keys {
            // Numbers of tags are no measure of what was written.
            let since = if is_of_tags { u64::MAX } else { sequence };
            self.table.set_aside(key, since, || {
                if self.remembered(key).is_some_and(|record| record.stamp.generation() < since) {
                    self.forget(key);
                }
            });
        }
        Ok(())
    }

    /// How old a hit may be at most, by what is known now: see
    /// [`CacheService::effective_staleness_bound`](crate::CacheService::effective_staleness_bound).
    pub fn effective_staleness_bound(&self) -> Option<Duration> {
        match &self.shared {
            Some(shared) if self.memory.is_some() => shared.is_fenced().then_some(self.options.max_staleness),
            Some(shared) => shared.is_fenced().then_some(Duration::ZERO),
            None => Some(Duration::ZERO),
        }
    }

    /// How long ago the last beat was sent that was answered, in ms; 0 while there is no session.
    pub(super) fn coherence_lag_ms(&self) -> u64 {
        let sent = self.beat_sent.load(Ordering::Relaxed);
        if self.session.is_begun() { self.clock.now_ms().saturating_sub(sent) } else { 0 }
    }

    /// Tags were invalidated by this process, under this number: its message brings nothing new.
    /// `forget` is what is to be done before it comes.
    pub(super) fn expect_message(&self, sequence: Option<u64>, forget: impl FnOnce()) {
        /// More than are ever on their way; what is dropped costs a few entries of memory.
        const EXPECTED: usize = 1024;
        let mut own = self.own_tags();
        forget();
        let Some(sequence) = sequence.filter(|_| self.session.is_begun()) else { return };
        if self.tags_told_to.load(Ordering::SeqCst) >= sequence {
            return;
        }
        if own.len() == EXPECTED {
            own.pop_front();
        }
        own.push_back(sequence);
    }

    /// Numbers of our own invalidations of tags whose messages have not come. Its lock goes before those of flights.
    fn own_tags(&self) -> MutexGuard<'_, VecDeque<u64>> {
        self.own_tags.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the session: what was read in it is not served any more, by hosts neither.
    fn end_session(&self) {
        if self.session.is_begun() {
            self.session.end();
            self.known.believe_until(0);
            self.end_copies();
        }
    }

    /// Copies that hosts were granted for the length of the session are not good any more.
    fn end_copies(&self) {
        if let Some(memory) = &self.memory {
            memory.end_copies();
        }
    }

    /// Hosts do not look at the session themselves: this does, as often as the clock of their table is moved. Returns
    /// whether there is one to look at.
    #[inline]
    pub fn look_at_session(&self, now: u64) -> bool {
        let is_begun = self.session.is_begun();
        let is_late = is_begun && !self.options.max_staleness.is_zero() && self.session.until() <= now;
        // Once, until it is live again.
        if is_late && !self.late.swap(true, Ordering::AcqRel) {
            self.end_copies();
        }
        is_begun
    }
}

impl Listener for Tiers {
    fn told(&self, message: &Message<'_>) {
        match message.kind {
            Kind::Invalidated | Kind::Published => {
                for key in message.names() {
                    self.heard.note(key, message.sequence);
                    self.table.invalidated(key, message.sequence, || {
                        let Some(memory) = &self.memory else { return };
                        let known = memory.look(key, |record| record.stamp.generation());
                        // What this process wrote and is not acknowledged has no number: its answer decides.
                        if known.is_some_and(|known| known != 0 && known < message.sequence) {
                            memory.remove(key);
                        }
                    });
                    self.heard.wake(key);
                }
                // After all that it says was done.
                self.told_to.store(message.sequence, Ordering::Release);
            }
            Kind::Tracked => {
                for key in message.names() {
                    self.heard.note(key, message.sequence);
                    // Nobody knows whose write it was: even what this process wrote last goes.
                    self.table.invalidated(key, message.sequence, || self.forget(key));
                    self.heard.wake(key);
                }
            }
            Kind::Filled | Kind::Released => message.names().for_each(|key| self.heard.wake(key)),
            Kind::Tags | Kind::Cleared => {
                // Held all the time: an answer to that very invalidation waits until its message has done its work.
                let mut own = self.own_tags();
                self.tags_told_to.store(message.sequence, Ordering::SeqCst);
                let at = own.iter().position(|expected| *expected == message.sequence);
                match at {
                    // What was invalidated here has done its work before.
                    Some(at) => drop(own.remove(at)),
                    None if message.kind == Kind::Tags => message.names().for_each(|tag| self.forget_tag(tag)),
                    None => {
                        self.known.drop_all();
                        self.table.void_all(|| self.memory.iter().for_each(MemoryCache::clear));
                    }
                }
            }
        }
    }

    fn told_plainly(&self, key: &[u8]) {
        if key::check(key, "delete").is_err() {
            return;
        }
        self.counters.invalidations.add(1);
        self.drop_locally(key);
        // A plain entry is that program's own to delete.
        let Some(shared) = self.shared.as_ref().filter(|shared| !shared.is_plain()) else { return };
        match shared.admit("delete", key.len()) {
            Ok(slot) => {
                let (me, keys) = (self.handle(), [key.to_vec()]);
                // Where it fails it is queued.
                shared.invalidate(slot, &keys.clone(), move |_| me.drop_locally(&keys[0])).go_behind();
            }
            Err(_) => shared.invalidate_later([key.to_vec()]),
        }
    }

    fn beat(&self, sent: u64, whole: bool, last: &[u64]) {
        if !whole {
            self.end_session();
        }
        let until = sent + u64::try_from(self.options.max_staleness.as_millis()).unwrap_or(u64::MAX >> 32);
        if self.session.is_begun() {
            self.session.renew(until);
        } else {
            self.heard.forget();
            // What was asked before may have changed unheard.
            self.known.doubt();
            self.session.begin(until);
            self.watch();
        }
        let last = |partition: usize| last.get(partition).copied().unwrap_or_default();
        self.told_to.store(last(0), Ordering::Relaxed);
        self.tags_told_to.store(last(1), Ordering::Relaxed);
        self.known.believe_until(until);
        self.late.store(false, Ordering::Release);
        self.beat_sent.store(sent, Ordering::Relaxed);
    }

    fn lost(&self) {
        self.end_session();
    }
}
