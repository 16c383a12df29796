//! The subcommands of BACKUP.

use crate::spec::{Flags, Group, Keys, Run, Spec};

const fn sub(name: &'static str, arity: i16, flags: Flags, summary: &'static str, syntax: &'static str) -> Spec {
    let (keys, group, since, run) = (Keys::None, Group::Server, "anabranch", Run::Session);
    Spec { name, arity, flags, keys, group, since, complexity: "O(1)", summary, syntax, run }
}

const ASKS: Flags = Flags::ADMIN.and(Flags::LOADING).and(Flags::STALE);
const CHANGES: Flags = Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::NO_MULTI);

pub(super) const BACKUP: &[Spec] = &[
    sub("to", -5, CHANGES, "Begins a backup in the background.", "url RECIPIENT public-key [FULL]"),
    sub("status", 2, ASKS, "Returns how far the backup has come, or how the last one ended.", ""),
    sub("cancel", 2, CHANGES, "Ends the backup that is being taken; what it has stored is removed.", ""),
    sub("help", 2, Flags::LOADING.and(Flags::STALE), "Returns help on the subcommands.", ""),
];
