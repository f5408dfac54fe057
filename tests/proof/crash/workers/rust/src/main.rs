//! The worker of Rust of `make crash`: it writes keys behind, and brings writes to the truth. `tests/proof/crash` starts it,
//! with its configuration as the argument, and kills it; `protocol.py` has the lines that they exchange.

mod postgres;
mod produce;
mod truth;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use scrubjay::{BatchOptions, CacheService, ErrorKind, Write, WriteBehind, WriteBehindOptions, WriterError};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader};
use truth::{Truth, say};

/// For what is left at the end.
const DRAIN: Duration = Duration::from_secs(60);

/// What the worker is told.
#[derive(Clone, Deserialize)]
pub struct Config {
    url: String,
    prefix: String,
    /// The options of the write-behind, in their JSON form.
    behind: serde_json::Value,
    /// What its keys begin with.
    name: String,
    /// The first version that it writes is the one after this.
    version: u64,
    /// So many callers write at once; none in a process that only works.
    producers: u32,
    /// How long a caller rests after each write.
    pause_ms: f64,
    /// So many bytes go with each value.
    padding: usize,
    /// Whether it writes changes alone, which never merge.
    changes: bool,
    /// Whether it brings writes to the truth.
    works: bool,
    /// The control: says that the truth has writes before it has.
    ack_first: bool,
    /// How often the counters are told; 0 for never.
    stats_ms: u64,
}

#[tokio::main(worker_threads = 2)]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let text = arguments.next().expect("the configuration is the argument");
    if text == "postgres" {
        let config = arguments.next().expect("the configuration is the second argument");
        return postgres::measure(&serde_json::from_str(&config).expect("a configuration")).await;
    }
    let config: Config = serde_json::from_str(&text).expect("a configuration");
    let cache = CacheService::new(&config.url, &config.prefix).expect("a cache");
    let options = WriteBehindOptions::from_json(config.behind.to_string().as_bytes()).expect("options");
    let behind = cache.write_behind(options).expect("a write-behind");
    let truth = Arc::new(Truth::default());
    say("ready");

    let worker = config.works.then(|| tokio::spawn(work(behind.clone(), truth.clone(), config.ack_first)));
    let stop = Arc::new(AtomicBool::new(false));
    let producers: Vec<_> = (0..config.producers)
        .map(|number| tokio::spawn(produce::run(behind.clone(), config.clone(), number, stop.clone())))
        .collect();
    if config.stats_ms > 0 {
        let (behind, every) = (behind.clone(), Duration::from_millis(config.stats_ms));
        tokio::spawn(async move {
            loop {
                say(&format!("s {}", behind.stats().to_json()));
                tokio::time::sleep(every).await;
            }
        });
    }

    let mut producers = Some(producers);
    let mut words = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(word)) = words.next_line().await {
        match word.as_str() {
            "ok" => truth.confirmed(),
            "quiet" => {
                stop.store(true, Ordering::Relaxed);
                // The words that come meanwhile are heard.
                let producers = producers.take().unwrap_or_default();
                tokio::spawn(async move {
                    for producer in producers {
                        producer.await.expect("a producer ends");
                    }
                    say("q");
                });
            }
            "close" => {
                let behind = behind.clone();
                tokio::spawn(async move {
                    let report = behind.close(DRAIN).await.expect("it closes");
                    say(&format!("c {} {}", report.left, report.dead));
                });
            }
            "end" => break,
            other => panic!("what is {other:?}?"),
        }
    }
    if let Some(worker) = worker {
        worker.abort();
    }
}

/// Brings writes to the truth until the write-behind is closed.
async fn work(behind: WriteBehind, truth: Arc<Truth>, ack_first: bool) {
    if !ack_first {
        let writer = |writes: Vec<Write>| {
            let truth = truth.clone();
            async move {
                truth.write(&writes).await;
                Ok::<_, WriterError>(())
            }
        };
        return behind.run(writer).await.expect("a worker ends with its write-behind");
    }
    loop {
        match behind.next_batch(BatchOptions::default()).await {
            Ok(writes) => {
                behind.ack(&writes.iter().map(|write| write.number).collect::<Vec<_>>());
                tokio::time::sleep(Duration::from_millis(20)).await;
                truth.write(&writes).await;
            }
            Err(error) if error.kind() == ErrorKind::Closed => return,
            Err(error) => panic!("{error}"),
        }
    }
}
