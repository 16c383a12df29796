//! How far the log's batches have been followed: they are gapless, whoever wrote them.

use std::collections::HashMap;

use effect::{Batch, Hlc, Origin};

use crate::error::OpenError;

/// What is known of the batches that have been read.
pub(super) struct Course {
    /// The next numbers of all origins.
    pub(super) next: HashMap<Origin, u64>,
    /// The highest timestamp.
    pub(super) last: Hlc,
    pub(super) batches: u64,
    /// The origin that wrote last, with its next number, which is not in `next` yet: nearly all are of one.
    run: Option<(Origin, u64)>,
}

impl Course {
    /// Where the origins are to go on at `next`, and no timestamp was above `last`.
    pub(super) fn new(next: HashMap<Origin, u64>, last: Hlc) -> Self {
        Self { next, last, batches: 0, run: None }
    }

    /// Checks that an origin's dots are gapless.
    #[inline]
    pub(super) fn follow(&mut self, batch: &Batch<'_>) -> Result<(), OpenError> {
        let (origin, found) = (batch.first.origin, batch.first.seq);
        let expected = match self.run {
            Some((last, due)) if last == origin => due,
            _ => {
                self.settle();
                *self.next.get(&origin).unwrap_or(&found)
            }
        };
        if expected != found {
            return Err(OpenError::Gap { origin: origin.0, expected, found });
        }
        self.run = Some((origin, found + batch.len()));
        self.last = self.last.max(batch.hlc.plus(batch.len().saturating_sub(1)));
        self.batches += 1;
        Ok(())
    }

    /// Puts all numbers where they can be asked for.
    pub(super) fn settle(&mut self) {
        self.next.extend(self.run.take());
    }
}

#[cfg(test)]
mod tests;
