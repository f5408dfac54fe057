//! The flight table by itself, and the seam over memory. The model checks run the same table and queue under
//! shuttle's scheduler: `cargo test -p scrubjay --features shuttle model_`.

#[cfg(feature = "shuttle")]
mod model;
#[cfg(not(feature = "shuttle"))]
mod seam;
