//! The tests of crashes, of damage, of failures and of the log once more, with logs whose records are encrypted.
#![allow(
    clippy::duplicate_mod,
    reason = "each file of tests is a program of its own elsewhere, and brings what it needs"
)]

#[path = "corruption.rs"]
mod corruption;
#[path = "crash.rs"]
mod crash;
#[path = "failures.rs"]
mod failures;
#[path = "log.rs"]
mod log;
