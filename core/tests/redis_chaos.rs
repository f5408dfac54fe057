//! Writers under random faults: in the end no key holds a value older than its last write or delete.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::{Rng, SeedableRng, rngs::StdRng};
use scrubjay::CacheService;
use support::{Proxy, Server, builder, eventually, shared};

const KEYS: usize = 24;
const FAULTS: usize = 30;

/// Writes one key, one call after the other, until told to stop, and looks between them at what an acknowledged
/// one left. Returns the value that may be there in the end; none after a delete.
async fn write(cache: CacheService, reader: CacheService, key: String, seed: u64, stop: Arc<AtomicBool>) -> Last {
    let mut random = StdRng::seed_from_u64(seed);
    let mut last = None;
    for n in 0_u64.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let receipt = if random.random_bool(0.5) {
            last = None;
            cache.delete(&key).await.expect("no delete fails")
        } else {
            let value = n.to_string();
            last = Some(value.clone());
            cache.set(&key, &value, 600).await.expect("no write fails")
        };
        // A server that is away answers nothing, and nothing is always allowed: a restart loses everything.
        for _ in 0..random.random_range(0..4) {
            if !receipt.pending
                && let Some(stored) = reader.get::<String>(&key).await.expect("no read fails")
            {
                assert_eq!(Some(stored), last, "{key}: what was acknowledged holds");
            }
            tokio::time::sleep(Duration::from_millis(random.random_range(0..80))).await;
        }
    }
    last
}

type Last = Option<String>;

/// Strikes with one fault, and heals it.
async fn strike(server: &mut Server, proxy: &Proxy, random: &mut StdRng) {
    let short = Duration::from_millis(random.random_range(10..400));
    match random.random_range(0..6) {
        0 => proxy.swallow_present(),
        1 => proxy.hold_present(),
        2 => {
            proxy.swallow();
            tokio::time::sleep(short).await;
        }
        3 => {
            server.freeze();
            tokio::time::sleep(short).await;
            server.thaw();
        }
        4 => server.restart(),
        _ => {
            let _: i64 = server.command(&[b"CLIENT", b"KILL", b"TYPE", b"normal"]);
        }
    }
    tokio::time::sleep(short).await;
    proxy.forward();
    tokio::time::sleep(short).await;
}

#[tokio::test]
async fn nothing_old_is_left_behind() {
    let seed =
        std::env::var("SCRUBJAY_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    println!("SCRUBJAY_TEST_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut server = Server::start();
    let proxy = Proxy::start(server.port);
    let cache = builder(&proxy.url(), "chaos").l2_timeout(Duration::from_millis(60)).build().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    // Past the proxy.
    let reader = builder(&server.url(), "chaos").l1_bytes(0_u64).breaker(false).build().unwrap();
    let mut writer =
        |n| tokio::spawn(write(cache.clone(), reader.clone(), format!("k{n}"), random.random(), stop.clone()));
    let writers: Vec<_> = (0..KEYS).map(&mut writer).collect();
    for _ in 0..FAULTS {
        strike(&mut server, &proxy, &mut random).await;
    }
    stop.store(true, Ordering::SeqCst);
    let mut last = Vec::new();
    for writer in writers {
        last.push(writer.await.expect("no call failed"));
    }
    assert!(cache.stats().l2_errors > 0, "the faults struck");
    eventually("all lands", async || cache.stats().pending == 0).await;
    // That of the reader, and one of the cache.
    eventually("old connections have ended", async || server.hot_connections().len() <= 2).await;
    for (n, last) in last.into_iter().enumerate() {
        let stored = shared(&server.url(), "chaos", &format!("k{n}")).await;
        assert!(stored.is_none() || stored == last, "k{n}: {stored:?}, the last was {last:?}, seed {seed}");
    }
    eventually("writes are acknowledged", async || !cache.set("k0", "end", 60).await.unwrap().pending).await;
    assert_eq!(shared(&server.url(), "chaos", "k0").await.as_deref(), Some("end"));
}
