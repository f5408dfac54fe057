//! One load in the whole fleet, and no value that is older than the last write: leases and fences on a real server.
//! Each cache here is what it would be in a process of its own.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use scrubjay::{CacheService, Error, ErrorKind};
use support::{Server, builder, entry_name, eventually, open, shared};
use tokio::sync::oneshot;

/// How often the server has run this command since it was started, within scripts included.
fn calls(server: &Server, command: &str) -> u64 {
    let text: String = server.command(&[b"INFO", b"commandstats"]);
    let name = format!("cmdstat_{command}:calls=");
    let line = text.lines().find_map(|line| line.strip_prefix(&name));
    line.and_then(|rest| rest.split(',').next()).map_or(0, |count| count.parse().expect("a number"))
}

fn round_trips(server: &Server) -> (u64, u64) {
    (calls(server, "get") + calls(server, "mget"), calls(server, "evalsha") + calls(server, "eval"))
}

/// What has a fetch of "old" begin, wait for the word, and end. The first receiver is told when it has begun.
fn slow_fetch(
    cache: &CacheService,
    key: &'static str,
) -> (oneshot::Receiver<()>, oneshot::Sender<()>, tokio::task::JoinHandle<Result<String, Error>>) {
    let (begun, has_begun) = oneshot::channel();
    let (go_on, word) = oneshot::channel();
    let cache = cache.clone();
    let task = tokio::spawn(async move {
        let fetch = || async {
            begun.send(()).expect("somebody waits");
            word.await.expect("the word");
            Ok::<_, Error>("old".to_owned())
        };
        cache.get_or_fetch(key, 60, fetch).await
    });
    (has_begun, go_on, task)
}

#[tokio::test]
async fn reads_and_writes_take_as_many_round_trips_as_they_must() {
    let server = Server::start();
    // The version that every entry carries is asked for now and then: not in between here.
    let open = || builder(&server.url(), "shop").max_staleness(Duration::from_secs(60)).build().unwrap();
    let (cache, other) = (open(), open());
    // A connection begins with commands of its own.
    cache.set("warm", "up", 60).await.unwrap();
    assert!(other.get::<String>("warm").await.unwrap().is_some());

    let before = round_trips(&server);
    cache.set("k", "v", 60).await.unwrap();
    let after_set = round_trips(&server);
    assert_eq!((after_set.0 - before.0, after_set.1 - before.1), (1, 1), "a set, and the look that goes with it");

    assert_eq!(other.get::<String>("k").await.unwrap().as_deref(), Some("v"));
    let after_hit = round_trips(&server);
    assert_eq!((after_hit.0 - after_set.0, after_hit.1 - after_set.1), (1, 0), "a hit in the shared tier");

    cache.delete("k").await.unwrap();
    let after_delete = round_trips(&server);
    assert_eq!((after_delete.0 - after_hit.0, after_delete.1 - after_hit.1), (0, 1), "a delete");

    cache.delete_many(&["a", "b", "c"]).await.unwrap();
    let after_many = round_trips(&server);
    assert_eq!((after_many.0 - after_delete.0, after_many.1 - after_delete.1), (0, 1), "a delete of many");

    let at_fetch = cache
        .get_or_fetch("cold", 60, || async { Ok::<_, Error>(format!("{:?}", round_trips(&server))) })
        .await
        .unwrap();
    assert_eq!(at_fetch, format!("{:?}", (after_many.0 + 1, after_many.1 + 1)), "a cold miss, before its fetch");
    eventually("the fill", async || round_trips(&server).1 == after_many.1 + 2).await;
}

#[tokio::test]
async fn a_fleet_loads_once() {
    let server = Server::start();
    let caches: Vec<CacheService> = (0..4).map(|_| open(&server.url(), "shop")).collect();
    let loads = Arc::new(AtomicUsize::new(0));
    let mut callers = Vec::new();
    for n in 0..200 {
        let (cache, loads) = (caches[n % caches.len()].clone(), loads.clone());
        callers.push(tokio::spawn(async move {
            let fetch = || async {
                loads.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(50)).await;
                Ok::<_, Error>("loaded".to_owned())
            };
            cache.get_or_fetch("k", 60, fetch).await
        }));
    }
    for caller in callers {
        assert_eq!(caller.await.unwrap().unwrap(), "loaded");
    }
    assert_eq!(loads.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_was_loaded_before_a_write_elsewhere_is_stored_nowhere() {
    let server = Server::start();
    for write in ["delete", "set", "delete_many", "clear"] {
        let (cache, other) = (open(&server.url(), "shop"), open(&server.url(), "shop"));
        let (has_begun, go_on, task) = slow_fetch(&cache, "k");
        has_begun.await.unwrap();
        match write {
            "delete" => other.delete("k").await.map(drop),
            "set" => other.set("k", "new", 60).await.map(drop),
            "delete_many" => other.delete_many(&["k", "l"]).await.map(drop),
            _ => other.clear().await.map(drop),
        }
        .unwrap();
        go_on.send(()).unwrap();
        assert_eq!(
            task.await.unwrap().unwrap(),
            "old",
            "{write}: the read overlapped the write, so it may have it"
        );
        let now = (write == "set").then_some("new");
        // What is asked for after the fill leaves after it.
        eventually("memory lets go of it", async || cache.get::<String>("k").await.unwrap().as_deref() == now)
            .await;
        assert_eq!(shared(&server.url(), "shop", "k").await.as_deref(), now, "{write}");
        other.delete("k").await.unwrap();
    }
}

#[tokio::test]
async fn a_dead_leader_is_replaced_when_its_lease_ends() {
    let server = Server::start();
    let cache = open(&server.url(), "shop");
    // Somebody won the lease, and was never heard of again.
    let (has_begun, _go_on, task) = slow_fetch(&cache, "k");
    has_begun.await.unwrap();
    let leased = server.entry("shop", "k").expect("a stub");
    task.abort();
    eventually("it is given back", async || server.entry("shop", "k").is_none()).await;
    let name = entry_name("shop", "k");
    let now: (u64, u64) = server.command(&[b"TIME"]);
    let deadline = now.0 * 1000 + now.1 / 1000 + 700;
    let mut stub = leased;
    stub[32..40].copy_from_slice(&deadline.to_le_bytes());
    let () = server.command(&[b"SET", name.as_bytes(), &stub, b"PX", b"700"]);
    let loaded_at = cache
        .get_or_fetch("k", 60, || async {
            let now: (u64, u64) = server.command(&[b"TIME"]);
            Ok::<_, Error>(now.0 * 1000 + now.1 / 1000)
        })
        .await
        .unwrap();
    assert!(loaded_at >= deadline, "{loaded_at} < {deadline}");
    assert_eq!(cache.stats().loads, 2);
}

#[tokio::test]
async fn a_lease_lasts_as_long_as_its_load() {
    let server = Server::start();
    let (cache, other) = (open(&server.url(), "shop"), open(&server.url(), "shop"));
    // A lease is for twice the time that loads take: here for four seconds, so that no busy machine ends it.
    let slow = || async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        Ok::<_, Error>("slow".to_owned())
    };
    cache.get_or_fetch("slow", 60, slow).await.unwrap();
    let (has_begun, go_on, task) = slow_fetch(&cache, "k");
    has_begun.await.unwrap();
    let stub = || server.entry("shop", "k").expect("a stub");
    let deadline = || u64::from_le_bytes(stub()[32..40].try_into().unwrap());
    let waits = tokio::spawn(async move {
        other.get_or_fetch("k", 60, || async { Ok::<_, Error>("second".to_owned()) }).await
    });
    let (token, first) = (stub()[8..24].to_vec(), deadline());
    eventually("it is extended", async || deadline() > first).await;
    let second = deadline();
    eventually("it is extended again", async || deadline() > second).await;
    assert_eq!(stub()[8..24], token, "by the same holder");
    assert!(!waits.is_finished());
    go_on.send(()).unwrap();
    assert_eq!(task.await.unwrap().unwrap(), "old");
    assert_eq!(waits.await.unwrap().unwrap(), "old");
}

#[tokio::test]
async fn a_load_that_fails_lets_the_next_one_begin() {
    let server = Server::start();
    let (cache, other) = (open(&server.url(), "shop"), open(&server.url(), "shop"));
    let failed: Result<String, Error> =
        cache.get_or_fetch("k", 60, || async { Err(Error::new(ErrorKind::Unavailable, "test", "no")) }).await;
    failed.expect_err("no value");
    eventually("the lease is given back", async || server.entry("shop", "k").is_none()).await;
    let value = other.get_or_fetch("k", 60, || async { Ok::<_, Error>("second".to_owned()) }).await.unwrap();
    assert_eq!(value, "second");
}

#[tokio::test]
async fn scripts_that_the_server_has_forgotten_are_sent_again() {
    let server = Server::start();
    let cache = builder(&server.url(), "shop").l1_bytes(0_u64).build().unwrap();
    let flush = || {
        let () = server.command(&[b"SCRIPT", b"FLUSH"]);
    };
    flush();
    assert!(!cache.set("k", "v", 60).await.unwrap().pending);
    assert_eq!(cache.get::<String>("k").await.unwrap().as_deref(), Some("v"));
    flush();
    assert!(!cache.delete_many(&["k", "l"]).await.unwrap().pending);
    assert_eq!(cache.get::<String>("k").await.unwrap(), None);
    flush();
    cache.get_or_fetch("k", 60, || async { Ok::<_, Error>("fetched".to_owned()) }).await.unwrap();
    eventually("the fill", async || cache.get::<String>("k").await.unwrap().as_deref() == Some("fetched")).await;
    let fetch = || async {
        flush();
        Ok::<_, Error>("again".to_owned())
    };
    cache.get_or_fetch("l", 60, fetch).await.unwrap();
    eventually("the fill", async || cache.get::<String>("l").await.unwrap().as_deref() == Some("again")).await;
    assert_eq!(cache.stats().l2_errors, 0);
}

#[tokio::test]
async fn a_server_without_scripts_stores_and_deletes() {
    let server = Server::start();
    let user: [&[u8]; 8] = [b"ACL", b"SETUSER", b"ada", b"on", b">pw", b"~sj:*", b"+@all", b"-@scripting"];
    let () = server.command(&user);
    let url = format!("redis://ada:pw@127.0.0.1:{}", server.port);
    let (cache, other) = (open(&url, "shop"), open(&url, "shop"));
    assert!(!cache.set("k", "v", 60).await.unwrap().pending);
    assert_eq!(other.get::<String>("k").await.unwrap().as_deref(), Some("v"));
    assert!(!cache.delete("k").await.unwrap().pending);
    assert_eq!(shared(&url, "shop", "k").await, None);
    cache.get_or_fetch("k", 60, || async { Ok::<_, Error>("fetched".to_owned()) }).await.unwrap();
    eventually("the fill", async || shared(&url, "shop", "k").await.as_deref() == Some("fetched")).await;
    assert_eq!(cache.stats().l2_errors, 0);
}

#[tokio::test]
async fn the_numbers_of_writes_grow_though_the_server_forgets_them() {
    let server = Server::start();
    let cache = open(&server.url(), "shop");
    let mut last = 0;
    for n in 0..4 {
        if n == 2 {
            let () = server.command(&[b"FLUSHALL"]);
        }
        let receipt = if n % 2 == 0 { cache.set("k", "v", 60).await } else { cache.delete("k").await }.unwrap();
        let number = u64::from_be_bytes(receipt.token.0[8..].try_into().unwrap());
        assert!(number > last, "{number} after {last}");
        last = number;
    }
}
