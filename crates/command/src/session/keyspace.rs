//! The subcommands of KEYSPACE.

use crate::spec::{Flags, Group, Keys, Run, Spec};

const fn sub(name: &'static str, arity: i16, flags: Flags, summary: &'static str, syntax: &'static str) -> Spec {
    let (keys, group, since, run) = (Keys::None, Group::Server, "anabranch", Run::Session);
    let complexity = "O(N) where N is the number of keyspaces";
    Spec { name, arity, flags, keys, group, since, complexity, summary, syntax, run }
}

const ASKS: Flags = Flags::ADMIN.and(Flags::LOADING).and(Flags::STALE);
const CHANGES: Flags = Flags::ADMIN.and(Flags::NOSCRIPT);

pub(super) const KEYSPACE: &[Spec] = &[
    sub(
        "set",
        -5,
        CHANGES,
        "Defines a keyspace or changes one, on a node of a cluster for all nodes; keys that belong elsewhere then move there in the background.",
        "name [MATCH pattern [MATCH pattern ...]] [MODE cache] [MAXMEMORY bytes] [MAXDISK bytes] [FSYNC yes | no] [SAFETY safe | unsafe]",
    ),
    sub("get", 3, ASKS, "Returns a keyspace's definition and what it takes.", "name"),
    sub("list", 2, ASKS, "Returns the names of all keyspaces in the order in which they are asked for a key.", ""),
    sub("del", 3, CHANGES, "Deletes a keyspace; its keys move, with their values, to where they belong then.", "name"),
    sub(
        "undone",
        -2,
        ASKS,
        "Returns reports of what clients of this node may have been told was done, and is so no more.",
        "[SINCE id] [COUNT count]",
    ),
    sub("help", 2, Flags::LOADING.and(Flags::STALE), "Returns help on the subcommands.", ""),
];
