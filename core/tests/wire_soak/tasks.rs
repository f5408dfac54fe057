//! Tasks on the user's runtime.

use std::future::Future;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use scrubjay::{ErrorKind, Raw};

use crate::keys::{Ask, Keys, Own, Question};
use crate::world::{Began, Driver, Outcome, Side, World};

const CANCELLED: f64 = 0.01;
const REST: Duration = Duration::from_millis(5);
const TTL: Duration = Duration::from_secs(3600);

/// Asks until the world stops, or the cache is closed.
pub async fn ask(world: &World, side: &Side, keys: &Keys, began: &Began, seed: u64, own: Option<Own>) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut unanswered = 0;
    while !world.is_stopping() {
        let question = keys.draw(&mut random, own);
        let begun = world.now();
        began.at(begun);
        let turns = random.random_bool(CANCELLED).then(|| random.random_range(0..4));
        let outcome = match turns {
            None => one(side, keys, &question).await,
            // Dropped after so many turns of the others, if it has not ended by then.
            Some(turns) => tokio::select! {
                biased;
                outcome = one(side, keys, &question) => outcome,
                () = yields(turns) => Ok(Outcome::Cancelled),
            },
        };
        began.ended();
        match outcome {
            Ok(outcome) => {
                world.count(Driver::Tasks, outcome, world.now() - begun, side.timeout);
                unanswered = if outcome.is_answer() { 0 } else { unanswered + 1 };
            }
            Err(Wrong::Closed) => return world.stop(),
            Err(Wrong::Other(wrong)) => return world.fail(format!("tasks: {wrong}")),
        }
        if unanswered > 1 {
            tokio::time::sleep(REST).await;
        }
    }
}

pub enum Wrong {
    Closed,
    Other(String),
}

impl From<scrubjay::Error> for Wrong {
    fn from(error: scrubjay::Error) -> Self {
        if error.kind() == ErrorKind::Closed { Wrong::Closed } else { Wrong::Other(error.to_string()) }
    }
}

/// One operation.
pub async fn one(side: &Side, keys: &Keys, question: &Question) -> Result<Outcome, Wrong> {
    let cache = &side.service;
    match question.ask {
        Ask::Get(key) => match cache.get::<Raw>(keys.name(key)).await? {
            None => Ok(Outcome::Miss),
            Some(value) => {
                keys.check(question, 0, &value).map_err(Wrong::Other)?;
                Ok(Outcome::Hit)
            }
        },
        Ask::GetMany(many) => {
            let found = cache.get_many::<Raw>(&many.map(|key| keys.name(key))).await?;
            for (index, key) in many.iter().enumerate() {
                if let Some(value) = found.get(keys.name(*key)) {
                    keys.check(question, index, value).map_err(Wrong::Other)?;
                }
            }
            Ok(if found.is_empty() { Outcome::Miss } else { Outcome::Hit })
        }
        Ask::Set(key, version) => {
            let receipt = cache.set(keys.name(key), &Raw(keys.value(key, version)), TTL).await?;
            keys.written(question, receipt.pending);
            Ok(Outcome::of_write(receipt.pending))
        }
        Ask::Delete(key, _) => {
            let receipt = cache.delete(keys.name(key)).await?;
            keys.written(question, receipt.pending);
            Ok(Outcome::of_write(receipt.pending))
        }
    }
}

/// Writes every key once, as far as the server can be reached.
pub async fn fill(side: &Side) {
    let keys = &side.service_keys;
    for key in 0..keys.len() {
        drop(one(side, keys, &keys.write(key)).await);
    }
}

async fn yields(turns: u32) {
    for _ in 0..turns {
        tokio::task::yield_now().await;
    }
}

/// Runs `work` to its end on this thread.
pub fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
}
