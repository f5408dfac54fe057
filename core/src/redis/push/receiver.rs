//! What comes on the push connection unasked: messages on our channels and on that of other programs, and what the server
//! tells of keys that it tracks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;

use super::echo::Echo;
use super::ledger::Ledgers;
use super::message::{Kind, Message};
use super::{Listener, Subject};
use crate::key::MAX_KEY;
use crate::wire::Reply;

/// Hands on what comes. Its calls come one after the other.
pub(super) struct Receiver {
    listener: Weak<dyn Listener>,
    /// The channels of the partitions, in their order.
    channels: Vec<Option<Bytes>>,
    /// That of other programs.
    subscribed: Option<Bytes>,
    echo: Mutex<Echo>,
    /// What names of tracked keys begin with.
    tracked: Option<Bytes>,
    /// Counts what was told of tracked keys: the server does not.
    count: AtomicU64,
    ledgers: Arc<Mutex<Ledgers>>,
}

impl Receiver {
    pub fn new(subject: &Subject, listener: Weak<dyn Listener>, ledgers: Arc<Mutex<Ledgers>>) -> Receiver {
        Receiver {
            listener,
            channels: subject.partitions.iter().map(|partition| partition.channel.clone()).collect(),
            subscribed: subject.subscribed.clone(),
            echo: Mutex::default(),
            tracked: subject.tracked.clone(),
            count: AtomicU64::new(1),
            ledgers,
        }
    }

    /// Something came.
    pub fn receive(&self, items: &[Reply]) {
        let Some(listener) = self.listener.upgrade() else { return };
        match items {
            [Reply::Value(kind), Reply::Value(channel), Reply::Value(bytes)] if &kind[..] == b"message" => {
                let known = |known: &Option<Bytes>| known.as_ref() == Some(channel);
                if let Some(partition) = self.channels.iter().position(known) {
                    self.told(&*listener, partition, bytes);
                } else if known(&self.subscribed) && !self.echo().is_ours(bytes) {
                    listener.told_plainly(bytes);
                }
            }
            [Reply::Value(kind), of] if &kind[..] == b"invalidate" => self.changed(&*listener, of),
            // Too much of something: it may have been anything.
            [Reply::Value(kind), ..] if &kind[..] != b"message" => {}
            _ => self.ledgers().miss(),
        }
    }

    fn told(&self, listener: &dyn Listener, partition: usize, bytes: &[u8]) {
        let message = Message::parse(bytes);
        self.ledgers().told(partition, message.as_ref());
        let mut echo = self.echo();
        match &message {
            Some(message) if message.kind == Kind::Published => echo.expect(message.names()),
            _ => echo.expect([].into_iter()),
        }
        drop(echo);
        if let Some(message) = message {
            listener.told(&message);
        }
    }

    /// Tracked keys were written, by whomever.
    fn changed(&self, listener: &dyn Listener, of: &Reply) {
        let sequence = self.count.fetch_add(1, Ordering::Relaxed);
        let names = match of {
            Reply::List(names) => names,
            // All of them.
            Reply::Nothing => return listener.told(&Message::of_all(sequence)),
            _ => return self.ledgers().miss(),
        };
        let before = self.tracked.as_deref().unwrap_or_default();
        let mut keys = Vec::new();
        for name in names {
            let Reply::Value(name) = name else { return self.ledgers().miss() };
            // What is no key of ours is nobody's here.
            let key = name.strip_prefix(before).filter(|key| (1..=MAX_KEY).contains(&key.len()));
            keys.extend(key);
        }
        listener.told(&Message::of_tracked(sequence, &Message::encoded(&keys)));
    }

    fn echo(&self) -> std::sync::MutexGuard<'_, Echo> {
        self.echo.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ledgers(&self) -> std::sync::MutexGuard<'_, Ledgers> {
        self.ledgers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
