//! How concurrent effects become one value: the algebra of `docs/merging.md`.
//!
//! An effect gives a key parts and takes parts away that its writer had observed. The state of a key is the parts that are left; what
//! it *shows* is a plain value. It is not the fast path of a single node, where everything is stable: there a key is the plain value.
//!
//! ```text
//! Event (dot, hlc, context, effect) ──apply──▶ Reduced ──shown──▶ Shown ──write──▶ Folded
//!                                                │ ▲
//!                          merge2, merge_n ──────┘ └────── forget (stable): parts become the base
//!
//! Reduced   seen, folded                          what was applied; what the bases stand for
//!           kinds                                 the latest write of each type
//!           string  base ◀ values ◀ edits         of several values the latest, edits follow on it
//!           key     base ◀ statements             the latest moment of those that count
//!           list, hash, set, zset by name:        base ◀ values ◀ edits; of fields statements too
//! ```
//! Read first: [`Event`], [`Reduced`], [`Shown`].
//!
//! *Invariant:* the state is a function of the set of effects and of what each had observed. Order of arrival, duplicates, the shape
//! of merges and the moment of forgetting change nothing that is shown.
//! *Invariant:* a part's tag is kept exactly as long as an effect may arrive that has not observed it.

mod apply;
mod commit;
mod deadlines;
mod edit;
mod element;
mod event;
mod marshal;
mod merge;
mod parts;
mod reduced;
mod register;
mod shown;
mod sparse;
mod stored;
mod tag;

pub use apply::Applied;
pub use event::Event;
pub use marshal::{Unmarshalled, marshal, unmarshal};
pub use merge::{merge_n, merge2, reduce_branch, reduce_chain};
pub use reduced::Reduced;
pub use shown::{Field, Plain, Shown};
pub use sparse::{Base, Unit};
