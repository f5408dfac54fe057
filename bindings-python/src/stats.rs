//! The counters of a cache.

use pyo3::prelude::*;
use pyo3::types::PyDict;
use scrubjay_core::BreakerState;

/// A snapshot of the counters of one cache since it was opened.
#[pyclass(frozen, module = "scrubjay")]
pub(crate) struct Stats(pub(crate) scrubjay_core::Stats);

macro_rules! counters {
    ($($name:ident)*) => {
        #[pymethods]
        impl Stats {
            $(
                #[getter]
                fn $name(&self) -> u64 {
                    self.0.$name
                }
            )*

            /// Whether the shared tier is cut off: "closed" (it is used), "open" (it is not) or "half_open".
            #[getter]
            fn breaker_state(&self) -> &'static str {
                match self.0.breaker_state {
                    BreakerState::Open => "open",
                    BreakerState::HalfOpen => "half_open",
                    _ => "closed",
                }
            }

            /// The counters by name.
            fn as_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
                let fields = PyDict::new(py);
                for (name, value) in self.0.counters() {
                    fields.set_item(name, value)?;
                }
                fields.set_item("breaker_state", self.breaker_state())?;
                Ok(fields)
            }

            fn __repr__(&self) -> String {
                let counters = self.0.counters().map(|(name, value)| format!("{name}={value}"));
                format!("Stats({}, breaker_state='{}')", counters.join(", "), self.breaker_state())
            }
        }
    };
}

counters! {
    hits_l1 hits_l2 misses stale_served loads load_errors waits evictions expired invalidations pending
    decode_misses l2_errors driven_by_core driven_by_caller push_sessions coherence_lag_ms entries bytes
}
