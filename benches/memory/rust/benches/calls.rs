//! Single calls of each cache by divan, one cache after the other: `cargo bench -p scrubjay-bench-memory`.
//!
//! For a look at one of them while it is being worked on. The ratios that the targets are about come from `make
//! bench-memory`, where the caches take turns, because a machine drifts more within the time of this than they differ.

use std::sync::atomic::{AtomicUsize, Ordering};

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use scrubjay_bench_common::Zipf;
use scrubjay_bench_memory::subjects::{
    Cache, DashMap, Foyer, FoyerTtl, MokaTtl, MutexLru, QuickCache, QuickCacheTtl, Scrubjay,
};
use scrubjay_bench_memory::workload::{Plan, key, value};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    divan::main();
}

/// Calls of one iteration.
const CALLS: usize = 1_000;

fn plan() -> Plan {
    Plan::new(scrubjay_bench_common::scale().expect("a good SCALE"))
}

fn filled<C: Cache>(room: u32, held: u32) -> C {
    let cache = C::open(room);
    for number in Plan::fill_order(held) {
        let key = key(number);
        cache.put(key, value(&key));
    }
    cache
}

/// Hits by Zipf 0.99.
#[divan::bench(
    types = [Scrubjay, QuickCacheTtl, QuickCache, MokaTtl, DashMap, Foyer, FoyerTtl, MutexLru],
    threads = [1, 2],
)]
fn get_zipf<C: Cache>(bencher: Bencher<'_, '_>) {
    let plan = plan();
    let cache: C = filled(plan.keys + plan.keys / 4, plan.keys);
    let draws = plan.zipf(&Zipf::new(plan.keys, 0.99), 1);
    let next = AtomicUsize::new(0);
    bencher.counter(ItemsCount::new(CALLS)).bench(|| {
        let first = next.fetch_add(CALLS, Ordering::Relaxed) % (draws.len() - CALLS);
        for key in &draws[first..first + CALLS] {
            black_box(cache.get(key));
        }
    });
}

/// Keys that are not held.
#[divan::bench(types = [Scrubjay, QuickCacheTtl, QuickCache, MokaTtl, DashMap, Foyer, FoyerTtl, MutexLru])]
fn get_miss<C: Cache>(bencher: Bencher<'_, '_>) {
    let plan = plan();
    let cache: C = filled(plan.keys, plan.keys);
    let absent = plan.fresh(CALLS, 0);
    bencher.counter(ItemsCount::new(CALLS)).bench(|| {
        for key in &absent {
            black_box(cache.get(key));
        }
    });
}

/// New keys in a full cache.
#[divan::bench(types = [Scrubjay, QuickCacheTtl, QuickCache, MokaTtl, Foyer, FoyerTtl, MutexLru])]
fn insert_evict<C: Cache>(bencher: Bencher<'_, '_>) {
    let plan = plan();
    let cache: C = filled(plan.keys, plan.keys);
    let mut round = 0;
    let entries = || {
        round += 1;
        plan.fresh(CALLS, round).into_iter().map(|key| (key, value(&key))).collect::<Vec<_>>()
    };
    bencher.counter(ItemsCount::new(CALLS)).with_inputs(entries).bench_local_values(|entries| {
        for (key, value) in entries {
            cache.put(key, value);
        }
    });
}
