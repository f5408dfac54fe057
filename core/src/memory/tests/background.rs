//! Expiry without a read, by the machine's clock and the thread of the process.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

#[test]
fn memory_of_expired_entries_comes_back_without_a_read() {
    let cache = MemoryCache::new();
    // Twice: the second time the cache has been forgotten by the ticker, and registers again.
    for round in 1..=2 {
        let value = Arc::new(());
        for n in 0..1000 {
            cache.set(format!("{n}").as_str(), value.clone(), Duration::from_millis(20)).unwrap();
        }
        wait_until("all entries are collected", || cache.is_empty());
        wait_until("all values are dropped", || Arc::strong_count(&value) == 1);
        assert_eq!((cache.weight(), cache.stats().expired), (0, round * 1000));
    }
}

#[test]
fn collection_takes_what_is_dead_and_leaves_what_lives() {
    let (setup, hand) = Setup::new();
    let cache = Setup { shards: 4, ..setup }.build();
    for n in 0..1000_u64 {
        cache.set(format!("{n}").as_str(), n, Duration::from_millis(1000 * (n + 1))).unwrap();
    }
    hand.advance(Duration::from_millis(500_100));
    wait_until("half is collected", || {
        cache.store.remove_expired(7);
        cache.len() == 500
    });
    cache.store.remove_expired(usize::MAX);
    assert_eq!(cache.len(), 500);
    assert!((500..1000).all(|n| cache.get(format!("{n}").as_str()) == Some(n)));
}

#[test]
fn a_panic_of_a_listener_does_not_end_collection() {
    let panicky = MemoryCache::builder()
        .on_evict(|_: &String, _: &u32, reason| {
            assert_ne!(reason, EvictReason::Expired, "the listener's own panic")
        })
        .build();
    panicky.set("a", 1, Duration::from_millis(1)).unwrap();
    wait_until("the panic has come and gone", || panicky.is_empty());
    let heard = Arc::new(AtomicU64::new(0));
    let ours = heard.clone();
    let other = MemoryCache::builder()
        .on_evict(move |_: &String, _: &u32, _| {
            ours.fetch_add(1, Ordering::Relaxed);
        })
        .build();
    other.set("a", 1, Duration::from_millis(1)).unwrap();
    wait_until("another cache is collected", || heard.load(Ordering::Relaxed) == 1);
    panicky.set("b", 1, Duration::from_millis(1)).unwrap();
    wait_until("this one is, too", || panicky.is_empty());
}

#[test]
fn a_dropped_cache_drops_its_values() {
    let value = Arc::new(());
    let cache = MemoryCache::new();
    cache.set("a", value.clone(), MINUTE).unwrap();
    drop(cache);
    // The ticker may be looking at it this moment.
    wait_until("the value is dropped", || Arc::strong_count(&value) == 1);
}
