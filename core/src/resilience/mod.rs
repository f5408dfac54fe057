//! What keeps a failing shared tier from becoming everybody's failure.

mod backoff;
mod breaker;

pub(crate) use backoff::Backoff;
pub(crate) use breaker::{Breaker, CutOff, Permit};
