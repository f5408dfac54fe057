//! Random schedules of readers, writers and hosts. The check of copies is also run against a host that reads the
//! generation too late: a check that cannot fail proves nothing.

use shuttle::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use shuttle::thread;

use super::super::MemoryCache;
use super::super::table::{Copy, SlotRef};
use super::Setup;
use crate::sync::Arc;

const SCHEDULES: usize = 3_000;

fn check(run: impl Fn() + Send + Sync + std::marker::Copy + 'static) {
    shuttle::check_random(run, SCHEDULES);
    shuttle::check_pct(run, SCHEDULES, 3);
}

fn cache<V: Send + Sync + 'static>() -> Arc<MemoryCache<V>> {
    let (setup, _hand) = Setup::new();
    Arc::new(Setup { max_entries: 2, ..setup }.build())
}

/// A value that says whether it has been dropped.
struct Watched {
    dropped: Arc<AtomicBool>,
    alive: Arc<AtomicUsize>,
}

impl Watched {
    fn new(alive: &Arc<AtomicUsize>) -> Self {
        alive.fetch_add(1, Ordering::SeqCst);
        Watched { dropped: Arc::new(AtomicBool::new(false)), alive: alive.clone() }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        assert!(!self.dropped.swap(true, Ordering::SeqCst), "dropped twice");
        self.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Replaced, evicted and removed while it is read: a value is there until its last reader has gone, and dropped once.
#[test]
fn model_a_value_stays_while_it_is_read() {
    check(|| {
        let (cache, alive) = (cache::<Watched>(), Arc::new(AtomicUsize::new(0)));
        let minute = std::time::Duration::from_secs(60);
        cache.set("k", Watched::new(&alive), minute).unwrap();
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let cache = cache.clone();
                thread::spawn(move || {
                    for _ in 0..2 {
                        cache.get_with("k", |value| {
                            assert!(!value.dropped.load(Ordering::SeqCst));
                            thread::yield_now();
                            assert!(!value.dropped.load(Ordering::SeqCst), "taken from under its reader");
                        });
                    }
                })
            })
            .collect();
        cache.set("k", Watched::new(&alive), minute).unwrap();
        for other in ["a", "b", "c"] {
            cache.set(other, Watched::new(&alive), minute).unwrap();
        }
        cache.clear();
        readers.into_iter().for_each(|reader| reader.join().unwrap());
        assert_eq!((alive.load(Ordering::SeqCst), cache.len()), (0, 0));
    });
}

/// Once a write has returned, no copy of what was there before is good.
#[test]
fn model_no_copy_outlives_its_entry() {
    check(|| copies_die(false));
}

/// The check finds a host that takes the generation which it finds after it has read the value.
#[test]
#[should_panic(expected = "a copy of what was there before")]
fn model_mutant_that_reads_the_generation_late_is_caught() {
    check(|| copies_die(true));
}

fn copies_die(late: bool) {
    let cache = cache::<u64>();
    assert!(cache.attach_host());
    let minute = std::time::Duration::from_secs(60);
    cache.set("k", 0, minute).unwrap();
    let written = Arc::new(AtomicUsize::new(0));
    let host = {
        let (cache, written) = (cache.clone(), written.clone());
        thread::spawn(move || {
            for _ in 0..2 {
                let Some((value, Some(Copy { at, .. }))) = cache.get_to_copy("k", |_| Some((u64::MAX / 2, 1)))
                else {
                    continue;
                };
                let table = cache.host_table().expect("attached");
                let generation = if late { table.generation(at.slot) } else { at.generation };
                let copy = SlotRef { generation, ..at };
                thread::yield_now();
                let before = written.load(Ordering::SeqCst) as u64;
                if table.generation(copy.slot) == copy.generation {
                    assert!(value >= before, "a copy of what was there before");
                }
            }
        })
    };
    for value in 1..=2_u64 {
        cache.set("k", value, minute).unwrap();
        written.store(value as usize, Ordering::SeqCst);
    }
    cache.remove("k");
    written.store(3, Ordering::SeqCst);
    host.join().unwrap();
}
