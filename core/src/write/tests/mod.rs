//! The parts of a write-behind.
