//! Made-up request sequences, ten kinds, each from a fixed seed.

use scrubjay_bench_common::{Random, Zipf, scaled};

use crate::trace::{Builder, Trace};

/// Requests at SCALE=1.
const REQUESTS: usize = 3_000_000;
/// How many keys the Zipf distributions range over.
const KEYS: u32 = 1_000_000;
/// The keys of the loops.
const LOOP: u64 = 100_000;
/// Where keys begin that do not belong to the Zipf distribution.
const ELSEWHERE: u64 = 1 << 40;

/// The names of the kinds.
pub const KINDS: [&str; 10] = [
    "zipf-0.7",
    "zipf-0.9",
    "zipf-1.0",
    "zipf-1.2",
    "zipf-0.9-scans",
    "zipf-0.9-one-hit",
    "loop",
    "zipf-1.0-loop",
    "drift",
    "recency",
];

/// The sequence of that kind, shortened by `scale`.
pub fn make(kind: &str, scale: f64) -> Trace {
    let count = scaled(REQUESTS, scale, 1_000);
    let mut random = Random::new(0x5c2b_ba11);
    let keys: Box<dyn FnMut() -> u64> =
        match kind {
            "zipf-0.7" => zipf(0.7, random),
            "zipf-0.9" => zipf(0.9, random),
            "zipf-1.0" => zipf(1.0, random),
            "zipf-1.2" => zipf(1.2, random),
            "zipf-0.9-scans" => scans(random),
            "zipf-0.9-one-hit" => {
                let (zipf, mut once) = (Zipf::new(KEYS, 0.9), counter(ELSEWHERE));
                Box::new(move || if random.unit() < 0.5 { once() } else { popular(&zipf, &mut random) })
            }
            "loop" => {
                let mut number = counter(0);
                Box::new(move || number() % LOOP)
            }
            "zipf-1.0-loop" => {
                let (zipf, mut number) = (Zipf::new(KEYS, 1.0), counter(0));
                Box::new(move || {
                    if random.unit() < 0.5 { ELSEWHERE + number() % LOOP } else { popular(&zipf, &mut random) }
                })
            }
            "drift" => drift(random),
            "recency" => recency(random),
            _ => unreachable!("one of KINDS: {kind}"),
        };
    let mut builder = Builder::new(count);
    for key in std::iter::repeat_with(keys).take(count) {
        builder.push(key, 1).expect("as many as it was made for");
    }
    builder.finish(kind, false)
}

fn counter(from: u64) -> impl FnMut() -> u64 {
    let mut numbers = from..;
    move || numbers.next().expect("endless")
}

fn popular(zipf: &Zipf, random: &mut Random) -> u64 {
    u64::from(zipf.draw(random))
}

/// Independent draws.
fn zipf(exponent: f64, mut random: Random) -> Box<dyn FnMut() -> u64> {
    let zipf = Zipf::new(KEYS, exponent);
    Box::new(move || popular(&zipf, &mut random))
}

/// Zipf 0.9; 30 % of the requests belong to scans of 10,000 keys in a row, somewhere among a million that nobody
/// asks for otherwise.
fn scans(mut random: Random) -> Box<dyn FnMut() -> u64> {
    const LENGTH: u64 = 10_000;
    let zipf = Zipf::new(KEYS, 0.9);
    let (mut at, mut left) = (0, 0);
    Box::new(move || {
        if random.unit() >= 0.3 {
            return popular(&zipf, &mut random);
        }
        if left == 0 {
            at = ELSEWHERE + u64::from(random.below(KEYS));
            left = LENGTH;
        }
        at += 1;
        left -= 1;
        at
    })
}

/// Zipf 1.0 whose hottest key changes every 10 requests: popularity wanders through the keys.
fn drift(mut random: Random) -> Box<dyn FnMut() -> u64> {
    const EVERY: u64 = 10;
    let zipf = Zipf::new(KEYS, 1.0);
    let mut number = counter(0);
    Box::new(move || number() / EVERY + popular(&zipf, &mut random))
}

/// One request of five is for a new key; the others are for one of the newest, the newer the likelier.
fn recency(mut random: Random) -> Box<dyn FnMut() -> u64> {
    const NEW: f64 = 0.2;
    let age = Zipf::new(KEYS, 1.2);
    let mut newest = 0_u64;
    Box::new(move || {
        let old = newest.checked_sub(popular(&age, &mut random));
        old.filter(|_| random.unit() >= NEW).unwrap_or_else(|| {
            newest += 1;
            newest
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_the_same_each_time_and_has_repeats() {
        for kind in KINDS {
            let (one, other) = (make(kind, 0.002), make(kind, 0.002));
            assert_eq!(one.requests, other.requests, "{kind}");
            assert_eq!(one.requests.len(), 6_000, "{kind}");
            assert!(kind == "loop" || one.keys < 6_000, "{kind}");
        }
    }
}
