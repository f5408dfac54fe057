//! What becomes of writes whose worker may be another process: they are in streams.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;

use super::behind::{Behind, Submitted};
use crate::flight::{Change, View};
use crate::host::{Answer, Value};
use crate::sync::{Arc, lock};

impl Behind {
    /// Writes that are in streams take effect here: reads see them, and the cache gets them.
    pub(super) fn take_effect_elsewhere(self: &Arc<Self>, writes: Vec<Submitted>) {
        let (kept, direct): (Vec<Submitted>, Vec<Submitted>) = writes.into_iter().partition(|write| !write.direct);
        {
            let mut inner = lock(&self.inner);
            for Submitted { item, .. } in &kept {
                inner.outstanding.insert(item.number, (item.key.clone(), item.sequence));
                let value = Value { codec: item.codec, bytes: item.value.clone() };
                self.tiers.dirty.set(&item.key, self.owner, Some(View::of(item.kind, &value)));
            }
        }
        let mut kicks = Vec::with_capacity(kept.len());
        let (mut numbers, mut bytes) = (Vec::with_capacity(kept.len()), 0);
        for Submitted { item, change, sink, .. } in kept {
            numbers.push(item.number);
            bytes += item.weight();
            let done = move |receipt| drop(sink.finish(Answer::Done(receipt)));
            kicks.push(self.tiers.apply_behind(&item.key, change, done));
        }
        kicks.into_iter().for_each(crate::wire::Kick::go_behind);
        {
            let mut inner = lock(&self.inner);
            inner.accepted += numbers.len() as u64;
            inner.uncommitted_bytes -= bytes;
            for number in numbers {
                inner.uncommitted.remove(&number);
            }
        }
        self.take_effect(direct);
    }

    /// The source has these writes of ours, or later ones of their keys.
    pub(super) fn note_gone<'a>(&self, gone: impl Iterator<Item = (&'a Bytes, u64)>) {
        let mut doubtful = Vec::new();
        {
            let mut inner = lock(&self.inner);
            let mut last: HashMap<Bytes, u64> = HashMap::new();
            for (key, sequence) in gone {
                let known = last.entry(key.clone()).or_default();
                *known = sequence.max(*known);
            }
            if last.is_empty() {
                return;
            }
            let is_left = |key: &Bytes, sequence: u64| last.get(key).is_none_or(|gone| sequence > *gone);
            inner.outstanding.retain(|_, (key, sequence)| is_left(key, *sequence));
            let left: HashSet<Bytes> = inner.outstanding.values().map(|(key, _)| key.clone()).collect();
            for key in last.into_keys().filter(|key| !left.contains(key)) {
                if matches!(self.tiers.dirty.of(&key), Some(View::Changing)) {
                    // Others may have loaded, and stored, what was there before.
                    doubtful.push((key, Change::Remove));
                } else {
                    self.tiers.dirty.set(&key, self.owner, None);
                }
            }
        }
        self.change(doubtful);
        self.pump();
    }

    /// What reads of a key are to see, now that something of it is done.
    pub(super) fn view_of(&self, inner: &super::behind::Inner, key: &[u8]) -> Option<View> {
        if !inner.shared {
            return inner.pending.view(key);
        }
        let is_left = inner.outstanding.values().any(|(outstanding, _)| outstanding == key);
        if is_left { self.tiers.dirty.of(key) } else { None }
    }
}
