//! Elements of a large value that are *away*: at rest only, while the rest of the value is in memory.
//!
//! ```text
//!   a value of 10 M elements:   in memory  ── what was asked for lately, and what has changed since the last checkpoint
//!                               away       ── the others: how many, and, where there is an order, how many between which two
//! ```
//! A value does not need its elements to be changed: an element that is added, or looked up by name, is brought in alone. Where
//! ranks are asked for, the elements between two *fences* come together. So memory holds one [`Gaps`] entry for some hundred
//! elements of a sorted set or list, and nothing but a number for a hash or a set.
//!
//! *Invariant:* an element that is not in memory is away if it has a row and was not removed since; else there is none.
//!
//! *Invariant:* what is away has a row that says what it is: only elements at rest leave, and none while an image is written.
//!
//! *Invariant:* fields that are away have no deadline.

mod entry;
mod fences;
mod gaps;
mod names;
mod part;

pub(crate) use entry::AtRestValue;
pub(super) use entry::ShedFrom;
pub(crate) use fences::count_fenced;
pub(super) use fences::{Fencing, Ordered, Went};
pub(super) use gaps::Gaps;
pub(super) use names::{Among, AwayNames};
pub use part::{Away, Part};
pub(crate) use part::{Edge, Shed, Want};

/// Values with fewer elements come into memory as a whole. Few in tests, for many that do not.
pub(crate) const PARTLY_LEAST: usize = if cfg!(test) { 160 } else { 16 << 10 };

/// Elements between two fences, about.
pub(crate) const FENCE_ELEMENTS: usize = if cfg!(test) { 8 } else { 256 };

/// Names of which it is known that they are not there, in one value.
const VACANT_MOST: usize = if cfg!(test) { 8 } else { 4096 };
