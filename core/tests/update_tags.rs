//! `update` with tags: from the intent to write until the invalidation nothing with one of the tags is stored or read, in
//! no process. In memory, and with a real Redis, where each cache is what it would be in a process of its own.

mod support;

use std::pin::Pin;
use std::time::Duration;

use scrubjay::{CacheService, Error, ErrorKind, Receipt, SetOptions, UpdateError, UpdateOptions};
use support::{Proxy, Server, builder, eventually, open};
use tokio::sync::oneshot;

type Written = Result<((), Receipt), UpdateError<Error>>;
type Running<'a> = Pin<Box<dyn Future<Output = Written> + Send + 'a>>;

/// Begins an update whose write ends at the word; it is under way when this returns.
async fn begun(cache: &CacheService, options: UpdateOptions) -> (Running<'_>, oneshot::Sender<()>) {
    let (begun, has_begun) = oneshot::channel();
    let (word, go_on) = oneshot::channel::<()>();
    let mut update: Running<'_> = Box::pin(cache.update(&[], options, || async {
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

fn tagged() -> SetOptions {
    SetOptions::from(60).tags(["users", "all"])
}

fn users() -> UpdateOptions {
    UpdateOptions::new().tags(["users"])
}

async fn load(cache: &CacheService, key: &str, value: &str) -> String {
    cache.get_or_fetch(key, tagged(), || async { Ok::<_, Error>(value.to_owned()) }).await.expect("a value")
}

async fn cached(cache: &CacheService, key: &str) -> Option<String> {
    cache.get::<String>(key).await.expect("a valid key")
}

/// A load that waits for a word once it has begun.
async fn slow(cache: &CacheService, key: &'static str) -> (tokio::task::JoinHandle<String>, oneshot::Sender<()>) {
    let (in_fetch, has_begun) = oneshot::channel();
    let (word, go_on) = oneshot::channel::<()>();
    let loader = cache.clone();
    let load = tokio::spawn(async move {
        let fetch = || async {
            in_fetch.send(()).expect("somebody waits");
            go_on.await.expect("the word");
            Ok::<_, Error>("old".to_owned())
        };
        loader.get_or_fetch(key, tagged(), fetch).await.expect("a value")
    });
    has_begun.await.expect("it begins");
    (load, word)
}

#[tokio::test]
async fn nothing_with_the_tag_is_stored_or_read_while_it_is_written() {
    let server = Server::start();
    let memory = builder("memory://", "").build().unwrap();
    let (one, two) = (open(&server.url(), "shop"), open(&server.url(), "shop"));
    for (cache, reader) in [(&memory, &memory), (&one, &one), (&one, &two)] {
        assert_eq!(load(reader, "k", "old").await, "old");
        reader.set("free", "as before", SetOptions::from(60).tags(["all"])).await.unwrap();
        let (before, before_word) = slow(reader, "before").await;
        let (update, word) = begun(cache, users()).await;
        eventually("it is told", async || cached(reader, "k").await.is_none()).await;
        assert_eq!(cached(reader, "free").await.as_deref(), Some("as before"));
        for value in ["old too", "old again"] {
            assert_eq!(load(reader, "k", value).await, value, "what is loaded is not kept");
        }
        reader.set("k", "which is newer?", tagged()).await.unwrap();
        assert_eq!(cached(reader, "k").await, None, "nor is what is set");
        reader.invalidate_tags(&["users"]).await.unwrap();
        assert_eq!(load(reader, "k", "still").await, "still");
        assert_eq!(cached(reader, "k").await, None, "an invalidation ends no hold");
        let (within, within_word) = slow(reader, "within").await;
        before_word.send(()).unwrap();
        assert_eq!(before.await.unwrap(), "old");
        word.send(()).unwrap();
        assert!(!update.await.unwrap().1.pending);
        within_word.send(()).unwrap();
        assert_eq!(within.await.unwrap(), "old");
        for key in ["before", "within", "k"] {
            assert_eq!(cached(reader, key).await, None, "{key}");
        }
        eventually("it is free again", async || {
            load(reader, "k", "new").await;
            cached(reader, "k").await.as_deref() == Some("new")
        })
        .await;
        reader.delete("k").await.unwrap();
    }
}

#[tokio::test]
async fn a_writer_that_dies_leaves_nothing_old() {
    let server = Server::start();
    let memory = builder("memory://", "").build().unwrap();
    let (one, two) = (open(&server.url(), "shop"), open(&server.url(), "shop"));
    for (cache, reader) in [(&memory, &memory), (&one, &two)] {
        load(reader, "k", "old").await;
        let (update, _word) = begun(cache, users().intent_ttl(Duration::from_millis(400))).await;
        // It never ends, as if its process had.
        std::mem::forget(update);
        eventually("it is told", async || cached(reader, "k").await.is_none()).await;
        load(reader, "k", "old too").await;
        assert_eq!(
            reader.get_or_fetch::<String, Error, _, _>("k", tagged(), async || Ok("n".into())).await.unwrap(),
            "n"
        );
        eventually("the hold is over", async || {
            load(reader, "k", "new").await;
            cached(reader, "k").await.is_some()
        })
        .await;
        assert_eq!(cached(reader, "k").await.as_deref(), Some("new"));
        assert_eq!(cached(cache, "k").await.as_deref(), Some("new"));
    }
}

#[tokio::test]
async fn writers_of_a_tag_may_overlap_and_hold_it_after_the_write() {
    let server = Server::start();
    let (one, two) = (open(&server.url(), "shop"), open(&server.url(), "shop"));
    let (first, first_word) = begun(&one, users()).await;
    let (second, second_word) = begun(&two, users().hold(Duration::from_millis(500))).await;
    first_word.send(()).unwrap();
    first.await.unwrap();
    load(&one, "k", "between").await;
    assert_eq!(cached(&one, "k").await, None);
    second_word.send(()).unwrap();
    let (_, receipt) = second.await.unwrap();
    load(&one, "k", "lagging").await;
    assert_eq!(cached(&one, "k").await, None, "a replica may lag");
    one.observe(receipt.token, &["k"]).unwrap();
    eventually("the hold is over", async || {
        load(&one, "k", "new").await;
        cached(&one, "k").await.as_deref() == Some("new")
    })
    .await;
}

#[tokio::test]
async fn keys_and_tags_go_in_one_round_trip_and_wrong_ones_are_refused() {
    let server = Server::start();
    let cache = open(&server.url(), "shop");
    let both = users().tags(["users", "pages"]);
    load(&cache, "tagged", "old").await;
    cache.set("named", "old", 60).await.unwrap();
    let ((), receipt) = cache.update(&["named"], both, async || Ok::<_, Error>(())).await.unwrap();
    assert!(!receipt.pending);
    assert_eq!((cached(&cache, "tagged").await, cached(&cache, "named").await), (None, None));
    for wrong in ["", &"t".repeat(129)] {
        let refused = cache.update(&[], UpdateOptions::new().tags([wrong]), async || Ok::<_, Error>(())).await;
        let Err(UpdateError::Cache(error)) = refused else { panic!("{refused:?}") };
        assert_eq!(error.kind(), ErrorKind::InvalidOption);
    }
    assert_eq!(cache.stats().invalidations, 3);
}

#[tokio::test]
async fn what_could_not_be_told_is_told_later() {
    let server = Server::start();
    let proxy = Proxy::start(server.port);
    let cache = builder(&proxy.url(), "shop").l2_timeout(Duration::from_millis(200)).build().unwrap();
    let other = open(&server.url(), "shop");
    load(&other, "k", "old").await;
    cache.get::<String>("k").await.unwrap();
    let (update, word) = begun(&cache, users()).await;
    proxy.refuse();
    word.send(()).unwrap();
    assert!(update.await.unwrap().1.pending);
    eventually("it was told of the intent", async || cached(&other, "k").await.is_none()).await;
    load(&other, "k", "old too").await;
    assert_eq!(cached(&other, "k").await, None, "it is still held");
    proxy.forward();
    eventually("it lands", async || cache.stats().pending == 0).await;
    eventually("it is free again", async || {
        load(&other, "k", "new").await;
        cached(&other, "k").await.as_deref() == Some("new")
    })
    .await;

    proxy.refuse();
    let strict = users().strict(true);
    let refused = cache.update(&[], strict, async || -> Result<(), Error> { panic!("it must not write") }).await;
    assert!(
        matches!(&refused, Err(UpdateError::Cache(error)) if error.kind() == ErrorKind::Unavailable),
        "{refused:?}"
    );
    let ((), receipt) = cache.update(&[], users(), async || Ok::<_, Error>(())).await.unwrap();
    assert!(receipt.pending);
    proxy.forward();
    eventually("it lands", async || cache.stats().pending == 0).await;
    eventually("it is told", async || cached(&other, "k").await.is_none()).await;
}
