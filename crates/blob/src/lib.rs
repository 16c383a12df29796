//! A log-structured store for values of some kilobytes to some hundred megabytes, on a local disk.
pub mod budget;
mod buf;
pub mod disk;
mod error;
pub mod format;
mod hash;
pub mod index;
pub mod limits;
mod options;
mod resident;
mod segment;
mod store;
mod sync;

pub use buf::Guard;
pub use error::{BusyReason, Class, Error, Result, classify};
pub use hash::{HashFn, KeyHash};
pub use index::policy::PolicyKind;
pub use options::{Clock, Mode, Options};
pub use store::{
    Draft, Entry, Health, OpenReport, PutOptions, Range, Removal, ScrubReport, Stats, Store,
};
