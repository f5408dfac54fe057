//! The numbers of fetch errors: JavaScript keeps the error objects in a table of its environment, the core carries the
//! numbers and says when no answer can name one any more.
//!
//! The core tells that once for the whole process, but each environment (the main thread and every worker) has a
//! table of its own: the number says whose it is.

use std::collections::hash_map::{Entry, HashMap};
use std::sync::{LazyLock, Mutex, PoisonError};

use scrubjay_core::host::take_released_errors;

use crate::js::{Arguments, Handle, Js, Value};

/// Bits of a number that count the errors of one environment; the environment's own number is above them, and together
/// they fit into the 53 bits of a number of JavaScript.
const COUNT_BITS: u32 = 32;
/// Environments are numbered 1 to this, and then again.
const MAX_ENVIRONMENTS: u64 = (1 << 21) - 1;

#[derive(Default)]
struct Released {
    last: u64,
    by_environment: HashMap<u64, Vec<u64>>,
}

static RELEASED: LazyLock<Mutex<Released>> = LazyLock::new(Mutex::default);

fn with_released<R>(work: impl FnOnce(&mut Released) -> R) -> R {
    work(&mut RELEASED.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Begins an environment and gives it the number that its errors carry.
pub fn enrol() -> u64 {
    with_released(|released| {
        loop {
            released.last = released.last % MAX_ENVIRONMENTS + 1;
            if let Entry::Vacant(entry) = released.by_environment.entry(released.last) {
                entry.insert(Vec::new());
                return released.last;
            }
        }
    })
}

/// Ends an environment: nobody will ask for its errors any more.
pub fn leave(environment: u64) {
    with_released(|released| released.by_environment.remove(&environment));
}

/// The number before the first error of an environment.
#[expect(clippy::cast_precision_loss, reason = "below 2^53")]
pub fn first_number(environment: u64) -> f64 {
    (environment << COUNT_BITS) as f64
}

/// `released(host)`: the numbers of this environment's errors that no answer can name any more.
#[expect(clippy::cast_precision_loss, reason = "below 2^53")]
pub fn released(js: Js, [host, ..]: Arguments) -> Value {
    let Handle::Host(host) = js.handle(host) else { unreachable!("the first argument is a host") };
    let mut numbers = Vec::new();
    take_released_errors(&mut numbers);
    let mine = with_released(|released| {
        for number in numbers {
            // Those of an environment that has ended are nobody's.
            if let Some(list) = released.by_environment.get_mut(&(number >> COUNT_BITS)) {
                list.push(number);
            }
        }
        released.by_environment.get_mut(&host.number()).map(std::mem::take).unwrap_or_default()
    });
    let mine: Vec<Value> = mine.into_iter().map(|number| js.number(number as f64)).collect();
    js.array(&mine)
}
