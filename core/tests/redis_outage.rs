//! A shared tier that is not there: reads and fetches go on, writes and deletes are pending and land by
//! themselves.

mod support;

use std::time::{Duration, Instant};

use scrubjay::{BreakerState, Builder, CacheService, Error};
use support::{Proxy, Server, eventually, shared};

/// No call may take longer than this while the server is away: many times `l2_timeout`, and far from hanging.
const PATIENCE: Duration = Duration::from_secs(3);

/// With the default `l2_timeout`, which is what an outage is about.
fn builder(url: &str, prefix: &str) -> Builder {
    support::builder(url, prefix).l2_timeout(Duration::from_millis(250))
}

fn open(url: &str, prefix: &str) -> CacheService {
    builder(url, prefix).build().expect("a cache")
}

async fn fetched(cache: &CacheService, key: &str, value: &str) -> String {
    let begun = Instant::now();
    let fetch = || async { Ok::<_, Error>(value.to_owned()) };
    let value = cache.get_or_fetch(key, 60, fetch).await.expect("a value");
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    value
}

/// What must hold while the server is away.
async fn goes_on_without(cache: &CacheService) {
    for n in 0..10 {
        let key = format!("outage{n}");
        assert_eq!(fetched(cache, &key, "fetched").await, "fetched");
        let hits = cache.stats().hits_l1;
        assert_eq!(cache.get::<String>(&key).await.unwrap().as_deref(), Some("fetched"));
        assert_eq!(cache.stats().hits_l1, hits + 1, "memory answers");
    }
    let begun = Instant::now();
    assert_eq!(cache.get::<String>("never stored").await.unwrap(), None);
    assert!(cache.delete("victim").await.unwrap().pending);
    assert!(cache.set("written", "during", 60).await.unwrap().pending);
    assert_eq!(cache.get::<String>("written").await.unwrap().as_deref(), Some("during"));
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    let stats = cache.stats();
    assert!(stats.pending >= 2 && stats.l2_errors > 0, "{stats:?}");
}

/// What must come, without another call, once the server is back.
async fn comes_back(cache: &CacheService, server: &Server) {
    eventually("pending invalidations land by themselves", async || cache.stats().pending == 0).await;
    assert_eq!(server.entry("shop", "victim"), None);
    assert_eq!(server.entry("shop", "written"), None, "the write was not acknowledged");
    eventually("writes are acknowledged", async || !cache.set("back", "again", 60).await.unwrap().pending).await;
    assert_eq!(shared(&server.url(), "shop", "back").await.as_deref(), Some("again"));
    assert_eq!(cache.stats().breaker_state, BreakerState::Closed);
}

#[tokio::test]
async fn down_from_the_start() {
    let mut server = Server::prepare();
    let cache = open(&server.url(), "shop");
    goes_on_without(&cache).await;
    assert_eq!(cache.stats().breaker_state, BreakerState::Open);
    server.restart();
    comes_back(&cache, &server).await;
}

#[tokio::test]
async fn black_holed() {
    let server = Server::start();
    let proxy = Proxy::start(server.port);
    let cache = open(&proxy.url(), "shop");
    cache.set("victim", "old", 60).await.unwrap();
    assert!(server.entry("shop", "victim").is_some());
    proxy.swallow();
    goes_on_without(&cache).await;
    assert!(server.entry("shop", "victim").is_some());
    proxy.forward();
    comes_back(&cache, &server).await;
}

#[tokio::test]
async fn black_holed_from_the_start() {
    let server = Server::start();
    let proxy = Proxy::start(server.port);
    proxy.swallow();
    let cache = open(&proxy.url(), "shop");
    goes_on_without(&cache).await;
    proxy.forward();
    comes_back(&cache, &server).await;
}

#[tokio::test]
async fn frozen() {
    let server = Server::start();
    let cache = open(&server.url(), "shop");
    cache.set("victim", "old", 60).await.unwrap();
    server.freeze();
    goes_on_without(&cache).await;
    server.thaw();
    comes_back(&cache, &server).await;
}

#[tokio::test]
async fn killed_and_restarted_during_traffic() {
    let mut server = Server::start();
    let cache = open(&server.url(), "shop");
    cache.set("victim", "old", 60).await.unwrap();
    let traffic = tokio::spawn({
        let cache = cache.clone();
        async move {
            for n in 0_u64.. {
                assert_eq!(fetched(&cache, &format!("traffic{}", n % 50), "value").await, "value");
                cache.delete(&format!("traffic{}", n % 7)).await.expect("no delete fails");
                tokio::task::yield_now().await;
            }
        }
    });
    eventually("traffic", async || cache.stats().loads > 100).await;
    server.kill();
    goes_on_without(&cache).await;
    server.restart();
    eventually("all is well again", async || {
        let stats = cache.stats();
        stats.pending == 0 && stats.breaker_state == BreakerState::Closed
    })
    .await;
    traffic.abort();
    assert!(traffic.await.unwrap_err().is_cancelled(), "no call failed");
    comes_back(&cache, &server).await;
}

#[tokio::test]
async fn a_connection_that_hangs_is_replaced_while_new_ones_are_fine() {
    let server = Server::start();
    let proxy = Proxy::start(server.port);
    let cache = builder(&proxy.url(), "shop").breaker(false).build().unwrap();
    cache.set("k", "v", 60).await.unwrap();
    let first = server.hot_connections();
    proxy.swallow_present();
    let mut failed = 0;
    while cache.set("k", "v", 60).await.unwrap().pending {
        failed += 1;
        assert!(failed < 20, "two timeouts end it");
    }
    assert!(failed >= 2 && server.hot_connections() != first, "{failed} {first:?}");
}

#[tokio::test]
async fn what_is_late_on_a_connection_given_up_does_not_undo_what_came_after() {
    let server = Server::start();
    let proxy = Proxy::start(server.port);
    let cache = builder(&proxy.url(), "shop").breaker(false).build().unwrap();
    assert!(!cache.set("k", "first", 60).await.unwrap().pending);
    proxy.hold_present();
    // The second timeout ends the connection; what was sent there is still on its way.
    for _ in 0..2 {
        assert!(cache.set("k", "late", 60).await.unwrap().pending);
    }
    eventually("an acknowledged delete", async || !cache.delete("k").await.unwrap().pending).await;
    assert_eq!(server.entry("shop", "k"), None);
    proxy.forward();
    eventually("the first connection has ended", async || server.hot_connections().len() == 1).await;
    for _ in 0..100 {
        assert_eq!(server.entry("shop", "k"), None, "the acknowledged delete holds");
    }
}

#[tokio::test]
async fn where_the_server_will_not_say_that_a_connection_is_gone_deletions_win() {
    let server = Server::start();
    let user: [&[u8]; 9] =
        [b"ACL", b"SETUSER", b"ada", b"on", b">pw", b"~sj:*", b"+@all", b"-client|kill", b"-keys"];
    let () = server.command(&user);
    let url = format!("redis://ada:pw@127.0.0.1:{}", server.port);
    let cache = builder(&url, "shop").breaker(false).l2_timeout(Duration::from_millis(40)).build().unwrap();
    cache.set("k", "first", 60).await.unwrap();
    server.freeze();
    for _ in 0..2 {
        assert!(cache.set("k", "late", 60).await.unwrap().pending);
    }
    server.thaw();
    eventually("nothing is left", async || cache.stats().pending == 0).await;
    assert_eq!(server.entry("shop", "k"), None);
    eventually("an acknowledged write", async || !cache.set("k", "new", 60).await.unwrap().pending).await;
    assert_eq!(shared(&server.url(), "shop", "k").await.as_deref(), Some("new"));
}

#[tokio::test]
async fn a_value_written_after_an_outage_is_not_undone() {
    let server = Server::start();
    let cache =
        builder(&server.url(), "shop").breaker(false).l2_timeout(Duration::from_millis(40)).build().unwrap();
    for n in 0..15 {
        server.freeze();
        assert!(cache.set("k", &-1, 60).await.unwrap().pending);
        assert!(cache.delete("other").await.unwrap().pending);
        server.thaw();
        eventually("an acknowledged write", async || !cache.set("k", &n, 60).await.unwrap().pending).await;
        assert_eq!(cache.get::<i32>("k").await.unwrap(), Some(n));
        eventually("nothing is left", async || cache.stats().pending == 0).await;
        let stored = open(&server.url(), "shop").get::<i32>("k").await.unwrap();
        assert_eq!(stored, Some(n), "an acknowledged write stays");
    }
}

#[tokio::test]
async fn a_pending_delete_hides_what_still_stands_there() {
    let server = Server::start();
    let cache = builder(&server.url(), "shop").breaker(false).l1_bytes(0_u64).build().unwrap();
    cache.set("k", "old", 60).await.unwrap();
    let () = server.command(&[b"CONFIG", b"SET", b"min-replicas-to-write", b"1"]);
    assert!(cache.delete("k").await.unwrap().pending, "the server takes reads, and no writes");
    for _ in 0..20 {
        assert_eq!(cache.get::<String>("k").await.unwrap(), None);
    }
    assert!(server.entry("shop", "k").is_some());
    let () = server.command(&[b"CONFIG", b"SET", b"min-replicas-to-write", b"0"]);
    eventually("it lands", async || cache.stats().pending == 0).await;
    assert_eq!(server.entry("shop", "k"), None);
}

#[tokio::test]
async fn a_clear_is_made_up_for() {
    let mut server = Server::start();
    let cache = open(&server.url(), "shop");
    cache.set("a", "1", 60).await.unwrap();
    server.freeze();
    assert!(cache.clear().await.unwrap().pending);
    assert_eq!((cache.get::<String>("a").await.unwrap(), cache.stats().pending), (None, 1));
    server.thaw();
    eventually("it lands", async || cache.stats().pending == 0).await;
    assert_eq!(server.entry("shop", "a"), None);
    server.kill();
    assert!(cache.clear().await.unwrap().pending);
    server.restart();
    eventually("it lands", async || cache.stats().pending == 0).await;
}

#[tokio::test]
async fn a_replica_takes_no_writes_and_its_promotion_is_noticed() {
    let server = Server::start();
    let cache = open(&server.url(), "shop");
    cache.set("victim", "old", 60).await.unwrap();
    let nowhere = support::free_port().to_string();
    let () = server.command(&[b"REPLICAOF", b"127.0.0.1", nowhere.as_bytes()]);
    goes_on_without(&cache).await;
    let () = server.command(&[b"REPLICAOF", b"NO", b"ONE"]);
    comes_back(&cache, &server).await;
}

#[tokio::test]
async fn closing_reports_what_did_not_land() {
    let mut server = Server::start();
    let cache = open(&server.url(), "shop");
    cache.set("k", "v", 60).await.unwrap();
    server.kill();
    assert!(cache.delete("k").await.unwrap().pending);
    let begun = Instant::now();
    assert!(cache.close().await.unwrap().pending);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    let cache = open(&server.url(), "shop");
    assert!(cache.delete("k").await.unwrap().pending);
    let closing = tokio::spawn(async move { cache.close().await.unwrap().pending });
    server.restart();
    assert!(!closing.await.unwrap(), "it landed while the cache was closing");
}

#[tokio::test]
async fn a_server_that_comes_back_without_the_last_writes_is_told_of_them_again() {
    let mut server = Server::start();
    // By a process that ends: only what a process wrote itself does it say again.
    let other = open(&server.url(), "shop");
    other.set("untouched", "old", 600).await.unwrap();
    other.close().await.unwrap();
    let cache = builder(&server.url(), "shop").l1_bytes(0_u64).breaker(false).build().unwrap();
    for key in ["deleted", "set"] {
        cache.set(key, "old", 600).await.unwrap();
    }
    let _: String = server.command(&[b"SAVE"]);
    assert!(!cache.delete("deleted").await.unwrap().pending);
    assert!(!cache.set("set", "new", 600).await.unwrap().pending);
    server.restart();
    eventually("what was deleted is gone again", async || {
        cache.get::<String>("deleted").await.unwrap();
        server.entry("shop", "deleted").is_none() && server.entry("shop", "set").is_none()
    })
    .await;
    assert!(server.entry("shop", "untouched").is_some(), "it came back with the old copy of its data");
    eventually("all has landed", async || cache.stats().pending == 0).await;
}
