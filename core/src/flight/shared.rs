//! The shared tier as the flights see it: records in and out, their bytes and times translated.

mod holding;
mod seen;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use bytes::Bytes;

use super::entry::{When, entry_of};
use super::grip::{Grip, Taken};
use super::record::{MAX_DEPTH, Record, Stamp, millis};
use super::unstored::{Stored, Unstored};
use crate::clock::Clock;
use crate::codec::{self, Codec};
use crate::envelope::{self, Entry, State, Unreadable};
use crate::error::{Error, ErrorKind, Result};
use crate::key::{Layout, Names};
use crate::options::{MAX_TTL, Options};
use crate::redis::{
    Acquired, Address, Claim, Listener, Read, Revalidated, Settings, Slot, Tier, TlsAndAuth, Token,
};
use crate::stats::{BreakerState, Counters};
use crate::wire::{Driven, Kick};

pub(crate) use seen::There;

/// A ttl and the time for which a value is served stale after it, in ms.
const LONGEST: u64 = 2 * MAX_TTL.as_millis() as u64;

/// An entry of so many bytes is worth being asked whether it is still the same, before it is sent again: the script for that
/// costs a server some microseconds.
const WORTH_ASKING: usize = 4 << 10;

/// From one beat to the next is a third of `max_staleness`, within these.
const SHORTEST_BEAT: Duration = Duration::from_millis(5);
const LONGEST_BEAT: Duration = Duration::from_secs(5);

/// What the shared tier says of one key.
pub(crate) enum Loaded {
    /// A fresh record, its life in the cache's clock.
    Fresh(Record),
    /// A record past its ttl, to be served when the fetch fails.
    Stale(Record),
    /// Nothing.
    Absent,
    /// Nothing that can be read: to be overwritten.
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
    tier: Arc<Tier>,
    layout: Layout,
    prefix: Arc<str>,
    max_value: usize,
    max_staleness: u64,
    counters: Arc<Counters>,
    used: AtomicBool,
    pub(super) unstored: Unstored,
    listener: OnceLock<Weak<dyn Listener>>,
}

impl Shared {
    /// The shared tier that the options name; none for `memory://`.
    pub fn open(options: &Options, counters: &Arc<Counters>) -> Result<Option<Self>> {
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
        let layout = Layout::new(&options.prefix);
        let settings = Settings {
            l2_timeout: options.l2_timeout,
            breaker: options.breaker,
            max_entry: options.max_value + envelope::OVERHEAD,
            meta_key: layout.meta(),
            entry_pattern: layout.entry_pattern(),
            sequence: layout.sequence(),
            channel: on(layout.channel(), address.database()),
            tag_sequence: layout.tag_sequence(),
            tag_channel: on(layout.tag_channel(), address.database()),
            beat: (options.max_staleness / 3).clamp(SHORTEST_BEAT, LONGEST_BEAT),
            before_key: layout.before_key(),
        };
        Ok(Some(Shared {
            tier: Tier::new(address, settings),
            layout,
            prefix: options.prefix.as_str().into(),
            max_value: options.max_value,
            max_staleness: u64::try_from(options.max_staleness.as_millis()).unwrap_or(u64::MAX),
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
        if let Some((known, header)) = known.and_then(|known| known.origin.clone().map(|header| (known, header))) {
            return self.tier.revalidate(slot, name, header, move |name, read| {
                let read = read.map(|Read { found, server_now }| match found {
                    Revalidated::Same => Read { found: Asked::Same(known), server_now },
                    Revalidated::Found(found) => Read { found: Asked::Found(found), server_now },
                });
                done(Named { name, at }, read);
            });
        }
        self.tier.get(slot, name, move |name, read| {
            let read = read.map(|Read { found, server_now }| Read { found: Asked::Found(found), server_now });
            done(Named { name, at }, read);
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

    /// What a read of `key` came to. `now` is the cache's clock at the call: lives are counted from there, so that the
    /// time of the read itself never makes a record younger.
    pub fn loaded(&self, key: &[u8], read: Result<Read<Asked>>, now: u64) -> Loaded {
        match read {
            Ok(Read { found: Asked::Found(found), server_now }) => self.found(key, found, server_now, now),
            Ok(Read { found: Asked::Same(_), .. }) if self.is_pending(key) || self.unstored.has(key) => {
                Loaded::Damaged
            }
            Ok(Read { found: Asked::Same(record), .. }) => {
                let fresh_until = record.expires.min(now + self.max_staleness);
                record.stamp.acknowledge(record.stamp.generation(), fresh_until);
                Loaded::Fresh(record)
            }
            Err(error) => {
                self.counters.l2_errors.add(1);
                of_failure(&error)
            }
        }
    }

    /// What a read of many keys came to: see [`Shared::loaded`].
    pub fn loaded_many<'a>(
        &'a self,
        names: &'a Names,
        read: Result<Read<Vec<Option<Bytes>>>>,
        now: u64,
    ) -> impl Iterator<Item = Loaded> + 'a {
        // One value for each key, or there is no telling whose they are.
        let read = read.map(|read| (read.found.len() == names.len()).then_some(read));
        if !matches!(read, Ok(Some(_))) {
            self.counters.l2_errors.add(1);
        }
        let (mut found, server_now, failure) = match read {
            Ok(Some(Read { found, server_now })) => (found.into_iter(), server_now, None),
            Ok(None) => (Vec::new().into_iter(), 0, None),
            Err(error) => (Vec::new().into_iter(), 0, Some(error)),
        };
        (0..names.len()).map(move |index| match (found.next(), &failure) {
            (Some(found), _) => self.found(names.key(index), found, server_now, now),
            (None, Some(error)) => of_failure(error),
            (None, None) => Loaded::Unreachable,
        })
    }

    /// What was found under `key`: see [`Shared::loaded`].
    pub fn found(&self, key: &[u8], found: Option<Bytes>, server_now: u64, now: u64) -> Loaded {
        match found {
            // An invalidation of this process has not reached it: what stands there is not valid.
            Some(_) if self.is_pending(key) => Loaded::Damaged,
            Some(bytes) => self.read(key, bytes, server_now, now),
            None => Loaded::Absent,
        }
    }

    fn is_pending(&self, key: &[u8]) -> bool {
        self.tier.pending() > 0 && self.tier.is_pending(&self.layout.entry(key))
    }

    fn read(&self, key: &[u8], bytes: Bytes, server_now: u64, now: u64) -> Loaded {
        let origin = (bytes.len() >= WORTH_ASKING).then(|| Bytes::copy_from_slice(&bytes[..envelope::HEADER]));
        let entry = match envelope::decode(bytes, self.prefix.as_bytes(), key, self.max_value) {
            Ok(entry) => entry,
            Err(Unreadable::Unknown) => {
                self.counters.decode_misses.add(1);
                return Loaded::Foreign;
            }
            Err(Unreadable::Corrupt(_)) => {
                self.counters.decode_misses.add(1);
                return Loaded::Damaged;
            }
            Err(Unreadable::WrongKey) => {
                // Both: no value could be read, and who brought it is to blame.
                self.counters.decode_misses.add(1);
                self.counters.l2_errors.add(1);
                self.tier.report_wrong_key();
                return Loaded::Unreachable;
            }
        };
        // While it is loaded, or written, there is no value.
        if matches!(entry.state, State::Leased | State::Hold) {
            return Loaded::Absent;
        }
        if !entry.negative && !readable(entry.codec, &entry.payload) {
            self.counters.decode_misses.add(1);
            return Loaded::Damaged;
        }
        // Each of the times is cut to whole milliseconds.
        let at = now.saturating_sub(server_now.saturating_sub(entry.stored_at) + 2);
        let stored = match entry.token == Token::default() && entry.load_ms == 0 {
            true => Stored::Written(at, entry.generation),
            false => Stored::Loaded(at.saturating_sub(entry.load_ms.into())),
        };
        if self.unstored.is_older(key, stored) {
            return Loaded::Damaged;
        }
        // Longer than any of ours is no life, and no sum of it is to overflow.
        let life = |end: u64| now + end.saturating_sub(server_now).min(LONGEST);
        let expires = life(entry.soft_expiry);
        let record = Record {
            codec: entry.codec,
            bytes: entry.payload,
            negative: entry.negative,
            expires,
            stamp: Stamp::new(expires.min(now + self.max_staleness), entry.generation),
            stale_until: life(entry.hard_expiry).max(expires),
            load_ms: entry.load_ms,
            origin,
            stored: now.saturating_sub(server_now.saturating_sub(entry.stored_at)),
        };
        if record.expires > now && matches!(entry.state, State::Fresh | State::FreshLeased) {
            Loaded::Fresh(record)
        } else if record.stale_until > now {
            Loaded::Stale(record)
        } else {
            Loaded::Absent
        }
    }

    /// The claims for the leases of keys.
    pub fn claims(&self, keys: Vec<(&[u8], Token, bool)>) -> Vec<Claim> {
        let claim = |(key, token, force)| {
            let stub = Entry { state: State::Leased, ..Entry::default() };
            let stub = envelope::encode(&stub, self.prefix.as_bytes(), key).into();
            Claim { name: self.layout.entry(key), token, stub, force }
        };
        keys.into_iter().map(claim).collect()
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
        done: impl FnOnce(Result<Read<Vec<Result<Acquired>>>>) + Send + 'static,
    ) -> Kick {
        self.tier.acquire_many(slot, claims, lease, done)
    }

    /// The lease of `key` that was asked for at `since`, and won after the write of this number.
    pub fn grip(&self, key: &[u8], token: Option<Token>, since: u64, sequence: u64) -> Grip {
        Grip::new(self.tier.clone(), self.layout.entry(key), token, since, sequence)
    }

    /// Stores what was loaded under a lease; `done` gets the number of the last write, none where the lease was lost. A server without leases stores it
    /// if it is still `wanted`.
    pub fn fill(
        &self,
        slot: Slot,
        Taken { name, token }: Taken,
        record: Record,
        clock: &Clock,
        wanted: impl FnOnce() -> bool + Send + 'static,
        done: impl FnOnce(Result<Option<u64>>) + Send + 'static,
    ) -> Kick {
        let (when, prefix, counters) = (When::now(clock), self.prefix.clone(), self.counters.clone());
        let at = self.layout.before_key();
        let entry = move |server_now: u64, token: Token| {
            let (bytes, life) = entry_of(&record, &when, server_now, token, &prefix, &name[at..]);
            (name, bytes, life)
        };
        let done = move |stored: Result<Option<u64>>| {
            if stored.is_err() {
                counters.l2_errors.add(1);
            }
            done(stored);
        };
        match token {
            Some(token) => self.tier.fill(slot, token, move |server_now| entry(server_now, token), done),
            None => {
                let entries = move |server_now, waited: bool| match !waited || wanted() {
                    true => vec![entry(server_now, Token::default())],
                    false => Vec::new(),
                };
                self.tier.put_many(slot, entries, || false, move |stored| done(stored.map(|_| Some(0))))
            }
        }
    }

    /// Writes records in one round trip: `done` gets the number of each write. A server that does not know our
    /// scripts any more gets them if `is_last` says that nothing was written since.
    pub fn store(
        &self,
        slot: Slot,
        records: Vec<(Vec<u8>, Record)>,
        clock: &Clock,
        is_last: impl FnOnce() -> bool + Send + 'static,
        done: impl FnOnce(Result<Vec<u64>>) + Send + 'static,
    ) -> Kick {
        let (when, prefix, layout) = (When::now(clock), self.prefix.clone(), self.layout.clone());
        let entries = move |server_now: u64, _: bool| {
            let entry = |(key, record): (Vec<u8>, Record)| {
                let (bytes, life) = entry_of(&record, &when, server_now, Token::default(), &prefix, &key);
                (layout.entry(&key), bytes, life)
            };
            records.into_iter().map(entry).collect()
        };
        let counters = self.counters.clone();
        self.tier.put_many(slot, entries, is_last, move |stored| {
            if stored.is_err() {
                counters.l2_errors.add(1);
            }
            done(stored);
        })
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

    /// Deletes every entry of the namespace; true where that is left to do.
    pub async fn clear(&self) -> bool {
        self.note_use();
        if self.tier.clear().await.is_ok() {
            return false;
        }
        self.counters.l2_errors.add(1);
        self.tier.queue_clear();
        true
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

/// The name of a channel for one of the server's databases: channels are the same in all.
fn on(mut channel: Vec<u8>, database: u32) -> Vec<u8> {
    if database != 0 {
        channel.extend_from_slice(format!(":{database}").as_bytes());
    }
    channel
}

fn of_failure(error: &Error) -> Loaded {
    match error.kind() {
        ErrorKind::Overloaded => Loaded::Refused(error.clone()),
        _ => Loaded::Unreachable,
    }
}

/// Whether a reader in any language can take the payload: depth and syntax are checked here, before bytes from
/// outside reach the parser of a host.
fn readable(codec: Codec, payload: &[u8]) -> bool {
    match codec {
        Codec::Raw => true,
        Codec::Json => codec::check_json(payload, MAX_DEPTH).is_ok(),
        Codec::MsgPack => codec::msgpack_to_json(payload, MAX_DEPTH).is_ok(),
    }
}

/// The life that a value stored at `now` has in memory, where the shared tier may learn better.
pub(crate) fn capped(expires: u64, now: u64, max_staleness: Duration) -> u64 {
    if max_staleness.is_zero() { now } else { expires.min(now + millis(max_staleness)) }
}
