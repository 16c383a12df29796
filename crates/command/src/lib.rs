//! Every Redis command, declared once. Pure: no I/O, no clock, no random source of its own.
//!
//! A declaration ([`Spec`]) says a command's name, arity, flags, where its keys stand and which function runs it;
//! dispatcher, COMMAND, key extraction and the docs page derive from it. The function is given a [`Cx`]: it reads the
//! state, emits effects and writes its reply. It is not the session: what concerns connections and configuration is
//! declared here and run by the server.
//!
//! ```text
//! Args ─▶ table::find ─▶ Spec ─▶ Executor ─locks─▶ function(Cx) ─▶ reply
//!                                   ▲                  │ └─▶ effects ─commit─▶ engine
//!                                   └── run again ◀── Miss, Unlocked
//! ```
//!
//! Read first: [`Spec`], [`Cx`], [`Executor`].
//!
//! *Invariant:* a command changes nothing but its context: any access to state may stop it, and it is run again from
//! its beginning without a trace of the first run.

mod bitmap;
pub mod cx;
pub mod errors;
mod executor;
mod expiry;
#[cfg(test)]
#[allow(dead_code, reason = "a tool box: not every family needs all of it")]
mod harness;
mod hash;
mod keys;
mod list;
mod long_double;
#[cfg(test)]
#[allow(dead_code, unused_imports, reason = "a tool box: not every family needs all of it")]
mod oracle;
pub mod parse;
mod random;
mod rdb;
mod scan;
mod session;
mod set;
pub mod spec;
mod string;
pub mod syntax;
pub mod table;
mod zset;

pub use cx::{Cx, Empty, Env};
pub use executor::{
    Call, Done, Exclusive, Executed, Executor, Fetch, Host, Missed, Progress, Queued, Ran, Undecided, Wait,
};
pub use random::Random;
pub use rdb::fuzz_restore;
pub use spec::{Flags, Group, Keys, Outcome, Run, Spec};
