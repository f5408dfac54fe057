//! What the tests with a real server share. Not every test file uses all of it.
#![allow(dead_code, unused_imports)]

mod certificates;
mod proxy;
mod server;

use std::future::Future;
use std::time::{Duration, Instant};

use scrubjay::{Builder, CacheService};

pub use certificates::Certificates;
pub use proxy::Proxy;
pub use server::{Server, entry_name, free_port, temporary_directory};

/// How long a test waits for what must come.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Options for tests: lives as they were asked for, nothing served stale.
/// Long enough that a busy machine does not look like an outage.
const L2_TIMEOUT: Duration = Duration::from_secs(2);

pub fn builder(url: &str, prefix: &str) -> Builder {
    CacheService::builder().url(url).prefix(prefix).jitter(0.0).stale_for(Duration::ZERO).l2_timeout(L2_TIMEOUT)
}

pub fn open(url: &str, prefix: &str) -> CacheService {
    builder(url, prefix).build().expect("a cache")
}

/// Asks until the answer is yes.
pub async fn eventually<F, Fut>(what: &str, mut ask: F)
where
    F: FnMut() -> Fut,
    Fut: Future<Output = bool>,
{
    let deadline = Instant::now() + DEADLINE;
    while !ask().await {
        assert!(Instant::now() < deadline, "within {DEADLINE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The value of a key in the shared tier, as a cache without memory of its own reads it.
pub async fn shared(url: &str, prefix: &str, key: &str) -> Option<String> {
    let reader = builder(url, prefix).l1_bytes(0_u64).l2_timeout(Duration::from_secs(5)).build().expect("a cache");
    let value = reader.get::<String>(key).await.expect("a valid key");
    reader.close().await.expect("the end");
    value
}
