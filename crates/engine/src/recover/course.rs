//! How far the log's batches have been followed: they are gapless, whoever wrote them.

use std::collections::HashMap;

use effect::{Batch, Dot, Hlc, Origin, Vector};
use wal::{Position, Record};

use crate::checkpoint::Recent;
use crate::error::OpenError;
use crate::exclusive::{self, Recalled};
use crate::feed::Waymarks;
use crate::replica::Heads;

/// What is known of the batches that have been read.
pub(super) struct Course {
    /// The next numbers of all origins.
    pub(super) next: HashMap<Origin, u64>,
    /// The highest timestamp.
    pub(super) last: Hlc,
    pub(super) batches: u64,
    pub(super) waymarks: Waymarks,
    /// Whether there were other replicas then.
    pub(super) replicates: bool,
    pub(super) heads: Heads,
    /// The origin that wrote last, with its next number and last timestamp, which stand nowhere else yet: nearly all are of one.
    run: Option<(Origin, u64, Hlc)>,
}

impl Course {
    /// Where the origins are to go on at `next` behind `from`, and no timestamp was above `last`.
    pub(super) fn new(next: HashMap<Origin, u64>, last: Hlc, from: Position) -> Self {
        let (waymarks, heads) = (Waymarks::default(), Heads::default());
        let mut course = Self { next, last, batches: 0, waymarks, replicates: false, heads, run: None };
        let vector = course.vector();
        course.waymarks.note(from, vector);
        course
    }

    /// What was known at the beginning, where there were other replicas.
    pub(super) fn with(self, recent: Recent) -> Self {
        let Recent { state, heads, waymarks, .. } = recent;
        Self { waymarks, heads, replicates: state.on, ..self }
    }

    /// The log says whether there are other replicas.
    pub(super) fn turn(&mut self, on: bool) {
        self.replicates = on;
    }

    /// Checks that an origin's dots are gapless.
    #[inline]
    pub(super) fn follow(&mut self, batch: &Batch<'_>) -> Result<(), OpenError> {
        let (origin, found) = (batch.first.origin, batch.first.seq);
        if let Some(context) = batch.context_vector() {
            self.waymarks.hear(origin, context);
            self.heads.unsaid.remove(&origin);
        }
        let expected = match self.run {
            Some((last, due, _)) if last == origin => due,
            _ => {
                self.settle();
                if self.replicates && self.waymarks.heard(origin).is_none() {
                    let mut before = self.vector();
                    before.remove(origin);
                    self.heads.unsaid.insert(origin, before);
                }
                *self.next.get(&origin).unwrap_or(&found)
            }
        };
        if expected != found {
            return Err(OpenError::Gap { origin: origin.0, expected, found });
        }
        let last = batch.hlc.plus(batch.len().saturating_sub(1));
        self.run = Some((origin, found + batch.len(), last));
        self.last = self.last.max(last);
        self.batches += 1;
        Ok(())
    }

    /// A transaction that begins a record, which has been followed; the log begins at `first`.
    pub(super) fn recalled(&mut self, batch: &Batch<'_>, record: &Record<'_>, first: Position) -> Recalled {
        self.settle();
        let here = self.waymarks.here(record.start, self.vector());
        let before = self.waymarks.before(&exclusive::observed(batch), self.next.keys().copied()).ok();
        let before = before.filter(|mark| mark.position >= first);
        Recalled { batch: batch.to_bytes().into(), here, end: record.end, before }
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
        if let Some((origin, next, hlc)) = self.run.take() {
            self.next.insert(origin, next);
            self.heads.last.insert(origin, hlc);
        }
    }
}

#[cfg(test)]
mod tests;
