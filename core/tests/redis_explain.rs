//! `explain`: what a cache says of one key, in memory and with a server.

mod support;

use std::time::Duration;

use scrubjay::{CacheService, Error, ErrorKind, Explanation, Reason, UpdateOptions};
use support::{Proxy, Server, builder, entry_name, eventually, open};
use tokio::sync::oneshot;

async fn explain(cache: &CacheService, key: &str) -> Explanation {
    cache.explain(key).await.expect("an explanation")
}

/// Has a load begin and go on until the word.
async fn loading(cache: &CacheService) -> (oneshot::Sender<()>, tokio::task::JoinHandle<String>) {
    let (begun, has_begun) = oneshot::channel();
    let (word, go_on) = oneshot::channel();
    let cache = cache.clone();
    let task = tokio::spawn(async move {
        let fetch = || async {
            begun.send(()).expect("somebody waits");
            go_on.await.expect("the word");
            Ok::<_, Error>("loaded".to_owned())
        };
        cache.get_or_fetch("k", 60, fetch).await.expect("a value")
    });
    has_begun.await.expect("it begins");
    (word, task)
}

#[tokio::test]
async fn memory_explains_what_it_has() {
    let cache = builder("memory://", "shop").build().unwrap();
    let nothing = explain(&cache, "k").await;
    assert_eq!((nothing.tier, nothing.reason, nothing.reachable), (None, Reason::Absent, true));
    cache.set("k", "twelve", 60).await.unwrap();
    let before = cache.stats();
    let found = explain(&cache, "k").await;
    assert_eq!((found.tier.as_deref(), found.reason, found.stale), (Some("l1"), Reason::Fresh, false));
    assert!((59.0..=60.0).contains(&found.ttl.unwrap()) && (0.0..1.0).contains(&found.age.unwrap()), "{found:?}");
    assert_eq!((found.codec.as_deref(), found.bytes, found.load_ms), (Some("json"), Some(8), None));
    assert_eq!((found.version, found.lease, found.hold, found.negative), (None, None, None, false));
    assert_eq!(cache.stats(), before, "it is no read");

    cache.delete("k").await.unwrap();
    let (word, task) = loading(&cache).await;
    let seen = explain(&cache, "k").await;
    let lease = seen.lease.expect("a lease");
    assert!(lease.here && (20.0..=30.0).contains(&lease.left), "{lease:?}");
    assert_eq!(seen.reason, Reason::Loading);
    word.send(()).unwrap();
    task.await.unwrap();
    assert_eq!(explain(&cache, "k").await.lease, None);

    let not_found: Result<String, Error> =
        cache.get_or_fetch("none", 60, || async { Err(Error::not_found()) }).await;
    not_found.expect_err("nothing");
    let seen = explain(&cache, "none").await;
    assert_eq!((seen.negative, seen.tier.as_deref()), (true, Some("l1")));

    let held = cache.update(&["k"], UpdateOptions::new(), || async { cache.explain("k").await }).await.unwrap().0;
    let hold = held.hold.expect("a hold");
    assert_eq!((held.reason, hold.writers), (Reason::Held, 1));
    assert!((25.0..=30.0).contains(&hold.left));

    cache.close().await.unwrap();
    assert_eq!(cache.explain("k").await.expect_err("closed").kind(), ErrorKind::Closed);
    let cache = CacheService::new("memory://", "shop").unwrap();
    assert_eq!(cache.explain("").await.expect_err("no key").kind(), ErrorKind::InvalidKey);
}

#[tokio::test]
async fn a_stale_value_says_how_long_it_may_be_served() {
    let cache = builder("memory://", "shop").stale_for(Duration::from_secs(100)).build().unwrap();
    cache.set("k", "old", Duration::from_millis(1)).await.unwrap();
    eventually("it is over", async || explain(&cache, "k").await.reason == Reason::Expired).await;
    let seen = explain(&cache, "k").await;
    assert_eq!((seen.tier, seen.stale), (None, true));
    assert!(seen.ttl.unwrap() <= 0.0 && (90.0..=100.0).contains(&seen.stale_ttl.unwrap()));
}

#[tokio::test]
async fn the_shared_tier_is_explained_too() {
    let server = Server::start();
    let (cache, other) = (open(&server.url(), "shop"), open(&server.url(), "shop"));
    assert_eq!(explain(&cache, "k").await.reason, Reason::Absent);
    let receipt = other.set("k", "twelve", 60).await.unwrap();
    let sequence = u64::from_be_bytes(receipt.token.0[8..].try_into().unwrap());
    let seen = explain(&cache, "k").await;
    assert_eq!((seen.tier.as_deref(), seen.reason, seen.version), (Some("l2"), Reason::Fresh, Some(sequence)));
    assert!((59.0..=60.0).contains(&seen.ttl.unwrap()) && (0.0..1.0).contains(&seen.age.unwrap()), "{seen:?}");
    assert_eq!((seen.codec.as_deref(), seen.bytes), (Some("json"), Some(8)));
    let seen = explain(&other, "k").await;
    assert_eq!(
        (seen.tier.as_deref(), seen.version),
        (Some("l1"), Some(sequence)),
        "memory answers, both are known"
    );

    other.delete("k").await.unwrap();
    let (word, task) = loading(&other).await;
    for (asked, here) in [(&other, true), (&cache, false)] {
        let seen = explain(asked, "k").await;
        assert_eq!((seen.reason, seen.lease.as_ref().map(|lease| lease.here)), (Reason::Loading, Some(here)));
    }
    word.send(()).unwrap();
    task.await.unwrap();
    eventually("it is stored", async || explain(&cache, "k").await.tier.is_some()).await;

    let write = || async { Ok::<_, Error>((explain(&cache, "k").await, explain(&other, "k").await)) };
    let (theirs, own) = other.update(&["k"], UpdateOptions::new(), write).await.unwrap().0;
    for seen in [theirs, own] {
        assert_eq!((seen.reason, seen.hold.expect("a hold").writers), (Reason::Held, 1));
    }

    server.plant("shop", "k", b"nonsense");
    assert_eq!(explain(&cache, "k").await.reason, Reason::Damaged);
    cache.set("k", "v", 60).await.unwrap();
    let mut newer = server.entry("shop", "k").unwrap();
    newer[2] = 9;
    server.plant("shop", "k", &newer);
    assert_eq!(explain(&other, "k").await.reason, Reason::Foreign);
    let () = server.command(&[b"DEL", entry_name("shop", "k").as_bytes()]);
    assert_eq!(explain(&other, "k").await.reason, Reason::Absent);
}

#[tokio::test]
async fn a_server_that_is_away_is_part_of_the_answer() {
    let server = Server::start();
    let proxy = Proxy::start(server.port);
    let cache = builder(&proxy.url(), "shop").l2_timeout(Duration::from_millis(250)).build().unwrap();
    cache.set("k", "v", 60).await.unwrap();
    proxy.refuse();
    let seen = explain(&cache, "elsewhere").await;
    assert_eq!((seen.reason, seen.reachable), (Reason::Unreachable, false));
    assert!(cache.delete("k").await.unwrap().pending);
    let seen = explain(&cache, "k").await;
    assert_eq!((seen.reason, seen.tier), (Reason::Pending, None));
    proxy.forward();
    eventually("it lands", async || explain(&cache, "k").await.reason == Reason::Absent).await;
}

#[tokio::test]
async fn memory_that_may_not_answer_is_told_from_memory_that_may() {
    let server = Server::start();
    let cache = builder(&server.url(), "shop")
        .stale_for(Duration::from_secs(100))
        .max_staleness(Duration::ZERO)
        .build()
        .unwrap();
    cache.set("k", "v", 60).await.unwrap();
    assert_eq!(explain(&cache, "k").await.tier.as_deref(), Some("l2"));
    let () = server.command(&[b"DEL", entry_name("shop", "k").as_bytes()]);
    let seen = explain(&cache, "k").await;
    assert_eq!((seen.tier, seen.reason, seen.stale), (None, Reason::Absent, true), "kept for when a fetch fails");
}
