//! SUBSCRIBE and its kin, PUBLISH, PUBSUB.

use std::sync::atomic::Ordering;

use resp::Args;

use super::{Handler, Session};
use crate::broker::Topic;
use crate::front::Room;
use crate::net::{Flow, OutputClass, Turn};

/// The handlers of this family.
pub const HANDLERS: &[(&str, Handler)] = &[
    ("subscribe", |room, session, args, turn| subscribe(room, session, args, turn, Topic::Channel)),
    ("psubscribe", |room, session, args, turn| subscribe(room, session, args, turn, Topic::Pattern)),
    ("unsubscribe", |room, session, args, turn| unsubscribe(room, session, args, turn, Topic::Channel)),
    ("punsubscribe", |room, session, args, turn| unsubscribe(room, session, args, turn, Topic::Pattern)),
    ("publish", publish),
    ("pubsub|channels", channels),
    ("pubsub|numpat", numpat),
    ("pubsub|numsub", numsub),
    ("pubsub|help", help),
];

fn names(session: &mut Session, topic: Topic) -> &mut std::collections::HashSet<Box<[u8]>> {
    match topic {
        Topic::Channel => &mut session.channels,
        Topic::Pattern => &mut session.patterns,
    }
}

/// Says what changed, and how many subscriptions there are now.
fn confirm(session: &Session, turn: &mut Turn<'_>, what: &[u8], name: Option<&[u8]>) {
    let count = session.subscriptions() as i64;
    let mut reply = session.reply(turn);
    reply.push(3);
    reply.bulk(what);
    match name {
        Some(name) => reply.bulk(name),
        None => reply.null(),
    }
    reply.int(count);
}

fn note(session: &Session, turn: &mut Turn<'_>) {
    session.info.channels.store(session.channels.len(), Ordering::Relaxed);
    session.info.patterns.store(session.patterns.len(), Ordering::Relaxed);
    turn.settings.class = if session.subscriptions() > 0 { OutputClass::PubSub } else { OutputClass::Normal };
}

fn subscribe(room: &mut Room, session: &mut Session, args: Args<'_>, turn: &mut Turn<'_>, topic: Topic) -> Flow {
    let what: &[u8] = if topic == Topic::Channel { b"subscribe" } else { b"psubscribe" };
    for name in args.iter().skip(1) {
        if names(session, topic).insert(name.into()) {
            room.node.broker.subscribe(topic, name, turn.addr);
        }
        confirm(session, turn, what, Some(name));
    }
    note(session, turn);
    Flow::Continue
}

fn unsubscribe(room: &mut Room, session: &mut Session, args: Args<'_>, turn: &mut Turn<'_>, topic: Topic) -> Flow {
    let what: &[u8] = if topic == Topic::Channel { b"unsubscribe" } else { b"punsubscribe" };
    let mut gone: Vec<Box<[u8]>> = args.iter().skip(1).map(Into::into).collect();
    if gone.is_empty() {
        gone = names(session, topic).iter().cloned().collect();
        if gone.is_empty() {
            confirm(session, turn, what, None);
        }
    }
    for name in gone {
        if names(session, topic).remove(&name) {
            room.node.broker.unsubscribe(topic, &name, turn.addr.id());
        }
        confirm(session, turn, what, Some(&name));
    }
    note(session, turn);
    Flow::Continue
}

/// Ends all subscriptions without a word.
pub fn unsubscribe_all(room: &Room, session: &mut Session, id: crate::net::ClientId) {
    for name in session.channels.drain() {
        room.node.broker.unsubscribe(Topic::Channel, &name, id);
    }
    for name in session.patterns.drain() {
        room.node.broker.unsubscribe(Topic::Pattern, &name, id);
    }
}

fn publish(room: &mut Room, session: &mut Session, args: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    let sent = room.node.broker.publish(&args[1], &args[2]);
    if let Some(member) = room.node.member() {
        member.publish(&args[1], &args[2]);
    }
    session.reply(turn).int(sent as i64);
    Flow::Continue
}

fn channels(room: &mut Room, session: &mut Session, args: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    if args.len() > 3 {
        return super::refuse(session, turn, command::errors::wrong_arity("pubsub|channels"));
    }
    let channels = room.node.broker.channels(args.get(2));
    let mut reply = session.reply(turn);
    reply.array(channels.len());
    channels.iter().for_each(|name| reply.bulk(name));
    Flow::Continue
}

fn numpat(room: &mut Room, session: &mut Session, _: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    session.reply(turn).int(room.node.broker.pattern_count() as i64);
    Flow::Continue
}

fn numsub(room: &mut Room, session: &mut Session, args: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    let mut reply = session.reply(turn);
    reply.array((args.len() - 2) * 2);
    for name in args.iter().skip(2) {
        reply.bulk(name);
        reply.int(room.node.broker.channel_listeners(name) as i64);
    }
    Flow::Continue
}

fn help(room: &mut Room, session: &mut Session, _: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    room.help(session, turn, "pubsub")
}
