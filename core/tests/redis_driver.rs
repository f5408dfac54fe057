//! The same answers, each once, whoever drives the connection: a thread of a host that waits, or the core.

mod support;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use scrubjay::host::{Answer, Cache, Completion, PutOptions, Queue, Step, Value};
use scrubjay::{Codec, ErrorKind};
use support::{DEADLINE, Proxy, Server};

/// So patient that a busy machine makes no miss of a hit.
fn open(url: &str, prefix: &str) -> Cache {
    open_with(url, prefix, 30)
}

fn open_with(url: &str, prefix: &str, l2_timeout: u32) -> Cache {
    let options = format!(
        r#"{{"url": "{url}", "prefix": "{prefix}", "l1_bytes": 0, "jitter": 0, "l2_timeout": {l2_timeout}}}"#
    );
    Cache::open(options.as_bytes()).expect("a cache")
}

fn key(number: u64) -> String {
    format!("key:{number}")
}

/// Longer than what is read at once, for some.
fn value(number: u64) -> Vec<u8> {
    let length = if number.is_multiple_of(50) { 100_000 } else { 20 + usize::try_from(number).unwrap() % 500 };
    format!("{number}:").into_bytes().into_iter().cycle().take(length).collect()
}

/// One call, waited for.
fn answer(queue: &Arc<Queue>, call: impl FnOnce(&Arc<Queue>, u64) -> scrubjay::Result<Step>) -> Answer {
    static TOKENS: AtomicU64 = AtomicU64::new(1 << 40);
    let token = TOKENS.fetch_add(1, Ordering::Relaxed);
    match call(queue, token).expect("a call") {
        Step::Ready(answer) => answer,
        Step::Pending => {
            let mut taken = Vec::new();
            assert_eq!(queue.wait(1, Some(DEADLINE), &mut taken), 1, "an answer");
            let done = taken.pop().expect("it was taken");
            assert_eq!(done.token, token);
            done.answer
        }
    }
}

fn fill(cache: &Cache, numbers: u64) {
    let queue = Queue::new();
    for number in 0..numbers {
        let stored = Value { codec: Codec::Raw, bytes: value(number).into() };
        let done = answer(&queue, |queue, token| {
            cache.set(key(number).as_bytes(), stored, &PutOptions::default(), queue, token)
        });
        assert!(matches!(done, Answer::Done(receipt) if !receipt.pending));
    }
}

fn is_value(answer: &Answer, number: u64) -> bool {
    matches!(answer, Answer::Hit { value: found, .. } if found.bytes == value(number))
}

/// Takes answers until there are `count`; what each token got.
fn collect(queue: &Queue, count: usize) -> HashMap<u64, Answer> {
    let deadline = Instant::now() + DEADLINE;
    let mut answers = HashMap::new();
    let mut taken: Vec<Completion> = Vec::new();
    while answers.len() < count {
        assert!(Instant::now() < deadline, "{} of {count} answers came", answers.len());
        queue.wait(64, Some(Duration::from_millis(100)), &mut taken);
        for done in taken.drain(..) {
            assert!(answers.insert(done.token, done.answer).is_none(), "two answers for {}", done.token);
        }
    }
    answers
}

#[test]
fn many_callers_and_one_waiter_over_two_connections() {
    const CALLERS: u64 = 4;
    const CALLS: u64 = 2_000;
    const KEYS: u64 = 200;
    let server = Server::start();
    let caches = [open(&server.url(), "one"), open(&server.url(), "two")];
    caches.iter().for_each(|cache| fill(cache, KEYS));
    for (queue, drives) in [(Queue::driving(), true), (Queue::new(), false)] {
        let before = caches[0].stats();
        let answers = thread::scope(|scope| {
            for caller in 0..CALLERS {
                let (queue, caches) = (&queue, &caches);
                scope.spawn(move || {
                    for call in 0..CALLS {
                        let token = caller * CALLS + call;
                        let cache = &caches[usize::from(token.is_multiple_of(3))];
                        let step = loop {
                            // A read that comes too early is turned away, not lost.
                            match cache.get(key(token % KEYS).as_bytes(), queue, token) {
                                Err(error) if error.kind() == ErrorKind::Overloaded => thread::yield_now(),
                                step => break step.expect("a call"),
                            }
                        };
                        assert!(matches!(step, Step::Pending));
                    }
                });
            }
            collect(&queue, usize::try_from(CALLERS * CALLS).unwrap())
        });
        let wrong = answers.iter().filter(|(token, answer)| !is_value(answer, *token % KEYS)).count();
        assert_eq!(wrong, 0, "answers of another key, or none");
        assert_eq!(queue.outstanding(), 0);
        let after = caches[0].stats();
        assert_eq!(after.driven_by_caller > before.driven_by_caller, drives, "{after:?}");
    }
    assert!(caches[0].stats().driven_by_core > 0, "who filled it did not drive");
}

#[test]
fn a_caller_that_waits_alone_drives() {
    let server = Server::start();
    let cache = open(&server.url(), "shop");
    fill(&cache, 10);
    let queue = Queue::for_caller();
    for number in (0..10).cycle().take(500) {
        let found = answer(&queue, |queue, token| cache.get(key(number).as_bytes(), queue, token));
        assert!(is_value(&found, number));
    }
    let stats = cache.stats();
    assert!(stats.driven_by_caller > 400, "{stats:?}");
}

#[test]
fn callers_beside_each_other_get_their_own_answers() {
    let server = Server::start();
    let cache = open(&server.url(), "shop");
    fill(&cache, 100);
    thread::scope(|scope| {
        for caller in 0..8 {
            let cache = &cache;
            scope.spawn(move || {
                let queue = Queue::for_caller();
                for call in 0..1_000 {
                    let number = (caller * 7 + call) % 100;
                    let found = answer(&queue, |queue, token| cache.get(key(number).as_bytes(), queue, token));
                    assert!(is_value(&found, number), "{found:?}");
                }
            });
        }
    });
}

#[test]
fn a_waiter_that_does_not_come_back_holds_nobody_up() {
    let server = Server::start();
    let cache = open(&server.url(), "shop");
    fill(&cache, 1);
    let waiter = Queue::driving();
    assert!(is_value(&answer(&waiter, |queue, token| cache.get(b"key:0", queue, token)), 0));
    // The waiter drives, and does not wait. Others get their answers all the same, time and again.
    let others = Queue::new();
    for _ in 0..5 {
        let begun = Instant::now();
        assert!(is_value(&answer(&others, |queue, token| cache.get(b"key:0", queue, token)), 0));
        assert!(begun.elapsed() < Duration::from_secs(5), "long before l2_timeout");
    }
    assert!(is_value(&answer(&waiter, |queue, token| cache.get(b"key:0", queue, token)), 0));
    // It goes for good.
    drop(waiter);
    assert!(is_value(&answer(&others, |queue, token| cache.get(b"key:0", queue, token)), 0));
}

#[test]
fn an_outage_is_the_same_under_a_waiter() {
    let mut server = Server::start();
    let cache = open_with(&server.url(), "shop", 2);
    fill(&cache, 1);
    let queue = Queue::driving();
    let read = || answer(&queue, |queue, token| cache.get(b"key:0", queue, token));
    assert!(is_value(&read(), 0));
    server.kill();
    let begun = Instant::now();
    for _ in 0..10 {
        assert!(matches!(read(), Answer::Miss));
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "the breaker opens");
    assert!(cache.stats().l2_errors > 0);
    server.restart();
    it_connects_again(|| {
        fill_one(&cache, &queue);
        is_value(&read(), 0)
    });
}

fn it_connects_again(reads: impl Fn() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !reads() {
        assert!(Instant::now() < deadline, "it connects again");
    }
}

fn fill_one(cache: &Cache, queue: &Arc<Queue>) {
    let stored = Value { codec: Codec::Raw, bytes: value(0).into() };
    let done = answer(queue, |queue, token| cache.set(b"key:0", stored, &PutOptions::default(), queue, token));
    assert!(matches!(done, Answer::Done(_)));
}

#[test]
fn a_server_that_says_nothing_is_late_under_a_waiter_too() {
    let server = Server::start();
    let proxy = Proxy::start(server.port);
    let cache = open_with(&proxy.url(), "shop", 2);
    fill(&cache, 1);
    let queue = Queue::driving();
    let read = || answer(&queue, |queue, token| cache.get(b"key:0", queue, token));
    assert!(is_value(&read(), 0));
    proxy.swallow();
    let begun = Instant::now();
    assert!(matches!(read(), Answer::Miss));
    assert!(
        (Duration::from_millis(1900)..Duration::from_secs(4)).contains(&begun.elapsed()),
        "{:?}",
        begun.elapsed()
    );
    // Two of those end the connection; the next one is good.
    assert!(matches!(read(), Answer::Miss));
    proxy.forward();
    it_connects_again(|| is_value(&read(), 0));
}

#[test]
fn more_than_a_socket_takes_at_once_is_sent_by_whoever_drives() {
    const LENGTH: usize = 4 << 20;
    let server = Server::start();
    let cache = open(&server.url(), "shop");
    fill(&cache, 1);
    for queue in [Queue::driving(), Queue::for_caller(), Queue::new()] {
        let sets: Vec<u64> = (0..6).collect();
        for token in &sets {
            let name = key(*token);
            let stored = Value { codec: Codec::Raw, bytes: vec![b'x'; LENGTH].into() };
            let step = cache.set(name.as_bytes(), stored, &PutOptions::default(), &queue, *token);
            assert!(matches!(step, Ok(Step::Pending)));
        }
        let answers = collect(&queue, sets.len());
        let landed = |answer: &Answer| matches!(answer, Answer::Done(receipt) if !receipt.pending);
        assert!(answers.values().all(landed), "{answers:?}");
        let found = answer(&queue, |queue, token| cache.get(b"key:5", queue, token));
        assert!(matches!(found, Answer::Hit { value, .. } if value.bytes.len() == LENGTH));
    }
}

#[test]
fn a_connection_that_ends_with_something_to_send_does_not_keep_its_driver_from_its_deadline() {
    let server = Server::start();
    let proxy = Proxy::start(server.port);
    let cache = open_with(&proxy.url(), "shop", 1);
    fill(&cache, 1);
    let queue = Queue::driving();
    assert!(is_value(&answer(&queue, |queue, token| cache.get(b"key:0", queue, token)), 0));
    proxy.hold_present();
    let sets: Vec<u64> = (0..6).collect();
    for token in &sets {
        let stored = Value { codec: Codec::Raw, bytes: vec![b'x'; 4 << 20].into() };
        let step = cache.set(key(*token).as_bytes(), stored, &PutOptions::default(), &queue, *token);
        assert!(matches!(step, Ok(Step::Pending)));
    }
    // Too late: so the connection is given up, with the socket full, while the waiter does something else.
    let deadline = Instant::now() + DEADLINE;
    while cache.stats().l2_errors < sets.len() as u64 {
        assert!(Instant::now() < deadline, "{:?}", cache.stats());
        thread::sleep(Duration::from_millis(1));
    }
    let answers = collect(&queue, sets.len());
    assert!(answers.values().all(|answer| matches!(answer, Answer::Done(receipt) if receipt.pending)));
    let (sender, waited) = channel();
    let waiter = queue.clone();
    thread::spawn(move || sender.send(waiter.wait(1, Some(Duration::from_millis(10)), &mut Vec::new())));
    assert_eq!(waited.recv_timeout(DEADLINE), Ok(0));
}

#[test]
fn what_is_cancelled_gets_no_answer_and_nothing_else_is_lost() {
    const CALLS: u64 = 10_000;
    let server = Server::start();
    let cache = open(&server.url(), "shop");
    fill(&cache, 10);
    let queue = Queue::driving();
    let ended = AtomicBool::new(false);
    let (mut kept, mut cancelled) = (0, Vec::new());
    let answers = thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let mut answers = HashMap::new();
            let mut taken = Vec::new();
            while !ended.load(Ordering::Acquire) || queue.outstanding() > 0 {
                queue.wait(64, Some(Duration::from_millis(20)), &mut taken);
                for done in taken.drain(..) {
                    assert!(answers.insert(done.token, done.answer).is_none(), "two answers for {}", done.token);
                }
            }
            answers
        });
        for token in 0..CALLS {
            let step = cache.get(key(token % 10).as_bytes(), &queue, token).expect("a call");
            assert!(matches!(step, Step::Pending));
            if token.is_multiple_of(3) && queue.cancel(token) {
                cancelled.push(token);
            } else {
                kept += 1;
            }
            while queue.outstanding() > 1_000 {
                thread::yield_now();
            }
        }
        ended.store(true, Ordering::Release);
        waiter.join().expect("it ends")
    });
    assert_eq!(answers.len(), kept, "each that was kept");
    assert!(cancelled.iter().all(|token| !answers.contains_key(token)), "none that was cancelled");
    let misses = answers.values().filter(|answer| matches!(answer, Answer::Miss)).count();
    assert_eq!(misses, 0, "{:?}", cache.stats());
    assert!(answers.iter().all(|(token, answer)| is_value(answer, *token % 10)), "no other key's value");
}

#[test]
fn a_token_used_again_gets_the_answer_of_its_own_call() {
    let server = Server::start();
    let cache = open(&server.url(), "shop");
    fill(&cache, 2);
    let queue = Queue::driving();
    server.freeze();
    assert!(matches!(cache.get(b"key:0", &queue, 1), Ok(Step::Pending)));
    assert!(queue.cancel(1));
    assert!(matches!(cache.get(b"key:1", &queue, 1), Ok(Step::Pending)));
    server.thaw();
    assert!(is_value(&collect(&queue, 1)[&1], 1), "not that of the call before");
    assert_eq!(queue.outstanding(), 0);
}
