//! The two ends of a write to a source whose value goes into the cache.

use crate::answer::step;
use crate::cache::{cache, check};
use crate::input::{KeyRoom, leases, put, value};
use crate::js::{Arguments, Js, UNDEFINED, Value};
use crate::update::options;

const THROUGH: &str = "write_through";

/// `begin_store(cache, key, value, token, put, how, held)` → a lead, whose lease is the number of the write. `value` is undefined
/// for a removal, `put` an array of `ttl`, `codec` and `tags`; `how` is as for `begin_update`, `held` as for `begin`.
pub fn begin_store(js: Js, [this, key, stored, token, how_stored, how, held, ..]: Arguments) -> Value {
    let this = cache(js, this);
    let mut room = KeyRoom::new();
    let key = check!(room.read(js, key, THROUGH));
    let parts = js.as_array(how_stored);
    let part = |at: usize| parts.get(at).copied().unwrap_or(UNDEFINED);
    let put = check!(put(js, part(0), part(1), part(2), THROUGH));
    let options = check!(options(js, how, THROUGH));
    let value = (js.type_name(stored) != "undefined").then(|| value(js, stored));
    let (queue, token, held) = (this.host.queue(), js.as_id(token), leases(js, held));
    step(js, THROUGH, this.core.begin_store(key, value.as_ref(), &put, &options, &held, queue, token))
}

/// `end_store(cache, write, token)`
pub fn end_store(js: Js, [this, write, token, ..]: Arguments) -> Value {
    let this = cache(js, this);
    step(js, THROUGH, this.core.end_store(js.as_id(write), this.host.queue(), js.as_id(token)))
}
