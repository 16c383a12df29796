//! Sets.

mod algebra;
mod change;
mod read;
#[cfg(test)]
mod tests;

use crate::cx::Cx;
use crate::spec::{Flags, Group, Keys, Outcome, Run, Spec};

const READ: Flags = Flags::READONLY;
const READ_FAST: Flags = Flags::READONLY.and(Flags::FAST);
const WRITE: Flags = Flags::WRITE.and(Flags::DENYOOM);
const WRITE_FAST: Flags = Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST);
const REMOVE_FAST: Flags = Flags::WRITE.and(Flags::FAST);

/// What most declarations of this family share.
const fn spec(
    name: &'static str,
    (arity, flags, keys): (i16, Flags, Keys),
    since: &'static str,
    (complexity, summary, syntax): (&'static str, &'static str, &'static str),
    run: fn(&mut Cx<'_, '_>) -> Outcome,
) -> Spec {
    Spec { name, arity, flags, keys, group: Group::Set, since, complexity, summary, syntax, run: Run::Data(run) }
}

/// The declarations of this family.
pub const SPECS: &[Spec] = &[
    spec(
        "sadd",
        (-3, WRITE_FAST, Keys::ONE),
        "1.0.0",
        ("O(1) for each member", "Adds members to a set; creates it if it does not exist.", "key member [member ...]"),
        change::sadd,
    ),
    spec(
        "srem",
        (-3, REMOVE_FAST, Keys::ONE),
        "1.0.0",
        ("O(N) where N is the number of members given", "Removes members from a set.", "key member [member ...]"),
        change::srem,
    ),
    spec(
        "spop",
        (-2, REMOVE_FAST, Keys::ONE),
        "1.0.0",
        ("O(1), or O(N) where N is the count", "Removes and returns random members.", "key [count]"),
        change::spop,
    ),
    spec(
        "smove",
        (4, REMOVE_FAST, Keys::TWO),
        "1.0.0",
        ("O(1)", "Moves a member from one set to another.", "source destination member"),
        change::smove,
    ),
    spec(
        "scard",
        (2, READ_FAST, Keys::ONE),
        "1.0.0",
        ("O(1)", "Returns how many members a set has.", "key"),
        read::scard,
    ),
    spec(
        "sismember",
        (3, READ_FAST, Keys::ONE),
        "1.0.0",
        ("O(1)", "Returns whether a set has a member.", "key member"),
        read::sismember,
    ),
    spec(
        "smismember",
        (-3, READ_FAST, Keys::ONE),
        "6.2.0",
        ("O(N) where N is the number of members given", "Returns which members a set has.", "key member [member ...]"),
        read::smismember,
    ),
    spec(
        "smembers",
        (2, READ, Keys::ONE),
        "1.0.0",
        ("O(N) where N is the number of members", "Returns all members of a set.", "key"),
        read::smembers,
    ),
    spec(
        "srandmember",
        (-2, READ, Keys::ONE),
        "1.0.0",
        ("O(1), or O(N) where N is the count", "Returns random members.", "key [count]"),
        read::srandmember,
    ),
    spec(
        "sscan",
        (-3, READ, Keys::ONE),
        "2.8.0",
        ("O(1) for every call", "Iterates over the members of a set.", "key cursor [MATCH pattern] [COUNT count]"),
        read::sscan,
    ),
    spec(
        "sinter",
        (-2, READ, Keys::REST),
        "1.0.0",
        (
            "O(N*M) where N is the size of the smallest set and M the number of sets",
            "Intersects sets.",
            "key [key ...]",
        ),
        algebra::sinter,
    ),
    spec(
        "sintercard",
        (-3, READ.and(Flags::MOVABLE_KEYS), Keys::Counted { at: 1, dest: 0 }),
        "7.0.0",
        (
            "O(N*M) where N is the size of the smallest set and M the number of sets",
            "Returns how many members an intersection has.",
            "numkeys key [key ...] [LIMIT limit]",
        ),
        algebra::sintercard,
    ),
    spec(
        "sunioncard",
        (-3, READ.and(Flags::MOVABLE_KEYS), Keys::Counted { at: 1, dest: 0 }),
        "8.10.0",
        (
            "O(N) where N is the number of members of all sets",
            "Returns how many members a union has.",
            "numkeys key [key ...] [APPROX] [LIMIT limit]",
        ),
        algebra::sunioncard,
    ),
    spec(
        "sdiffcard",
        (-3, READ.and(Flags::MOVABLE_KEYS), Keys::Counted { at: 1, dest: 0 }),
        "8.10.0",
        (
            "O(N) where N is the number of members of all sets",
            "Returns how many members the first set has and the others have not.",
            "numkeys key [key ...] [LIMIT limit]",
        ),
        algebra::sdiffcard,
    ),
    spec(
        "sinterstore",
        (-3, WRITE, Keys::REST),
        "1.0.0",
        (
            "O(N*M) where N is the size of the smallest set and M the number of sets",
            "Stores the intersection of sets.",
            "destination key [key ...]",
        ),
        algebra::sinterstore,
    ),
    spec(
        "sunion",
        (-2, READ, Keys::REST),
        "1.0.0",
        ("O(N) where N is the number of members of all sets", "Unites sets.", "key [key ...]"),
        algebra::sunion,
    ),
    spec(
        "sunionstore",
        (-3, WRITE, Keys::REST),
        "1.0.0",
        ("O(N) where N is the number of members of all sets", "Stores the union of sets.", "destination key [key ...]"),
        algebra::sunionstore,
    ),
    spec(
        "sdiff",
        (-2, READ, Keys::REST),
        "1.0.0",
        (
            "O(N) where N is the number of members of all sets",
            "Returns what the first set has and the others have not.",
            "key [key ...]",
        ),
        algebra::sdiff,
    ),
    spec(
        "sdiffstore",
        (-3, WRITE, Keys::REST),
        "1.0.0",
        (
            "O(N) where N is the number of members of all sets",
            "Stores what the first set has and the others have not.",
            "destination key [key ...]",
        ),
        algebra::sdiffstore,
    ),
];
