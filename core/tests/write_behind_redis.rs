//! Write-behind through streams of Redis: one order a key in all processes, workers that die, and what reads see.

mod support;

use std::collections::HashMap;
use std::process::{Command, Stdio};
use std::time::Duration;

use scrubjay::{
    AckLevel, BatchOptions, CacheService, Error, ErrorKind, OnFull, WriteBehind, WriteBehindOptions, WriteKind,
};
use support::{DEADLINE, Server, eventually, open, temporary_directory};

fn options() -> WriteBehindOptions {
    WriteBehindOptions::new("t")
        .ack(AckLevel::Redis)
        .retry(Duration::from_millis(1), Duration::from_millis(20))
        .partitions(4)
}

fn behind(cache: &CacheService) -> WriteBehind {
    cache.write_behind(options()).expect("a write-behind")
}

fn soon() -> BatchOptions {
    BatchOptions { wait: Some(DEADLINE), ..BatchOptions::default() }
}

fn numbers(writes: &[scrubjay::Write]) -> Vec<u64> {
    writes.iter().map(|write| write.number).collect()
}

#[tokio::test]
async fn what_one_process_writes_another_brings_to_the_source() {
    let server = Server::start();
    let (here, there) = (open(&server.url(), "shop"), open(&server.url(), "shop"));
    let (writer, worker) = (behind(&here), behind(&there));
    for n in 0..3 {
        writer.set("state", &n, 60).await.unwrap();
        writer.delta("log", &n).await.unwrap();
    }
    writer.delete("gone").await.unwrap();
    assert_eq!(there.get::<i64>("state").await.unwrap(), Some(2), "the cache has it at once, everywhere");
    let mut seen: HashMap<Vec<u8>, Vec<String>> = HashMap::new();
    let mut sequences = Vec::new();
    while seen.values().map(Vec::len).sum::<usize>() < 5 {
        for write in worker.next_batch(soon()).await.unwrap() {
            let text = String::from_utf8_lossy(&write.value.bytes).into_owned();
            let text = if write.kind == WriteKind::Delete { "deleted".to_owned() } else { text };
            seen.entry(write.key.to_vec()).or_default().push(text);
            sequences.push(write.sequence);
            assert_eq!(worker.ack(&[write.number]), 1);
        }
    }
    assert_eq!(seen[&b"log"[..]], ["0", "1", "2"]);
    assert_eq!(seen[&b"state"[..]].last().map(String::as_str), Some("2"));
    assert_eq!(seen[&b"gone"[..]], ["deleted"]);
    let unique: std::collections::HashSet<&u64> = sequences.iter().collect();
    assert_eq!(unique.len(), sequences.len());
    assert_eq!(writer.flush(DEADLINE).await.unwrap().left, 0);
    eventually("nothing waits", || async { worker.stats().depth == 0 && writer.stats().depth == 0 }).await;
    let left: Vec<String> = server.command(&[b"KEYS", b"sj:{shop.0}:d"]);
    assert!(left.is_empty(), "no key is dirty");
    assert_eq!(worker.close(DEADLINE).await.unwrap().left, 0);
    assert_eq!(writer.close(DEADLINE).await.unwrap().left, 0);
}

#[tokio::test]
async fn reads_see_what_the_source_has_not() {
    let server = Server::start();
    let cache = open(&server.url(), "shop");
    let behind = behind(&cache);
    behind.set("k", "new", 60).await.unwrap();
    behind.delete("gone").await.unwrap();
    cache.clear().await.unwrap();
    let old_row = || async { Ok::<_, Error>("old row".to_owned()) };
    assert_eq!(cache.get_or_fetch("k", 60, old_row).await.unwrap(), "new");
    assert_eq!(cache.get_or_fetch("gone", 60, old_row).await.unwrap_err().kind(), ErrorKind::NotFound);
    let mut count = 0;
    while count < 2 {
        let writes = behind.next_batch(soon()).await.unwrap();
        count += writes.len();
        behind.ack(&numbers(&writes));
    }
    assert_eq!(behind.flush(DEADLINE).await.unwrap().left, 0);
    let new_row = || async { Ok::<_, Error>("new row".to_owned()) };
    assert_eq!(cache.get_or_fetch("k", 60, new_row).await.unwrap(), "new row");
}

#[tokio::test]
async fn dead_letters_stay_dead_for_the_next_owner() {
    let server = Server::start();
    let cache = open(&server.url(), "shop");
    let first = behind(&cache);
    first.set("k", "bad", 60).await.unwrap();
    first.delta("log", &1).await.unwrap();
    first.delta("log", &2).await.unwrap();
    let mut dead = 0;
    while dead < 2 {
        for write in first.next_batch(soon()).await.unwrap() {
            first.nack(&[write.number], "constraint", true);
            dead += 1;
        }
    }
    first.close(Duration::ZERO).await.unwrap();
    let second = behind(&open(&server.url(), "shop"));
    let none = second.next_batch(BatchOptions { wait: Some(Duration::from_millis(300)), ..soon() }).await.unwrap();
    assert!(none.is_empty(), "the dead hold up their keys");
    eventually("both are known", || async { second.stats().dead == 2 }).await;
    let letters = second.dead_letters(0).await.unwrap();
    assert!(letters.iter().all(|letter| letter.error == "constraint"));
    assert_eq!(second.replay(&numbers(&letters)).await.unwrap(), 2);
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let writes = second.next_batch(soon()).await.unwrap();
        seen.extend(writes.iter().map(|write| write.key.to_vec()));
        second.ack(&numbers(&writes));
    }
    eventually("nothing waits", || async { second.stats().depth == 0 }).await;
}

#[tokio::test]
async fn without_a_server_nothing_is_acknowledged() {
    let mut server = Server::start();
    let cache = open(&server.url(), "shop");
    let full = cache.write_behind(options().on_full(OnFull::Reject).max_bytes(4096)).unwrap();
    full.set("a", &"x".repeat(3000), 60).await.unwrap();
    assert_eq!(full.set("b", &"x".repeat(3000), 60).await.unwrap_err().kind(), ErrorKind::Overloaded);
    let behind = behind(&cache);
    server.kill();
    assert_eq!(behind.set("k", "v", 60).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!((behind.stats().journal_failed, behind.stats().journal_errors), (1, 1));
    assert_eq!(cache.get::<String>("k").await.unwrap(), None);
    server.restart();
    eventually("it works again", || async { behind.set("k", "v", 60).await.is_ok() }).await;
    assert_eq!(behind.stats().journal_failed, 0);
}

/// A worker in a process of its own, to be killed: it writes what it gets, one line each, and syncs nothing.
#[tokio::test]
async fn child_worker() {
    let (Ok(url), Ok(log)) = (std::env::var("WORKER_URL"), std::env::var("WORKER_LOG")) else { return };
    let behind = behind(&open(&url, "shop"));
    loop {
        let writes = behind.next_batch(BatchOptions { max_items: 7, ..soon() }).await.unwrap();
        append(&log, &writes);
        behind.ack(&numbers(&writes));
    }
}

/// The source: a file of lines.
fn append(log: &str, writes: &[scrubjay::Write]) {
    use std::io::Write as _;
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
    let line = |write: &scrubjay::Write| {
        let (key, value) = (String::from_utf8_lossy(&write.key), String::from_utf8_lossy(&write.value.bytes));
        format!("{key} {value} {}\n", write.sequence)
    };
    let text: String = writes.iter().map(line).collect();
    file.write_all(text.as_bytes()).unwrap();
}

#[tokio::test]
async fn a_worker_that_is_killed_loses_nothing_and_reorders_nothing() {
    const KEYS: usize = 20;
    const ROUNDS: usize = 40;
    let server = Server::start();
    let directory = temporary_directory();
    let log = directory.join("log").to_str().unwrap().to_owned();
    let spawn = || {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_worker", "--nocapture"])
            .env("WORKER_URL", server.url())
            .env("WORKER_LOG", &log)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    };
    let (mut doomed, mut second) = (spawn(), spawn());
    let writer = behind(&open(&server.url(), "shop"));
    let lines = || std::fs::read_to_string(&log).unwrap_or_default();
    for round in 0..ROUNDS {
        for key in 0..KEYS {
            // Changes, which do not merge: each must be seen.
            writer.delta(&format!("k{key}"), &round).await.unwrap();
        }
        if round == ROUNDS / 2 {
            eventually("a worker is at it", || async { !lines().is_empty() }).await;
            doomed.kill().unwrap();
            doomed.wait().unwrap();
        }
    }
    assert_eq!(writer.flush(DEADLINE * 2).await.unwrap().left, 0);
    second.kill().unwrap();
    second.wait().unwrap();
    let mut seen: HashMap<String, Vec<(usize, u64)>> = HashMap::new();
    for line in lines().lines() {
        let [key, round, sequence] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        seen.entry(key.to_owned()).or_default().push((round.parse().unwrap(), sequence.parse().unwrap()));
    }
    assert_eq!(seen.len(), KEYS);
    for (key, mut writes) in seen {
        // What was handed out twice has the same sequence, and a source that looks at it refuses it.
        let mut last = 0;
        writes.retain(|(_, sequence)| {
            let newer = *sequence > last;
            last = last.max(*sequence);
            newer
        });
        assert_eq!(
            writes.iter().map(|(round, _)| *round).collect::<Vec<_>>(),
            (0..ROUNDS).collect::<Vec<_>>(),
            "{key}"
        );
    }
    std::fs::remove_dir_all(&directory).unwrap();
}
