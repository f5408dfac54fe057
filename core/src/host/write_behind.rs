//! A write-behind as a binding holds it.

use std::sync::Arc;
use std::time::Duration;

use super::answer::{PutOptions, Step, Value};
use super::cache::Cache;
use super::queue::Queue;
use crate::codec::Codec;
use crate::error::Result;
use crate::flight::QueueReply;
use crate::write::{BatchOptions, Handle, Taker, Write, WriteBehindOptions, WriteBehindStats, WriteKind};

/// A write-behind over a cache: its callers write, its workers pull batches of writes, make them, and say so. Cloning
/// shares it; the last clone that goes away ends it, and leaves what is durable to whoever opens it next.
///
/// Opening one starts no thread and opens no file: its first use in a process does, so that a server may open it before
/// it forks. A forked child has a journal of its own, and nothing of what its parent's callers wrote.
///
/// Every call checks its arguments before anything happens: `InvalidKey`, `InvalidValue`, `InvalidOption` and `Closed` come
/// as the error of the call itself. None of them blocks.
#[derive(Clone)]
pub struct WriteBehind(Arc<Handle>);

impl WriteBehind {
    /// How long a `flush` or a `close` waits where its caller does not say.
    pub const DRAIN: Duration = Duration::from_secs(5);

    /// Opens a write-behind with options in JSON (see [`WriteBehindOptions`]).
    ///
    /// # Errors
    /// `InvalidOption` naming the option and its limit; `Closed`.
    pub fn open(cache: &Cache, options_json: &[u8]) -> Result<WriteBehind> {
        Ok(WriteBehind(Arc::new(Handle::open(cache.0.clone(), WriteBehindOptions::from_json(options_json)?)?)))
    }

    /// Stores a value in the cache, and behind it in the source: `Done` when that is acknowledged at the level of the
    /// options; `Failed` with `Unavailable` where it cannot be kept, with `Overloaded` where too much waits.
    ///
    /// `Lead` (only with `on_full = "write_through"`): the caller makes this very write itself, now, then answers with
    /// [`WriteBehind::ack`] or [`WriteBehind::nack`] for the number of the lease. A lead that is dropped is taken back.
    pub fn set(&self, key: &[u8], value: &Value, o: &PutOptions, queue: &Arc<Queue>, token: u64) -> Result<Step> {
        self.0.behind().write(WriteKind::Set, key, value, o, &QueueReply { queue, token })
    }

    /// Deletes a key from the cache, and behind it from the source: as [`WriteBehind::set`]. Until the source has it, a
    /// `get_or_fetch` of the key is `NotFound`.
    pub fn delete(&self, key: &[u8], queue: &Arc<Queue>, token: u64) -> Result<Step> {
        let nothing = Value { codec: Codec::Raw, bytes: bytes::Bytes::new() };
        let (kind, o) = (WriteKind::Delete, PutOptions::default());
        self.0.behind().write(kind, key, &nothing, &o, &QueueReply { queue, token })
    }

    /// Has the source change what it has under a key, by `change`, which its writer understands. It never merges with
    /// another write. The cache lets go of the key, and stores nothing that is loaded before the source has it. As
    /// [`WriteBehind::set`].
    pub fn delta(&self, key: &[u8], change: &Value, queue: &Arc<Queue>, token: u64) -> Result<Step> {
        let (kind, o) = (WriteKind::Delta, PutOptions::default());
        self.0.behind().write(kind, key, change, &o, &QueueReply { queue, token })
    }

    /// The next writes for the source, of different keys, the longest due first: `Writes`; `Miss` when none came within
    /// `wait`; `Failed` with `Closed` at the end. Whoever gets them answers for each with [`WriteBehind::ack`] or
    /// [`WriteBehind::nack`], within `visibility`. Writes in an answer that is cancelled or dropped are due again.
    pub fn next_batch(&self, o: BatchOptions, queue: &Arc<Queue>, token: u64) -> Result<Step> {
        self.0.behind().next_batch(o, &QueueReply { queue, token })
    }

    /// The source has these writes, by their `number`. Returns how many of them were waited for.
    pub fn ack(&self, numbers: &[u64]) -> u64 {
        self.0.behind().ack(numbers)
    }

    /// These writes failed, by one error, whose text (1 KiB of it) a dead letter keeps. Name those of a batch that failed
    /// as a whole in one call, and those that failed each by itself in a call each: several are tried again, each alone
    /// where that may tell whose fault it was, and the error is held against none of them; one alone is tried again after a
    /// pause, or is a dead letter where that is `permanent` or it failed `max_attempts` times. Returns how many were waited
    /// for.
    pub fn nack(&self, numbers: &[u64], error: &str, permanent: bool) -> u64 {
        self.0.behind().nack(numbers, error, permanent)
    }

    /// A worker ends, and has not tried these writes, or not to their end: they are due again at once, and it is held against
    /// none of them.
    pub fn give_back(&self, numbers: &[u64]) {
        Taker::give_back(&**self.0.behind(), numbers);
    }

    /// The write that its caller is to make, by the number of the lease of its `Lead`; none where its time is over.
    pub fn turn(&self, lease: u64) -> Option<Write> {
        self.0.behind().turn(lease)
    }

    /// Dead letters with a `number` above `after`, at most `max` (0 for 100): `Writes`, each with its `error`.
    pub fn dead_letters(&self, after: u64, max: usize, queue: &Arc<Queue>, token: u64) -> Result<Step> {
        self.0.behind().dead_letters(after, max, &QueueReply { queue, token })
    }

    /// Has these dead letters, all where none is named, tried again: `Count`.
    pub fn replay(&self, numbers: &[u64], queue: &Arc<Queue>, token: u64) -> Result<Step> {
        self.0.behind().replay(numbers, &QueueReply { queue, token })
    }

    /// Gives these dead letters up, all where none is named: `Count`. The cache lets go of their keys.
    pub fn drop_letters(&self, numbers: &[u64], queue: &Arc<Queue>, token: u64) -> Result<Step> {
        self.0.behind().drop_letters(numbers, &QueueReply { queue, token })
    }

    /// Waits at most `time` until the source has every write that was acknowledged before: `Drained`. Dead letters are not
    /// waited for. Somebody must pull batches meanwhile.
    pub fn flush(&self, time: Duration, queue: &Arc<Queue>, token: u64) -> Result<Step> {
        self.0.behind().flush(time, &QueueReply { queue, token })
    }

    /// Takes no more writes, hands out those that there are for `time` at most, and ends: `Drained`. Calls of
    /// `next_batch` that wait then fail with `Closed`. A second close reports what there is.
    pub fn close(&self, time: Duration, queue: &Arc<Queue>, token: u64) -> Result<Step> {
        self.0.behind().close(time, &QueueReply { queue, token })
    }

    /// A snapshot of the counters, in this process.
    pub fn stats(&self) -> WriteBehindStats {
        self.0.behind().stats()
    }
}

impl std::fmt::Debug for WriteBehind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WriteBehind").finish_non_exhaustive()
    }
}
