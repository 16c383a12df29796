//! BACKUP.
//!
//! It stores to wherever the server may write, and makes connections of its own: `enable-backup-command` says who may use it.

use archive::seal::PublicKey;
use command::parse;
use resp::Args;

use super::Handlers;
use crate::backups::Order;
use crate::front::Room;
use crate::net::{Flow, Turn};
use crate::session::{Session, ok, refuse};

/// The handlers of this family.
pub const HANDLERS: Handlers = &[
    ("backup|to", to),
    ("backup|status", status),
    ("backup|cancel", cancel),
    ("backup|help", |room, session, _, turn| room.help(session, turn, "backup")),
];

const FORBIDDEN: &str = "ERR BACKUP command not allowed. If the enable-backup-command option is set to \"local\", you can \
     run it from a local connection, otherwise you need to set this option in the configuration file, and then restart \
     the server.";

fn is_allowed(room: &Room, session: &Session) -> bool {
    room.node.config.settings().security.backup_command.permits(session.info.is_local())
}

/// What is asked for; the error is the reply's text.
fn read_order(args: &Args<'_>) -> Result<Order, String> {
    let text = |at: usize| args.get(at).and_then(|word| std::str::from_utf8(word).ok());
    let url = text(2).ok_or("ERR the URL is no text")?;
    if !args.get(3).is_some_and(|word| parse::is(word, "RECIPIENT")) || args.len() > 6 {
        return Err(command::errors::SYNTAX_TEXT.into());
    }
    let full = args.get(5).map(|word| parse::is(word, "FULL"));
    if full == Some(false) {
        return Err(command::errors::SYNTAX_TEXT.into());
    }
    // A path of the one who asks means nothing here.
    if !url.starts_with('/') && !url.contains(':') {
        return Err("ERR give a URL or an absolute path, of the server's machine".into());
    }
    let key = text(4).ok_or("ERR the public key is no text")?;
    let recipient = PublicKey::from_text(key).map_err(|error| format!("ERR RECIPIENT: {error}"))?;
    Ok(Order { url: url.into(), recipient, full: full.is_some() })
}

fn to(room: &mut Room, session: &mut Session, args: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    if !is_allowed(room, session) {
        return refuse(session, turn, FORBIDDEN);
    }
    match read_order(&args).and_then(|order| room.node.backups.begin(&room.node.engine, order)) {
        Ok(()) => {
            session.reply(turn).simple("Background backup started");
            Flow::Continue
        }
        Err(text) => refuse(session, turn, text),
    }
}

fn status(room: &mut Room, session: &mut Session, _: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    let lines = room.node.backups.status();
    let mut reply = session.reply(turn);
    reply.map(lines.len());
    for (name, value) in lines {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    }
    Flow::Continue
}

fn cancel(room: &mut Room, session: &mut Session, _: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    if !is_allowed(room, session) {
        return refuse(session, turn, FORBIDDEN);
    }
    match room.node.backups.cancel() {
        true => ok(session, turn),
        false => refuse(session, turn, "ERR no backup is being taken"),
    }
}
