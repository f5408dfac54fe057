//! The native half of the Python package `scrubjay`: the codec, the calls, and the two ways to wait.
//!
//! Rules of this crate:
//!
//! * It holds no policy: options, limits and defaults are those of the core.
//! * No Python object is ever seen by a thread of the core; only numbers and bytes cross.
//! * No code of the user runs above a frame of ours: fetches are called from Python (`_load.py`). A daemon
//!   thread may be ended inside of them when the interpreter exits, and nothing of ours must be on its stack.
//! * The GIL is let go only to wait. A hit keeps it: letting it go costs more than the hit.

mod aio;
mod answer;
mod args;
mod batch;
mod behind;
mod blocking;
mod by_slot;
mod cache;
mod calls;
mod decode;
mod encode;
mod errors;
mod exit;
mod fetch;
mod guarded;
mod held;
mod hits;
mod key_cache;
mod large;
mod map;
mod memo;
mod memory;
mod raw;
mod ready;
mod receipt;
mod seed;
mod slot_table;
mod stats;
mod sweep;
mod template;
mod through;
mod turn;
mod update;
mod weight;
mod writes;

use pyo3::prelude::*;

#[pymodule(gil_used = false)]
mod _scrubjay {
    #[pymodule_export]
    use super::aio::{LoopQueue, Pending};
    #[pymodule_export]
    use super::answer::Signal;
    #[pymodule_export]
    use super::batch::Batch;
    #[pymodule_export]
    use super::behind::Behind;
    #[pymodule_export]
    use super::cache::Cache;
    #[pymodule_export]
    use super::encode::canonical_json;
    #[pymodule_export]
    use super::errors::Failure;
    #[pymodule_export]
    use super::exit::shutdown;
    #[pymodule_export]
    use super::hits::install_cache_service;
    #[pymodule_export]
    use super::memory::{Memo, Memory, install_memory_cache};
    #[pymodule_export]
    use super::receipt::Receipt;
    #[pymodule_export]
    use super::stats::Stats;
    #[pymodule_export]
    use super::sweep::swept;
    #[pymodule_export]
    use super::template::{Template, default_key};
    #[pymodule_export]
    use super::through::{abegin_store, aend_store, begin_store, end_store};
    #[pymodule_export]
    use super::turn::Turn;
    #[pymodule_export]
    use super::update::{abegin_update, aend_update, aexplain, begin_update, check_write, end_update, explain};
    #[pymodule_export]
    use super::writes::{Handed, Write};

    use pyo3::prelude::*;
    use pyo3::types::PyFunction;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        super::exit::refuse_subinterpreters(module.py())?;
        // Looked up by an import, which fails in code whose globals have no builtins: so it is done here, once.
        module.py().get_type::<PyFunction>();
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        module.add("Memoised", super::memory::memoised_type(module.py())?)?;
        module.add("Ready", super::ready::ready_type(module.py())?)?;
        super::answer::add_signals(module)?;
        super::errors::add_kinds(module)
    }
}
