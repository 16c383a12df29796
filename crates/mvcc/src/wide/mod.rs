//! Wide columns: how a value becomes rows, and rows become its parts again. Pure functions over bytes.
//!
//! ```text
//!   meta row     10 keyspace u16 slot u16 db u8 h32 u32 key   →  what the key is: a value, or a collection's incarnation,
//!                                                               length and ends                     (integers big-endian)
//!   element row  20 incarnation u64 kind u8 …                 →  a part of the collection of that incarnation
//!
//!     kind 01  length delta   commit u64  n u32               →  length i64, for lists also head i64
//!     kind 03  string block   n u32                           →  bytes of it
//!     kind 10  hash field     hash u64  field                 →  flags u8, deadline i64 if it has one, value
//!     kind 12  hash deadlines                                 →  how many fields have a deadline
//!     kind 20  set member     hash u64  member                →  (nothing)
//!     kind 30  zset member    hash u64  member                →  score f64
//!     kind 31  zset score     score sortable u64  member      →  (nothing)
//!     kind 32  zset fences    n u32                           →  counts of stretches of members by score
//!     kind 40  list item      place                           →  value
//!     kind 41  list claim     place                           →  (nothing)
//!     kind 42  list fences    n u32                           →  counts of stretches of items
//!     kind 50  stream entry   ms u64  seq u64                 →  fields and values
//! ```
//!
//! What varies in length, a name or a place, ends the row's key. A key, field or member of more than
//! [`INLINE_NAME_BYTES`] is there as its beginning and its digest, and stands whole in front of the row's value
//! (`name.rs` draws it).
//!
//! A collection's rows are named by its *incarnation*, not by its key: whoever deletes, overwrites or renames the key
//! writes its meta row only, and rows of an older life of the key are in nobody's range. An incarnation has a fixed
//! width, so that no collection's range holds a row of another.
//!
//! Fields and members are ordered by their hash: so are the tables in memory, by the same keyed hash, which is handed
//! in. A table therefore becomes rows, and rows a table, in one pass without sorting; and a scan's cursor, which is a
//! hash, means the same place in both.
//!
//! *Invariant:* the order of rows of a kind is the order of elements: hashes and members, scores and members, places,
//! entry ids. Long members that share hash or score and their first [`INLINE_NAME_BYTES`] are ordered by digest: who
//! reads them by score brings each such group in the order of its bytes. So does whoever reads items that were inserted deep.
//!
//! *Invariant:* two names, fields, members or keys, never share a row; parsing accepts what building makes and nothing
//! else, with an error for all other bytes.
//!
//! Meta type 1 is kept for a string that lies in the blob store.

mod delta;
mod element;
mod error;
mod field;
mod fields;
mod kind;
mod meta;
mod name;
mod number;
mod place;
mod rows;
mod stream;

pub use delta::{DELTA_SCAN_LIMIT, FOLD_FROM, Fold, Length, LengthDelta, fold, length};
pub use element::{Element, Incarnation};
pub use error::WideError;
pub use field::FieldValue;
pub use kind::{Kind, Tag, tag};
pub use meta::{Body, ListMeta, Meta, MetaKey, Shape, StreamMeta};
pub use name::INLINE_NAME_BYTES;
pub use number::{Score, sortable_i64, unsortable_i64};
pub use place::{INLINE_STEPS, Place, Step};
pub use rows::Rows;
pub use stream::{StreamId, decode_entry, encode_entry};
