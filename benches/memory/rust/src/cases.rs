//! The cases, and how their rounds are interleaved.

use scrubjay_bench_common::{Random, Record, Zipf};

use crate::measure::{Subject, Timing};
use scrubjay_bench_memory::subjects::{
    Cache, DashMap, Foyer, FoyerTtl, MokaTtl, MutexLru, QuickCache, QuickCacheTtl, Scrubjay,
};
use scrubjay_bench_memory::workload::{Key, Plan, Value, value};

/// Makes a subject of at most so many entries.
pub type Open = fn(u32) -> Box<dyn Subject>;

/// The subjects asked for, by their names in SUBJECTS; every one, ours first, where that is not set.
pub fn chosen() -> Vec<(&'static str, Open)> {
    let chosen = std::env::var("SUBJECTS").unwrap_or_default();
    let is_chosen = |name: &str| chosen.is_empty() || chosen.split_whitespace().any(|other| other == name);
    all().into_iter().filter(|(name, _)| is_chosen(name)).collect()
}

/// Every subject, ours first.
pub fn all() -> Vec<(&'static str, Open)> {
    fn subject<C: Cache + 'static>() -> (&'static str, Open) {
        (C::NAME, |entries| Box::new(C::open(entries)))
    }
    vec![
        subject::<Scrubjay>(),
        subject::<QuickCacheTtl>(),
        subject::<QuickCache>(),
        subject::<MokaTtl>(),
        subject::<DashMap>(),
        subject::<Foyer>(),
        subject::<FoyerTtl>(),
        subject::<MutexLru>(),
    ]
}

/// All subjects, with room for a quarter more than `keys` and filled with these, so that sharded caches too hold
/// them all.
fn filled(keys: u32) -> Vec<Box<dyn Subject>> {
    let numbers = Plan::fill_order(keys);
    chosen()
        .into_iter()
        .map(|(_, open)| {
            let subject = open(keys + keys / 4);
            subject.fill(&numbers);
            subject
        })
        .collect()
}

/// Measures every subject in every round, each round beginning with another, and records the medians.
fn rounds(
    case: &str,
    plan: &Plan,
    subjects: &[Box<dyn Subject>],
    records: &mut Vec<Record>,
    mut measure: impl FnMut(&dyn Subject, usize) -> f64,
) {
    record(case, "ns", plan, subjects, records, &mut measure);
}

fn record(
    case: &str,
    metric: &'static str,
    plan: &Plan,
    subjects: &[Box<dyn Subject>],
    records: &mut Vec<Record>,
    measure: &mut dyn FnMut(&dyn Subject, usize) -> f64,
) {
    let mut figures = vec![Vec::new(); subjects.len()];
    for round in 0..plan.rounds {
        for turn in 0..subjects.len() {
            let number = (round + turn) % subjects.len();
            figures[number].push(measure(&*subjects[number], round));
        }
    }
    for (subject, of_rounds) in subjects.iter().zip(figures) {
        records.push(Record {
            case: format!("rust/{case}"),
            subject: subject.name().into(),
            metric,
            value: median(&of_rounds),
            unit: "ns",
            repeats: of_rounds.len(),
        });
    }
}

pub fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Reads of what is held, and of what is not.
pub fn reads(plan: &Plan, records: &mut Vec<Record>) {
    let zipf = Zipf::new(plan.keys, 0.99);
    let draws = [plan.zipf(&zipf, 1), plan.zipf(&zipf, 2)];
    let subjects = filled(plan.keys);
    hits("get-zipf-1t", plan, &subjects, records, &draws[..1]);
    hits("get-zipf-2t", plan, &subjects, records, &draws);
    let clock = clock_ns();
    record("get-zipf-1t", "p99_ns", plan, &subjects, records, &mut |subject, _| {
        let mut times = subject.single_gets(&draws[0][..draws[0].len() / 4]);
        let at = times.len() * 99 / 100;
        let (_, p99, _) = times.select_nth_unstable(at);
        ns(p99.saturating_sub(clock))
    });
    let misses = [plan.fresh(plan.operations, 0)];
    rounds("get-miss-1t", plan, &subjects, records, |subject, _| {
        let Timing { ns, hits } = subject.gets(&misses);
        assert_eq!(hits, 0, "{}: a hit for a key that was never put in", subject.name());
        ns
    });
    drop(subjects);

    let draws = [plan.uniform(plan.few, 1), plan.uniform(plan.few, 2)];
    let subjects = filled(plan.few);
    hits("get-uniform-1t", plan, &subjects, records, &draws[..1]);
    hits("get-uniform-2t", plan, &subjects, records, &draws);
}

/// Reads that all hit.
fn hits(case: &str, plan: &Plan, subjects: &[Box<dyn Subject>], records: &mut Vec<Record>, draws: &[Vec<Key>]) {
    let asked: usize = draws.iter().map(Vec::len).sum();
    rounds(case, plan, subjects, records, |subject, round| {
        let Timing { ns, hits } = subject.gets(draws);
        assert_eq!(hits, asked, "{}: a key that was put in is missing", subject.name());
        subject.check(&sample(&draws[0], round));
        ns
    });
}

/// The bounded subjects, filled to the bound.
fn full(plan: &Plan) -> Vec<Box<dyn Subject>> {
    let numbers = Plan::fill_order(plan.keys);
    let subjects = chosen().into_iter().map(|(_, open)| open(plan.keys)).filter(|subject| subject.bounded());
    subjects.inspect(|subject| subject.fill(&numbers)).collect()
}

/// Writes to full caches.
pub fn writes(plan: &Plan, records: &mut Vec<Record>) {
    let subjects = full(plan);
    rounds("insert-evict-1t", plan, &subjects, records, |subject, round| {
        let keys = plan.fresh(plan.operations, seed(round));
        let Timing { ns, .. } = subject.puts(with_values(&keys));
        check_bound(subject, plan);
        subject.check(&sample(&keys, round));
        ns
    });
    drop(subjects);

    let zipf = Zipf::new(plan.keys, 0.99);
    let draws = plan.zipf(&zipf, 3);
    let inserts = draws.len() / 10;
    let reads = &draws[..inserts * 9];
    let subjects = full(plan);
    for subject in &subjects {
        // What is popular is known when the inserts come.
        subject.check(&draws);
    }
    rounds("mix-1t", plan, &subjects, records, |subject, round| {
        let keys = plan.fresh(inserts, seed(plan.rounds + round));
        let Timing { ns, hits } = subject.mix(reads, with_values(&keys));
        assert!(hits > reads.len() / 2, "{}: {hits} hits of {} reads", subject.name(), reads.len());
        check_bound(subject, plan);
        subject.check(&sample(reads, round));
        ns
    });
}

fn seed(round: usize) -> u32 {
    1 + u32::try_from(round).unwrap_or(0)
}

/// Peers with a bound for each shard may be over the whole by a few.
fn check_bound(subject: &dyn Subject, plan: &Plan) {
    let (held, most) = (subject.len(), plan.keys as usize);
    assert!(held <= most + most / 1_000, "{}: {held} entries, {most} allowed", subject.name());
    assert!(held >= most / 2, "{}: {held} entries, room for {most}", subject.name());
}

fn with_values(keys: &[Key]) -> Vec<(Key, Value)> {
    keys.iter().map(|key| (*key, value(key))).collect()
}

/// Some of `keys`, others each round.
fn sample(keys: &[Key], round: usize) -> Vec<Key> {
    let mut random = Random::new(round as u64);
    let count = u32::try_from(keys.len()).unwrap_or(u32::MAX);
    (0..2_000).map(|_| keys[random.below(count) as usize]).collect()
}

/// What one look at the clock takes: it is part of every single time.
fn clock_ns() -> u64 {
    let looks = 10_001;
    let mut times: Vec<u64> = (0..looks)
        .map(|_| {
            let begun = std::time::Instant::now();
            u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX)
        })
        .collect();
    *times.select_nth_unstable(looks / 2).1
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn ns(count: u64) -> f64 {
    count as f64
}
