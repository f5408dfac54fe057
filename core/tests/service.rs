//! `CacheService` as a Rust user sees it, over memory.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use scrubjay::{CacheService, Error, ErrorKind, Raw, SetOptions};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct User {
    id: u64,
    name: String,
}

#[derive(Debug, PartialEq)]
struct Refused(u32);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "refused {}", self.0)
    }
}

impl std::error::Error for Refused {}

fn memory() -> CacheService {
    CacheService::new("memory://", "test").expect("a memory cache")
}

async fn wait_for(cache: &CacheService, waits: u64) {
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while cache.stats().waits < waits {
        assert!(std::time::Instant::now() < deadline, "{waits} waiters within 10 s");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_calls_of_the_guide() {
    let cache = memory();
    let user = User { id: 7, name: "Ada".into() };
    assert_eq!(cache.get::<User>("user:7").await.unwrap(), None);
    cache.set("user:7", &user, 300).await.unwrap();
    assert_eq!(cache.get::<User>("user:7").await.unwrap(), Some(user.clone()));
    assert!(!cache.delete("user:7").await.unwrap().pending);
    let fetched: User = cache
        .get_or_fetch("user:7", Duration::from_secs(60), || async { Ok::<_, Refused>(user.clone()) })
        .await
        .unwrap();
    assert_eq!(fetched, user);
    assert_eq!(cache.stats().loads, 1);
}

#[tokio::test]
async fn null_is_a_value_and_bytes_stay_bytes() {
    let cache = memory();
    cache.set("null", &None::<u32>, 60).await.unwrap();
    assert_eq!(cache.get::<Option<u32>>("null").await.unwrap(), Some(None));
    let bytes = Raw::from(vec![0, 159, 146, 150]);
    cache.set("raw", &bytes, 60).await.unwrap();
    assert_eq!(cache.get::<Raw>("raw").await.unwrap(), Some(bytes));
    assert_eq!(cache.get::<String>("raw").await.unwrap(), None, "bytes are no text");
    assert_eq!(cache.stats().decode_misses, 1);
    cache.set("wide", &u64::MAX, 60).await.unwrap();
    assert_eq!(cache.get::<u64>("wide").await.unwrap(), Some(u64::MAX));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_callers_run_one_fetch() {
    let cache = memory();
    let runs = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..1000)
        .map(|_| {
            let (cache, runs) = (cache.clone(), runs.clone());
            tokio::spawn(async move {
                let fetch = || async {
                    runs.fetch_add(1, Ordering::SeqCst);
                    wait_for(&cache, 999).await;
                    Ok::<_, Refused>("value".to_owned())
                };
                cache.get_or_fetch("cold", 60, fetch).await.unwrap()
            })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), "value");
    }
    assert_eq!((runs.load(Ordering::SeqCst), cache.stats().loads), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_callers_get_the_very_error_of_the_fetch() {
    let cache = memory();
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let cache = cache.clone();
            tokio::spawn(async move {
                let fetch = || async {
                    wait_for(&cache, 99).await;
                    Err::<String, _>(Refused(3))
                };
                cache.get_or_fetch("cold", 60, fetch).await.unwrap_err()
            })
        })
        .collect();
    for task in tasks {
        let error = task.await.unwrap();
        let Error::Fetch(source) = &error else { panic!("{error:?}") };
        assert_eq!(source.downcast_ref::<Refused>(), Some(&Refused(3)));
        assert_eq!(error.kind(), ErrorKind::FetchFailed);
    }
    assert_eq!(cache.stats().loads, 1);
    let again: String = cache.get_or_fetch("cold", 60, || async { Ok::<_, Refused>("ok".into()) }).await.unwrap();
    assert_eq!(again, "ok", "an error is not cached");
}

#[tokio::test]
async fn a_cancelled_or_panicking_leader_hands_over() {
    let cache = memory();
    let leader = tokio::spawn({
        let cache = cache.clone();
        async move { cache.get_or_fetch("k", 60, std::future::pending::<Result<String, Refused>>).await }
    });
    while cache.stats().loads == 0 {
        tokio::task::yield_now().await;
    }
    let panicking = tokio::spawn({
        let cache = cache.clone();
        async move {
            let fetch = || async { panic!("a fetch that panics") };
            cache.get_or_fetch::<String, Refused, _, _>("k", 60, fetch).await
        }
    });
    wait_for(&cache, 1).await;
    let third = tokio::spawn({
        let cache = cache.clone();
        async move { cache.get_or_fetch("k", 60, || async { Ok::<_, Refused>("third".to_owned()) }).await }
    });
    wait_for(&cache, 2).await;
    leader.abort();
    assert!(panicking.await.unwrap_err().is_panic());
    assert_eq!(third.await.unwrap().unwrap(), "third");
    assert_eq!(cache.stats().loads, 3);
}

#[tokio::test]
async fn a_fetch_that_asks_for_its_own_key_is_refused() {
    let cache = memory();
    let fetch = || async {
        let inner: u32 = cache.get_or_fetch("k", 60, || async { Ok::<_, Refused>(1) }).await?;
        Ok::<_, Error>(inner)
    };
    let error = cache.get_or_fetch::<u32, _, _, _>("k", 60, fetch).await.unwrap_err();
    let Error::Fetch(source) = error else { panic!("{error:?}") };
    assert_eq!(source.downcast_ref::<Error>().map(Error::kind), Some(ErrorKind::RecursiveFetch));
}

#[tokio::test]
async fn a_nested_fetch_of_another_key_is_fine() {
    let cache = memory();
    let fetch = || async {
        let inner: u32 = cache.get_or_fetch("inner", 60, || async { Ok::<_, Refused>(20) }).await?;
        Ok::<_, Error>(inner + 1)
    };
    assert_eq!(cache.get_or_fetch::<u32, _, _, _>("outer", 60, fetch).await.unwrap(), 21);
}

#[tokio::test]
async fn a_delete_during_the_fetch_keeps_its_value_out() {
    let cache = memory();
    let fetch = || async {
        cache.delete("k").await?;
        Ok::<_, Error>("old".to_owned())
    };
    assert_eq!(cache.get_or_fetch::<String, _, _, _>("k", 60, fetch).await.unwrap(), "old");
    assert_eq!(cache.get::<String>("k").await.unwrap(), None);
}

#[tokio::test]
async fn not_found_is_remembered() {
    let cache = memory();
    for _ in 0..2 {
        let fetch = || async { Err::<u32, _>(Error::not_found()) };
        let error = cache.get_or_fetch("k", 60, fetch).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
    assert_eq!(cache.stats().loads, 1);
    assert_eq!(cache.get::<u32>("k").await.unwrap(), None);
}

#[tokio::test]
async fn a_value_of_another_type_is_fetched_anew() {
    let cache = memory();
    cache.set("k", "text", 60).await.unwrap();
    let fetched: u32 = cache.get_or_fetch("k", 60, || async { Ok::<_, Refused>(5) }).await.unwrap();
    assert_eq!(fetched, 5);
    assert_eq!(cache.get::<u32>("k").await.unwrap(), Some(5));
}

#[tokio::test]
async fn what_cannot_be_stored_is_the_callers_error() {
    let cache = memory();
    let error = cache.set("k", &f64::NAN, 60).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidValue);
    let error = cache.set("k", &HashMap::from([(1, 2)]), 60).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidValue);
    let error = cache.get_or_fetch("k", 60, || async { Ok::<_, Refused>(f64::NAN) }).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidValue);
    let error = cache.get_or_fetch("k", 0, || async { Ok::<_, Refused>(1) }).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidOption);
    assert_eq!(cache.stats().loads, 1, "a wrong ttl is found before the fetch runs");
    let big = Raw::from(vec![0; 8 * 1024 * 1024 + 1]);
    let error = cache.set("k", &big, SetOptions::new()).await.unwrap_err();
    assert!(error.message().contains("max_value"), "{error}");
}

#[tokio::test]
async fn many_keys_at_once() {
    let cache = memory();
    cache.set_many([("a", &1), ("b", &2)], 60).await.unwrap();
    let values: HashMap<String, i32> = cache.get_many(&["a", "b", "c"]).await.unwrap();
    assert_eq!(values, HashMap::from([("a".into(), 1), ("b".into(), 2)]));
    let mut asked = Vec::new();
    let values = cache
        .get_or_fetch_many(&["a", "c", "d", "c"], 60, |missing| {
            asked.push(missing);
            async { Ok::<_, Refused>(HashMap::from([("c".to_owned(), 3)])) }
        })
        .await
        .unwrap();
    assert_eq!(values, HashMap::from([("a".into(), 1), ("c".into(), 3)]));
    assert_eq!(asked, [["c", "d"]]);
    let error = cache
        .get_or_fetch_many(&["a", "e"], 60, |_| async { Err::<HashMap<String, i32>, _>(Refused(1)) })
        .await
        .unwrap_err();
    assert_eq!(error.values, HashMap::from([("a".into(), 1)]));
    assert!(matches!(error.failed["e"], Error::Fetch(_)));
    cache.delete_many(&["a", "b"]).await.unwrap();
    assert!(cache.get_many::<i32>(&["a", "b"]).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_closed_cache_says_so() {
    let cache = memory();
    cache.close().await.unwrap();
    cache.close().await.unwrap();
    assert_eq!(cache.get::<u32>("k").await.unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn a_value_that_is_too_long_in_messagepack_is_refused() {
    let cache = CacheService::builder().max_value(1024_usize).codec(scrubjay::Codec::MsgPack).build().unwrap();
    // 0.5 is three bytes of JSON and nine of MessagePack.
    let error = cache.set("k", &vec![0.5; 200], 60).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidValue);
    assert!(error.message().contains("max_value"), "{error}");
    cache.set("k", &vec![0.5; 100], 60).await.unwrap();
}
