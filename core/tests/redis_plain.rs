//! Programs that know nothing of Scrubjay: plain entries, and channels whose messages are keys. The test plays them with
//! commands of its own.

mod support;

use std::time::Duration;

use scrubjay::{Builder, CacheService, Error, ErrorKind, Format, Raw, SetOptions, UpdateOptions};
use serde_json::{Value, json};
use support::{Server, builder, eventually, open, shared};

/// So long that nothing is seen by waiting: only by being told.
const LONG: Duration = Duration::from_secs(3600);
const CHANNEL: &str = "cache:invalidate";

fn plain(server: &Server) -> Builder {
    builder(&server.url(), "shop").format(Format::Plain)
}

fn text(server: &Server, name: &str) -> Option<String> {
    server.command(&[b"GET", name.as_bytes()])
}

fn put(server: &Server, name: &str, text: &str) {
    let () = server.command(&[b"SET", name.as_bytes(), text.as_bytes()]);
}

fn publish(server: &Server, key: &str) {
    let heard: u64 = server.command(&[b"PUBLISH", CHANNEL.as_bytes(), key.as_bytes()]);
    assert!(heard > 0, "nobody listens");
}

/// What another program hears on the channel.
struct Heard {
    keys: std::sync::mpsc::Receiver<String>,
}

impl Heard {
    fn begin(server: &Server) -> Heard {
        let (sender, keys) = std::sync::mpsc::channel();
        let mut connection = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
        std::thread::spawn(move || {
            let mut messages = connection.as_pubsub();
            messages.subscribe(CHANNEL).unwrap();
            while let Ok(message) = messages.get_message() {
                if sender.send(message.get_payload().unwrap()).is_err() {
                    return;
                }
            }
        });
        Heard { keys }
    }

    fn next(&self) -> String {
        self.keys.recv_timeout(support::DEADLINE).expect("a message")
    }
}

/// A cache that has a session with the server.
async fn tracking(server: &Server) -> CacheService {
    let cache = plain(server).tracking(true).max_staleness(LONG).build().expect("a cache");
    cache.get::<Value>("nothing").await.unwrap();
    eventually("the first session", || async { cache.stats().push_sessions == 1 }).await;
    cache
}

async fn subscribers(server: &Server, count: u64) {
    eventually("they listen", || async {
        let numbers: Vec<redis::Value> = server.command(&[b"PUBSUB", b"NUMSUB", CHANNEL.as_bytes()]);
        numbers.get(1) == Some(&redis::Value::Int(i64::try_from(count).unwrap()))
    })
    .await;
}

#[tokio::test]
async fn plain_entries_are_bare_json_under_prefix_and_key() {
    let server = Server::start();
    let cache = plain(&server).build().unwrap();
    cache.set("user:1", &json!({"name": "Ada"}), 60).await.unwrap();
    assert_eq!(text(&server, "shop:user:1").as_deref(), Some(r#"{"name":"Ada"}"#));
    let left: u64 = server.command(&[b"PTTL", b"shop:user:1"]);
    assert!((1..=60_000).contains(&left), "{left}");
    cache.set_many([("a", &1), ("b", &2)], 60).await.unwrap();
    assert_eq!((text(&server, "shop:a").as_deref(), text(&server, "shop:b").as_deref()), (Some("1"), Some("2")));
    let load = || async { Ok::<_, Error>(json!([1, null])) };
    cache.get_or_fetch("loaded", 60, load).await.unwrap();
    eventually("it is stored", || async { text(&server, "shop:loaded").as_deref() == Some("[1,null]") }).await;
    cache.delete("user:1").await.unwrap();
    assert_eq!(text(&server, "shop:user:1"), None);
    cache.clear().await.unwrap();
    let names: Vec<String> = server.command(&[b"KEYS", b"*"]);
    assert_eq!(names, Vec::<String>::new(), "it has nothing else there");

    let bare = builder(&server.url(), "").format(Format::Plain).build().unwrap();
    bare.set("user:1", &7, 60).await.unwrap();
    assert_eq!(text(&server, "user:1").as_deref(), Some("7"));
    assert_eq!(bare.clear().await.unwrap_err().kind(), ErrorKind::InvalidOption);
    assert_eq!(text(&server, "user:1").as_deref(), Some("7"));
}

#[tokio::test]
async fn what_other_programs_have_written_is_read() {
    let server = Server::start();
    let cache = plain(&server).build().unwrap();
    put(&server, "shop:user:1", r#"{"name": "Ada", "age": 36}"#);
    assert_eq!(cache.get::<Value>("user:1").await.unwrap(), Some(json!({"name": "Ada", "age": 36})));
    put(&server, "shop:a", "1");
    put(&server, "shop:c", "null");
    let many = cache.get_many::<Value>(&["a", "b", "c"]).await.unwrap();
    assert_eq!((many.get("a"), many.get("b"), many.get("c")), (Some(&json!(1)), None, Some(&Value::Null)));
    for (name, wrong) in [("text", "no JSON".to_owned()), ("deep", "[".repeat(65) + &"]".repeat(65))] {
        put(&server, &format!("shop:{name}"), &wrong);
        let misses = cache.stats().decode_misses;
        assert_eq!(cache.get::<Value>(name).await.unwrap(), None);
        assert_eq!(cache.stats().decode_misses, misses + 1, "{name}");
        let load = || async { Ok::<_, Error>(1) };
        assert_eq!(cache.get_or_fetch(name, 60, load).await.unwrap(), 1);
        eventually("it is replaced", || async { text(&server, &format!("shop:{name}")).as_deref() == Some("1") })
            .await;
    }
    let () = server.command(&[b"SET", b"shop:short", b"1", b"PX", b"150"]);
    let explained = cache.explain("short").await.unwrap();
    assert!(explained.ttl.is_some_and(|left| left <= 0.15), "{explained:?}");
}

#[tokio::test]
async fn a_plain_cache_says_what_it_cannot() {
    let server = Server::start();
    let cache = plain(&server).build().unwrap();
    cache.get::<Value>("k").await.unwrap();
    assert_eq!(cache.effective_staleness_bound(), None, "nothing keeps a late fill out");
    assert_eq!(cache.set("k", &Raw::from(&b"bytes"[..]), 60).await.unwrap_err().kind(), ErrorKind::InvalidValue);
    let tagged = SetOptions::new().ttl(60).tags(["t"]);
    assert_eq!(cache.set("k", &1, tagged.clone()).await.unwrap_err().kind(), ErrorKind::InvalidOption);
    let load = || async { Ok::<_, Error>(1) };
    assert_eq!(cache.get_or_fetch("k", tagged, load).await.unwrap_err().kind(), ErrorKind::InvalidOption);
    assert_eq!(cache.invalidate_tags(&["t"]).await.unwrap_err().kind(), ErrorKind::InvalidOption);
    let msgpack = SetOptions::new().codec(scrubjay::Codec::MsgPack);
    assert_eq!(cache.set("k", &1, msgpack).await.unwrap_err().kind(), ErrorKind::InvalidOption);
    for (wrong, named) in [
        (plain(&server).codec(scrubjay::Codec::MsgPack), "codec"),
        (CacheService::builder().format(Format::Plain), "format"),
        (CacheService::builder().subscribe_invalidations(CHANNEL.to_owned()), "subscribe_invalidations"),
        (open_builder(&server).tracking(true), "tracking"),
        (open_builder(&server).publish_invalidations(String::new()), "publish_invalidations"),
        (open_builder(&server).publish_invalidations("sj:{shop.0}:c".to_owned()), "publish_invalidations"),
        (open_builder(&server).subscribe_invalidations("x".repeat(513)), "subscribe_invalidations"),
    ] {
        let error = wrong.build().expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::InvalidOption);
        assert!(error.to_string().contains(named), "{error}");
    }
}

fn open_builder(server: &Server) -> Builder {
    builder(&server.url(), "shop")
}

#[tokio::test]
async fn a_not_found_is_remembered_here_alone() {
    let server = Server::start();
    let cache = plain(&server).build().unwrap();
    let load = || async { Err::<u32, _>(Error::not_found()) };
    assert_eq!(cache.get_or_fetch("k", 60, load).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(text(&server, "shop:k"), None);
    let never = || async { panic!("it is remembered") };
    assert_eq!(
        cache.get_or_fetch::<u32, Error, _, _>("k", 60, never).await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
}

#[tokio::test]
async fn memory_follows_tracked_keys_that_others_write() {
    let server = Server::start();
    let cache = tracking(&server).await;
    put(&server, "shop:a", "1");
    put(&server, "shop:b", "1");
    let reads = || cache.stats().hits_l2;
    // What is told of the writes before the reads may come after them.
    eventually("memory has both", || async {
        let before = reads();
        for key in ["a", "b"] {
            assert_eq!(cache.get::<u32>(key).await.unwrap(), Some(1));
        }
        reads() == before
    })
    .await;
    put(&server, "shop:a", "2");
    eventually("it is told", || async { cache.get::<u32>("a").await.unwrap() == Some(2) }).await;
    let _: u64 = server.command(&[b"DEL", b"shop:b"]);
    eventually("it is told", || async { cache.get::<u32>("b").await.unwrap().is_none() }).await;
    put(&server, "shop:b", "3");
    eventually("it is there", || async { cache.get::<u32>("b").await.unwrap() == Some(3) }).await;
    let () = server.command(&[b"FLUSHALL"]);
    eventually("all are gone", || async { cache.get::<u32>("b").await.unwrap().is_none() }).await;
    // Keys of others are not ours.
    put(&server, "other:a", "9");
    assert_eq!(cache.get::<u32>("a").await.unwrap(), None);
}

#[tokio::test]
async fn a_load_from_before_a_tracked_write_is_not_kept() {
    let server = Server::start();
    let cache = tracking(&server).await;
    let load = || async {
        put(&server, "shop:k", "2");
        // When this has come, so has what was told before.
        eventually("it is told", || async { cache.explain("k").await.unwrap().tier.is_some() }).await;
        Ok::<_, Error>(1)
    };
    assert_eq!(cache.get_or_fetch("k", 60, load).await.unwrap(), 1, "the caller gets what was loaded");
    // A plain entry has no lease: what was loaded may stand there, but memory holds nothing that others replaced.
    put(&server, "shop:k", "3");
    eventually("the last write is seen", || async { cache.get::<u32>("k").await.unwrap() == Some(3) }).await;
}

#[tokio::test]
async fn without_tracking_memory_is_believed_for_max_staleness() {
    let server = Server::start();
    let cache = plain(&server).max_staleness(Duration::from_millis(200)).build().unwrap();
    put(&server, "shop:k", "1");
    assert_eq!(cache.get::<u32>("k").await.unwrap(), Some(1));
    put(&server, "shop:k", "2");
    eventually("it is read again", || async { cache.get::<u32>("k").await.unwrap() == Some(2) }).await;
    assert_eq!(cache.stats().push_sessions, 0);
}

#[tokio::test]
async fn keys_on_a_channel_are_invalidated_in_both_tiers() {
    let server = Server::start();
    let subscribed = || open_builder(&server).subscribe_invalidations(CHANNEL.to_owned()).max_staleness(LONG);
    let (cache, other) = (subscribed().build().unwrap(), open(&server.url(), "shop"));
    cache.set("user:1", "old", 60).await.unwrap();
    cache.set("user:2", "kept", 60).await.unwrap();
    subscribers(&server, 1).await;
    publish(&server, "user:1");
    eventually("it is gone", || async { cache.get::<String>("user:1").await.unwrap().is_none() }).await;
    eventually("for all", || async { other.get::<String>("user:1").await.unwrap().is_none() }).await;
    assert_eq!(cache.get::<String>("user:2").await.unwrap().as_deref(), Some("kept"));
    for strange in ["", &"x".repeat(1025)] {
        publish(&server, strange);
    }
    publish(&server, "user:2");
    eventually("it goes on", || async { cache.get::<String>("user:2").await.unwrap().is_none() }).await;
}

#[tokio::test]
async fn a_load_from_before_a_key_was_told_is_not_stored() {
    let server = Server::start();
    let cache =
        open_builder(&server).subscribe_invalidations(CHANNEL.to_owned()).max_staleness(LONG).build().unwrap();
    cache.get::<String>("nothing").await.unwrap();
    subscribers(&server, 1).await;
    let load = || async {
        let before = cache.stats().invalidations;
        publish(&server, "k");
        eventually("it is told", || async { cache.stats().invalidations > before }).await;
        Ok::<_, Error>("old".to_owned())
    };
    assert_eq!(cache.get_or_fetch("k", 60, load).await.unwrap(), "old");
    assert_eq!(cache.get::<String>("k").await.unwrap(), None);
    assert_eq!(shared(&server.url(), "shop", "k").await, None);
}

#[tokio::test]
async fn what_is_told_to_other_programs_is_not_taken_for_their_word() {
    let server = Server::start();
    for format in [Format::Scrubjay, Format::Plain] {
        let both = || {
            open_builder(&server)
                .format(format)
                .subscribe_invalidations(CHANNEL.to_owned())
                .publish_invalidations(CHANNEL.to_owned())
                .build()
                .unwrap()
        };
        let (cache, other) = (both(), both());
        let heard = Heard::begin(&server);
        cache.get::<String>("nothing").await.unwrap();
        other.get::<String>("nothing").await.unwrap();
        subscribers(&server, 3).await;

        cache.set("a", "1", 60).await.unwrap();
        cache.set_many([("b", "1"), ("c", "1")], 60).await.unwrap();
        cache.delete_many(&["d", "e"]).await.unwrap();
        cache.update(&["f"], UpdateOptions::new(), || async { Ok::<_, Error>(()) }).await.unwrap();
        cache.get_or_fetch("g", 60, || async { Ok::<_, Error>("1".to_owned()) }).await.unwrap();
        cache.delete("h").await.unwrap();
        let told: Vec<String> = (0..7).map(|_| heard.next()).collect();
        assert_eq!(told, ["a", "b", "c", "d", "e", "f", "h"], "a load is no change");
        // The last message has come to all when a word of another program has.
        publish(&server, "last");
        // A plain cache takes the others only out of its memory, whoever told them.
        let expected = if format == Format::Plain { 8 } else { 1 };
        eventually("it is told", || async { other.stats().invalidations == expected }).await;
        for key in ["a", "b", "c"] {
            assert_eq!(other.get::<String>(key).await.unwrap().as_deref(), Some("1"), "{format:?} {key}");
        }
        cache.close().await.unwrap();
        other.close().await.unwrap();
        // It leaves with the next message.
        drop(heard);
        eventually("all have left", || async {
            server.command::<u64>(&[b"PUBLISH", CHANNEL.as_bytes(), b"end"]) == 0
        })
        .await;
    }
}

#[tokio::test]
async fn a_token_of_a_plain_write_is_observed() {
    let server = Server::start();
    let (cache, other) = (plain(&server).build().unwrap(), plain(&server).max_staleness(LONG).build().unwrap());
    cache.set("k", &1, 60).await.unwrap();
    assert_eq!(other.get::<u32>("k").await.unwrap(), Some(1));
    let receipt = cache.set("k", &2, 60).await.unwrap();
    assert_eq!(other.get::<u32>("k").await.unwrap(), Some(1), "nobody told it");
    other.observe(receipt.token, &["k"]).unwrap();
    assert_eq!(other.get::<u32>("k").await.unwrap(), Some(2));
}
