//! AUTH, HELLO, PING, ECHO, SELECT, QUIT, RESET.

use std::sync::atomic::Ordering;

use command::{errors, parse};
use resp::{Args, Protocol};

use super::{Handler, ReplyMode, Session, ok, refuse};
use crate::front::Room;
use crate::net::{Flow, OutputClass, Turn};

/// The handlers of this family.
pub const HANDLERS: &[(&str, Handler)] = &[
    ("auth", auth),
    ("hello", hello),
    ("ping", ping),
    ("echo", echo),
    ("select", select),
    ("quit", quit),
    ("reset", reset),
];

const WRONGPASS: &str = "WRONGPASS invalid username-password pair or user is disabled.";

/// Whether user and password are right. There is one user, `default`.
fn may_enter(room: &Room, user: &[u8], password: &[u8]) -> bool {
    let settings = room.node.config.settings();
    match &settings.security.requirepass {
        None => user == b"default",
        Some(right) => user == b"default" && same(right, password),
    }
}

/// Compares in a time that does not depend on where the two differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |diff, (x, y)| diff | (x ^ y)) == 0
}

fn enter(session: &mut Session, turn: &mut Turn<'_>) {
    session.authenticated = true;
    turn.settings.authenticated = true;
}

fn auth(room: &mut Room, session: &mut Session, args: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    let (user, password) = match args.len() {
        2 => (&b"default"[..], &args[1]),
        3 => (&args[1], &args[2]),
        _ => return refuse(session, turn, errors::SYNTAX_TEXT),
    };
    if args.len() == 2 && room.node.config.settings().security.requirepass.is_none() {
        return refuse(
            session,
            turn,
            "ERR AUTH <password> called without any password configured for the default user. Are you sure your \
             configuration is correct?",
        );
    }
    if !may_enter(room, user, password) {
        return refuse(session, turn, WRONGPASS);
    }
    enter(session, turn);
    ok(session, turn)
}

fn hello(room: &mut Room, session: &mut Session, args: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    let mut protocol = session.protocol;
    if let Some(version) = args.get(1) {
        protocol = match resp::parse_i64(version) {
            Some(2) => Protocol::Resp2,
            Some(3) => Protocol::Resp3,
            Some(_) => return refuse(session, turn, "NOPROTO unsupported protocol version"),
            None => return refuse(session, turn, "ERR Protocol version is not an integer or out of range"),
        };
    }
    let mut name = None;
    let mut rest = args.tail(2);
    while let Some(option) = rest.get(0) {
        if parse::is(option, "AUTH") && rest.len() >= 3 {
            if !may_enter(room, &rest[1], &rest[2]) {
                return refuse(session, turn, WRONGPASS);
            }
            enter(session, turn);
            rest = rest.tail(3);
        } else if parse::is(option, "SETNAME") && rest.len() >= 2 {
            if !is_printable(&rest[1]) {
                return refuse(session, turn, BAD_NAME);
            }
            name = Some(rest[1].to_vec());
            rest = rest.tail(2);
        } else {
            let text = [b"ERR Syntax error in HELLO option '", option, b"'"].concat();
            return refuse(session, turn, text);
        }
    }
    if !session.authenticated {
        return refuse(
            session,
            turn,
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH \
             <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the \
             same time",
        );
    }
    if let Some(name) = name {
        session.info.names.lock().name = name;
    }
    set_protocol(session, protocol);
    let id = turn.addr.id().0 as i64;
    let mut reply = session.reply(turn);
    reply.map(7);
    for (key, value) in [("server", "redis"), ("version", crate::admin::REDIS_VERSION)] {
        reply.bulk(key.as_bytes());
        reply.bulk(value.as_bytes());
    }
    reply.bulk(b"proto");
    reply.int(if protocol == Protocol::Resp3 { 3 } else { 2 });
    reply.bulk(b"id");
    reply.int(id);
    for (key, value) in [("mode", "standalone"), ("role", "master")] {
        reply.bulk(key.as_bytes());
        reply.bulk(value.as_bytes());
    }
    reply.bulk(b"modules");
    reply.array(0);
    Flow::Continue
}

/// The refusal of a name that would break CLIENT LIST.
pub const BAD_NAME: &str = "ERR Client names cannot contain spaces, newlines or special characters.";

/// Whether a name can stand in a line of CLIENT LIST.
pub fn is_printable(name: &[u8]) -> bool {
    name.iter().all(|b| (b'!'..=b'~').contains(b))
}

fn set_protocol(session: &mut Session, protocol: Protocol) {
    session.protocol = protocol;
    session.info.protocol.store(if protocol == Protocol::Resp3 { 3 } else { 2 }, Ordering::Relaxed);
}

fn ping(_: &mut Room, session: &mut Session, args: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    if args.len() > 2 {
        return refuse(session, turn, errors::wrong_arity("ping"));
    }
    let subscribed = session.subscriptions() > 0 && session.protocol == Protocol::Resp2;
    let mut reply = session.reply(turn);
    match (subscribed, args.get(1)) {
        (true, message) => {
            reply.array(2);
            reply.bulk(b"pong");
            reply.bulk(message.unwrap_or_default());
        }
        (false, Some(message)) => reply.bulk(message),
        (false, None) => reply.simple("PONG"),
    }
    Flow::Continue
}

fn echo(_: &mut Room, session: &mut Session, args: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    session.reply(turn).bulk(&args[1]);
    Flow::Continue
}

/// The database that a SELECT asks for, or why there is none such.
pub fn database(room: &Room, args: Args<'_>) -> Result<u8, &'static str> {
    let index = args.get(1).and_then(resp::parse_i64).ok_or("ERR value is not an integer or out of range")?;
    if i32::try_from(index).is_err() {
        return Err("ERR value is out of range, value must between -2147483648 and 2147483647");
    }
    let databases = i64::from(room.node.config.settings().process.databases.min(256));
    (0..databases).contains(&index).then_some(index as u8).ok_or("ERR DB index is out of range")
}

fn select(room: &mut Room, session: &mut Session, args: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    match database(room, args) {
        Ok(db) => {
            session.db = db;
            session.info.db.store(u32::from(db), Ordering::Relaxed);
            ok(session, turn)
        }
        Err(text) => refuse(session, turn, text),
    }
}

fn quit(_: &mut Room, session: &mut Session, _: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    session.reply(turn).ok();
    Flow::Close
}

fn reset(room: &mut Room, session: &mut Session, _: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    super::transaction::end(room, session);
    super::pubsub::unsubscribe_all(room, session, turn.addr.id());
    for figure in [&session.info.channels, &session.info.patterns] {
        figure.store(0, Ordering::Relaxed);
    }
    if session.monitor {
        session.monitor = false;
        session.info.monitor.store(false, Ordering::Relaxed);
        room.node.remove_monitor(turn.addr.id());
    }
    set_protocol(session, Protocol::Resp2);
    session.db = 0;
    session.info.db.store(0, Ordering::Relaxed);
    session.info.names.lock().name.clear();
    session.reply_mode = ReplyMode::On;
    session.info.no_touch.store(false, Ordering::Relaxed);
    session.trace = None;
    session.info.no_evict.store(false, Ordering::Relaxed);
    session.authenticated = room.node.config.settings().security.requirepass.is_none();
    turn.settings.authenticated = session.authenticated;
    turn.settings.class = OutputClass::Normal;
    session.reply(turn).simple("RESET");
    Flow::Continue
}
