//! Passwords, renamed commands, what is forbidden, and the lists that are still to come.

use super::super::directive::{Directive, Kind, Origin};
use super::{LONG_COUNT, NO_ACL, TEXT};
use Kind::{Bool, Choice, Renames};

const WHO: Kind = Choice(&[("no", "no"), ("yes", "yes"), ("local", "local")]);
const USE_REQUIREPASS: &str = "there are no access control lists yet: use requirepass for one password for everybody";
const NO_LOADING: &str = "modules cannot be loaded: remove the line";
const NO_MODULES: &str = "there are no loadable modules";

pub(super) static SECURITY: &[Directive] = &[
    Directive::new("requirepass", TEXT, "\"\"", "Password that clients must give by AUTH; empty for none.").secret(),
    Directive::new(
        "rename-command",
        Renames,
        "\"\"",
        "Gives a command another name; an empty new name takes it away. One line a command.",
    )
    .file_only(),
    Directive::new("enable-debug-command", WHO, "no", "Who may use DEBUG: nobody, anybody, clients of this machine.")
        .at_start(),
    Directive::new(
        "enable-backup-command",
        WHO,
        "local",
        "Who may use BACKUP: nobody, anybody, clients of this machine.",
    )
    .from(Origin::Anabranch)
    .at_start(),
    Directive::new("enable-protected-configs", WHO, "no", "Who may CONFIG SET what is protected.").at_start(),
    Directive::new("enable-module-command", WHO, "no", "Who may use MODULE.").at_start().inert(NO_MODULES),
    Directive::new("loadmodule", Kind::Words { max: 0, too_many: NO_LOADING }, "\"\"", "Loads a module.")
        .file_only()
        .refused(&[""], NO_LOADING),
    Directive::new("aclfile", TEXT, "\"\"", "File with users.").at_start().refused(&[""], USE_REQUIREPASS),
    Directive::new("user", Kind::Words { max: 0, too_many: USE_REQUIREPASS }, "\"\"", "Defines a user.")
        .file_only()
        .refused(&[""], USE_REQUIREPASS),
    Directive::new("acllog-max-len", LONG_COUNT, "128", "Entries of ACL LOG.").inert(NO_ACL),
    Directive::new(
        "acl-pubsub-default",
        Choice(&[("allchannels", "allchannels"), ("resetchannels", "resetchannels")]),
        "resetchannels",
        "Channels that a new user may use.",
    )
    .inert(NO_ACL),
    Directive::new(
        "sanitize-dump-payload",
        Choice(&[("no", "no"), ("yes", "yes"), ("clients", "clients")]),
        "no",
        "Whether RESTORE checks its payload in depth.",
    )
    .inert("payloads are always checked in full"),
    Directive::new("lua-enable-deprecated-api", Bool, "no", "Old names in the Lua environment.")
        .at_start()
        .hidden()
        .from(Origin::Redis8)
        .inert("there are no scripts yet"),
];
