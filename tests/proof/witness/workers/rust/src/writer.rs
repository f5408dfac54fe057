//! The writer.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rand::Rng;
use rand::rngs::SmallRng;
use tokio::time::sleep;

use crate::log::{Begun, Op, PENDING};
use crate::worker::{Worker, is_absent, name, ttl};

/// Writes until it is told to stop.
pub async fn write_on(worker: Arc<Worker>, mut rng: SmallRng) {
    while worker.is_writing() {
        let pause = -(1.0 - rng.random::<f64>()).ln() / worker.config.writes;
        sleep(Duration::from_secs_f64(pause)).await;
        write(&worker, &mut rng).await;
    }
}

/// A new version in the truth; then the key is deleted, or set by the only one who writes it.
async fn write(worker: &Worker, rng: &mut SmallRng) {
    let Some(key) = choose(worker, rng) else { return };
    let (sets, pauses, pause) = (rng.random_bool(0.5), rng.random_bool(0.3), rng.random::<f64>() * 0.003);
    let mut begun = Begun::new(Op::Delete, None);
    let ver = worker.truth.write(key).await;
    if pauses {
        sleep(Duration::from_secs_f64(pause)).await;
    }
    if key % 2 == 0 && sets && !is_absent(key, ver) {
        begun.op = Op::Set;
    }
    let receipt = loop {
        let written = match begun.op {
            Op::Set => worker.cache.set(&name(key), &worker.value(key, ver), ttl(key)).await,
            _ => worker.cache.delete(&name(key)).await,
        };
        match written {
            Ok(receipt) => break receipt,
            // Nothing has happened then.
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
    };
    worker.log.note(begun, key, (ver, key), if receipt.pending { PENDING } else { 0 });
    if receipt.pending {
        worker.note_pending();
    }
}

/// An odd key, or an even one of this worker.
fn choose(worker: &Worker, rng: &mut SmallRng) -> Option<u32> {
    let key = rng.random_range(0..worker.config.keys);
    if key % 2 == 1 {
        return Some(key);
    }
    let workers = worker.config.workers;
    let own = (key / 2 / workers * workers + u32::from(worker.config.worker)) * 2;
    (own < worker.config.keys).then_some(own)
}

/// Writes down when what was pending has landed, and lets the log be seen.
pub async fn watch_landing(worker: Arc<Worker>) {
    loop {
        // In this order: what is covered was written down before the record of its landing begins.
        let returned = worker.returned();
        let begun = Begun::new(Op::Landed, None);
        if worker.is_pending() && worker.cache.stats().pending == 0 {
            worker.log.note(begun, 0, (-1, 0), 0);
            worker.note_landed(returned);
        }
        worker.log.flush();
        // Nobody needs it; but where it is moved, this shows that it was.
        std::hint::black_box(SystemTime::now());
        sleep(Duration::from_millis(20)).await;
    }
}
