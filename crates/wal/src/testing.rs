//! For tests: a disk in memory that crashes and fails on request, and what every disk must do.

pub mod conformance;
mod memory;

pub use memory::{Fault, MemDisk};
