//! `update`: from the intent to write until the invalidation nothing is stored under its keys, in no process. Each cache
//! here is what it would be in a process of its own.

mod support;

use std::collections::HashMap;
use std::future::pending;
use std::pin::Pin;
use std::time::Duration;

use scrubjay::{CacheService, Error, ErrorKind, UpdateError, UpdateOptions};
use support::{DEADLINE, Proxy, Server, builder, entry_name, eventually, open, shared};
use tokio::sync::oneshot;

const HOLD: u8 = 6;

/// How often the server has run a script for us, by name or by text.
fn scripts(server: &Server) -> u64 {
    let text: String = server.command(&[b"INFO", b"commandstats"]);
    let calls = |command: &str| {
        let name = format!("cmdstat_{command}:calls=");
        let line = text.lines().find_map(|line| line.strip_prefix(&name));
        line.and_then(|rest| rest.split(',').next()).map_or(0, |count| count.parse().expect("a number"))
    };
    calls("evalsha") + calls("eval")
}

fn state(server: &Server, key: &str) -> Option<u8> {
    server.entry("shop", key).map(|entry| entry[3])
}

fn holds(server: &Server, key: &str) -> u16 {
    server.entry("shop", key).map_or(0, |entry| u16::from_le_bytes([entry[64], entry[65]]))
}

async fn load(cache: &CacheService, key: &str, value: &str) -> String {
    cache.get_or_fetch(key, 60, || async { Ok::<_, Error>(value.to_owned()) }).await.expect("a value")
}

type Written = Result<((), scrubjay::Receipt), UpdateError<Error>>;
type Running<'a> = Pin<Box<dyn Future<Output = Written> + Send + 'a>>;

/// Begins an update whose write ends at the word; it is under way when this returns.
async fn begun<'a>(
    cache: &'a CacheService,
    keys: &'a [&'a str],
    options: UpdateOptions,
) -> (Running<'a>, oneshot::Sender<()>) {
    let (begun, has_begun) = oneshot::channel();
    let (word, go_on) = oneshot::channel::<()>();
    let mut update: Running<'a> = Box::pin(cache.update(keys, options, || async {
        begun.send(()).expect("somebody waits");
        go_on.await.expect("the word");
        Ok(())
    }));
    tokio::select! {
        ended = &mut update => panic!("{ended:?}"),
        begun = has_begun => begun.expect("it begins"),
    }
    (update, word)
}

#[tokio::test]
async fn an_update_takes_two_round_trips_for_any_keys() {
    let server = Server::start();
    let cache = open(&server.url(), "shop");
    cache.set("warm", "up", 60).await.unwrap();
    for keys in [&["a"][..], &["a", "b", "c"]] {
        let before = scripts(&server);
        let (at_write, receipt) =
            cache.update(keys, UpdateOptions::new(), || async { Ok::<_, Error>(scripts(&server)) }).await.unwrap();
        assert_eq!((at_write - before, scripts(&server) - before), (1, 2), "{keys:?}");
        assert!(!receipt.pending);
    }
    let before = scripts(&server);
    let nothing = cache.update(&[], UpdateOptions::new(), || async { Ok::<_, Error>(7) }).await.unwrap();
    assert_eq!((nothing.0, nothing.1.pending, scripts(&server) - before), (7, false, 0));
    let many: Vec<String> = (0..250).map(|n| format!("k{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let held = cache
        .update(&many, UpdateOptions::new(), || async {
            Ok::<_, Error>(many.iter().filter(|key| state(&server, key) == Some(HOLD)).count())
        })
        .await
        .unwrap();
    assert_eq!(held.0, 250);
    assert!(many.iter().all(|key| server.entry("shop", key).is_none()));
    assert_eq!(cache.stats().invalidations, 254);
}

#[tokio::test]
async fn a_load_is_stored_only_when_it_began_after_the_update() {
    let server = Server::start();
    let (cache, other) = (open(&server.url(), "shop"), open(&server.url(), "shop"));
    cache.set("k", "first", 60).await.unwrap();
    assert_eq!(other.get::<String>("k").await.unwrap().as_deref(), Some("first"));
    for loader in [&other, &cache] {
        loader.delete("k").await.unwrap();
        // One that began before.
        let (in_fetch, has_begun) = oneshot::channel();
        let (word, go_on) = oneshot::channel::<()>();
        let early = loader.clone();
        let early = tokio::spawn(async move {
            let fetch = || async {
                in_fetch.send(()).expect("somebody waits");
                go_on.await.expect("the word");
                Ok::<_, Error>("old".to_owned())
            };
            early.get_or_fetch("k", 60, fetch).await
        });
        has_begun.await.unwrap();
        let (update, end) = begun(&cache, &["k"], UpdateOptions::new()).await;
        word.send(()).unwrap();
        assert_eq!(early.await.unwrap().unwrap(), "old", "its callers have it");
        // Some that begin meanwhile. Another process learns from its fill that the lease was lost.
        eventually("memory lets go of it", async || load(loader, "k", "old too").await == "old too").await;
        assert_eq!(load(loader, "k", "old again").await, "old again", "what is loaded now is not kept");
        assert_eq!((state(&server, "k"), holds(&server, "k")), (Some(HOLD), 1));
        // And one that ends later.
        let (in_fetch, has_begun) = oneshot::channel();
        let (word, go_on) = oneshot::channel::<()>();
        let late = loader.clone();
        let late = tokio::spawn(async move {
            let fetch = || async {
                in_fetch.send(()).expect("somebody waits");
                go_on.await.expect("the word");
                Ok::<_, Error>("old at last".to_owned())
            };
            late.get_or_fetch("k", 60, fetch).await
        });
        has_begun.await.unwrap();
        end.send(()).unwrap();
        assert!(!update.await.unwrap().1.pending);
        assert_eq!(server.entry("shop", "k"), None);
        word.send(()).unwrap();
        assert_eq!(late.await.unwrap().unwrap(), "old at last");
        assert_eq!(load(loader, "k", "new").await, "new");
        eventually("it is stored", async || shared(&server.url(), "shop", "k").await.as_deref() == Some("new"))
            .await;
        assert_eq!(loader.get::<String>("k").await.unwrap().as_deref(), Some("new"));
    }
}

#[tokio::test]
async fn a_set_meanwhile_is_not_stored() {
    let server = Server::start();
    let (cache, other) = (open(&server.url(), "shop"), open(&server.url(), "shop"));
    let (update, end) = begun(&cache, &["k"], UpdateOptions::new()).await;
    other.set("k", "which is newer?", 60).await.unwrap();
    cache.set("k", "which is newer?", 60).await.unwrap();
    assert_eq!(cache.get::<String>("k").await.unwrap(), None);
    assert_eq!(state(&server, "k"), Some(HOLD));
    other.delete("k").await.unwrap();
    assert_eq!(state(&server, "k"), Some(HOLD), "nor does a delete end it");
    end.send(()).unwrap();
    update.await.unwrap();
    assert_eq!(server.entry("shop", "k"), None);
}

#[tokio::test]
async fn a_key_is_free_when_its_last_writer_is_done() {
    let server = Server::start();
    let (cache, other) = (open(&server.url(), "shop"), open(&server.url(), "shop"));
    for same_process in [true, false] {
        let second = if same_process { &cache } else { &other };
        let (one, end_one) = begun(&cache, &["k", "l"], UpdateOptions::new()).await;
        let (two, end_two) = begun(second, &["k"], UpdateOptions::new()).await;
        assert_eq!((holds(&server, "k"), holds(&server, "l")), (2, 1));
        end_one.send(()).unwrap();
        one.await.unwrap();
        assert_eq!((holds(&server, "k"), holds(&server, "l")), (1, 0));
        assert_eq!(load(&cache, "k", "old").await, "old");
        assert_eq!(load(second, "k", "old too").await, "old too");
        end_two.send(()).unwrap();
        two.await.unwrap();
        assert_eq!(server.entry("shop", "k"), None);
    }
}

#[tokio::test]
async fn a_writer_that_dies_leaves_a_hold_that_ends() {
    let server = Server::start();
    let (cache, other) = (open(&server.url(), "shop"), open(&server.url(), "shop"));
    cache.set("k", "old", 60).await.unwrap();
    let short = UpdateOptions::new().intent_ttl(Duration::from_millis(400));
    let (dead, _word) = begun(&cache, &["k"], short.clone()).await;
    // A longer one, by a writer that lives.
    let (update, end) = begun(&other, &["k"], UpdateOptions::new()).await;
    std::mem::forget(dead);
    eventually("the dead one's is over", async || {
        // Each writer drops the holds that are over.
        other.update(&["k"], UpdateOptions::new(), || async { Ok::<_, Error>(()) }).await.unwrap();
        holds(&server, "k") == 1
    })
    .await;
    end.send(()).unwrap();
    update.await.unwrap();
    assert_eq!(server.entry("shop", "k"), None, "the old value has not survived");

    let (dead, _word) = begun(&cache, &["k"], short).await;
    std::mem::forget(dead);
    assert_eq!(load(&other, "k", "not yet").await, "not yet");
    eventually("loads are stored again", async || {
        load(&other, "k", "new").await;
        shared(&server.url(), "shop", "k").await.as_deref() == Some("new")
    })
    .await;
    // The process of the dead one: its memory goes on too.
    eventually("here as well", async || {
        load(&cache, "k", "newer").await;
        let hits = cache.stats().hits_l1;
        load(&cache, "k", "newer").await;
        cache.stats().hits_l1 > hits
    })
    .await;
}

#[tokio::test]
async fn who_ends_too_late_does_not_end_the_hold_of_another() {
    let server = Server::start();
    let (cache, other) = (open(&server.url(), "shop"), open(&server.url(), "shop"));
    let (slow, end_slow) =
        begun(&cache, &["k"], UpdateOptions::new().intent_ttl(Duration::from_millis(100))).await;
    eventually("its time is over", async || server.entry("shop", "k").is_none()).await;
    let (update, end) = begun(&other, &["k"], UpdateOptions::new()).await;
    end_slow.send(()).unwrap();
    assert!(!slow.await.unwrap().1.pending);
    assert_eq!((state(&server, "k"), holds(&server, "k")), (Some(HOLD), 1));
    end.send(()).unwrap();
    update.await.unwrap();
    assert_eq!(server.entry("shop", "k"), None);
}

#[tokio::test]
async fn a_write_that_fails_panics_or_is_dropped_ends_the_update() {
    let server = Server::start();
    let cache = open(&server.url(), "shop");
    let free = async |why: &str| {
        eventually(why, async || server.entry("shop", "k").is_none()).await;
        // It may be free there a little earlier than here.
        eventually("loads are stored", async || {
            load(&cache, "k", "loaded").await;
            shared(&server.url(), "shop", "k").await.is_some()
        })
        .await;
    };
    let write = || async { Err::<(), _>("rolled back".to_owned()) };
    let failed = cache.update(&["k"], UpdateOptions::new(), write).await.expect_err("its own error");
    assert!(matches!(&failed, UpdateError::Write(error) if error == "rolled back"), "{failed:?}");
    assert_eq!(server.entry("shop", "k"), None, "before it returns");
    free("failed").await;

    let (update, _word) = begun(&cache, &["k"], UpdateOptions::new()).await;
    drop(update);
    free("dropped").await;

    let panicking = cache.clone();
    let task = tokio::spawn(async move {
        let write = || async { panic!("in the write") };
        let _: Result<((), _), UpdateError<Error>> = panicking.update(&["k"], UpdateOptions::new(), write).await;
    });
    assert!(task.await.expect_err("it panics").is_panic());
    free("panicked").await;

    // Dropped before the intent is answered: the write never ran.
    server.pause();
    {
        let mut update = Box::pin(cache.update(&["k"], UpdateOptions::new(), pending::<Result<(), Error>>));
        tokio::select! {
            biased;
            _ = &mut update => panic!("not answered"),
            () = tokio::task::yield_now() => {}
        }
    }
    server.unpause();
    free("dropped early").await;
}

#[tokio::test]
async fn nothing_is_stored_until_the_replica_has_caught_up() {
    let server = Server::start();
    let (cache, other) = (open(&server.url(), "shop"), open(&server.url(), "shop"));
    let hold = Duration::from_millis(600);
    cache.update(&["k"], UpdateOptions::new().hold(hold), || async { Ok::<_, Error>(()) }).await.unwrap();
    for loader in [&cache, &other] {
        assert_eq!(load(loader, "k", "from the replica").await, "from the replica");
    }
    let left: i64 = server.command(&[b"PTTL", entry_name("shop", "k").as_bytes()]);
    assert!((1..=600).contains(&left), "{left}");
    assert_eq!(state(&server, "k"), Some(HOLD));
    eventually("the lag is over", async || server.entry("shop", "k").is_none()).await;
    for loader in [&cache, &other] {
        loader.delete("k").await.unwrap();
        eventually("loads are kept again", async || {
            load(loader, "k", "new").await;
            let hits = loader.stats().hits_l1;
            load(loader, "k", "new").await;
            loader.stats().hits_l1 > hits
        })
        .await;
    }
}

#[tokio::test]
async fn a_server_that_is_away_stops_a_strict_update_only() {
    let mut server = Server::start();
    let cache = builder(&server.url(), "shop").l2_timeout(Duration::from_millis(250)).build().unwrap();
    cache.set("k", "old", 60).await.unwrap();
    server.kill();
    let strict = UpdateOptions::new().strict(true);
    let write = || async { panic!("it must not run") };
    let refused: Result<((), _), UpdateError<Error>> = cache.update(&["k"], strict, write).await;
    match refused.expect_err("no intent, no write") {
        UpdateError::Cache(error) => {
            assert_eq!((error.kind(), error.operation()), (ErrorKind::Unavailable, "update"))
        }
        UpdateError::Write(error) => panic!("{error:?}"),
    }
    let (rows, receipt) =
        cache.update(&["k"], UpdateOptions::new(), || async { Ok::<_, Error>(1) }).await.expect("it goes on");
    assert_eq!((rows, receipt.pending), (1, true));
    assert_eq!(cache.get::<String>("k").await.unwrap(), None, "memory has let go of it");
    server.restart();
    eventually("it lands", async || cache.stats().pending == 0).await;
    assert_eq!(server.entry("shop", "k"), None);
}

#[tokio::test]
async fn an_end_that_cannot_be_told_ends_the_hold_when_it_lands() {
    let server = Server::start();
    let proxy = Proxy::start(server.port);
    let cache = builder(&proxy.url(), "shop").l2_timeout(Duration::from_millis(250)).build().unwrap();
    let options = UpdateOptions::new().hold(Duration::from_secs(1000));
    let (update, end) = begun(&cache, &["k"], options).await;
    proxy.refuse();
    end.send(()).unwrap();
    assert!(update.await.unwrap().1.pending);
    let left = || -> i64 { server.command(&[b"PTTL", entry_name("shop", "k").as_bytes()]) };
    assert!((1..=30_000).contains(&left()), "the intent");
    proxy.forward();
    eventually("it lands", async || cache.stats().pending == 0).await;
    assert!(left() > 900_000, "held for the lag of the replica");
    assert_eq!(holds(&server, "k"), 1);
}

#[tokio::test]
async fn scripts_that_the_server_has_forgotten_are_sent_again() {
    let server = Server::start();
    let cache = open(&server.url(), "shop");
    cache.set("k", "old", 60).await.unwrap();
    let flush = || {
        let () = server.command(&[b"SCRIPT", b"FLUSH"]);
    };
    flush();
    let write = || async {
        assert_eq!(state(&server, "k"), Some(HOLD));
        flush();
        Ok::<_, Error>(())
    };
    assert!(!cache.update(&["k"], UpdateOptions::new().strict(true), write).await.unwrap().1.pending);
    assert_eq!(server.entry("shop", "k"), None);
    assert_eq!(cache.stats().l2_errors, 0);
}

#[tokio::test]
async fn a_server_without_scripts_deletes_before_and_after() {
    let server = Server::start();
    let user: [&[u8]; 8] = [b"ACL", b"SETUSER", b"ada", b"on", b">pw", b"~sj:*", b"+@all", b"-@scripting"];
    let () = server.command(&user);
    let cache = open(&format!("redis://ada:pw@127.0.0.1:{}", server.port), "shop");
    cache.set("k", "old", 60).await.unwrap();
    let write = || async {
        assert_eq!(server.entry("shop", "k"), None);
        Ok::<_, Error>(())
    };
    assert!(!cache.update(&["k"], UpdateOptions::new(), write).await.unwrap().1.pending);
    let strict: Result<((), _), UpdateError<Error>> =
        cache.update(&["k"], UpdateOptions::new().strict(true), || async { panic!("it must not run") }).await;
    assert!(matches!(strict, Err(UpdateError::Cache(error)) if error.kind() == ErrorKind::Unsupported));
}

#[tokio::test]
async fn what_cannot_be_is_refused_before_the_write() {
    let cache = CacheService::new("memory://", "shop").unwrap();
    let long = "k".repeat(1025);
    let second = Duration::from_secs(1);
    for (keys, options, kind, named) in [
        (&[""][..], UpdateOptions::new(), ErrorKind::InvalidKey, "key"),
        (&["k", &long], UpdateOptions::new(), ErrorKind::InvalidKey, "key"),
        (&["k"], UpdateOptions::new().intent_ttl(second / 11), ErrorKind::InvalidOption, "intent_ttl"),
        (&["k"], UpdateOptions::new().intent_ttl(second * 3601), ErrorKind::InvalidOption, "intent_ttl"),
        (&["k"], UpdateOptions::new().hold(second * 3601), ErrorKind::InvalidOption, "hold"),
    ] {
        let write = || async { panic!("it must not run") };
        let refused: Result<((), _), UpdateError<Error>> = cache.update(keys, options, write).await;
        match refused.expect_err("refused") {
            UpdateError::Cache(error) => {
                assert_eq!(error.kind(), kind);
                assert!(error.message().contains(named), "{error}");
            }
            UpdateError::Write(error) => panic!("{error:?}"),
        }
    }
    let nothing = cache.update(&[], UpdateOptions::new(), || async { Ok::<_, Error>(7) }).await.unwrap();
    assert_eq!((nothing.0, nothing.1.pending), (7, false));
}

#[tokio::test]
async fn in_memory_alone_it_is_the_same_within_the_process() {
    let cache = builder("memory://", "shop").build().unwrap();
    cache.set("k", "old", 60).await.unwrap();
    let (update, end) = begun(&cache, &["k"], UpdateOptions::new()).await;
    assert_eq!(cache.get::<String>("k").await.unwrap(), None);
    assert_eq!(load(&cache, "k", "old").await, "old");
    cache.set("k", "old", 60).await.unwrap();
    assert_eq!(cache.get::<String>("k").await.unwrap(), None, "nothing is stored");
    let other_keys: HashMap<&str, &str> = HashMap::from([("l", "1"), ("m", "2")]);
    for (key, value) in &other_keys {
        cache.set(*key, value, 60).await.unwrap();
        assert_eq!(cache.get::<String>(*key).await.unwrap().as_deref(), Some(*value), "of other keys it is");
    }
    end.send(()).unwrap();
    assert!(!update.await.unwrap().1.pending);
    assert_eq!(load(&cache, "k", "new").await, "new");
    assert_eq!(cache.get::<String>("k").await.unwrap().as_deref(), Some("new"));

    let (dropped, _word) = begun(&cache, &["k"], UpdateOptions::new()).await;
    drop(dropped);
    assert_eq!(cache.get::<String>("k").await.unwrap(), None);
    cache.set("k", "newer", 60).await.unwrap();
    assert_eq!(cache.get::<String>("k").await.unwrap().as_deref(), Some("newer"));
}

#[tokio::test]
async fn a_cache_that_is_closed_while_it_is_written_says_so() {
    let cache = CacheService::new("memory://", "shop").unwrap();
    let (update, end) = begun(&cache, &["k"], UpdateOptions::new()).await;
    cache.close().await.unwrap();
    end.send(()).unwrap();
    let closed = tokio::time::timeout(DEADLINE, update).await.expect("it ends");
    assert!(matches!(closed, Err(UpdateError::Cache(error)) if error.kind() == ErrorKind::Closed));
}
