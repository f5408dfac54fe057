//! The worker of Rust of `make witness`: it reads and writes the keys of the truth through a cache, and writes down what it
//! was given. `tests/proof/witness` starts it, with its configuration as the argument.

mod log;
mod reader;
mod truth;
mod worker;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::io::{AsyncBufReadExt, BufReader};
use worker::{Config, Worker};

#[tokio::main(worker_threads = 2)]
async fn main() {
    let text = std::env::args().nth(1).expect("the configuration is the argument");
    let config: Config = serde_json::from_str(&text).expect("a configuration");
    let (readers, seed) = (config.readers, config.seed);
    let worker = Arc::new(Worker::start(config).await);
    let landing = tokio::spawn(writer::watch_landing(worker.clone()));
    println!("ready");
    let mut words = BufReader::new(tokio::io::stdin()).lines();
    let (mut reading, mut writing) = (Vec::new(), None);
    while let Ok(Some(word)) = words.next_line().await {
        match word.as_str() {
            "go" => {
                for number in 0..readers {
                    let rng = SmallRng::seed_from_u64(seed * 1000 + number);
                    reading.push(tokio::spawn(reader::read_on(worker.clone(), rng)));
                }
                let rng = SmallRng::seed_from_u64(seed * 1000 + 999);
                writing = Some(tokio::spawn(writer::write_on(worker.clone(), rng)));
            }
            "quiet" => {
                worker.stop_writing();
                if let Some(writing) = writing.take() {
                    writing.await.expect("the writer ends");
                }
                while worker.is_pending() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
            "rest" => {
                worker.stop_reading();
                for reader in reading.drain(..) {
                    reader.await.expect("a reader ends");
                }
            }
            "last" => reader::read_last(&worker).await,
            other => panic!("what is {other:?}?"),
        }
        println!("{word}");
    }
    landing.abort();
    worker.log.flush();
    worker.cache.close().await.expect("a cache closes");
}
