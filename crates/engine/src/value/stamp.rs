//! What a checkpoint must know of a key: whether it has changed since the last one, and whether it has rows at rest.
//!
//! ```text
//! stamp := has rows, 1 bit ‖ epoch of the last change that no checkpoint has taken, 2 bits (0: none)
//! ```
//! Between two checkpoints lies an epoch. At any time only two of them count: the one that goes on, and the one whose
//! changes the checkpoint under way takes. There are three numbers for them, so that a stamp that a checkpoint should have
//! taken, and did not, would be taken for none.

/// The time between two checkpoints, by a number of two bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Epoch(u32);

impl Default for Epoch {
    fn default() -> Self {
        Self(1)
    }
}

impl Epoch {
    /// The one behind.
    pub(crate) fn next(self) -> Self {
        Self(self.0 % 3 + 1)
    }

    /// The one before.
    pub(crate) fn before(self) -> Self {
        self.next().next()
    }
}

/// See the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stamp(u32);

const SHIFT: u32 = 28;
const EPOCH: u32 = 3 << SHIFT;
const ROWS: u32 = 4 << SHIFT;

impl Stamp {
    /// Its bits in an entry's word.
    pub(crate) const MASK: u32 = EPOCH | ROWS;

    /// A key that is at rest as it is.
    pub(crate) const AT_REST: Self = Self(ROWS);

    /// A key that has changed in `epoch`, and may have rows of before.
    #[inline]
    pub(crate) fn changed(epoch: Epoch, has_rows: bool) -> Self {
        Self(epoch.0 << SHIFT | if has_rows { ROWS } else { 0 })
    }

    #[inline]
    pub(crate) fn of(word: u32) -> Self {
        Self(word & Self::MASK)
    }

    #[inline]
    pub(crate) fn bits(self) -> u32 {
        self.0
    }

    /// Whether the last change that no checkpoint has taken is of this epoch.
    #[inline]
    pub(crate) fn is_of(self, epoch: Epoch) -> bool {
        self.0 & EPOCH == epoch.0 << SHIFT
    }

    /// Whether there may be rows of the key.
    #[inline]
    pub(crate) fn has_rows(self) -> bool {
        self.0 & ROWS != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_of_its_epoch_and_of_neither_neighbour() {
        let mut epoch = Epoch::default();
        for _ in 0..6 {
            for rows in [false, true] {
                let stamp = Stamp::changed(epoch, rows);
                assert!(stamp.is_of(epoch) && !stamp.is_of(epoch.next()) && !stamp.is_of(epoch.before()));
                assert_eq!((stamp.has_rows(), Stamp::of(stamp.bits() | !Stamp::MASK)), (rows, stamp));
            }
            assert_eq!(epoch.next().before(), epoch);
            assert!(!Stamp::AT_REST.is_of(epoch) && !Stamp::default().is_of(epoch));
            epoch = epoch.next();
        }
    }
}
