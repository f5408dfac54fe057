//! The thread that makes writes durable, many by one commit, and then has them take effect.

use std::time::{Duration, Instant};

use super::adopt::{self, Look};
use super::behind::{Behind, Phase, Submitted};
use super::item::Item;
use super::journal::{Journal, Rows};
use super::options::AckLevel;
use crate::error::{Error, ErrorKind};
use crate::flight::{Sink, next_id};
use crate::host::Answer;
use crate::resilience::Backoff;
use crate::sync::{Arc, lock};

/// How often journals of dead processes are looked for.
const LOOK_AROUND: Duration = Duration::from_secs(10);
/// Rows that only go wait so long for company.
const GATHER: Duration = Duration::from_millis(5);
/// So many writes and bytes share a commit at most.
const MAX_WRITES: usize = 2_000;
const MAX_BYTES: u64 = 32 << 20;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What is to be done by one commit.
#[derive(Default)]
pub(super) struct Work {
    pub writes: Vec<Submitted>,
    pub removed: Vec<u64>,
    pub buried: Vec<u64>,
    pub revived: Vec<Item>,
}

/// Where writes are kept.
struct Keeper {
    /// None for the level `memory`.
    journal: Option<Journal>,
    backoff: Backoff,
    /// When a journal that has failed is made anew.
    again: Instant,
    look_around: Instant,
}

/// Works until the write-behind is closed.
pub(super) fn run(behind: &Arc<Behind>) {
    let options = &behind.options;
    if options.ack == AckLevel::Redis {
        return super::stream::run(behind);
    }
    let journal = match (options.ack, &options.directory) {
        (AckLevel::Journal, Some(directory)) => {
            Some(Journal::new(directory.clone(), options.name.clone(), behind.disk.clone()))
        }
        _ => None,
    };
    let mut keeper = Keeper {
        journal,
        backoff: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE),
        again: Instant::now(),
        look_around: Instant::now(),
    };
    keeper.repair(behind);
    keeper.look_around(behind);
    behind.note_opened();
    loop {
        let Some(work) = behind.wait_for_work(keeper.next_look()) else { break };
        keeper.repair(behind);
        keeper.commit(behind, work);
        if keeper.look_around <= Instant::now() {
            keeper.look_around(behind);
        }
    }
    keeper.end(behind);
}

impl Keeper {
    /// When there is something to do though nobody asks.
    fn next_look(&self) -> Instant {
        match &self.journal {
            None => Instant::now() + LOOK_AROUND,
            Some(journal) if journal.is_good() => self.look_around,
            Some(_) => self.again.min(self.look_around),
        }
    }

    fn is_good(&self) -> bool {
        self.journal.as_ref().is_none_or(Journal::is_good)
    }

    /// Makes the journal, or makes it anew after it has failed, with all that memory has. Not too often.
    fn repair(&mut self, behind: &Behind) {
        let Some(journal) = self.journal.as_mut().filter(|journal| !journal.is_good()) else { return };
        if self.again > Instant::now() {
            return;
        }
        let all = {
            let mut inner = lock(&behind.inner);
            // What these say is in what memory has.
            inner.removed.clear();
            inner.buried.clear();
            inner.revived.clear();
            let mut rows = Rows::default();
            for (item, dead) in inner.pending.durable() {
                let row = (item.number, item.encode(dead));
                if dead.is_some() { rows.bury.push(row) } else { rows.put.push(row) }
            }
            rows
        };
        match journal.renew(all) {
            Ok(()) => {
                self.backoff.reset();
                lock(&behind.inner).failed = None;
            }
            Err(error) => self.note(behind, &error),
        }
    }

    fn note(&mut self, behind: &Behind, error: &std::io::Error) {
        self.again = Instant::now() + self.backoff.pause();
        let mut inner = lock(&behind.inner);
        inner.journal_errors += 1;
        inner.failed = Some(error.to_string());
    }

    fn commit(&mut self, behind: &Arc<Behind>, work: Work) {
        let Work { writes, removed, buried, revived } = work;
        if self.is_good()
            && let Some(journal) = &mut self.journal
        {
            let mut rows = Rows { remove: removed, ..Rows::default() };
            let kept = writes.iter().filter(|write| !write.direct).map(|write| &write.item);
            rows.put = kept.chain(&revived).map(|item| (item.number, item.encode(None))).collect();
            let dead = |number: &u64| behind.letter(*number);
            rows.bury = buried.iter().filter_map(dead).collect();
            if !rows.is_empty()
                && let Err(error) = journal.commit(rows)
            {
                self.note(behind, &error);
            }
        }
        if self.is_good() {
            behind.take_effect(writes);
        } else {
            behind.refuse(writes);
        }
    }

    /// Takes over what dead processes have left.
    fn look_around(&mut self, behind: &Arc<Behind>) {
        self.look_around = Instant::now() + LOOK_AROUND;
        let Some(journal) = self.journal.as_mut().filter(|journal| journal.is_good()) else { return };
        let Look { orphans, unreadable } = adopt::look(journal, next_id);
        lock(&behind.inner).journal_errors += unreadable;
        for mut orphan in orphans {
            let found = std::mem::take(&mut orphan.found);
            let found = behind.unknown(found);
            let mut rows = Rows::default();
            for (item, dead) in &found {
                let row = (item.number, item.encode(dead.as_deref()));
                if dead.is_some() { rows.bury.push(row) } else { rows.put.push(row) }
            }
            if !rows.is_empty()
                && let Err(error) = journal.commit(rows)
            {
                // The file is left as it is, for the next look.
                return self.note(behind, &error);
            }
            orphan.bury(journal);
            behind.adopt(found);
        }
    }

    /// The write-behind is closed: what is durable stays, and a file with nothing in it goes.
    fn end(&mut self, behind: &Behind) {
        let (work, writes) = {
            let mut inner = lock(&behind.inner);
            let writes: Vec<Submitted> = inner.submitted.drain(..).collect();
            let work = Rows { remove: std::mem::take(&mut inner.removed), ..Rows::default() };
            (work, writes)
        };
        let buried = std::mem::take(&mut lock(&behind.inner).buried);
        let rows = Rows { bury: buried.into_iter().filter_map(|number| behind.letter(number)).collect(), ..work };
        for write in writes {
            drop(write.sink.finish(Answer::Failed(super::behind::closed())));
        }
        if let Some(journal) = &mut self.journal {
            if journal.is_good() && !rows.is_empty() {
                // What it fails to remove is written twice, by the same names.
                let _ = journal.commit(rows);
            }
            let empty = {
                let inner = lock(&behind.inner);
                inner.pending.depth() == 0 && inner.pending.dead() == 0
            };
            journal.close(empty);
        }
        behind.end();
    }
}

impl Behind {
    /// Waits for work, or for `until`. None when there will be none.
    pub(super) fn wait_for_work(&self, until: Instant) -> Option<Work> {
        let mut inner = lock(&self.inner);
        let mut gathered = false;
        loop {
            if inner.phase == Phase::Closed {
                return None;
            }
            let rows = !inner.removed.is_empty() || !inner.buried.is_empty() || !inner.revived.is_empty();
            let now = Instant::now();
            if !inner.submitted.is_empty() || rows && gathered || until <= now {
                let mut work = Work::default();
                let mut bytes = 0;
                while let Some(next) = inner.submitted.front() {
                    bytes += next.item.weight();
                    if !work.writes.is_empty() && (bytes > MAX_BYTES || work.writes.len() >= MAX_WRITES) {
                        break;
                    }
                    work.writes.extend(inner.submitted.pop_front());
                }
                work.removed = std::mem::take(&mut inner.removed);
                work.buried = std::mem::take(&mut inner.buried);
                work.revived = std::mem::take(&mut inner.revived);
                return Some(work);
            }
            let wait = if rows { GATHER } else { until.saturating_duration_since(now) };
            gathered = rows;
            inner = self.work.wait_timeout(inner, wait).unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
    }

    /// The row of a dead letter; none where it is one no more.
    fn letter(&self, number: u64) -> Option<(u64, Vec<u8>)> {
        let inner = lock(&self.inner);
        let (item, error) = inner.pending.error_of(number).filter(|_| inner.pending.is_dead(number))?;
        Some((number, item.encode(Some(error))))
    }

    /// Writes that are durable take effect, in their order: reads see them, the cache gets them, writers may.
    pub(super) fn take_effect(self: &Arc<Self>, writes: Vec<Submitted>) {
        if writes.is_empty() {
            return self.pump();
        }
        let now = self.now();
        {
            let mut inner = lock(&self.inner);
            for write in &writes {
                let Submitted { item, sink, direct, .. } = write;
                let replaced = inner.pending.add(item.clone(), now, direct.then(|| sink.clone()));
                inner.removed.extend(replaced);
                inner.uncommitted.remove(&item.number);
                inner.uncommitted_bytes -= item.weight();
                if !direct {
                    self.tiers.dirty.set(&item.key, self.owner, inner.pending.view(&item.key));
                }
            }
        }
        let mut numbers = Vec::with_capacity(writes.len());
        let mut kicks = Vec::with_capacity(writes.len());
        let mut accepted = 0;
        for Submitted { item, change, sink, direct } in writes {
            numbers.push(item.number);
            if direct {
                lock(&self.inner).changes.insert(item.number, change);
                continue;
            }
            accepted += 1;
            let done = move |receipt| drop(sink.finish(Answer::Done(receipt)));
            kicks.push(self.tiers.apply_behind(&item.key, change, done));
        }
        kicks.into_iter().for_each(crate::wire::Kick::go_behind);
        {
            let mut inner = lock(&self.inner);
            inner.accepted += accepted;
            numbers.into_iter().for_each(|number| inner.pending.applied(number));
        }
        self.pump();
        self.retime();
    }

    /// Writes that could not be made durable have not happened.
    pub(super) fn refuse(&self, writes: Vec<Submitted>) {
        let mut sinks: Vec<Arc<dyn Sink>> = Vec::with_capacity(writes.len());
        let error = {
            let mut inner = lock(&self.inner);
            for write in writes {
                inner.uncommitted_bytes -= write.item.weight();
                inner.uncommitted.remove(&write.item.number);
                sinks.push(write.sink);
            }
            let why = inner.failed.as_deref().unwrap_or("it is not open");
            Error::new(
                ErrorKind::Unavailable,
                super::behind::OPERATION,
                format!("the journal cannot be written: {why}"),
            )
        };
        for sink in sinks {
            drop(sink.finish(Answer::Failed(error.clone())));
        }
        self.pump();
    }

    /// Those that are not known here already.
    fn unknown(&self, found: super::journal::Found) -> super::journal::Found {
        let inner = lock(&self.inner);
        let is_known = |item: &Item| inner.pending.has(item.process, item.sequence, &item.key);
        found.into_iter().filter(|(item, _)| !is_known(item)).collect()
    }

    /// Writes of a dead process are ours from now on.
    fn adopt(&self, found: super::journal::Found) {
        let now = self.now();
        let mut keys = Vec::with_capacity(found.len());
        {
            let mut inner = lock(&self.inner);
            for (item, dead) in found {
                let (number, key) = (item.number, item.key.clone());
                inner.witness(item.sequence);
                inner.adopted += 1;
                let replaced = inner.pending.add(item, now, None);
                inner.removed.extend(replaced);
                inner.pending.applied(number);
                if let Some(error) = dead {
                    inner.pending.restore_dead(number, error);
                }
                self.tiers.dirty.set(&key, self.owner, inner.pending.view(&key));
                keys.push(key);
            }
        }
        // Memory may have loaded, from a source that has not got them, what was there before.
        keys.iter().for_each(|key| self.tiers.doubt(key));
        self.pump();
        self.retime();
    }

    pub(super) fn note_opened(&self) {
        let asks = {
            let mut inner = lock(&self.inner);
            inner.opened = true;
            std::mem::take(&mut inner.asks)
        };
        asks.into_iter().for_each(|ask| ask(self));
        self.pump();
    }

    /// It has ended: reads see the tiers again, and the close is answered.
    pub(super) fn end(&self) {
        let (drained, callers, asks) = {
            let mut inner = lock(&self.inner);
            let others: Vec<_> = inner.outstanding.values().map(|(key, _)| key.clone()).collect();
            for key in inner.pending.all_keys().into_iter().chain(others) {
                self.tiers.dirty.set(&key, self.owner, None);
            }
            (inner.end_drain(), inner.pending.callers(), std::mem::take(&mut inner.asks))
        };
        asks.into_iter().for_each(|ask| ask(self));
        self.pump();
        for (_, sink) in callers {
            drop(sink.finish(Answer::Failed(super::behind::closed())));
        }
        if let Some((sink, report)) = drained {
            drop(sink.finish(Answer::Drained(report)));
        }
    }
}
