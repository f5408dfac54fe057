//! What strikes meanwhile: connections that the server ends, a network that says nothing or ends everything, a server
//! that stands still, and forks.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::hosts::{Place, Window};
use crate::keys::Keys;
use crate::support::{Proxy, Server};
use crate::tasks;
use crate::world::{Driver, Outcome, Side, World};

/// Operations of a child, through each driver.
const OF_A_CHILD: u64 = 100;
/// A child that has not ended by then hangs.
const CHILD_HANGS: Duration = Duration::from_secs(60);

/// How often what struck.
#[derive(Default)]
pub struct Strikes {
    pub over: AtomicBool,
    /// Connections that the server was told to end, and had.
    pub killed: AtomicU64,
    /// Times in which the proxy said nothing, held everything back or was not there.
    pub outages: AtomicU64,
    pub freezes: AtomicU64,
    pub forks: AtomicU64,
    /// Forks whose children read something.
    pub children_that_read: AtomicU64,
}

impl Strikes {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }
}

/// Strikes until it is over. `timeout` is that of the operations which go by the proxy.
pub fn strike(server: &Server, proxy: &Proxy, strikes: &Strikes, seed: u64, timeout: Duration) {
    let mut random = StdRng::seed_from_u64(seed);
    kill(server, strikes, None);
    while !strikes.is_over() {
        thread::sleep(Duration::from_millis(random.random_range(200..1_200)));
        let quiet = timeout.mul_f64(random.random_range(0.2..4.0));
        match random.random_range(0..10) {
            0..4 => {
                kill(server, strikes, Some(random.random_range(0..1_000)));
                continue;
            }
            4 => {
                kill(server, strikes, None);
                continue;
            }
            5 => {
                server.freeze();
                thread::sleep(quiet);
                server.thaw();
                strikes.freezes.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            // Late, but whole and in order.
            6 => proxy.hold_present(),
            7 => proxy.swallow_present(),
            8 => proxy.swallow(),
            _ => proxy.refuse(),
        }
        thread::sleep(quiet);
        if random.random_bool(0.5) {
            // Those from before may not come back.
            proxy.refuse();
        }
        proxy.forward();
        strikes.outages.fetch_add(1, Ordering::Relaxed);
    }
}

/// Ends a connection of a cache; or all of them.
fn kill(server: &Server, strikes: &Strikes, which: Option<usize>) {
    let killed: u64 = match which {
        None => server.command(&[b"CLIENT", b"KILL", b"TYPE", b"normal"]),
        Some(which) => {
            let list: String = server.command(&[b"CLIENT", b"LIST"]);
            let id = |line: &str| line.split(' ').find_map(|field| field.strip_prefix("id=")).map(str::to_owned);
            let ids: Vec<String> =
                list.lines().filter(|line| line.contains("name=scrubjay ")).filter_map(id).collect();
            let Some(id) = ids.get(which % ids.len().max(1)) else { return };
            server.command(&[b"CLIENT", b"KILL", b"ID", id.as_bytes()])
        }
    };
    strikes.killed.fetch_add(killed, Ordering::Relaxed);
}

/// Forks until it is over: each child reads and writes through every driver while its parent goes on.
pub fn fork(world: &World, sides: &dyn Fn() -> Vec<std::sync::Arc<Side>>, strikes: &Strikes, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    loop {
        let (sides, seed) = (sides(), random.random());
        // SAFETY: the child takes no lock that another thread of its parent may hold, and leaves by `_exit`.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| live(&sides, seed))).unwrap_or(3);
            // SAFETY: nothing of this process is to be cleaned up.
            unsafe { libc::_exit(code) };
        }
        if child < 0 {
            return world.fail("no child".to_owned());
        }
        strikes.forks.fetch_add(1, Ordering::Relaxed);
        match wait_for(child) {
            Some(0) => drop(strikes.children_that_read.fetch_add(1, Ordering::Relaxed)),
            // Nothing was within its reach.
            Some(1) => {}
            other => return world.fail(format!("a child ended with {other:?}")),
        }
        if strikes.is_over() {
            return;
        }
        thread::sleep(Duration::from_millis(random.random_range(300..1_500)));
    }
}

/// The code with which a child ends.
fn wait_for(child: i32) -> Option<i32> {
    let deadline = Instant::now() + CHILD_HANGS;
    while Instant::now() < deadline {
        let mut status = 0;
        // SAFETY: a child of ours, which nobody else waits for.
        if unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG) } == child {
            return libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status));
        }
        thread::sleep(Duration::from_millis(2));
    }
    // SAFETY: as above; it has not been waited for, so the number is still its own.
    unsafe { libc::kill(child, libc::SIGKILL) };
    None
}

/// The life of a child. 0: it read something; 1: it could not; 2: it got what it should not, and said so.
fn live(sides: &[std::sync::Arc<Side>], seed: u64) -> i32 {
    let mut hits = 0;
    for (number, side) in sides.iter().enumerate() {
        side.service_keys.part();
        side.cache_keys.part();
        for driver in Driver::ALL {
            let world = World::new(OF_A_CHILD);
            let seed = seed ^ ((number as u64) << 8) ^ ((driver as u64) << 16);
            if driver == Driver::Tasks {
                tasks::block_on(read_as_tasks(&world, side, seed));
            } else {
                let places: Vec<Place> = (0..8).map(|place| Place::new(seed ^ place << 32, None)).collect();
                let places = if driver == Driver::Callers { &places[..1] } else { &places[..] };
                Window::new(&world, side, &side.cache_keys, driver, places).run(false, seed);
            }
            hits += world.tallies[driver as usize].hits.load(Ordering::Relaxed);
            if let Some(failure) = world.failure().or_else(|| tasks::block_on(write(side, seed as u32))) {
                return say(&failure);
            }
        }
        for stats in [side.service.stats(), side.cache.stats()] {
            if stats.decode_misses > 0 {
                return say(&format!("in a child: {stats:?}"));
            }
        }
    }
    i32::from(hits == 0)
}

async fn read_as_tasks(world: &World, side: &Side, seed: u64) {
    let began = [(); 4].map(|()| Default::default());
    let one = |n: usize| tasks::ask(world, side, &side.service_keys, &began[n], seed ^ (n as u64) << 32, None);
    tokio::join!(one(0), one(1), one(2), one(3));
}

/// Writes keys of its own, each read at once. Returns what was wrong.
async fn write(side: &Side, salt: u32) -> Option<String> {
    let keys: Keys = side.service_keys.like(salt);
    for key in 0..10 {
        for question in [keys.write(key), keys.read(key)] {
            match tasks::one(side, &keys, &question).await {
                Ok(Outcome::Hit | Outcome::Miss | Outcome::Written | Outcome::Pending) => {}
                Ok(Outcome::Cancelled) | Err(tasks::Wrong::Closed) => return Some("nobody ended it".to_owned()),
                Err(tasks::Wrong::Other(wrong)) => return Some(wrong),
            }
        }
    }
    None
}

/// Says what is wrong without the locks of the standard output, which another thread of the parent may have held.
fn say(what: &str) -> i32 {
    let line = format!("{what}\n");
    // SAFETY: the bytes are ours; what cannot be written is lost.
    unsafe { libc::write(2, line.as_ptr().cast(), line.len()) };
    2
}
