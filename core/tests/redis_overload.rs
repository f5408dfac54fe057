//! More than may be in flight, or in one reply, is refused with `Overloaded`: nothing has happened then, nothing is
//! queued without end, and what was let in gets its answer.

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use scrubjay::host::{Answer, Cache, Completion, FetchOptions, PutOptions, Queue, Receipt, Step, Value};
use scrubjay::{BreakerState, CacheService, Codec, Error, ErrorKind, Raw};
use support::{DEADLINE, Server};

/// As many as may be in flight.
const OPERATIONS: u64 = 10_000;
const MIB: usize = 1 << 20;

/// So patient that nothing is late, however long the server is frozen.
fn open(url: &str) -> Cache {
    let options = format!(
        r#"{{"url": "{url}", "prefix": "shop", "jitter": 0, "max_staleness": 60, "l1_bytes": 1073741824, "l2_timeout": 30}}"#
    );
    Cache::open(options.as_bytes()).expect("a cache")
}

fn raw(length: usize) -> Value {
    Value { codec: Codec::Raw, bytes: vec![b'x'; length].into() }
}

fn collect(queue: &Queue, count: u64) -> Vec<Completion> {
    let deadline = Instant::now() + DEADLINE;
    let mut taken = Vec::new();
    while (taken.len() as u64) < count {
        assert!(Instant::now() < deadline, "{} of {count} answers came", taken.len());
        queue.wait(256, Some(Duration::from_millis(100)), &mut taken);
    }
    taken
}

fn one(queue: &Queue, step: scrubjay::Result<Step>) -> Answer {
    match step.expect("a call") {
        Step::Ready(answer) => answer,
        Step::Pending => collect(queue, 1).remove(0).answer,
    }
}

fn assert_refused(operation: &str, step: scrubjay::Result<Step>) {
    let error = step.expect_err(operation);
    assert_eq!((error.kind(), error.operation(), error.retryable()), (ErrorKind::Overloaded, operation, true));
}

/// Every operation is refused, and has changed nothing: memory holds "kept" and nothing else.
fn assert_full(cache: &Cache, queue: &Arc<Queue>) {
    let (put, token) = (PutOptions::default(), 1 << 40);
    assert_refused("get", cache.get(b"absent", queue, token));
    assert_refused("get_many", cache.get_many(&[b"kept", b"absent"], queue, token));
    assert_refused("set", cache.set(b"kept", raw(1), &put, queue, token));
    assert_refused("set_many", cache.set_many(vec![(b"kept", raw(1)), (b"new", raw(1))], &put, queue, token));
    assert_refused("delete", cache.delete(b"kept", queue, token));
    assert_refused("delete_many", cache.delete_many(&[b"kept"], queue, token));
    let found = one(queue, cache.get(b"kept", queue, token));
    assert!(matches!(found, Answer::Hit { value, .. } if value.bytes.len() == 4), "memory answers as before");
    assert!(cache.peek(b"new").expect("a key").is_none());
    assert_eq!(cache.stats().pending, 0, "nothing is left to do");
}

#[test]
fn more_operations_than_may_be_in_flight() {
    let server = Server::start();
    let (cache, queue) = (open(&server.url()), Queue::new());
    let put = PutOptions::default();
    let stored = one(&queue, cache.set(b"kept", raw(4), &put, &queue, 0));
    assert!(matches!(stored, Answer::Done(Receipt { pending: false, .. })));
    server.pause();
    assert!(matches!(cache.set(b"first", raw(4), &put, &queue, 0), Ok(Step::Pending)));
    for token in 1..OPERATIONS {
        assert!(matches!(cache.get(b"absent", &queue, token), Ok(Step::Pending)), "{token}");
    }
    let others = Queue::new();
    assert_full(&cache, &others);
    // A fetch goes on as if the server could not be reached, and what it brings is kept here.
    let Answer::Lead(lease) = one(&others, cache.begin(b"loaded", &FetchOptions::default(), &others, 1)) else {
        panic!("its caller is to load");
    };
    cache.fulfil(lease.into_id(), raw(7), &put).expect("it is stored");
    assert!(cache.peek(b"loaded").expect("a key").is_some());
    assert_eq!(cache.stats().l2_errors, 7, "six refusals and a look; without a lease nothing is sent");
    server.unpause();
    let answers = collect(&queue, OPERATIONS);
    assert_eq!(answers.iter().filter(|done| matches!(done.answer, Answer::Miss)).count() as u64, OPERATIONS - 1);
    assert!(matches!(
        one(&others, cache.delete(b"kept", &others, 2)),
        Answer::Done(Receipt { pending: false, .. })
    ));
    assert!(matches!(one(&others, cache.get(b"kept", &others, 3)), Answer::Miss));
}

#[tokio::test]
async fn each_caller_that_is_too_many_hears_so() {
    const TOO_MANY: u64 = 50;
    let server = Server::start();
    let cache =
        support::builder(&server.url(), "shop").l2_timeout(Duration::from_secs(60)).build().expect("a cache");
    assert!(!cache.set("before", "v", 60).await.expect("it is stored").pending);
    server.pause();
    let first = tokio::spawn({
        let cache = cache.clone();
        async move { cache.set("first", "v", 60).await }
    });
    support::eventually("it is on its way", async || cache.stats().entries == 2).await;
    let calls: Vec<_> = (1..OPERATIONS + TOO_MANY)
        .map(|n| {
            let cache = cache.clone();
            tokio::spawn(async move { cache.get::<String>(&format!("k{n}")).await })
        })
        .collect();
    support::eventually("fifty too many", async || cache.stats().l2_errors == TOO_MANY).await;
    assert_eq!(cache.stats().breaker_state, BreakerState::Closed, "that is no failure of the server");
    let refused = cache.set("k", "v", 60).await.expect_err("too many");
    assert_eq!((refused.kind(), refused.operation()), (ErrorKind::Overloaded, "set"));
    assert_eq!(cache.get_or_fetch("k", 60, || async { Ok::<_, Error>(7) }).await.expect("it was fetched"), 7);
    server.unpause();
    assert!(!first.await.expect("it ends").expect("it was let in").pending);
    let mut refused = 0;
    for call in calls {
        match call.await.expect("it ends") {
            Ok(found) => assert_eq!(found, None),
            Err(error) => refused += u64::from(error.kind() == ErrorKind::Overloaded),
        }
    }
    assert_eq!(refused, TOO_MANY);
    assert!(!cache.set("k", "v", 60).await.expect("it is let in").pending);
}

#[test]
fn more_bytes_than_may_be_in_flight() {
    const VALUES: u64 = 8;
    let server = Server::start();
    let (cache, queue) = (open(&server.url()), Queue::new());
    let put = PutOptions::default();
    one(&queue, cache.set(b"kept", raw(4), &put, &queue, 0));
    server.pause();
    for token in 0..VALUES {
        let step = cache.set(format!("long{token}").as_bytes(), raw(8 * MIB), &put, &queue, token);
        assert!(matches!(step, Ok(Step::Pending)), "{token}");
    }
    assert_full(&cache, &Queue::new());
    server.unpause();
    let landed = |done: &Completion| matches!(done.answer, Answer::Done(Receipt { pending: false, .. }));
    assert!(collect(&queue, VALUES).iter().all(landed), "what was let in is done");
    assert!(matches!(one(&queue, cache.get(b"absent", &queue, 1)), Answer::Miss));
}

#[test]
fn what_waits_for_a_connection_counts() {
    let mut server = Server::prepare();
    let (cache, queue) = (open(&server.url()), Queue::new());
    let listener = std::net::TcpListener::bind(("127.0.0.1", server.port)).expect("the port");
    for token in 0..OPERATIONS {
        assert!(matches!(cache.get(b"absent", &queue, token), Ok(Step::Pending)), "{token}");
    }
    assert_refused("get", cache.get(b"absent", &queue, OPERATIONS));
    // Whoever listened there says no more: the next attempt finds the server.
    drop(listener);
    server.restart();
    assert!(collect(&queue, OPERATIONS).iter().all(|done| matches!(done.answer, Answer::Miss)));
    assert!(matches!(one(&queue, cache.get(b"absent", &queue, 1)), Answer::Miss));
}

#[tokio::test]
async fn more_than_one_reply_may_have() {
    // Of the longest value eight fit into 64 MiB, but for what an entry has beside it.
    let long = Raw::from(vec![0; 8 * MIB - 1000]);
    let server = Server::start();
    let cache = support::builder(&server.url(), "shop").l1_bytes(0_u64).build().expect("a cache");
    let keys: Vec<String> = (0..1010).map(|number| format!("key{number}")).collect();
    let names: Vec<&str> = keys.iter().map(String::as_str).collect();
    for key in &names[..9] {
        assert!(!cache.set(*key, &long, 60).await.expect("it is stored").pending);
    }
    // The last one lies in a second command of the same call.
    assert!(!cache.set(names[1005], &long, 60).await.expect("it is stored").pending);
    let found = cache.get_many::<Raw>(&names[1..9]).await.expect("as many as may be");
    assert_eq!(found.len(), 8);
    for too_many in [&names[..9], &names[1..]] {
        let error = cache.get_many::<Raw>(too_many).await.expect_err("too much");
        assert_eq!((error.kind(), error.operation()), (ErrorKind::Overloaded, "get_many"));
        assert!(error.message().contains("64 MiB"), "{error}");
    }
    assert_eq!(loaded(&cache, &names[..9]).await, 9, "a fetch of many loads what it cannot read");
    // The connection is as good as before, and nothing of it reached the breaker. What was loaded without a lease was not
    // stored over what stands there, which this process does not believe any more: it has given what it loaded later.
    assert!(cache.get::<Raw>(names[1005]).await.expect("a key").is_some());
    assert!(cache.get::<Raw>(names[0]).await.expect("a key").is_none());
    let other = support::open(&server.url(), "shop");
    assert!(other.get::<Raw>(names[0]).await.expect("a key").is_some());
    assert_eq!(cache.stats().breaker_state, BreakerState::Closed);
}

/// How many keys a `get_or_fetch_many` has to load.
async fn loaded(cache: &CacheService, keys: &[&str]) -> usize {
    let before = cache.stats().loads;
    let fetch = |missing: Vec<String>| async move {
        Ok::<_, Error>(missing.into_iter().map(|key| (key, "loaded".to_owned())).collect())
    };
    let values = cache.get_or_fetch_many(keys, 60, fetch).await.expect("values");
    assert_eq!(values.len(), keys.len());
    usize::try_from(cache.stats().loads - before).expect("a few")
}
