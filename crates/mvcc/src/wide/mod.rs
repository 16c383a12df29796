//! Wide columns: how a value becomes rows, and rows become its parts again. Pure functions over bytes.
//!
//! ```text
//!   meta row     10 keyspace u16 slot u16 db u8 h32 u32 key   →  what the key is: a string itself, or a collection's
//!                                                               incarnation, length and ends        (integers big-endian)
//!   element row  20 origin u64 seq u64 kind u8 …              →  a part of the collection of that incarnation
//!
//!     kind 01  length delta   commit u64  n u32               →  length i64, for lists also head i64
//!     kind 10  hash field     field                           →  value
//!     kind 20  set member     member                          →  (nothing)
//!     kind 30  zset member    member                          →  score f64
//!     kind 31  zset score     score sortable u64  member      →  (nothing)
//!     kind 40  list item      place                           →  value
//!     kind 41  list claim     place                           →  (nothing)
//!     kind 50  stream entry   ms u64  seq u64                 →  fields and values
//! ```
//!
//! A collection's rows are named by its *incarnation*, the dot that created it, not by its key: whoever deletes,
//! overwrites or renames the key writes its meta row only, and rows of an older life of the key are in nobody's range.
//! An incarnation has a fixed width, so that no collection's range holds a row of another; what varies in length ends
//! the row.
//!
//! *Invariant:* the order of rows of a kind is the order of elements: bytes of members, then scores and members,
//! places, entry ids.
//!
//! *Invariant:* parsing accepts what building makes and nothing else, with an error for all other bytes.
//!
//! Kinds 32 and 42 are kept for the counts that make ranks quick in large sorted sets and lists; meta type 1 for a
//! string that lies in the blob store.

mod delta;
mod element;
mod error;
mod fields;
mod kind;
mod meta;
mod number;
mod place;
mod rows;
mod stream;

pub use delta::{DELTA_SCAN_LIMIT, FOLD_FROM, Fold, Length, LengthDelta, fold, length};
pub use element::{Element, Incarnation};
pub use error::WideError;
pub use kind::{Kind, Tag, tag};
pub use meta::{Body, ListMeta, Meta, MetaKey, StreamMeta};
pub use number::{Score, sortable_i64, unsortable_i64};
pub use place::{Place, Step};
pub use rows::Rows;
pub use stream::{StreamId, decode_entry, encode_entry};
