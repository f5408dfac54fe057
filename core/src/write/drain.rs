//! `flush` and `close`: to wait until the source has what was acknowledged.

use std::time::Duration;

use super::behind::{Behind, Inner, Phase, closed, millis};
use crate::error::Result;
use crate::flight::{Reply, Sink};
use crate::host::{Answer, Step};
use crate::sync::{Arc, lock};

/// What a `flush` or a `close` came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DrainReport {
    /// Writes that the source got meanwhile.
    pub written: u64,
    /// Writes that it has not got. After a close they are in the journal or the stream, for whoever opens it next; with
    /// `memory` they are lost.
    pub left: u64,
    /// Dead letters, which stay where they are.
    pub dead: u64,
}

/// Somebody who waits until the source has what there was.
pub(super) struct Flush {
    sink: Arc<dyn Sink>,
    /// The youngest write that counts.
    target: u64,
    /// In ms of the clock.
    pub until: u64,
    written_before: u64,
}

/// A close under way.
pub(super) struct Draining {
    pub sink: Option<Arc<dyn Sink>>,
    until: u64,
    written_before: u64,
    /// Nothing more is waited for.
    over: bool,
}

impl Draining {
    pub fn is_over(&self) -> bool {
        self.over
    }
}

impl Behind {
    /// Waits until the source has every write that was acknowledged before, or the time is over: `Drained`.
    pub fn flush(&self, time: Duration, reply: &dyn Reply) -> Result<Step> {
        let sink = reply.sink("flush", None)?;
        let mut inner = lock(&self.inner);
        if inner.phase == Phase::Closed {
            drop(inner);
            sink.withdraw();
            return Err(closed());
        }
        self.start(&mut inner);
        let until = self.now().saturating_add(millis(time));
        let target = crate::flight::next_id();
        let written_before = inner.pending.written;
        inner.flushes.push(Flush { sink, target, until, written_before });
        drop(inner);
        self.pump();
        self.retime();
        Ok(Step::Pending)
    }

    /// Takes no more writes, has those that there are written until the time is over, and ends: `Drained`. A second call
    /// reports what there is.
    pub fn close(&self, time: Duration, reply: &dyn Reply) -> Result<Step> {
        let sink = reply.sink("close", None)?;
        let mut inner = lock(&self.inner);
        if inner.phase != Phase::Open || !inner.has_started() {
            inner.phase = if inner.phase == Phase::Draining { Phase::Draining } else { Phase::Closed };
            let report = inner.report(inner.pending.written);
            drop(inner);
            self.pump();
            sink.withdraw();
            return Ok(Step::Ready(Answer::Drained(report)));
        }
        inner.phase = Phase::Draining;
        let written_before = inner.pending.written;
        let until = self.now().saturating_add(millis(time));
        inner.draining = Some(Draining { sink: Some(sink), until, written_before, over: false });
        drop(inner);
        self.work.notify_one();
        self.pump();
        self.retime();
        Ok(Step::Pending)
    }
}

impl Inner {
    /// Answers those whose time has come, one way or the other.
    pub fn end_flushes(&mut self, now: u64, answers: &mut Vec<(Arc<dyn Sink>, Answer)>) {
        let flushes = std::mem::take(&mut self.flushes);
        for flush in flushes {
            let is_behind = self.is_pending_behind(flush.target)
                || self.uncommitted.first().is_some_and(|n| *n <= flush.target);
            let is_failed = self.failed.is_some() && !self.uncommitted.is_empty();
            let waits = !self.opened || is_behind || is_failed;
            if waits && flush.until > now && self.phase != Phase::Closed {
                self.flushes.push(flush);
            } else {
                let report = self.report(flush.written_before);
                answers.push((flush.sink, Answer::Drained(report)));
            }
        }
        // What a worker of streams has in hand is not left to the next one while it may still be answered for.
        let quiet = self.opened && self.left() == 0 && self.pending.in_flight() == 0;
        if let Some(draining) = &mut self.draining
            && (quiet || draining.until <= now)
        {
            draining.over = true;
        }
    }

    /// Writes up to this number that the source has not got. With `redis` those of this process count, wherever they are
    /// read.
    fn is_pending_behind(&self, target: u64) -> bool {
        match self.shared {
            true => self.outstanding.first_key_value().is_some_and(|(first, _)| *first <= target),
            false => self.pending.is_behind(target),
        }
    }

    fn left(&self) -> u64 {
        let kept = if self.shared { self.outstanding.len() as u64 } else { self.pending.depth() };
        kept + self.uncommitted.len() as u64
    }

    /// When a close gives up.
    pub fn drains_until(&self) -> Option<u64> {
        self.draining.as_ref().filter(|draining| !draining.over).map(|draining| draining.until)
    }

    /// What has been written since there were so many, and what has not.
    pub fn report(&self, written_before: u64) -> DrainReport {
        DrainReport {
            written: self.pending.written.saturating_sub(written_before),
            left: self.left(),
            dead: self.pending.dead(),
        }
    }

    /// The report of the close, and who waits for it.
    pub fn end_drain(&mut self) -> Option<(Arc<dyn Sink>, DrainReport)> {
        let draining = self.draining.as_mut()?;
        let (sink, before) = (draining.sink.take()?, draining.written_before);
        Some((sink, self.report(before)))
    }
}

impl DrainReport {
    /// The report as a JSON object.
    pub fn to_json(&self) -> String {
        format!("{{\"written\":{},\"left\":{},\"dead\":{}}}", self.written, self.left, self.dead)
    }
}
