//! Plain entries: bare JSON, as programs read and write it that know nothing of Scrubjay.
//!
//! They become entries of ours as soon as they are read, so that nothing else knows of them. Such an entry has no proof that
//! it belongs to its key.

use std::time::Duration;

use bytes::Bytes;

use super::admission::Slot;
use super::commands;
use super::fenced::millis;
use super::link::Turn;
use super::tier::{Read, Tier};
use super::trouble::Trouble;
use crate::envelope::{self, Entry};
use crate::error::Error;
use crate::key::Names;
use crate::tags::Looked;
use crate::wire::{Kick, Outbound, Replies, Reply};

/// What is needed to read plain entries.
#[derive(Clone, Debug)]
pub(crate) struct Plain {
    pub prefix: Box<[u8]>,
    /// The life of an entry that never ends on the server.
    pub ttl: Duration,
    /// Whether the server is asked to tell of the writes of all.
    pub tracking: bool,
}

impl Plain {
    /// The entry for what was found under `key` with this reply to `PTTL`: nothing where it has ended in between.
    fn entry(
        &self,
        key: &[u8],
        found: Option<Bytes>,
        life: &Reply,
        server_now: u64,
    ) -> Result<Option<Bytes>, Trouble> {
        let life = match life {
            Reply::Number(-1) => millis(self.ttl),
            Reply::Number(life) => u64::try_from(*life).unwrap_or(0),
            other => return Err(other.into()),
        };
        // No bytes at all: it was too large.
        Ok(found.filter(|_| life > 0).map(|payload| {
            if payload.is_empty() {
                payload
            } else {
                let end = server_now + life;
                let entry = Entry {
                    payload,
                    soft_expiry: end,
                    hard_expiry: end,
                    stored_at: server_now,
                    ..Entry::default()
                };
                envelope::encode(&entry, &self.prefix, key).into()
            }
        }))
    }
}

impl Tier {
    /// As [`Tier::get`], of a plain entry.
    pub(super) fn get_plain(
        &self,
        plain: Plain,
        slot: Slot,
        name: Vec<u8>,
        done: impl FnOnce(Vec<u8>, Result<Read<Option<Bytes>>, Error>) + Send + 'static,
    ) -> Kick {
        let prepare = move |tier: &Tier, turn: &Turn<'_>, name: &Vec<u8>| {
            let pending = tier.pending.contains(name);
            let (connection, key) = (turn.connection.clone(), name[tier.before_key..].to_vec());
            move |name: &Vec<u8>, to: &mut Outbound| {
                commands::get(name, to);
                commands::life(name, to);
                move |replies: Replies| {
                    let (found, life) = commands::without_last(replies, true)?;
                    let found = commands::value(found)?.filter(|_| !pending);
                    let server_now = connection.time.late();
                    let found = plain.entry(&key, found, &life.ok_or(Trouble::Unexpected)?, server_now)?;
                    Ok(Read { found, server_now, looked: Looked::default(), fenced: false })
                }
            }
        };
        self.begin("get", slot, name, prepare, done)
    }

    /// As [`Tier::get_many`], of plain entries.
    pub(super) fn get_many_plain(
        &self,
        plain: Plain,
        slot: Slot,
        names: Names,
        done: impl FnOnce(Names, Result<Read<Vec<Option<Bytes>>>, Error>) + Send + 'static,
    ) -> Kick {
        let prepare = move |tier: &Tier, turn: &Turn<'_>, names: &Names| {
            let connection = turn.connection.clone();
            let keys: Vec<(Vec<u8>, bool)> = (0..names.len())
                .map(|index| (names.key(index).to_vec(), tier.pending.contains(names.name(index))))
                .collect();
            move |names: &Names, to: &mut Outbound| {
                commands::get_many(names, to);
                (0..names.len()).for_each(|index| commands::life(names.name(index), to));
                move |replies: Replies| {
                    let mut replies: Vec<Reply> = replies.into_iter().collect();
                    let at = replies.len().checked_sub(keys.len()).ok_or(Trouble::Unexpected)?;
                    let lives = replies.split_off(at);
                    let found = commands::values(replies.into_iter().collect(), keys.len())?;
                    let server_now = connection.time.late();
                    let mut entries = Vec::with_capacity(keys.len());
                    for ((found, life), (key, pending)) in found.into_iter().zip(&lives).zip(&keys) {
                        entries.push(plain.entry(key, found.filter(|_| !pending), life, server_now)?);
                    }
                    let found = entries;
                    Ok(Read { found, server_now, looked: Looked::default(), fenced: false })
                }
            }
        };
        self.begin("get_many", slot, names, prepare, done)
    }
}
