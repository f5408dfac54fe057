//! The readers.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::index::sample;
use scrubjay::{Error, ErrorKind};
use tokio::time::sleep;

use crate::log::{Begun, FAILED, LOADED, MISS, NEGATIVE, Op};
use crate::worker::{Value, Worker, is_absent, name, number, ttl};

/// How the truth fails now and then.
#[derive(Debug)]
struct FetchFailed;

impl fmt::Display for FetchFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the truth failed")
    }
}

impl std::error::Error for FetchFailed {}

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How a fetch goes: it takes its time before and after it looks, and fails now and then.
#[derive(Clone, Copy)]
struct Course {
    before: Duration,
    after: Duration,
    fails: bool,
}

impl Course {
    fn draw(worker: &Worker, rng: &mut SmallRng) -> Self {
        let mut pause =
            || Duration::from_secs_f64(if rng.random_bool(0.2) { rng.random::<f64>() * 0.005 } else { 0.0 });
        let (before, mut after) = (pause(), pause());
        if rng.random_bool(0.02) {
            after += Duration::from_millis(50);
        }
        Course { before, after, fails: rng.random_bool(worker.config.fail) }
    }

    async fn look(self, worker: &Worker, keys: &[u32]) -> Result<Vec<i64>, Failure> {
        pause(self.before).await;
        let vers = worker.truth.read(keys).await;
        pause(self.after).await;
        if self.fails { Err(FetchFailed.into()) } else { Ok(vers) }
    }
}

async fn pause(time: Duration) {
    if !time.is_zero() {
        sleep(time).await;
    }
}

/// Reads until it is told to stop, at the pace that it was told.
pub async fn read_on(worker: Arc<Worker>, mut rng: SmallRng) {
    #[expect(clippy::cast_precision_loss, reason = "a few readers")]
    let pace = worker.config.pace / worker.config.readers as f64;
    let (mut begun, mut done) = (Instant::now(), 0_u32);
    while worker.is_reading() {
        for _ in 0..rng.random_range(1..16) {
            done += read(&worker, &mut rng).await;
        }
        let ahead = f64::from(done) / pace - begun.elapsed().as_secs_f64();
        if ahead < -0.5 {
            // What an outage has kept it from is not made up for.
            (begun, done) = (Instant::now(), 0);
        }
        sleep(Duration::from_secs_f64(ahead.max(0.0))).await;
    }
}

/// One call; how many keys it read.
async fn read(worker: &Worker, rng: &mut SmallRng) -> u32 {
    let key = rng.random_range(0..worker.config.keys);
    let kind: f64 = rng.random();
    if kind < 0.45 {
        get(worker, key).await;
        return 1;
    }
    if kind < 0.85 {
        let course = Course::draw(worker, rng);
        get_or_fetch(worker, key, course, Op::GetOrFetch).await;
        return 1;
    }
    let count = rng.random_range(2..7);
    let chosen = sample(rng, worker.config.keys as usize, count);
    let keys: Vec<u32> = chosen.into_iter().filter_map(|key| u32::try_from(key).ok()).collect();
    if kind < 0.92 {
        get_many(worker, &keys).await;
    } else {
        let course = Course::draw(worker, rng);
        get_or_fetch_many(worker, &keys, course).await;
    }
    u32::try_from(count).unwrap_or(1)
}

/// Writes down what a read found.
fn found(worker: &Worker, begun: Begun, key: u32, value: Option<&Value>, flags: u8) {
    match value {
        Some(value) => worker.log.note(begun, key, (value.v, value.k), flags),
        None => worker.log.note(begun, key, (-1, key), flags | MISS),
    }
}

async fn get(worker: &Worker, key: u32) {
    let begun = Begun::new(Op::Get, worker.bound());
    match worker.cache.get::<Value>(&name(key)).await {
        Ok(value) => found(worker, begun, key, value.as_ref(), 0),
        Err(_) => worker.log.note(begun, key, (-1, key), FAILED),
    }
}

async fn get_or_fetch(worker: &Worker, key: u32, course: Course, op: Op) {
    let loaded = AtomicBool::new(false);
    let begun = Begun::new(op, worker.bound());
    let fetch = || async {
        loaded.store(true, Ordering::Relaxed);
        let ver = course.look(worker, &[key]).await?[0];
        if is_absent(key, ver) {
            return Err(Failure::from(Error::not_found()));
        }
        Ok(worker.value(key, ver))
    };
    let read = worker.cache.get_or_fetch(&name(key), ttl(key), fetch).await;
    let flags = if loaded.into_inner() { LOADED } else { 0 };
    match read {
        Ok(value) => found(worker, begun, key, Some(&value), flags),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            worker.log.note(begun, key, (-1, key), flags | NEGATIVE)
        }
        Err(_) => worker.log.note(begun, key, (-1, key), flags | FAILED),
    }
}

async fn get_many(worker: &Worker, keys: &[u32]) {
    let names: Vec<String> = keys.iter().copied().map(name).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let begun = Begun::new(Op::GetMany, worker.bound());
    let (values, flags) = match worker.cache.get_many::<Value>(&names).await {
        Ok(values) => (values, 0),
        Err(_) => (HashMap::new(), FAILED),
    };
    for (key, name) in keys.iter().zip(names) {
        found(worker, begun, *key, values.get(name), flags);
    }
}

async fn get_or_fetch_many(worker: &Worker, keys: &[u32], course: Course) {
    let names: Vec<String> = keys.iter().copied().map(name).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut asked = HashSet::new();
    let begun = Begun::new(Op::GetOrFetchMany, worker.bound());
    let fetch = |missing: Vec<String>| {
        let numbers: Vec<u32> = missing.iter().map(|name| number(name)).collect();
        asked.extend(numbers.iter().copied());
        async move {
            let vers = course.look(worker, &numbers).await?;
            let there = numbers.into_iter().zip(vers).filter(|(key, ver)| !is_absent(*key, *ver));
            Ok::<_, Failure>(
                there.map(|(key, ver)| (name(key), worker.value(key, ver))).collect::<HashMap<_, _>>(),
            )
        }
    };
    let (values, failed) = match worker.cache.get_or_fetch_many(&names, Duration::from_secs(60), fetch).await {
        Ok(values) => (values, HashMap::new()),
        Err(error) => (error.values, error.failed),
    };
    for (key, name) in keys.iter().zip(names) {
        let loaded = if asked.contains(key) { LOADED } else { 0 };
        let failure = if failed.contains_key(name) { FAILED } else { 0 };
        found(worker, begun, *key, values.get(name), loaded | failure);
    }
}

/// Reads every key once more.
pub async fn read_last(worker: &Worker) {
    let course = Course { before: Duration::ZERO, after: Duration::ZERO, fails: false };
    for key in 0..worker.config.keys {
        get_or_fetch(worker, key, course, Op::Last).await;
    }
    worker.log.flush();
}
