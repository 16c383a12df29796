//! Bitmaps: strings seen as bits, the highest bit of byte 0 first.

mod bits;
mod count;
mod field;
mod op;
#[cfg(test)]
mod tests;

use crate::spec::{Flags, Group, Keys, Run, Spec};

/// The declarations of this family.
pub const SPECS: &[Spec] = &[
    Spec {
        name: "setbit",
        arity: 4,
        flags: Flags::WRITE.and(Flags::DENYOOM),
        keys: Keys::ONE,
        group: Group::Bitmap,
        since: "2.2.0",
        complexity: "O(1)",
        summary: "Sets or clears a bit of a string, which grows as needed, and returns the bit before.",
        syntax: "key offset value",
        run: Run::Data(bits::setbit),
    },
    Spec {
        name: "getbit",
        arity: 3,
        flags: Flags::READONLY.and(Flags::FAST),
        keys: Keys::ONE,
        group: Group::Bitmap,
        since: "2.2.0",
        complexity: "O(1)",
        summary: "Returns a bit of a string.",
        syntax: "key offset",
        run: Run::Data(bits::getbit),
    },
    Spec {
        name: "bitcount",
        arity: -2,
        flags: Flags::READONLY,
        keys: Keys::ONE,
        group: Group::Bitmap,
        since: "2.6.0",
        complexity: "O(N) where N is the length of the range",
        summary: "Counts the bits that are set in a string or a range of it.",
        syntax: "key [start [end [BYTE | BIT]]]",
        run: Run::Data(count::bitcount),
    },
    Spec {
        name: "bitpos",
        arity: -3,
        flags: Flags::READONLY,
        keys: Keys::ONE,
        group: Group::Bitmap,
        since: "2.8.7",
        complexity: "O(N) where N is the length of the range",
        summary: "Finds the first bit that is set, or that is clear, in a string or a range of it.",
        syntax: "key bit [start [end [BYTE | BIT]]]",
        run: Run::Data(count::bitpos),
    },
    Spec {
        name: "bitop",
        arity: -4,
        flags: Flags::WRITE.and(Flags::DENYOOM),
        keys: Keys::Range { first: 2, last: -1, step: 1 },
        group: Group::Bitmap,
        since: "2.6.0",
        complexity: "O(N) where N is the length of all sources together",
        summary: "Combines strings bit by bit and stores the result.",
        syntax: "<AND | OR | XOR | NOT | DIFF | DIFF1 | ANDOR | ONE> destkey key [key ...]",
        run: Run::Data(op::bitop),
    },
    Spec {
        name: "bitfield",
        arity: -2,
        flags: Flags::WRITE.and(Flags::DENYOOM),
        keys: Keys::ONE,
        group: Group::Bitmap,
        since: "3.2.0",
        complexity: "O(1) for each operation",
        summary: "Reads, sets and increments integers of any width within a string.",
        syntax: "key [<GET encoding offset | [OVERFLOW <WRAP | SAT | FAIL>] \
            <SET encoding offset value | INCRBY encoding offset increment>> ...]",
        run: Run::Data(field::bitfield),
    },
    Spec {
        name: "bitfield_ro",
        arity: -2,
        flags: Flags::READONLY.and(Flags::FAST),
        keys: Keys::ONE,
        group: Group::Bitmap,
        since: "6.0.0",
        complexity: "O(1) for each operation",
        summary: "Reads integers of any width within a string.",
        syntax: "key [GET encoding offset [GET encoding offset ...]]",
        run: Run::Data(field::bitfield_ro),
    },
];
