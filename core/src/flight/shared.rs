//! The shared tier as the flights see it: records in and out, their bytes and times translated.

mod holding;
mod reading;
mod seen;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use bytes::Bytes;

use super::grip::Grip;
use super::record::{Record, millis};
use super::unstored::Unstored;
use crate::envelope::{self, Entry, State};
use crate::error::{Error, Result};
use crate::host::process;
use crate::key::{Format, Layout, Names};
use crate::options::Options;
use crate::redis::{
    Acquired, Address, Claim, Invalidated, Listener, Plain, Read, Revalidated, Seen, Settings, Slot, StreamSpace,
    TagSpace, Tier, TlsAndAuth, Token,
};
use crate::stats::{BreakerState, Counters};
use crate::tags::{Known, Looked, Tag};
use crate::wire::{Driven, Kick};

pub(crate) use seen::There;

/// From one beat to the next is a third of `max_staleness`, within these.
const SHORTEST_BEAT: Duration = Duration::from_millis(5);
const LONGEST_BEAT: Duration = Duration::from_secs(30);

/// What the shared tier says of one key.
pub(crate) enum Loaded {
    /// A fresh record, its life in the cache's clock.
    Fresh(Record),
    /// A record past its ttl, to be served when the fetch fails.
    Stale(Record),
    /// Nothing.
    Absent,
    /// Nothing that can be read, or that is good any more: to be overwritten.
    Damaged,
    /// Something that this release does not know: a miss that must not be overwritten.
    Foreign,
    /// It could not be asked.
    Unreachable,
    /// It was not asked, or what it says is more than this process takes at once: `Overloaded`.
    Refused(Error),
}

/// What a read of one entry brought.
pub(crate) enum Asked {
    /// An entry, or none.
    Found(Option<Bytes>),
    /// It is still what memory had.
    Same(Record),
}

/// A key, as it stands in the name of its entry.
pub(crate) struct Named {
    name: Vec<u8>,
    at: usize,
}

impl Named {
    pub fn key(&self) -> &[u8] {
        &self.name[self.at..]
    }
}

/// The shared tier of one cache.
pub(crate) struct Shared {
    pub(super) tier: Arc<Tier>,
    pub(super) layout: Layout,
    max_value: usize,
    pub(super) max_staleness: u64,
    pub(super) known: Arc<Known>,
    pub(super) counters: Arc<Counters>,
    used: AtomicBool,
    pub(super) unstored: Unstored,
    listener: OnceLock<Weak<dyn Listener>>,
}

impl Shared {
    /// The shared tier that the options name; none for `memory://`.
    pub fn open(options: &Options, counters: &Arc<Counters>, known: &Arc<Known>) -> Result<Option<Self>> {
        if options.url == "memory://" {
            return Ok(None);
        }
        let tls_and_auth = TlsAndAuth {
            ca: options.tls_ca.clone(),
            cert: options.tls_cert.clone(),
            key: options.tls_key.clone(),
            username: options.username.clone(),
            password: options.password.clone(),
        };
        let address = Address::parse(&options.url, tls_and_auth)?;
        let layout = Layout::new(&options.prefix, options.format);
        let settings = Settings {
            l2_timeout: options.l2_timeout,
            breaker: options.breaker,
            max_entry: options.max_value + envelope::OVERHEAD,
            meta_key: (options.format == Format::Scrubjay).then(|| layout.meta()),
            plain: (options.format == Format::Plain).then(|| Plain {
                prefix: layout.prefix().into(),
                ttl: options.ttl,
                tracking: options.tracking,
            }),
            subscribed: options.subscribe_invalidations.clone().map(Bytes::from),
            published: options.publish_invalidations.clone().map(Bytes::from),
            entry_pattern: layout.entry_pattern(),
            sequence: layout.sequence(),
            channel: on(layout.channel(), address.database()),
            // Where memory is never believed, the connection only wakes those that wait.
            beat: match options.max_staleness.is_zero() {
                true => LONGEST_BEAT,
                false => (options.max_staleness / 3).clamp(SHORTEST_BEAT, LONGEST_BEAT),
            },
            before_key: layout.before_key(),
            tags: TagSpace {
                before: layout.tags(),
                sequence: layout.tag_sequence().into(),
                channel: on(layout.tag_channel(), address.database()).into(),
                known: known.clone(),
            },
        };
        Ok(Some(Shared {
            tier: Tier::new(address, settings),
            layout,
            max_value: options.max_value,
            max_staleness: Self::believed(options),
            known: known.clone(),
            counters: counters.clone(),
            used: AtomicBool::new(false),
            unstored: Unstored::default(),
            listener: OnceLock::new(),
        }))
    }

    /// Who is told of writes, from the first use on. Only the first call counts.
    pub fn tell(&self, listener: Weak<dyn Listener>) {
        drop(self.listener.set(listener));
    }

    fn note_use(&self) {
        if !self.used.load(Ordering::Acquire)
            && !self.used.swap(true, Ordering::AcqRel)
            && let Some(listener) = self.listener.get()
        {
            self.tier.listen(listener.clone());
        }
    }

    /// For how long what the server says is believed, in ms.
    pub fn believed(options: &Options) -> u64 {
        u64::try_from(options.max_staleness.as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether anything was ever asked of it.
    pub fn is_used(&self) -> bool {
        self.used.load(Ordering::Acquire)
    }

    /// Lets an operation in that sends so many bytes of keys and values.
    ///
    /// # Errors
    /// `Overloaded`: too many operations or bytes are in flight. Nothing has been done.
    pub fn admit(&self, operation: &'static str, bytes: usize) -> Result<Slot> {
        self.note_use();
        self.tier.admit(operation, bytes).inspect_err(|_| self.counters.l2_errors.add(1))
    }

    /// Reads a key in one round trip; `done` hands what it gets to [`Shared::loaded`]. As with every operation here it
    /// is called once, with no lock held, and what was asked for first leaves first. What is returned is to be done
    /// when the caller holds no lock.
    ///
    /// `known` is what memory has: where its value is long, that is not sent again if it is still the same.
    pub fn load(
        &self,
        slot: Slot,
        key: &[u8],
        known: Option<Record>,
        done: impl FnOnce(Named, Result<Read<Asked>>) + Send + 'static,
    ) -> Kick {
        let at = self.layout.before_key();
        let name = self.layout.entry(key);
        if let Some((known, header)) =
            known.and_then(|known| known.origin.as_deref().cloned().map(|header| (known, header)))
        {
            return self.tier.revalidate(slot, name, header, move |name, read| {
                let told = |found| match found {
                    Revalidated::Same => Asked::Same(known),
                    Revalidated::Found(found) => Asked::Found(found),
                };
                done(Named { name, at }, read.map(|read| read.map(told)));
            });
        }
        self.tier.get(slot, name, move |name, read| {
            done(Named { name, at }, read.map(|read| read.map(Asked::Found)));
        })
    }

    /// Reads many keys in one round trip: as [`Shared::load`].
    pub fn load_many(
        &self,
        slot: Slot,
        names: Names,
        done: impl FnOnce(Names, Result<Read<Vec<Option<Bytes>>>>) + Send + 'static,
    ) -> Kick {
        self.tier.get_many(slot, names, done)
    }

    /// The names of the entries of `keys`.
    pub fn names<'a>(&self, keys: impl ExactSizeIterator<Item = &'a [u8]>) -> Names {
        self.layout.names(keys)
    }

    /// Looks at the versions of tags, in one round trip.
    pub fn look_at(&self, slot: Slot, tags: Vec<Tag>, done: impl FnOnce(Result<Looked>) + Send + 'static) -> Kick {
        self.tier.look_at(slot, tags, done)
    }

    /// Gives versions to those tags that have none, and looks at all.
    pub fn versions(
        &self,
        slot: Slot,
        Seen { tags, life }: Seen,
        done: impl FnOnce(Result<Looked>) + Send + 'static,
    ) -> Kick {
        self.tier.versions(slot, tags, life, done)
    }

    /// The claims for the leases of keys.
    pub fn claims(&self, keys: Vec<(&[u8], Token, bool)>) -> Vec<Claim> {
        let claim = |(key, token, force)| {
            let stub = Entry { state: State::Leased, ..Entry::default() };
            let stub = envelope::encode(&stub, self.layout.prefix(), key).into();
            Claim { name: self.layout.entry(key), token, stub, force }
        };
        keys.into_iter().map(claim).collect()
    }

    /// When a look that began at `now` of the cache's clock has to have ended.
    pub fn ends(&self, now: u64) -> u64 {
        self.budget() - self.known.look().asked.saturating_sub(now).min(self.budget())
    }

    /// When a look that begins now has to have ended, with the claim that may follow from it.
    pub fn budget(&self) -> u64 {
        self.tier.budget()
    }

    /// Asks for leases in one round trip, within the time of `slot`.
    pub fn acquire(
        &self,
        slot: Slot,
        claims: Vec<Claim>,
        lease: Duration,
        tags: Seen,
        done: impl FnOnce(Result<Read<Vec<Result<Acquired>>>>) + Send + 'static,
    ) -> Kick {
        self.tier.acquire_many(slot, claims, lease, tags, done)
    }

    /// The lease of `key` that was asked for at `since`, and won after the write of this number.
    pub fn grip(&self, key: &[u8], token: Option<Token>, since: u64, sequence: u64, seen: Arc<Looked>) -> Grip {
        Grip::new(self.tier.clone(), self.layout.entry(key), token, since, sequence, seen)
    }

    /// Invalidates keys in one round trip: `done` gets the number of that. Where it fails they are queued and retried
    /// until they land; then `done` gets none.
    pub fn invalidate(
        &self,
        slot: Slot,
        keys: &[Vec<u8>],
        done: impl FnOnce(Option<u64>) + Send + 'static,
    ) -> Kick {
        let names = keys.iter().map(|key| self.layout.entry(key)).collect();
        let (tier, counters) = (self.tier.clone(), self.counters.clone());
        self.tier.invalidate_many(slot, names, move |names, invalidated| {
            if invalidated.is_err() {
                counters.l2_errors.add(1);
                names.into_iter().for_each(|name| tier.queue_invalidation(name));
            }
            done(invalidated.ok());
        })
    }

    /// Queues the invalidation of keys whose write did not come through.
    pub fn invalidate_later(&self, keys: impl IntoIterator<Item = Vec<u8>>) {
        for key in keys {
            self.tier.queue_invalidation(self.layout.entry(&key));
        }
    }

    /// Invalidates tags in one round trip: `done` gets the number of that. Where it fails they are queued and retried until
    /// they land; then `done` gets none.
    pub fn invalidate_tags(
        &self,
        slot: Slot,
        tags: Vec<Tag>,
        done: impl FnOnce(Option<u64>) + Send + 'static,
    ) -> Kick {
        let (tier, counters, named) = (self.tier.clone(), self.counters.clone(), tags.clone());
        self.tier.invalidate_tags(slot, tags, move |invalidated| {
            if invalidated.is_err() {
                counters.l2_errors.add(1);
                tier.queue_tags(&named);
            }
            done(invalidated.ok().map(|invalidated| invalidated.sequence));
        })
    }

    /// Ends every entry of the namespace, in one round trip: as [`Shared::invalidate_tags`]. The memory that they take is
    /// freed behind.
    pub fn clear(&self, done: impl FnOnce(Option<u64>) + Send + 'static) -> Kick {
        self.note_use();
        let (tier, counters) = (self.tier.clone(), self.counters.clone());
        if self.is_plain() {
            process().runtime().spawn(delete_all(tier, counters, done));
            return Kick::NONE;
        }
        let Ok(slot) = self.tier.admit("clear", 0) else {
            clear_later(&tier, &counters);
            done(None);
            return Kick::NONE;
        };
        self.tier.invalidate_tags(slot, vec![Tag::from(&[][..])], move |invalidated| match invalidated {
            Ok(Invalidated { sequence, fenced: true }) => {
                tier.sweep_behind(sequence);
                done(Some(sequence));
            }
            Ok(Invalidated { fenced: false, .. }) => {
                process().runtime().spawn(delete_all(tier, counters, done));
            }
            Err(_) => {
                clear_later(&tier, &counters);
                done(None);
            }
        })
    }

    /// Where the streams of a write-behind are.
    pub fn streams(&self, name: &str) -> (Arc<Tier>, StreamSpace) {
        self.note_use();
        (self.tier.clone(), StreamSpace::new(self.layout.behind(name), self.layout.dirty()))
    }

    /// Whether its entries are plain.
    pub fn is_plain(&self) -> bool {
        self.layout.format == Format::Plain
    }

    /// Whether reads are to go on as if it were not there.
    pub fn is_cut_off(&self) -> bool {
        let is_cut_off = self.tier.is_cut_off();
        if is_cut_off {
            self.counters.l2_errors.add(1);
        }
        is_cut_off
    }

    /// How many invalidations have not landed.
    pub fn pending(&self) -> usize {
        self.tier.pending()
    }

    /// Who drove its connections.
    pub fn driven(&self) -> &Driven {
        self.tier.driven()
    }

    pub fn breaker_state(&self) -> BreakerState {
        self.tier.breaker_state()
    }

    /// Whether the server is not known to be without scripts, or not to let us run them.
    pub fn is_fenced(&self) -> bool {
        self.tier.is_fenced()
    }

    /// Ends the connections, after at most `time` for what is pending. Returns how much of that is left.
    pub async fn close(&self, time: Duration) -> usize {
        self.tier.close(time).await
    }
}

/// Deletes every entry, where none has a version that would end it.
async fn delete_all(tier: Arc<Tier>, counters: Arc<Counters>, done: impl FnOnce(Option<u64>)) {
    let deleted = tier.delete_all().await;
    if deleted.is_err() {
        clear_later(&tier, &counters);
    }
    done(deleted.ok().map(|()| 0));
}

fn clear_later(tier: &Tier, counters: &Counters) {
    counters.l2_errors.add(1);
    tier.queue_clear();
}

/// The name of a channel for one of the server's databases: channels are the same in all.
fn on(mut channel: Vec<u8>, database: u32) -> Vec<u8> {
    if database != 0 {
        channel.extend_from_slice(format!(":{database}").as_bytes());
    }
    channel
}

/// The life that a value stored at `now` has in memory, where the shared tier may learn better.
pub(crate) fn capped(expires: u64, now: u64, max_staleness: Duration) -> u64 {
    if max_staleness.is_zero() { now } else { expires.min(now + millis(max_staleness)) }
}
