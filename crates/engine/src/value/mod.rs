//! The values of a shard in RAM: entries of the keyspace and the structures behind each data type.
//!
//! Everything here is synchronous, deterministic and single-threaded (a shard's lock guards it), knows no clock and
//! no random generator: deadlines, `now` and random numbers are handed in. It decides nothing about visibility
//! either: what has expired stays until its owner removes it.
//!
//! ```text
//!  Table<Entry> ─▶ Entry, 24 bytes ─┬─ Packed: one allocation: header · key · [deadline] · payload
//!                                   ├─ Rest: the same of a value on disk: its husk
//!                                   └─ Big: key · deadline · Value ─┬─ String  bytes
//!                                                                   ├─ Hash    Table of fields
//!                                                                   ├─ Set     Table of members
//!                                                                   ├─ ZSet    Table + order-statistic tree
//!                                                                   └─ List    chunks, by position
//! ```
//!
//! Read first: [`Table`], [`Entry`], [`Limits`].

mod away;
mod entry;
mod hash;
mod husk;
mod limits;
mod list;
mod packed;
mod remains;
mod runs;
mod set;
mod stamp;
mod table;
mod text;
mod tree;
pub mod wide;
mod zset;

pub(crate) use away::{AtRestValue, Edge, Shed, Want, count_fenced};
pub use away::{Away, Part};
pub use effect::{HashSeed, Kind};
pub use entry::{Big, Encoding, Entry};
pub use hash::{BigHash, FieldRef, HashMut, HashRef, PackedHash};
pub(crate) use husk::Ends;
pub use limits::Limits;
pub use list::{BigList, ListMut, ListPositions, ListRange, ListRef, PackedList};
pub use remains::Remains;
pub use set::{BigSet, Member, PackedSet, SetMut, SetRef};
pub(crate) use stamp::{Epoch, Stamp};
pub use table::{Batches, Fetch, Steps, Table};
pub use zset::{BigZSet, LexBound, PackedZSet, ScoreBound, ZRange, ZSetMut, ZSetRef};

/// The next number of the splitmix64 sequence (Steele et al., 2014): spreads one random number over several draws.
pub(crate) fn mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The random number scaled to `0..count`; `None` when that is empty.
pub(crate) fn below(rand: u64, count: usize) -> Option<usize> {
    let mut state = rand;
    (count > 0).then(|| ((u128::from(mix(&mut state)) * count as u128) >> 64) as usize)
}

/// What the allocator takes for so many bytes (jemalloc: steps of 16, from 128 on four classes per doubling).
pub(crate) fn size_class(bytes: usize) -> usize {
    if bytes <= 128 {
        return bytes.next_multiple_of(16);
    }
    bytes.next_multiple_of((bytes - 1).next_power_of_two() / 8)
}

#[cfg(test)]
mod tests;
