//! The end of ten million entries within a few seconds, while somebody reads all the time: how long a read took at
//! worst, and when all were gone.
//!
//! The machine stops threads by itself. So a second thread does nothing but look at the clock meanwhile, and the same
//! reads are made of entries that live on: what is beyond these two is ours. A process of its own, because of its memory.

use std::hint::black_box;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use scrubjay::MemoryCache;
use scrubjay_bench_common::{Random, Record, scale, scaled};
use scrubjay_bench_memory::workload::key;
use serde_json::{Value, json};

/// The argument that makes this program such a process.
pub const CHILD: &str = "--expiry";

/// All end within this time, at full scale.
const WINDOW_MS: usize = 7_000;
/// What counts as a stop.
const STOP: Duration = Duration::from_millis(1);
const ALIVE: Duration = Duration::from_secs(3600);

/// Measures in a fresh process.
pub fn measure(records: &mut Vec<Record>) -> Result<(), String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let child = Command::new(&program).arg(CHILD).output().map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&child.stdout);
    let figures: Value = serde_json::from_str(&text)
        .map_err(|_| format!("expiry: no figures but `{text}`: {}", String::from_utf8_lossy(&child.stderr)))?;
    for (subject, metrics) in figures.as_object().into_iter().flatten() {
        for (metric, unit) in [("stops_per_million", "1e-6"), ("longest_us", "us"), ("gone_after_ms", "ms")] {
            let Some(value) = metrics[metric].as_f64() else { continue };
            let case = "rust/expiry-10M".into();
            records.push(Record { case, subject: subject.clone(), metric, value, unit, repeats: 1 });
        }
    }
    Ok(())
}

/// Prints the figures of both runs as JSON.
pub fn child() -> Result<(), String> {
    let entries =
        u32::try_from(scaled(10_000_000, scale()?.min(1.0), 20_000)).map_err(|error| error.to_string())?;
    let (alive, idle, _) = reads_beside(entries, false)?;
    let (mortal, idle_too, gone) = reads_beside(entries, true)?;
    let idle = Stops {
        looks: idle.looks + idle_too.looks,
        over: idle.over + idle_too.over,
        longest: idle.longest.max(idle_too.longest),
    };
    let mut figures =
        json!({ "scrubjay": mortal.json(), "scrubjay-alive": alive.json(), "clock-only": idle.json() });
    figures["scrubjay"]["gone_after_ms"] = json!(gone.as_secs_f64() * 1e3);
    println!("{figures}");
    Ok(())
}

/// How often, and how long, one look took more than [`STOP`].
#[derive(Clone, Copy, Default)]
struct Stops {
    looks: u64,
    over: u64,
    longest: Duration,
}

impl Stops {
    fn note(&mut self, took: Duration) {
        self.looks += 1;
        self.over += u64::from(took > STOP);
        self.longest = self.longest.max(took);
    }

    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    fn json(&self) -> Value {
        json!({
            "stops_per_million": self.over as f64 * 1e6 / self.looks as f64,
            "longest_us": self.longest.as_secs_f64() * 1e6,
        })
    }
}

/// Reads at random from the first end to a second after the last: what the reads took, what the looks of a thread
/// beside them took, and how long after the last end the last entry was gone.
fn reads_beside(entries: u32, mortal: bool) -> Result<(Stops, Stops, Duration), String> {
    let cache = MemoryCache::<u64, [u8; 16]>::builder().max_entries(u64::from(entries) * 2).build();
    // Filling takes a second per million, and none may end before all are in.
    let first_end = Instant::now() + Duration::from_millis(u64::from(entries) / 500 + 1_000);
    let mut random = Random::new(7);
    let window = u32::try_from(scaled(WINDOW_MS, scale()?.min(1.0), 500)).map_err(|error| error.to_string())?;
    for number in 0..entries {
        let end = first_end + Duration::from_millis(u64::from(random.below(window)));
        let left = end.saturating_duration_since(Instant::now());
        let ttl = if mortal { left } else { ALIVE };
        cache.set(&key(number), u64::from(number), ttl).map_err(|error| error.to_string())?;
    }
    if cache.len() != entries as usize {
        return Err(format!(
            "{} entries after the fill of {entries}: the machine is too slow for the window",
            cache.len()
        ));
    }
    // Awake until then, so that no processor has to be woken first.
    while Instant::now() < first_end {
        black_box(cache.get(&key(random.below(entries))));
    }
    let last_end = first_end + Duration::from_millis(u64::from(window));
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let beside = scope.spawn(|| {
            let mut stops = Stops::default();
            let mut before = Instant::now();
            while !ended.load(Ordering::Relaxed) {
                let now = Instant::now();
                stops.note(now - before);
                before = now;
            }
            stops
        });
        let mut stops = Stops::default();
        let mut gone = None;
        while Instant::now() < last_end + Duration::from_secs(1) {
            for _ in 0..256 {
                let wanted = key(random.below(entries));
                let begun = Instant::now();
                black_box(cache.get(&wanted));
                stops.note(begun.elapsed());
            }
            if mortal && gone.is_none() && cache.is_empty() {
                gone = Some(Instant::now());
            }
        }
        ended.store(true, Ordering::Relaxed);
        let beside = beside.join().map_err(|_| "the thread beside panicked".to_string())?;
        let after = match gone {
            Some(gone) => gone.saturating_duration_since(last_end),
            None if mortal => return Err(format!("{} entries a second after their end", cache.len())),
            None => Duration::ZERO,
        };
        Ok((stops, beside, after))
    })
}
