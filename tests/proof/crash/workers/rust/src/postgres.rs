//! How fast rows get into a Postgres: each by a statement of its own that its caller waits for, and behind.
//!
//! Both have the same callers, rows and server. The callers without a write-behind have a connection each.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use scrubjay::{BatchOptions, CacheService, WriteBehindOptions, WriterError};
use serde::Deserialize;
use tokio_postgres::{Client, NoTls};

use crate::truth::Value;

const UPSERT: &str = "INSERT INTO crash (id, v, sequence) VALUES ($1, $2, $3) ON CONFLICT (id) DO UPDATE \
                      SET v = excluded.v, sequence = excluded.sequence WHERE crash.sequence < excluded.sequence";
const UPSERT_MANY: &str = "INSERT INTO crash (id, v, sequence) \
                           SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[]) ON CONFLICT (id) DO UPDATE \
                           SET v = excluded.v, sequence = excluded.sequence WHERE crash.sequence < excluded.sequence";
/// Far longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(300);

/// What is to be measured.
#[derive(Clone, Deserialize)]
pub struct Config {
    postgres: String,
    directory: String,
    /// Rows to write, and how many different keys they have.
    rows: u64,
    keys: u64,
    /// How many callers write at once.
    callers: u64,
    /// Whether they write behind.
    behind: bool,
}

/// Writes all rows, and says how long it took and what the table has then.
pub async fn measure(config: &Config) {
    let admin = connect(&config.postgres).await;
    admin
        .batch_execute(
            "DROP TABLE IF EXISTS crash; CREATE TABLE crash (id text PRIMARY KEY, v bigint, sequence bigint)",
        )
        .await
        .expect("a table");
    let (acknowledged, seconds) = if config.behind { behind(config).await } else { one_by_one(config).await };
    let found =
        admin.query_one("SELECT count(*), coalesce(sum(v), 0)::bigint FROM crash", &[]).await.expect("a count");
    let (rows, sum): (i64, i64) = (found.get(0), found.get(1));
    println!(
        "{}",
        serde_json::json!({
            "acknowledged_seconds": acknowledged, "seconds": seconds, "rows": rows, "sum": sum,
            // Each key has the last of its values.
            "expected_rows": config.keys,
            "expected_sum": (config.rows - config.keys..config.rows).sum::<u64>(),
        })
    );
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("postgres");
    tokio::spawn(async move { connection.await.expect("a connection lasts") });
    client
}

/// Row `n` has the key `n % keys`: a caller has the rows of its keys in order.
fn rows(config: &Config, caller: u64) -> impl Iterator<Item = (String, u64)> + use<> {
    let (keys, rows, callers) = (config.keys, config.rows, config.callers);
    (0..rows)
        .filter(move |row| row % keys % callers == caller)
        .map(move |row| (format!("row:{}", row % keys), row))
}

async fn one_by_one(config: &Config) -> (f64, f64) {
    let mut clients = Vec::new();
    for _ in 0..config.callers {
        clients.push(connect(&config.postgres).await);
    }
    let begun = Instant::now();
    let callers: Vec<_> = clients
        .into_iter()
        .zip(0..)
        .map(|(client, caller)| {
            let rows = rows(config, caller);
            tokio::spawn(async move {
                let statement = client.prepare(UPSERT).await.expect("a statement");
                for (id, row) in rows {
                    let row = i64::try_from(row).expect("a small number");
                    client.execute(&statement, &[&id, &row, &(row + 1)]).await.expect("a row");
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.expect("a caller ends");
    }
    let seconds = begun.elapsed().as_secs_f64();
    (seconds, seconds)
}

async fn behind(config: &Config) -> (f64, f64) {
    let cache = CacheService::new("memory://", "crash").expect("a cache");
    let options = WriteBehindOptions::new("rows").directory(&config.directory).block_for(LIMIT);
    let behind = cache.write_behind(options).expect("a write-behind");
    let client = Arc::new(connect(&config.postgres).await);
    let statement = client.prepare(UPSERT_MANY).await.expect("a statement");
    let worker = tokio::spawn({
        let behind = behind.clone();
        async move {
            let large =
                BatchOptions { max_items: 2000, linger: Duration::from_millis(20), ..BatchOptions::default() };
            let writer = |writes: Vec<scrubjay::Write>| {
                let (client, statement) = (client.clone(), statement.clone());
                async move {
                    let number = |number: u64| i64::try_from(number).expect("below 2^53");
                    let value = |write: &scrubjay::Write| serde_json::from_slice::<Value>(&write.value.bytes);
                    let ids: Vec<&str> =
                        writes.iter().map(|write| std::str::from_utf8(&write.key)).collect::<Result<_, _>>()?;
                    let values: Vec<i64> =
                        writes.iter().map(|w| value(w).map(|value| number(value.v))).collect::<Result<_, _>>()?;
                    let sequences: Vec<i64> = writes.iter().map(|write| number(write.sequence)).collect();
                    client.execute(&statement, &[&ids, &values, &sequences]).await?;
                    Ok::<_, WriterError>(())
                }
            };
            behind.run_with(large, writer).await.expect("a worker ends with its write-behind");
        }
    });
    let begun = Instant::now();
    let total = Arc::new(AtomicU64::new(0));
    let callers: Vec<_> = (0..config.callers)
        .map(|caller| {
            let (behind, rows, total) = (behind.clone(), rows(config, caller), total.clone());
            tokio::spawn(async move {
                for (id, row) in rows {
                    behind.set(&id, &Value { v: row, pad: String::new() }, 600).await.expect("an acknowledgement");
                    total.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.expect("a caller ends");
    }
    let acknowledged = begun.elapsed().as_secs_f64();
    assert_eq!(total.load(Ordering::Relaxed), config.rows);
    let report = behind.flush(LIMIT).await.expect("a report");
    assert_eq!((report.left, report.dead), (0, 0), "all of it is in Postgres");
    let seconds = begun.elapsed().as_secs_f64();
    behind.close(LIMIT).await.expect("it closes");
    worker.await.expect("the worker ends");
    (acknowledged, seconds)
}
