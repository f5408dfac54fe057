//! The conformance runner of the Rust crate.
//!
//! ```text
//! scrubjay-conformance --corpus ../.. --redis redis://localhost:6379 --out result.json
//! scrubjay-conformance --agent
//! ```
//!
//! The first form runs every scenario in memory and over the Redis. The second reads steps from standard input, one a
//! line, and answers each with a line: `{"ok":true}`, or `{"ok":false,"why":"…"}`.

mod expect;
mod fetch;
mod json;
mod operations;
mod runner;
mod step;
mod value;

use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use runner::Runner;
use step::{Scenario, Step};

/// Ends a scenario that hangs.
const SCENARIO_TIME: Duration = Duration::from_secs(120);

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let (mut corpus, mut redis, mut out, mut agent) = (PathBuf::new(), String::new(), None, false);
    while let Some(argument) = arguments.next() {
        let mut next = || arguments.next().unwrap_or_default();
        match argument.as_str() {
            "--corpus" => corpus = next().into(),
            "--redis" => redis = next(),
            "--out" => out = Some(PathBuf::from(next())),
            "--agent" => agent = true,
            other => exit(&format!("unknown argument {other}")),
        }
    }
    if agent {
        return run_agent().await;
    }
    let failed = run_corpus(&corpus, &redis, out.as_deref()).await.unwrap_or_else(|error| exit(&error));
    std::process::exit(i32::from(failed > 0));
}

fn exit(message: &str) -> ! {
    eprintln!("{message}");
    std::process::exit(2)
}

async fn run_corpus(corpus: &Path, redis: &str, out: Option<&Path>) -> Result<usize, String> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(corpus)
        .map_err(|error| format!("{}: {error}", corpus.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();
    if files.is_empty() {
        return Err(format!("no scenario in {}", corpus.display()));
    }
    let (mut results, mut failed) = (Vec::new(), 0);
    for (number, file) in files.iter().enumerate() {
        for (backend, url) in [("memory", "memory://"), ("redis", redis)] {
            let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let prefix = format!("rust-{}-{number}-{backend}", std::process::id());
            let ended = tokio::time::timeout(SCENARIO_TIME, run_file(file, url, &prefix)).await;
            let ended = ended.unwrap_or_else(|_| Err(format!("it did not end within {SCENARIO_TIME:?}")));
            let verdict = ended.as_ref().map_or_else(|why| format!("FAILED: {why}"), |()| "ok".to_owned());
            println!("conformance rust {backend} {name} {verdict}");
            failed += usize::from(ended.is_err());
            results.push(serde_json::json!({
                "language": "rust", "backend": backend, "scenario": name,
                "ok": ended.is_ok(), "why": ended.err().unwrap_or_default(),
            }));
        }
    }
    if let Some(out) = out {
        let text = serde_json::to_vec_pretty(&results).map_err(|error| error.to_string())?;
        std::fs::write(out, text).map_err(|error| format!("{}: {error}", out.display()))?;
    }
    println!("{} passed, {failed} failed", results.len() - failed);
    Ok(failed)
}

async fn run_file(file: &Path, url: &str, prefix: &str) -> Result<(), String> {
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
    let scenario: Scenario = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    if file.file_stem().is_none_or(|stem| stem != scenario.name.as_str()) || scenario.about.is_empty() {
        return Err("the name is that of the file, and about says what it is about".to_owned());
    }
    let runner = Runner::new(Some((url.to_owned(), prefix.to_owned())));
    let ran = async {
        runner.open("a", &scenario.options).await.map_err(|error| error.to_string())?;
        runner.steps(&scenario.steps).await
    };
    let ended = ran.await;
    runner.close_all().await;
    ended
}

async fn run_agent() {
    let runner = Runner::new(None);
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        if line.trim().is_empty() {
            continue;
        }
        let ended = match serde_json::from_str::<Step>(&line) {
            Ok(step) => runner.step(&step).await,
            Err(error) => Err(error.to_string()),
        };
        let verdict = match ended {
            Ok(()) => serde_json::json!({"ok": true}),
            Err(why) => serde_json::json!({"ok": false, "why": why}),
        };
        println!("{verdict}");
        drop(std::io::stdout().flush());
    }
    runner.close_all().await;
}
