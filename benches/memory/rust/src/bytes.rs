//! Resident bytes of an entry. Each subject is measured in a process of its own, so that nothing of another is
//! reused.

use std::process::Command;

use scrubjay_bench_common::Record;

use crate::cases::{all, chosen, median};
use scrubjay_bench_memory::workload::{Plan, key, value};

/// The argument that makes this program such a process.
pub const CHILD: &str = "--bytes-of";
const REPEATS: usize = 3;

/// Measures every subject in fresh processes.
pub fn measure(plan: &Plan, records: &mut Vec<Record>) -> Result<(), String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut figures: Vec<(&'static str, Vec<f64>)> =
        chosen().into_iter().map(|(name, _)| (name, Vec::new())).collect();
    for _ in 0..REPEATS.min(plan.rounds) {
        for (name, of_rounds) in &mut figures {
            let child = Command::new(&program).args([CHILD, name]).output().map_err(|error| error.to_string())?;
            let text = String::from_utf8_lossy(&child.stdout);
            let bytes = text.trim().parse().map_err(|_| {
                format!("{name}: no figure but `{text}`: {}", String::from_utf8_lossy(&child.stderr))
            })?;
            of_rounds.push(bytes);
        }
    }
    for (name, of_rounds) in figures {
        records.push(Record {
            case: "rust/bytes-per-entry".into(),
            subject: name.into(),
            metric: "bytes",
            value: median(&of_rounds),
            unit: "bytes",
            repeats: of_rounds.len(),
        });
    }
    Ok(())
}

/// Prints what an entry of `subject` takes in a cache that is full and has evicted a tenth of its size.
#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
pub fn child(subject: &str, plan: &Plan) -> Result<(), String> {
    let open = all().into_iter().find(|(name, _)| *name == subject);
    let (_, open) = open.ok_or_else(|| format!("{subject}: no subject"))?;
    // The allocator's own beginnings are nobody's.
    drop((0..10_000).map(|number| value(&key(number))).collect::<Vec<_>>());
    let before = resident_bytes()?;
    let cache = open(plan.keys);
    let surplus = if cache.bounded() { plan.keys / 10 } else { 0 };
    for first in (0..plan.keys + surplus).step_by(1_000) {
        let last = (first + 1_000).min(plan.keys + surplus);
        cache.fill(&(first..last).collect::<Vec<_>>());
    }
    let entries = cache.len();
    let grown = resident_bytes()?.saturating_sub(before);
    println!("{}", grown as f64 / entries as f64);
    Ok(())
}

fn resident_bytes() -> Result<u64, String> {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").map_err(|error| error.to_string())?;
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB")).and_then(|kib| kib.trim().parse::<u64>().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| "/proc/self/smaps_rollup: no Rss".into())
}
