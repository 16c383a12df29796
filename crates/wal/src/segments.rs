//! The segments there are: shared by the writer, which adds, the owner, who removes, and readers.

use std::sync::Arc;

use parking_lot::RwLock;

use crate::error::LogError;
use crate::position::Position;

/// Bases of the segments of one log, ascending; never empty.
#[derive(Clone, Debug)]
pub(crate) struct Segments {
    bases: Arc<RwLock<Vec<Position>>>,
}

/// One segment, and the one after it if there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) base: Position,
    /// Where it ends, if it is sealed.
    pub(crate) end: Option<Position>,
}

impl Segments {
    pub(crate) fn new(bases: Vec<Position>) -> Self {
        assert!(!bases.is_empty() && bases.is_sorted(), "an open log has at least one segment");
        Self { bases: Arc::new(RwLock::new(bases)) }
    }

    pub(crate) fn push(&self, base: Position) {
        let mut bases = self.bases.write();
        assert!(bases.last().is_some_and(|last| *last < base), "segments are added at the end");
        bases.push(base);
    }

    pub(crate) fn first(&self) -> Position {
        self.bases.read()[0]
    }

    pub(crate) fn count(&self) -> usize {
        self.bases.read().len()
    }

    /// The segment that holds `position`; between two segments, the later.
    pub(crate) fn find(&self, position: Position) -> Result<Span, LogError> {
        let bases = self.bases.read();
        match bases.partition_point(|base| *base <= position) {
            0 => Err(LogError::Removed { wanted: position, first: bases[0] }),
            next => Ok(Span { base: bases[next - 1], end: bases.get(next).copied() }),
        }
    }

    /// The lowest segment, if it is sealed and ends at or below `position`.
    pub(crate) fn removable(&self, position: Position) -> Option<Position> {
        let bases = self.bases.read();
        bases.get(1).filter(|end| **end <= position).map(|_| bases[0])
    }

    /// Forgets the lowest segment. Readers must not find it once its file is being deleted.
    pub(crate) fn forget(&self, base: Position) {
        let mut bases = self.bases.write();
        if bases.len() > 1 && bases[0] == base {
            bases.remove(0);
        }
    }
}
