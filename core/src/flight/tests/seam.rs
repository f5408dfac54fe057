//! The seam over the memory tier, as a host uses it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::codec::Codec;
use crate::error::{ErrorKind, Result};
use crate::host::{
    Answer, Cache, Completion, FetchFailure, FetchOptions, PutOptions, Queue, Step, Ttl, Value,
    take_released_errors,
};

fn json(text: &'static str) -> Value {
    Value { codec: Codec::Json, bytes: Bytes::from_static(text.as_bytes()) }
}

fn open(options: &str) -> Cache {
    Cache::open(options.as_bytes()).expect("good options")
}

fn ready(step: Result<Step>) -> Answer {
    match step.expect("no error") {
        Step::Ready(answer) => answer,
        Step::Pending => panic!("pending"),
    }
}

fn lead(step: Result<Step>) -> u64 {
    match ready(step) {
        Answer::Lead(lease) => lease.into_id(),
        other => panic!("{other:?}"),
    }
}

fn next(queue: &Queue) -> Completion {
    let mut out = Vec::new();
    assert_eq!(queue.wait(1, Some(Duration::from_secs(10)), &mut out), 1, "a completion within 10 s");
    out.remove(0)
}

fn text(answer: &Answer) -> &str {
    match answer {
        Answer::Hit { value, .. } | Answer::Stale { value, .. } => {
            std::str::from_utf8(&value.bytes).expect("json")
        }
        other => panic!("{other:?}"),
    }
}

fn kind(answer: &Answer) -> ErrorKind {
    match answer {
        Answer::Failed(error) => error.kind(),
        other => panic!("{other:?}"),
    }
}

fn failure(message: &str, error_ref: u64) -> FetchFailure {
    FetchFailure { kind: ErrorKind::FetchFailed, message: message.to_owned(), error_ref }
}

#[test]
fn the_leader_fulfils_and_waiters_get_its_value() {
    let (cache, queue, o) = (open(""), Queue::new(), FetchOptions::default());
    let lease = lead(cache.begin(b"k", &o, &queue, 1));
    for token in 2..1002 {
        assert!(matches!(cache.begin(b"k", &o, &queue, token), Ok(Step::Pending)));
    }
    cache.fulfil(lease, json("42"), &PutOptions::default()).expect("stored");
    for _ in 2..1002 {
        assert_eq!(text(&next(&queue).answer), "42");
    }
    assert_eq!(text(&ready(cache.get(b"k", &queue, 3))), "42");
    let stats = cache.stats();
    assert_eq!((stats.loads, stats.waits, queue.outstanding()), (1, 1000, 0));
}

#[test]
fn an_abandoned_lead_goes_to_the_next_waiter() {
    let (cache, queue, o) = (open(""), Queue::new(), FetchOptions::default());
    let lease = lead(cache.begin(b"k", &o, &queue, 1));
    assert!(matches!(cache.begin(b"k", &o, &queue, 2), Ok(Step::Pending)));
    assert!(matches!(cache.begin(b"k", &o, &queue, 3), Ok(Step::Pending)));
    assert!(queue.cancel(2), "a waiter that left is passed over");
    cache.abandon(lease);
    let completion = next(&queue);
    assert_eq!(completion.token, 3);
    // Dropped undelivered by its host, the lead is abandoned again; nobody is left, so the key is free.
    drop(completion);
    assert!(cache.fulfil(lease, json("1"), &PutOptions::default()).is_err());
    let lease = lead(cache.begin(b"k", &o, &queue, 4));
    cache.fulfil(lease, json("2"), &PutOptions::default()).expect("stored");
}

#[test]
fn a_cancelled_lead_that_was_never_drained_is_abandoned() {
    let (cache, queue, o) = (open(""), Queue::new(), FetchOptions::default());
    let lease = lead(cache.begin(b"k", &o, &queue, 1));
    assert!(matches!(cache.begin(b"k", &o, &queue, 2), Ok(Step::Pending)));
    assert!(matches!(cache.begin(b"k", &o, &queue, 3), Ok(Step::Pending)));
    cache.abandon(lease);
    assert!(queue.cancel(2), "its lead lay in the queue");
    assert_eq!(next(&queue).token, 3);
}

#[test]
fn a_failure_reaches_all_waiters_and_its_error_object_is_released_after_them() {
    let (cache, queue, o) = (open(""), Queue::new(), FetchOptions::default());
    let lease = lead(cache.begin(b"k", &o, &queue, 1));
    assert!(matches!(cache.begin(b"k", &o, &queue, 2), Ok(Step::Pending)));
    let error_ref = 0xdead_beef_0001;
    assert!(cache.fail(lease, failure("no database", error_ref)).expect("in time").is_none());
    let mut released = Vec::new();
    take_released_errors(&mut released);
    assert!(!released.contains(&error_ref), "a completion still mentions it");
    let completion = next(&queue);
    match &completion.answer {
        Answer::Failed(error) => {
            assert_eq!((error.host_ref(), error.message()), (error_ref, "no database".into()))
        }
        other => panic!("{other:?}"),
    }
    drop(completion);
    take_released_errors(&mut released);
    assert!(released.contains(&error_ref));
    lead(cache.begin(b"k", &o, &queue, 3));
}

#[test]
fn a_delete_during_a_fetch_keeps_its_value_out() {
    let (cache, queue, o) = (open(""), Queue::new(), FetchOptions::default());
    let lease = lead(cache.begin(b"k", &o, &queue, 1));
    assert!(matches!(cache.begin(b"k", &o, &queue, 2), Ok(Step::Pending)));
    ready(cache.delete(b"k", &queue, 9));
    let second = lead(cache.begin(b"k", &o, &queue, 3));
    cache.fulfil(lease, json("\"old\""), &PutOptions::default()).expect("its callers get it");
    assert_eq!(text(&next(&queue).answer), "\"old\"");
    assert!(matches!(ready(cache.get(b"k", &queue, 9)), Answer::Miss));
    cache.fulfil(second, json("\"new\""), &PutOptions::default()).expect("stored");
    assert_eq!(text(&ready(cache.get(b"k", &queue, 9))), "\"new\"");
}

#[test]
fn a_set_during_a_fetch_wins() {
    let (cache, queue, o) = (open(""), Queue::new(), FetchOptions::default());
    let lease = lead(cache.begin(b"k", &o, &queue, 1));
    ready(cache.set(b"k", json("\"set\""), &PutOptions::default(), &queue, 9));
    cache.fulfil(lease, json("\"fetched\""), &PutOptions::default()).expect("no error");
    assert_eq!(text(&ready(cache.get(b"k", &queue, 9))), "\"set\"");
}

#[test]
fn asking_for_the_own_key_or_in_a_circle_is_refused() {
    let (cache, queue, o) = (open(""), Queue::new(), FetchOptions::default());
    let a = lead(cache.begin(b"a", &o, &queue, 1));
    let b = lead(cache.begin(b"b", &o, &queue, 2));
    let inside_a = FetchOptions { held: &[a], ..FetchOptions::default() };
    let inside_b = FetchOptions { held: &[b], ..FetchOptions::default() };
    let own = cache.begin(b"a", &inside_a, &queue, 3).expect_err("recursive");
    assert_eq!(own.kind(), ErrorKind::RecursiveFetch);
    assert!(matches!(cache.begin(b"b", &inside_a, &queue, 4), Ok(Step::Pending)));
    let circle = cache.begin(b"a", &inside_b, &queue, 5).expect_err("a circle");
    assert_eq!(circle.kind(), ErrorKind::RecursiveFetch);
    // Without the wait there is no circle.
    assert!(queue.cancel(4));
    assert!(matches!(cache.begin(b"a", &inside_b, &queue, 6), Ok(Step::Pending)));
    assert_eq!(queue.outstanding(), 1, "a refused call leaves no token open");
}

#[test]
fn not_found_is_remembered_and_a_plain_get_is_a_miss() {
    let (cache, queue, o) = (open(""), Queue::new(), FetchOptions::default());
    let lease = lead(cache.begin(b"k", &o, &queue, 1));
    let not_found = FetchFailure { kind: ErrorKind::NotFound, message: String::new(), error_ref: 0 };
    cache.fail(lease, not_found).expect("in time");
    assert_eq!(kind(&ready(cache.begin(b"k", &o, &queue, 2))), ErrorKind::NotFound);
    assert!(matches!(ready(cache.get(b"k", &queue, 3)), Answer::Miss));
}

#[test]
fn a_fetch_past_its_hard_timeout_frees_its_key_and_late_answers_are_refused() {
    let (cache, queue, o) = (open(r#"{"fetch_hard_timeout": 0.05}"#), Queue::new(), FetchOptions::default());
    let lease = lead(cache.begin(b"k", &o, &queue, 1));
    assert!(matches!(cache.begin(b"k", &o, &queue, 2), Ok(Step::Pending)));
    assert_eq!(kind(&next(&queue).answer), ErrorKind::FetchTimeout);
    let late = cache.fulfil(lease, json("1"), &PutOptions::default()).expect_err("late");
    assert_eq!(late.kind(), ErrorKind::LeaseExpired);
    lead(cache.begin(b"k", &o, &queue, 3));
}

#[test]
fn a_stale_value_is_served_when_the_fetch_fails_or_is_slow() {
    let options = r#"{"jitter": 0, "stale_for": 60, "fetch_soft_timeout": 0.03, "refresh_ahead": false}"#;
    let (cache, queue, o) = (open(options), Queue::new(), FetchOptions::default());
    let put = PutOptions { ttl: Ttl::from_millis(1).expect("valid"), ..PutOptions::default() };
    ready(cache.set(b"k", json("\"old\""), &put, &queue, 9));
    let lease = loop {
        match ready(cache.begin(b"k", &o, &queue, 1)) {
            Answer::Hit { .. } => std::thread::yield_now(),
            Answer::Lead(lease) => break lease.into_id(),
            other => panic!("{other:?}"),
        }
    };
    assert!(matches!(ready(cache.get(b"k", &queue, 9)), Answer::Miss), "a plain get is a miss");
    assert!(matches!(cache.begin(b"k", &o, &queue, 2), Ok(Step::Pending)));
    let slow = next(&queue);
    assert_eq!((slow.token, text(&slow.answer)), (2, "\"old\""));
    let stale = cache.fail(lease, failure("down", 0)).expect("in time").expect("the stale value");
    assert_eq!(&stale.bytes[..], b"\"old\"");
    assert_eq!(cache.stats().stale_served, 2);
}

#[test]
fn the_bulkhead_queues_leads_and_lets_nested_fetches_pass() {
    let (cache, queue, o) = (open(r#"{"origin_concurrency": 1}"#), Queue::new(), FetchOptions::default());
    let a = lead(cache.begin(b"a", &o, &queue, 1));
    assert!(matches!(cache.begin(b"b", &o, &queue, 2), Ok(Step::Pending)));
    let inside_a = FetchOptions { held: &[a], ..FetchOptions::default() };
    let nested = lead(cache.begin(b"c", &inside_a, &queue, 3));
    cache.fulfil(nested, json("3"), &PutOptions::default()).expect("stored");
    cache.fulfil(a, json("1"), &PutOptions::default()).expect("stored");
    let second = next(&queue);
    assert_eq!(second.token, 2);
    assert!(matches!(second.answer, Answer::Lead(_)));
}

#[test]
fn many_keys_are_led_together_and_others_are_waited_for() {
    let (cache, queue, o) = (open(r#"{"origin_concurrency": 1}"#), Queue::new(), FetchOptions::default());
    ready(cache.set(b"hit", json("0"), &PutOptions::default(), &queue, 9));
    let other = lead(cache.begin(b"other", &o, &queue, 1));
    cache.abandon(other);
    let other = lead(cache.begin(b"other", &o, &queue, 2));
    let nested = FetchOptions { held: &[u64::MAX], ..FetchOptions::default() };
    let keys: [&[u8]; 4] = [b"hit", b"x", b"other", b"y"];
    let Answer::Many(answers) = ready(cache.begin_many(&keys, &nested, &queue, 100)) else { panic!("many") };
    assert!(matches!(answers[..], [Answer::Hit { .. }, Answer::Lead(_), Answer::Waiting, Answer::Lead(_)]));
    cache.fulfil(other, json("7"), &PutOptions::default()).expect("stored");
    let completion = next(&queue);
    assert_eq!((completion.token, text(&completion.answer)), (103, "7"));
    drop(answers);
    lead(cache.begin(b"x", &nested, &queue, 4));
}

#[test]
fn a_wrong_argument_names_itself_before_anything_runs() {
    let (cache, queue) = (open(""), Queue::new());
    for millis in [0, -1, 366 * 24 * 3600 * 1000] {
        assert_eq!(Ttl::from_millis(millis).expect_err("out of range").kind(), ErrorKind::InvalidOption);
    }
    for seconds in [0.0, -1.0, f64::NAN, f64::INFINITY, 4e7] {
        let error = Ttl::from_seconds(seconds).expect_err("out of range");
        assert!(error.message().starts_with("ttl must be"), "{error}");
    }
    let put = PutOptions { ttl: Ttl::Of(Duration::ZERO), ..PutOptions::default() };
    let o = FetchOptions { put, ..FetchOptions::default() };
    assert_eq!(cache.begin(b"k", &o, &queue, 1).expect_err("ttl").kind(), ErrorKind::InvalidOption);
    assert_eq!(cache.get(b"", &queue, 1).expect_err("key").kind(), ErrorKind::InvalidKey);
    assert_eq!(cache.stats().loads, 0);
    for (options, names) in [
        (r#"{"ttl": 0}"#, "ttl"),
        (r#"{"ttl": "1"}"#, "ttl"),
        (r#"{"l1_bytes": -1}"#, "l1_bytes"),
        (r#"{"nonsense": 1}"#, "nonsense"),
        (r#"{"jitter": 0.6}"#, "jitter"),
        (r#"{"codec": "pickle"}"#, "codec"),
        ("[]", "options"),
    ] {
        let error = Cache::open(options.as_bytes()).expect_err(options);
        assert_eq!(error.kind(), ErrorKind::InvalidOption);
        assert!(error.message().contains(names), "{error}");
    }
}

#[test]
fn close_answers_waiters_and_later_calls_and_is_idempotent() {
    let (cache, queue, o) = (open(""), Queue::new(), FetchOptions::default());
    lead(cache.begin(b"k", &o, &queue, 1));
    assert!(matches!(cache.begin(b"k", &o, &queue, 2), Ok(Step::Pending)));
    assert!(matches!(ready(cache.close(&queue, 3)), Answer::Done(_)));
    assert_eq!(kind(&next(&queue).answer), ErrorKind::Closed);
    assert_eq!(cache.get(b"k", &queue, 4).expect_err("closed").kind(), ErrorKind::Closed);
    assert!(matches!(ready(cache.close(&queue, 5)), Answer::Done(_)));
}

#[test]
fn a_blocked_loop_is_not_made_to_wait_for_its_own_task() {
    let (cache, queue) = (open(""), Queue::new());
    let task = FetchOptions { owner: 7, ..FetchOptions::default() };
    let blocked = FetchOptions { owner: 7, blocking: true, ..FetchOptions::default() };
    lead(cache.begin(b"k", &task, &queue, 1));
    assert!(matches!(ready(cache.begin(b"k", &blocked, &queue, 2)), Answer::Bypass));
    assert_eq!(queue.outstanding(), 0);
}

#[test]
fn the_descriptor_is_readable_exactly_while_completions_are_there() {
    let queue = Queue::with_fd().expect("a descriptor");
    let (cache, o) = (open(""), FetchOptions::default());
    let readable = |queue: &Arc<Queue>| {
        let mut poll = libc::pollfd { fd: queue.fd().expect("fd"), events: libc::POLLIN, revents: 0 };
        // SAFETY: one valid pollfd, and a timeout of 0.
        unsafe { libc::poll(&mut poll, 1, 0) == 1 }
    };
    let lease = lead(cache.begin(b"k", &o, &queue, 1));
    assert!(matches!(cache.begin(b"k", &o, &queue, 2), Ok(Step::Pending)));
    assert!(matches!(cache.begin(b"k", &o, &queue, 3), Ok(Step::Pending)));
    assert!(!readable(&queue));
    cache.fulfil(lease, json("1"), &PutOptions::default()).expect("stored");
    let mut out = Vec::new();
    assert_eq!(queue.drain(1, &mut out), 1);
    assert!(readable(&queue), "one is left");
    assert_eq!(queue.drain(8, &mut out), 1);
    assert!(!readable(&queue));
}

#[test]
fn more_keys_than_may_be_loaded_at_once_are_refused() {
    const KEYS: u64 = 100_000;
    let (cache, queue, o) = (open(""), Queue::new(), FetchOptions::default());
    let mut led = Vec::new();
    for token in 0..KEYS {
        match cache.begin(&token.to_be_bytes(), &o, &queue, token).expect("it is let in") {
            Step::Ready(Answer::Lead(lease)) => led.push(lease.into_id()),
            Step::Pending => {}
            Step::Ready(other) => panic!("{other:?}"),
        }
    }
    let refused = cache.begin(b"one more", &o, &queue, KEYS).expect_err("too many");
    assert_eq!((refused.kind(), refused.operation()), (ErrorKind::Overloaded, "get_or_fetch"));
    assert_eq!(queue.outstanding(), usize::try_from(KEYS).expect("it fits") - led.len(), "it left nothing behind");
    // Who waits for one of them is let in; and one that ends makes room.
    assert!(matches!(cache.begin(&0_u64.to_be_bytes(), &o, &queue, KEYS), Ok(Step::Pending)));
    cache.fulfil(led[0], json("1"), &PutOptions::default()).expect("stored");
    assert!(matches!(cache.begin(b"one more", &o, &queue, KEYS + 1), Ok(Step::Pending)));
}
