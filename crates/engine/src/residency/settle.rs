//! Which of the keys that were written blindly were there before: what is counted depends on it.

use super::{Fill, ReadError, fill};
use crate::engine::Shared;
use crate::shard::{Shard, ShardId};

impl Shared {
    /// Settles it for all keys, by a look at all rows of the shards that have such keys.
    pub(crate) fn settle_all(&self) -> Result<(), ReadError> {
        let Some(rows) = self.checkpoints.found_rows() else { return Ok(()) };
        let _one = self.residency.settling.lock();
        for id in 0..=u8::MAX {
            if self.shards[usize::from(id)].lock().has_unknown() {
                fill(self, rows, ShardId(id), Fill::Settle, || true)?;
            }
        }
        Ok(())
    }
}

impl Shard {
    /// Whether keys were written blindly of which it is not settled whether they were there.
    pub(crate) fn has_unknown(&self) -> bool {
        self.dbs.iter().flatten().any(|tables| tables.has_unknown())
    }

    /// All rows have been looked at: what is not settled has none.
    pub(super) fn is_settled(&mut self) {
        let cold = self.dbs.iter_mut().flatten().filter_map(|tables| tables.cold.as_mut());
        cold.for_each(|cold| cold.unknown = Default::default());
    }
}
