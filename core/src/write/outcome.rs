//! What writers say of the writes that they were handed.

use bytes::Bytes;

use super::behind::Behind;
use super::item::{Taker, Write, WriteKind};
use super::pending::{Entry, Failed};
use crate::flight::{Change, Lessor};
use crate::sync::lock;

impl Behind {
    /// The source has these writes. Returns how many of them were waited for: those that are unknown, or were answered for
    /// before, are not.
    pub fn ack(&self, numbers: &[u64]) -> u64 {
        let mut changes: Vec<(Bytes, Change)> = Vec::new();
        let mut count = 0;
        {
            let mut inner = lock(&self.inner);
            for number in numbers {
                let Some(Entry { item, direct, .. }) = inner.pending.done(*number) else { continue };
                count += 1;
                let view = inner.pending.view(&item.key);
                let is_last = view.is_none();
                let change = inner.changes.remove(number);
                if direct.is_none() {
                    inner.removed.push(*number);
                }
                match change {
                    // Made by its caller: the cache has it from now on, unless a later write has gone before.
                    Some(change) if is_last => changes.push((item.key, change)),
                    Some(_) => {}
                    // Others may have loaded, and stored, what was there before.
                    None if item.kind == WriteKind::Delta && is_last => changes.push((item.key, Change::Remove)),
                    // Of a stream: when the server has been told.
                    None if inner.shared => {}
                    None => self.tiers.dirty.set(&item.key, self.owner, view),
                }
            }
        }
        self.change(changes);
        self.work.notify_one();
        self.pump();
        self.retime();
        count
    }

    /// These writes failed, by one error. One alone is tried again after a pause, or a dead letter where that is permanent or
    /// it has failed too often. Several are tried again, each by itself where that may tell whose fault it was; the error
    /// is held against none of them. Returns how many were waited for.
    pub fn nack(&self, numbers: &[u64], error: &str, permanent: bool) -> u64 {
        let mut count = 0;
        {
            let now = self.now();
            let mut inner = lock(&self.inner);
            let in_company = numbers.len() > 1;
            for number in numbers {
                if inner.changes.remove(number).is_some() {
                    // Its caller could not make it, and knows.
                    inner.pending.drop_head(*number);
                    count += 1;
                    continue;
                }
                match inner.pending.failed(*number, error, permanent, in_company, now) {
                    Failed::Unknown => {}
                    Failed::Retried => count += 1,
                    Failed::Dead => {
                        count += 1;
                        inner.buried.push(*number);
                    }
                }
            }
            inner.pending.note_failure();
        }
        self.work.notify_one();
        self.pump();
        self.retime();
        count
    }

    /// A write that its caller is to make; none where its time is over.
    pub fn turn(&self, number: u64) -> Option<Write> {
        lock(&self.inner).pending.turn(number)
    }

    /// Changes the cache, and has reads see the tiers again where nothing waits any more.
    pub(super) fn change(&self, changes: Vec<(Bytes, Change)>) {
        if changes.is_empty() {
            return;
        }
        let mut kicks = Vec::with_capacity(changes.len());
        let mut keys = Vec::with_capacity(changes.len());
        for (key, change) in changes {
            kicks.push(self.tiers.apply_behind(&key, change, drop));
            keys.push(key);
        }
        kicks.into_iter().for_each(crate::wire::Kick::go_behind);
        let inner = lock(&self.inner);
        for key in keys {
            self.tiers.dirty.set(&key, self.owner, self.view_of(&inner, &key));
        }
    }
}

impl Taker for Behind {
    fn give_back(&self, numbers: &[u64]) {
        let now = self.now();
        let mut inner = lock(&self.inner);
        numbers.iter().for_each(|number| inner.pending.give_back(*number, now));
        drop(inner);
        self.pump();
        self.retime();
    }
}

impl Lessor for Behind {
    fn abandon(&self, lease: u64) {
        self.nack(&[lease], "its caller gave up", false);
    }
}
