//! The caches that are compared, and what is asked of them: for the program that takes turns between them
//! (`make bench-memory`) and for the one that looks at single calls (`cargo bench`).

pub mod subjects;
pub mod workload;
