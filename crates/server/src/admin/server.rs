//! TIME, SAVE, SHUTDOWN and the like; CONFIG.

use std::sync::atomic::Ordering;

use command::{errors, parse};
use resp::Args;

use super::Handlers;
use crate::front::Room;
use crate::net::{Flow, Turn};
use crate::session::{Session, ok, refuse};

/// The handlers of this family.
pub const HANDLERS: Handlers = &[
    ("time", time),
    ("lastsave", lastsave),
    ("save", save),
    ("bgsave", bgsave),
    ("bgrewriteaof", bgrewriteaof),
    ("shutdown", shutdown),
    ("role", role),
    ("replicaof", replicaof),
    ("slaveof", replicaof),
    ("monitor", monitor),
    ("config|get", config_get),
    ("config|set", config_set),
    ("config|rewrite", config_rewrite),
    ("config|resetstat", config_resetstat),
    ("config|help", |room, session, _, turn| room.help(session, turn, "config")),
];

fn time(_: &mut Room, session: &mut Session, _: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    let us = turn.now.unix_us();
    let mut reply = session.reply(turn);
    reply.array(2);
    reply.bulk_int((us / 1_000_000) as i64);
    reply.bulk_int((us % 1_000_000) as i64);
    Flow::Continue
}

fn lastsave(room: &mut Room, session: &mut Session, _: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    session.reply(turn).int(room.node.last_save_s.load(Ordering::Relaxed));
    Flow::Continue
}

/// Makes everything durable that has been logged.
fn make_durable(room: &Room) -> Result<(), String> {
    let log = room.node.engine.log();
    let records = log.stats().records;
    log.sync().map_err(|error| format!("ERR the log could not be made durable: {error}"))?;
    room.node.last_save_s.store(room.node.engine.now_ms() / 1000, Ordering::Relaxed);
    room.node.saved_records.store(records, Ordering::Relaxed);
    room.node.saves.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

fn save(room: &mut Room, session: &mut Session, _: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    match make_durable(room) {
        Ok(()) => ok(session, turn),
        Err(text) => refuse(session, turn, text),
    }
}

fn bgsave(room: &mut Room, session: &mut Session, args: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    if args.len() > 2 || args.get(1).is_some_and(|option| !parse::is(option, "SCHEDULE")) {
        return refuse(session, turn, errors::SYNTAX_TEXT);
    }
    if let Err(text) = make_durable(room) {
        return refuse(session, turn, text);
    }
    session.reply(turn).simple("Background saving started");
    Flow::Continue
}

fn bgrewriteaof(room: &mut Room, session: &mut Session, _: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    match room.node.engine.request_checkpoint() {
        true => session.reply(turn).simple("Background append only file rewriting started"),
        false => session.reply(turn).error("ERR Background append only file rewriting already in progress"),
    }
    Flow::Continue
}

fn shutdown(room: &mut Room, session: &mut Session, args: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    let given = |option: &str| args.iter().skip(1).any(|word| parse::is(word, option));
    let known = |word: &[u8]| ["SAVE", "NOSAVE", "NOW", "FORCE", "ABORT"].iter().any(|known| parse::is(word, known));
    let goes_on = given("SAVE") || given("NOSAVE") || given("NOW") || given("FORCE");
    if !args.iter().skip(1).all(known) || given("SAVE") && given("NOSAVE") || given("ABORT") && goes_on {
        return refuse(session, turn, errors::SYNTAX_TEXT);
    }
    if given("ABORT") {
        return refuse(session, turn, "ERR No shutdown in progress.");
    }
    room.node.shut_down();
    Flow::CloseNow
}

fn role(room: &mut Room, session: &mut Session, _: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    let offset = room.node.engine.log().end().get() as i64;
    let mut reply = session.reply(turn);
    reply.array(3);
    reply.bulk(b"master");
    reply.int(offset);
    reply.array(0);
    Flow::Continue
}

fn replicaof(_: &mut Room, session: &mut Session, args: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    if parse::is(&args[1], "NO") && parse::is(&args[2], "ONE") {
        return ok(session, turn);
    }
    refuse(session, turn, "ERR this version cannot follow another server; only REPLICAOF NO ONE is accepted")
}

fn monitor(room: &mut Room, session: &mut Session, _: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    session.monitor = true;
    session.info.monitor.store(true, Ordering::Relaxed);
    turn.settings.class = crate::net::OutputClass::Replica;
    room.node.add_monitor(turn.addr);
    ok(session, turn)
}

fn config_get(room: &mut Room, session: &mut Session, args: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    let patterns: Vec<&[u8]> = args.iter().skip(2).collect();
    let pairs = room.node.config.get(&patterns);
    let mut reply = session.reply(turn);
    reply.map(pairs.len());
    for (name, value) in &pairs {
        reply.bulk(name);
        reply.bulk(value);
    }
    Flow::Continue
}

fn config_set(room: &mut Room, session: &mut Session, args: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    if !args.len().is_multiple_of(2) {
        return refuse(session, turn, errors::SYNTAX_TEXT);
    }
    let words: Vec<&[u8]> = args.iter().skip(2).collect();
    let pairs: Vec<(&[u8], &[u8])> = words.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
    match room.node.config.set(&pairs, session.info.is_local()) {
        Ok(_) => ok(session, turn),
        Err(error) => refuse(session, turn, error.to_string()),
    }
}

fn config_rewrite(room: &mut Room, session: &mut Session, _: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    match room.node.config.rewrite() {
        Ok(()) => ok(session, turn),
        Err(error) => refuse(session, turn, error.to_string()),
    }
}

fn config_resetstat(room: &mut Room, session: &mut Session, _: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    room.node.stats.reset();
    room.node.look_at_memory();
    ok(session, turn)
}
