//! Configuration: every directive declared once in a table, and all that follows from it.
//!
//! ```text
//! redis.conf ─ include ─┐
//! standard input ───────┼─▶ lines ─▶ values ─▶ Settings (immutable, shared)
//! --flags ──────────────┘              ▲  │
//!                    CONFIG SET ───────┘  └──▶ CONFIG GET, CONFIG REWRITE, help, manual
//! ```
//!
//! It knows no sockets and no sessions, and nothing here applies a setting: whoever owns a resource subscribes and
//! follows, or refuses, a change. Read first: [`Directive`], [`Config`], [`Settings`].
//!
//! DIFFERENCE: errors name the file of the line; flags of directives whose lines add up replace the file's lines; a
//! rewrite touches only the lines whose value changed. Redis joins all sources into one text and writes all lines anew.

mod args;
mod directive;
mod error;
mod load;
mod manual;
mod number;
mod rewrite;
mod settings;
mod source;
mod special;
mod store;
mod suggest;
mod table;
#[cfg(test)]
mod tests;
mod value;
mod words;

pub use args::{Invocation, Request, parse_args};
pub use directive::{Change, Directive, Effect, Kind, Origin, Section};
pub use error::{ConfigError, Place, RewriteError, SetError};
pub use manual::{render_help, render_markdown};
pub use number::{Number, Unit, parse_bytes};
pub use settings::{
    Allowed, Archive, BindAddress, ClientCertificates, Clients, Cluster, Compact, Eviction, Fsync, LogLevel, Network,
    Observability, Persistence, Process, Security, Settings, Supervisor, Tls,
};
pub use special::{EventMask, OutputLimit, OutputLimits, SavePoint, percentile_text};
pub use store::{Changes, Config, Veto};

/// Every directive, in the order of the manual.
pub fn directives() -> impl Iterator<Item = &'static Directive> {
    table::table().rows()
}

/// The directive with this name or alias, in any case.
#[must_use]
pub fn find_directive(name: &[u8]) -> Option<&'static Directive> {
    table::table().find(name).map(|at| table::table().row(at))
}
