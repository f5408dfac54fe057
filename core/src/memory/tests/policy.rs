//! Who stays.

use super::*;

fn cache(max_entries: u64) -> MemoryCache<u64> {
    let (setup, _hand) = Setup::new();
    Setup { max_entries, ..setup }.build()
}

fn name(kind: &str, n: u64) -> String {
    format!("{kind} {n}")
}

fn kept(cache: &MemoryCache<u64>, kind: &str, count: u64) -> u64 {
    (0..count).filter(|n| cache.contains(name(kind, *n).as_str())).count() as u64
}

#[test]
fn one_hit_wonders_go_before_what_is_used_again() {
    let cache = cache(100);
    for n in 0..50 {
        cache.set(name("hot", n).as_str(), n, MINUTE).unwrap();
        assert_eq!(cache.get(name("hot", n).as_str()), Some(n));
    }
    for n in 0..10_000 {
        cache.set(name("once", n).as_str(), n, MINUTE).unwrap();
    }
    assert_eq!(kept(&cache, "hot", 50), 50);
    assert_eq!(cache.len(), 100);
}

#[test]
fn a_scan_does_not_wash_out_the_working_set() {
    let cache = cache(1000);
    let work = |round: u64| {
        let mut hits = 0;
        for n in 0..500 {
            let key = name("work", n);
            match cache.get(key.as_str()) {
                Some(_) => hits += 1,
                None => cache.set(key.as_str(), round, MINUTE).unwrap(),
            }
        }
        hits
    };
    work(0);
    work(1);
    for round in 2..50 {
        for n in 0..5000 {
            cache.set(name("scan", round * 5000 + n).as_str(), n, MINUTE).unwrap();
        }
        let hits = work(round);
        assert!(hits >= 490, "{hits} of 500 are left after scan {round}");
    }
}

#[test]
fn what_comes_back_soon_after_its_eviction_stays() {
    let cache = cache(100);
    for n in 0..150 {
        cache.set(name("first", n).as_str(), n, MINUTE).unwrap();
    }
    assert!(!cache.contains("first 111"), "evicted, and remembered");
    cache.set("first 111", 111, MINUTE).unwrap();
    for n in 0..1000 {
        cache.set(name("once", n).as_str(), n, MINUTE).unwrap();
    }
    assert!(cache.contains("first 111"));
}

#[test]
fn what_was_hot_once_makes_way_for_what_is_hot_now() {
    let cache = cache(100);
    for generation in ["old", "new"] {
        for _ in 0..5 {
            for n in 0..95 {
                let key = name(generation, n);
                if cache.get(key.as_str()).is_none() {
                    cache.set(key.as_str(), n, MINUTE).unwrap();
                }
            }
        }
    }
    assert!(kept(&cache, "new", 95) >= 80, "{} of 95 new ones are kept", kept(&cache, "new", 95));
}

#[test]
fn readers_cannot_keep_a_writer_from_evicting() {
    let cache = cache(8);
    for n in 0..8 {
        cache.set(name("hot", n).as_str(), n, MINUTE).unwrap();
    }
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    for n in 0..8 {
                        let _ = cache.get(name("hot", n).as_str());
                    }
                }
            });
        }
        for n in 0..20_000 {
            cache.set(name("new", n).as_str(), n, MINUTE).unwrap();
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(cache.len(), 8);
}

#[test]
fn with_many_shards_the_bound_is_that_of_the_whole() {
    for shards in [2, 8] {
        let (setup, _hand) = Setup::new();
        let weigher: Weigher<u64, String> = Box::new(|_, weight| *weight);
        let cache = Setup { max_bytes: 1 << 20, shards, weigher, ..setup }.build();
        for n in 0..20_000 {
            cache.set(name("small", n).as_str(), 100, MINUTE).unwrap();
            assert!(cache.weight() <= 1 << 20);
        }
        assert!(cache.weight() > (1 << 20) * 99 / 100, "the bound is used: {}", cache.weight());
        // Larger than any shard's part, but not than the whole.
        cache.set("giant", 1_000_000, MINUTE).unwrap();
        assert!(cache.contains("giant"));
        assert!(cache.weight() <= 1 << 20);
        // And the room comes back to all.
        for n in 0..20_000 {
            cache.set(name("again", n).as_str(), 100, MINUTE).unwrap();
        }
        assert!(!cache.contains("giant"));
        assert!(cache.weight() > (1 << 20) * 99 / 100, "the bound is used: {}", cache.weight());
    }
}
