//! Dead letters: writes that failed too often, or for good. Each holds up its own key alone, until it is tried again, is
//! dropped, or a newer state of the key takes its place.

use bytes::Bytes;

use super::behind::{Behind, Phase, closed};
use super::item::Writes;
use crate::error::Result;
use crate::flight::{Change, Reply, Sink};
use crate::host::{Answer, Step};
use crate::sync::{Arc, lock};

/// More letters than this are not shown at once.
const MAX_SHOWN: usize = 10_000;

impl Behind {
    /// Dead letters with numbers above `after`, at most so many (0 for 100): `Writes`, which are to be answered for by
    /// nobody.
    pub fn dead_letters(&self, after: u64, max: usize, reply: &dyn Reply) -> Result<Step> {
        let max = if max == 0 { 100 } else { max.min(MAX_SHOWN) };
        self.asked("dead_letters", reply, move |behind| {
            Answer::Writes(Writes::shown(lock(&behind.inner).pending.letters(after, max)))
        })
    }

    /// Dead letters are tried again, all of them where none is named: `Count` of those that were.
    pub fn replay(&self, numbers: &[u64], reply: &dyn Reply) -> Result<Step> {
        let numbers = numbers.to_vec();
        self.asked("replay", reply, move |behind| {
            let mut count = 0;
            {
                let now = behind.now();
                let mut inner = lock(&behind.inner);
                let numbers = if numbers.is_empty() { inner.pending.dead_numbers() } else { numbers };
                for number in numbers {
                    if let Some(item) = inner.pending.replay(number, now) {
                        inner.revived.push(item);
                        count += 1;
                    }
                }
            }
            behind.work.notify_one();
            behind.pump();
            behind.retime();
            Answer::Count(count)
        })
    }

    /// Dead letters are given up, all of them where none is named: `Count` of those that were. The cache lets go of their
    /// keys: it had what the source never got.
    pub fn drop_letters(&self, numbers: &[u64], reply: &dyn Reply) -> Result<Step> {
        let numbers = numbers.to_vec();
        self.asked("drop", reply, move |behind| {
            let mut changes: Vec<(Bytes, Change)> = Vec::new();
            let mut count = 0;
            {
                let mut inner = lock(&behind.inner);
                let numbers = if numbers.is_empty() { inner.pending.dead_numbers() } else { numbers };
                for number in
                    numbers.into_iter().filter(|number| inner.pending.is_dead(*number)).collect::<Vec<_>>()
                {
                    let Some(entry) = inner.pending.drop_head(number) else { continue };
                    count += 1;
                    inner.removed.push(number);
                    let key = entry.item.key;
                    match inner.pending.view(&key) {
                        None => changes.push((key, Change::Remove)),
                        // What waits behind it has been in the cache ever since.
                        view => behind.tiers.dirty.set(&key, behind.owner, view),
                    }
                }
            }
            behind.change(changes);
            behind.work.notify_one();
            behind.pump();
            behind.retime();
            Answer::Count(count)
        })
    }

    /// Answers once the journals of before have been read.
    fn asked(
        &self,
        operation: &'static str,
        reply: &dyn Reply,
        answer: impl FnOnce(&Behind) -> Answer + Send + 'static,
    ) -> Result<Step> {
        let mut inner = lock(&self.inner);
        if inner.phase == Phase::Closed {
            return Err(closed());
        }
        if inner.opened {
            drop(inner);
            return Ok(Step::Ready(answer(self)));
        }
        let sink: Arc<dyn Sink> = reply.sink(operation, None)?;
        self.start(&mut inner);
        inner.asks.push(Box::new(move |behind| drop(sink.finish(answer(behind)))));
        drop(inner);
        self.work.notify_one();
        Ok(Step::Pending)
    }
}
