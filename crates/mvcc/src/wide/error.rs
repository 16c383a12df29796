//! What can be wrong with rows of wide columns.

/// Rows that cannot be read, or numbers that cannot be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WideError {
    /// The bytes are not what this crate writes there.
    #[error("malformed {what}: {reason}; restore from a backup")]
    Malformed {
        /// Which kind of bytes.
        what: &'static str,
        /// What is wrong with them.
        reason: &'static str,
    },
    /// Scores are numbers.
    #[error("a score must be a number")]
    NotANumber,
    /// A length or an end went out of its range.
    #[error("the length of a collection is out of range: its deltas do not add up")]
    LengthRange,
    /// More length deltas than a reader adds up. Fold them first.
    #[error("a collection has more than {limit} length deltas that are not folded; fold them and try again")]
    TooManyDeltas {
        /// How many a reader adds up.
        limit: usize,
    },
    /// A part does not fit into a row.
    #[error("{what} of {len} bytes is larger than the limit of {limit}")]
    TooLarge {
        /// Which part.
        what: &'static str,
        /// Its length.
        len: usize,
        /// The largest.
        limit: usize,
    },
}

impl From<WideError> for crate::error::Error {
    fn from(error: WideError) -> Self {
        match error {
            WideError::TooLarge { len, limit, .. } => {
                Self::TooLarge { part: crate::error::Part::Key, size: len, limit }
            }
            malformed => Self::corrupt("a row", malformed.to_string()),
        }
    }
}
