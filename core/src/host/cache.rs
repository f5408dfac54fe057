//! One cache object of a host.

use std::sync::Arc;
use std::time::Duration;

use super::answer::{ConsistencyToken, FetchFailure, FetchOptions, Payload, PutOptions, Receipt, Step, Value};
use super::copies::Language;
use super::error_ref::ErrorRef;
use super::queue::Queue;
use crate::error::{Error, Result};
use crate::flight::{Generations, QueueReply, Tiers};
use crate::memory::{Copy, SlotRef, SlotTable, Table};
use crate::options::{Options, UpdateOptions};
use crate::stats::Stats;

/// A cache as a binding holds it. Cloning shares it; the last clone that goes away closes it behind.
///
/// It survives a fork: the child starts with empty memory and connections of its own, and leases of the parent
/// have ended there.
///
/// Every call checks its arguments before anything happens: `InvalidKey`, `InvalidValue` and `InvalidOption`
/// come as the error of the call itself, and so does `Closed`.
#[derive(Clone)]
pub struct Cache(pub(super) Arc<Generations>);

impl Cache {
    /// Opens a cache with options in JSON (see [`Options::from_json`]). Starts no thread and opens no socket.
    ///
    /// # Errors
    /// `InvalidOption` naming the option and its limit.
    pub fn open(options_json: &[u8]) -> Result<Cache> {
        Ok(Cache(Arc::new(Generations::new(Options::from_json(options_json)?)?)))
    }

    fn tiers(&self) -> &Arc<Tiers> {
        self.0.tiers()
    }

    /// What memory can answer with now, and leave to copy it; never pending.
    pub fn peek(&self, key: &[u8]) -> Result<Option<(Payload, Option<Copy>)>> {
        self.tiers().peek(key)
    }

    /// The host will keep decoded copies of what its hits give it, and answer by itself while they are good. To be
    /// called once, before any other call. With the option `isolate` no copies are ever granted.
    pub fn keep_copies(&self, language: Language) {
        self.0.keep_copies(language);
    }

    /// The slot table by which a copy's life is told; none where no copies are granted. Valid as long as this object
    /// and this process: a forked child has another one (see [`fork_generation`](super::fork_generation)).
    pub fn table(&self) -> Option<Table> {
        self.tiers().slot_table().map(SlotTable::view)
    }

    /// The time, in milliseconds of the slot table. Generations that are read after this call are not those of copies that
    /// a silent server has made doubtful; a host that reads the time from the table sees that one tick later.
    pub fn now(&self) -> u32 {
        let tiers = self.tiers();
        // Read once: this is a part of every hit.
        let now = tiers.clock.now_ms();
        tiers.look_at_session(now);
        tiers.slot_table().map_or(0, |table| table.time(now))
    }

    /// Adds to `gone` at most `max` of the copies that have died since the last call. Returns how many. A slot named
    /// there may have been given away again: its generation tells.
    pub fn drain_copies(&self, max: usize, gone: &mut Vec<SlotRef>) -> usize {
        self.tiers().slot_table().map_or(0, |table| table.drain(max, gone))
    }

    /// Has `wake` called, on a thread of the core and with no lock held, when copies have died since the last drain.
    /// Only the first call in a process counts.
    pub fn on_gone(&self, wake: impl Fn() + Send + Sync + 'static) {
        if let Some(table) = self.tiers().slot_table() {
            table.on_gone(Box::new(wake));
        }
    }

    /// Counts hits that were served from copies.
    pub fn note_hits(&self, hits: u64) {
        self.tiers().counters.hits_l1.add(hits);
    }

    /// Reads one key: `Hit` or `Miss`.
    pub fn get(&self, key: &[u8], queue: &Arc<Queue>, token: u64) -> Result<Step> {
        self.tiers().get(key, &QueueReply { queue, token })
    }

    /// Stores one value: `Done`.
    pub fn set(&self, key: &[u8], value: Value, o: &PutOptions, queue: &Arc<Queue>, token: u64) -> Result<Step> {
        self.tiers().set(key, &value, o, &QueueReply { queue, token })
    }

    /// Deletes one key: `Done`.
    pub fn delete(&self, key: &[u8], queue: &Arc<Queue>, token: u64) -> Result<Step> {
        self.tiers().delete(key, &QueueReply { queue, token })
    }

    /// Empties the cache and its namespace in the shared tier: `Done`.
    pub fn clear(&self, queue: &Arc<Queue>, token: u64) -> Result<Step> {
        self.tiers().clear(&QueueReply { queue, token })
    }

    /// Invalidates every entry that has one of these tags: `Done`.
    pub fn invalidate_tags(&self, tags: &[impl AsRef<[u8]>], queue: &Arc<Queue>, token: u64) -> Result<Step> {
        self.tiers().invalidate_tags(tags, &QueueReply { queue, token })
    }

    /// Reads many keys: `Many` of `Hit` and `Miss`.
    pub fn get_many(&self, keys: &[&[u8]], queue: &Arc<Queue>, token: u64) -> Result<Step> {
        self.tiers().get_many(keys, &QueueReply { queue, token })
    }

    /// Stores many values: `Done`. All are checked before the first is stored.
    pub fn set_many(
        &self,
        entries: Vec<(&[u8], Value)>,
        o: &PutOptions,
        queue: &Arc<Queue>,
        token: u64,
    ) -> Result<Step> {
        self.tiers().set_many(&entries, o, &QueueReply { queue, token })
    }

    /// Deletes many keys: `Done`.
    pub fn delete_many(&self, keys: &[&[u8]], queue: &Arc<Queue>, token: u64) -> Result<Step> {
        self.tiers().delete_many(keys, &QueueReply { queue, token })
    }

    /// Begins an update of keys: `Lead`, and now nothing is stored under them, anywhere, until its lease is given to
    /// [`Cache::end_update`]. `abandon` does the same and does not wait, and so does a lead that is never delivered.
    ///
    /// # Errors
    /// Before anything has happened: `InvalidOption`, `InvalidKey`, `Closed`, `Overloaded`. With `strict` the answer may be
    /// `Failed`: the shared tier could not be told.
    pub fn begin_update(&self, keys: &[&[u8]], o: &UpdateOptions, queue: &Arc<Queue>, token: u64) -> Result<Step> {
        self.tiers().begin_update(keys, o, &QueueReply { queue, token })
    }

    /// The write of an update is over, whatever it came to: its keys are invalidated. `Done`.
    ///
    /// # Errors
    /// `LeaseExpired` where the update has ended already.
    pub fn end_update(&self, lease: u64, queue: &Arc<Queue>, token: u64) -> Result<Step> {
        self.tiers().end_update(lease, &QueueReply { queue, token })
    }

    /// Begins a write of one key to the source, once the writers of the key in this process that came before have ended:
    /// `Lead`, whose lease is to be given to [`Cache::end_store`] when the source has the value, or else to
    /// [`Cache::end_update`]; `abandon` is as for that. `value` is what the cache stores then, none for a removal; `held` are
    /// the leases of the fetches and writes inside which this call is made.
    ///
    /// # Errors
    /// Those of [`Cache::begin_update`] and [`Cache::set`]; `RecursiveFetch`: it would wait for the write inside which it is
    /// made.
    #[expect(clippy::too_many_arguments, reason = "what is stored, how, and who asks")]
    pub fn begin_store(
        &self,
        key: &[u8],
        value: Option<&Value>,
        put: &PutOptions,
        o: &UpdateOptions,
        held: &[u64],
        queue: &Arc<Queue>,
        token: u64,
    ) -> Result<Step> {
        self.tiers().begin_store(key, value, put, o, held, &QueueReply { queue, token })
    }

    /// The source has the value: it goes into the cache, unless another writer was at work meanwhile; then its key is
    /// invalidated. `Done`.
    ///
    /// # Errors
    /// `LeaseExpired` where the write has ended already.
    pub fn end_store(&self, lease: u64, queue: &Arc<Queue>, token: u64) -> Result<Step> {
        self.tiers().end_store(lease, &QueueReply { queue, token })
    }

    /// Begins a `get_or_fetch`: `Hit`, `Stale`, `Lead`, `Bypass` or `Failed`.
    pub fn begin(&self, key: &[u8], o: &FetchOptions<'_>, queue: &Arc<Queue>, token: u64) -> Result<Step> {
        self.tiers().begin(key, o, &QueueReply { queue, token })
    }

    /// Begins a `get_or_fetch` of many keys: `Many`, one of the answers of [`Cache::begin`] for each key, or
    /// `Waiting` where another caller leads: that key's answer comes as token + 1 + its index. The tokens from
    /// `token` to `token + keys.len()` belong to this call.
    ///
    /// The host runs one fetch for all keys that it leads, abandons those that the fetch left out, and only
    /// then waits for the others.
    pub fn begin_many(
        &self,
        keys: &[&[u8]],
        o: &FetchOptions<'_>,
        queue: &Arc<Queue>,
        token: u64,
    ) -> Result<Step> {
        self.tiers().begin_many(keys, o, &QueueReply { queue, token })
    }

    /// The fetch of `lease` brought `value`: it is stored, unless the key was written in between, and all
    /// waiters get it. A default ttl is that of the `begin`; tags are added to those of the `begin`.
    ///
    /// # Errors
    /// `LeaseExpired` when the lease has ended: nothing has changed. `InvalidValue` and `InvalidOption`: the
    /// waiters get that error too.
    pub fn fulfil(&self, lease: u64, value: Value, o: &PutOptions) -> Result<Receipt> {
        self.tiers().fulfil(lease, &value, o)
    }

    /// The fetch of `lease` failed. A returned value is stale, and to be served instead of the error.
    ///
    /// # Errors
    /// `LeaseExpired` when the lease has ended: nothing has changed.
    pub fn fail(&self, lease: u64, failure: FetchFailure) -> Result<Option<Payload>> {
        self.tiers().fail(lease, failure)
    }

    /// As [`Cache::fail`] with `FetchFailed`, and the failure is remembered for `negative_ttl`: later callers get `FetchFailed`
    /// with its message, as they would get `NotFound`. Nothing stale is served instead.
    ///
    /// # Errors
    /// `LeaseExpired` when the lease has ended: nothing has changed.
    pub fn fail_remembered(&self, lease: u64, message: String, error_ref: u64) -> Result<()> {
        // An empty message would say that there is nothing.
        let message = if message.is_empty() { "the fetch failed".to_owned() } else { message };
        self.tiers().fail_remembered(lease, &Error::fetch_failed(message, ErrorRef::new(error_ref)))
    }

    /// The holder of `lease` gave up: the next waiter leads, or the update ends. Does nothing for a lease that has ended.
    pub fn abandon(&self, lease: u64) {
        self.tiers().abandon(lease);
    }

    /// The host could not decode what was stored under `key`: it is counted and goes from memory.
    pub fn note_undecodable(&self, key: &[u8]) {
        self.tiers().note_undecodable(key);
    }

    /// Sees to it that reads of these keys which begin after this call find the write of `token`, or a later one.
    ///
    /// # Errors
    /// `InvalidKey`, `Closed`.
    pub fn observe(&self, keys: &[&[u8]], token: ConsistencyToken) -> Result<()> {
        self.tiers().observe(keys, token)
    }

    /// How old a hit may be at most, by what is known now; none where no bound can be told.
    pub fn effective_staleness_bound(&self) -> Option<Duration> {
        self.tiers().effective_staleness_bound()
    }

    /// What is known of a key: a `Hit` with an [`Explanation`](crate::Explanation) as JSON.
    pub fn explain(&self, key: &[u8], queue: &Arc<Queue>, token: u64) -> Result<Step> {
        self.tiers().explain(key, &QueueReply { queue, token })
    }

    /// A snapshot of the counters.
    pub fn stats(&self) -> Stats {
        self.tiers().stats()
    }

    /// Closes the cache: `Done`, with `pending` when invalidations did not land within 5 s. Waiters get
    /// `Closed`, and so does every later call. A second close is done at once.
    pub fn close(&self, queue: &Arc<Queue>, token: u64) -> Result<Step> {
        self.tiers().close(&QueueReply { queue, token })
    }
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache").finish_non_exhaustive()
    }
}
