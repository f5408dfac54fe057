//! What stands in Redis is not believed before it is checked.

mod support;

use std::time::{Duration, Instant};

use scrubjay::{CacheService, Error};
use support::{Server, builder, entry_name, eventually, open};

async fn fetch(cache: &CacheService, key: &str) -> String {
    cache.get_or_fetch(key, 60, || async { Ok::<_, Error>("fetched".to_owned()) }).await.expect("a value")
}

/// A server, and the bytes of an honest entry of the key `k` in it.
async fn server_with_an_entry() -> (Server, Vec<u8>) {
    let server = Server::start();
    open(&server.url(), "shop").set("k", "honest", 60).await.unwrap();
    let entry = server.entry("shop", "k").expect("an entry");
    (server, entry)
}

#[tokio::test]
async fn damaged_entries_are_counted_misses() {
    let (server, entry) = server_with_an_entry().await;
    let mut damaged =
        vec![Vec::new(), b"x".to_vec(), b"S".to_vec(), vec![0; 200], entry[..entry.len() - 1].to_vec()];
    // Every byte but the format, which makes it foreign, and those that scripts change, which the checksum leaves out.
    let changes = |at: &usize| [2..3, 4..5, 8..40, 64..66, 72..76].iter().any(|range| range.contains(at));
    for at in (0..entry.len()).filter(|at| !changes(at)) {
        let mut bytes = entry.clone();
        bytes[at] ^= 1 << (at % 8);
        damaged.push(bytes);
    }
    let cache = builder(&server.url(), "shop").l1_bytes(0_u64).build().unwrap();
    let count = damaged.len() as u64;
    for bytes in damaged {
        server.plant("shop", "k", &bytes);
        assert_eq!(cache.get::<String>("k").await.unwrap(), None, "{bytes:?}");
    }
    let stats = cache.stats();
    assert_eq!((stats.decode_misses, stats.misses, stats.hits_l2), (count, count, 0));
    assert_eq!(stats.l2_errors, 0, "the server did nothing wrong");
    // A damaged entry is replaced.
    assert_eq!(fetch(&cache, "k").await, "fetched");
    let reader = open(&server.url(), "shop");
    eventually("the new value", async || reader.get::<String>("k").await.unwrap().as_deref() == Some("fetched"))
        .await;
}

#[tokio::test]
async fn a_foreign_format_is_a_miss_and_stays() {
    let (server, entry) = server_with_an_entry().await;
    for format in [0, 2, 255] {
        let mut foreign = entry.clone();
        foreign[2] = format;
        server.plant("shop", "k", &foreign);
        let cache = open(&server.url(), "shop");
        assert_eq!(cache.get::<String>("k").await.unwrap(), None);
        assert_eq!(fetch(&cache, "k").await, "fetched");
        // Writes leave in order: had the value been stored, it would be there before this one.
        cache.set("after", "x", 60).await.unwrap();
        assert_eq!(server.entry("shop", "k"), Some(foreign));
        assert_eq!(cache.stats().decode_misses, 2);
    }
}

#[tokio::test]
async fn an_entry_of_another_key_is_an_error_that_ends_the_connection() {
    let (server, entry) = server_with_an_entry().await;
    let cache = open(&server.url(), "shop");
    let id = || server.hot_connections().first().cloned();
    cache.set("fine", "yes", 60).await.unwrap();
    let before = id();
    assert!(before.is_some());
    server.plant("shop", "other", &entry);
    assert_eq!(cache.get::<String>("other").await.unwrap(), None);
    assert_eq!((cache.stats().l2_errors, cache.stats().hits_l2), (1, 0));
    eventually("another connection", async || {
        cache.get::<String>("elsewhere").await.unwrap();
        id().is_some_and(|now| Some(now) != before)
    })
    .await;
    // The same entry in another namespace.
    server.plant("bank", "k", &entry);
    let bank = open(&server.url(), "bank");
    assert_eq!((bank.get::<String>("k").await.unwrap(), bank.stats().l2_errors), (None, 1));
    assert_eq!(fetch(&cache, "other").await, "fetched");
}

#[tokio::test]
async fn entries_beyond_the_bound_are_misses() {
    let server = Server::start();
    let (large, small) = (open(&server.url(), "shop"), {
        // Reading past what is too large takes its time.
        let patient = builder(&server.url(), "shop").l2_timeout(Duration::from_secs(20));
        patient.max_value(2048_usize).build().unwrap()
    });
    large.set("k", &"x".repeat(3000), 60).await.unwrap();
    large.set("fits", "y", 60).await.unwrap();
    assert_eq!(small.get::<String>("k").await.unwrap(), None);
    // Far beyond it: not even let in. The connection and the other keys are none the worse.
    let huge = vec![b'S'; 100 << 20];
    server.plant("shop", "huge", &huge);
    let begun = Instant::now();
    for _ in 0..3 {
        assert_eq!(small.get::<String>("huge").await.unwrap(), None);
        assert!(begun.elapsed() < Duration::from_secs(60));
    }
    let found = small.get_many::<String>(&["fits", "k", "absent"]).await.unwrap();
    assert_eq!(found.into_iter().collect::<Vec<_>>(), [("fits".to_owned(), "y".to_owned())]);
    assert_eq!(fetch(&small, "k").await, "fetched");
}

#[tokio::test]
async fn oversized_entries_do_not_cost_their_neighbours_the_connection() {
    let server = Server::start();
    let cache = builder(&server.url(), "shop").max_value(1024_usize).l1_bytes(0_u64).build().unwrap();
    cache.set("fits", "y", 60).await.unwrap();
    server.plant("shop", "big", &vec![b'S'; 1 << 20]);
    for _ in 0..20 {
        let found = cache.get_many::<String>(&["big", "fits"]).await.unwrap();
        assert_eq!(found.get("fits").map(String::as_str), Some("y"));
        assert_eq!(cache.get::<String>("big").await.unwrap(), None);
    }
    let stats = cache.stats();
    assert_eq!((stats.l2_errors, stats.decode_misses), (0, 40), "{stats:?}");
}

#[tokio::test]
async fn keys_of_another_type() {
    let server = Server::start();
    let cache = open(&server.url(), "shop");
    let name = entry_name("shop", "k");
    let _: usize = server.command(&[b"LPUSH", name.as_bytes(), b"x"]);
    for n in 1..=10 {
        assert_eq!(cache.get::<String>("k").await.unwrap(), None);
        assert_eq!(cache.stats().l2_errors, n, "an error, not a panic");
    }
    assert_eq!(cache.stats().breaker_state, scrubjay::BreakerState::Closed, "one key's fault is not the server's");
    assert!(cache.get_many::<String>(&["k", "l"]).await.unwrap().is_empty());
    assert_eq!(fetch(&cache, "k").await, "fetched");
    assert!(!cache.delete("k").await.unwrap().pending);
    assert_eq!(server.command::<usize>(&[b"EXISTS", name.as_bytes()]), 0);
}

#[tokio::test]
async fn a_namespace_of_another_kind_is_left_alone() {
    let server = Server::start();
    for meta in ["format=2 partitions=1", "format=1 partitions=256", "nonsense"] {
        let () = server.command(&[b"SET", b"sj:{shop.m}:meta", meta.as_bytes()]);
        let cache = open(&server.url(), "shop");
        assert_eq!(cache.get::<String>("k").await.unwrap(), None);
        assert_eq!(fetch(&cache, "k").await, "fetched");
        assert!(cache.set("k", "v", 60).await.unwrap().pending);
        assert_eq!(cache.get::<String>("k").await.unwrap().as_deref(), Some("v"), "memory works");
        let keys: Vec<String> = server.command(&[b"KEYS", b"*"]);
        assert_eq!(keys, ["sj:{shop.m}:meta"], "{meta}");
        assert_eq!(server.command::<String>(&[b"GET", b"sj:{shop.m}:meta"]), meta);
    }
    let _: usize = server.command(&[b"DEL", b"sj:{shop.m}:meta"]);
    let _: usize = server.command(&[b"LPUSH", b"sj:{shop.m}:meta", b"x"]);
    assert!(open(&server.url(), "shop").set("k", "v", 60).await.unwrap().pending);
    // Once it is put right, the cache notices.
    let cache = open(&server.url(), "shop");
    assert!(cache.delete("k").await.unwrap().pending);
    let () = server.command(&[b"SET", b"sj:{shop.m}:meta", b"format=1 partitions=1"]);
    eventually("it lands", async || cache.stats().pending == 0).await;
}

#[tokio::test]
async fn a_server_that_answers_nonsense() {
    use std::io::{Read, Write};
    for nonsense in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b"$1000000000000\r\n", b":1\r\n+OK\r\n$-1\r\n", b""]
    {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let mut bytes = [0; 1024];
                // Whatever is asked, the answer is the same, until the client has enough.
                while stream.read(&mut bytes).is_ok_and(|count| count > 0) && stream.write_all(nonsense).is_ok() {}
            }
        });
        let cache = open(&format!("redis://127.0.0.1:{port}"), "shop");
        let begun = Instant::now();
        for n in 0..5 {
            assert_eq!(fetch(&cache, &format!("k{n}")).await, "fetched");
        }
        assert!(cache.delete("k").await.unwrap().pending);
        // Each waits for one `l2_timeout` at most, until the breaker opens.
        assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    }
}
