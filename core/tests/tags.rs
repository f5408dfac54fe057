//! Tags over memory, as a Rust user sees them.

use std::collections::HashMap;

use scrubjay::{CacheService, CachedOptions, Error, ErrorKind, Fetched, SetOptions, cached};

fn tagged(tags: &[&str]) -> SetOptions {
    SetOptions::new().ttl(60).tags(tags.iter().copied())
}

#[tokio::test]
async fn tags_end_entries_of_memory() {
    let cache = CacheService::new("memory://", "").unwrap();
    cache.set("a", &1, tagged(&["x", "y"])).await.unwrap();
    cache.set_many([("b", &2), ("c", &3)], tagged(&["y"])).await.unwrap();
    cache.set("d", &4, tagged(&["z"])).await.unwrap();
    // Replaced by one that has other tags, and by one that has none.
    cache.set("c", &5, tagged(&["z"])).await.unwrap();
    cache.set("d", &6, 60).await.unwrap();
    let loaded = cache.get_or_fetch("e", tagged(&["x"]), || async { Ok::<_, Error>(7) }).await.unwrap();
    assert_eq!(loaded, 7);
    let found = async || cache.get_many::<i32>(&["a", "b", "c", "d", "e"]).await.unwrap();
    assert_eq!(found().await.len(), 5);
    cache.invalidate_tags(&["x"]).await.unwrap();
    assert_eq!(found().await, HashMap::from([("b".to_owned(), 2), ("c".to_owned(), 5), ("d".to_owned(), 6)]));
    cache.invalidate_tags(&["y", "nobody's"]).await.unwrap();
    assert_eq!(found().await, HashMap::from([("c".to_owned(), 5), ("d".to_owned(), 6)]));
    cache.invalidate_tags(&["z"]).await.unwrap();
    assert_eq!(found().await, HashMap::from([("d".to_owned(), 6)]));
    assert_eq!(cache.stats().invalidations, 4);
}

#[tokio::test]
async fn a_tag_that_was_invalidated_during_the_load_keeps_it_out_of_memory() {
    let cache = CacheService::new("memory://", "").unwrap();
    let fetch = || async {
        cache.invalidate_tags(&["of the call"]).await.unwrap();
        Ok::<_, Error>(1)
    };
    assert_eq!(cache.get_or_fetch("a", tagged(&["of the call"]), fetch).await.unwrap(), 1);
    let fetch = || async {
        cache.invalidate_tags(&["of the value"]).await.unwrap();
        Ok::<_, Error>(Fetched::new(2).tags(["of the value"]))
    };
    assert_eq!(cache.get_or_fetch_with("b", 60, fetch).await.unwrap(), 2);
    let fetch = || async {
        cache.invalidate_tags(&["of another one"]).await.unwrap();
        Ok::<_, Error>(Fetched::new(3).tags(["of the value"]))
    };
    assert_eq!(cache.get_or_fetch_with("c", 60, fetch).await.unwrap(), 3);
    let found = cache.get_many::<i32>(&["a", "b", "c"]).await.unwrap();
    assert_eq!(found, HashMap::from([("c".to_owned(), 3)]));
}

#[tokio::test]
async fn what_is_not_found_has_its_tags_too() {
    let cache = CacheService::new("memory://", "").unwrap();
    let nothing = || async { Err::<i32, _>(Error::not_found()) };
    let error = cache.get_or_fetch("a", tagged(&["t"]), nothing).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    cache.invalidate_tags(&["t"]).await.unwrap();
    assert_eq!(cache.get_or_fetch("a", 60, || async { Ok::<_, Error>(1) }).await.unwrap(), 1);
}

#[tokio::test]
async fn too_many_and_wrong_tags_are_refused() {
    let cache = CacheService::new("memory://", "").unwrap();
    let many: Vec<String> = (0..17).map(|n| n.to_string()).collect();
    let long = "x".repeat(129);
    for tags in [many.clone(), vec![String::new()], vec![long.clone()]] {
        let options = SetOptions::new().tags(tags.clone());
        let fetch = || async { Ok::<_, Error>(1) };
        for error in [
            cache.set("k", &1, options.clone()).await.unwrap_err(),
            cache.get_or_fetch("k", options, fetch).await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::InvalidOption);
            assert!(error.message().contains("tags"), "{error}");
        }
    }
    for tag in ["", &long] {
        assert_eq!(cache.invalidate_tags(&[tag]).await.unwrap_err().kind(), ErrorKind::InvalidOption);
    }
    assert_eq!(cache.get::<i32>("k").await.unwrap(), None);
    let cache = CacheService::builder().max_tags(17_usize).build().unwrap();
    cache.set("k", &1, SetOptions::new().tags(many)).await.unwrap();
    assert!(CacheService::builder().max_tags(65_usize).build().is_err());
}

#[tokio::test]
async fn functions_have_tags_from_their_arguments() {
    let cache = CacheService::new("memory://", "").unwrap();
    let options = CachedOptions::new("user:{id}").tags(["users", "team:{team}"]);
    let user = cached(&cache, options, |user: serde_json::Value| async move {
        Ok::<_, Error>(user["team"].as_u64().unwrap_or_default())
    });
    let argument = |team: u64| serde_json::json!({"id": 7, "team": team});
    assert_eq!(user.get_tags(&argument(3)).unwrap(), ["users", "team:3"]);
    for tag in ["users", "team:3"] {
        assert_eq!(user.call(argument(3)).await.unwrap(), 3);
        assert_eq!(cache.get::<u64>("user:7").await.unwrap(), Some(3));
        cache.invalidate_tags(&[tag]).await.unwrap();
        assert_eq!(cache.get::<u64>("user:7").await.unwrap(), None, "{tag}");
    }
    let wrong = cached(&cache, CachedOptions::named("f").tags(["{"]), |n: u64| async move { Ok::<_, Error>(n) });
    assert!(wrong.call(1).await.unwrap_err().message().contains("tags"));
    let adaptive =
        cached(
            &cache,
            CachedOptions::named("g"),
            |n: u64| async move { Ok::<_, Error>(Fetched::new(n).tags(["g"])) },
        );
    assert_eq!(adaptive.call_with(1).await.unwrap(), 1);
}
