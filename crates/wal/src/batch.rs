//! Bytes on their way from the buffer to the segments.

use std::collections::VecDeque;

use crate::position::Position;

/// Whole frames that lie one after another in the log, and where new segments begin among them.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// The frames.
    pub(crate) bytes: Vec<u8>,
    /// Position of the first of them.
    pub(crate) start: Position,
    /// Positions where a segment ends and the next begins, ascending, each in `start..=end`.
    pub(crate) cuts: VecDeque<Position>,
}

impl Batch {
    /// Nothing yet, at this position.
    pub(crate) fn at(start: Position) -> Self {
        Self { start, ..Self::default() }
    }

    /// Position after its last byte.
    pub(crate) fn end(&self) -> Position {
        Position(self.start.0 + self.bytes.len() as u64)
    }

    /// Whether there is nothing to be done for it.
    pub(crate) fn is_idle(&self) -> bool {
        self.bytes.is_empty() && self.cuts.is_empty()
    }

    /// The bytes between two positions within it.
    pub(crate) fn slice(&self, from: Position, to: Position) -> &[u8] {
        &self.bytes[(from.0 - self.start.0) as usize..(to.0 - self.start.0) as usize]
    }
}
