//! Write-behind in one process: order, merging, retries, dead letters, room, the end, and what reads see meanwhile.

mod support;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use scrubjay::{
    Accepted, AckLevel, BatchOptions, CacheService, Error, ErrorKind, OnFull, WriteBehind, WriteBehindOptions,
    WriteKind, WriterError,
};
use support::{DEADLINE, eventually, temporary_directory};

fn memory() -> CacheService {
    CacheService::new("memory://", "shop").expect("a cache")
}

fn options() -> WriteBehindOptions {
    WriteBehindOptions::new("t").ack(AckLevel::Memory).retry(Duration::from_millis(1), Duration::from_millis(20))
}

fn open(cache: &CacheService, options: WriteBehindOptions) -> WriteBehind {
    cache.write_behind(options).expect("a write-behind")
}

fn soon() -> BatchOptions {
    BatchOptions { wait: Some(DEADLINE), ..BatchOptions::default() }
}

fn at_once() -> BatchOptions {
    BatchOptions { wait: Some(Duration::ZERO), ..BatchOptions::default() }
}

/// Key, kind and text of each.
fn told(writes: &[scrubjay::Write]) -> Vec<(String, WriteKind, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    writes.iter().map(|write| (text(&write.key), write.kind, text(&write.value.bytes))).collect()
}

#[tokio::test]
async fn states_merge_and_changes_do_not() {
    let cache = memory();
    let behind = open(&cache, options());
    for n in 0..5 {
        behind.set("a", &n, 60).await.unwrap();
    }
    behind.set("b", "old", 60).await.unwrap();
    behind.delete("b").await.unwrap();
    for n in [1, 2] {
        behind.delta("c", &n).await.unwrap();
    }
    let three = BatchOptions { max_items: 3, linger: DEADLINE, ..soon() };
    let first = behind.next_batch(three).await.unwrap();
    let expected = [("a", WriteKind::Set, "4"), ("b", WriteKind::Delete, ""), ("c", WriteKind::Delta, "1")]
        .map(|(key, kind, text)| (key.to_owned(), kind, text.to_owned()));
    assert_eq!(told(&first), expected);
    // While one is handed out, later ones of its key wait.
    behind.set("a", &5, 60).await.unwrap();
    assert!(behind.next_batch(at_once()).await.unwrap().is_empty());
    assert_eq!(behind.ack(&first.iter().map(|write| write.number).collect::<Vec<_>>()), 3);
    let second = behind.next_batch(BatchOptions { max_items: 2, ..three }).await.unwrap();
    let mut seen = told(&second);
    seen.sort_by(|a, b| a.0.cmp(&b.0));
    let expected = [("a", WriteKind::Set, "5"), ("c", WriteKind::Delta, "2")];
    assert_eq!(seen, expected.map(|(key, kind, text)| (key.to_owned(), kind, text.to_owned())));
    let stats = behind.stats();
    assert_eq!((stats.coalesced, stats.written, stats.in_flight, stats.depth), (5, 3, 2, 2));
    assert!(first[0].sequence < second[0].sequence && first[0].process == second[0].process);
}

#[tokio::test]
async fn reads_see_what_the_source_has_not() {
    let cache = memory();
    let behind = open(&cache, options());
    cache.set("gone", "old", 60).await.unwrap();
    behind.set("k", "new", 60).await.unwrap();
    behind.delete("gone").await.unwrap();
    behind.delta("n", &1).await.unwrap();
    // The tiers lose it all.
    cache.clear().await.unwrap();
    assert_eq!(cache.get::<String>("k").await.unwrap().as_deref(), Some("new"));
    let old_row = || async { Ok::<_, Error>("old row".to_owned()) };
    assert_eq!(cache.get_or_fetch("k", 60, old_row).await.unwrap(), "new");
    assert_eq!(cache.get::<String>("gone").await.unwrap(), None);
    assert_eq!(cache.get_or_fetch("gone", 60, old_row).await.unwrap_err().kind(), ErrorKind::NotFound);
    let many = cache.get_many::<String>(&["k", "gone", "other"]).await.unwrap();
    assert_eq!(many, HashMap::from([("k".to_owned(), "new".to_owned())]));
    // What a change waits for is loaded for those who ask, and not kept.
    assert_eq!(cache.get_or_fetch("n", 60, old_row).await.unwrap(), "old row");
    assert_eq!(cache.get::<String>("n").await.unwrap(), None);
    while behind.stats().written < 3 {
        let writes = behind.next_batch(soon()).await.unwrap();
        behind.ack(&writes.iter().map(|write| write.number).collect::<Vec<_>>());
    }
    let row = |row: &'static str| move || async move { Ok::<_, Error>(row.to_owned()) };
    for key in ["k", "gone", "n"] {
        assert_eq!(cache.get_or_fetch(key, 60, row("new row")).await.unwrap(), "new row", "{key}");
        assert_eq!(cache.get::<String>(key).await.unwrap().as_deref(), Some("new row"), "{key}");
    }
}

#[tokio::test]
async fn what_waits_for_its_retry_holds_up_its_own_key_alone() {
    let cache = memory();
    let behind = open(&cache, options().retry(Duration::from_secs(60), Duration::from_secs(60)));
    behind.delta("a", "1").await.unwrap();
    behind.delta("a", "2").await.unwrap();
    let one = BatchOptions { max_items: 1, ..soon() };
    let first = behind.next_batch(one).await.unwrap();
    assert_eq!(behind.nack(&[first[0].number], "no", false), 1);
    behind.set("b", "x", 60).await.unwrap();
    let next = behind.next_batch(soon()).await.unwrap();
    assert_eq!(told(&next).len(), 1);
    assert_eq!(&*next[0].key, b"b");
    assert_eq!(behind.ack(&[next[0].number, 12_345]), 1, "one of them is unknown");
    assert!(behind.next_batch(at_once()).await.unwrap().is_empty());
    assert_eq!((behind.stats().retried, behind.stats().depth), (1, 2));
}

#[tokio::test]
async fn a_dead_letter_waits_for_a_decision_or_a_newer_state() {
    let cache = memory();
    let behind = open(&cache, options().max_attempts(3));
    behind.set("poison", "bad", 60).await.unwrap();
    for attempt in 1..=3 {
        let writes = behind.next_batch(soon()).await.unwrap();
        assert_eq!((writes.len(), writes[0].attempt), (1, attempt));
        behind.nack(&[writes[0].number], "constraint", false);
    }
    let letters = behind.dead_letters(0).await.unwrap();
    assert_eq!((letters.len(), letters[0].error.as_str(), letters[0].attempt), (1, "constraint", 3));
    assert_eq!((behind.stats().dead, behind.stats().depth, behind.stats().retried), (1, 0, 2));
    // Its key waits, others do not; reads see it.
    behind.set("other", "good", 60).await.unwrap();
    let writes = behind.next_batch(soon()).await.unwrap();
    assert_eq!(&*writes[0].key, b"other");
    behind.ack(&[writes[0].number]);
    cache.clear().await.unwrap();
    assert_eq!(cache.get::<String>("poison").await.unwrap().as_deref(), Some("bad"));
    // Replayed it fails for good; then a newer state takes its place.
    assert_eq!(behind.replay(&[]).await.unwrap(), 1);
    let writes = behind.next_batch(soon()).await.unwrap();
    behind.nack(&[writes[0].number], "for good", true);
    assert_eq!(behind.stats().dead, 1);
    behind.set("poison", "better", 60).await.unwrap();
    assert_eq!((behind.stats().dead, behind.dead_letters(0).await.unwrap().len()), (0, 0));
    let writes = behind.next_batch(soon()).await.unwrap();
    assert_eq!(told(&writes)[0].2, "\"better\"");
    behind.nack(&[writes[0].number], "no", true);
    // Dropped, it is as if it had never been: the cache lets go of it as well.
    let letters = behind.dead_letters(0).await.unwrap();
    assert!(behind.dead_letters(letters[0].number).await.unwrap().is_empty());
    assert_eq!(behind.drop_letters(&[letters[0].number]).await.unwrap(), 1);
    assert_eq!(cache.get::<String>("poison").await.unwrap(), None);
    assert_eq!((behind.stats().dead, behind.stats().bytes), (0, 0));
}

#[tokio::test]
async fn a_dead_change_holds_up_its_key_until_somebody_decides() {
    let cache = memory();
    let behind = open(&cache, options());
    behind.delta("k", "1").await.unwrap();
    let writes = behind.next_batch(soon()).await.unwrap();
    behind.nack(&[writes[0].number], "no", true);
    behind.set("k", "state", 60).await.unwrap();
    assert!(behind.next_batch(at_once()).await.unwrap().is_empty());
    assert_eq!(behind.drop_letters(&[]).await.unwrap(), 1);
    assert_eq!(told(&behind.next_batch(soon()).await.unwrap())[0].2, "\"state\"");
}

#[tokio::test]
async fn of_a_batch_that_fails_only_the_culprit_dies() {
    let cache = memory();
    let behind = open(&cache, options().max_attempts(2));
    for n in 0..20 {
        behind.set(&format!("k{n}"), &n, 60).await.unwrap();
    }
    let written = Arc::new(Mutex::new(Vec::new()));
    let seen = written.clone();
    let worker = behind.run(move |writes| {
        let seen = seen.clone();
        async move {
            if writes.iter().any(|write| &*write.key == b"k7") {
                return Err(WriterError::permanent("k7 is no good"));
            }
            seen.lock().unwrap().extend(writes.iter().map(|write| write.key.to_vec()));
            Ok(())
        }
    });
    let service = async {
        behind.flush(DEADLINE).await.unwrap();
        behind.close(DEADLINE).await.unwrap()
    };
    let (ended, report) = tokio::join!(worker, service);
    ended.unwrap();
    assert_eq!((report.left, report.dead), (0, 1));
    assert_eq!(written.lock().unwrap().len(), 19);
}

#[tokio::test]
async fn a_full_one_blocks_until_there_is_room() {
    let cache = memory();
    let behind = open(&cache, options().max_bytes(4096).block_for(DEADLINE));
    let big = "x".repeat(3000);
    behind.set("a", &big, 60).await.unwrap();
    let waiting = behind.clone();
    let big_too = big.clone();
    let second = tokio::spawn(async move { waiting.set("b", &big_too, 60).await });
    let first = behind.next_batch(soon()).await.unwrap();
    assert!(!second.is_finished());
    assert!(behind.next_batch(at_once()).await.unwrap().is_empty(), "it is not acknowledged, so not written");
    behind.ack(&[first[0].number]);
    assert!(second.await.unwrap().unwrap().receipt().is_some());
    // It does not wait for ever, nor beyond the limit.
    let hasty = open(&cache, options().max_bytes(4096).block_for(Duration::from_millis(20)));
    hasty.set("a", &big, 60).await.unwrap();
    assert_eq!(hasty.set("b", &big, 60).await.unwrap_err().kind(), ErrorKind::Overloaded);
    assert_eq!(hasty.set("c", &"x".repeat(5000), 60).await.unwrap_err().kind(), ErrorKind::InvalidValue);
    assert_eq!(hasty.stats().rejected, 1);
    assert_eq!(cache.get::<String>("b").await.unwrap().map(|value| value.len()), Some(3000), "of the first one");
}

#[tokio::test]
async fn a_full_one_refuses_or_has_its_caller_write() {
    let cache = memory();
    let old = open(&cache, options().on_full(OnFull::Reject).max_age(Duration::from_millis(1)));
    old.set("a", "1", 60).await.unwrap();
    eventually("it is too old", || async {
        old.set("b", "2", 60).await.is_err_and(|error| error.kind() == ErrorKind::Overloaded)
    })
    .await;

    let behind = open(&cache, options().on_full(OnFull::WriteThrough).max_bytes(4096));
    let big = "x".repeat(3000);
    behind.set("k", &big, 60).await.unwrap();
    let caller = behind.clone();
    let turn = tokio::spawn(async move { caller.set("k", &"y".repeat(3000), 60).await });
    eventually("it waits for its turn", || async { behind.stats().depth == 2 }).await;
    // In order: after the write of its key that goes before.
    let first = behind.next_batch(soon()).await.unwrap();
    assert!(!turn.is_finished());
    behind.ack(&[first[0].number]);
    let Accepted::Yours(turn) = turn.await.unwrap().unwrap() else { panic!("it is the caller's turn") };
    let write = turn.write().expect("its time is not over");
    assert!((write.kind, write.sequence > first[0].sequence) == (WriteKind::Set, true), "{write:?}");
    assert_eq!(cache.get::<String>("k").await.unwrap(), Some(big), "it is not written yet");
    turn.done();
    assert_eq!(cache.get::<String>("k").await.unwrap(), Some("y".repeat(3000)));
    // A caller who gives up is no loss for others.
    behind.set("a", &"x".repeat(3000), 60).await.unwrap();
    let Accepted::Yours(turn) = behind.set("b", &"x".repeat(3000), 60).await.unwrap() else { panic!("a turn") };
    drop(turn);
    assert_eq!(behind.stats().depth, 1);
}

#[tokio::test]
async fn a_batch_waits_for_company_and_has_bounds() {
    let cache = memory();
    let behind = open(&cache, options());
    let lingering = BatchOptions { max_items: 3, linger: DEADLINE, ..soon() };
    let waiting = behind.clone();
    let batch = tokio::spawn(async move { waiting.next_batch(lingering).await });
    for key in ["a", "b", "c", "d"] {
        behind.set(key, "x", 60).await.unwrap();
    }
    assert_eq!(batch.await.unwrap().unwrap().len(), 3);
    assert_eq!(
        behind.next_batch(BatchOptions { linger: Duration::from_millis(1), ..soon() }).await.unwrap().len(),
        1
    );
    for key in ["e", "f", "g"] {
        behind.set(key, &"x".repeat(1000), 60).await.unwrap();
    }
    let bounded = BatchOptions { max_bytes: 2100, ..soon() };
    assert_eq!(behind.next_batch(bounded).await.unwrap().len(), 2);
    let wrong = behind.next_batch(BatchOptions { max_items: 10_001, ..soon() }).await.unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::InvalidOption);
}

#[tokio::test]
async fn what_nobody_answers_for_is_due_again() {
    let cache = memory();
    let behind = open(&cache, options().visibility(Duration::from_millis(100)));
    behind.set("k", "v", 60).await.unwrap();
    let first = behind.next_batch(soon()).await.unwrap();
    let second = behind.next_batch(soon()).await.unwrap();
    assert_eq!((second[0].number, second[0].attempt), (first[0].number, 2));
    assert_eq!(behind.ack(&[first[0].number]), 1);
    assert_eq!(behind.ack(&[first[0].number]), 0);
    // A batch that its caller no longer waits for is not lost.
    behind.set("k", "w", 60).await.unwrap();
    drop(tokio::time::timeout(Duration::ZERO, behind.next_batch(soon())).await);
    assert_eq!(behind.next_batch(soon()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_end_waits_for_the_source_and_says_what_is_left() {
    let cache = memory();
    let behind = open(&cache, options());
    for n in 0..50 {
        behind.set(&format!("k{n}"), &n, 60).await.unwrap();
    }
    let worker = behind.run(|_| async { Ok(()) });
    let (report, ended) = tokio::join!(behind.close(DEADLINE), worker);
    ended.unwrap();
    let report = report.unwrap();
    assert_eq!((report.written, report.left, report.dead), (50, 0, 0));
    assert_eq!(behind.set("k", "v", 60).await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(behind.next_batch(soon()).await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(behind.close(DEADLINE).await.unwrap().left, 0);

    let stuck = open(&cache, options());
    stuck.set("a", "1", 60).await.unwrap();
    assert_eq!(stuck.flush(Duration::from_millis(10)).await.unwrap().left, 1);
    assert_eq!(stuck.close(Duration::from_millis(10)).await.unwrap().left, 1);
    // What was pending is none of the cache's any more.
    cache.clear().await.unwrap();
    assert_eq!(cache.get::<String>("a").await.unwrap(), None);
}

#[tokio::test]
async fn wrong_options_are_named() {
    let cache = memory();
    let wrong = |options: WriteBehindOptions, name: &str| {
        let error = cache.write_behind(options).expect_err(name);
        assert_eq!(error.kind(), ErrorKind::InvalidOption);
        assert!(error.message().contains(name), "{error}");
    };
    wrong(WriteBehindOptions::new("a b").ack(AckLevel::Memory), "name");
    wrong(WriteBehindOptions::new("a"), "directory");
    wrong(options().max_bytes(1), "max_bytes");
    wrong(options().partitions(0), "partitions");
    wrong(options().ack(AckLevel::Redis), "redis");
    for (json, name) in [
        (r#"{"name": "a", "ack": "disk"}"#, "ack"),
        (r#"{"name": "a", "ack": "memory", "on_full": "wait"}"#, "on_full"),
        (r#"{"name": "a", "ack": "memory", "colour": 1}"#, "colour"),
        (r#"{"name": "a", "ack": "memory", "visibility": -1}"#, "visibility"),
    ] {
        let error = WriteBehindOptions::from_json(json.as_bytes()).expect_err(name);
        assert!(error.message().contains(name), "{error}");
    }
}

#[tokio::test]
async fn a_journal_keeps_what_was_acknowledged() {
    let directory = temporary_directory();
    let cache = memory();
    let journal = || WriteBehindOptions::new("t").directory(&directory);
    let behind = open(&cache, journal());
    behind.set("a", "1", 60).await.unwrap();
    behind.set("b", "2", 60).await.unwrap();
    behind.delta("b", "3").await.unwrap();
    let writes = behind.next_batch(soon()).await.unwrap();
    behind.ack(&[writes[0].number]);
    behind.nack(&[writes[1].number], "for good", true);
    assert_eq!(behind.close(Duration::ZERO).await.unwrap().left, 1);
    let again = open(&memory(), journal());
    let letters = again.dead_letters(0).await.unwrap();
    assert_eq!((told(&letters)[0].2.as_str(), letters[0].error.as_str()), ("\"2\"", "for good"));
    assert_eq!((letters[0].process, letters[0].sequence), (writes[1].process, writes[1].sequence));
    assert_eq!((again.stats().adopted, again.stats().depth), (2, 1));
    again.replay(&[]).await.unwrap();
    for text in ["\"2\"", "\"3\""] {
        let writes = again.next_batch(soon()).await.unwrap();
        assert_eq!(told(&writes)[0].2, text);
        again.ack(&[writes[0].number]);
    }
    assert_eq!(again.close(DEADLINE).await.unwrap().left, 0);
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0, "nothing is left");
    std::fs::remove_dir_all(&directory).unwrap();
}
