//! The tests of runs, of dead rows and of the model once more, with stores whose values are sealed.
#![allow(
    clippy::duplicate_mod,
    reason = "each file of tests is a program of its own elsewhere, and brings what it needs"
)]

#[path = "dead.rs"]
mod dead;
#[path = "model.rs"]
mod model;
#[path = "run.rs"]
mod run;
