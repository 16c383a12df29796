//! Notes of what stands before some positions of the log, every few MiB: where whoever knows a vector begins to read.

use std::collections::{HashMap, VecDeque};

use effect::{Dot, Origin, Vector};
use wal::Position;

use crate::limits::WAYMARK_BYTES;

/// A position of the log, and what stands before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Waymark {
    pub(crate) position: Position,
    pub(crate) vector: Vector,
    /// What the last record of each other origin said that its writer had applied.
    pub(crate) contexts: HashMap<Origin, Vector>,
}

/// See the module.
///
/// *Invariant:* positions and vectors grow from one to the next.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Waymarks {
    marks: VecDeque<Waymark>,
    contexts: HashMap<Origin, Vector>,
    due: u64,
}

impl Waymarks {
    /// Notes of before, and what the last records said.
    pub(crate) fn of(marks: Vec<Waymark>, contexts: HashMap<Origin, Vector>) -> Self {
        let due = marks.last().map_or(0, |last| last.position.get() + WAYMARK_BYTES);
        Self { marks: marks.into(), contexts, due }
    }

    /// All notes.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &Waymark> {
        self.marks.iter()
    }

    /// Whether the log has come so far that a note is due.
    #[inline]
    pub(crate) fn is_due(&self, position: Position) -> bool {
        position.get() >= self.due
    }

    /// Notes what stands before a position at which a record ends.
    pub(crate) fn note(&mut self, position: Position, vector: Vector) {
        debug_assert!(self.marks.back().is_none_or(|last| last.position <= position && vector.covers(&last.vector)));
        self.marks.push_back(Waymark { position, vector, contexts: self.contexts.clone() });
        self.due = position.get() + WAYMARK_BYTES;
    }

    /// Whoever writes from here on says its context anew.
    pub(crate) fn forget_contexts(&mut self) {
        self.contexts.clear();
    }

    /// What the last record of each other origin said.
    pub(crate) fn contexts(&self) -> &HashMap<Origin, Vector> {
        &self.contexts
    }

    /// The note of a position.
    pub(crate) fn at(&self, position: Position) -> Option<Waymark> {
        let at = self.marks.partition_point(|mark| mark.position < position);
        self.marks.get(at).filter(|mark| mark.position == position).cloned()
    }

    /// A note of the very place where the log ends, which is not kept here.
    pub(crate) fn here(&self, position: Position, vector: Vector) -> Waymark {
        Waymark { position, vector, contexts: self.contexts.clone() }
    }

    /// A record of another origin says what its writer had applied.
    pub(crate) fn hear(&mut self, origin: Origin, context: Vector) {
        self.contexts.insert(origin, context);
    }

    /// What the last record of another origin said.
    pub(crate) fn heard(&self, origin: Origin) -> Option<&Vector> {
        self.contexts.get(&origin)
    }

    /// The last note before which nothing of these origins stands that is not known; or, where the log does not reach back so
    /// far, what is known of one of them, and what stands before the log.
    pub(crate) fn before(
        &self,
        known: &Vector,
        origins: impl Iterator<Item = Origin> + Clone,
    ) -> Result<Waymark, (Dot, u64)> {
        let lacks = |mark: &Waymark| origins.clone().find(|origin| mark.vector.get(*origin) > known.get(*origin));
        let behind = self.marks.partition_point(|mark| lacks(mark).is_none());
        match behind.checked_sub(1).and_then(|last| self.marks.get(last)) {
            Some(mark) => Ok(mark.clone()),
            None => {
                let first = self.marks.front();
                let origin = first.and_then(lacks).or_else(|| origins.clone().next()).unwrap_or(Origin(0));
                let dot = Dot { origin, seq: known.get(origin) };
                Err((dot, first.map_or(0, |mark| mark.vector.get(origin))))
            }
        }
    }

    /// The last note before which nothing stands that is not in `known`, if the log reaches back so far.
    pub(crate) fn reaches(&self, known: &Vector) -> Option<Position> {
        let behind = self.marks.partition_point(|mark| known.covers(&mark.vector));
        Some(self.marks.get(behind.checked_sub(1)?)?.position)
    }

    /// What stands before the first note at a position or behind it; before the last one, if there is none.
    pub(crate) fn vector_behind(&self, position: u64) -> Vector {
        let first = self.marks.partition_point(|mark| mark.position.get() < position);
        self.marks.get(first).or(self.marks.back()).map(|mark| mark.vector.clone()).unwrap_or_default()
    }

    /// The log begins here now.
    pub(crate) fn forget_below(&mut self, position: Position) {
        while self.marks.front().is_some_and(|mark| mark.position < position) {
            self.marks.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(a: u64, b: u64) -> Vector {
        [(1, a), (2, b)].into_iter().map(|(origin, seq)| Dot { origin: Origin(origin), seq }).collect()
    }

    fn waymarks() -> Waymarks {
        let mut waymarks = Waymarks::default();
        for (at, (a, b)) in [(0, 0), (5, 0), (5, 7), (9, 7)].into_iter().enumerate() {
            waymarks.note(Position(at as u64 * WAYMARK_BYTES), vector(a, b));
        }
        waymarks
    }

    fn at(waymarks: &Waymarks, known: Vector, origins: &[u64]) -> Option<u64> {
        let found = waymarks.before(&known, origins.iter().map(|origin| Origin(*origin)));
        found.ok().map(|mark| mark.position.get() / WAYMARK_BYTES)
    }

    #[test]
    fn reading_begins_behind_what_is_known_and_no_later() {
        let waymarks = waymarks();
        assert_eq!(at(&waymarks, vector(5, 6), &[1, 2]), Some(1));
        assert_eq!(at(&waymarks, vector(5, 7), &[1, 2]), Some(2));
        assert_eq!(at(&waymarks, vector(4, 9), &[1, 2]), Some(0));
        assert_eq!(at(&waymarks, vector(4, 9), &[2]), Some(3));
    }

    #[test]
    fn what_was_freed_is_said() {
        let mut waymarks = waymarks();
        waymarks.forget_below(Position(WAYMARK_BYTES));
        assert_eq!(at(&waymarks, vector(5, 0), &[1, 2]), Some(1));
        let gone = waymarks.before(&vector(4, 0), [Origin(1), Origin(2)].into_iter()).map(|mark| mark.position);
        assert_eq!(gone, Err((Dot { origin: Origin(1), seq: 4 }, 5)));
    }

    #[test]
    fn a_part_of_the_log_begins_with_a_note() {
        let waymarks = waymarks();
        assert_eq!(waymarks.vector_behind(0), vector(0, 0));
        assert_eq!(waymarks.vector_behind(WAYMARK_BYTES + 1), vector(5, 7));
        assert_eq!(waymarks.vector_behind(9 * WAYMARK_BYTES), vector(9, 7));
    }

    #[test]
    fn a_note_is_due_every_so_often() {
        let mut waymarks = Waymarks::default();
        assert!(waymarks.is_due(Position(0)));
        waymarks.note(Position(10), vector(0, 0));
        assert!(!waymarks.is_due(Position(10 + WAYMARK_BYTES - 1)) && waymarks.is_due(Position(10 + WAYMARK_BYTES)));
    }
}
