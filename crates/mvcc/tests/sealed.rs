//! The tests of runs, of dead rows and of the model once more, with stores whose values are sealed.

#[path = "dead.rs"]
mod dead;
#[path = "model.rs"]
mod model;
#[path = "run.rs"]
mod run;
