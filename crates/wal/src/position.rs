//! A place in the log.

use std::fmt;

/// A logical byte offset over the whole log; segment headers do not count. Strictly growing, never reused for a
/// record that was durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

impl Position {
    /// Where a new log begins.
    pub const START: Self = Self(0);

    /// Beyond the end of every log.
    pub const MAX: Self = Self(u64::MAX);

    /// The bare offset in bytes.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
