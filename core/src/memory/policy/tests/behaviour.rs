//! What each setting is for, and that it is found.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

fn random() -> StdRng {
    StdRng::seed_from_u64(7)
}

/// Keys of which few are asked for often: ranks under a power law.
fn popular(random: &mut StdRng, keys: u64) -> u64 {
    let exponent: f64 = random.random();
    (keys as f64).powf(exponent) as u64
}

#[test]
fn a_loop_larger_than_the_cache_keeps_a_part_of_it() {
    for capacity in [10, 100, 1000, 8000] {
        let mut cache = Cache::of_entries(capacity);
        let keys = capacity * 10;
        let percent = cache.play((0..keys * 20).map(|n| n % keys));
        assert!(percent >= 7, "{percent} % of 9.5 are hits with {capacity} entries");
    }
}

#[test]
fn another_loop_is_learned_after_the_first() {
    let mut cache = Cache::of_entries(200);
    cache.play((0..40_000).map(|n| n % 2000));
    cache.play((0..400_000).map(|n| 10_000 + n % 2000));
    let percent = cache.play((0..40_000).map(|n| 10_000 + n % 2000));
    assert!(percent >= 4, "{percent} % of 10 are hits in the second loop");
}

#[test]
fn scans_pass_through() {
    for capacity in [100, 5000] {
        let mut cache = Cache::of_entries(capacity);
        let mut random = random();
        let (mut hits, mut all, mut scan) = (0, 0, 1 << 32);
        for round in 0..60 {
            for _ in 0..capacity * 2 {
                let hit = cache.access(random.random_range(0..capacity / 2), 1);
                if round > 5 {
                    (hits, all) = (hits + u64::from(hit), all + 1);
                }
            }
            for _ in 0..capacity * 2 {
                scan += 1;
                cache.access(scan, 1);
            }
        }
        assert!(hits * 100 >= all * 95, "{hits} of {all} are hits between scans with {capacity} entries");
    }
}

#[test]
fn a_drifting_working_set_is_followed() {
    for capacity in [200, 4000] {
        let mut cache = Cache::of_entries(capacity);
        let mut random = random();
        // Each key lives for a while near the front, as in a feed.
        let mut front = 0;
        let keys = (0..capacity * 100).map(|n| {
            front = 1_000_000 + n / 4;
            front - popular(&mut random, capacity * 2)
        });
        let percent = cache.play(keys.collect::<Vec<_>>());
        assert!(percent >= 55, "{percent} % are hits with {capacity} entries");
    }
}

#[test]
fn what_is_popular_stays_among_what_is_asked_for_once() {
    let mut cache = Cache::of_entries(500);
    let mut random = random();
    let mut once = 1 << 32;
    let mut hits = [0; 2];
    for n in 0..200_000 {
        if n % 2 == 0 {
            once += 1;
            cache.access(once, 1);
        } else {
            hits[usize::from(n > 100_000)] += u64::from(cache.access(popular(&mut random, 100_000), 1));
        }
    }
    // The 500 most popular have 54 % of the requests.
    assert!(hits[1] * 100 / 50_000 >= 46, "{hits:?} of 50,000 each");
}

#[test]
fn a_bound_in_bytes_is_learned_from() {
    let mut cache = Cache::new(u64::MAX, 1 << 20);
    let keys = 10_000;
    let (mut hits, mut all) = (0, 0);
    for n in 0..keys * 30 {
        let weight = 512 + hash(n % keys) % 1024;
        hits += u64::from(cache.access(n % keys, weight));
        all += 1;
        assert!(cache.policy.weight() <= 1 << 20);
    }
    assert!(hits * 100 / all >= 7, "{hits} of {all} are hits in a loop of ten times the bound");
}

#[test]
fn where_everything_is_a_hit_nothing_is_simulated() {
    let mut cache = Cache::of_entries(100);
    cache.play((0..100).chain((0..20_000).map(|n| n % 100)));
    assert!((0..100).all(|key| !cache.tuning.is_sampled(hash(key))));
    // And it begins again with the next insert.
    cache.access(1000, 1);
    assert!((0..100).all(|key| cache.tuning.is_sampled(hash(key))));
}

#[test]
fn of_a_large_cache_a_sample_is_simulated() {
    let mut cache = Cache::of_entries(100_000);
    cache.play(0..100_000);
    let sampled = (0..100_000).filter(|key| cache.tuning.is_sampled(hash(*key))).count();
    assert!((1000..2500).contains(&sampled), "{sampled} of 100,000 keys");
}

#[test]
fn the_same_sequence_gives_the_same_result() {
    let run = || {
        let mut cache = Cache::of_entries(300);
        let mut random = random();
        cache.play((0..100_000).map(|_| popular(&mut random, 20_000)).collect::<Vec<_>>());
        let mut held: Vec<u64> = cache.slots.keys().copied().collect();
        held.sort_unstable();
        held
    };
    assert_eq!(run(), run());
}
