//! The vocabulary of change.
pub mod pos;
pub mod wire;
pub use pos::{ListPos, PathStep};
