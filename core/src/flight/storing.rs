//! Stores into the shared tier: what was loaded under a lease, and what was written.
//!
//! An entry leaves with the versions of its tags that this process has seen last, and a look at the present ones leaves
//! with it. A load's entry that turns out to be outdated is dead, and stays so; a write's is sent once more.

use std::ops::Range;
use std::sync::OnceLock;
use std::time::Duration;

use super::entry::{When, entry_of};
use super::grip::Taken;
use super::judging::Vector;
use super::record::Record;
use super::shared::Shared;
use super::tagged::TAGS_OUTLIVE;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::key::Layout;
use crate::redis::{Cause, Landed, Leaving, Seen, Slot, Tier, Token};
use crate::sync::{Arc, Mutex, lock};
use crate::tags::{Known, Looked, Tag, TagSet};
use crate::wire::Kick;

impl Shared {
    /// Stores what was loaded under a lease, with the versions that its tags had before; `done` gets the number of the last
    /// write, none where the lease was lost, and what was seen of the versions. A server without leases stores it if it is still `wanted`.
    #[expect(clippy::too_many_arguments, reason = "what is stored, under what, and what is to be known of it")]
    pub fn fill(
        &self,
        slot: Slot,
        Taken { name, token }: Taken,
        record: Record,
        vector: Vector,
        clock: &Clock,
        wanted: impl FnOnce() -> bool + Send + 'static,
        done: impl FnOnce(Result<(Option<u64>, Looked)>) + Send + 'static,
    ) -> Kick {
        let (when, layout, counters) = (When::now(clock), self.layout.clone(), self.counters.clone());
        let at = layout.before_key();
        let tags: Vec<Tag> = vector.tags.iter().map(|(tag, _)| tag.clone()).collect();
        let entry = move |server_now: u64, token: Token, vector: &Vector| {
            let (bytes, life) = entry_of(&record, vector, &when, server_now, token, &layout, &name[at..]);
            (name, bytes, life)
        };
        let done = move |stored: Result<(Option<u64>, Looked)>| {
            if stored.is_err() {
                counters.l2_errors.add(1);
            }
            done(stored);
        };
        match token {
            Some(token) => {
                self.tier.fill(slot, token, move |server_now| entry(server_now, token, &vector), tags, done)
            }
            None => {
                let entries = move |leaving: Leaving| match !leaving.waited || wanted() {
                    true => vec![entry(leaving.server_now, Token::default(), &Vector::default())],
                    false => Vec::new(),
                };
                let done = move |stored: Result<(Vec<Landed>, Looked)>| {
                    done(stored.map(|(_, looked)| (Some(0), looked)));
                };
                self.tier.put_many(slot, Cause::Loaded, entries, Seen::default(), || false, done)
            }
        }
    }

    /// Writes records with these tags in one round trip: `done` gets what came of each. Where a version that
    /// they carry was not that of the server, they are sent once more. A server that does not know our scripts any more
    /// gets them if nothing was written since, says `if_last`.
    pub fn store(
        &self,
        slot: Slot,
        records: Vec<(Vec<u8>, Record)>,
        tags: TagSet,
        clock: &Clock,
        if_last: IfLast,
        done: impl FnOnce(Result<Vec<Landed>>) + Send + 'static,
    ) -> Kick {
        let life = records.iter().map(|(_, record)| record.stale_until).max().unwrap_or_default();
        let life = Duration::from_millis(life.saturating_sub(clock.now_ms())) + TAGS_OUTLIVE;
        let writing = Arc::new(Writing {
            tier: self.tier.clone(),
            layout: self.layout.clone(),
            when: When::now(clock),
            known: self.known.clone(),
            seen: Seen { tags: tags.iter().cloned().collect(), life },
            records,
            if_last,
        });
        let counters = self.counters.clone();
        let done = move |stored: Result<Vec<Landed>>| {
            if stored.is_err() {
                counters.l2_errors.add(1);
            }
            done(stored);
        };
        let (again, all) = (writing.clone(), 0..writing.records.len());
        writing.send(slot, all, None, move |stored, vector| match stored {
            Ok((landed, looked)) if vector.is_outdated(&looked) => again.see_again(landed, looked, done),
            stored => done(stored.map(|(landed, _)| landed)),
        })
    }
}

/// Runs its work under the lock of the flight table for the record with this number, unless its key was written since.
pub(super) type IfLast = Arc<dyn Fn(usize, &mut dyn FnMut()) + Send + Sync>;

/// Records on their way.
struct Writing {
    tier: Arc<Tier>,
    layout: Layout,
    when: When,
    known: Arc<Known>,
    seen: Seen,
    records: Vec<(Vec<u8>, Record)>,
    if_last: IfLast,
}

impl Writing {
    /// The versions that were just seen, or else those seen last. What was never seen is 0, which none ever is.
    fn vector(&self, looked: &Looked) -> Vector {
        let version = |tag: &[u8]| looked.version(tag).unwrap_or_else(|| self.known.last_seen(tag));
        Vector {
            clear: Some(version(&[]).unwrap_or_default()),
            tags: self.seen.tags.iter().map(|tag| (tag.clone(), version(tag).unwrap_or_default())).collect(),
        }
    }

    /// Sends the records of these numbers, and a look at the versions that they are to carry.
    fn send(
        self: &Arc<Self>,
        slot: Slot,
        which: Range<usize>,
        vector: Option<Vector>,
        done: impl FnOnce(Result<(Vec<Landed>, Looked)>, Vector) + Send + 'static,
    ) -> Kick {
        let carried: Arc<OnceLock<Vector>> = Arc::default();
        let (this, carries, last) = (self.clone(), carried.clone(), which.clone());
        let entries = move |Leaving { server_now, fenced, .. }: Leaving| {
            let vector = vector.unwrap_or_else(|| this.vector(&Looked::default()));
            let vector = if fenced { vector } else { Vector::default() };
            let entry = |(key, record): &(Vec<u8>, Record)| {
                let (bytes, life) =
                    entry_of(record, &vector, &this.when, server_now, Token::default(), &this.layout, key);
                (this.layout.entry(key), bytes, life)
            };
            let entries = this.records[which].iter().map(entry).collect();
            carries.get_or_init(|| vector);
            entries
        };
        let this = self.clone();
        let is_last = move || last.into_iter().all(|index| this.is_last(index));
        self.tier.put_many(slot, Cause::Written, entries, self.seen.clone(), is_last, move |stored| {
            // Nothing has left where it is not set.
            done(stored, carried.get().cloned().unwrap_or_default());
        })
    }

    fn is_last(&self, index: usize) -> bool {
        let mut is_last = false;
        (self.if_last)(index, &mut || is_last = true);
        is_last
    }

    /// The records were dead when they arrived: they are sent once more. First tags that the server has lost get versions.
    fn see_again(
        self: Arc<Self>,
        landed: Vec<Landed>,
        looked: Looked,
        done: impl FnOnce(Result<Vec<Landed>>) + Send + 'static,
    ) {
        let all = All { landed: Mutex::new(landed), failed: Mutex::new(None), done: Mutex::new(Some(done)) };
        if looked.versions.iter().all(|(_, version)| version.is_some()) {
            return self.send_again(&looked, &Arc::new(all));
        }
        let Ok(slot) = self.tier.admit("set", 0) else { return };
        let Seen { tags, life } = self.seen.clone();
        let tier = self.tier.clone();
        let send = move |seen: Result<Looked>| {
            match seen {
                // A writer is at work on what has this tag: nobody knows whether these values are newer than that.
                Ok(looked) if looked.versions.iter().any(|(_, version)| version.is_none()) => {
                    lock(&all.landed).iter_mut().for_each(|landed| landed.held = true);
                }
                Ok(looked) => self.send_again(&looked, &Arc::new(all)),
                Err(_) => {}
            }
        };
        tier.versions(slot, tags, life, send).go_behind();
    }

    /// Sends each record under the lock of its key, so that no later write is overtaken. Where there is too much to do they
    /// stay dead, as if they had been evicted at once.
    fn send_again<F: FnOnce(Result<Vec<Landed>>) + Send + 'static>(
        self: &Arc<Self>,
        looked: &Looked,
        all: &Arc<All<F>>,
    ) {
        let vector = self.vector(looked);
        for index in 0..self.records.len() {
            let Ok(slot) = self.tier.admit("set", self.records[index].1.bytes.len()) else { return };
            let (mut slot, mut kick) = (Some(slot), Kick::NONE);
            (self.if_last)(index, &mut || {
                let Some(slot) = slot.take() else { return };
                let all = all.clone();
                kick = self
                    .send(slot, index..index + 1, Some(vector.clone()), move |stored, _| all.came(index, stored));
            });
            kick.go_behind();
        }
    }
}

/// Writes on their way, and what is done when the last one has come.
struct All<F: FnOnce(Result<Vec<Landed>>)> {
    landed: Mutex<Vec<Landed>>,
    failed: Mutex<Option<Error>>,
    done: Mutex<Option<F>>,
}

impl<F: FnOnce(Result<Vec<Landed>>)> All<F> {
    fn came(&self, index: usize, stored: Result<(Vec<Landed>, Looked)>) {
        match stored {
            Ok((again, _)) => {
                let mut landed = lock(&self.landed);
                if let (Some(old), Some(new)) = (landed.get_mut(index), again.first()) {
                    *old = *new;
                }
            }
            Err(error) => *lock(&self.failed) = Some(error),
        }
    }
}

impl<F: FnOnce(Result<Vec<Landed>>)> Drop for All<F> {
    fn drop(&mut self) {
        let failed = lock(&self.failed).take();
        let done = lock(&self.done).take();
        if let Some(done) = done {
            done(failed.map_or_else(|| Ok(std::mem::take(&mut *lock(&self.landed))), Err));
        }
    }
}
