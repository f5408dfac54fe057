//! Tables, files, and the summary.

use std::path::Path;

use scrubjay_bench_common::{Record, write_json};

use crate::policies::POLICIES;
use crate::replay::{Outcome, subjects};

/// Below so many entries two points are allowed where otherwise one is.
const FEW: u64 = 500;

pub fn write(path: &Path, text: &str) -> Result<(), String> {
    let told = |error: std::io::Error| format!("{}: {error}", path.display());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(told)?;
    }
    std::fs::write(path, text).map_err(told)
}

pub fn json(path: &Path, outcomes: &[Outcome], repeats: usize) -> Result<(), String> {
    let records: Vec<Record> = outcomes
        .iter()
        .flat_map(|outcome| {
            subjects().zip(&outcome.ratios).map(|(subject, ratio)| Record {
                case: outcome.case.clone(),
                subject: subject.to_owned(),
                metric: "hit_ratio",
                value: *ratio,
                unit: "ratio",
                repeats,
            })
        })
        .collect();
    write_json(path, &records).map_err(|error| format!("{}: {error}", path.display()))
}

fn header(first: &str) -> String {
    let columns: String = subjects().map(|subject| format!("{subject:>16}")).collect();
    format!("{first:<28}{columns}")
}

/// Hit ratios in %, a line for each case.
pub fn table(outcomes: &[Outcome]) {
    println!("{}", header("hit ratio, %"));
    for outcome in outcomes {
        let columns: String = outcome.ratios.iter().map(|ratio| format!("{:>16.2}", ratio * 100.0)).collect();
        println!("{:<28}{columns}", outcome.case);
    }
}

/// Ours against the others over all cases, in points.
pub fn summary(outcomes: &[Outcome]) {
    println!("{:<28}{:>10}{:>16}{:>10}  best of the others", "points", "scrubjay", "minus best", "entries");
    let (mut far_behind, mut worst) = (0, f64::INFINITY);
    for outcome in outcomes {
        let ours = outcome.ratios[0];
        let (name, best) = best_peer(outcome);
        let difference = (ours - best) * 100.0;
        let allowed = if outcome.entries < FEW { 2.0 } else { 1.0 };
        let behind = difference < -allowed;
        far_behind += usize::from(behind);
        worst = worst.min(difference);
        println!(
            "{:<28}{:>10.2}{difference:>+16.2}{:>10}  {name}{}",
            outcome.case,
            ours * 100.0,
            outcome.entries,
            if behind { "   more behind than allowed" } else { "" },
        );
    }
    println!("\n{}", header("mean over all cases, %"));
    let means: Vec<f64> = (0..subjects().count()).map(|subject| mean(outcomes, subject) * 100.0).collect();
    let columns: String = means.iter().map(|mean| format!("{mean:>16.2}")).collect();
    println!("{:<28}{columns}", format!("{} cases", outcomes.len()));
    let worsts = (0..subjects().count()).map(|subject| worst_loss(outcomes, subject) * 100.0);
    let columns: String = worsts.map(|loss| format!("{loss:>16.2}")).collect();
    println!("{:<28}{columns}", "worst, against the best");
    let lead = means[0] - means[1..POLICIES.len()].iter().copied().fold(f64::NEG_INFINITY, f64::max);
    println!("\nmean above every peer by 2 points or more: {lead:+.2}: {}", verdict(lead >= 2.0));
    println!(
        "never more than 1 point below the best (2 below {FEW} entries): worst {worst:+.2}, {far_behind} of {} cases: {}",
        outcomes.len(),
        verdict(far_behind == 0),
    );
}

fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "not met" }
}

/// The best policy beside ours.
fn best_peer(outcome: &Outcome) -> (&'static str, f64) {
    let peers = POLICIES.into_iter().zip(outcome.ratios.iter().copied()).skip(1);
    peers.max_by(|one, other| one.1.total_cmp(&other.1)).expect("there are peers")
}

#[expect(clippy::cast_precision_loss, reason = "a few cases")]
fn mean(outcomes: &[Outcome], subject: usize) -> f64 {
    outcomes.iter().map(|outcome| outcome.ratios[subject]).sum::<f64>() / outcomes.len() as f64
}

/// How far the subject is behind the best policy where it is farthest behind.
fn worst_loss(outcomes: &[Outcome], subject: usize) -> f64 {
    let loss = |outcome: &Outcome| {
        let best = outcome.ratios[..POLICIES.len()].iter().copied().fold(0.0, f64::max);
        best - outcome.ratios[subject]
    };
    outcomes.iter().map(loss).fold(0.0, f64::max)
}
