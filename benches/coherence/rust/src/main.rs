//! The worker of Rust: tasks of a runtime of one thread. See `../run.py`.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::io::BufRead;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use scrubjay::{BreakerState, CacheService};
use serde_json::{Value, json};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::sleep;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const KEYS: usize = 100;
const TTL: u64 = 3600;
const FETCH: Duration = Duration::from_millis(5);
const WARM_CALLERS: usize = 2;
const COLD_CALLERS: usize = 4;
const BURST: usize = 500;
const PAUSE: Duration = Duration::from_millis(1);
const HITS: usize = 4_000;
/// What no hit takes.
const SLOW: Duration = Duration::from_millis(1);
/// Rounds before those that count.
const WARM_UP: usize = 10;

/// How many keys were cold so far.
static COLDS: AtomicU64 = AtomicU64::new(0);

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    let mut caches = None;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let (command, argument) = line.split_once(' ').unwrap_or((&line, ""));
        let answer = local.block_on(&runtime, async {
            if caches.is_none() {
                caches = Some(Caches::open(argument).await?);
            }
            let caches = caches.as_ref().ok_or("there are no caches")?;
            match command {
                "ready" => caches.ready().await,
                "hits" => caches.hits(argument.parse()?).await,
                "load" => caches.load(Duration::from_secs_f64(argument.parse()?)).await,
                other => Err(format!("unknown command {other}").into()),
            }
        })?;
        println!("{answer}");
    }
    Ok(())
}

/// One with Redis, and one in memory alone.
struct Caches {
    shared: CacheService,
    alone: CacheService,
}

impl Caches {
    async fn open(url: &str) -> Result<Self> {
        let caches =
            Caches { shared: CacheService::new(url, "bench")?, alone: CacheService::new("memory://", "bench")? };
        for number in 0..KEYS {
            caches.alone.set(&key(number), &key(number), TTL).await?;
        }
        Ok(caches)
    }

    /// Waits until Redis tells of writes, and memory has all keys.
    async fn ready(&self) -> Result<Value> {
        loop {
            let before = self.shared.stats();
            for number in 0..KEYS {
                let key = key(number);
                let found: String =
                    self.shared.get_or_fetch(&key, TTL, || async { Ok::<_, std::io::Error>(key.clone()) }).await?;
                check(found == key)?;
            }
            let after = self.shared.stats();
            let all_hit = after.hits_l1 - before.hits_l1 == KEYS as u64;
            if all_hit && after.breaker_state == BreakerState::Closed && after.coherence_lag_ms > 0 {
                return Ok(json!({}));
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Times hits of both, in turn.
    async fn hits(&self, rounds: usize) -> Result<Value> {
        let drawn: Vec<String> = (0..HITS).map(|n| key(n * 37 % KEYS)).collect();
        let mut times = [Vec::new(), Vec::new()];
        for round in 0..WARM_UP + rounds {
            for turn in 0..2 {
                let which = (round + turn) % 2;
                let cache = [&self.shared, &self.alone][which];
                let mut found = None;
                let begun = Instant::now();
                for key in &drawn {
                    found = cache.get::<String>(key).await?;
                }
                let took = begun.elapsed();
                check(found.as_ref() == drawn.last())?;
                if round >= WARM_UP {
                    times[which].push(took.as_secs_f64() * 1e9 / HITS as f64);
                }
            }
        }
        let [on, off] = times;
        Ok(json!({"on": on, "off": off}))
    }

    /// Warm and cold callers side by side.
    async fn load(&self, window: Duration) -> Result<Value> {
        let end = Instant::now() + window;
        let (warm, cold) = (Rc::new(RefCell::new(Vec::new())), Rc::new(RefCell::new(Vec::new())));
        let mut callers = Vec::new();
        for _ in 0..WARM_CALLERS {
            callers.push(spawn_local(warm_caller(self.shared.clone(), end, warm.clone())));
        }
        for _ in 0..COLD_CALLERS {
            let caches = [self.shared.clone(), self.alone.clone()];
            callers.push(spawn_local(cold_caller(caches, end, cold.clone())));
        }
        for caller in callers {
            caller.await?.map_err(|error| error.to_string())?;
        }
        let mut warm = warm.take();
        warm.sort_unstable();
        let (p50, p99) = (micros(warm[warm.len() / 2]), micros(warm[warm.len() * 99 / 100]));
        let cold: Vec<(f64, &str)> = cold.take();
        let slow = warm.len() - warm.partition_point(|time| *time < SLOW);
        let slow_ppm = slow as f64 * 1e6 / warm.len() as f64;
        Ok(json!({"warm": {"p50_us": p50, "p99_us": p99, "slow_ppm": slow_ppm}, "cold": cold}))
    }
}

async fn warm_caller(
    cache: CacheService,
    end: Instant,
    times: Rc<RefCell<Vec<Duration>>>,
) -> std::result::Result<(), Box<dyn Error + Send + Sync>> {
    let keys: Vec<String> = (0..KEYS).map(key).collect();
    let mut own = Vec::new();
    let mut number = 0;
    while Instant::now() < end {
        for _ in 0..BURST {
            let key = &keys[number % KEYS];
            number += 1;
            let begun = Instant::now();
            let found: String = cache.get_or_fetch(key, TTL, || slowly(key)).await?;
            own.push(begun.elapsed());
            if found != *key {
                return Err("a wrong value".into());
            }
        }
        sleep(PAUSE).await;
    }
    times.borrow_mut().append(&mut own);
    Ok(())
}

async fn cold_caller(
    caches: [CacheService; 2],
    end: Instant,
    calls: Rc<RefCell<Vec<(f64, &'static str)>>>,
) -> std::result::Result<(), Box<dyn Error + Send + Sync>> {
    for which in [0, 1].into_iter().cycle() {
        if Instant::now() >= end {
            break;
        }
        let cache = &caches[which];
        let key = format!("cold:{}", COLDS.fetch_add(1, Ordering::Relaxed));
        let state = match cache.stats().breaker_state {
            _ if which == 1 => "alone",
            BreakerState::Closed => "closed",
            _ => "open",
        };
        let fetched = Cell::new(Duration::ZERO);
        let begun = Instant::now();
        let found: String = cache
            .get_or_fetch(&key, TTL, || async {
                let fetching = Instant::now();
                let value = slowly(&key).await;
                fetched.set(fetching.elapsed());
                value
            })
            .await?;
        calls.borrow_mut().push((micros(begun.elapsed().saturating_sub(fetched.get())), state));
        if found != key {
            return Err("a wrong value".into());
        }
        sleep(2 * FETCH).await;
    }
    Ok(())
}

/// A fetch.
async fn slowly(key: &str) -> std::result::Result<String, std::io::Error> {
    sleep(FETCH).await;
    Ok(key.to_owned())
}

fn key(number: usize) -> String {
    format!("user:{number:08}")
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn check(right: bool) -> Result<()> {
    if right { Ok(()) } else { Err("a wrong value".into()) }
}
