//! Tells the sources which Python they are built for: `Py_GIL_DISABLED` is the one they ask.

fn main() {
    pyo3_build_config::use_pyo3_cfgs();
}
