//! The vocabulary of change: effects, batches, identities and clocks. Pure: no I/O, no clock, no runtime.

pub mod glob;
