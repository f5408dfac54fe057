//! Plays traces against caches.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::belady;
use crate::policies::{BELADY, POLICIES, Room, policy};
use crate::trace::Trace;

/// One trace at one size.
pub struct Case<'a> {
    pub trace: &'a Trace,
    pub size: Size,
    pub room: Room,
}

/// A share of the footprint.
#[derive(Clone, Debug, PartialEq)]
pub struct Size {
    pub percent: f64,
    /// As the user wrote it.
    pub text: String,
}

impl<'a> Case<'a> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a count"
    )]
    pub fn new(trace: &'a Trace, size: Size) -> Self {
        let capacity = ((trace.footprint() as f64 * size.percent / 100.0).round() as u64).max(1);
        let room = Room { capacity, entries: trace.entries_in(capacity), sized: trace.sizes.is_some() };
        Case { trace, size, room }
    }

    pub fn name(&self) -> String {
        format!("{}@{}", self.trace.name, self.size.text)
    }
}

/// The hit ratio of the policy `name`, from 0 to 1; the mean of `repeats`.
fn hit_ratio(case: &Case<'_>, name: &str, repeats: usize) -> f64 {
    let repeats = if REPEATED.contains(&name) { repeats } else { 1 };
    let hits: u64 = (0..repeats)
        .map(|_| if name == BELADY { belady::hits(case.trace, case.room.capacity) } else { play(case, name) })
        .sum();
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
    let ratio = hits as f64 / (case.trace.requests.len() * repeats) as f64;
    ratio
}

/// Those whose result differs from run to run, because their hash tables are keyed per process.
const REPEATED: [&str; 1] = ["scrubjay"];

fn play(case: &Case<'_>, name: &str) -> u64 {
    let mut cache = policy(name, case.room);
    let mut hits = 0;
    for &key in &case.trace.requests {
        if cache.get(key) {
            hits += 1;
            continue;
        }
        let size = case.trace.size(key);
        // What cannot fit is kept from every cache alike; some would empty themselves for it.
        if u64::from(size) <= case.room.capacity {
            cache.put(key, size);
        }
    }
    hits
}

/// The subjects, in the order of the columns.
pub fn subjects() -> impl Iterator<Item = &'static str> {
    POLICIES.into_iter().chain([BELADY])
}

/// What one case gave: the ratio of each subject.
pub struct Outcome {
    pub case: String,
    pub trace: String,
    pub size: Size,
    /// How many entries fit.
    pub entries: u64,
    pub ratios: Vec<f64>,
}

/// Plays every case against every subject, `jobs` replays at a time; each replay runs in one thread.
pub fn run(cases: &[Case<'_>], jobs: usize, repeats: usize) -> Vec<Outcome> {
    let names: Vec<&str> = subjects().collect();
    let ratios: Vec<Mutex<Vec<f64>>> = cases.iter().map(|_| Mutex::new(vec![f64::NAN; names.len()])).collect();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let (case, subject) = (number / names.len(), number % names.len());
                    let Some(results) = ratios.get(case) else { break };
                    let ratio = hit_ratio(&cases[case], names[subject], repeats);
                    results.lock().expect("no replay panicked")[subject] = ratio;
                }
            });
        }
    });
    let outcome = |(case, ratios): (&Case<'_>, Mutex<Vec<f64>>)| Outcome {
        case: case.name(),
        trace: case.trace.name.clone(),
        size: case.size.clone(),
        entries: case.room.entries,
        ratios: ratios.into_inner().expect("no replay panicked"),
    };
    cases.iter().zip(ratios).map(outcome).collect()
}
