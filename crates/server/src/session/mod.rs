//! A client's state, and the commands that concern it rather than keys.
//!
//! Each command that is declared as `Run::Session` has its handler here, found by its full name; a test sees to it
//! that none is missing.

pub mod connection;
pub mod pubsub;
pub mod transaction;

use std::collections::HashSet;
use std::sync::Arc;

use command::{Progress, Spec};
use effect::TraceContext;
use engine::{DbKey, Ticket, WatchFlag};
use resp::{Args, OwnedArgs, Protocol, Reply};

pub use transaction::Multi;

use crate::client::ClientInfo;
use crate::front::Room;
use crate::net::{Flow, Turn};
use crate::waiting::WaitCell;

/// Runs one session command.
pub type Handler = fn(&mut Room, &mut Session, Args<'_>, &mut Turn<'_>) -> Flow;

/// Every handler by the full name of its command.
pub fn handlers() -> impl Iterator<Item = &'static (&'static str, Handler)> {
    let own: [crate::admin::Handlers; 3] = [connection::HANDLERS, pubsub::HANDLERS, transaction::HANDLERS];
    own.into_iter().chain(crate::admin::FAMILIES.iter().copied()).flatten()
}

/// Whether replies are sent: CLIENT REPLY.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyMode {
    /// All.
    On,
    /// None.
    Off,
    /// Not that of this command.
    SkipThis,
    /// Not that of the next command.
    SkipNext,
}

/// A client.
pub struct Session {
    /// What others may know.
    pub info: Arc<ClientInfo>,
    /// Its logical database.
    pub db: u8,
    /// Its protocol.
    pub protocol: Protocol,
    /// It has shown the password, or needs none.
    pub authenticated: bool,
    /// Its transaction, from MULTI on.
    pub multi: Option<Multi>,
    /// What it watches.
    pub watch: Watch,
    /// Channels it listens to.
    pub channels: HashSet<Box<[u8]>>,
    /// Patterns it listens to.
    pub patterns: HashSet<Box<[u8]>>,
    /// Whether replies are sent.
    pub reply_mode: ReplyMode,
    /// The wait that it is in.
    pub wait: Option<(Ticket, WaitCell)>,
    /// The nodes that it waits for.
    pub awaited: Option<crate::admin::copies::Awaited>,
    /// Its transaction, of which the group has not decided yet.
    pub bound: Option<transaction::Bound>,
    /// The same, of which a leader has not told; or its turn, that a leader has not given.
    pub led: Option<transaction::Led>,
    /// It sleeps for DEBUG SLEEP, and gets its reply when it wakes.
    pub sleeping: bool,
    /// A command that CLIENT PAUSE holds back.
    pub held: Option<OwnedArgs>,
    /// A command that waits for what it has missed, or for room in memory.
    pub parked: Option<Parked>,
    /// What the command that is about to run again has come to.
    pub resumed: Option<Resumed>,
    /// It sees every command.
    pub monitor: bool,
    /// The trace that its writes belong to.
    pub trace: Option<TraceContext>,
    /// The log position behind its last write.
    pub last_write: wal::Position,
    /// Its last write was a transaction that a leader has run: it is another node's.
    pub is_led_write: bool,
    /// What of its output it has not asked for.
    pub unasked: crate::refusal::Unasked,
}

/// A command that waits for what it has missed, or for room in memory: see `readers` and `lobby`.
pub struct Parked {
    /// Name and arguments.
    pub args: OwnedArgs,
    /// The wait.
    pub ticket: Ticket,
    /// The moment at which it began, unix ms.
    pub now_ms: i64,
    /// The same in ticks of the thread's watch.
    pub began: u64,
}

/// A command that was parked and runs again.
pub struct Resumed {
    /// What its runs have come to.
    pub progress: Progress,
    /// The moment at which it began, unix ms.
    pub now_ms: i64,
    /// The same in ticks of the thread's watch.
    pub began: u64,
}

/// Keys watched for EXEC.
#[derive(Default)]
pub struct Watch {
    /// Set when one of them changes.
    pub flag: WatchFlag,
    /// Where the flag is registered: logical database and key.
    pub keys: Vec<DbKey>,
    /// Logical database and name of those that existed: if they expire before EXEC, they have changed.
    pub existed: Vec<(u8, Box<[u8]>)>,
    /// In a group, for each of `keys` what was in the log when its watch began.
    pub seen: Vec<Arc<effect::Vector>>,
    /// The turn that the client has at the leader of some of them; 0: none.
    pub turn: u64,
}

impl Session {
    /// A client that has just connected.
    pub fn new(info: Arc<ClientInfo>, authenticated: bool) -> Self {
        Self {
            info,
            db: 0,
            protocol: Protocol::Resp2,
            authenticated,
            multi: None,
            watch: Watch::default(),
            channels: HashSet::new(),
            patterns: HashSet::new(),
            reply_mode: ReplyMode::On,
            wait: None,
            awaited: None,
            bound: None,
            led: None,
            sleeping: false,
            held: None,
            parked: None,
            resumed: None,
            monitor: false,
            trace: None,
            last_write: wal::Position::START,
            is_led_write: false,
            unasked: crate::refusal::Unasked::default(),
        }
    }

    /// Channels and patterns it listens to.
    pub fn subscriptions(&self) -> usize {
        self.channels.len() + self.patterns.len()
    }

    /// Writes a reply.
    pub fn reply<'o>(&self, turn: &'o mut Turn<'_>) -> Reply<'o> {
        Reply::new(turn.out, self.protocol)
    }
}

/// The full name of a command: `get`, `client|list`.
pub fn full_name(container: Option<&Spec>, spec: &Spec) -> String {
    match container {
        Some(container) => format!("{}|{}", container.name, spec.name),
        None => spec.name.to_owned(),
    }
}

/// Writes an error and goes on.
pub fn refuse(session: &Session, turn: &mut Turn<'_>, text: impl AsRef<[u8]>) -> Flow {
    session.reply(turn).error(text);
    Flow::Continue
}

/// Writes OK and goes on.
pub fn ok(session: &Session, turn: &mut Turn<'_>) -> Flow {
    session.reply(turn).ok();
    Flow::Continue
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use command::{Run, table};

    use super::{full_name, handlers};

    #[test]
    fn every_session_command_has_one_handler() {
        let mut declared = HashSet::new();
        for spec in table::all() {
            if matches!(spec.run, Run::Session) {
                declared.insert(full_name(None, spec));
            }
            for sub in spec.subcommands().iter().filter(|sub| matches!(sub.run, Run::Session)) {
                declared.insert(full_name(Some(spec), sub));
            }
        }
        let handled: Vec<_> = handlers().map(|(name, _)| (*name).to_owned()).collect();
        let unique: HashSet<_> = handled.iter().cloned().collect();
        assert_eq!(handled.len(), unique.len(), "a handler stands twice");
        assert_eq!(declared, unique);
    }
}
