//! Caches that share a Redis server, through the public API.

mod support;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use scrubjay::{CacheService, Codec, Error, ErrorKind, Raw, SetOptions};
use support::{Server, builder, eventually, open, shared};

#[tokio::test]
async fn a_value_is_there_for_another_cache() {
    let server = Server::start();
    let (one, other) = (open(&server.url(), "shop"), open(&server.url(), "shop"));
    assert!(!one.set("user:7", "Ada", 300).await.unwrap().pending);
    assert_eq!(other.get::<String>("user:7").await.unwrap().as_deref(), Some("Ada"));
    let value: String =
        other.get_or_fetch("user:7", 300, || async { Err::<_, Error>(Error::not_found()) }).await.unwrap();
    assert_eq!(value, "Ada");
    assert_eq!((other.stats().hits_l2, other.stats().hits_l1, other.stats().loads), (1, 1, 0));
    let life: i64 = server.command(&[b"PTTL", b"sj:{shop.0}:e:user:7"]);
    assert!((290_000..=300_000).contains(&life), "{life}");
    let meta: String = server.command(&[b"GET", b"sj:{shop.m}:meta"]);
    assert_eq!(meta, "format=1 partitions=1");
}

#[tokio::test]
async fn what_a_fetch_brought_is_there_for_another_cache() {
    let server = Server::start();
    let one = open(&server.url(), "shop");
    let fetch = || async { Ok::<_, Error>("fetched".to_owned()) };
    one.get_or_fetch("k", 300, fetch).await.unwrap();
    // The write goes on behind the answer.
    eventually("the value is shared", async || shared(&server.url(), "shop", "k").await.is_some()).await;
    let missing = || async { Err::<String, _>(Error::not_found()) };
    assert_eq!(one.get_or_fetch("none", 300, missing).await.unwrap_err().kind(), ErrorKind::NotFound);
    let other = open(&server.url(), "shop");
    eventually("the absence is shared", async || server.entry("shop", "none").is_some()).await;
    let error = other.get_or_fetch("none", 300, fetch).await.unwrap_err();
    assert_eq!((error.kind(), other.stats().loads), (ErrorKind::NotFound, 0));
}

#[tokio::test]
async fn codecs_travel_with_the_value() {
    let server = Server::start();
    let one = builder(&server.url(), "shop").codec(Codec::MsgPack).build().unwrap();
    let value = HashMap::from([("a".to_owned(), vec![1.5, -2.0]), ("b".to_owned(), vec![])]);
    one.set("packed", &value, 60).await.unwrap();
    one.set("text", &value, SetOptions::new().ttl(60).codec(Codec::Json)).await.unwrap();
    one.set("raw", &Raw::from(vec![0, 255, 10, 13]), 60).await.unwrap();
    let other = open(&server.url(), "shop");
    for key in ["packed", "text"] {
        assert_eq!(other.get::<HashMap<String, Vec<f64>>>(key).await.unwrap(), Some(value.clone()), "{key}");
    }
    assert_eq!(other.get::<Raw>("raw").await.unwrap(), Some(Raw::from(vec![0, 255, 10, 13])));
    let codecs: Vec<u8> = ["packed", "text", "raw"].map(|key| server.entry("shop", key).expect(key)[5]).to_vec();
    assert_eq!(codecs, [2, 1, 0]);
}

#[tokio::test]
async fn many_keys_and_clear_stay_in_their_namespace() {
    let server = Server::start();
    let names = ["shop", "shop2", "sho", "shop.0", ""];
    let caches: Vec<CacheService> = names.iter().map(|name| open(&server.url(), name)).collect();
    let keys: Vec<String> = (0..2500).map(|n| format!("k{n}")).collect();
    for (cache, name) in caches.iter().zip(names) {
        let value = name.to_owned();
        cache.set_many(keys.iter().map(|key| (key.as_str(), &value)), 60).await.unwrap();
    }
    let mut asked: Vec<&str> = keys.iter().map(String::as_str).collect();
    asked.push("absent");
    for name in names {
        let fresh = open(&server.url(), name);
        let values: HashMap<String, String> = fresh.get_many(&asked).await.unwrap();
        assert_eq!(values.len(), 2500, "{name}");
        assert!(values.values().all(|value| value == name), "{name}");
        assert_eq!(fresh.stats().l2_errors, 0);
    }
    caches[0].delete_many(&asked[..1500]).await.unwrap();
    let left: HashMap<String, String> = open(&server.url(), "shop").get_many(&asked).await.unwrap();
    assert_eq!(left.len(), 1000);
    assert!(!caches[0].clear().await.unwrap().pending);
    for (name, expected) in names.iter().zip([0, 2500, 2500, 2500, 2500]) {
        let values: HashMap<String, String> = open(&server.url(), name).get_many(&asked).await.unwrap();
        assert_eq!(values.len(), expected, "{name:?}");
    }
}

#[tokio::test]
async fn keys_are_bytes() {
    let server = Server::start();
    let cache = open(&server.url(), "shop");
    for key in [&b"\xff\x00\r\n"[..], b"*", b"a}b{c", &[b'x'; 1024]] {
        cache.set(key, &key.len(), 60).await.unwrap();
        let other = open(&server.url(), "shop");
        assert_eq!(other.get::<usize>(key).await.unwrap(), Some(key.len()));
        other.delete(key).await.unwrap();
    }
    let left: Vec<String> = server.command(&[b"KEYS", b"sj:{shop.0}:e:*"]);
    assert_eq!(left, Vec::<String>::new());
}

#[tokio::test]
async fn a_write_elsewhere_is_seen_within_max_staleness() {
    let server = Server::start();
    let delta = Duration::from_millis(300);
    let reader = builder(&server.url(), "shop").max_staleness(delta).build().unwrap();
    let writer = open(&server.url(), "shop");
    for n in 0..5 {
        writer.set("k", &n, 60).await.unwrap();
        let written = Instant::now();
        loop {
            let asked = Instant::now();
            let value = reader.get::<i32>("k").await.unwrap();
            if value == Some(n) {
                break;
            }
            let age = asked - written;
            assert!(age <= delta + Duration::from_millis(20), "{value:?} {age:?} after the write of {n}");
        }
    }
    support::eventually("the bound is not kept by asking each time", || async {
        reader.get::<i32>("k").await.unwrap() == Some(4) && reader.stats().hits_l1 > 0
    })
    .await;
    let strict = builder(&server.url(), "shop").max_staleness(Duration::ZERO).build().unwrap();
    for n in 0..50 {
        writer.set("k", &n, 60).await.unwrap();
        assert_eq!(strict.get::<i32>("k").await.unwrap(), Some(n));
    }
}

#[tokio::test]
async fn an_entry_comes_with_the_life_that_is_left() {
    let server = Server::start();
    let (writer, reader) = (open(&server.url(), "shop"), {
        let hour = Duration::from_secs(3600);
        builder(&server.url(), "shop").max_staleness(hour).build().unwrap()
    });
    let written = Instant::now();
    writer.set("k", "v", Duration::from_millis(900)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(400)).await;
    let mut last_hit = Duration::ZERO;
    loop {
        let asked = written.elapsed();
        if reader.get::<String>("k").await.unwrap().is_none() {
            break;
        }
        last_hit = asked;
        assert!(asked < Duration::from_secs(20), "it expires");
    }
    assert!(last_hit <= Duration::from_millis(1000), "{last_hit:?} after the write");
    assert!(reader.stats().hits_l1 > 0);
}

#[tokio::test]
async fn writes_and_deletes_of_one_key_arrive_in_their_order() {
    let server = Server::start();
    let cache = open(&server.url(), "shop");
    // The first of them wait for the connection.
    let mut calls = Vec::new();
    for n in 0..300 {
        let cache = cache.clone();
        calls.push(tokio::spawn(async move {
            if n % 3 == 2 {
                cache.delete("k").await.map(|receipt| receipt.pending)
            } else {
                cache.set("k", &n, 60).await.map(|receipt| receipt.pending)
            }
        }));
    }
    for call in calls {
        assert!(!call.await.unwrap().unwrap(), "nothing is pending");
    }
    // Tests have one thread: the calls were made in the order of their numbers, and the last was a delete.
    assert_eq!(server.entry("shop", "k"), None);
    for round in 0..20 {
        let cache = open(&server.url(), "shop");
        let sets = (0..10).map(|n| {
            let cache = cache.clone();
            tokio::spawn(async move { cache.set("k", &(round * 10 + n), 60).await.map(|receipt| receipt.pending) })
        });
        for set in sets.collect::<Vec<_>>() {
            assert!(!set.await.unwrap().unwrap());
        }
        let reader = open(&server.url(), "shop");
        let value = reader.get::<i32>("k").await.unwrap();
        assert_eq!(value, Some(round * 10 + 9), "{:?}", reader.stats());
    }
}

#[tokio::test]
async fn closing_ends_the_connection_and_opening_begins_none() {
    let server = Server::start();
    let connections = || server.hot_connections().len() + server.push_connections().len();
    let cache = open(&server.url(), "shop");
    assert_eq!(connections(), 0);
    cache.set("k", "v", 60).await.unwrap();
    assert_eq!(server.hot_connections().len(), 1);
    eventually("it listens", async || server.push_connections().len() == 1).await;
    assert!(!cache.close().await.unwrap().pending);
    eventually("the connection ends", async || connections() == 0).await;
    let dropped = open(&server.url(), "shop");
    dropped.set("k", "v", 60).await.unwrap();
    drop(dropped);
    eventually("the connection ends", async || connections() == 0).await;
}

#[tokio::test]
async fn a_fetch_that_never_ends_runs_into_its_hard_timeout() {
    let server = Server::start();
    let cache =
        builder(&server.url(), "shop").fetch_hard_timeout(Duration::from_millis(100)).build().expect("a cache");
    // Time enough for the look for slow fetches to end while the server is asked.
    for round in 0..20 {
        let key = format!("k{round}");
        let never = || std::future::pending::<Result<String, Error>>();
        let leader = tokio::spawn({
            let (cache, key) = (cache.clone(), key.clone());
            async move { cache.get_or_fetch(&key, 60, never).await }
        });
        eventually("the leader leads", async || cache.stats().loads == round + 1).await;
        let waited: Result<String, Error> = cache.get_or_fetch(&key, 60, never).await;
        assert_eq!(waited.expect_err("it never ends").kind(), ErrorKind::FetchTimeout);
        leader.abort();
    }
}

#[tokio::test]
async fn a_long_value_that_is_still_the_same_is_not_sent_again() {
    let server = Server::start();
    let sent = || {
        let info: String = server.command(&[b"INFO", b"stats"]);
        let line = info.lines().find_map(|line| line.strip_prefix("total_net_output_bytes:"));
        line.and_then(|count| count.parse::<usize>().ok()).expect("a count")
    };
    let writer = open(&server.url(), "shop");
    let reader = builder(&server.url(), "shop").max_staleness(Duration::ZERO).build().expect("a cache");
    let long = |n: usize| format!("{n}{}", "x".repeat(1 << 20));
    for n in 0..3 {
        writer.set("k", &long(n), 60).await.unwrap();
        assert_eq!(reader.get::<String>("k").await.unwrap(), Some(long(n)), "what was written is seen at once");
        let before = sent();
        for _ in 0..20 {
            assert_eq!(reader.get::<String>("k").await.unwrap(), Some(long(n)));
            let fetch = || async { Err::<String, _>(Error::not_found()) };
            assert_eq!(reader.get_or_fetch("k", 60, fetch).await.unwrap(), long(n));
        }
        assert!(sent() - before < 1 << 20, "{} bytes", sent() - before);
        assert_eq!(reader.stats().hits_l2, 41 * (n as u64 + 1));
    }
    writer.delete("k").await.unwrap();
    assert_eq!(reader.get::<String>("k").await.unwrap(), None);
}
