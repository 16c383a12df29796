//! Commands that concern the server: configuration, figures, clients, internals.

mod client;
mod client_filter;
mod client_line;
pub(crate) mod commands;
mod commands_doc;
mod debug;
mod info;
mod info_sections;
mod key_specs;
mod keyspace;
mod latency;
mod memory;
mod percentile;
mod server;
mod slowlog;

use command::{Spec, table};
use resp::Args;

use crate::config::Settings;
use crate::node::Node;
use crate::session::{Handler, Session};

pub use commands_doc::render_markdown;

/// The handlers of all families of this room.
pub const FAMILIES: &[Handlers] = &[
    server::HANDLERS,
    client::HANDLERS,
    info::HANDLERS,
    commands::HANDLERS,
    slowlog::HANDLERS,
    latency::HANDLERS,
    memory::HANDLERS,
    debug::HANDLERS,
    keyspace::HANDLERS,
];

/// The Redis version whose behaviour is offered: clients choose features by it.
pub const REDIS_VERSION: &str = "8.0.0";

/// What a client from elsewhere gets while no password is set.
pub const PROTECTED: &str = "-DENIED The server runs in protected mode: no password is set and the connection does not come \
     from this machine. Set one with requirepass, or turn protected mode off: CONFIG SET protected-mode no from this \
     machine, or --protected-mode no at the start.\r\n";

/// The help of a container: its subcommands with their summaries.
pub fn help_lines(container: &str) -> Vec<String> {
    let name = container.to_ascii_uppercase();
    let mut lines = vec![format!("{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:")];
    for sub in table::find(container.as_bytes()).map(Spec::subcommands).into_iter().flatten() {
        lines.push(format!("{} {}", sub.name.to_ascii_uppercase(), sub.syntax).trim_end().to_owned());
        lines.push(format!("    {}", sub.summary));
    }
    lines
}

/// The path of the unix socket, as it stands in addresses.
pub fn unix_path(settings: &Settings) -> String {
    settings.network.unixsocket.as_ref().map(|path| path.display().to_string()).unwrap_or_default()
}

/// A command as MONITOR shows it.
pub fn monitor_line(node: &Node, session: &Session, args: &Args<'_>, unix_ms: u64) -> Vec<u8> {
    let path = unix_path(&node.config.settings());
    let from = match &session.info.peer.addr {
        crate::net::PeerAddr::Unix => format!("unix:{path}"),
        crate::net::PeerAddr::Tcp { .. } => session.info.remote(&path),
    };
    let mut line = format!("+{}.{:06} [{} {from}]", unix_ms / 1000, unix_ms % 1000 * 1000, session.db).into_bytes();
    for arg in args.iter() {
        line.extend_from_slice(b" \"");
        line.extend(arg.iter().flat_map(|b| std::ascii::escape_default(*b)));
        line.push(b'"');
    }
    line.extend_from_slice(b"\r\n");
    line
}

/// A family's handlers.
pub type Handlers = &'static [(&'static str, Handler)];
