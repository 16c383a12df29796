//! The subcommands of CLUSTER.

use crate::spec::{Flags, Group, Keys, Run, Spec};

const fn sub(name: &'static str, arity: i16, flags: Flags, summary: &'static str, syntax: &'static str) -> Spec {
    let (keys, group, since, run) = (Keys::None, Group::Cluster, "3.0.0", Run::Session);
    Spec {
        name,
        arity,
        flags,
        keys,
        group,
        since,
        complexity: "O(N) where N is the number of nodes",
        summary,
        syntax,
        run,
    }
}

const CHANGES: Flags = Flags::ADMIN.and(Flags::STALE);

pub(super) const CLUSTER: &[Spec] = &[
    sub("myid", 2, Flags::STALE, "Returns the id of the node.", ""),
    sub("info", 2, Flags::STALE, "Returns how the group is doing.", ""),
    sub("nodes", 2, Flags::STALE, "Returns the nodes of the group and those that want to join.", ""),
    sub("meet", -4, CHANGES, "Says where another node can be found.", "host port [cluster-port]"),
    sub("forget", 3, CHANGES, "Proposes to the members that the group goes on without a node.", "node-id"),
    sub("keyslot", 3, Flags::STALE, "Returns the hash slot of a key.", "key"),
    sub("help", 2, Flags::LOADING.and(Flags::STALE), "Returns help on the subcommands.", ""),
];
