//! The core's side of a `MemoryCache`: JavaScript keeps keys and values, the core decides what lives. Numbers go by the
//! exchange.

use std::sync::{Arc, Mutex, PoisonError};

use scrubjay_core::host::{PutOptions, SlotRef, Slots, Ttl};
use scrubjay_core::{ErrorKind, Options};

use crate::exchange::{BATCH, Exchange};
use crate::failure::{failure, refuse};
use crate::host::HostRef;
use crate::input::put;
use crate::js::{Arguments, Handle, Js, UNDEFINED, Value};
use crate::table::table;

/// One cache.
pub struct Keeper {
    core: Arc<Slots>,
    host: HostRef,
    /// What an insert evicted beyond a batch. Held by the one thread of the environment.
    left: Mutex<Vec<SlotRef>>,
}

impl Keeper {
    fn exchange(&self) -> &Exchange {
        self.host.exchange()
    }

    /// Runs `work` with the list of what is gone, then tells a batch of it.
    fn telling<R>(&self, work: impl FnOnce(&mut Vec<SlotRef>) -> R) -> R {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let done = work(&mut left);
        self.exchange().tell_gone(&mut left);
        done
    }
}

fn keeper<'call>(js: Js, value: Value) -> &'call Keeper {
    match js.handle(value) {
        Handle::Slots(keeper) => keeper,
        _ => unreachable!("the first argument is that of a memory cache"),
    }
}

/// `slots_open(host, max, maxBytes)` → `[slots, table]`, or a failure. The bounds are numbers or undefined.
pub fn slots_open(js: Js, [host, entries, bytes, ..]: Arguments) -> Value {
    let Handle::Host(host) = js.handle(host) else { unreachable!("the first argument is a host") };
    let bound = |value| js.as_number(value).map(|_| js.as_id(value));
    let core = match Slots::open(bound(entries), bound(bytes)) {
        Ok(core) => core,
        Err(error) => return failure(js, &error),
    };
    let Some(table) = table(js, core.clone(), &core.table()) else {
        return refuse(js, ErrorKind::Internal, "open", "Node has no room for the table of slots");
    };
    let keeper = Keeper { core, host: host.clone(), left: Mutex::default() };
    js.array(&[js.external(Handle::Slots(keeper)), table])
}

/// `slots_wake(slots, id)`: from now on the environment is woken when entries are gone, and told the id.
pub fn slots_wake(js: Js, [this, id, ..]: Arguments) -> Value {
    let this = keeper(js, this);
    let (host, id) = (this.host.clone(), js.as_id(id));
    this.core.on_gone(move || host.note_gone(id));
    UNDEFINED
}

/// `slots_insert(slots)`: in go the hash, the weight, the ttl, and the slot of the entry that this one replaces; out
/// comes where it is, or that it is larger than the bound; and what was evicted for it.
pub fn slots_insert(js: Js, [this, ..]: Arguments) -> Value {
    let this = keeper(js, this);
    let exchange = this.exchange();
    let (hash, weight, ttl, instead) = (exchange.hash(), exchange.weight(), exchange.ttl(), exchange.instead());
    exchange.grant(this.telling(|gone| this.core.insert(hash, weight, ttl, instead, gone)));
    UNDEFINED
}

/// `slots_remove(slots)`: in goes the slot.
pub fn slots_remove(js: Js, [this, ..]: Arguments) -> Value {
    let this = keeper(js, this);
    if let Some(at) = this.exchange().instead() {
        // False where it had gone already.
        let _ = this.core.remove(at);
    }
    UNDEFINED
}

/// `slots_clear(slots)`
pub fn slots_clear(js: Js, [this, ..]: Arguments) -> Value {
    let this = keeper(js, this);
    this.core.clear();
    this.left.lock().unwrap_or_else(PoisonError::into_inner).clear();
    UNDEFINED
}

/// `slots_drain(slots)`: out comes a batch of what is gone.
pub fn slots_drain(js: Js, [this, ..]: Arguments) -> Value {
    let this = keeper(js, this);
    this.telling(|gone| this.core.drain(BATCH.saturating_sub(gone.len()), gone));
    UNDEFINED
}

/// `slots_stats(slots)` → `[evictions, expired, entries, bytes]`
#[expect(clippy::cast_precision_loss, reason = "counters are below 2^53")]
pub fn slots_stats(js: Js, [this, ..]: Arguments) -> Value {
    let stats = keeper(js, this).core.stats();
    js.array(&[stats.evictions, stats.expired, stats.entries, stats.bytes].map(|count| js.number(count as f64)))
}

/// `ttl_millis(ttl, operation)` → milliseconds, or a failure. `ttl` is in seconds; undefined is the default of all
/// caches.
#[expect(clippy::cast_precision_loss, reason = "a year has some 2^35 milliseconds")]
pub fn ttl_millis(js: Js, [ttl, operation, ..]: Arguments) -> Value {
    let operation = String::from_utf8(js.as_text(operation).unwrap_or_default()).unwrap_or_default();
    let PutOptions { ttl, .. } = match put(js, ttl, UNDEFINED, UNDEFINED, &operation) {
        Ok(options) => options,
        Err(failure) => return failure,
    };
    let duration = match ttl {
        Ttl::Default => Options::default().ttl,
        Ttl::Of(duration) => duration,
    };
    // Parts of a millisecond are cut off: never later than asked.
    js.number(duration.as_millis() as f64)
}
