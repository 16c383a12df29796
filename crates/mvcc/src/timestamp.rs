//! Moments in the store's own order.

use std::fmt;

/// A commit or read timestamp: a hybrid logical clock value, of which the store knows the order and nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Before every commit.
    pub const ZERO: Self = Self(0);
    /// Reads the newest version of each key, whatever its timestamp, and names no moment: no deadline has passed at it.
    /// No commit has it.
    pub const LATEST: Self = Self(u64::MAX);

    /// Whether a commit may have this timestamp.
    pub fn can_commit(self) -> bool {
        self > Self::ZERO && self < Self::LATEST
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::LATEST { f.write_str("latest") } else { write!(f, "{}", self.0) }
    }
}
