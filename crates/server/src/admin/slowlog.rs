//! SLOWLOG.

use resp::Args;

use super::Handlers;
use crate::front::Room;
use crate::net::{Flow, Turn};
use crate::session::{Session, ok, refuse};

/// The handlers of this family.
pub const HANDLERS: Handlers = &[
    ("slowlog|get", get),
    ("slowlog|len", len),
    ("slowlog|reset", reset),
    ("slowlog|help", |room, session, _, turn| room.help(session, turn, "slowlog")),
];

/// Entries that SLOWLOG GET shows if nothing else is said.
const SHOWN: usize = 10;

fn get(room: &mut Room, session: &mut Session, args: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    if args.len() > 3 {
        return refuse(session, turn, command::errors::wrong_arity("slowlog|get"));
    }
    let count = match args.get(2).map(resp::parse_i64) {
        None => SHOWN,
        Some(Some(-1)) => usize::MAX,
        Some(Some(count @ 0..)) => count as usize,
        Some(_) => return refuse(session, turn, "ERR count should be greater than or equal to -1"),
    };
    let log = room.node.stats.slowlog.lock();
    let shown = count.min(log.entries.len());
    let mut reply = session.reply(turn);
    reply.array(shown);
    for entry in log.entries.iter().take(shown) {
        reply.array(6);
        reply.int(entry.id as i64);
        reply.int(entry.at_s);
        reply.int(entry.took_us as i64);
        reply.array(entry.args.len());
        entry.args.iter().for_each(|arg| reply.bulk(arg));
        reply.bulk(entry.addr.as_bytes());
        reply.bulk(&entry.name);
    }
    Flow::Continue
}

fn len(room: &mut Room, session: &mut Session, _: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    let len = room.node.stats.slowlog.lock().entries.len();
    session.reply(turn).int(len as i64);
    Flow::Continue
}

fn reset(room: &mut Room, session: &mut Session, _: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    room.node.stats.slowlog.lock().entries.clear();
    ok(session, turn)
}
