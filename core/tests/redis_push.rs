//! Memory follows the writes of other processes: messages, beats and sessions on a real server. Each cache here is what it
//! would be in a process of its own.

mod support;

use std::time::{Duration, Instant};

use scrubjay::{CacheService, Error, ErrorKind, SetOptions};
use support::{Proxy, Server, builder, eventually, open};
use tokio::sync::oneshot;

/// So long that nothing is seen by waiting: only by being told.
const LONG: Duration = Duration::from_secs(3600);

/// A cache that believes its memory for `max_staleness` after the last answered beat, once it has a session.
async fn listening(url: &str, max_staleness: Duration) -> CacheService {
    let cache = builder(url, "shop").max_staleness(max_staleness).build().expect("a cache");
    cache.get::<String>("nothing").await.unwrap();
    eventually("the first session", || async { cache.stats().push_sessions == 1 }).await;
    cache
}

async fn get(cache: &CacheService, key: &str) -> Option<String> {
    cache.get::<String>(key).await.expect("a valid key")
}

/// How many reads the shared tier has answered.
fn shared_hits(cache: &CacheService) -> u64 {
    cache.stats().hits_l2
}

#[tokio::test]
async fn what_another_process_writes_is_gone_from_memory_at_once() {
    let server = Server::start();
    let (cache, other) = (listening(&server.url(), LONG).await, open(&server.url(), "shop"));
    other.set("a", "old", 60).await.unwrap();
    other.set("b", "old", 60).await.unwrap();
    for key in ["a", "b", "a", "b"] {
        assert_eq!(get(&cache, key).await.as_deref(), Some("old"));
    }
    assert_eq!(shared_hits(&cache), 2, "then memory answered");
    other.delete("a").await.unwrap();
    other.set("b", "new", 60).await.unwrap();
    eventually("both are told", || async {
        get(&cache, "a").await.is_none() && get(&cache, "b").await.as_deref() == Some("new")
    })
    .await;
}

#[tokio::test]
async fn what_a_process_loaded_or_wrote_itself_goes_as_well() {
    let server = Server::start();
    let (cache, other) = (listening(&server.url(), LONG).await, listening(&server.url(), LONG).await);
    let load = || async { Ok::<_, Error>("old".to_owned()) };
    assert_eq!(cache.get_or_fetch("loaded", 60, load).await.unwrap(), "old");
    cache.set("written", "old", 60).await.unwrap();
    for key in ["loaded", "written"] {
        eventually("it is stored", || async { get(&other, key).await.as_deref() == Some("old") }).await;
        other.delete(key).await.unwrap();
        eventually("it is told", || async { get(&cache, key).await.is_none() }).await;
    }
}

#[tokio::test]
async fn memory_answers_for_longer_than_max_staleness_while_the_server_tells() {
    let server = Server::start();
    let max_staleness = Duration::from_millis(500);
    let (cache, other) = (listening(&server.url(), max_staleness).await, open(&server.url(), "shop"));
    assert_eq!(cache.effective_staleness_bound(), Some(max_staleness));
    other.set("k", "v", 60).await.unwrap();
    let begun = Instant::now();
    while begun.elapsed() < 3 * max_staleness {
        assert_eq!(get(&cache, "k").await.as_deref(), Some("v"));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // A machine that is busy for so long may be late with a beat.
    assert!(cache.stats().hits_l1 > 10 * shared_hits(&cache), "{:?}", cache.stats());
}

#[tokio::test]
async fn the_message_of_its_own_write_takes_nothing_away() {
    let server = Server::start();
    let cache = listening(&server.url(), LONG).await;
    let other = listening(&server.url(), LONG).await;
    for n in 0..200 {
        let value = n.to_string();
        cache.set("k", &value, 60).await.unwrap();
        // When the other one sees it, its message has been on its way to both.
        eventually("it is told", || async { get(&other, "k").await.as_ref() == Some(&value) }).await;
        assert_eq!(get(&cache, "k").await, Some(value));
    }
    assert_eq!(shared_hits(&cache), 0, "memory had it all the time");
    let loads = || cache.stats().loads;
    for n in 0..200 {
        cache.delete("k").await.unwrap();
        let load = || async { Ok::<_, Error>(n.to_string()) };
        assert_eq!(cache.get_or_fetch("k", 60, load).await.unwrap(), n.to_string());
        eventually("it is filled", || async { get(&other, "k").await == Some(n.to_string()) }).await;
        assert_eq!(cache.get_or_fetch("k", 60, load).await.unwrap(), n.to_string());
        assert_eq!(loads(), n + 1, "its own deletion is older than what it loaded");
    }
}

#[tokio::test]
async fn who_comes_after_a_write_elsewhere_does_not_wait_for_a_fetch_from_before_it() {
    let server = Server::start();
    let (cache, other) = (listening(&server.url(), LONG).await, open(&server.url(), "shop"));
    let (begun, has_begun) = oneshot::channel();
    let (go_on, word) = oneshot::channel();
    let slow = cache.clone();
    let first = tokio::spawn(async move {
        let fetch = || async {
            begun.send(()).expect("somebody waits");
            word.await.expect("the word");
            Ok::<_, Error>("old".to_owned())
        };
        slow.get_or_fetch("k", 60, fetch).await
    });
    has_begun.await.expect("it began");
    other.delete("k").await.unwrap();
    eventually("a later caller loads anew", || async {
        let fetch = || async { Ok::<_, Error>("new".to_owned()) };
        let call = cache.get_or_fetch("k", 60, fetch);
        // Until it is told, the call waits for the fetch that runs.
        matches!(tokio::time::timeout(Duration::from_millis(200), call).await, Ok(Ok(value)) if value == "new")
    })
    .await;
    go_on.send(()).expect("it waits");
    assert_eq!(first.await.expect("no panic").unwrap(), "old", "its own caller gets what it brought");
    assert_eq!(get(&cache, "k").await.as_deref(), Some("new"));
}

#[tokio::test]
async fn what_was_read_in_a_session_that_ended_is_not_believed() {
    let server = Server::start();
    let max_staleness = Duration::from_millis(300);
    let (cache, other) = (listening(&server.url(), max_staleness).await, open(&server.url(), "shop"));
    let sessions = || cache.stats().push_sessions;
    for round in 1..=3 {
        other.set("k", "v", 60).await.unwrap();
        eventually("it is there", || async { get(&cache, "k").await.as_deref() == Some("v") }).await;
        let _: usize = server.command(&[b"CLIENT", b"KILL", b"TYPE", b"pubsub"]);
        // By a client that tells nothing.
        let _: usize = server.command(&[b"DEL", support::entry_name("shop", "k").as_bytes()]);
        eventually("a new session", || async { sessions() > round }).await;
        eventually("it is asked anew", || async { get(&cache, "k").await.is_none() }).await;
    }
}

#[tokio::test]
async fn a_server_that_lost_everything_is_noticed_by_its_count() {
    let server = Server::start();
    let (cache, other) = (listening(&server.url(), Duration::from_millis(300)).await, open(&server.url(), "shop"));
    other.set("k", "v", 60).await.unwrap();
    assert_eq!(get(&cache, "k").await.as_deref(), Some("v"));
    let _: () = server.command(&[b"FLUSHALL"]);
    eventually("it is gone here too", || async { get(&cache, "k").await.is_none() }).await;
    eventually("a new session", || async { cache.stats().push_sessions > 1 }).await;
}

#[tokio::test]
async fn a_server_that_takes_no_writes_any_more_keeps_no_session() {
    let server = Server::start();
    let max_staleness = Duration::from_millis(300);
    let cache = listening(&server.url(), max_staleness).await;
    let _: () = server.command(&[b"REPLICAOF", b"127.0.0.1", b"1"]);
    eventually("its session ends", || async { cache.stats().coherence_lag_ms == 0 }).await;
    let _: () = server.command(&[b"REPLICAOF", b"NO", b"ONE"]);
    let cache = open(&server.url(), "shop");
    cache.set("k", "v", 60).await.unwrap();
    eventually("who comes later has one", || async { cache.stats().push_sessions > 0 }).await;
}

#[tokio::test]
async fn without_answers_memory_is_silent_after_max_staleness() {
    let server = Server::start();
    let proxy = Proxy::start(server.url().rsplit(':').next().unwrap().split('/').next().unwrap().parse().unwrap());
    let max_staleness = Duration::from_millis(400);
    let cache = builder(&proxy.url(), "shop")
        .max_staleness(max_staleness)
        .l2_timeout(Duration::from_millis(100))
        .build()
        .expect("a cache");
    cache.set("k", "v", 60).await.unwrap();
    eventually("a session", || async { cache.stats().push_sessions == 1 }).await;
    assert_eq!(get(&cache, "k").await.as_deref(), Some("v"));
    proxy.swallow();
    let silent = Instant::now();
    let mut last_answer = silent;
    while silent.elapsed() < max_staleness + Duration::from_millis(400) {
        let asked = Instant::now();
        let hits = cache.stats().hits_l1;
        if get(&cache, "k").await.is_some() && cache.stats().hits_l1 > hits {
            last_answer = asked;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // The clock that is read has a resolution of some milliseconds.
    let bound = max_staleness + Duration::from_millis(20);
    assert!(last_answer - silent <= bound, "{:?} after the last beat", last_answer - silent);
    proxy.forward();
    eventually("it goes on", || async { get(&cache, "k").await.is_some() }).await;
}

#[tokio::test]
async fn who_has_the_token_of_a_write_reads_it_or_a_later_one() {
    let server = Server::start();
    let proxy = Proxy::start(server.port);
    // The reader is told nothing any more, and believes what it has for an hour.
    let (cache, other) = (listening(&proxy.url(), LONG).await, open(&server.url(), "shop"));
    other.set("k", "old", 60).await.unwrap();
    assert_eq!(get(&cache, "k").await.as_deref(), Some("old"));
    proxy.hold_present();
    let token = other.set("k", "new", 60).await.unwrap().token;
    assert_eq!(get(&cache, "k").await.as_deref(), Some("old"));
    let travelled = token.to_string().parse().expect("a token");
    assert_eq!(travelled, token);
    cache.observe(travelled, &["k"]).unwrap();
    // Its own connection is held, too: another one is made.
    eventually("the write of the token", || async { get(&cache, "k").await.as_deref() == Some("new") }).await;

    // One that is told everything keeps what it has.
    let told = listening(&server.url(), LONG).await;
    assert_eq!(get(&told, "k").await.as_deref(), Some("new"));
    let token = other.set("other", "x", 60).await.unwrap().token;
    eventually("it is told", || async { get(&told, "other").await.is_some() }).await;
    let before = shared_hits(&told);
    told.observe(token, &["k"]).unwrap();
    assert_eq!((get(&told, "k").await.as_deref(), shared_hits(&told)), (Some("new"), before));

    assert_eq!("no token".parse::<scrubjay::ConsistencyToken>().unwrap_err().kind(), ErrorKind::InvalidOption);
    assert_eq!(cache.observe(token, &[""]).unwrap_err().kind(), ErrorKind::InvalidKey);
}

#[tokio::test]
async fn tags_and_clears_of_another_process_are_followed_at_once() {
    let server = Server::start();
    let (cache, other) = (listening(&server.url(), LONG).await, open(&server.url(), "shop"));
    let tagged = || SetOptions::new().ttl(60_u64).tags(["users"]);
    for key in ["a", "b"] {
        other.set(key, "old", tagged()).await.unwrap();
    }
    other.set("c", "old", 60).await.unwrap();
    for _ in 0..2 {
        for key in ["a", "b", "c"] {
            assert_eq!(get(&cache, key).await.as_deref(), Some("old"));
        }
    }
    assert_eq!(shared_hits(&cache), 3, "then memory answered");
    other.invalidate_tags(&["users"]).await.unwrap();
    eventually("it is told", || async { get(&cache, "a").await.is_none() && get(&cache, "b").await.is_none() })
        .await;
    assert_eq!((get(&cache, "c").await.as_deref(), shared_hits(&cache)), (Some("old"), 3));
    other.clear().await.unwrap();
    eventually("all is gone", || async { get(&cache, "c").await.is_none() }).await;
}

#[tokio::test]
async fn the_message_of_its_own_invalidation_of_tags_voids_nothing() {
    let server = Server::start();
    let (cache, other) = (listening(&server.url(), LONG).await, listening(&server.url(), LONG).await);
    let tagged = || SetOptions::new().ttl(60_u64).tags(["users"]);
    for n in 0..100 {
        let value = n.to_string();
        if n % 2 == 0 {
            cache.invalidate_tags(&["users"]).await.unwrap();
        } else {
            cache.clear().await.unwrap();
        }
        let load = || async { Ok::<_, Error>(value.clone()) };
        assert_eq!(cache.get_or_fetch("k", tagged(), load).await.unwrap(), value);
        // When the other one sees the value, the messages have been on their way to both.
        eventually("it is filled", || async { get(&other, "k").await.as_ref() == Some(&value) }).await;
        assert_eq!(cache.get_or_fetch("k", tagged(), load).await.unwrap(), value);
        assert_eq!(cache.stats().loads, n + 1, "what was loaded after it stays");
    }
}
