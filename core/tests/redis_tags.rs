//! Tags and clear on a real server: how much they cost, and that nothing they ended is ever seen again.

mod support;

use std::time::Duration;

use scrubjay::{CacheService, Error, Fetched, SetOptions};
use support::{Server, builder, eventually, open, shared};
use tokio::sync::oneshot;

fn tag_name(tag: &str) -> String {
    format!("sj:{{shop.t0}}:t:{tag}")
}

fn tagged(tags: &[&str]) -> SetOptions {
    SetOptions::new().ttl(60).tags(tags.iter().copied())
}

/// How often the server has read from a socket.
fn reads(server: &Server) -> u64 {
    let text: String = server.command(&[b"INFO", b"stats"]);
    let line = text.lines().find_map(|line| line.strip_prefix("total_reads_processed:"));
    line.expect("a number of reads").parse().expect("a number")
}

/// The round trips that `work` takes: each is one piece that the server reads.
async fn round_trips<T>(server: &Server, work: impl Future<Output = T>) -> (T, u64) {
    let (first, before) = (reads(server), reads(server));
    let done = work.await;
    (done, reads(server) - before - (before - first))
}

/// A cache that asks for versions once in an hour, and as seldom whether it was told everything.
fn patient(server: &Server) -> CacheService {
    builder(&server.url(), "shop").max_staleness(Duration::from_secs(3600)).build().unwrap()
}

/// Both its connections are up: what the server reads from now on is what it is asked.
async fn settled(cache: &CacheService) {
    get(cache, "nothing").await;
    eventually("a session", async || cache.stats().push_sessions == 1).await;
}

/// One that has no memory, and believes nothing.
fn strict(server: &Server) -> CacheService {
    builder(&server.url(), "shop").l1_bytes(0_u64).max_staleness(Duration::ZERO).build().unwrap()
}

async fn get(cache: &CacheService, key: &str) -> Option<String> {
    cache.get(key).await.unwrap()
}

/// What has a fetch of "old" begin, wait for the word, and end. The first receiver is told when it has begun.
fn slow_fetch(
    cache: &CacheService,
    options: SetOptions,
    found: Fetched<String>,
) -> (oneshot::Receiver<()>, oneshot::Sender<()>, tokio::task::JoinHandle<Result<String, Error>>) {
    let (begun, has_begun) = oneshot::channel();
    let (go_on, word) = oneshot::channel();
    let cache = cache.clone();
    let task = tokio::spawn(async move {
        let fetch = || async {
            begun.send(()).expect("somebody waits");
            word.await.expect("the word");
            Ok::<_, Error>(found)
        };
        cache.get_or_fetch_with("k", options, fetch).await
    });
    (has_begun, go_on, task)
}

#[tokio::test]
async fn tags_cost_as_many_round_trips_as_they_must() {
    let server = Server::start();
    let (cache, other) = (patient(&server), patient(&server));
    settled(&cache).await;
    settled(&other).await;
    cache.set("warm", "up", tagged(&["a", "b"])).await.unwrap();

    let (_, trips) = round_trips(&server, cache.set("k", "v", tagged(&["a", "b"]))).await;
    assert_eq!(trips, 1, "a set, its tags known");
    let (_, trips) = round_trips(&server, cache.set("l", "v", tagged(&["c"]))).await;
    assert_eq!(trips, 2, "a set of a new tag");
    let (value, trips) = round_trips(&server, get(&other, "k")).await;
    assert_eq!((value.as_deref(), trips), (Some("v"), 2), "a hit whose tags are not known");
    let (value, trips) = round_trips(&server, get(&other, "warm")).await;
    assert_eq!((value.as_deref(), trips), (Some("up"), 1), "and one whose tags are");
    let (_, trips) = round_trips(&server, get(&other, "k")).await;
    assert_eq!(trips, 0, "a hit in memory");

    cache.set_many([("m", "1"), ("n", "2")], tagged(&["d", "e"])).await.unwrap();
    cache.set("o", "3", tagged(&["f"])).await.unwrap();
    let many = other.get_many::<String>(&["m", "n", "o", "p", "l"]);
    let (found, trips) = round_trips(&server, many).await;
    assert_eq!((found.unwrap().len(), trips), (4, 2), "many hits, and all their tags at once");

    let (_, trips) = round_trips(&server, cache.invalidate_tags(&["a", "x"])).await;
    assert_eq!(trips, 1, "an invalidation");
    let (_, trips) = round_trips(&server, cache.invalidate_tags(&[] as &[&str])).await;
    assert_eq!(trips, 0, "of nothing");

    let fetch = || async { Ok::<_, Error>(reads(&server)) };
    let (first, before) = (reads(&server), reads(&server));
    let at_fetch = cache.get_or_fetch("cold", tagged(&["a", "new"]), fetch).await.unwrap();
    assert_eq!(at_fetch - before - (before - first), 2, "a cold miss, before its fetch");
}

#[tokio::test]
async fn an_invalidated_tag_ends_its_entries_and_no_others() {
    let server = Server::start();
    let (cache, other) = (open(&server.url(), "shop"), strict(&server));
    cache.set("both", "1", tagged(&["users", "team:1"])).await.unwrap();
    cache.set("user", "2", tagged(&["users"])).await.unwrap();
    cache.set("none", "3", 60).await.unwrap();
    let fetched: String = cache
        .get_or_fetch("fetched", tagged(&["users"]), || async { Ok::<_, Error>("4".to_owned()) })
        .await
        .unwrap();
    assert_eq!(fetched, "4");
    eventually("the fill", async || get(&other, "fetched").await.is_some()).await;

    assert!(!cache.invalidate_tags(&["team:1"]).await.unwrap().pending);
    for reader in [&cache, &other] {
        assert_eq!(get(reader, "both").await, None);
        assert_eq!(get(reader, "user").await.as_deref(), Some("2"));
    }
    let receipt = cache.invalidate_tags(&["users", "users", "unheard of"]).await.unwrap();
    assert!(!receipt.pending);
    assert_eq!(cache.stats().invalidations, 3);
    for reader in [&cache, &other] {
        for key in ["both", "user", "fetched"] {
            assert_eq!(get(reader, key).await, None, "{key}");
        }
        assert_eq!(get(reader, "none").await.as_deref(), Some("3"));
    }
    // What is stored from now on lives.
    cache.set("user", "5", tagged(&["users"])).await.unwrap();
    assert_eq!(get(&other, "user").await.as_deref(), Some("5"));
}

#[tokio::test]
async fn other_memories_follow_within_max_staleness() {
    let server = Server::start();
    let staleness = Duration::from_millis(100);
    let (cache, other) =
        (open(&server.url(), "shop"), builder(&server.url(), "shop").max_staleness(staleness).build().unwrap());
    for clear in [false, true] {
        cache.set("k", "old", tagged(&["t"])).await.unwrap();
        assert_eq!(get(&other, "k").await.as_deref(), Some("old"));
        if clear {
            cache.clear().await.unwrap();
        } else {
            cache.invalidate_tags(&["t"]).await.unwrap();
        }
        let since = std::time::Instant::now();
        // Whatever it reads meanwhile, from memory or with a version that it believes.
        while get(&other, "k").await.is_some() {
            // The bound, a tick, and what a busy machine adds between the read and this look at the clock.
            assert!(since.elapsed() < Duration::from_secs(5), "clear: {clear}");
            tokio::task::yield_now().await;
        }
        assert_eq!(get(&other, "k").await, None, "never again");
    }
}

#[tokio::test]
async fn what_was_loaded_before_an_invalidation_is_stored_nowhere() {
    let server = Server::start();
    for (what, elsewhere) in [("tag", true), ("tag", false), ("clear", true), ("clear", false)] {
        let (cache, other) = (open(&server.url(), "shop"), open(&server.url(), "shop"));
        let (has_begun, go_on, task) = slow_fetch(&cache, tagged(&["t"]), Fetched::new("old".to_owned()));
        has_begun.await.unwrap();
        let writer = if elsewhere { &other } else { &cache };
        match what {
            "tag" => writer.invalidate_tags(&["t"]).await.unwrap(),
            _ => writer.clear().await.unwrap(),
        };
        let name = format!("{what}, elsewhere: {elsewhere}");
        go_on.send(()).unwrap();
        assert_eq!(task.await.unwrap().unwrap(), "old", "{name}: the read overlapped it, so it may have it");
        assert_eq!(get(&strict(&server), "k").await, None, "{name}");
        eventually("memory lets go of it", async || get(&cache, "k").await.is_none()).await;
        // The lease is free: the next one loads at once, and what it brings is stored.
        let loaded: String =
            cache.get_or_fetch("k", tagged(&["t"]), || async { Ok::<_, Error>("new".to_owned()) }).await.unwrap();
        assert_eq!(loaded, "new", "{name}");
        eventually("it is stored", async || get(&strict(&server), "k").await.as_deref() == Some("new")).await;
        cache.clear().await.unwrap();
    }
}

#[tokio::test]
async fn tags_that_the_server_has_lost_are_misses() {
    let server = Server::start();
    let (cache, other) = (open(&server.url(), "shop"), strict(&server));
    cache.set("k", "v", tagged(&["t"])).await.unwrap();
    cache.set("l", "v", 60).await.unwrap();
    assert_eq!(get(&other, "k").await.as_deref(), Some("v"));
    let () = server.command(&[b"DEL", tag_name("t").as_bytes()]);
    assert_eq!(get(&other, "k").await, None, "a tag");
    cache.set("m", "w", tagged(&["t"])).await.unwrap();
    assert_eq!(get(&other, "m").await.as_deref(), Some("w"), "with a version that it never had before");
    assert_eq!(get(&other, "k").await, None, "and what carried the old one stays away");

    let () = server.command(&[b"DEL", tag_name("").as_bytes()]);
    assert_eq!(get(&other, "l").await, None, "the version of all");
    cache.set("l", "w", 60).await.unwrap();
    assert_eq!(get(&other, "l").await.as_deref(), Some("w"));

    let () = server.command(&[b"FLUSHALL"]);
    let loaded: String =
        other.get_or_fetch("k", tagged(&["t"]), || async { Ok::<_, Error>("x".to_owned()) }).await.unwrap();
    assert_eq!(loaded, "x");
    eventually("it is stored", async || get(&other, "k").await.as_deref() == Some("x")).await;
}

#[tokio::test]
async fn tags_outlive_their_entries() {
    let server = Server::start();
    let cache = builder(&server.url(), "shop").stale_for(Duration::from_secs(600)).build().unwrap();
    let life = |tag: &str| -> i64 { server.command(&[b"PTTL", tag_name(tag).as_bytes()]) };
    cache.set("k", "v", tagged(&["set"])).await.unwrap();
    assert!(life("set") >= 2 * 660_000, "twice as long as it must: {}", life("set"));
    let fetch = || async { Ok::<_, Error>("v".to_owned()) };
    let _: String = cache.get_or_fetch("l", tagged(&["fetched"]), fetch).await.unwrap();
    assert!(life("fetched") >= 2 * 660_000);
    assert_eq!(life(""), -1, "that of all stays");
    let before = life("set");
    let () = server.command(&[b"PEXPIRE", tag_name("set").as_bytes(), b"1000000"]);
    cache.set("k", "v", tagged(&["set"])).await.unwrap();
    assert!(life("set") <= 1_000_000, "long enough is left alone");
    let () = server.command(&[b"PEXPIRE", tag_name("set").as_bytes(), b"1000"]);
    cache.set("k", "v", tagged(&["set"])).await.unwrap();
    assert!(life("set") + 60_000 >= before, "a use keeps it");
    cache.invalidate_tags(&["set"]).await.unwrap();
    assert!(life("set") + 60_000 >= before, "as an invalidation does");
}

#[tokio::test]
async fn an_invalidation_that_cannot_be_sent_is_made_up_for() {
    let mut server = Server::start();
    let cache =
        builder(&server.url(), "shop").l2_timeout(Duration::from_millis(200)).breaker(false).build().unwrap();
    cache.set("k", "old", tagged(&["t"])).await.unwrap();
    cache.set("l", "kept", 60).await.unwrap();
    server.pause();
    let receipt = cache.invalidate_tags(&["t"]).await.unwrap();
    assert!(receipt.pending);
    assert_eq!(cache.stats().pending, 1);
    assert_eq!(get(&cache, "k").await, None, "memory has let go of it, and what stands there is not believed");
    server.unpause();
    eventually("it has landed", async || cache.stats().pending == 0).await;
    assert_eq!(get(&strict(&server), "k").await, None);
    assert_eq!(shared(&server.url(), "shop", "l").await.as_deref(), Some("kept"));
    // While it is pending and reads pass.
    cache.set("k", "old", tagged(&["t"])).await.unwrap();
    let () = server.command(&[b"CLIENT", b"PAUSE", b"60000", b"WRITE"]);
    assert!(cache.invalidate_tags(&["t"]).await.unwrap().pending);
    server.kill();
    server.restart();
    eventually("it has landed", async || cache.stats().pending == 0).await;
    cache.set("k", "new", tagged(&["t"])).await.unwrap();
    assert_eq!(get(&strict(&server), "k").await.as_deref(), Some("new"));
}

#[tokio::test]
async fn a_clear_is_one_step_and_frees_memory_behind() {
    let server = Server::start();
    let (cache, other) = (open(&server.url(), "shop"), strict(&server));
    let keys: Vec<String> = (0..3_000).map(|n| n.to_string()).collect();
    let entries: Vec<(&str, &str)> = keys.iter().map(|key| (key.as_str(), "v")).collect();
    cache.set_many(entries, 60).await.unwrap();
    settled(&cache).await;
    settled(&other).await;
    assert_eq!(get(&other, "0").await.as_deref(), Some("v"));
    let (_, trips) = round_trips(&server, other.get_many::<String>(&["1", "2"])).await;
    assert_eq!(trips, 1, "the version of all comes with what is read");
    assert!(!cache.clear().await.unwrap().pending);
    cache.set("after", "v", 60).await.unwrap();
    let fetch = || async { Ok::<_, Error>("loaded".to_owned()) };
    let _: String = cache.get_or_fetch("loaded", 60, fetch).await.unwrap();
    assert_eq!(other.get_many::<String>(&["1", "2", "2999"]).await.unwrap().len(), 0);
    eventually("the old ones are gone", async || {
        let left: Vec<String> = server.command(&[b"KEYS", b"sj:{shop.0}:e:*"]);
        left.len() == 2
    })
    .await;
    assert_eq!(get(&other, "after").await.as_deref(), Some("v"));
    assert_eq!(get(&other, "loaded").await.as_deref(), Some("loaded"));
}

#[tokio::test]
async fn a_write_after_a_clear_elsewhere_is_not_lost() {
    let server = Server::start();
    let (cache, other) = (patient(&server), patient(&server));
    cache.set("warm", "up", tagged(&["t"])).await.unwrap();
    other.clear().await.unwrap();
    other.invalidate_tags(&["t"]).await.unwrap();
    // It believes versions that are not those of the server any more, and finds out.
    cache.set("k", "v", 60).await.unwrap();
    cache.set("l", "w", tagged(&["t"])).await.unwrap();
    assert_eq!(get(&strict(&server), "k").await.as_deref(), Some("v"));
    assert_eq!(get(&strict(&server), "l").await.as_deref(), Some("w"));
    assert_eq!(get(&strict(&server), "warm").await, None);
}

#[tokio::test]
async fn a_fetch_may_name_tags_of_its_value() {
    let server = Server::start();
    let (cache, other) = (open(&server.url(), "shop"), strict(&server));
    let fetched = |text: &str| Fetched::new(text.to_owned()).ttl(600).tags(["author:3"]);
    let load = async |cache: &CacheService, key: &str| {
        cache.get_or_fetch_with(key, tagged(&["posts"]), || async { Ok::<_, Error>(fetched("v")) }).await.unwrap()
    };
    let life = |key: &str| -> i64 { server.command(&[b"PTTL", support::entry_name("shop", key).as_bytes()]) };
    assert_eq!(load(&cache, "first").await, "v");
    eventually("it is stored for a moment", async || (1..=2_000).contains(&life("first"))).await;
    eventually("with its tags", async || get(&other, "first").await.as_deref() == Some("v")).await;
    // By now the tag is known.
    assert_eq!(load(&cache, "second").await, "v");
    eventually("it is stored for its own ttl", async || life("second") > 500_000).await;
    for tag in ["author:3", "posts"] {
        // What it knew of the tag may be older than the last invalidation: then the fill is dead, and the next one knows.
        eventually("the fill", async || {
            load(&cache, "third").await;
            get(&other, "third").await.is_some()
        })
        .await;
        other.invalidate_tags(&[tag]).await.unwrap();
        assert_eq!(get(&other, "third").await, None, "{tag}");
        cache.delete("third").await.unwrap();
    }
    // Invalidated while it is loaded, by this process and by another one.
    for writer in [&cache, &other] {
        load(&cache, "known").await;
        let (has_begun, go_on, task) = slow_fetch(&cache, tagged(&[]), fetched("old"));
        has_begun.await.unwrap();
        writer.invalidate_tags(&["author:3"]).await.unwrap();
        go_on.send(()).unwrap();
        assert_eq!(task.await.unwrap().unwrap(), "old");
        eventually("memory lets go of it", async || get(&cache, "k").await.is_none()).await;
        assert_eq!(get(&other, "k").await, None);
    }
    let wrong = cache.get_or_fetch_with("wrong", 60, || async { Ok::<_, Error>(fetched("v").tags([""])) }).await;
    assert!(wrong.unwrap_err().message().contains("tags"));
}

#[tokio::test]
async fn a_server_without_scripts_keeps_no_tagged_values() {
    let server = Server::start();
    let url = format!("redis://plain:secret@127.0.0.1:{}", server.port);
    let () =
        server.command(&[b"ACL", b"SETUSER", b"plain", b"on", b">secret", b"~*", b"&*", b"+@all", b"-@scripting"]);
    let cache = open(&url, "shop");
    cache.set("plain", "v", 60).await.unwrap();
    cache.set("k", "v", 60).await.unwrap();
    cache.set("k", "w", tagged(&["t"])).await.unwrap();
    assert_eq!(get(&cache, "k").await.as_deref(), Some("w"), "memory has it");
    assert!(server.entry("shop", "k").is_none(), "the server could not tell when it ends");
    let fetch = || async { Ok::<_, Error>("w".to_owned()) };
    let _: String = cache.get_or_fetch("l", tagged(&["t"]), fetch).await.unwrap();
    let reader = builder(&url, "shop").l1_bytes(0_u64).build().unwrap();
    assert_eq!(get(&reader, "plain").await.as_deref(), Some("v"));
    assert_eq!(get(&reader, "l").await, None);
    assert!(!cache.invalidate_tags(&["t"]).await.unwrap().pending);
    assert_eq!(get(&cache, "k").await, None);
    assert!(!cache.clear().await.unwrap().pending);
    assert_eq!(get(&reader, "plain").await, None);
    assert!(server.entry("shop", "plain").is_none());
}

#[tokio::test]
async fn a_load_is_stored_though_versions_were_looked_at_meanwhile() {
    let server = Server::start();
    let cache = builder(&server.url(), "shop").max_staleness(Duration::from_millis(20)).build().unwrap();
    cache.set("warm", "up", 60).await.unwrap();
    let (has_begun, go_on, task) = slow_fetch(&cache, SetOptions::new().ttl(60), Fetched::new("new".to_owned()));
    has_begun.await.unwrap();
    // Others read, and learn once more what everybody knew.
    let before = reads(&server);
    eventually("the version is asked for again", async || {
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert_eq!(get(&cache, "nothing").await, None);
        reads(&server) > before + 20
    })
    .await;
    go_on.send(()).unwrap();
    assert_eq!(task.await.unwrap().unwrap(), "new");
    eventually("it is stored", async || get(&strict(&server), "k").await.as_deref() == Some("new")).await;
}

#[tokio::test]
async fn writes_that_begin_before_there_is_a_connection_are_read() {
    let server = Server::start();
    // The first session begins somewhere in between.
    for round in 0..40 {
        let cache = builder(&server.url(), &format!("shop{round}")).l1_bytes(0_u64).build().unwrap();
        let writes: Vec<_> = (0..100)
            .map(|n| {
                let cache = cache.clone();
                tokio::spawn(async move { cache.set(&n.to_string(), &n, 60).await })
            })
            .collect();
        for write in writes {
            assert!(!write.await.unwrap().unwrap().pending);
        }
        for n in 0..100 {
            assert_eq!(cache.get::<i32>(&n.to_string()).await.unwrap(), Some(n), "{:?}", cache.stats());
        }
    }
}
