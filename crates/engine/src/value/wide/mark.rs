//! Marks: how each element of a large value stands to its row in the store; and the epochs that give them their meaning.
//!
//! Two bits an element, which lie beside the elements (in a table's segment, a tree's leaf, a list's chunk), in two
//! planes. A block of elements also says as of which epoch its marks are meant. So neither the beginning nor the end of
//! an image touches them: a block is brought to the present one when somebody comes by next.
//!
//! *Invariant:* a block is at most two epochs behind: whoever writes an image goes over every block, and one that is given
//! up has all of them put right at once.

use std::ops::{BitAnd, BitOr, Not};

/// How an element stands to its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mark {
    /// The row says what the element is.
    Rest = 0b00,
    /// It came in this epoch and has no row, unless there is one of an element of its name that is noted to have gone.
    New = 0b01,
    /// It changed in this epoch: its row says what it was.
    Over = 0b10,
    /// It belongs to the image that is being written, and was not at rest when that began.
    Frozen = 0b11,
}

impl Mark {
    /// The mark with these bits in the low and in the high plane.
    #[inline]
    pub(in crate::value) fn of_bits(low: bool, high: bool) -> Self {
        match (low, high) {
            (false, false) => Self::Rest,
            (true, false) => Self::New,
            (false, true) => Self::Over,
            (true, true) => Self::Frozen,
        }
    }

    /// The mark after a change of the element.
    #[inline]
    pub(in crate::value) fn changed(self) -> Self {
        if self == Self::New { Self::New } else { Self::Over }
    }

    /// The mark in a later epoch.
    pub(in crate::value) fn advanced(self, from: Epoch, to: Epoch) -> Self {
        let (low, high) = advance((self as u8 & 1, self as u8 >> 1), from, to);
        Self::of_bits(low & 1 != 0, high & 1 != 0)
    }

    /// The mark after the image is given up.
    pub(in crate::value) fn given_up(self) -> Self {
        if self == Self::Frozen { Self::Over } else { self }
    }
}

/// Counts the beginnings and ends of a value's images: odd while one is being written. It wraps around.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::value) struct Epoch(u8);

impl Epoch {
    pub(in crate::value) fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    pub(in crate::value) fn is_frozen(self) -> bool {
        self.0 & 1 == 1
    }

    /// The later of two epochs that some blocks of one value are in.
    pub(in crate::value) fn later(self, other: Self) -> Self {
        if self.0.wrapping_sub(other.0) as i8 >= 0 { self } else { other }
    }
}

/// Planes of marks in a later epoch: what was frozen is written, if the image is done with, and what changed is frozen, if
/// another one has begun.
#[inline]
pub(in crate::value) fn advance<W>((mut low, mut high): (W, W), from: Epoch, to: Epoch) -> (W, W)
where
    W: Copy + BitAnd<Output = W> + BitOr<Output = W> + Not<Output = W>,
{
    debug_assert!(to.0.wrapping_sub(from.0) <= 2, "a block of marks has been passed over");
    if from == to {
        return (low, high);
    }
    if from.is_frozen() {
        let frozen = low & high;
        (low, high) = (low & !frozen, high & !frozen);
    }
    if to.is_frozen() {
        low = low | high;
        high = low;
    }
    (low, high)
}

/// Planes of marks after the image is given up: what was frozen has changed.
pub(in crate::value) fn give_up<W>((low, high): (W, W)) -> (W, W)
where
    W: Copy + BitAnd<Output = W> + Not<Output = W>,
{
    (low & !high, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Mark; 4] = [Mark::Rest, Mark::New, Mark::Over, Mark::Frozen];

    #[test]
    fn an_image_that_begins_takes_what_changed_and_one_that_ends_leaves_it_at_rest() {
        for wraps in [0, 254] {
            let (calm, frozen, written, again) =
                (Epoch(wraps), Epoch(wraps).next(), Epoch(wraps).next().next(), Epoch(wraps.wrapping_add(3)));
            let after = |from, to| ALL.map(|mark| mark.advanced(from, to));
            assert_eq!(after(calm, calm), ALL);
            assert_eq!(after(calm, frozen), [Mark::Rest, Mark::Frozen, Mark::Frozen, Mark::Frozen]);
            assert_eq!(after(frozen, written), [Mark::Rest, Mark::New, Mark::Over, Mark::Rest]);
            assert_eq!(after(frozen, again), [Mark::Rest, Mark::Frozen, Mark::Frozen, Mark::Rest]);
            assert_eq!(frozen.later(calm), frozen);
            assert_eq!(calm.later(frozen), frozen);
        }
        assert_eq!(ALL.map(Mark::given_up), [Mark::Rest, Mark::New, Mark::Over, Mark::Over]);
        assert_eq!(give_up((0b1010_u8, 0b1100)), (0b0010, 0b1100), "planes are as single marks");
    }
}
