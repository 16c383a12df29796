//! Commands that concern the server: configuration, figures, clients, internals.

mod backup;
mod client;
mod client_filter;
mod client_line;
mod cluster;
pub(crate) mod commands;
mod commands_doc;
pub(crate) mod copies;
mod debug;
mod effect_words;
pub(crate) mod effects;
mod info;
mod info_group;
mod info_sections;
mod key_specs;
mod keyspace;
mod latency;
mod memory;
mod percentile;
pub(crate) mod redact;
mod server;
mod slowlog;
mod tips;
mod undone;

use command::{Spec, table};

use crate::client::ClientInfo;
use crate::config::Settings;
use crate::session::Handler;

pub use commands_doc::render_markdown;

/// The handlers of all families of this room.
pub const FAMILIES: &[Handlers] = &[
    server::HANDLERS,
    copies::HANDLERS,
    cluster::HANDLERS,
    client::HANDLERS,
    info::HANDLERS,
    commands::HANDLERS,
    slowlog::HANDLERS,
    latency::HANDLERS,
    memory::HANDLERS,
    debug::HANDLERS,
    keyspace::HANDLERS,
    backup::HANDLERS,
    effects::HANDLERS,
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

/// A command as MONITOR shows it, in the database that the client is in once it has run; `us` is unix time.
pub fn monitor_line(unix_path: &str, info: &ClientInfo, db: u8, words: &[&[u8]], us: u64) -> Vec<u8> {
    let from = match &info.peer.addr {
        crate::net::PeerAddr::Unix => format!("unix:{unix_path}"),
        crate::net::PeerAddr::Tcp { .. } => info.remote(unix_path),
    };
    let mut line = format!("+{}.{:06} [{db} {from}]", us / 1_000_000, us % 1_000_000).into_bytes();
    for word in words {
        line.extend_from_slice(b" \"");
        word.iter().for_each(|byte| escape(*byte, &mut line));
        line.push(b'"');
    }
    line.extend_from_slice(b"\r\n");
    line
}

/// A byte as it stands in double quotes. Inline commands and the configuration file read it back.
fn escape(byte: u8, line: &mut Vec<u8>) {
    let letter = match byte {
        b'\\' | b'"' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        7 => b'a',
        8 => b'b',
        b' '..=b'~' => return line.push(byte),
        _ => return line.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
    };
    line.extend_from_slice(&[b'\\', letter]);
}

/// A family's handlers.
pub type Handlers = &'static [(&'static str, Handler)];

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn every_byte_is_escaped_so_that_an_inline_command_reads_it_back() {
        let all: Vec<u8> = (0..=255).collect();
        let mut quoted = vec![b'"'];
        all.iter().for_each(|byte| escape(*byte, &mut quoted));
        quoted.push(b'"');
        assert!(quoted.is_ascii() && !quoted.iter().any(u8::is_ascii_control));
        let words = resp::split_line(&quoted).unwrap();
        assert_eq!(words.as_args().iter().collect::<Vec<_>>(), [&all[..]]);
    }
}
