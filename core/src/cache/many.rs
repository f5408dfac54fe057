//! The calls of a Rust cache on many keys.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{CacheService, Fetched, HELD, fetch_error, held, held_with, put_options, started, unexpected};
use crate::codec;
use crate::error::{Error, ErrorKind, Result};
use crate::flight::{Lease, PromiseReply};
use crate::host::{Answer, FetchOptions, PutOptions, Receipt, Value};
use crate::options::SetOptions;

/// Some keys of a call on many failed. It is the source of an [`ErrorKind::Partial`] and made for being taken
/// apart: see [`CacheService::get_or_fetch_many`].
#[derive(Debug)]
#[non_exhaustive]
pub struct PartialError<T> {
    /// The values that could be had.
    pub values: HashMap<String, T>,
    /// The keys that failed, each with its error.
    pub failed: HashMap<String, Error>,
    /// Why the whole call was refused, before any key was looked at.
    refused: Option<Error>,
}

impl<T> fmt::Display for PartialError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(error) = &self.refused {
            return error.fmt(f);
        }
        let (failed, all) = (self.failed.len(), self.failed.len() + self.values.len());
        write!(f, "get_or_fetch_many: Partial: {failed} of {all} keys failed")
    }
}

impl<T: fmt::Debug> std::error::Error for PartialError<T> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let first = self.refused.as_ref().or_else(|| self.failed.values().next())?;
        Some(first)
    }
}

impl<T> PartialError<T> {
    /// [`ErrorKind::Partial`]; or, when the whole call was refused, the kind of that: a wrong key or option, or a
    /// closed cache. Then every key is in `failed` with that error.
    pub fn kind(&self) -> ErrorKind {
        self.refused.as_ref().map_or(ErrorKind::Partial, Error::kind)
    }

    fn all(keys: &[&str], error: &Error) -> Self {
        let failed = keys.iter().map(|key| ((*key).to_owned(), error.clone())).collect();
        PartialError { values: HashMap::new(), failed, refused: Some(error.clone()) }
    }
}

impl CacheService {
    /// Reads many keys in one round trip: a map of those that have a value.
    ///
    /// # Errors
    /// Those of [`CacheService::get`]; [`ErrorKind::Overloaded`] also where the values are more than 64 MiB together.
    pub async fn get_many<T: DeserializeOwned>(&self, keys: &[&str]) -> Result<HashMap<String, T>> {
        let names: Vec<&[u8]> = keys.iter().map(|key| key.as_bytes()).collect();
        let Answer::Many(answers) = self.ask(|reply| self.tiers().get_many(&names, reply)).await? else {
            return Ok(HashMap::new());
        };
        let mut values = HashMap::with_capacity(keys.len());
        for (key, answer) in keys.iter().zip(answers) {
            if let Answer::Hit { value, .. } = answer
                && let Some(decoded) = self.decode(key.as_bytes(), &value)
            {
                values.insert((*key).to_owned(), decoded);
            }
        }
        Ok(values)
    }

    /// Stores many values in one round trip. All are checked before the first is stored.
    ///
    /// # Errors
    /// Those of [`CacheService::set`].
    pub async fn set_many<'a, T: Serialize + ?Sized + 'a>(
        &self,
        entries: impl IntoIterator<Item = (&'a str, &'a T)>,
        options: impl Into<SetOptions>,
    ) -> Result<Receipt> {
        let entries = entries.into_iter().map(|(key, value)| {
            let (value, _) = self.encode("set_many", value, SetOptions::default())?;
            Ok((key.as_bytes(), value))
        });
        let entries: Vec<(&[u8], Value)> = entries.collect::<Result<_>>()?;
        let put = put_options(options.into());
        self.write(|reply| self.tiers().set_many(&entries, &put, reply)).await
    }

    /// Deletes many keys in one round trip.
    ///
    /// # Errors
    /// Those of [`CacheService::delete`].
    pub async fn delete_many(&self, keys: &[&str]) -> Result<Receipt> {
        let names: Vec<&[u8]> = keys.iter().map(|key| key.as_bytes()).collect();
        self.write(|reply| self.tiers().delete_many(&names, reply)).await
    }

    /// Reads many keys, and runs `fetch` once for all that no tier has and no other caller loads. What it
    /// returns is stored, keys that it leaves out stay absent.
    ///
    /// `fetch` is called again only for keys whose other caller gave up.
    ///
    /// # Errors
    /// [`PartialError`] when any key failed, with the values of the others.
    ///
    /// # Cancel safety
    /// As [`CacheService::get_or_fetch`].
    pub async fn get_or_fetch_many<T, E, F, Fut>(
        &self,
        keys: &[&str],
        options: impl Into<SetOptions>,
        mut fetch: F,
    ) -> std::result::Result<HashMap<String, T>, PartialError<T>>
    where
        T: Serialize + DeserializeOwned,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
        F: FnMut(Vec<String>) -> Fut,
        Fut: Future<Output = std::result::Result<HashMap<String, T>, E>>,
    {
        let fetch = |missing| {
            let values = fetch(missing);
            async { Ok(values.await?.into_iter().map(|(key, value)| (key, Fetched::new(value))).collect()) }
        };
        self.get_or_fetch_many_with::<T, E, _, _>(keys, options, fetch).await
    }

    /// As [`CacheService::get_or_fetch_many`]; the fetch says of each value how it is to be stored.
    ///
    /// # Errors
    /// As [`CacheService::get_or_fetch_many`].
    ///
    /// # Cancel safety
    /// As [`CacheService::get_or_fetch`].
    pub async fn get_or_fetch_many_with<T, E, F, Fut>(
        &self,
        keys: &[&str],
        options: impl Into<SetOptions>,
        mut fetch: F,
    ) -> std::result::Result<HashMap<String, T>, PartialError<T>>
    where
        T: Serialize + DeserializeOwned,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
        F: FnMut(Vec<String>) -> Fut,
        Fut: Future<Output = std::result::Result<HashMap<String, Fetched<T>>, E>>,
    {
        let put = put_options(options.into());
        let mut distinct: Vec<&str> = Vec::with_capacity(keys.len());
        let mut seen = std::collections::HashSet::new();
        distinct.extend(keys.iter().filter(|key| seen.insert(**key)));
        let keys = distinct;
        let mut out = PartialError { values: HashMap::new(), failed: HashMap::new(), refused: None };

        let (answers, waiting) =
            self.begin_many(&keys, &put, false).await.map_err(|error| PartialError::all(&keys, &error))?;
        let mut led = Vec::new();
        let mut unreadable = Vec::new();
        for (key, answer) in keys.iter().zip(answers) {
            self.sort(key, answer, &mut out, &mut led, &mut unreadable);
        }
        self.lead_many(led, &put, &mut fetch, &mut out).await;
        for (index, promise) in waiting {
            let mut led = Vec::new();
            self.sort(keys[index], promise.await, &mut out, &mut led, &mut unreadable);
            self.lead_many(led, &put, &mut fetch, &mut out).await;
        }
        // What did not decode is loaded anew, once, past the tiers.
        for key in unreadable {
            let answer = self.begin(key.as_bytes(), &put, true).await.unwrap_or_else(Answer::Failed);
            let (mut led, mut again) = (Vec::new(), Vec::new());
            self.sort(key, answer, &mut out, &mut led, &mut again);
            self.lead_many(led, &put, &mut fetch, &mut out).await;
            for key in again {
                out.failed.insert(key.to_owned(), super::other_type());
            }
        }
        if out.failed.is_empty() { Ok(out.values) } else { Err(out) }
    }

    async fn begin_many(
        &self,
        keys: &[&str],
        put: &PutOptions,
        bypass_cache: bool,
    ) -> Result<(Vec<Answer>, Vec<(usize, crate::flight::Promise)>)> {
        let begun = {
            let names: Vec<&[u8]> = keys.iter().map(|key| key.as_bytes()).collect();
            let held = held();
            let o = FetchOptions { put: put.clone(), held: &held, bypass_cache, ..FetchOptions::default() };
            let mut waiting = Vec::new();
            started(|reply: &PromiseReply| {
                let step = self.tiers().begin_many(&names, &o, reply);
                waiting = reply.take_keys();
                step
            })
            .map(|begun| (begun, waiting))?
        };
        let (begun, waiting) = begun;
        let answer = match begun {
            Ok(answer) => answer,
            Err(promise) => promise.await,
        };
        match answer {
            Answer::Many(answers) => Ok((answers, waiting)),
            Answer::Failed(error) => Err(error),
            answer => Err(unexpected(&answer)),
        }
    }

    fn sort<'a, T: DeserializeOwned>(
        &self,
        key: &'a str,
        answer: Answer,
        out: &mut PartialError<T>,
        led: &mut Vec<(&'a str, Option<Lease>, Option<T>)>,
        unreadable: &mut Vec<&'a str>,
    ) {
        match answer {
            Answer::Hit { value, lease, .. } | Answer::Stale { value, lease } => {
                match (self.decode(key.as_bytes(), &value), lease) {
                    (Some(decoded), None) => drop(out.values.insert(key.to_owned(), decoded)),
                    (old, Some(lease)) => led.push((key, Some(lease), old)),
                    (None, None) => unreadable.push(key),
                }
            }
            Answer::Lead(lease) => led.push((key, Some(lease), None)),
            Answer::Bypass => led.push((key, None, None)),
            // Somebody asked the source, and there is nothing: the key stays absent, as if left out.
            Answer::Failed(error) if error.kind() == ErrorKind::NotFound => {}
            Answer::Failed(error) => drop(out.failed.insert(key.to_owned(), error)),
            Answer::Waiting
            | Answer::Miss
            | Answer::Done(_)
            | Answer::Many(_)
            | Answer::Writes(_)
            | Answer::Count(_)
            | Answer::Drained(_) => {}
        }
    }

    /// Runs one fetch for the keys that this caller leads, and answers for each lease.
    async fn lead_many<T, E, F, Fut>(
        &self,
        led: Vec<(&str, Option<Lease>, Option<T>)>,
        put: &PutOptions,
        fetch: &mut F,
        out: &mut PartialError<T>,
    ) where
        T: Serialize + DeserializeOwned,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
        F: FnMut(Vec<String>) -> Fut,
        Fut: Future<Output = std::result::Result<HashMap<String, Fetched<T>>, E>>,
    {
        if led.is_empty() {
            return;
        }
        let missing: Vec<String> = led.iter().map(|(key, _, _)| (*key).to_owned()).collect();
        let leases: Vec<u64> = led.iter().filter_map(|(_, lease, _)| lease.as_ref().map(Lease::id)).collect();
        let fetched = HELD.scope(held_with(&leases), async { fetch(missing).await }).await;
        match fetched.map_err(|error| fetch_error(error.into())) {
            Ok(mut values) => {
                for (key, lease, old) in led {
                    match values.remove(key) {
                        Some(fetched) => self.settle(key, lease, fetched, put, out),
                        // Left out: dropping the lease lets the next waiter ask the source itself.
                        None => drop(old.map(|old| out.values.insert(key.to_owned(), old))),
                    }
                }
            }
            Err(error) => {
                for (key, lease, old) in led {
                    let stale =
                        lease.and_then(|lease| self.tiers().fail_as(lease.into_id(), &error).ok().flatten());
                    let stale = stale.and_then(|value| codec::decode(value.codec, &value.bytes).ok());
                    match old.or(stale) {
                        Some(value) => drop(out.values.insert(key.to_owned(), value)),
                        None => drop(out.failed.insert(key.to_owned(), error.clone())),
                    }
                }
            }
        }
    }

    fn settle<T: Serialize>(
        &self,
        key: &str,
        lease: Option<Lease>,
        fetched: Fetched<T>,
        put: &PutOptions,
        out: &mut PartialError<T>,
    ) {
        let Fetched { value, ttl, tags, keep } = fetched;
        let stored = lease.map_or(Ok(()), |lease| {
            let id = lease.into_id();
            let options = SetOptions { ttl, codec: put.codec, tags };
            self.encode("get_or_fetch_many", &value, options)
                .and_then(|(value, put)| {
                    self.tiers().fulfil(id, &value, &PutOptions { discard: !keep, ..put }).map(drop)
                })
                .inspect_err(|error| drop(self.tiers().fail_with(id, error)))
        });
        match stored {
            Err(error) if error.kind() != ErrorKind::LeaseExpired => {
                out.failed.insert(key.to_owned(), error);
            }
            _ => drop(out.values.insert(key.to_owned(), value)),
        }
    }
}
