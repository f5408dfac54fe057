use scrubjay::CacheService;
use std::time::{Duration, Instant};
#[tokio::main(flavor = "current_thread")]
async fn main() {
    let url = std::env::args().nth(1).unwrap();
    let mode = std::env::args().nth(2).unwrap();
    if mode == "time" {
        let c = CacheService::builder().url(url.clone()).prefix("t").jitter(0.0).build().unwrap();
        let stamp = || {
            let cl = redis::Client::open(url.as_str()).unwrap();
            let mut con = cl.get_connection().unwrap();
            let b: Vec<u8> = redis::cmd("GET").arg("sj:{t.0}:e:k").query(&mut con).unwrap();
            let t: (u64, u64) = redis::cmd("TIME").query(&mut con).unwrap();
            let stored = u64::from_le_bytes(b[56..64].try_into().unwrap());
            (stored as i64) - (t.0 * 1000 + t.1 / 1000) as i64
        };
        for _ in 0..20 {
            c.set("k", &1, 86400).await.unwrap();
            println!("stored_at - server TIME = {} ms", stamp());
            tokio::time::sleep(Duration::from_secs(4)).await;
        }
        return;
    }
    let n: u64 = 20000;
    let c = CacheService::builder().url(url.clone()).prefix("b").l1_bytes(0u64).build().unwrap();
    c.set("k", "0123456789012345678901234567890123456789", 86400).await.unwrap();
    let cl = redis::Client::open(url.as_str()).unwrap();
    let mut con = cl.get_multiplexed_async_connection().await.unwrap();
    for _ in 0..3 {
        let t = Instant::now();
        for _ in 0..n {
            let _: Option<String> = c.get("k").await.unwrap();
        }
        let ours = t.elapsed();
        let t = Instant::now();
        for _ in 0..n {
            let _: Vec<u8> = redis::cmd("GET").arg("sj:{b.0}:e:k").query_async(&mut con).await.unwrap();
        }
        println!("sequential: ours {:?}/op, bare redis {:?}/op", ours / n as u32, t.elapsed() / n as u32);
        let t = Instant::now();
        let tasks: Vec<_> = (0..100)
            .map(|_| {
                let c = c.clone();
                tokio::spawn(async move {
                    for _ in 0..n / 50 {
                        let _: Option<String> = c.get("k").await.unwrap();
                    }
                })
            })
            .collect();
        for t in tasks {
            t.await.unwrap();
        }
        let ours = t.elapsed();
        let t = Instant::now();
        let tasks: Vec<_> = (0..100)
            .map(|_| {
                let mut c = con.clone();
                tokio::spawn(async move {
                    for _ in 0..n / 50 {
                        let _: Vec<u8> = redis::cmd("GET").arg("sj:{b.0}:e:k").query_async(&mut c).await.unwrap();
                    }
                })
            })
            .collect();
        for t in tasks {
            t.await.unwrap();
        }
        println!(
            "100 tasks: ours {:?}/op, bare redis {:?}/op  errors {}",
            ours / (2 * n) as u32,
            t.elapsed() / (2 * n) as u32,
            c.stats().l2_errors
        );
    }
}
