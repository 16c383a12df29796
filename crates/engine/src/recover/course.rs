//! How far the log's batches have been followed: they are gapless, whoever wrote them.

use std::collections::HashMap;

use effect::{Batch, Dot, Hlc, Origin, Vector};
use wal::Position;

use crate::error::OpenError;
use crate::feed::Waymarks;

/// What is known of the batches that have been read.
pub(super) struct Course {
    /// The next numbers of all origins.
    pub(super) next: HashMap<Origin, u64>,
    /// The highest timestamp.
    pub(super) last: Hlc,
    pub(super) batches: u64,
    pub(super) waymarks: Waymarks,
    /// The origin that wrote last, with its next number, which is not in `next` yet: nearly all are of one.
    run: Option<(Origin, u64)>,
}

impl Course {
    /// Where the origins are to go on at `next` behind `from`, and no timestamp was above `last`.
    pub(super) fn new(next: HashMap<Origin, u64>, last: Hlc, from: Position) -> Self {
        let mut course = Self { next, last, batches: 0, waymarks: Waymarks::default(), run: None };
        let vector = course.vector();
        course.waymarks.note(from, vector);
        course
    }

    /// Checks that an origin's dots are gapless.
    #[inline]
    pub(super) fn follow(&mut self, batch: &Batch<'_>) -> Result<(), OpenError> {
        let (origin, found) = (batch.first.origin, batch.first.seq);
        if let Some(context) = batch.context_vector() {
            self.waymarks.hear(origin, context);
        }
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

    /// A record ends here that was followed.
    #[inline]
    pub(super) fn passes(&mut self, position: Position) {
        if self.waymarks.is_due(position) {
            self.settle();
            let vector = self.vector();
            self.waymarks.note(position, vector);
        }
    }

    /// What has been followed and settled.
    pub(super) fn vector(&self) -> Vector {
        let last = |(origin, next): (&Origin, &u64)| Dot { origin: *origin, seq: next - 1 };
        self.next.iter().map(last).collect()
    }

    /// Puts all numbers where they can be asked for.
    pub(super) fn settle(&mut self) {
        self.next.extend(self.run.take());
    }
}

#[cfg(test)]
mod tests;
