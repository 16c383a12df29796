//! Backups of an engine that others write to, and what is made of them.
#![allow(clippy::unwrap_used, reason = "a failure is the test's")]

mod archive;
mod bench;
mod damage;
mod faults;
mod going_on;
mod round_trip;
