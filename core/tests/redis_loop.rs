//! An event loop of a host drives the connection: the same answers, each once, and nobody waits for a loop that is busy.

mod support;

use std::collections::HashMap;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use scrubjay::host::{Answer, Cache, Completion, PutOptions, Queue, Step, Value};
use scrubjay::{Codec, ErrorKind};
use support::{DEADLINE, Proxy, Server};

/// More than what is handed over in one turn by far.
const LARGE: usize = 8 << 20;

fn open(url: &str) -> Cache {
    // So patient that a busy machine makes no miss of a hit.
    open_with(url, 30)
}

fn open_with(url: &str, l2_timeout: u32) -> Cache {
    let options =
        format!(r#"{{"url": "{url}", "prefix": "shop", "l1_bytes": 0, "jitter": 0, "l2_timeout": {l2_timeout}}}"#);
    Cache::open(options.as_bytes()).expect("a cache")
}

fn key(number: u64) -> Vec<u8> {
    format!("key:{number}").into_bytes()
}

fn value(number: u64) -> Vec<u8> {
    // Some are longer than what is read at once, and than what the loop looks at by itself.
    let length = if number.is_multiple_of(50) { 100_000 } else { 20 + usize::try_from(number).unwrap() % 500 };
    format!("{number}:").into_bytes().into_iter().cycle().take(length).collect()
}

fn is_value(answer: &Answer, number: u64) -> bool {
    matches!(answer, Answer::Hit { value: found, .. } if found.bytes == value(number))
}

/// A loop as small as can be: it watches one descriptor, and makes a turn when that is readable.
struct EventLoop {
    queue: Arc<Queue>,
    next: u64,
    answers: HashMap<u64, Answer>,
    turns: usize,
}

impl EventLoop {
    fn new() -> Self {
        let queue = Queue::looping(true).expect("descriptors");
        EventLoop { queue, next: 1, answers: HashMap::new(), turns: 0 }
    }

    /// Makes a call. Its token.
    fn ask(&mut self, call: impl Fn(&Arc<Queue>, u64) -> scrubjay::Result<Step>) -> u64 {
        let token = self.next;
        self.next += 1;
        loop {
            match call(&self.queue, token) {
                // One that comes too early is turned away, not lost.
                Err(error) if error.kind() == ErrorKind::Overloaded => thread::yield_now(),
                step => match step.expect("a call") {
                    Step::Pending => return token,
                    Step::Ready(answer) => {
                        self.answers.insert(token, answer);
                        return token;
                    }
                },
            }
        }
    }

    fn get(&mut self, cache: &Cache, number: u64) -> u64 {
        self.ask(|queue, token| cache.get(&key(number), queue, token))
    }

    fn set(&mut self, cache: &Cache, number: u64, bytes: &[u8]) -> u64 {
        let put = PutOptions::default();
        self.ask(|queue, token| {
            let value = Value { codec: Codec::Raw, bytes: bytes.to_vec().into() };
            cache.set(&key(number), value, &put, queue, token)
        })
    }

    /// Whether the loop would wake up, within so many milliseconds.
    fn is_readable(&self, within: i32) -> bool {
        let mut entry =
            libc::pollfd { fd: self.queue.fd().expect("it has one"), events: libc::POLLIN, revents: 0 };
        // SAFETY: one entry of ours.
        unsafe { libc::poll(&raw mut entry, 1, within) == 1 }
    }

    fn turn(&mut self) {
        let mut taken: Vec<Completion> = Vec::new();
        self.queue.drive(64, &mut taken);
        self.turns += 1;
        for done in taken {
            let before = self.answers.insert(done.token, done.answer);
            assert!(before.is_none(), "two answers for {}", done.token);
        }
    }

    /// Runs until the answer is there.
    fn run(&mut self, token: u64) -> Answer {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(answer) = self.answers.remove(&token) {
                return answer;
            }
            assert!(Instant::now() < deadline, "no answer for {token}");
            if self.is_readable(100) {
                self.turn();
            }
        }
    }

    fn read(&mut self, cache: &Cache, number: u64) -> Answer {
        let token = self.get(cache, number);
        self.run(token)
    }

    fn fill(&mut self, cache: &Cache, numbers: u64) {
        for number in 0..numbers {
            let token = self.set(cache, number, &value(number));
            let stored = self.run(token);
            assert!(matches!(stored, Answer::Done(receipt) if !receipt.pending), "{stored:?}");
        }
    }

    /// Makes turns until nothing wakes the loop any more.
    fn settle(&mut self) {
        let deadline = Instant::now() + DEADLINE;
        while self.is_readable(20) {
            assert!(Instant::now() < deadline, "it wakes up for ever");
            self.turn();
        }
    }
}

/// One call of a thread that waits for its answer.
fn read_here(queue: &Arc<Queue>, cache: &Cache, number: u64) -> Answer {
    let step = cache.get(&key(number), queue, 1).expect("a call");
    assert!(matches!(step, Step::Pending));
    let mut taken = Vec::new();
    assert_eq!(queue.wait(1, Some(DEADLINE), &mut taken), 1, "an answer");
    taken.pop().expect("it was taken").answer
}

#[test]
fn one_at_a_time_the_loop_reads_itself_and_sleeps_in_between() {
    let server = Server::start();
    let cache = open(&server.url());
    let mut event_loop = EventLoop::new();
    event_loop.fill(&cache, 10);
    let before = cache.stats();
    for number in (0..10).cycle().take(500) {
        let found = event_loop.read(&cache, number);
        assert!(is_value(&found, number), "{found:?}");
    }
    let after = cache.stats();
    assert!(after.driven_by_caller - before.driven_by_caller > 450, "{before:?} {after:?}");
    assert!(after.driven_by_core - before.driven_by_core < 50, "{before:?} {after:?}");
    event_loop.settle();
    assert!(!event_loop.is_readable(0), "nothing is left that would wake it");
}

#[test]
fn what_is_asked_in_one_turn_leaves_as_one_write() {
    const CALLS: u64 = 200;
    let server = Server::start();
    let cache = open(&server.url());
    let mut event_loop = EventLoop::new();
    event_loop.fill(&cache, 1);
    let reads = || -> u64 {
        let told: String = server.command(&[b"INFO", b"stats"]);
        let line = told.lines().find_map(|line| line.strip_prefix("total_reads_processed:"));
        line.expect("Redis counts its reads").trim().parse().expect("a number")
    };
    // As Node.js does: from the begin of a turn to its end. And as asyncio: as many as got an answer.
    for ends_itself in [true, false] {
        let first: Vec<u64> = (0..CALLS).map(|_| event_loop.get(&cache, 0)).collect();
        first.into_iter().for_each(|token| assert!(is_value(&event_loop.run(token), 0)));
        let before = reads();
        if ends_itself {
            event_loop.queue.hold();
        }
        let tokens: Vec<u64> = (0..CALLS).map(|_| event_loop.get(&cache, 0)).collect();
        if ends_itself {
            event_loop.queue.send();
        }
        tokens.into_iter().for_each(|token| assert!(is_value(&event_loop.run(token), 0)));
        let made = reads() - before;
        assert!(made < CALLS / 4, "{made} writes for {CALLS} requests");
    }
}

#[test]
fn many_at_once_over_two_connections() {
    const CALLS: u64 = 5_000;
    const KEYS: u64 = 200;
    let server = Server::start();
    let caches = [open(&server.url()), open(&server.url())];
    let mut event_loop = EventLoop::new();
    event_loop.fill(&caches[0], KEYS);
    event_loop.fill(&caches[1], 1);
    let tokens: Vec<(u64, u64)> = (0..CALLS)
        .map(|call| {
            if call.is_multiple_of(100) {
                event_loop.turn();
            }
            (event_loop.get(&caches[usize::from(call.is_multiple_of(3))], call % KEYS), call % KEYS)
        })
        .collect();
    for (token, number) in tokens {
        let found = event_loop.run(token);
        assert!(is_value(&found, number), "{found:?}");
    }
    assert_eq!(event_loop.queue.outstanding(), 0);
    assert!(caches.iter().all(|cache| cache.stats().driven_by_caller > 0));
}

#[test]
fn a_loop_that_is_busy_holds_nobody_up() {
    let server = Server::start();
    let cache = open(&server.url());
    let mut event_loop = EventLoop::new();
    event_loop.fill(&cache, 2);
    assert!(is_value(&event_loop.read(&cache, 0), 0));
    for others in [Queue::new(), Queue::for_caller(), Queue::driving()] {
        // The loop drives, asks, and is away: it makes no turn.
        let asked = event_loop.get(&cache, 0);
        for _ in 0..20 {
            let begun = Instant::now();
            let found = read_here(&others, &cache, 1);
            assert!(is_value(&found, 1), "{found:?}");
            assert!(begun.elapsed() < Duration::from_secs(5), "long before l2_timeout");
        }
        // It finds its answer when it comes back, and drives again when it is alone.
        assert!(is_value(&event_loop.run(asked), 0));
        drop(others);
        let before = cache.stats().driven_by_caller;
        (0..10).for_each(|_| assert!(is_value(&event_loop.read(&cache, 0), 0)));
        assert!(cache.stats().driven_by_caller > before);
    }
}

#[test]
fn a_loop_and_threads_beside_each_other() {
    let server = Server::start();
    let cache = open(&server.url());
    let mut event_loop = EventLoop::new();
    event_loop.fill(&cache, 100);
    thread::scope(|scope| {
        for caller in 0..4 {
            let cache = &cache;
            scope.spawn(move || {
                let queue = if caller == 0 { Queue::driving() } else { Queue::for_caller() };
                for call in 0..500 {
                    let number = (caller * 7 + call) % 100;
                    assert!(is_value(&read_here(&queue, cache, number), number));
                }
            });
        }
        for _ in 0..2 {
            let cache = &cache;
            scope.spawn(move || {
                let mut event_loop = EventLoop::new();
                for call in 0..100 {
                    let tokens: Vec<u64> = (0..8).map(|at| event_loop.get(cache, (call + at) % 100)).collect();
                    for (at, token) in (0..).zip(tokens) {
                        assert!(is_value(&event_loop.run(token), (call + at) % 100));
                    }
                }
            });
        }
    });
    assert!(is_value(&event_loop.read(&cache, 7), 7));
}

#[test]
fn a_loop_that_ends_leaves_the_connection_to_the_others() {
    let server = Server::start();
    let cache = open(&server.url());
    let mut event_loop = EventLoop::new();
    event_loop.fill(&cache, 1);
    for _ in 0..10 {
        event_loop.get(&cache, 0);
    }
    drop(event_loop);
    let mut next = EventLoop::new();
    assert!(is_value(&next.read(&cache, 0), 0));
    assert!(is_value(&read_here(&Queue::new(), &cache, 0), 0));
}

#[test]
fn an_outage_is_the_same_under_a_loop() {
    let mut server = Server::start();
    let cache = open_with(&server.url(), 2);
    let mut event_loop = EventLoop::new();
    event_loop.fill(&cache, 1);
    server.kill();
    let begun = Instant::now();
    (0..10).for_each(|_| assert!(matches!(event_loop.read(&cache, 0), Answer::Miss)));
    assert!(begun.elapsed() < Duration::from_secs(10), "the breaker opens");
    assert!(cache.stats().l2_errors > 0);
    server.restart();
    let deadline = Instant::now() + DEADLINE;
    loop {
        let token = event_loop.set(&cache, 0, &value(0));
        event_loop.run(token);
        if is_value(&event_loop.read(&cache, 0), 0) {
            break;
        }
        assert!(Instant::now() < deadline, "it connects again");
    }
}

#[test]
fn a_server_that_says_nothing_is_late_under_a_loop_too() {
    let server = Server::start();
    let proxy = Proxy::start(server.port);
    let cache = open_with(&proxy.url(), 2);
    let mut event_loop = EventLoop::new();
    event_loop.fill(&cache, 1);
    proxy.swallow();
    let begun = Instant::now();
    assert!(matches!(event_loop.read(&cache, 0), Answer::Miss));
    let waited = begun.elapsed();
    assert!((Duration::from_millis(1900)..Duration::from_secs(4)).contains(&waited), "{waited:?}");
    // Two of those end the connection; the next one is good.
    assert!(matches!(event_loop.read(&cache, 0), Answer::Miss));
    proxy.forward();
    let deadline = Instant::now() + DEADLINE;
    while !is_value(&event_loop.read(&cache, 0), 0) {
        assert!(Instant::now() < deadline, "it connects again");
    }
}

#[test]
fn the_end_of_an_idle_connection_is_noticed_though_the_loop_stands_still() {
    let mut server = Server::start();
    let proxy = Proxy::start(server.port);
    let cache = open(&proxy.url());
    let mut event_loop = EventLoop::new();
    event_loop.fill(&cache, 1);
    let accepted = proxy.accepted();
    // No turn is made from here on: a new connection is made all the same.
    server.kill();
    server.restart();
    let deadline = Instant::now() + DEADLINE;
    while proxy.accepted() == accepted {
        assert!(Instant::now() < deadline, "it connects again");
        thread::yield_now();
    }
    let token = event_loop.set(&cache, 0, &value(0));
    event_loop.run(token);
    assert!(is_value(&event_loop.read(&cache, 0), 0));
}

#[test]
fn a_large_value_takes_many_turns_to_come_and_is_sent_as_there_is_room() {
    let server = Server::start();
    let cache = open(&server.url());
    let mut event_loop = EventLoop::new();
    event_loop.fill(&cache, 1);
    let bytes: Vec<u8> = (0..LARGE).map(|at| (at % 251) as u8).collect();
    let sets: Vec<u64> = (0..4).map(|number| event_loop.set(&cache, number, &bytes)).collect();
    for token in sets {
        assert!(matches!(event_loop.run(token), Answer::Done(receipt) if !receipt.pending));
    }
    let before = event_loop.turns;
    let found = event_loop.read(&cache, 3);
    assert!(matches!(found, Answer::Hit { value, .. } if value.bytes == bytes && value.bytes.is_unique()));
    let turns = event_loop.turns - before;
    assert!(turns >= 8, "{turns} turns: others of the loop came in between");
}

#[test]
fn what_is_cancelled_gets_no_answer_and_what_is_given_back_comes_again() {
    let server = Server::start();
    let cache = open(&server.url());
    let mut event_loop = EventLoop::new();
    event_loop.fill(&cache, 10);
    let (mut kept, mut cancelled) = (Vec::new(), Vec::new());
    for call in 0..1_000 {
        let token = event_loop.get(&cache, call % 10);
        if call.is_multiple_of(3) && event_loop.queue.cancel(token) {
            cancelled.push(token);
        } else {
            kept.push((token, call % 10));
        }
        if call.is_multiple_of(50) {
            event_loop.turn();
            // The loop has no time for these now.
            let mut taken = Vec::new();
            event_loop.queue.drive(64, &mut taken);
            event_loop.queue.give_back(taken.into_iter());
        }
    }
    for (token, number) in kept {
        assert!(is_value(&event_loop.run(token), number));
    }
    event_loop.settle();
    assert!(cancelled.iter().all(|token| !event_loop.answers.contains_key(token)), "none that was cancelled");
}
