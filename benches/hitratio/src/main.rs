//! `make hitratio`: what share of the requests of a trace each cache answers.

mod arguments;
mod belady;
mod policies;
mod read;
mod replay;
mod report;
mod svg;
mod synthetic;
mod trace;

use std::process::ExitCode;

use arguments::Arguments;
use replay::{Case, Outcome, Size};
use scrubjay_bench_common::{scale, scaled};
use trace::Trace;

fn main() -> ExitCode {
    match Arguments::of(std::env::args().skip(1)).and_then(|arguments| run(&arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            eprintln!("hitratio: {what}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), String> {
    let scale = scale()?;
    let mut all = Vec::new();
    for path in &arguments.files {
        let read = read::read(path, arguments.format, read::Limits::default())?;
        let mut trace = read.trace;
        if scale < 1.0 {
            trace = trace.shortened(scaled(trace.requests.len(), scale, 1_000));
        }
        println!(
            "{}: {} requests for {} keys, footprint {} {}, format {}, {} other lines skipped",
            trace.name,
            trace.requests.len(),
            trace.keys,
            trace.footprint(),
            if trace.sizes.is_some() { "bytes" } else { "entries" },
            read.format,
            read.skipped,
        );
        let name = trace.name.clone();
        all.extend(play(&name, &[trace], arguments)?);
    }
    if !arguments.synthetic.is_empty() {
        let traces: Vec<Trace> = arguments.synthetic.iter().map(|kind| synthetic::make(kind, scale)).collect();
        all.extend(play("synthetic", &traces, arguments)?);
    }
    report::summary(&all);
    Ok(())
}

/// Plays `traces`, prints their table, and writes figures and drawing under `name`.
fn play(name: &str, traces: &[Trace], arguments: &Arguments) -> Result<Vec<Outcome>, String> {
    let with_curve = arguments.curve && traces.len() == 1 && traces[0].requests.len() <= CHEAP;
    let sizes = if with_curve { curve(&arguments.sizes) } else { arguments.sizes.clone() };
    let cases: Vec<Case<'_>> =
        traces.iter().flat_map(|trace| sizes.iter().map(move |size| Case::new(trace, size.clone()))).collect();
    let mut outcomes = replay::run(&cases, arguments.jobs, arguments.repeats);
    let drawing = arguments.out.join(format!("hitratio-{name}.svg"));
    report::write(&drawing, &svg::draw(name, &outcomes))?;
    outcomes.retain(|outcome| arguments.sizes.contains(&outcome.size));
    report::table(&outcomes);
    let figures = arguments.out.join(format!("hitratio-{name}.json"));
    report::json(&figures, &outcomes, arguments.repeats)?;
    println!("figures: {}\ndrawing: {}\n", figures.display(), drawing.display());
    Ok(outcomes)
}

/// Up to so many requests the drawing gets more points than the table.
const CHEAP: usize = 250_000;

/// The sizes asked for, and more between and beyond them for a smooth curve.
fn curve(sizes: &[Size]) -> Vec<Size> {
    let more = ["0.1", "0.2", "0.5", "1", "2", "5", "10", "20", "50"]
        .map(|text| Size { percent: text.parse().expect("a number"), text: format!("{text}%") });
    let mut all = sizes.to_vec();
    for size in more {
        if all.iter().all(|other| (other.percent - size.percent).abs() > 1e-9) {
            all.push(size);
        }
    }
    all.sort_by(|one, other| one.percent.total_cmp(&other.percent));
    all
}
