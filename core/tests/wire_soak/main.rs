//! Callers of every kind read and write a real Redis, while connections are killed, the network fails, operations are
//! cancelled and the process forks. Whoever drives the connections, every operation ends, once, and brings what was
//! written under its key: a version at least as new as what had been written when it began.
//!
//! SCALE=1 is 10^8 operations (`make soak-wire`); tests run a small part of that, and a tenth of it where nothing is
//! optimised. SEED repeats what is drawn, if not how callers meet. `REDIS_SERVER` names another server program.
//!
//! ```text
//! main    rounds of callers, and who looks after them
//!  ├─ chaos    what strikes meanwhile, forks among it
//!  ├─ hosts    callers through the seam: blocked ones, a waiter, an event loop
//!  ├─ tasks    tasks on the user's runtime
//!  └─ world    caches and counts; keys   what may be read of a key
//! ```

mod chaos;
mod hosts;
mod keys;
#[path = "../support/mod.rs"]
mod support;
mod tasks;
mod world;

use std::fmt::Display;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use chaos::Strikes;
use hosts::{Place, Window};
use keys::Own;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use scrubjay::Stats;
use support::{Proxy, Server};
use tokio::runtime::Runtime;
use world::{Began, Driver, Side, World};

const FULL: f64 = if cfg!(debug_assertions) { 1e7 } else { 1e8 };
const KEYS: usize = 2_048;
/// The time of an operation on a connection of its own to the server, and on one by the proxy.
const TIMEOUTS: [Duration; 2] = [Duration::from_millis(300), Duration::from_millis(150)];
/// An operation that has not ended so long after its time is lost. Generous: other work may take the processors.
const GRACE: Duration = Duration::from_secs(20);
/// A round is over after so many operations, or so long.
const ROUND: u64 = 1_000_000;
const ROUND_TIME: Duration = Duration::from_secs(8);
/// The same where there are only callers with one operation at a time.
const SLOW_ROUND_TIME: Duration = Duration::from_secs(1);

/// So many tasks, blocked callers, places of the waiter and places of the loop.
struct Crowd {
    tasks: usize,
    callers: usize,
    waiter: usize,
    looped: usize,
}

const CROWDS: [Crowd; 2] = [
    Crowd { tasks: 256, callers: 3, waiter: 192, looped: 128 },
    Crowd { tasks: 48, callers: 2, waiter: 32, looped: 24 },
];

/// A thread and its places.
struct Host {
    driver: Driver,
    side: Arc<Side>,
    places: Vec<Place>,
    seed: u64,
}

/// Everything that asks in one round.
struct Round {
    hosts: Vec<Host>,
    tasks: Vec<Tasks>,
}

struct Tasks {
    side: Arc<Side>,
    began: Arc<Vec<Began>>,
    seed: u64,
}

impl Round {
    fn new(sides: &[Arc<Side>], drivers: &[Driver], random: &mut StdRng) -> Round {
        let mut round = Round { hosts: Vec::new(), tasks: Vec::new() };
        for (side, crowd) in sides.iter().zip(CROWDS) {
            let seed: u64 = random.random();
            // Each place of a cache has keys of its own.
            let step = crowd.callers + crowd.waiter + crowd.looped;
            let mut first = 0;
            let mut add = |driver, count: usize| {
                let own = |place| Some(Own { first: first + place, step });
                let place = |place| Place::new(seed ^ ((first + place) as u64) << 32, own(place));
                if drivers.contains(&driver) {
                    let places = (0..count).map(place).collect();
                    round.hosts.push(Host { driver, side: side.clone(), places, seed: seed ^ first as u64 });
                }
                first += count;
            };
            (0..crowd.callers).for_each(|_| add(Driver::Callers, 1));
            add(Driver::Waiter, crowd.waiter);
            add(Driver::Loop, crowd.looped);
            if drivers.contains(&Driver::Tasks) {
                let began = Arc::new((0..crowd.tasks).map(|_| Began::default()).collect());
                round.tasks.push(Tasks { side: side.clone(), began, seed });
            }
        }
        round
    }

    /// Runs until there are `goal` operations, or long enough, and everything has ended; or until `close`, if anything,
    /// has closed the caches under it.
    fn run(&self, world: &Arc<World>, runtime: &Runtime, goal: u64, close: bool) {
        thread::scope(|scope| {
            let threads: Vec<_> = self
                .hosts
                .iter()
                .map(|host| {
                    scope.spawn(move || {
                        let Host { driver, side, places, seed } = host;
                        let helped = *driver == Driver::Waiter;
                        Window::new(world, side, &side.cache_keys, *driver, places).run(helped, *seed);
                    })
                })
                .collect();
            let tasks: Vec<_> = self.tasks.iter().flat_map(|tasks| tasks.spawn(world, runtime)).collect();
            let is_slow = self.tasks.is_empty() && self.hosts.iter().all(|host| host.driver == Driver::Callers);
            let end = Instant::now() + if is_slow { SLOW_ROUND_TIME } else { ROUND_TIME };
            let mut closed = false;
            let is_over =
                || threads.iter().all(|one| one.is_finished()) && tasks.iter().all(|one| one.is_finished());
            while !is_over() {
                if !world.is_stopping() && (world.ended() >= goal || Instant::now() > end) {
                    if close && !std::mem::replace(&mut closed, true) {
                        self.close(runtime);
                    } else if !close {
                        world.stop();
                    }
                }
                self.look(world);
                thread::sleep(Duration::from_millis(2));
            }
            for task in tasks {
                if let Err(panic) = runtime.block_on(task) {
                    world.fail(format!("a task: {panic}"));
                }
            }
        });
        world.go_on();
    }

    fn close(&self, runtime: &Runtime) {
        let sides = self.hosts.iter().map(|host| &host.side).chain(self.tasks.iter().map(|tasks| &tasks.side));
        for side in sides {
            let closed = runtime.block_on(side.service.close());
            assert!(closed.is_ok(), "{closed:?}");
            let queue = scrubjay::host::Queue::new();
            side.cache.close(&queue, 0).expect("a close");
        }
    }

    /// Sees to it that everything ends in its time. What hangs cannot be waited for: then this is the end.
    fn look(&self, world: &World) {
        let now = world.now();
        let hosts = self.hosts.iter().flat_map(|host| {
            host.places.iter().map(|place| (host.driver, &host.side, &place.began)).collect::<Vec<_>>()
        });
        let tasks = self.tasks.iter().flat_map(|tasks| {
            tasks.began.iter().map(|began| (Driver::Tasks, &tasks.side, began)).collect::<Vec<_>>()
        });
        for (driver, side, began) in hosts.chain(tasks) {
            let age = began.age(now).map(Duration::from_millis);
            if age.is_some_and(|age| age > side.timeout + GRACE) {
                let (service, cache) = (side.service.stats(), side.cache.stats());
                let failure = world.failure();
                eprintln!(
                    "an operation of {driver:?} has been on its way for {age:?}: {failure:?}\n{service:?}\n{cache:?}"
                );
                std::process::exit(101);
            }
        }
    }
}

impl Tasks {
    fn spawn(&self, world: &Arc<World>, runtime: &Runtime) -> Vec<tokio::task::JoinHandle<()>> {
        let step = self.began.len();
        let one = |first: usize| {
            let (world, side, began) = (world.clone(), self.side.clone(), self.began.clone());
            let seed = self.seed ^ (first as u64) << 32;
            runtime.spawn(async move {
                let own = Some(Own { first, step });
                tasks::ask(&world, &side, &side.service_keys, &began[first], seed, own).await;
            })
        };
        (0..step).map(one).collect()
    }
}

/// The caches of now, and what those before them have counted.
struct Sides {
    urls: [String; 2],
    now: Mutex<Vec<Arc<Side>>>,
    past: Mutex<Vec<Stats>>,
}

impl Sides {
    fn new(urls: [String; 2]) -> Sides {
        let sides = Sides { urls, now: Mutex::default(), past: Mutex::default() };
        sides.renew();
        sides
    }

    fn get(&self) -> Vec<Arc<Side>> {
        self.now.lock().expect("no panic under it").clone()
    }

    /// Opens others in their place.
    fn renew(&self) {
        let names = ["direct", "proxied"];
        let sides = (0..2).map(|n| {
            // Where nothing is cut off, all have to wait out their time.
            let side = Side::open(&self.urls[n], names[n], KEYS, TIMEOUTS[n], n == 0);
            tasks::block_on(tasks::fill(&side));
            hosts::fill(&side);
            Arc::new(side)
        });
        let old = std::mem::replace(&mut *self.now.lock().expect("no panic under it"), sides.collect());
        self.past.lock().expect("no panic under it").extend(stats(&old));
    }

    fn stats(&self) -> Vec<Stats> {
        let mut all = self.past.lock().expect("no panic under it").clone();
        all.extend(stats(&self.get()));
        all
    }
}

fn stats(sides: &[Arc<Side>]) -> Vec<Stats> {
    sides.iter().flat_map(|side| [side.service.stats(), side.cache.stats()]).collect()
}

fn from_environment<T: FromStr + Display>(name: &str, otherwise: T) -> T {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn every_operation_ends_once_and_brings_what_is_its_own() {
    let (seed, scale) = (from_environment("SEED", 0x5c2b_u64), from_environment("SCALE", 0.01_f64));
    let total = (FULL * scale) as u64;
    println!("seed {seed}, {total} operations");
    let server = Server::start();
    let proxy = Proxy::start(server.port);
    let sides = Sides::new([server.url(), proxy.url()]);
    let world = Arc::new(World::new(u64::MAX));
    let strikes = Strikes::default();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("one");
    let mut random = StdRng::seed_from_u64(seed);
    let (began, mut rounds) = (Instant::now(), 0);
    let seeds: [u64; 2] = random.random();
    thread::scope(|scope| {
        scope.spawn(|| chaos::strike(&server, &proxy, &strikes, seeds[0], TIMEOUTS[1]));
        scope.spawn(|| chaos::fork(&world, &|| sides.get(), &strikes, seeds[1]));
        while world.ended() < total && world.failure().is_none() {
            // All together at first, then some of them.
            let mut drivers = Driver::ALL.to_vec();
            drivers.retain(|_| rounds % 4 == 0 || random.random_bool(0.6));
            if drivers.is_empty() {
                drivers.push(Driver::ALL[random.random_range(0..4)]);
            }
            let goal = total.min(world.ended() + ROUND.min(total / 8));
            let close = rounds % 6 == 5;
            Round::new(&sides.get(), &drivers, &mut random).run(&world, &runtime, goal, close);
            if close {
                sides.renew();
            }
            rounds += 1;
        }
        strikes.over.store(true, Ordering::SeqCst);
    });
    summarise(&world, &strikes, &sides, rounds, began.elapsed());
    if let Some(failure) = world.failure() {
        panic!("seed {seed}: {failure}");
    }
    // An entry of another key is told from its own by its header, too, and counted there.
    let undecoded: Vec<Stats> = sides.stats().into_iter().filter(|stats| stats.decode_misses > 0).collect();
    assert!(undecoded.is_empty(), "seed {seed}: {undecoded:?}");
    assert!(strikes.children_that_read.load(Ordering::Relaxed) > 0, "no child read anything");
    assert!(strikes.killed.load(Ordering::Relaxed) > 0, "no connection was killed");
}

fn summarise(world: &World, strikes: &Strikes, sides: &Sides, rounds: usize, took: Duration) {
    let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let all =
        |count: fn(&world::Tally) -> &AtomicU64| world.tallies.iter().map(|tally| get(count(tally))).sum::<u64>();
    let drivers: Vec<String> = Driver::ALL
        .iter()
        .map(|driver| format!("{driver:?} {}", world.tallies[*driver as usize].ended()).to_lowercase())
        .collect();
    let stats = sides.stats();
    let sum = |field: fn(&Stats) -> u64| stats.iter().map(field).sum::<u64>();
    println!(
        "{} operations in {rounds} rounds and {} s ({}): {} hits, {} misses, {} written, {} pending, {} cancelled, \
         {} timed out; {} connections killed, {} outages, {} freezes, {} forks; reads by the core {}, by callers {}, \
         failures {}; the slowest operation took {} ms",
        world.ended(),
        took.as_secs(),
        drivers.join(", "),
        all(|tally| &tally.hits),
        all(|tally| &tally.misses),
        all(|tally| &tally.written),
        all(|tally| &tally.pending),
        all(|tally| &tally.cancelled),
        all(|tally| &tally.late),
        get(&strikes.killed),
        get(&strikes.outages),
        get(&strikes.freezes),
        get(&strikes.forks),
        sum(|stats| stats.driven_by_core),
        sum(|stats| stats.driven_by_caller),
        sum(|stats| stats.l2_errors),
        get(&world.worst_ms),
    );
}
