//! Random schedules of the queue and the flight table. Each property is also run against a seeded mutant where
//! one is named in the test: a check that cannot fail proves nothing.

use std::collections::HashSet;
use std::time::Duration;

use shuttle::sync::atomic::{AtomicUsize, Ordering};
use shuttle::thread;

use crate::clock::Clock;
use crate::error::{Error, ErrorKind};
use crate::flight::lease::Lessor;
use crate::flight::sink::{QueueReply, Reply};
use crate::flight::table::{Join, Joining, Put, Table, Timeouts, Waiter};
use crate::host::{Answer, Completion, Mutant, Queue};
use crate::sync::{Arc, Mutex, lock};

const SCHEDULES: usize = 10_000;

/// Half of the schedules pick at random at each step; the other half are of the kind (PCT) that gives one
/// thread the lead for long, which short critical sections need.
fn check(run: impl Fn() + Send + Sync + Copy + 'static) {
    shuttle::check_random(run, SCHEDULES);
    shuttle::check_pct(run, SCHEDULES, 3);
}

fn done() -> Answer {
    Answer::Miss
}

/// Every wake that a host sees must leave nothing behind: it drains until empty and then waits for the next.
#[test]
fn model_no_wake_is_lost() {
    check(|| every_wake_counts(None));
}

/// The check of wakes finds a drain that says too late that the queue is empty.
#[test]
#[should_panic(expected = "deadlock")]
fn model_mutant_that_loses_a_wake_is_caught() {
    check(|| every_wake_counts(Some(Mutant::LostWake)));
}

fn every_wake_counts(mutant: Option<Mutant>) {
    let (sender, receiver) = shuttle::sync::mpsc::channel();
    // Shuttle's channel stands for the host's event loop.
    let sender = std::sync::Mutex::new(sender);
    let wake = move || {
        let _ = sender.lock().map(|sender| sender.send(()));
    };
    let queue = match mutant {
        None => Queue::with_waker(wake),
        Some(mutant) => Queue::mutated(mutant, wake),
    };
    const TOKENS: u64 = 3;
    let opened: Vec<_> = (0..TOKENS).map(|token| queue.open("get", token).expect("open")).collect();
    for opened in opened {
        let queue = queue.clone();
        thread::spawn(move || queue.complete(opened, done()).expect("nobody cancels"));
    }
    let mut seen = Vec::new();
    while seen.len() < TOKENS as usize {
        // A lost wake would block here for ever, which shuttle reports as a deadlock.
        receiver.recv().expect("the queue lives");
        while queue.drain(2, &mut seen) == 2 {}
    }
    let distinct: HashSet<u64> = seen.iter().map(|completion| completion.token).collect();
    assert_eq!(distinct.len(), TOKENS as usize, "no completion twice");
}

/// Two threads in `wait`, two completions: nobody sleeps while something is there.
#[test]
fn model_no_sleeper_is_forgotten() {
    check(|| {
        let queue = Queue::new();
        let opened = [0, 1].map(|token| queue.open("get", token).expect("open"));
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                let queue = queue.clone();
                thread::spawn(move || {
                    let mut seen = Vec::new();
                    assert_eq!(queue.wait(1, None, &mut seen), 1);
                })
            })
            .collect();
        for opened in opened {
            queue.complete(opened, done()).expect("nobody cancels");
        }
        for waiter in waiters {
            waiter.join().expect("no panic");
        }
    });
}

/// A cancel that says true is final, one that says false comes after the delivery; never both, never neither.
#[test]
fn model_cancel_or_completion_never_both() {
    check(|| cancel_or_completion(Queue::new()));
}

/// The check of cancellation finds a completion that comes after it.
#[test]
#[should_panic(expected = "cancelled: true, pushed: true")]
fn model_mutant_that_completes_after_cancel_is_caught() {
    check(|| cancel_or_completion(Queue::mutated(Mutant::CompletionAfterCancel, || ())));
}

/// A token that is used again after its cancel gets the answer of the new call, never that of the one taken back.
#[test]
fn model_a_token_used_again_is_another_one() {
    check(|| {
        let queue = Queue::new();
        let first = queue.open("get", 7).expect("open");
        let late = {
            let queue = queue.clone();
            thread::spawn(move || queue.complete(first, Answer::Waiting).is_ok())
        };
        assert!(queue.cancel(7));
        let second = queue.open("get", 7).expect("it is free again");
        let next = {
            let queue = queue.clone();
            thread::spawn(move || queue.complete(second, done()).is_ok())
        };
        late.join().expect("no panic");
        assert!(next.join().expect("no panic"));
        let mut seen = Vec::new();
        assert_eq!(queue.drain(8, &mut seen), 1);
        assert!(matches!(seen[0].answer, Answer::Miss), "{:?}", seen[0]);
    });
}

fn cancel_or_completion(queue: Arc<Queue>) {
    let opened = queue.open("get", 7).expect("open");
    let completer = {
        let queue = queue.clone();
        thread::spawn(move || queue.complete(opened, done()).is_ok())
    };
    let drainer = {
        let queue = queue.clone();
        thread::spawn(move || {
            let mut seen = Vec::new();
            queue.drain(8, &mut seen);
            seen.len()
        })
    };
    let cancelled = queue.cancel(7);
    let pushed = completer.join().expect("no panic");
    let mut delivered = drainer.join().expect("no panic");
    let mut late = Vec::new();
    queue.drain(8, &mut late);
    delivered += late.len();
    assert!(pushed || cancelled);
    assert_eq!(delivered, usize::from(!cancelled), "cancelled: {cancelled}, pushed: {pushed}");
}

struct World {
    table: Arc<Table<u32>>,
    queue: Arc<Queue>,
    memory: Mutex<Option<u32>>,
    loads: AtomicUsize,
}

impl World {
    fn new(permits: usize) -> Arc<World> {
        let (clock, _) = Clock::manual();
        let timeouts = Timeouts { soft: None, hard: 1000 };
        Arc::new(World {
            table: Table::new(permits, clock, timeouts, Arc::default()),
            queue: Queue::new(),
            memory: Mutex::new(None),
            loads: AtomicUsize::new(0),
        })
    }

    /// One caller of `get_or_fetch`: its fetch reads `source`. With `gives_up` it abandons its first lead.
    fn fetch(&self, token: u64, source: &AtomicUsize, mut gives_up: bool) -> u32 {
        loop {
            let seen = *lock(&self.memory);
            if let Some(value) = seen {
                return value;
            }
            let reply = QueueReply { queue: &self.queue, token };
            let sink = reply.sink("get_or_fetch", None).expect("open");
            let entry =
                Waiter { sink: sink.clone(), put: Put::default(), exempt: false, owner: 0, blocking: false };
            let joining = Joining { key: b"k", held: &[], probe: false, stale: None };
            let joined = self.table.join(joining, |_| Ok(entry), || *lock(&self.memory)).expect("join");
            let answer = match joined {
                Join::Lead(lease) => {
                    sink.withdraw();
                    Answer::Lead(lease)
                }
                Join::Found(value) => {
                    sink.withdraw();
                    return value;
                }
                Join::Wait | Join::Queued => self.wait(token),
                Join::Probe(_) | Join::Bypass => unreachable!("nothing of the kind was asked for"),
            };
            match answer {
                Answer::Lead(lease) if gives_up => {
                    gives_up = false;
                    drop(lease);
                }
                Answer::Lead(lease) => {
                    self.loads.fetch_add(1, Ordering::SeqCst);
                    let value = u32::try_from(source.load(Ordering::SeqCst)).expect("small");
                    let ended = self.table.end(lease.into_id(), |_, ended| {
                        if !ended.void {
                            *lock(&self.memory) = Some(value);
                        }
                    });
                    let answer = || Answer::Failed(Error::new(ErrorKind::Internal, "model", value.to_string()));
                    self.table.deliver(ended.expect("nobody else ends it"), answer);
                    return value;
                }
                Answer::Failed(error) => return error.message().parse().expect("a number"),
                other => unreachable!("{other:?}"),
            }
        }
    }

    fn wait(&self, token: u64) -> Answer {
        // Tokens share a queue here, as they do on an event loop; each caller looks for its own.
        let mut seen: Vec<Completion> = Vec::new();
        loop {
            if let Some(index) = seen.iter().position(|completion| completion.token == token) {
                return seen.swap_remove(index).answer;
            }
            self.queue.wait(1, None, &mut seen);
        }
    }
}

/// Callers with queues of their own, one of which abandons: all return, and the fetch runs once.
#[test]
fn model_one_load_whoever_gives_up() {
    check(|| {
        let world = World::new(1);
        let source = Arc::new(AtomicUsize::new(5));
        let callers: Vec<_> = (0..3)
            .map(|caller| {
                let (table, source) = (world.clone(), source.clone());
                thread::spawn(move || {
                    let own = World {
                        table: table.table.clone(),
                        queue: Queue::new(),
                        memory: Mutex::new(None),
                        loads: AtomicUsize::new(0),
                    };
                    let value = own.fetch(caller, &source, caller == 0);
                    (value, own.loads.load(Ordering::SeqCst))
                })
            })
            .collect();
        let results: Vec<_> = callers.into_iter().map(|caller| caller.join().expect("no panic")).collect();
        assert!(results.iter().all(|(value, _)| *value == 5));
    });
}

/// Invariant I1 in one process: after a delete was acknowledged, nothing loaded before it is in memory.
#[test]
fn model_a_delete_beats_every_load_that_began_before_it() {
    check(|| stale_set(true));
}

/// The seeded mutant: a delete that does not void the flight. The check must catch it.
#[test]
#[should_panic(expected = "a stale value is in memory")]
fn model_mutant_without_voiding_is_caught() {
    check(|| stale_set(false));
}

fn stale_set(void: bool) {
    let world = World::new(4);
    let source = Arc::new(AtomicUsize::new(1));
    let loader = {
        let (world, source) = (world.clone(), source.clone());
        thread::spawn(move || world.fetch(1, &source, false))
    };
    // The writer: source first, then the invalidation.
    source.store(2, Ordering::SeqCst);
    if void {
        world.table.write(b"k", || *lock(&world.memory) = None);
    } else {
        *lock(&world.memory) = None;
    }
    loader.join().expect("no panic");
    let left = *lock(&world.memory);
    assert_ne!(left, Some(1), "a stale value is in memory");
}

/// A lease is ended once: by its holder, or by the timeout, never by both.
#[test]
fn model_a_lease_ends_once() {
    check(|| {
        let (clock, manual) = Clock::manual();
        let table: Arc<Table<u32>> = Table::new(1, clock, Timeouts { soft: None, hard: 10 }, Arc::default());
        let queue = Queue::new();
        let reply = QueueReply { queue: &queue, token: 1 };
        let sink = reply.sink("get_or_fetch", None).expect("open");
        let entry = Waiter { sink, put: Put::default(), exempt: false, owner: 0, blocking: false };
        let joining = Joining { key: b"k", held: &[], probe: false, stale: None };
        let Ok(Join::Lead(lease)) = table.join(joining, |_| Ok(entry), || None) else {
            panic!("the first caller leads")
        };
        let lease = lease.into_id();
        manual.advance(Duration::from_millis(20));
        let ender = {
            let table = table.clone();
            thread::spawn(move || table.end(lease, |_, _| ()).is_ok())
        };
        let abandoner = {
            let table = table.clone();
            thread::spawn(move || table.abandon(lease))
        };
        let expired = table.expire().len();
        let ended = usize::from(ender.join().expect("no panic"));
        abandoner.join().expect("no panic");
        assert!(expired + ended <= 1);
        assert!(!table.has_leases());
    });
}
