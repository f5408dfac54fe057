//! How a tier follows its server: what that tells of writes, and which server it is.

use std::sync::atomic::Ordering;
use std::sync::{PoisonError, Weak};

use bytes::Bytes;
use tokio::task::AbortHandle;

use super::push::{self, Listener, Partition, Subject};
use super::tier::Tier;
use crate::clock::coarse_ms;
use crate::host::process;

impl Tier {
    /// Listens, on a connection of its own, to what the server tells of writes; until the tier is closed.
    pub fn listen(&self, listener: Weak<dyn Listener>) {
        let tracking = self.plain.as_ref().map(|plain| plain.tracking);
        if tracking == Some(false) && self.subscribed.is_none() {
            return;
        }
        let partition = |sequence: &Bytes, channel: &Bytes, begins| Partition {
            sequence: sequence.clone(),
            channel: Some(channel.clone()),
            begins,
        };
        let partitions = match tracking {
            // Nothing is counted: the beat only proves that this server takes writes.
            Some(_) => vec![Partition { sequence: self.sequence.clone(), channel: None, begins: false }],
            None => vec![
                partition(&self.sequence, &self.channel, true),
                partition(&self.tags.sequence, &self.tags.channel, false),
            ],
        };
        let subject = Subject {
            address: self.address.clone(),
            meta_key: self.meta_key.clone(),
            partitions,
            subscribed: self.subscribed.clone(),
            tracked: (tracking == Some(true)).then(|| self.before_entries()),
            interval: self.beat,
        };
        let task = process().runtime().spawn(push::listen(subject, listener));
        let mut listening = self.listening.lock().unwrap_or_else(PoisonError::into_inner);
        let before = listening.replace(task.abort_handle());
        before.inspect(AbortHandle::abort);
        if self.closed.load(Ordering::Acquire) {
            task.abort();
        }
    }

    /// What the name of each entry begins with.
    pub(super) fn before_entries(&self) -> Bytes {
        Bytes::copy_from_slice(self.entry_pattern.strip_suffix(b"*").unwrap_or(&self.entry_pattern))
    }

    /// Queues the invalidation of all that this process wrote in the last minute: the server may have lost it.
    pub(super) fn replay(&self) {
        let names = self.recent.names(coarse_ms());
        if !names.is_empty() {
            names.into_iter().for_each(|name| self.pending.add(name));
            self.land_behind();
        }
    }
}
