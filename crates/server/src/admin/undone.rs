//! KEYSPACE UNDONE: the undone stream of this node, from its journal.

use effect::Dot;
use replication::{Loss, Report};
use resp::{Args, Reply};

use super::info_group::dot_text;
use crate::front::Room;
use crate::net::{Flow, Turn};
use crate::session::{Session, refuse};

/// Reports that are answered if nobody says how many.
const COUNT: usize = 100;

/// `[SINCE id] [COUNT count]`.
pub fn undone(room: &mut Room, session: &mut Session, args: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    let (mut since, mut count, mut at) = (0, COUNT, 2);
    while let Some(option) = args.get(at) {
        let number = args.get(at + 1).and_then(|value| std::str::from_utf8(value).ok()?.parse::<u64>().ok());
        let Some(number) = number else { return refuse(session, turn, "ERR SINCE and COUNT need a number from 0 on") };
        match option.to_ascii_uppercase().as_slice() {
            b"SINCE" => since = number,
            b"COUNT" => count = usize::try_from(number).unwrap_or(usize::MAX),
            _ => return refuse(session, turn, "ERR syntax error"),
        }
        at += 2;
    }
    let reports = room.node.member().map(|member| member.undone().since(since, count)).unwrap_or_default();
    let mut reply = session.reply(turn);
    reply.array(reports.len());
    reports.iter().for_each(|report| write(&mut reply, report));
    Flow::Continue
}

fn write(reply: &mut Reply<'_>, report: &Report) {
    let Report { id, ms, loss, keys, more } = report;
    let node = |dot: &Dot| ("node", format!("{:012x}", dot.origin.node()).into_bytes());
    let (what, details) = match loss {
        Loss::Transaction { bind, by } => {
            let dots = [("transaction", dot_text(*bind).into_bytes()), ("lost-to", dot_text(*by).into_bytes())];
            ("transaction", [vec![node(bind)], dots.into()].concat())
        }
        Loss::Superseded { effect, hlc, op, element } => {
            let written = hlc.ms().to_string().into_bytes();
            let mut details = vec![node(effect), ("effect", dot_text(*effect).into_bytes()), ("written", written)];
            details.push(("op", op.clone().into_bytes()));
            details.extend(element.clone().map(|element| ("element", element)));
            ("superseded", details)
        }
    };
    reply.map(5 + details.len());
    for (field, number) in [("id", i64::try_from(*id).unwrap_or(i64::MAX)), ("time", *ms)] {
        reply.bulk(field.as_bytes());
        reply.int(number);
    }
    reply.bulk(b"what");
    reply.bulk(what.as_bytes());
    for (field, text) in details {
        reply.bulk(field.as_bytes());
        reply.bulk(&text);
    }
    reply.bulk(b"keys");
    reply.array(keys.len());
    for (db, key) in keys {
        reply.array(2);
        reply.int(i64::from(*db));
        reply.bulk(key);
    }
    reply.bulk(b"more-keys");
    reply.int(i64::try_from(*more).unwrap_or(i64::MAX));
}
