//! What the group never got, aside (`aside.rs`): batches as they stand in the log, one a record, in the order in which they are to be written again.
//!
//! *Invariant:* unless it is whole, what made it is still in the data's log, or all of it has been written again.
//!
//! *Invariant:* of two batches of one key the one that its clients had written first comes first, also if some of them were written again in between.

use effect::{Batch, Batches, Dot, Vector};

use super::AgainError;
use super::aside::{self, Aside};
use crate::engine::Engine;

/// Where it is in the data directory.
pub(super) const UNDELIVERED: &str = "undelivered";

/// What was kept aside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spooled {
    /// Batches.
    pub batches: u64,
    /// Effects in them.
    pub effects: u64,
}

impl Spooled {
    fn push(&mut self, spool: &Aside, batch: &[u8], effects: u64) -> Result<(), AgainError> {
        *self = Self { batches: self.batches + 1, effects: self.effects + effects };
        spool.push(batch)
    }
}

/// Its last effect, by which it is known that it was written again.
pub(super) fn last_of(batch: &Batch<'_>) -> Dot {
    Dot { seq: batch.first.seq + batch.len().saturating_sub(1), ..batch.first }
}

impl Engine {
    /// Keeps aside, durably, what this node has written beyond what the group has of its lives: `delivered` says of each how much that is.
    /// So does what waits already and was not written again. Nothing may be written meanwhile.
    ///
    /// # Errors
    /// Some of it is in the log no more, or a file. Then it is as it was.
    pub fn keep_aside(&self, delivered: &Vector) -> Result<Spooled, AgainError> {
        let shared = &*self.shared;
        shared.log.write_out()?;
        let (spool, mut kept) = (Aside::begin(shared, UNDELIVERED)?, Spooled::default());
        self.keep_written(delivered, &spool, &mut kept)?;
        // While something waits nobody writes anything else here: what was written again came before what was not.
        self.keep_waiting(&spool, &mut kept)?;
        if kept.batches > 0 {
            spool.finish(shared, UNDELIVERED)?;
        } else {
            drop(spool);
            aside::give_up(&shared.dir, UNDELIVERED)?;
            aside::tidy(&shared.dir, UNDELIVERED)?;
        }
        Ok(kept)
    }

    /// What is in the log.
    fn keep_written(&self, delivered: &Vector, spool: &Aside, kept: &mut Spooled) -> Result<(), AgainError> {
        for life in self.vector().iter().filter(|dot| dot.origin.node() == self.origin().node()) {
            let from = delivered.get(life.origin) + 1;
            if from > life.seq {
                continue;
            }
            let mut records = self.records_of(life.origin, from)?;
            while let Some(told) = records.next_record()? {
                for batch in Batches::decode(&told.bytes) {
                    let batch = batch?;
                    kept.push(spool, &batch.to_bytes(), batch.len())?;
                }
            }
        }
        Ok(())
    }

    /// What was kept aside before: but not what was made of this very log, or is in it by now.
    fn keep_waiting(&self, spool: &Aside, kept: &mut Spooled) -> Result<(), AgainError> {
        let Some(before) = Aside::found(&self.shared, UNDELIVERED)? else { return Ok(()) };
        let (here, done) = (self.vector(), self.shared.replication.again.done());
        let mut reader = before.reader()?;
        while let Some(record) = reader.next()? {
            let batch = Batch::decode(record.payload)?;
            let last = last_of(&batch);
            if !here.has(last) && !done.has(last) {
                kept.push(spool, record.payload, batch.len())?;
            }
        }
        Ok(())
    }
}
