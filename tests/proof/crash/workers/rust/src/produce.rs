//! A caller that writes behind, and says what was acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use scrubjay::WriteBehind;

use crate::Config;
use crate::truth::{Value, say};

/// Each caller has so many keys of values and one of changes, of which each one counts.
const KEYS: u64 = 3;

/// Writes until it is told to stop.
pub async fn run(behind: WriteBehind, config: Config, caller: u32, stop: Arc<AtomicBool>) {
    let pause = Duration::from_secs_f64(config.pause_ms / 1000.0);
    let mut version = config.version;
    while !stop.load(Ordering::Relaxed) {
        version += 1;
        let of = version % (KEYS + 1);
        let key = format!("{}:{caller}:{of}", config.name);
        let value = Value { v: version, pad: "x".repeat(config.padding) };
        let changes = config.changes || of == KEYS;
        let written = if changes { behind.delta(&key, &value).await } else { behind.set(&key, &value, 600).await };
        match written {
            Ok(_) => say(&format!("a {} {key} {version}", if changes { 'd' } else { 's' })),
            Err(error) => {
                say(&format!("f {:?}", error.kind()));
                // Its reasons do not go away by asking again at once.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        tokio::time::sleep(pause).await;
    }
}
