//! Backups of a node that runs, and data directories made of them.
//!
//! **What it is.** A *repository* is a place in object storage (crate `archive`). A backup there is a base, the rows of a
//! checkpoint, or goes on where another ended; with it goes the log up to a moment, and at the end a small manifest. Of any
//! moment from the base on a data directory can be made.
//!
//! **What it is not.** It does not know what is in a row or in a batch, except for the time of a batch. It decides not when
//! backups are taken, and deletes none that is whole.
//!
//! ```text
//!   Engine::base ─▶ rows ─▶ parts ─┐
//!   Engine::log ─▶ records ─▶ parts ─┼─▶ sealed for a public key ─▶ storage ─▶ manifest, last
//!                                    ▼
//!   manifests, from the one asked for back to its base ─▶ rows, records up to a moment ─▶ engine::backup::Making
//! ```
//!
//! Read first: [`take`], [`Manifest`], [`Restore`].
//!
//! *Invariant:* a backup is there with its manifest or not at all, and no object of one is ever replaced.
//!
//! *Invariant:* a node that takes backups needs no private key: what it must know to go on is noted in its data directory.
//!
//! *Invariant:* memory is bounded by constants of [`limits`], however large a backup is.

mod choose;
mod digest;
mod error;
mod feed;
mod id;
pub mod limits;
mod log_part;
mod manifest;
mod note;
mod place;
mod plan;
mod progress;
mod prune;
mod repository;
mod restore;
mod schedule;
mod take;
mod target;
mod time;

pub use error::Error;
pub use id::BackupId;
pub use manifest::Manifest;
pub use note::Purpose;
pub use place::{ACCESS_KEY_VARIABLE, open_place};
pub use plan::{Why, WhyWhole};
pub use progress::{Phase, Progress};
pub use prune::prune;
pub use repository::{Listed, Repository};
pub use restore::{Restore, Restored, Returning};
pub use schedule::{Lag, Schedule};
pub use take::{Beside, Hole, Job, Report, Sizes, reached, take};
pub use time::{format_ms, parse_time};
