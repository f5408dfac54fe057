//! Single calls and what they promise.

use super::super::record::Record;
use super::*;
use crate::error::ErrorKind;

#[test]
fn set_get_remove_contains_clear() {
    let cache: MemoryCache<u32> = MemoryCache::new();
    assert!(cache.is_empty());
    cache.set("a", 1, MINUTE).unwrap();
    cache.set("b", 2, MINUTE).unwrap();
    assert_eq!(cache.get("a"), Some(1));
    assert_eq!(cache.get_with("b", |value| value + 1), Some(3));
    assert!(cache.contains("a") && !cache.contains("c"));
    assert_eq!(cache.len(), 2);
    assert_eq!(cache.remove("a"), Some(1));
    assert_eq!(cache.remove("a"), None);
    assert_eq!(cache.get("a"), None);
    cache.clear();
    assert_eq!((cache.get("b"), cache.len(), cache.weight()), (None, 0, 0));
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses, stats.evictions, stats.expired), (2, 2, 0, 0));
}

#[test]
fn keys_of_other_types() {
    let bytes: MemoryCache<u8, Vec<u8>> = MemoryCache::new();
    bytes.set(&b"\0k"[..], 7, MINUTE).unwrap();
    assert_eq!(bytes.get(&b"\0k"[..]), Some(7));
    let pairs: MemoryCache<u8, (u32, u32)> = MemoryCache::builder().max_entries(10).build();
    pairs.set(&(1, 2), 7, MINUTE).unwrap();
    assert_eq!(pairs.get(&(1, 2)), Some(7));
    assert_eq!(pairs.get(&(2, 1)), None);
}

#[test]
fn a_clone_is_a_handle_to_the_same_entries() {
    let cache = MemoryCache::new();
    cache.clone().set("a", 1, MINUTE).unwrap();
    assert_eq!(cache.get("a"), Some(1));
}

#[test]
fn ttl_limits() {
    let cache: MemoryCache<u32> = MemoryCache::new();
    let year = Duration::from_secs(365 * 24 * 3600);
    for ttl in [Duration::ZERO, Duration::from_micros(999), year + Duration::from_nanos(1), Duration::MAX] {
        let error = cache.set("a", 1, ttl).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidOption);
        assert!(error.message().contains("ttl") && error.message().contains("365 days"), "{error}");
    }
    assert!(cache.is_empty());
    cache.set("a", 1, year).unwrap();
    let (clock, hand) = Clock::manual();
    let cache = MemoryCache::builder().clock(clock).build();
    cache.set("a", 1, Duration::from_millis(1)).unwrap();
    assert_eq!(cache.get("a"), Some(1));
    hand.advance(Duration::from_millis(1));
    assert_eq!(cache.get("a"), None);
}

#[test]
fn what_is_expired_is_gone_for_every_call_before_it_is_collected() {
    let (clock, hand) = Clock::manual();
    let cache = MemoryCache::builder().clock(clock).build();
    for key in ["get", "get_with", "contains", "remove"] {
        cache.set(key, 1, Duration::from_secs(1)).unwrap();
    }
    hand.advance(Duration::from_secs(1));
    assert!(!cache.contains("contains"));
    assert_eq!(cache.get("get"), None);
    assert_eq!(cache.get_with("get_with", |value| *value), None);
    assert_eq!(cache.remove("remove"), None);
}

#[test]
fn an_entry_larger_than_the_bound_is_not_stored_and_the_old_one_is_gone() {
    let (log, listener) = log();
    let (setup, _hand) = Setup::<String>::new();
    let cache = Setup {
        max_bytes: 1000,
        weigher: Box::new(|_, value: &String| value.len() as u64),
        listener: Some(listener),
        ..setup
    }
    .build();
    cache.set("k", "small".to_owned(), MINUTE).unwrap();
    assert_eq!(cache.len(), 1);
    let large = "x".repeat(1000);
    cache.set("k", large.clone(), MINUTE).unwrap();
    assert_eq!((cache.get("k"), cache.len(), cache.weight()), (None, 0, 0));
    let expected = [
        ("k".to_owned(), "small".to_owned(), EvictReason::Replaced),
        ("k".to_owned(), large, EvictReason::Capacity),
    ];
    assert_eq!(*log.lock().unwrap(), expected);
    assert_eq!(cache.stats().evictions, 1);
}

#[test]
fn a_weigher_may_say_anything() {
    let cache = MemoryCache::builder().max_bytes(1 << 20).weigher(|_: &String, weight: &u64| *weight).build();
    cache.set("a", u64::MAX, MINUTE).unwrap();
    assert_eq!(cache.get("a"), None);
    cache.set("a", 0, MINUTE).unwrap();
    assert_eq!(cache.get("a"), Some(0));
}

#[test]
fn an_empty_bound_stores_nothing() {
    for cache in [MemoryCache::builder().max_bytes(0).build(), MemoryCache::builder().max_entries(0).build()] {
        cache.set("a", 1, MINUTE).unwrap();
        assert_eq!((cache.get("a"), cache.len(), cache.weight()), (None, 0, 0));
    }
}

#[test]
fn set_until_a_moment_that_has_passed_stores_nothing_and_takes_the_old_one() {
    let (log, listener) = log();
    let (setup, hand) = Setup::new();
    hand.advance(Duration::from_millis(99));
    let cache = Setup { listener: Some(listener), ..setup }.build();
    assert!(cache.set_until("a", 1, 101));
    assert_eq!(cache.get("a"), Some(1));
    assert!(!cache.set_until("a", 2, 100));
    assert_eq!(cache.get("a"), None);
    let expected = [("a".to_owned(), 1, EvictReason::Replaced), ("a".to_owned(), 2, EvictReason::Expired)];
    assert_eq!(*log.lock().unwrap(), expected);
    assert!(cache.set_until("for ever", 3, u64::MAX));
    hand.advance(Duration::from_secs(1 << 40));
    assert_eq!(cache.get("for ever"), Some(3));
}

#[test]
fn keys_values_and_overhead_are_charged() {
    let overhead = Record::<String, String>::weight_with(0);
    let cache = MemoryCache::new();
    cache.set("four", "12345678".to_owned(), MINUTE).unwrap();
    assert_eq!(cache.weight(), overhead + 4 + 8);
    cache.set("four", "1".to_owned(), MINUTE).unwrap();
    assert_eq!(cache.weight(), overhead + 4 + 1);
    let arcs: MemoryCache<Arc<[u8]>> = MemoryCache::new();
    arcs.set("", Arc::from([0; 100]), MINUTE).unwrap();
    assert_eq!(arcs.weight(), Record::<Arc<[u8]>, String>::weight_with(100));
}

#[test]
fn the_listener_hears_every_reason() {
    let (log, listener) = log();
    let (setup, hand) = Setup::new();
    let cache = Setup { max_entries: 2, listener: Some(listener), ..setup }.build();
    cache.set("a", 1, MINUTE).unwrap();
    cache.set("a", 2, MINUTE).unwrap();
    assert_eq!(cache.remove("a"), Some(2));
    for (key, value) in [("b", 3), ("c", 4), ("d", 5)] {
        cache.set(key, value, MINUTE).unwrap();
    }
    cache.clear();
    cache.set("e", 6, MINUTE).unwrap();
    hand.advance(MINUTE);
    assert_eq!(cache.get("e"), None);
    wait_until("the listener heard of e", || log.lock().unwrap().len() == 6);
    let mut heard = log.lock().unwrap().clone();
    heard[3..5].sort_by_key(|(_, value, _)| *value);
    let expected = [
        ("a".to_owned(), 1, EvictReason::Replaced),
        ("a".to_owned(), 2, EvictReason::Removed),
        ("b".to_owned(), 3, EvictReason::Capacity),
        ("c".to_owned(), 4, EvictReason::Cleared),
        ("d".to_owned(), 5, EvictReason::Cleared),
        ("e".to_owned(), 6, EvictReason::Expired),
    ];
    assert_eq!(heard, expected);
}

#[test]
fn what_is_dead_has_expired_whatever_took_it_out() {
    let (log, listener) = log();
    let (setup, hand) = Setup::new();
    let cache = Setup { max_entries: 1, listener: Some(listener), ..setup }.build();
    let second = Duration::from_secs(1);
    let take: [fn(&MemoryCache<u32>); 5] = [
        |cache| cache.set("a", 2, MINUTE).unwrap(),
        |cache| cache.set("b", 2, MINUTE).unwrap(),
        |cache| assert_eq!(cache.remove("a"), None),
        |cache| cache.clear(),
        |cache| assert_eq!(cache.get("a"), None),
    ];
    for (round, take) in (1..).zip(take) {
        cache.set("a", 1, second).unwrap();
        hand.advance(second);
        take(&cache);
        let first = |log: &Log<u32>| log.lock().unwrap().iter().find(|(_, value, _)| *value == 1).cloned();
        wait_until("somebody told the listener", || first(&log).is_some());
        assert_eq!(first(&log), Some(("a".to_owned(), 1, EvictReason::Expired)));
        assert_eq!(cache.stats().expired, round);
        cache.clear();
        log.lock().unwrap().clear();
    }
}

#[test]
fn debug_shows_no_contents() {
    let cache = MemoryCache::builder().max_entries(5).build();
    cache.set("secret", "value".to_owned(), MINUTE).unwrap();
    let shown = format!("{cache:?}");
    assert!(shown.contains("entries: 1") && !shown.contains("secret"), "{shown}");
}
