//! Large values as rows: which elements changed since they were last written down, and all of them as they were at one
//! moment, while commands go on.
//!
//! ```text
//!   freeze ──▶ next_rows … next_rows ──▶ thaw        all rows are durable: what was frozen is at rest
//!     │              ▲                └▶ cancel      they are lost: what was frozen has changed
//!     │              └ commands change the value in between; what they change ahead of it is kept as it was
//!     └ the moment: what changed so far belongs to the image
//! ```
//!
//! Each element has a [`Mark`] beside it. What has a row and goes is remembered by name in a [`Trail`], which also has what
//! an image needs. A value has a trail, in its [`Wide`], from the first time it is written, and it goes with the value
//! wherever that goes.
//!
//! Rows come in their order in the store (`mvcc::wide`): by the hash of names, by score, by position, by block. With one
//! exception: names of more than a thousand bytes that have the same hash or score and the same beginning come in the
//! order of their bytes, where the store orders them by digest. Whoever writes a sorted run sorts such a group.
//!
//! Read first: [`Entry::freeze`](crate::value::Entry::freeze), [`WideRow`], [`Mark`].
//!
//! *Invariant:* rows of all images that were written, applied in turn, are the value as it was at the last freeze of them.

mod blocks;
mod entry;
mod load;
mod mark;
mod named;
mod page;
mod row;
mod runs;
mod trail;

pub use blocks::BLOCK_BYTES;
pub(super) use entry::Wide;
pub use entry::{Image, Spent};
pub use load::{Loader, RowRefused};
pub use mark::Mark;
pub(super) use mark::{Epoch, advance, give_up};
pub(super) use named::{Named, Order, Source, ZSetTrail};
pub(super) use page::Page;
pub use page::{Budget, RowSink};
pub use row::{Content, RowKey, WideRow};
pub(crate) use row::{score_of, score_order};
pub(super) use runs::{Placed, behind, first};
