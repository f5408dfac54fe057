//! A process that was given a value by the source while the server could not be asked is given no older one later on.
//! Each cache here is what it would be in a process of its own.

mod support;

use scrubjay::{CacheService, Error};
use support::{Proxy, Server, builder, eventually, open};

async fn load(cache: &CacheService, value: &str) -> String {
    cache.get_or_fetch("k", 60, || async { Ok::<_, Error>(value.to_owned()) }).await.expect("a value")
}

async fn get(cache: &CacheService, key: &str) -> Option<String> {
    cache.get::<String>(key).await.expect("a valid key")
}

#[tokio::test]
async fn what_was_stored_before_a_value_was_loaded_in_an_outage_is_loaded_anew() {
    let server = Server::start();
    let proxy = Proxy::start(server.port);
    let cache = builder(&proxy.url(), "shop").l1_bytes(0_u64).build().expect("a cache");
    let other = open(&server.url(), "shop");
    other.set("k", "old", 60).await.unwrap();
    other.set("beside", "old", 60).await.unwrap();
    assert_eq!(load(&cache, "unused").await, "old");

    // The truth is newer than the server, which has not been told yet: whoever wrote it cannot reach it either.
    proxy.refuse();
    assert_eq!(load(&cache, "new").await, "new");
    proxy.forward();
    eventually("the server is back", || async { get(&cache, "beside").await.as_deref() == Some("old") }).await;

    assert_eq!(get(&cache, "k").await, None, "not the old one again");
    assert_eq!(load(&cache, "newer").await, "newer");
    eventually("it is stored", || async { get(&other, "k").await.as_deref() == Some("newer") }).await;
    assert_eq!(load(&cache, "unused").await, "newer", "that was loaded later");
    assert_eq!(get(&cache, "k").await.as_deref(), Some("newer"));
}

#[tokio::test]
async fn what_another_process_loaded_later_is_believed() {
    let server = Server::start();
    let proxy = Proxy::start(server.port);
    let cache = builder(&proxy.url(), "shop").l1_bytes(0_u64).build().expect("a cache");
    let other = open(&server.url(), "shop");
    other.set("beside", "old", 60).await.unwrap();

    proxy.refuse();
    assert_eq!(load(&cache, "new").await, "new");
    proxy.forward();
    eventually("the server is back", || async { get(&cache, "beside").await.as_deref() == Some("old") }).await;
    // Later by more than what the clocks of the two may differ by, which is a round trip.
    eventually("what comes later", || async {
        other.delete("k").await.unwrap();
        assert_eq!(load(&other, "newer").await, "newer");
        load(&cache, "unused").await == "newer"
    })
    .await;
}
