//! `make bench-memory`, its Rust part: how long `MemoryCache` and its peers take, and how much memory.
//!
//! All subjects of a case are filled first, then measured in turn, round after round; the median of the rounds
//! counts. So what disturbs the machine for a while disturbs all of them.

mod bytes;
mod cases;
mod expiry;
mod measure;

use std::path::PathBuf;
use std::process::ExitCode;

use scrubjay_bench_common::{Record, scale, write_json};
use scrubjay_bench_memory::workload::Plan;

// The same for every subject, and not the bottleneck of any.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match run(std::env::args().skip(1).collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            eprintln!("bench-memory: {what}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Vec<String>) -> Result<(), String> {
    let plan = Plan::new(scale()?);
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [bytes::CHILD, subject] => bytes::child(subject, &plan),
        [expiry::CHILD] => expiry::child(),
        [out] => measure_all(&PathBuf::from(out), &plan),
        _ => Err("usage: OUT.json".into()),
    }
}

fn measure_all(out: &std::path::Path, plan: &Plan) -> Result<(), String> {
    let mut records = Vec::new();
    cases::reads(plan, &mut records);
    cases::writes(plan, &mut records);
    bytes::measure(plan, &mut records)?;
    expiry::measure(&mut records)?;
    write_json(out, &records).map_err(|error| format!("{}: {error}", out.display()))?;
    table(&records);
    Ok(())
}

/// A line for each case, a column for each subject.
fn table(records: &[Record]) {
    let mut subjects: Vec<&str> = Vec::new();
    for record in records {
        if !subjects.contains(&record.subject.as_str()) {
            subjects.push(&record.subject);
        }
    }
    let columns: String = subjects.iter().map(|subject| format!("{subject:>17}")).collect();
    println!("{:<32}{columns}", "median");
    for group in records.chunk_by(|one, other| one.case == other.case && one.metric == other.metric) {
        let figure = |subject: &&str| match group.iter().find(|record| record.subject == **subject) {
            Some(record) => format!("{:>17.1}", record.value),
            None => format!("{:>17}", "–"),
        };
        let columns: String = subjects.iter().map(figure).collect();
        println!("{:<32}{columns}", format!("{}, {}", group[0].case, group[0].metric));
    }
}
