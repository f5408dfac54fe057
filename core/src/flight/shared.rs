//! The shared tier as the flights see it: records in and out, their bytes and times translated.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;

use super::grip::Grip;
use super::judging::{At, Candidate, Found};
use super::record::{MAX_DEPTH, Record, millis};
use crate::codec::{self, Codec};
use crate::envelope::{self, Entry, State, Unreadable};
use crate::error::{Error, ErrorKind, Result};
use crate::host::process;
use crate::key::{Layout, Names};
use crate::options::{MAX_TTL, Options};
use crate::redis::{
    Acquired, Address, Claim, Invalidated, Read, Seen, Settings, Slot, TagSpace, Tier, TlsAndAuth, Token,
};
use crate::stats::{BreakerState, Counters};
use crate::tags::{Known, Looked, Tag, TagSet};
use crate::wire::{Driven, Kick};

/// A ttl and the time for which a value is served stale after it, in ms.
const LONGEST: u64 = 2 * MAX_TTL.as_millis() as u64;

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
    pub(super) prefix: Arc<str>,
    max_value: usize,
    pub(super) max_staleness: u64,
    pub(super) known: Arc<Known>,
    pub(super) counters: Arc<Counters>,
    used: AtomicBool,
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
        let layout = Layout::new(&options.prefix);
        let settings = Settings {
            l2_timeout: options.l2_timeout,
            breaker: options.breaker,
            max_entry: options.max_value + envelope::OVERHEAD,
            meta_key: layout.meta(),
            entry_pattern: layout.entry_pattern(),
            sequence: layout.sequence(),
            channel: layout.channel(),
            before_key: layout.before_key(),
            tags: TagSpace {
                before: layout.tags(),
                sequence: layout.tag_sequence().into(),
                channel: layout.tag_channel().into(),
                known: known.clone(),
            },
        };
        Ok(Some(Shared {
            tier: Tier::new(address, settings),
            layout,
            prefix: options.prefix.as_str().into(),
            max_value: options.max_value,
            max_staleness: Self::believed(options),
            known: known.clone(),
            counters: counters.clone(),
            used: AtomicBool::new(false),
        }))
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
        self.used.store(true, Ordering::Release);
        self.tier.admit(operation, bytes).inspect_err(|_| self.counters.l2_errors.add(1))
    }

    /// Reads a key in one round trip; `done` hands what it gets to [`Shared::loaded`]. As with every operation here it
    /// is called once, with no lock held, and what was asked for first leaves first. What is returned is to be done
    /// when the caller holds no lock.
    pub fn load(
        &self,
        slot: Slot,
        key: &[u8],
        done: impl FnOnce(Named, Result<Read<Option<Bytes>>>) + Send + 'static,
    ) -> Kick {
        let at = self.layout.before_key();
        self.tier.get(slot, self.layout.entry(key), move |name, read| done(Named { name, at }, read))
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
    pub fn loaded(&self, key: &[u8], read: Result<Read<Option<Bytes>>>, now: u64) -> Found {
        match read {
            Ok(Read { found, server_now, looked, fenced }) => {
                self.found(key, found, &looked, At { server_now, now, fenced })
            }
            Err(error) => {
                self.counters.l2_errors.add(1);
                Found::Known(of_failure(&error))
            }
        }
    }

    /// What a read of many keys came to: see [`Shared::loaded`].
    pub fn loaded_many<'a>(
        &'a self,
        names: &'a Names,
        read: Result<Read<Vec<Option<Bytes>>>>,
        now: u64,
    ) -> impl Iterator<Item = Found> + 'a {
        // One value for each key, or there is no telling whose they are.
        let read = read.map(|read| (read.found.len() == names.len()).then_some(read));
        if !matches!(read, Ok(Some(_))) {
            self.counters.l2_errors.add(1);
        }
        let nothing = At { server_now: 0, now, fenced: true };
        let (mut found, at, looked, failure) = match read {
            Ok(Some(Read { found, server_now, looked, fenced })) => {
                (found.into_iter(), At { server_now, now, fenced }, looked, None)
            }
            Ok(None) => (Vec::new().into_iter(), nothing, Looked::default(), None),
            Err(error) => (Vec::new().into_iter(), nothing, Looked::default(), Some(error)),
        };
        (0..names.len()).map(move |index| match (found.next(), &failure) {
            (Some(found), _) => self.found(names.key(index), found, &looked, at),
            (None, Some(error)) => Found::Known(of_failure(error)),
            (None, None) => Found::Known(Loaded::Unreachable),
        })
    }

    /// What was found under `key`: see [`Shared::loaded`].
    pub fn found(&self, key: &[u8], found: Option<Bytes>, looked: &Looked, at: At) -> Found {
        Found::Known(match found {
            // An invalidation of this process has not reached it: what stands there is not valid.
            Some(_) if self.is_pending(key) => Loaded::Damaged,
            Some(bytes) => match self.read(key, bytes, at) {
                Ok(candidate) => return self.judge(candidate, looked),
                Err(loaded) => loaded,
            },
            None => Loaded::Absent,
        })
    }

    fn is_pending(&self, key: &[u8]) -> bool {
        self.tier.pending() > 0 && self.tier.is_pending(&self.layout.entry(key))
    }

    fn read(&self, key: &[u8], bytes: Bytes, at: At) -> std::result::Result<Candidate, Loaded> {
        let At { server_now, now, .. } = at;
        let entry = match envelope::decode(bytes, self.prefix.as_bytes(), key, self.max_value) {
            Ok(entry) => entry,
            Err(Unreadable::Unknown) => {
                self.counters.decode_misses.add(1);
                return Err(Loaded::Foreign);
            }
            Err(Unreadable::Corrupt(_)) => {
                self.counters.decode_misses.add(1);
                return Err(Loaded::Damaged);
            }
            Err(Unreadable::WrongKey) => {
                // Both: no value could be read, and who brought it is to blame.
                self.counters.decode_misses.add(1);
                self.counters.l2_errors.add(1);
                self.tier.report_wrong_key();
                return Err(Loaded::Unreachable);
            }
        };
        // While it is loaded, or written, there is no value.
        if matches!(entry.state, State::Leased | State::Hold) {
            return Err(Loaded::Absent);
        }
        if !entry.negative && !readable(entry.codec, &entry.payload) {
            self.counters.decode_misses.add(1);
            return Err(Loaded::Damaged);
        }
        // Longer than any of ours is no life, and no sum of it is to overflow.
        let life = |end: u64| now + end.saturating_sub(server_now).min(LONGEST);
        let expires = life(entry.soft_expiry);
        let record = Record {
            codec: entry.codec,
            bytes: entry.payload,
            negative: entry.negative,
            expires,
            fresh_until: expires.min(now + self.max_staleness),
            stale_until: life(entry.hard_expiry).max(expires),
            load_ms: entry.load_ms,
            tags: TagSet::new(entry.tags.iter().map(|(tag, _)| tag.clone()).collect()),
        };
        let is_fresh = record.expires > now && matches!(entry.state, State::Fresh | State::FreshLeased);
        if !is_fresh && record.stale_until <= now {
            return Err(Loaded::Absent);
        }
        let (clear, tags) = (entry.clear, entry.tags);
        Ok(Candidate { record, is_fresh, clear, tags, unknown: Vec::new(), at })
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
            let stub = envelope::encode(&stub, self.prefix.as_bytes(), key).into();
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

    /// The lease of `key` that was asked for at `since`.
    pub fn grip(&self, key: &[u8], token: Option<Token>, since: u64, seen: &Arc<Looked>) -> Grip {
        Grip::new(self.tier.clone(), self.layout.entry(key), token, since, seen.clone())
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
        self.used.store(true, Ordering::Release);
        let (tier, counters) = (self.tier.clone(), self.counters.clone());
        let queue = move |tier: &Tier| {
            counters.l2_errors.add(1);
            tier.queue_clear();
        };
        let Ok(slot) = self.tier.admit("clear", 0) else {
            queue(&tier);
            done(None);
            return Kick::NONE;
        };
        self.tier.invalidate_tags(slot, vec![Tag::from(&[][..])], move |invalidated| match invalidated {
            Ok(Invalidated { sequence, fenced: true }) => {
                tier.sweep_behind(sequence);
                done(Some(sequence));
            }
            Ok(Invalidated { fenced: false, .. }) => {
                process().runtime().spawn(async move {
                    let deleted = tier.delete_all().await;
                    if deleted.is_err() {
                        queue(&tier);
                    }
                    done(deleted.ok().map(|()| 0));
                });
            }
            Err(_) => {
                queue(&tier);
                done(None);
            }
        })
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

    /// Ends the connections, after at most `time` for what is pending. Returns how much of that is left.
    pub async fn close(&self, time: Duration) -> usize {
        self.tier.close(time).await
    }
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
