//! CLIENT.

use std::sync::atomic::Ordering;

use command::{errors, parse};
use resp::Args;

use super::client_filter::{Filter, Form, Known, Scene};
use super::client_line::line;
use super::{Handlers, unix_path};
use crate::front::Room;
use crate::message::Message;
use crate::net::{ClientId, Flow, Turn};
use crate::node::Pause;
use crate::session::connection::{BAD_NAME, is_printable};
use crate::session::{ReplyMode, Session, ok, refuse};

/// The handlers of this family.
pub const HANDLERS: Handlers = &[
    ("client|id", id),
    ("client|info", info),
    ("client|list", list),
    ("client|setname", set_name),
    ("client|getname", get_name),
    ("client|setinfo", set_info),
    ("client|kill", kill),
    ("client|pause", pause),
    ("client|unpause", unpause),
    ("client|reply", reply),
    ("client|unblock", unblock),
    ("client|no-evict", no_evict),
    ("client|no-touch", no_touch),
    ("client|getredir", get_redir),
    ("client|trackinginfo", tracking_info),
    ("client|help", |room, session, _, turn| room.help(session, turn, "client")),
];

fn id(_: &mut Room, session: &mut Session, _: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    let id = turn.addr.id().0;
    session.reply(turn).int(id as i64);
    Flow::Continue
}

fn info(room: &mut Room, session: &mut Session, _: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    let path = unix_path(&room.node.config.settings());
    let me = (turn.addr.clone(), std::sync::Arc::clone(&session.info));
    let mut text = line(&me, &Scene { now_ms: turn.now.unix_ms as i64, unix_path: &path });
    text.push(b'\n');
    session.reply(turn).verbatim(*b"txt", &text);
    Flow::Continue
}

fn list(room: &mut Room, session: &mut Session, args: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    let filter = match Filter::parse(args.tail(2), Form::List) {
        Ok(filter) => filter,
        Err(text) => return refuse(session, turn, text),
    };
    let path = unix_path(&room.node.config.settings());
    let scene = Scene { now_ms: turn.now.unix_ms as i64, unix_path: &path };
    let mut text = Vec::new();
    for known in room.node.clients() {
        let skipped = filter.skip_me == Some(true) && known.0.id() == turn.addr.id();
        if !skipped && filter.matches(&known, &scene) {
            text.extend(line(&known, &scene));
            text.push(b'\n');
        }
    }
    session.reply(turn).verbatim(*b"txt", &text);
    Flow::Continue
}

fn set_name(_: &mut Room, session: &mut Session, args: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    if !is_printable(&args[2]) {
        return refuse(session, turn, BAD_NAME);
    }
    session.info.names.lock().name = args[2].to_vec();
    ok(session, turn)
}

fn get_name(_: &mut Room, session: &mut Session, _: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    let name = session.info.names.lock().name.clone();
    let mut reply = session.reply(turn);
    match name.is_empty() {
        true => reply.null(),
        false => reply.bulk(&name),
    }
    Flow::Continue
}

fn set_info(_: &mut Room, session: &mut Session, args: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    let (is_name, is_version) = (parse::is(&args[2], "LIB-NAME"), parse::is(&args[2], "LIB-VER"));
    if !is_name && !is_version {
        return refuse(session, turn, [b"ERR Unrecognized option '", &args[2], b"'"].concat());
    }
    if !is_printable(&args[3]) {
        let option = if is_name { "lib-name" } else { "lib-ver" };
        return refuse(session, turn, format!("ERR {option} cannot contain spaces, newlines or special characters."));
    }
    let mut names = session.info.names.lock();
    let field = if is_name { &mut names.lib_name } else { &mut names.lib_ver };
    *field = args[3].to_vec();
    drop(names);
    ok(session, turn)
}

/// CLIENT KILL. The client itself goes when its reply is out, others as soon as their threads hear of it.
fn kill(room: &mut Room, session: &mut Session, args: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    let old_form = args.len() == 3;
    let filter = match old_form {
        true => Filter::address(&args[2]),
        false => match Filter::parse(args.tail(2), Form::Kill) {
            Ok(filter) => filter,
            Err(text) => return refuse(session, turn, text),
        },
    };
    let path = unix_path(&room.node.config.settings());
    let scene = Scene { now_ms: turn.now.unix_ms as i64, unix_path: &path };
    let skip_me = filter.skip_me.unwrap_or(!old_form);
    let me = turn.addr.id();
    let meant = |known: &Known| filter.matches(known, &scene) && !(skip_me && known.0.id() == me);
    let doomed: Vec<Known> = room.node.clients().into_iter().filter(meant).collect();
    let mut flow = Flow::Continue;
    for (addr, _) in &doomed {
        match addr.id() == me {
            true => flow = Flow::Close,
            // One that is gone already is as dead as it should be.
            false => {
                let _ = room.node.control.post().send(addr, Message::Kill, 0);
            }
        }
    }
    let mut reply = session.reply(turn);
    match (old_form, doomed.is_empty()) {
        (true, true) => reply.error("ERR No such client"),
        (true, false) => reply.ok(),
        (false, _) => reply.int(doomed.len() as i64),
    }
    flow
}

fn pause(room: &mut Room, session: &mut Session, args: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    let all = match args.get(3) {
        None => true,
        Some(mode) if parse::is(mode, "ALL") => true,
        Some(mode) if parse::is(mode, "WRITE") => false,
        Some(_) => return refuse(session, turn, "ERR CLIENT PAUSE mode must be WRITE or ALL"),
    };
    if args.len() > 4 {
        return refuse(session, turn, errors::SYNTAX_TEXT);
    }
    let now_ms = turn.now.unix_ms as i64;
    let until_ms = match resp::parse_i64(&args[2]) {
        None => return refuse(session, turn, "ERR timeout is not an integer or out of range"),
        Some(..0) => return refuse(session, turn, "ERR timeout is negative"),
        Some(ms) => now_ms.saturating_add(ms),
    };
    // A pause in force is only ever lengthened and made stricter.
    let pause = match room.node.pause(now_ms) {
        Some(old) => Pause { until_ms: until_ms.max(old.until_ms), all: all || old.all },
        None => Pause { until_ms, all },
    };
    room.node.set_pause(Some(pause));
    ok(session, turn)
}

fn unpause(room: &mut Room, session: &mut Session, _: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    room.node.set_pause(None);
    room.node.release_held();
    ok(session, turn)
}

fn reply(_: &mut Room, session: &mut Session, args: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    if parse::is(&args[2], "ON") {
        session.reply_mode = ReplyMode::On;
        return ok(session, turn);
    }
    if parse::is(&args[2], "OFF") {
        session.reply_mode = ReplyMode::Off;
    } else if parse::is(&args[2], "SKIP") {
        if session.reply_mode != ReplyMode::Off {
            session.reply_mode = ReplyMode::SkipNext;
        }
    } else {
        return refuse(session, turn, errors::SYNTAX_TEXT);
    }
    Flow::Continue
}

fn unblock(room: &mut Room, session: &mut Session, args: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    let error = match args.get(3) {
        None => false,
        Some(reason) if parse::is(reason, "TIMEOUT") => false,
        Some(reason) if parse::is(reason, "ERROR") => true,
        Some(_) => return refuse(session, turn, "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"),
    };
    if args.len() > 4 {
        return refuse(session, turn, errors::SYNTAX_TEXT);
    }
    let Some(id) = resp::parse_i64(&args[2]) else {
        return refuse(session, turn, "ERR value is not an integer or out of range");
    };
    let known = u64::try_from(id).ok().and_then(|id| room.node.client(ClientId(id)));
    let sent = known.is_some_and(|(addr, info)| {
        let ticket = info.ticket.load(Ordering::Relaxed);
        let waits = info.blocked.load(Ordering::Relaxed) && ticket != 0;
        waits && room.node.control.post().send(&addr, Message::Unblock { ticket, error }, 0).is_ok()
    });
    session.reply(turn).int(i64::from(sent));
    Flow::Continue
}

/// ON or OFF.
fn switch(session: &Session, args: &Args<'_>, turn: &mut Turn<'_>, set: impl FnOnce(bool)) -> Flow {
    match (parse::is(&args[2], "ON"), parse::is(&args[2], "OFF")) {
        (true, _) => set(true),
        (_, true) => set(false),
        _ => return refuse(session, turn, errors::SYNTAX_TEXT),
    }
    ok(session, turn)
}

/// DIFFERENCE: there is no eviction of clients that it could exempt from (`maxmemory-clients` does nothing).
fn no_evict(_: &mut Room, session: &mut Session, args: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    switch(session, &args, turn, |on| session.info.no_evict.store(on, Ordering::Relaxed))
}

fn no_touch(_: &mut Room, session: &mut Session, args: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    switch(session, &args, turn, |on| session.info.no_touch.store(on, Ordering::Relaxed))
}

/// Keys are not tracked in this version.
fn get_redir(_: &mut Room, session: &mut Session, _: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    session.reply(turn).int(-1);
    Flow::Continue
}

fn tracking_info(_: &mut Room, session: &mut Session, _: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    let mut reply = session.reply(turn);
    reply.map(3);
    reply.bulk(b"flags");
    reply.set(1);
    reply.bulk(b"off");
    reply.bulk(b"redirect");
    reply.int(-1);
    reply.bulk(b"prefixes");
    reply.array(0);
    Flow::Continue
}
