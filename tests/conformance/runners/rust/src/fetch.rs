//! The operations of the corpus that load.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use scrubjay::{CacheService, Error, ErrorKind, Fetched as Storing, SetOptions, UpdateError, UpdateOptions};

use crate::expect::{self, OriginError};
use crate::json::Json;
use crate::operations::{key, keys};
use crate::runner::{Ended, Runner, poll, set_options, ttl_of};
use crate::step::{Fetch, Step};
use crate::value::Value;

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Fetched = Result<Storing<Value>, Failure>;

/// How long a leader waits for the others to wait for it.
const LEADER_PATIENCE: Duration = Duration::from_secs(20);

/// A fetch as a step describes it, and what was seen of its runs.
struct Source<'a> {
    runner: &'a Runner,
    cache: &'a CacheService,
    spec: &'a Fetch,
    options: SetOptions,
    value: Option<Value>,
    runs: AtomicUsize,
    broken: Mutex<Option<String>>,
}

impl<'a> Source<'a> {
    fn new(runner: &'a Runner, cache: &'a CacheService, step: &'a Step) -> Result<Self, String> {
        let spec = step.fetch.as_ref().ok_or("there is no fetch")?;
        let value = spec.value.as_ref().map(Value::build).transpose()?;
        if value.is_none() && spec.error.is_none() && !spec.not_found && spec.recursive.is_none() {
            return Err("the fetch has no result".to_owned());
        }
        let options = set_options(step)?;
        Ok(Source { runner, cache, spec, options, value, runs: AtomicUsize::new(0), broken: Mutex::new(None) })
    }

    fn fetch(&self) -> Pin<Box<dyn Future<Output = Fetched> + '_>> {
        Box::pin(async move {
            self.runs.fetch_add(1, Ordering::SeqCst);
            if let Err(why) = self.runner.steps(&self.spec.during).await {
                self.note(why);
            }
            if let Some(key) = &self.spec.recursive {
                let key = Value::key(key)?;
                let value = self.cache.get_or_fetch_with(&key, self.options.clone(), || self.fetch()).await?;
                return Ok(Storing::new(value));
            }
            match (&self.spec.error, &self.value) {
                (Some(error), _) => Err(Failure::from(OriginError(error.clone()))),
                (None, Some(value)) => Ok(storing(self.spec, value.clone())?),
                (None, None) => Err(Failure::from(Error::not_found())),
            }
        })
    }

    fn note(&self, why: String) {
        self.broken.lock().expect("no panic under it").get_or_insert(why);
    }

    fn check(&self, step: &Step) -> Ended {
        if let Some(why) = self.broken.lock().expect("no panic under it").take() {
            return Err(format!("inside the fetch: {why}"));
        }
        let runs = self.runs.load(Ordering::SeqCst);
        match step.expect_fetches {
            Some(expected) if expected != runs => Err(format!("the fetch ran {runs} times, expected {expected}")),
            _ => Ok(()),
        }
    }
}

pub async fn one(runner: &Runner, cache: &CacheService, step: &Step) -> Ended {
    let source = Source::new(runner, cache, step)?;
    let found = cache.get_or_fetch_with(&key(step)?, source.options.clone(), || source.fetch()).await;
    source.check(step)?;
    match found {
        Ok(value) => expect::value(step, &value),
        Err(found) => expect::error(step, &found),
    }
}

pub async fn update(runner: &Runner, cache: &CacheService, step: &Step) -> Ended {
    let source = Source::new(runner, cache, step)?;
    let keys = keys(step)?;
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let updated = cache.update(&keys, update_options(step)?, || source.fetch()).await;
    source.check(step)?;
    match updated {
        Ok((_, receipt)) => expect::receipt(runner, step, Ok(receipt)),
        Err(UpdateError::Cache(found)) => expect::error(step, &found),
        Err(UpdateError::Write(found)) => expect::failed(step, ErrorKind::FetchFailed, &found.to_string()),
    }
}

fn update_options(step: &Step) -> Result<UpdateOptions, String> {
    let mut options = UpdateOptions::new().tags(step.tags.clone());
    for (name, value) in &step.options {
        let seconds = || {
            let seconds = value.text().parse().map_err(|_| format!("{name} is no number"))?;
            Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
        };
        options = match name.as_str() {
            "intent_ttl" => options.intent_ttl(seconds()?),
            "hold" => options.hold(seconds()?),
            "strict" => options.strict(value.text() == "true"),
            other => return Err(format!("unknown option {other:?}")),
        };
    }
    Ok(options)
}

/// A value, and what the fetch says of its storing.
fn storing(spec: &Fetch, value: Value) -> Result<Storing<Value>, String> {
    let storing = Storing::new(value).tags(spec.tags.clone());
    match &spec.ttl {
        Some(ttl) => Ok(storing.ttl(ttl_of(ttl)?)),
        None => Ok(storing),
    }
}

/// How one of many callers ended.
enum Outcome {
    Got(Result<Value, Error>),
    CancelledLeader,
    PanickedLeader,
}

/// Lets many callers ask for one key at once. The first fetch returns when all others wait for it.
pub async fn concurrent(runner: &Runner, cache: &CacheService, step: &Step) -> Ended {
    let source = Source::new(runner, cache, step)?;
    let (key, first) = (key(step)?, AtomicBool::new(false));
    let leader = step.leader.as_deref();
    if !matches!(leader, None | Some("cancel" | "panic")) {
        return Err(format!("unknown leader {leader:?}"));
    }
    let before = cache.stats().waits;
    let others_wait = async || {
        let waits = cache.stats().waits - before;
        if waits + 1 < step.count as u64 { Err(format!("{waits} callers wait")) } else { Ok(()) }
    };
    let caller = || async {
        let (cancel, cancelled) = tokio::sync::oneshot::channel::<()>();
        let fetch = || async {
            if first.swap(true, Ordering::SeqCst) {
                return source.fetch().await;
            }
            if let Err(why) = poll(LEADER_PATIENCE, others_wait).await {
                source.note(why);
            }
            match leader {
                Some("cancel") => {
                    source.runs.fetch_add(1, Ordering::SeqCst);
                    cancel.send(()).unwrap_or_default();
                    std::future::pending().await
                }
                Some(_) => {
                    source.runs.fetch_add(1, Ordering::SeqCst);
                    // As a panic, without its report.
                    std::panic::resume_unwind(Box::new("the leader panics"));
                }
                None => source.fetch().await,
            }
        };
        tokio::select! {
            biased;
            Ok(()) = cancelled => Outcome::CancelledLeader,
            got = CatchUnwind(cache.get_or_fetch_with(&key, source.options.clone(), fetch)) => match got {
                Some(got) => Outcome::Got(got),
                None => Outcome::PanickedLeader,
            },
        }
    };
    let outcomes = join_all((0..step.count).map(|_| caller())).await;
    source.check(step)?;
    let mut shared = None;
    let (mut cancelled, mut panicked) = (0, 0);
    for outcome in outcomes {
        match outcome {
            Outcome::CancelledLeader => cancelled += 1,
            Outcome::PanickedLeader => panicked += 1,
            Outcome::Got(Ok(value)) => expect::value(step, &value)?,
            Outcome::Got(Err(found)) => {
                expect::error(step, &found)?;
                if let Error::Fetch(error) = found {
                    let first = shared.get_or_insert_with(|| error.clone());
                    if !Arc::ptr_eq(first, &error) {
                        return Err("a caller got another error object".to_owned());
                    }
                }
            }
        }
    }
    if (cancelled, panicked) != (usize::from(leader == Some("cancel")), usize::from(leader == Some("panic"))) {
        return Err(format!("{cancelled} callers were cancelled, {panicked} panicked"));
    }
    Ok(())
}

/// None when the future panics.
struct CatchUnwind<F>(F);

impl<F: Future> Future for CatchUnwind<F> {
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, context: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
        // SAFETY: the future stays where it is: nothing moves out of `self`.
        let inner = unsafe { self.map_unchecked_mut(|caught| &mut caught.0) };
        let polled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| inner.poll(context)));
        match polled {
            Ok(polled) => polled.map(Some),
            Err(_) => std::task::Poll::Ready(None),
        }
    }
}

/// Runs futures in this task until all are done.
async fn join_all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.map(|future| Some(Box::pin(future))).collect();
    let mut done = Vec::new();
    std::future::poll_fn(|context| {
        for slot in &mut futures {
            if let Some(future) = slot
                && let std::task::Poll::Ready(output) = future.as_mut().poll(context)
            {
                done.push(output);
                *slot = None;
            }
        }
        if futures.iter().all(Option::is_none) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done
}

pub async fn many(runner: &Runner, cache: &CacheService, step: &Step) -> Ended {
    let spec = step.fetch.as_ref().ok_or("there is no fetch")?;
    let values = expect::build_entries(&spec.values)?;
    let keys = keys(step)?;
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let asked: Mutex<Vec<Vec<String>>> = Mutex::default();
    let broken: Mutex<Option<String>> = Mutex::default();
    let fetch = |missing: Vec<String>| {
        asked.lock().expect("no panic under it").push(missing);
        async {
            if let Err(why) = runner.steps(&spec.during).await {
                broken.lock().expect("no panic under it").get_or_insert(why);
            }
            match &spec.error {
                Some(error) => Err::<HashMap<_, _>, Failure>(OriginError(error.clone()).into()),
                None if spec.not_found => Err(Failure::from(Error::not_found())),
                None => {
                    let storing = |(key, value)| Ok((key, storing(spec, value)?));
                    values.clone().into_iter().map(storing).collect::<Result<_, Failure>>()
                }
            }
        }
    };
    let found = cache.get_or_fetch_many_with(&keys, set_options(step)?, fetch).await;
    if let Some(why) = broken.into_inner().expect("no panic under it") {
        return Err(format!("inside the fetch: {why}"));
    }
    if let Some(expected) = &step.expect_missing {
        let texts = |keys: &Vec<Json>| keys.iter().map(Value::text_key).collect::<Result<Vec<_>, _>>();
        let expected = expected.iter().map(texts).collect::<Result<Vec<_>, _>>()?;
        let asked = asked.into_inner().expect("no panic under it");
        if asked != expected {
            return Err(format!("the fetch was asked for {asked:?}, expected {expected:?}"));
        }
    }
    match found {
        Ok(values) => {
            expect::no_error(step)?;
            expect::entries(step, &values)
        }
        Err(partial) => {
            expect::failed(step, partial.kind(), &partial.to_string())?;
            if let Some(expected) = &step.expect_failed {
                let expected: BTreeSet<String> = expected.iter().map(Value::text_key).collect::<Result<_, _>>()?;
                let failed: BTreeSet<String> = partial.failed.keys().cloned().collect();
                if failed != expected {
                    return Err(format!("failed are {failed:?}, expected {expected:?}"));
                }
            }
            expect::entries(step, &partial.values)
        }
    }
}
