//! The timed loops. They are generic over the cache, so that a call costs what it costs its users; what is
//! called once a round goes through [`Subject`].
//!
//! One thread is timed by its own time on the CPU, which leaves out what else the machine does meanwhile; two by
//! the clock on the wall, because waiting for each other is what is to be seen.

use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use scrubjay_bench_memory::subjects::Cache;
use scrubjay_bench_memory::workload::{Key, Value, belongs, key, value};

/// A cache under test, whichever it is.
pub trait Subject {
    fn name(&self) -> &'static str;
    fn bounded(&self) -> bool;
    fn fill(&self, numbers: &[u32]);
    fn len(&self) -> usize;
    /// Each thread asks for its keys; the mean time of one read, and how many hit.
    fn gets(&self, keys_of_threads: &[Vec<Key>]) -> Timing;
    /// Puts in every key with its value.
    fn puts(&self, entries: Vec<(Key, Value)>) -> Timing;
    /// Nine reads, one insert, and so on.
    fn mix(&self, reads: &[Key], inserts: Vec<(Key, Value)>) -> Timing;
    /// The time of each single read, in ns, the clock's own included.
    fn single_gets(&self, keys: &[Key]) -> Vec<u64>;
    /// How many of `keys` are held; each with its own value.
    ///
    /// # Panics
    /// Where a value belongs to another key.
    fn check(&self, keys: &[Key]) -> usize;
}

#[derive(Clone, Copy)]
pub struct Timing {
    /// Of one operation of one thread.
    pub ns: f64,
    pub hits: usize,
}

impl Timing {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    fn of(elapsed: Duration, operations: usize, hits: usize) -> Self {
        Timing { ns: elapsed.as_nanos() as f64 / operations as f64, hits }
    }
}

/// How long this thread has been on the CPU.
fn on_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

impl<C: Cache> Subject for C {
    fn name(&self) -> &'static str {
        C::NAME
    }

    fn bounded(&self) -> bool {
        C::BOUNDED
    }

    fn fill(&self, numbers: &[u32]) {
        for number in numbers {
            let key = key(*number);
            self.put(key, value(&key));
        }
    }

    fn len(&self) -> usize {
        self.entries()
    }

    fn gets(&self, keys_of_threads: &[Vec<Key>]) -> Timing {
        let hits_among = |keys: &[Key]| keys.iter().filter(|key| black_box(self.get(key)).is_some()).count();
        if let [keys] = keys_of_threads {
            let begun = on_cpu();
            let hits = hits_among(keys);
            return Timing::of(on_cpu() - begun, keys.len(), hits);
        }
        let start = Barrier::new(keys_of_threads.len());
        let work = |keys: &[Key]| {
            start.wait();
            let begun = Instant::now();
            let hits = hits_among(keys);
            (begun.elapsed(), hits)
        };
        let of_threads: Vec<(Duration, usize)> = std::thread::scope(|scope| {
            let spawned: Vec<_> = keys_of_threads.iter().map(|keys| scope.spawn(|| work(keys))).collect();
            spawned.into_iter().map(|thread| thread.join().expect("a reader")).collect()
        });
        let operations = keys_of_threads.iter().map(Vec::len).sum();
        let elapsed = of_threads.iter().map(|(elapsed, _)| *elapsed).sum();
        Timing::of(elapsed, operations, of_threads.iter().map(|(_, hits)| hits).sum())
    }

    fn puts(&self, entries: Vec<(Key, Value)>) -> Timing {
        let operations = entries.len();
        let begun = on_cpu();
        for (key, value) in entries {
            self.put(key, value);
        }
        Timing::of(on_cpu() - begun, operations, 0)
    }

    fn mix(&self, reads: &[Key], inserts: Vec<(Key, Value)>) -> Timing {
        let operations = reads.len() + inserts.len();
        let mut hits = 0;
        let begun = on_cpu();
        for (reads, (key, value)) in reads.chunks(9).zip(inserts) {
            hits += reads.iter().filter(|key| black_box(self.get(key)).is_some()).count();
            self.put(key, value);
        }
        Timing::of(on_cpu() - begun, operations, hits)
    }

    fn single_gets(&self, keys: &[Key]) -> Vec<u64> {
        let time = |key: &Key| {
            let begun = Instant::now();
            black_box(self.get(key));
            u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX)
        };
        keys.iter().map(time).collect()
    }

    fn check(&self, keys: &[Key]) -> usize {
        let held = |key: &&Key| match self.get(key) {
            Some(value) => {
                assert!(belongs(&value, key), "{}: the value of another key", C::NAME);
                true
            }
            None => false,
        };
        keys.iter().filter(held).count()
    }
}
