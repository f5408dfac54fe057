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
        let partition = |sequence: &Bytes, channel: &Bytes, begins| Partition {
            sequence: sequence.clone(),
            channel: channel.clone(),
            begins,
        };
        let subject = Subject {
            address: self.address.clone(),
            meta_key: self.meta_key.clone(),
            partitions: vec![
                partition(&self.sequence, &self.channel, true),
                partition(&self.tags.sequence, &self.tags.channel, false),
            ],
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

    /// Queues the invalidation of all that this process wrote in the last minute: the server may have lost it.
    pub(super) fn replay(&self) {
        let names = self.recent.names(coarse_ms());
        if !names.is_empty() {
            names.into_iter().for_each(|name| self.pending.add(name));
            self.land_behind();
        }
    }
}
