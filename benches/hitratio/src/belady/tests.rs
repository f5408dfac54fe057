//! The optimum against brute force on small random traces.

use std::collections::HashMap;

use scrubjay_bench_common::Random;

use super::hits;
use crate::trace::{Builder, Trace};

fn random_trace(random: &mut Random, sized: bool) -> Trace {
    let mut builder = Builder::new(16);
    let keys = 2 + random.below(5);
    let sizes: Vec<u32> = (0..keys).map(|_| if sized { 1 + random.below(4) } else { 1 }).collect();
    for _ in 0..14 {
        let key = random.below(keys);
        builder.push(u64::from(key), sizes[key as usize]).unwrap();
    }
    builder.finish("random", sized)
}

/// The most hits of any sequence of decisions: whether to take the newcomer in, and who leaves.
fn brute_force(trace: &Trace, capacity: u64) -> u64 {
    fn from(trace: &Trace, capacity: u64, at: usize, held: u32, known: &mut HashMap<(usize, u32), u64>) -> u64 {
        let Some(&key) = trace.requests.get(at) else { return 0 };
        if let Some(best) = known.get(&(at, held)) {
            return *best;
        }
        let hit = held & (1 << key) != 0;
        let all = held | (1 << key);
        let mut best = 0;
        // Any part of what is at hand may stay that fits.
        let mut kept = all;
        loop {
            let bytes: u64 =
                (0..trace.keys).filter(|key| kept & (1 << key) != 0).map(|key| u64::from(trace.size(key))).sum();
            if bytes <= capacity {
                best = best.max(from(trace, capacity, at + 1, kept, known));
            }
            if kept == 0 {
                break;
            }
            kept = (kept - 1) & all;
        }
        let best = best + u64::from(hit);
        known.insert((at, held), best);
        best
    }
    from(trace, capacity, 0, 0, &mut HashMap::new())
}

#[test]
fn without_sizes_it_is_the_optimum() {
    let mut random = Random::new(11);
    for _ in 0..300 {
        let trace = random_trace(&mut random, false);
        let capacity = 1 + u64::from(random.below(4));
        assert_eq!(hits(&trace, capacity), brute_force(&trace, capacity), "{:?} in {capacity}", trace.requests);
    }
}

#[test]
fn with_sizes_it_comes_close_and_never_above() {
    let mut random = Random::new(12);
    let (mut reached, mut possible) = (0, 0);
    for _ in 0..300 {
        let trace = random_trace(&mut random, true);
        let capacity = 1 + u64::from(random.below(8));
        let (ours, best) = (hits(&trace, capacity), brute_force(&trace, capacity));
        assert!(ours <= best, "{:?} {:?} in {capacity}: {ours} of {best}", trace.requests, trace.sizes);
        reached += ours;
        possible += best;
    }
    assert!(reached * 100 >= possible * 95, "{reached} of {possible} hits");
}

#[test]
fn a_sample_of_many_residents_is_as_good_as_all() {
    // Objects of one size: the approximation by samples against the exact optimum.
    let mut random = Random::new(13);
    let (mut sized, mut plain) = (Builder::new(20_000), Builder::new(20_000));
    for _ in 0..20_000 {
        let key = u64::from(random.below(2_000).min(random.below(2_000)));
        sized.push(key, 10).unwrap();
        plain.push(key, 1).unwrap();
    }
    let sized = hits(&sized.finish("sized", true), 5_000);
    let exact = hits(&plain.finish("plain", false), 500);
    assert!(sized <= exact && sized * 100 >= exact * 97, "{sized} of {exact}");
}
