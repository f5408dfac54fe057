//! `write_through`: the source first, then the cache, in the order of the source. In memory, and with a real Redis, where
//! each cache is what it would be in a process of its own.

mod support;

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use scrubjay::{
    CacheService, Error, ErrorKind, Receipt, SetOptions, Source, SourceError, StoreError, UpdateOptions,
    WriteThrough,
};
use support::{Proxy, Server, builder, eventually, open};
use tokio::sync::oneshot;

/// A source whose work waits for words, where a test has prepared some.
#[derive(Clone, Default)]
struct Table(Arc<Inner>);

#[derive(Default)]
struct Inner {
    rows: Mutex<HashMap<String, String>>,
    loads: AtomicUsize,
    waits: Mutex<HashMap<String, VecDeque<Wait>>>,
}

/// A store that tells when it has begun, and goes on at the word: `false` makes it fail.
struct Wait {
    begun: oneshot::Sender<()>,
    word: oneshot::Receiver<bool>,
}

impl Table {
    fn row(&self, key: &str) -> Option<String> {
        self.0.rows.lock().expect("no panic").get(key).cloned()
    }

    fn put(&self, key: &str, value: &str) {
        self.0.rows.lock().expect("no panic").insert(key.to_owned(), value.to_owned());
    }

    fn loads(&self) -> usize {
        self.0.loads.load(Ordering::Relaxed)
    }

    /// The next store of this key waits.
    fn stop(&self, key: &str) -> (oneshot::Receiver<()>, oneshot::Sender<bool>) {
        let (begun, has_begun) = oneshot::channel();
        let (word, go_on) = oneshot::channel();
        let mut waits = self.0.waits.lock().expect("no panic");
        waits.entry(key.to_owned()).or_default().push_back(Wait { begun, word: go_on });
        (has_begun, word)
    }
}

impl Source<String> for Table {
    async fn load(&self, key: &str) -> Result<Option<String>, SourceError> {
        self.0.loads.fetch_add(1, Ordering::Relaxed);
        Ok(self.row(key))
    }

    async fn store(&self, key: &str, value: &String) -> Result<(), SourceError> {
        let wait = self.0.waits.lock().expect("no panic").get_mut(key).and_then(VecDeque::pop_front);
        if let Some(Wait { begun, word }) = wait {
            let _ = begun.send(());
            assert_ne!(value, "panic");
            if !word.await.unwrap_or(true) {
                return Err("the disk is full".into());
            }
        }
        self.put(key, value);
        Ok(())
    }

    async fn remove(&self, key: &str) -> Result<(), SourceError> {
        self.0.rows.lock().expect("no panic").remove(key);
        Ok(())
    }
}

type Through = WriteThrough<String, Table>;

fn through(cache: &CacheService, table: &Table) -> Through {
    cache.write_through(table.clone(), 60)
}

fn opened(cache: &CacheService) -> (Table, Through) {
    let table = Table::default();
    (table.clone(), through(cache, &table))
}

async fn set(through: &Through, key: &str, value: &str) -> Result<Receipt, StoreError> {
    through.set(key, &value.to_owned()).await
}

/// A set in a task of its own, on its way.
fn setting(
    through: &Through,
    key: &'static str,
    value: &'static str,
) -> tokio::task::JoinHandle<Result<Receipt, String>> {
    let through = through.clone();
    tokio::spawn(async move { set(&through, key, value).await.map_err(|error| error.to_string()) })
}

async fn cached(cache: &CacheService, key: &str) -> Option<String> {
    cache.get::<String>(key).await.expect("a valid key")
}

/// The caches that each test is made for: memory, and one with a server.
fn caches() -> (Server, [CacheService; 2]) {
    let server = Server::start();
    let memory = builder("memory://", "").build().expect("a cache");
    let shared = open(&server.url(), "shop");
    (server, [memory, shared])
}

#[tokio::test]
async fn a_value_goes_to_the_source_and_then_into_the_cache() {
    let (server, caches) = caches();
    for cache in &caches {
        let (table, through) = opened(cache);
        assert_eq!(through.get("k").await.unwrap(), None);
        assert_eq!(
            (through.get("k").await.unwrap(), table.loads()),
            (None, 1),
            "that there is none is remembered"
        );
        assert!(!set(&through, "k", "first").await.unwrap().pending);
        assert_eq!(table.row("k").as_deref(), Some("first"));
        assert_eq!(cached(cache, "k").await.as_deref(), Some("first"));
        assert_eq!((through.get("k").await.unwrap().as_deref(), table.loads()), (Some("first"), 1));
        table.put("other", "loaded");
        let many = through.get_many(&["k", "other", "none"]).await.unwrap();
        assert_eq!((many.len(), many["k"].as_str(), many["other"].as_str()), (2, "first", "loaded"));
        through.delete("k").await.unwrap();
        assert_eq!(
            (table.row("k"), cached(cache, "k").await, through.get("k").await.unwrap()),
            (None, None, None)
        );
    }
    let through = through(&caches[1], &Table::default());
    let receipt = set(&through, "k", "told").await.unwrap();
    let other = open(&server.url(), "shop");
    other.observe(receipt.token, &["k"]).unwrap();
    assert_eq!(cached(&other, "k").await.as_deref(), Some("told"), "other processes have it too");
}

#[tokio::test]
async fn the_first_write_of_a_process_is_stored_as_well() {
    let server = Server::start();
    for _ in 0..5 {
        let cache = open(&server.url(), "shop");
        set(&through(&cache, &Table::default()), "k", "first").await.unwrap();
        assert!(server.entry("shop", "k").is_some());
        assert_eq!(cached(&cache, "k").await.as_deref(), Some("first"));
        cache.delete("k").await.unwrap();
    }
}

#[tokio::test]
async fn a_store_that_fails_leaves_the_key_invalidated() {
    let (_server, caches) = caches();
    for cache in &caches {
        let (table, through) = opened(cache);
        set(&through, "k", "first").await.unwrap();
        let (begun, word) = table.stop("k");
        let failing = setting(&through, "k", "second");
        begun.await.unwrap();
        word.send(false).unwrap();
        let error = failing.await.unwrap().unwrap_err();
        assert!(error.contains("the disk is full"), "{error}");
        assert_eq!(cached(cache, "k").await, None, "nobody knows what the source has");
        assert_eq!(through.get("k").await.unwrap().as_deref(), Some("first"));
        assert_eq!(cached(cache, "k").await.as_deref(), Some("first"), "and loads are stored again");
    }
}

#[tokio::test]
async fn writers_of_a_key_follow_one_another_and_loads_meanwhile_are_not_stored() {
    let (_server, caches) = caches();
    for cache in &caches {
        let (table, through) = opened(cache);
        table.put("k", "old");
        let (first_begun, first_word) = table.stop("k");
        let (mut second_begun, second_word) = table.stop("k");
        let first = setting(&through, "k", "first");
        first_begun.await.unwrap();
        let second = setting(&through, "k", "second");
        assert_eq!(through.get("k").await.unwrap().as_deref(), Some("old"));
        assert_eq!(through.get("k").await.unwrap().as_deref(), Some("old"));
        assert_eq!((table.loads(), cached(cache, "k").await), (2, None), "what is loaded is not kept");
        set(&through, "another", "value").await.unwrap();
        assert!(second_begun.try_recv().is_err(), "the second one waits, another key waits for nobody");
        first_word.send(true).unwrap();
        first.await.unwrap().unwrap();
        second_begun.await.unwrap();
        assert_eq!((table.row("k").as_deref(), cached(cache, "k").await), (Some("first"), None));
        second_word.send(true).unwrap();
        second.await.unwrap().unwrap();
        assert_eq!(
            (table.row("k").as_deref(), cached(cache, "k").await.as_deref()),
            (Some("second"), Some("second"))
        );
    }
}

#[tokio::test]
async fn who_gives_up_or_panics_lets_the_next_one_in() {
    let (_server, caches) = caches();
    for cache in &caches {
        let (table, through) = opened(cache);
        set(&through, "k", "first").await.unwrap();
        for ending in ["dropped", "panic"] {
            let (begun, word) = table.stop("k");
            let stuck = setting(&through, "k", ending);
            begun.await.unwrap();
            let (given_up, next) = (setting(&through, "k", "never"), setting(&through, "k", "next"));
            eventually("they wait", async || !given_up.is_finished()).await;
            given_up.abort();
            assert!(given_up.await.unwrap_err().is_cancelled());
            match ending {
                "dropped" => stuck.abort(),
                _ => drop(word),
            }
            stuck.await.unwrap_err();
            next.await.unwrap().unwrap();
            assert_eq!(
                (table.row("k").as_deref(), cached(cache, "k").await.as_deref()),
                (Some("next"), Some("next"))
            );
        }
    }
}

#[tokio::test]
async fn what_else_writes_the_key_or_its_tags_meanwhile_keeps_the_value_out() {
    let (server, [memory, shared]) = caches();
    let other = open(&server.url(), "shop");
    for (cache, by) in [(&memory, &memory), (&shared, &shared), (&shared, &other)] {
        let table = Table::default();
        let ours: Through = cache.write_through(table.clone(), SetOptions::from(60).tags(["t"]));
        let theirs = through(by, &Table::default());
        let elsewhere = !std::ptr::eq(cache, by);
        for what in ["delete", "set", "update", "tag", "clear", "write"] {
            let (begun, word) = table.stop("k");
            let writing = setting(&ours, "k", "mine");
            begun.await.unwrap();
            match what {
                "delete" => drop(by.delete("k").await.unwrap()),
                "set" => drop(by.set("k", "theirs", 60).await.unwrap()),
                "update" => {
                    by.update(&["k"], UpdateOptions::new(), async || Ok::<_, Error>(())).await.unwrap();
                }
                "tag" => drop(by.invalidate_tags(&["t"]).await.unwrap()),
                "clear" => drop(by.clear().await.unwrap()),
                // In this process it would wait for its turn.
                _ if elsewhere => drop(set(&theirs, "k", "theirs").await.unwrap()),
                _ => drop(by.delete("k").await.unwrap()),
            }
            word.send(true).unwrap();
            writing.await.unwrap().unwrap();
            assert_eq!((cached(cache, "k").await, cached(by, "k").await), (None, None), "{what}");
            assert_eq!(ours.get("k").await.unwrap().as_deref(), Some("mine"));
            assert_eq!(cached(cache, "k").await.as_deref(), Some("mine"), "{what}: free again");
            cache.invalidate_tags(&["t"]).await.unwrap();
            assert_eq!(cached(cache, "k").await, None, "it has its tag");
            set(&ours, "k", "mine again").await.unwrap();
            assert_eq!(cached(cache, "k").await.as_deref(), Some("mine again"), "{what}: stored again");
            by.invalidate_tags(&["t"]).await.unwrap();
            eventually("it has its tag", async || cached(cache, "k").await.is_none()).await;
        }
    }
}

#[tokio::test]
async fn a_writer_that_comes_and_goes_in_another_process_leaves_the_key_invalidated() {
    let server = Server::start();
    let (one, two) = (open(&server.url(), "shop"), open(&server.url(), "shop"));
    let table = Table::default();
    let (ones, twos) = (through(&one, &table), through(&two, &table));
    // In it, around it, before it.
    for order in [["b1", "b2", "e2", "e1"], ["b2", "b1", "e1", "e2"], ["b1", "b2", "e1", "e2"]] {
        let (mut words, mut running) = (HashMap::new(), HashMap::new());
        for step in order {
            let who = &step[1..];
            if step.starts_with('b') {
                let (begun, word) = table.stop("k");
                running.insert(
                    who,
                    setting(if who == "1" { &ones } else { &twos }, "k", if who == "1" { "1" } else { "2" }),
                );
                begun.await.unwrap();
                words.insert(who, word);
            } else {
                words.remove(who).unwrap().send(true).unwrap();
                running.remove(who).unwrap().await.unwrap().unwrap();
                assert_eq!((cached(&one, "k").await, cached(&two, "k").await), (None, None), "{order:?}: {step}");
            }
        }
        let last = table.row("k");
        assert_eq!((ones.get("k").await.unwrap(), cached(&two, "k").await), (last.clone(), last));
    }
}

#[tokio::test]
async fn a_write_that_takes_longer_than_its_hold_is_not_stored() {
    let (_server, caches) = caches();
    for cache in &caches {
        let table = Table::default();
        let short = through(cache, &table).writing(UpdateOptions::new().intent_ttl(Duration::from_millis(100)));
        let (begun, word) = table.stop("k");
        let writing = setting(&short, "k", "late");
        begun.await.unwrap();
        eventually("the hold is over", async || cache.explain("k").await.unwrap().hold.is_none()).await;
        word.send(true).unwrap();
        writing.await.unwrap().unwrap();
        assert_eq!(cached(cache, "k").await, None);
        let lagging = through(cache, &table).writing(UpdateOptions::new().hold(Duration::from_secs(60)));
        set(&lagging, "k", "held").await.unwrap();
        assert_eq!((cached(cache, "k").await, cache.explain("k").await.unwrap().hold.is_some()), (None, true));
    }
}

#[tokio::test]
async fn what_is_wrong_is_told_before_the_source_is_asked() {
    let (_server, caches) = caches();
    for cache in &caches {
        let (table, fine) = opened(cache);
        let kind = async |through: &Through, key: &str, value: &str| match set(through, key, value).await {
            Err(StoreError::Cache(error)) => error.kind(),
            other => panic!("{other:?}"),
        };
        assert_eq!(kind(&fine, "", "v").await, ErrorKind::InvalidKey);
        assert_eq!(kind(&fine, "k", &"v".repeat(9 << 20)).await, ErrorKind::InvalidValue);
        assert_eq!(kind(&cache.write_through(table.clone(), 0), "k", "v").await, ErrorKind::InvalidOption);
        let tagged = SetOptions::new().tags([""]);
        assert_eq!(kind(&cache.write_through(table.clone(), tagged), "k", "v").await, ErrorKind::InvalidOption);
        let short = fine.clone().writing(UpdateOptions::new().intent_ttl(Duration::ZERO));
        assert_eq!(kind(&short, "k", "v").await, ErrorKind::InvalidOption);
        assert!(table.0.rows.lock().unwrap().is_empty());

        let (begun, word) = table.stop("k");
        let (running, waiting) = (setting(&fine, "k", "v"), begun);
        waiting.await.unwrap();
        let next = setting(&fine, "k", "next");
        eventually("it waits", async || !next.is_finished()).await;
        cache.close().await.unwrap();
        assert!(next.await.unwrap().unwrap_err().contains("Closed"));
        word.send(true).unwrap();
        assert!(running.await.unwrap().unwrap_err().contains("Closed"));
        assert_eq!(table.row("k").as_deref(), Some("v"), "the source has it all the same");
        assert_eq!(kind(&fine, "k", "v").await, ErrorKind::Closed);
    }
}

type Again = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Error> + Send>> + Send + Sync>;

/// A source whose store makes another write.
#[derive(Clone, Default)]
struct Recursive(Arc<Mutex<Option<Again>>>);

impl Source<String> for Recursive {
    async fn store(&self, _: &str, _: &String) -> Result<(), SourceError> {
        let again = self.0.lock().expect("no panic").as_ref().expect("it is set")();
        Err(again.await.into())
    }
}

#[tokio::test]
async fn a_store_that_writes_its_own_key_is_refused_and_what_a_source_lacks_is_told() {
    let (_server, caches) = caches();
    for cache in &caches {
        let source = Recursive::default();
        let through: WriteThrough<String, Recursive> = cache.write_through(source.clone(), 60);
        let own = through.clone();
        *source.0.lock().unwrap() = Some(Box::new(move || {
            let own = own.clone();
            Box::pin(async move {
                match own.set("k", &"v".to_owned()).await {
                    Err(StoreError::Cache(error)) => error,
                    other => panic!("{other:?}"),
                }
            })
        }));
        let kind = |error: StoreError| match error {
            StoreError::Source(error) => error.downcast_ref::<Error>().expect("ours").kind(),
            StoreError::Cache(error) => panic!("{error}"),
        };
        assert_eq!(kind(through.set("k", &"v".into()).await.unwrap_err()), ErrorKind::RecursiveFetch);
        assert_eq!(kind(through.delete("k").await.unwrap_err()), ErrorKind::Unsupported);
        let error = through.get("k").await.unwrap_err();
        let own = std::error::Error::source(&error).and_then(|error| error.downcast_ref::<Error>());
        assert_eq!(own.map(Error::kind), Some(ErrorKind::Unsupported));
        source.0.lock().unwrap().take();
    }
}

#[tokio::test]
async fn an_outage_makes_it_pending_and_strict_refuses_it() {
    let server = Server::start();
    let proxy = Proxy::start(server.port);
    let cache = builder(&proxy.url(), "shop").l2_timeout(Duration::from_millis(200)).build().unwrap();
    let (table, through) = opened(&cache);
    set(&through, "k", "first").await.unwrap();
    proxy.refuse();
    let receipt = set(&through, "k", "second").await.unwrap();
    assert_eq!((receipt.pending, table.row("k").as_deref()), (true, Some("second")));
    assert_eq!(through.get("k").await.unwrap().as_deref(), Some("second"), "what stands there is not believed");
    let strict = through.clone().writing(UpdateOptions::new().strict(true));
    let refused = set(&strict, "k", "third").await.unwrap_err();
    assert!(matches!(&refused, StoreError::Cache(error) if error.kind() == ErrorKind::Unavailable), "{refused:?}");
    assert_eq!(table.row("k").as_deref(), Some("second"));
    proxy.forward();
    eventually("it lands", async || cache.stats().pending == 0).await;
    let other = open(&server.url(), "shop");
    assert_eq!(cached(&other, "k").await, None);
    set(&through, "k", "fourth").await.unwrap();
    assert_eq!(cached(&other, "k").await.as_deref(), Some("fourth"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_writers_and_readers_leave_what_the_source_has() {
    let (server, [memory, shared]) = caches();
    let other = open(&server.url(), "shop");
    for pair in [[&memory, &memory], [&shared, &shared], [&shared, &other]] {
        let table = Table::default();
        let mut all = tokio::task::JoinSet::new();
        for worker in 0..8 {
            let (through, table) = (through(pair[worker % 2], &table), table.clone());
            all.spawn(async move {
                for n in 0..50 {
                    if worker < 4 {
                        set(&through, "k", &format!("{worker}:{n}")).await.unwrap();
                    } else {
                        through.get("k").await.unwrap();
                    }
                }
                drop(table);
            });
        }
        while let Some(ended) = all.join_next().await {
            ended.unwrap();
        }
        let row = table.row("k");
        for cache in pair {
            let there = cached(cache, "k").await;
            assert!(there.is_none() || there == row, "{there:?} is not {row:?}");
            assert_eq!(through(cache, &table).get("k").await.unwrap(), row);
        }
    }
}
