//! `Remains`: a removed entry on its way to the allocator, freed in slices so that no one waits for a huge one.

use super::entry::{Entry, Value};
use super::hash::FieldCell;
use super::list::Chunk;
use super::table::Batches;
use super::tree::Leaves;
use super::zset::{Slot, ZLeaf};

/// What is still to be freed of an entry; dropping it frees the rest at once.
pub struct Remains(Parts);

enum Parts {
    Fields(Batches<FieldCell>),
    Members(Batches<Box<[u8]>>),
    Ranked(Batches<u32>, Leaves<ZLeaf>, Vec<Vec<Slot>>),
    Chunks(Leaves<Chunk>),
}

impl Entry {
    /// Frees the entry if that takes few steps, else returns what is to be freed bit by bit.
    pub fn dismantle(self) -> Option<Remains> {
        let Self::Big(_, big) = self else { return None };
        Some(Remains(match big.value {
            Value::String(_) => return None,
            Value::Hash(hash) => Parts::Fields(hash.into_batches()),
            Value::Set(set) => Parts::Members(set.into_batches()),
            Value::ZSet(zset) => {
                let (table, tree, pool) = zset.into_parts();
                Parts::Ranked(table, tree, pool)
            }
            Value::List(list) => Parts::Chunks(list.into_leaves()),
        }))
    }
}

impl Remains {
    pub(super) fn of_chunks(chunks: Leaves<Chunk>) -> Self {
        Self(Parts::Chunks(chunks))
    }

    /// Frees one part, at most some hundred elements, and returns whether there may be more.
    pub fn free_some(&mut self) -> bool {
        match &mut self.0 {
            Parts::Fields(batches) => batches.next().is_some(),
            Parts::Members(batches) => batches.next().is_some(),
            Parts::Ranked(table, tree, pool) => table.next().is_some() | tree.next().is_some() | pool.pop().is_some(),
            Parts::Chunks(leaves) => leaves.next().is_some(),
        }
    }
}
