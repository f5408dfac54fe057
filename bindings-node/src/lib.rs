//! The addon behind the npm package `scrubjay`: the seam of the core, as plain functions for `lib/*.js`.
//!
//! Nothing here is public: `index.d.ts` is. JavaScript keeps the promises, this keeps the calls: every function
//! answers at once or is completed through one queue per Node environment. Its event loop drives the connections itself
//! (`uv.rs`), or is woken for a whole batch (`host.rs`): one call of one JavaScript function either way. No promise, task or reference is made per operation here.
//!
//! What an answer looks like in JavaScript is in `answer.rs`.

mod answer;
mod behind;
mod cache;
mod errors;
mod exchange;
mod failure;
mod host;
mod input;
mod js;
mod lent;
mod slots;
mod table;
mod template;
mod through;
mod update;
mod uv;
mod writes;

use napi::bindgen_prelude::{JsValue, Object};
use napi_derive::napi;

use js::{Js, export};

/// Fills the exports of the addon.
#[napi(module_exports)]
pub fn init(exports: Object, env: napi::Env) -> napi::Result<()> {
    let js = Js::new(env.raw());
    let exports = exports.raw();
    for (name, status) in answer::STATUSES {
        js.set_named(exports, name, js.number(f64::from(*status)));
    }
    export!(js, exports, failure::{kinds});
    export!(js, exports, host::{start, keep_alive, let_go, drain, gone, cancel});
    export!(js, exports, errors::{released});
    export!(js, exports, cache::{
        open, peek, get, set, remove, clear, stats, effective_staleness_bound, observe, close, note_undecodable
    });
    export!(js, exports, cache::{copies_open, copies_wake, copies_drain, note_hits});
    export!(js, exports, cache::{get_many, set_many, remove_many, invalidate_tags});
    export!(js, exports, cache::{begin, begin_many, fulfil, fail, abandon});
    export!(js, exports, through::{begin_store, end_store});
    export!(js, exports, update::{begin_update, end_update, explain});
    export!(js, exports, behind::{
        behind_open, behind_set, behind_remove, behind_delta, behind_turn, behind_next, behind_ack, behind_nack,
        behind_give_back, behind_letters, behind_replay, behind_drop, behind_flush, behind_close, behind_stats
    });
    export!(js, exports, slots::{slots_open, slots_wake, slots_insert, slots_remove, slots_clear, slots_drain});
    export!(js, exports, slots::{slots_stats, ttl_millis});
    export!(js, exports, template::{parse_template, template_names, render_template, default_key});
    Ok(())
}
