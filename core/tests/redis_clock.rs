//! A client whose clock is an hour off: run under `faketime`, which sets it for one process.

mod support;

use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use support::{Server, builder, eventually, open};

const TEST: &str = "a_client_an_hour_off";

/// The test starts itself again under `faketime`; then this is the URL of the server.
const CHILD: &str = "SCRUBJAY_TEST_CLOCK_CHILD";

#[tokio::test]
async fn a_client_an_hour_off() {
    if let Ok(url) = std::env::var(CHILD) {
        return client(&url).await;
    }
    for off in ["+1h", "-1h"] {
        let server = Server::start();
        let writer = open(&server.url(), "clock");
        writer.set("long", "v", 600).await.unwrap();
        writer.set("short", "v", Duration::from_secs(8)).await.unwrap();
        // Half of its life is over when the other client comes.
        let entry = b"sj:{clock.0}:e:short";
        eventually("half a life", async || server.command::<i64>(&[b"PTTL", entry]) < 4000).await;
        let output = Command::new("faketime")
            .args(["-f", off])
            .arg(std::env::current_exe().expect("this test"))
            .args(["--exact", TEST, "--nocapture"])
            .env(CHILD, server.url())
            .env("SCRUBJAY_TEST_REAL_TIME", unix_seconds().to_string())
            .output()
            .expect("faketime is installed");
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.contains("1 passed"), "{off}: {said}");
        // What the other client wrote lives here as long as it asked for.
        let reader = open(&server.url(), "clock");
        assert_eq!(reader.get::<String>("theirs").await.unwrap().as_deref(), Some("v"));
        let life: i64 = server.command(&[b"PTTL", b"sj:{clock.0}:e:theirs"]);
        assert!((60_000..=100_000).contains(&life), "{life}");
        let header = server.entry("clock", "theirs").expect("an entry");
        let expiry = u64::from_le_bytes(header[40..48].try_into().expect("8 bytes")) / 1000;
        assert!((60..=101).contains(&(expiry - unix_seconds())), "{expiry}");
    }
}

/// What the client does whose clock is wrong.
async fn client(url: &str) {
    let real: u64 = std::env::var("SCRUBJAY_TEST_REAL_TIME").expect("set").parse().expect("seconds");
    let off = unix_seconds().abs_diff(real);
    assert!((3500..3700).contains(&off), "the clock is {off} s off");
    let cache = builder(url, "clock").max_staleness(Duration::from_secs(3600)).build().expect("a cache");
    assert_eq!(cache.get::<String>("long").await.unwrap().as_deref(), Some("v"));
    assert!(!cache.set("theirs", "v", 100).await.unwrap().pending);
    assert_eq!(cache.get::<String>("short").await.unwrap().as_deref(), Some("v"));
    let read = Instant::now();
    // From memory, for the life that is left: less than 4 s, not 8 s, no hour, and not nothing.
    let mut last_hit = Duration::ZERO;
    loop {
        let asked = read.elapsed();
        if cache.get::<String>("short").await.unwrap().is_none() {
            break;
        }
        last_hit = asked;
        assert!(asked < Duration::from_secs(20), "it expires");
    }
    assert!(last_hit < Duration::from_millis(4100), "{last_hit:?}");
    assert!(cache.stats().hits_l1 > 0);
    assert_eq!(cache.get::<String>("long").await.unwrap().as_deref(), Some("v"));
    assert_eq!(cache.stats().l2_errors, 0);
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}
