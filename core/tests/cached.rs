//! Functions whose results are kept, in memory and on a real server.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use scrubjay::{CacheService, CachedOptions, Error, ErrorKind, Fetched, cached};
use support::{Server, open};
use tokio::sync::oneshot;

/// Runs a test in memory and on a server, each with two caches of one namespace: in memory they are one.
macro_rules! on_both {
    ($name:ident, $check:ident) => {
        #[tokio::test]
        async fn $name() {
            let memory = CacheService::new("memory://", "shop").unwrap();
            $check(memory.clone(), memory).await;
            let server = Server::start();
            $check(open(&server.url(), "shop"), open(&server.url(), "shop")).await;
        }
    };
}

fn io(message: &str) -> std::io::Error {
    std::io::Error::other(message.to_owned())
}

async fn runs_once(one: CacheService, other: CacheService) {
    let runs = Arc::new(AtomicU64::new(0));
    let make = |cache: &CacheService| {
        let runs = runs.clone();
        cached(cache, CachedOptions::named("load").ttl(60), move |(id, country): (u64, &'static str)| {
            let runs = runs.clone();
            async move {
                runs.fetch_add(1, Ordering::SeqCst);
                Ok::<_, std::io::Error>(if country.is_empty() { None } else { Some(format!("{id}{country}")) })
            }
        })
    };
    let (here, there) = (make(&one), make(&other));
    for _ in 0..2 {
        assert_eq!(here.call((7, "se")).await.unwrap().as_deref(), Some("7se"));
        assert_eq!(there.call((7, "se")).await.unwrap().as_deref(), Some("7se"));
        // Nothing is a result.
        assert_eq!(here.call((7, "")).await.unwrap(), None);
    }
    assert_eq!(runs.load(Ordering::SeqCst), 2);
    assert_eq!(here.get_key(&(7, "se")).unwrap(), r#"load(7,"se")"#);
    there.invalidate(&(7, "se")).await.unwrap();
    there.call((7, "se")).await.unwrap();
    assert_eq!(runs.load(Ordering::SeqCst), 3);
    // On other threads too.
    let spawned = tokio::spawn(async move { here.call((8, "se")).await });
    assert_eq!(spawned.await.unwrap().unwrap().as_deref(), Some("8se"));
}
on_both!(a_function_runs_once_for_its_arguments, runs_once);

async fn unless(one: CacheService, other: CacheService) {
    let runs = Arc::new(AtomicU64::new(0));
    let make = |cache: &CacheService| {
        let runs = runs.clone();
        cached(cache, CachedOptions::new("search:{0}").ttl(60), move |text: String| {
            let run = runs.fetch_add(1, Ordering::SeqCst);
            async move { Ok::<_, std::io::Error>(if text.is_empty() { vec![] } else { vec![run] }) }
        })
        .unless(|found: &Vec<u64>| found.is_empty())
    };
    let (here, there) = (make(&one), make(&other));
    for _ in 0..2 {
        assert!(here.call(String::new()).await.unwrap().is_empty());
        assert!(there.call(String::new()).await.unwrap().is_empty());
    }
    assert_eq!(runs.load(Ordering::SeqCst), 4);
    assert_eq!(here.call("a".to_owned()).await.unwrap(), [4]);
    assert_eq!(there.call("a".to_owned()).await.unwrap(), [4]);
    assert_eq!(one.get::<Vec<u64>>("search:").await.unwrap(), None);
}
on_both!(results_that_are_not_to_be_kept_are_not, unless);

#[tokio::test]
async fn those_who_wait_get_a_result_that_is_not_kept() {
    let cache = CacheService::new("memory://", "").unwrap();
    let (release, released) = oneshot::channel::<u64>();
    let released = Arc::new(tokio::sync::Mutex::new(Some(released)));
    let slow = cached(&cache, CachedOptions::named("slow"), move |()| {
        let released = released.clone();
        async move { Ok::<_, Error>(released.lock().await.take().expect("it runs once").await.unwrap()) }
    })
    .unless(|_: &u64| true);
    let slow = Arc::new(slow);
    let callers: Vec<_> = (0..20)
        .map(|_| {
            tokio::spawn({
                let slow = slow.clone();
                async move { slow.call(()).await }
            })
        })
        .collect();
    support::eventually("all wait", async || cache.stats().waits == 19).await;
    release.send(7).unwrap();
    for caller in callers {
        assert_eq!(caller.await.unwrap().unwrap(), 7);
    }
    assert_eq!(cache.get::<u64>(&slow.get_key(&()).unwrap()).await.unwrap(), None);
}

async fn errors(one: CacheService, other: CacheService) {
    let runs = Arc::new(AtomicU64::new(0));
    let make = |cache: &CacheService| {
        let runs = runs.clone();
        let options = CachedOptions::new("job:{0}").ttl(60).tags(["jobs"]).cache_errors(|error| {
            error.downcast_ref::<std::io::Error>().is_some_and(|error| error.to_string() != "again")
        });
        cached(cache, options, move |kind: &'static str| {
            runs.fetch_add(1, Ordering::SeqCst);
            async move { Err::<u64, _>(io(kind)) }
        })
    };
    let (here, there) = (make(&one), make(&other));
    let Err(Error::Fetch(own)) = here.call("broken").await else { panic!("its own error") };
    assert_eq!(own.to_string(), "broken");
    for cached in [&here, &there] {
        let error = cached.call("broken").await.unwrap_err();
        assert_eq!((error.kind(), error.message().as_str()), (ErrorKind::FetchFailed, "broken"));
    }
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    // It is no value, and goes as values do.
    assert_eq!(other.get::<u64>("job:broken").await.unwrap(), None);
    one.invalidate_tags(&["jobs"]).await.unwrap();
    here.call("broken").await.unwrap_err();
    here.invalidate(&"broken").await.unwrap();
    here.call("broken").await.unwrap_err();
    assert_eq!(runs.load(Ordering::SeqCst), 3);
    for _ in 0..2 {
        assert!(matches!(here.call("again").await, Err(Error::Fetch(_))));
    }
    assert_eq!(runs.load(Ordering::SeqCst), 5);
}
on_both!(errors_are_remembered_where_that_is_asked_for, errors);

#[tokio::test]
async fn a_remembered_error_is_cut_and_forgotten() {
    let cache = CacheService::builder().negative_ttl(Duration::from_millis(1)).jitter(0.0).build().unwrap();
    let options = CachedOptions::named("f").cache_errors(|_| true);
    let long = format!("a{}", "é".repeat(600));
    let failing = cached(&cache, options, |()| async { Err::<u64, _>(io(&long)) });
    for _ in 0..3 {
        failing.call(()).await.unwrap_err();
    }
    support::eventually("it is forgotten", async || {
        matches!(failing.call(()).await.unwrap_err(), Error::Fetch(_)) && cache.stats().loads > 1
    })
    .await;
    let lasting = CacheService::new("memory://", "").unwrap();
    let failing = cached(&lasting, CachedOptions::named("f").cache_errors(|_| true), |()| async {
        Err::<u64, _>(io(&long))
    });
    failing.call(()).await.unwrap_err();
    assert_eq!(failing.call(()).await.unwrap_err().message(), format!("a{}", "é".repeat(499)));
}

async fn refresh(one: CacheService, other: CacheService) {
    let source = Arc::new(AtomicU64::new(1));
    let make = |cache: &CacheService| {
        let source = source.clone();
        cached(cache, CachedOptions::new("n").ttl(60), move |()| {
            let source = source.clone();
            async move {
                let read = source.load(Ordering::SeqCst);
                if read == 0 { Err(io("empty")) } else { Ok(read) }
            }
        })
    };
    let (here, there) = (make(&one), make(&other));
    assert_eq!(here.call(()).await.unwrap(), 1);
    source.store(2, Ordering::SeqCst);
    assert_eq!(here.call(()).await.unwrap(), 1);
    assert_eq!(here.refresh(()).await.unwrap(), 2);
    assert_eq!(here.call(()).await.unwrap(), 2);
    assert_eq!(there.refresh(()).await.unwrap(), 2);
    source.store(0, Ordering::SeqCst);
    assert_eq!(there.refresh(()).await.unwrap_err().message(), "empty");
    assert!(there.call(()).await.is_err(), "nothing is kept");
}
on_both!(a_refresh_runs_the_function_again, refresh);

#[tokio::test]
async fn a_refresh_does_not_take_what_was_loaded_before_it() {
    let cache = CacheService::new("memory://", "").unwrap();
    let (release, released) = oneshot::channel::<()>();
    let released = Arc::new(tokio::sync::Mutex::new(Some(released)));
    let runs = Arc::new(AtomicU64::new(0));
    let load = Arc::new(cached(&cache, CachedOptions::named("f"), {
        let runs = runs.clone();
        move |()| {
            let (run, released) = (runs.fetch_add(1, Ordering::SeqCst), released.clone());
            async move {
                let first = released.lock().await.take();
                if let Some(released) = first {
                    released.await.unwrap();
                }
                Ok::<_, Error>(run)
            }
        }
    }));
    let slow = tokio::spawn({
        let load = load.clone();
        async move { load.call(()).await }
    });
    support::eventually("the slow one runs", async || runs.load(Ordering::SeqCst) == 1).await;
    assert_eq!(load.refresh(()).await.unwrap(), 1);
    release.send(()).unwrap();
    assert_eq!(slow.await.unwrap().unwrap(), 0);
    assert_eq!(load.call(()).await.unwrap(), 1);
}

async fn tags(one: CacheService, other: CacheService) {
    let load = |cache: &CacheService| {
        let options = CachedOptions::new("user:{user.id}").ttl(60).tags(["team:{user.team}"]);
        cached(cache, options, |argument: serde_json::Value| async move {
            Ok::<_, Error>(Fetched::new(argument["user"]["id"].as_u64()).tags(["loaded"]).ttl(60))
        })
        .tags_by(|argument: &serde_json::Value| {
            vec![format!("odd:{}", argument["user"]["id"].as_u64().unwrap() % 2)]
        })
    };
    let argument = serde_json::json!({"user": {"id": 7, "team": "a"}});
    let (here, there) = (load(&one), load(&other));
    assert_eq!(here.get_tags(&argument).unwrap(), ["odd:1", "team:a"]);
    for tag in ["odd:1", "team:a"] {
        assert_eq!(here.call_with(argument.clone()).await.unwrap(), Some(7));
        other.invalidate_tags(&[tag]).await.unwrap();
        assert_eq!(other.get::<u64>("user:7").await.unwrap(), None, "{tag}");
    }
    assert_eq!(there.call_with(argument.clone()).await.unwrap(), Some(7));
}
on_both!(tags_come_from_templates_and_functions, tags);

#[tokio::test]
async fn wrong_options_are_the_error_of_every_call() {
    let cache = CacheService::new("memory://", "").unwrap();
    for options in [
        CachedOptions::new("{"),
        CachedOptions::named(""),
        CachedOptions::new("k").tags(["{"]),
        CachedOptions::new("{0.name}"),
    ] {
        let f = cached(&cache, options, |n: u64| async move { Ok::<_, Error>(n) });
        assert_eq!(f.call(1).await.unwrap_err().kind(), ErrorKind::InvalidOption);
    }
}
