//! The shop's product pages, served by Rust: every page comes through the cache.

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::time::Instant;

use rusqlite::{Connection, OpenFlags};
use scrubjay::CacheService;
use serde::{Deserialize, Serialize};

const TTL_SECONDS: u64 = 300;

#[derive(Deserialize)]
struct Config {
    database: String,
    url: String,
    prefix: String,
    requests: String,
    answers: String,
    service: usize,
    services: usize,
}

#[derive(Serialize, Deserialize)]
struct Page {
    id: u32,
    name: String,
    price: f64,
    stock: i64,
    text: String,
}

fn load(database: &Connection, id: u32) -> rusqlite::Result<Page> {
    let mut query = database.prepare_cached("SELECT name, price, stock, text FROM page WHERE id = ?")?;
    query.query_row([id], |row| {
        Ok(Page { id, name: row.get(0)?, price: row.get(1)?, stock: row.get(2)?, text: row.get(3)? })
    })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let config: Config = serde_json::from_str(&std::env::args().nth(1).ok_or("usage: shop CONFIG")?)?;
    let database = Connection::open_with_flags(&config.database, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let cache = CacheService::new(&config.url, &config.prefix)?;
    let requests = fs::read(&config.requests)?;
    let mut answers = BufWriter::new(File::create(&config.answers)?);

    println!("ready");
    io::stdin().read_line(&mut String::new())?;
    let start = Instant::now();
    let mut before = cache.stats();
    let mut count = 0;
    for request in requests.chunks_exact(4).skip(config.service).step_by(config.services) {
        let id = u32::from_be_bytes(request.try_into()?);
        let asked = Instant::now();
        let page: Page =
            cache.get_or_fetch(&format!("page:{id}"), TTL_SECONDS, || async { load(&database, id) }).await?;
        let took = asked.elapsed();
        if page.id != id {
            return Err(format!("page {id} answered with {}", page.id).into());
        }
        let after = cache.stats();
        let tier = if after.loads > before.loads {
            "load"
        } else if after.hits_l2 > before.hits_l2 {
            "l2"
        } else {
            "l1"
        };
        before = after;
        writeln!(answers, "{} {:.1} {tier}", start.elapsed().as_millis(), took.as_secs_f64() * 1e6)?;
        count += 1;
        if count % 500 == 0 {
            println!("{count}");
        }
    }
    answers.flush()?;
    cache.close().await?;
    println!("done {count}");
    Ok(())
}
