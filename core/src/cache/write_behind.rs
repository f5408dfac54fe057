//! `write_behind`: values in the cache at once, in the source later.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::{CacheService, put_options, started, unexpected};
use crate::codec;
use crate::codec::Codec;
use crate::error::{ErrorKind, Result};
use crate::flight::{Lease, PromiseReply};
use crate::host::{Answer, PutOptions, Receipt, Step, Value};
use crate::options::SetOptions;
use crate::write::{BatchOptions, DrainReport, Handle, Write, WriteBehindOptions, WriteBehindStats, WriteKind};

impl CacheService {
    /// Opens a write-behind over this cache. It starts no thread and opens no file before its first use.
    ///
    /// ```
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    /// # runtime.block_on(async {
    /// use std::time::Duration;
    /// use scrubjay::{AckLevel, CacheService, WriteBehindOptions, WriterError};
    ///
    /// let cache = CacheService::new("memory://", "shop")?;
    /// let behind = cache.write_behind(WriteBehindOptions::new("stock").ack(AckLevel::Memory))?;
    /// let worker = behind.run(|writes| async move {
    ///     for write in &writes {
    ///         // One statement for all of them, say.
    ///         println!("{:?} {:?}", write.kind, write.key);
    ///     }
    ///     Ok::<_, WriterError>(())
    /// });
    /// let service = async {
    ///     behind.set("stock:7", &41, 60).await?;
    ///     behind.set("stock:7", &40, 60).await?;
    ///     assert_eq!(cache.get::<i64>("stock:7").await?, Some(40));
    ///     behind.close(Duration::from_secs(5)).await
    /// };
    /// let (report, ()) = tokio::join!(service, async { worker.await.expect("until the close") });
    /// assert_eq!(report?.left, 0);
    /// # Ok::<_, scrubjay::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOption`] naming the option and its limit; [`ErrorKind::Closed`].
    pub fn write_behind(&self, options: WriteBehindOptions) -> Result<WriteBehind> {
        Ok(WriteBehind(Arc::new(Handle::open(self.0.clone(), options)?)))
    }
}

/// A write-behind: its callers write, its workers bring the writes to the source. Cloning shares it. The last clone that
/// goes away ends it, and leaves what is durable to whoever opens it next; [`WriteBehind::close`] waits for the source.
#[derive(Clone)]
pub struct WriteBehind(Arc<Handle>);

/// What became of a write.
#[derive(Debug)]
pub enum Accepted {
    /// It is acknowledged: the source will have it.
    Queued(Receipt),
    /// Too much waits, and `on_full` is `WriteThrough`: the caller makes the write itself, now, and says so.
    Yours(Turn),
}

/// The turn of a caller to make its write itself. Dropped, the write is given up.
#[derive(Debug)]
pub struct Turn {
    lease: Lease,
    behind: WriteBehind,
}

impl Turn {
    /// The write, as a worker would get it; none where its time, `visibility`, is over.
    pub fn write(&self) -> Option<Write> {
        self.behind.0.behind().turn(self.lease.id())
    }

    /// The source has the write; now the cache has it, too.
    pub fn done(self) {
        let number = self.lease.into_id();
        self.behind.ack(&[number]);
    }
}

impl Accepted {
    /// The receipt of a write that is queued.
    pub fn receipt(&self) -> Option<Receipt> {
        if let Accepted::Queued(receipt) = self { Some(*receipt) } else { None }
    }
}

/// Why a writer could not make the writes that it was given.
#[derive(Clone, Debug)]
pub struct WriterError(Vec<WriteFailure>, Option<(String, bool)>);

#[derive(Clone, Debug)]
struct WriteFailure {
    number: u64,
    message: String,
    permanent: bool,
}

impl WriterError {
    /// All of them, for now: they are tried again.
    pub fn retry(message: impl Into<String>) -> Self {
        WriterError(Vec::new(), Some((message.into(), false)))
    }

    /// All of them, for good: a write alone is a dead letter; of several, each is tried alone first.
    pub fn permanent(message: impl Into<String>) -> Self {
        WriterError(Vec::new(), Some((message.into(), true)))
    }

    /// Some of them, to be named by [`WriterError::and`]: the source has the others.
    pub fn some() -> Self {
        WriterError(Vec::new(), None)
    }

    /// This one, too.
    #[must_use]
    pub fn and(mut self, write: &Write, message: impl Into<String>, permanent: bool) -> Self {
        self.0.push(WriteFailure { number: write.number, message: message.into(), permanent });
        self
    }
}

impl<E: std::error::Error> From<E> for WriterError {
    fn from(error: E) -> Self {
        WriterError::retry(error.to_string())
    }
}

impl WriteBehind {
    /// Stores a value in the cache, and behind it in the source, when a worker comes to it. Of several values that wait for
    /// one key the source gets the newest.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidKey`], [`ErrorKind::InvalidValue`], [`ErrorKind::InvalidOption`], [`ErrorKind::Closed`];
    /// [`ErrorKind::Unavailable`]: the journal, or the stream, cannot be written, and nothing has happened;
    /// [`ErrorKind::Overloaded`]: too much waits for the source.
    ///
    /// # Cancel safety
    /// Once polled, the write goes on when the future is dropped.
    pub async fn set<T: Serialize + ?Sized>(
        &self,
        key: &(impl AsRef<[u8]> + ?Sized),
        value: &T,
        options: impl Into<SetOptions>,
    ) -> Result<Accepted> {
        let (codec, bytes) = codec::encode("write_behind", value)?;
        self.write(WriteKind::Set, key.as_ref(), &Value { codec, bytes }, &put_options(options.into())).await
    }

    /// Deletes a key from the cache, and behind it from the source. Until the source has it, a `get_or_fetch` of the key is
    /// [`ErrorKind::NotFound`].
    ///
    /// # Errors
    /// As [`WriteBehind::set`].
    ///
    /// # Cancel safety
    /// As [`WriteBehind::set`].
    pub async fn delete(&self, key: &(impl AsRef<[u8]> + ?Sized)) -> Result<Accepted> {
        let nothing = Value { codec: Codec::Raw, bytes: bytes::Bytes::new() };
        self.write(WriteKind::Delete, key.as_ref(), &nothing, &PutOptions::default()).await
    }

    /// Has the source change what it has under a key, by `change`, which its writer understands: an entry to append, a number
    /// to add. It never merges with another write. The cache lets go of the key, and stores nothing that is loaded before
    /// the source has it.
    ///
    /// # Errors
    /// As [`WriteBehind::set`].
    ///
    /// # Cancel safety
    /// As [`WriteBehind::set`].
    pub async fn delta<T: Serialize + ?Sized>(
        &self,
        key: &(impl AsRef<[u8]> + ?Sized),
        change: &T,
    ) -> Result<Accepted> {
        let (codec, bytes) = codec::encode("write_behind", change)?;
        self.write(WriteKind::Delta, key.as_ref(), &Value { codec, bytes }, &PutOptions::default()).await
    }

    async fn write(&self, kind: WriteKind, key: &[u8], value: &Value, o: &PutOptions) -> Result<Accepted> {
        match self.ask(|reply| self.0.behind().write(kind, key, value, o, reply)).await? {
            Answer::Done(receipt) => Ok(Accepted::Queued(receipt)),
            Answer::Lead(lease) => Ok(Accepted::Yours(Turn { lease, behind: self.clone() })),
            answer => Err(unexpected(&answer)),
        }
    }

    /// The next writes for the source, of different keys, the longest due first; none when none came within `wait`. Each is
    /// to be answered for, with [`WriteBehind::ack`] or [`WriteBehind::nack`], within `visibility`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOption`]; [`ErrorKind::Closed`] at the end.
    ///
    /// # Cancel safety
    /// Writes that a dropped future was about to bring are due again.
    pub async fn next_batch(&self, options: BatchOptions) -> Result<Vec<Write>> {
        match self.ask(|reply| self.0.behind().next_batch(options, reply)).await? {
            Answer::Writes(writes) => Ok(writes.into_items()),
            Answer::Miss => Ok(Vec::new()),
            answer => Err(unexpected(&answer)),
        }
    }

    /// The source has these writes, by their `number`. Returns how many of them were waited for.
    pub fn ack(&self, numbers: &[u64]) -> u64 {
        self.0.behind().ack(numbers)
    }

    /// These writes failed, by one error. One alone is tried again after a pause, or is a dead letter where that is
    /// `permanent` or it failed `max_attempts` times. Several are tried again, each alone where that may tell whose fault it
    /// was; the error is held against none of them. Returns how many were waited for.
    pub fn nack(&self, numbers: &[u64], error: &str, permanent: bool) -> u64 {
        self.0.behind().nack(numbers, error, permanent)
    }

    /// Brings writes to the source until the write-behind is closed. `writer` gets batches of up to 100 writes of different
    /// keys, and has written all of them, or says which it has not. Several may run at once, in one process or many.
    ///
    /// # Errors
    /// Those of [`WriteBehind::next_batch`], but for `Closed`, which is the end.
    ///
    /// # Cancel safety
    /// Writes that a dropped future was at are due again after `visibility`.
    pub async fn run<F, Fut>(&self, writer: F) -> Result<()>
    where
        F: Fn(Vec<Write>) -> Fut,
        Fut: Future<Output = std::result::Result<(), WriterError>>,
    {
        self.run_with(BatchOptions::default(), writer).await
    }

    /// The same with batches as they are asked for.
    ///
    /// # Errors
    /// As [`WriteBehind::run`].
    ///
    /// # Cancel safety
    /// As [`WriteBehind::run`].
    pub async fn run_with<F, Fut>(&self, options: BatchOptions, writer: F) -> Result<()>
    where
        F: Fn(Vec<Write>) -> Fut,
        Fut: Future<Output = std::result::Result<(), WriterError>>,
    {
        loop {
            let writes = match self.next_batch(options).await {
                Ok(writes) if writes.is_empty() => continue,
                Ok(writes) => writes,
                Err(error) if error.kind() == ErrorKind::Closed => return Ok(()),
                Err(error) => return Err(error),
            };
            let numbers: Vec<u64> = writes.iter().map(|write| write.number).collect();
            match writer(writes).await {
                Ok(()) => drop(self.ack(&numbers)),
                Err(WriterError(_, Some((message, permanent)))) => {
                    self.nack(&numbers, &message, permanent);
                }
                Err(WriterError(failures, None)) => {
                    let is_written = |number: &u64| !failures.iter().any(|failure| failure.number == *number);
                    let written: Vec<u64> = numbers.into_iter().filter(is_written).collect();
                    self.ack(&written);
                    for WriteFailure { number, message, permanent } in failures {
                        self.nack(&[number], &message, permanent);
                    }
                }
            }
        }
    }

    /// Dead letters with a `number` above `after`, 100 at most.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`].
    pub async fn dead_letters(&self, after: u64) -> Result<Vec<Write>> {
        match self.ask(|reply| self.0.behind().dead_letters(after, 0, reply)).await? {
            Answer::Writes(writes) => Ok(writes.into_items()),
            answer => Err(unexpected(&answer)),
        }
    }

    /// Has these dead letters, all where none is named, tried again. Returns how many.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`].
    pub async fn replay(&self, numbers: &[u64]) -> Result<u64> {
        self.count(|reply| self.0.behind().replay(numbers, reply)).await
    }

    /// Gives these dead letters up, all where none is named. The cache lets go of their keys. Returns how many.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`].
    pub async fn drop_letters(&self, numbers: &[u64]) -> Result<u64> {
        self.count(|reply| self.0.behind().drop_letters(numbers, reply)).await
    }

    async fn count(&self, call: impl FnOnce(&PromiseReply) -> Result<Step>) -> Result<u64> {
        match self.ask(call).await? {
            Answer::Count(count) => Ok(count),
            answer => Err(unexpected(&answer)),
        }
    }

    /// Waits at most `time` until the source has every write that was acknowledged before. Dead letters are not waited
    /// for. Somebody must [run](WriteBehind::run) meanwhile.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`]. That the time is over is told by the report: `left` is not 0.
    pub async fn flush(&self, time: Duration) -> Result<DrainReport> {
        self.drained(|reply| self.0.behind().flush(time, reply)).await
    }

    /// Takes no more writes, waits at most `time` until the source has those that there are, and ends. A second close reports
    /// what there is.
    ///
    /// # Errors
    /// None so far.
    pub async fn close(&self, time: Duration) -> Result<DrainReport> {
        self.drained(|reply| self.0.behind().close(time, reply)).await
    }

    async fn drained(&self, call: impl FnOnce(&PromiseReply) -> Result<Step>) -> Result<DrainReport> {
        match self.ask(call).await? {
            Answer::Drained(report) => Ok(report),
            answer => Err(unexpected(&answer)),
        }
    }

    /// A snapshot of the counters, in this process.
    pub fn stats(&self) -> WriteBehindStats {
        self.0.behind().stats()
    }

    async fn ask(&self, call: impl FnOnce(&PromiseReply) -> Result<Step>) -> Result<Answer> {
        let answer = match started(call)? {
            Ok(answer) => answer,
            Err(promise) => promise.await,
        };
        if let Answer::Failed(error) = answer { Err(error) } else { Ok(answer) }
    }
}

impl fmt::Debug for WriteBehind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteBehind").finish_non_exhaustive()
    }
}
