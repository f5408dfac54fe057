//! Memory stays flat over many operations. SCALE=1 is a million; tests run a part of that.

use std::time::Duration;

use scrubjay::CacheService;

const FULL: f64 = 1_000_000.0;
/// What the allocator may keep for itself.
const ALLOWED_GROWTH_BYTES: u64 = 24 << 20;

fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: u64 = text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number");
    pages * 4096
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
fn operations() -> usize {
    let scale: f64 = std::env::var("SCALE").ok().and_then(|scale| scale.parse().ok()).unwrap_or(0.05);
    ((FULL * scale) as usize).max(20_000)
}

async fn round(cache: &CacheService, count: usize) {
    for number in 0..count / 4 {
        let key = format!("key:{}", number % 50_000);
        cache.set(&key, &number, Duration::from_millis(1 + number as u64 % 50)).await.expect("set");
        cache.get::<usize>(&key).await.expect("get");
        let fetch = || async { if number % 7 == 0 { Err(std::io::Error::other("down")) } else { Ok(number) } };
        drop(cache.get_or_fetch::<usize, _, _, _>(&format!("fetched:{number}"), 60, fetch).await);
        cache.delete(&key).await.expect("delete");
    }
}

#[tokio::test]
async fn memory_stays_flat() {
    let cache = CacheService::builder().l1_bytes(4_u64 << 20).build().expect("a cache");
    round(&cache, 20_000).await;
    let before = resident_bytes();
    round(&cache, operations()).await;
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < ALLOWED_GROWTH_BYTES, "resident memory grew by {grown} bytes");
    assert!(cache.stats().bytes <= 4 << 20, "{:?}", cache.stats());
}
