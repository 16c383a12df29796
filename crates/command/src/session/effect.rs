//! The subcommands of EFFECT.

use crate::spec::{Flags, Group, Keys, Run, Spec};

pub(super) const EFFECT: &[Spec] = &[
    Spec {
        name: "log",
        arity: -3,
        flags: Flags::READONLY.and(Flags::ADMIN).and(Flags::NOSCRIPT).and(Flags::NO_MULTI),
        keys: Keys::Range { first: 2, last: 2, step: 1 },
        group: Group::Server,
        since: "anabranch",
        complexity: "O(N) where N is the size of the last 64 MiB of the log",
        summary: "Returns the recent effects on a key, and which of them each writer had seen.",
        syntax: "key [COUNT count]",
        run: Run::Session,
    },
    Spec {
        name: "trace",
        arity: 3,
        flags: Flags::FAST.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE).and(Flags::NO_MULTI),
        keys: Keys::None,
        group: Group::Connection,
        since: "anabranch",
        complexity: "O(1)",
        summary: "Lets what the connection writes from now on carry a W3C trace context, to all replicas; OFF ends it.",
        syntax: "traceparent",
        run: Run::Session,
    },
    Spec {
        name: "help",
        arity: 2,
        flags: Flags::LOADING.and(Flags::STALE),
        keys: Keys::None,
        group: Group::Server,
        since: "anabranch",
        complexity: "O(1)",
        summary: "Returns help on the subcommands.",
        syntax: "",
        run: Run::Session,
    },
];
