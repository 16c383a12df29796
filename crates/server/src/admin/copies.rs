//! WAIT and WAITAOF: how many other nodes of the group have what a client has written.
//!
//! ```text
//!   WAIT ─▶ the node's last effect ─▶ enough members have it? ─▶ reply
//!                                           └ no ─▶ the client is blocked ─▶ replica's thread: they have it ─▶ mail ─▶ reply
//!                                                                        └▶ deadline, CLIENT UNBLOCK ─▶ reply
//! ```
//! *Invariant:* no node counts that has not itself said to have fsynced the client's last write.
//! *Invariant:* a client that waits here has one [`Awaited`], and it ends with its reply or its connection.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use effect::Dot;
use engine::Ticket;
use replication::AckWait;
use resp::Args;
use wal::Position;

use super::Handlers;
use crate::front::Room;
use crate::message::Message;
use crate::net::{Flow, Turn};
use crate::session::{Session, refuse};

/// The handlers of this family.
pub const HANDLERS: Handlers = &[
    ("wait", |room, session, args, turn| run(room, session, args, turn, Patience::Given)),
    ("waitaof", |room, session, args, turn| run(room, session, args, turn, Patience::Given)),
];

/// Whether a command may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// As long as it says.
    Given,
    /// No: it answers what is so now.
    None,
}

/// What a client waits for.
pub struct Awaited {
    ticket: Ticket,
    wait: AckWait,
    dot: Dot,
    asks: Asks,
}

/// What was asked for.
#[derive(Debug, Clone, Copy)]
struct Asks {
    /// WAITAOF: whether this node's own disk is asked for. None: it was WAIT.
    local: Option<bool>,
    nodes: i64,
    timeout_ms: i64,
}

impl Asks {
    /// The text is an error's.
    fn read(args: &Args<'_>) -> Result<Self, &'static str> {
        let is_wait = args.len() == 3;
        let number = |at: usize| resp::parse_i64(&args[at]).ok_or("ERR value is not an integer or out of range");
        let local = match is_wait {
            true => None,
            false => Some(number(1)?),
        };
        if local.is_some_and(|local| !(0..=1).contains(&local)) {
            return Err("ERR value is out of range, must be between 0 and 1");
        }
        let nodes = number(args.len() - 2)?;
        if nodes < 0 && !is_wait {
            return Err("ERR value is out of range, must be positive");
        }
        let timeout_ms =
            resp::parse_i64(&args[args.len() - 1]).ok_or("ERR timeout is not an integer or out of range")?;
        match timeout_ms {
            ..0 => Err("ERR timeout is negative"),
            _ => Ok(Self { local: local.map(|local| local == 1), nodes, timeout_ms }),
        }
    }
}

/// Runs WAIT or WAITAOF, in a transaction without patience.
pub fn run(room: &mut Room, session: &mut Session, args: Args<'_>, turn: &mut Turn<'_>, patience: Patience) -> Flow {
    let asks = match Asks::read(&args) {
        Ok(asks) => asks,
        Err(text) => return refuse(session, turn, text),
    };
    let node = &room.node;
    let is_in_transaction = patience == Patience::None;
    // What a leader has written for the client is another node's. Whoever has what this one writes now has that as well.
    if session.is_led_write && !is_in_transaction {
        let written = node.engine.emit_noop().map_err(|error| error.to_string()).and_then(|position| {
            node.engine.log().write_up_to(position).map(|()| position).map_err(|error| error.to_string())
        });
        match written {
            Ok(position) => (session.last_write, session.is_led_write) = (position, false),
            Err(error) => return refuse(session, turn, format!("MISCONF the log cannot be written: {error}")),
        }
    }
    // Asking for durability makes it so; the promise of WAITAOF holds under every policy.
    if asks.local == Some(true)
        && session.last_write > node.engine.log().durable()
        && let Err(error) = node.engine.log().commit(session.last_write)
    {
        return refuse(session, turn, format!("MISCONF the log could not be made durable: {error}"));
    }
    let Some(member) = node.member().map(Arc::clone) else {
        answer(room, session, turn, asks, 0);
        return Flow::Continue;
    };
    // What others have written here since is waited for as well: the client's last write is not told apart from it.
    let dot = match session.last_write > Position::START || is_in_transaction {
        true => room.node.engine.last_dot(),
        false => Dot { seq: 0, origin: node.engine.origin() },
    };
    let copies = if session.is_led_write { 0 } else { member.copies(dot) };
    if is_in_transaction || i64::try_from(copies).is_ok_and(|copies| copies >= asks.nodes) {
        answer(room, session, turn, asks, copies);
        return Flow::Continue;
    }
    let (ticket, addr, post) = (node.ticket(), turn.addr.clone(), node.control.post().clone());
    let tell = move |copies| {
        // A client that is gone does not wait any more.
        let _ = post.send(&addr, Message::Copied { ticket, copies }, 0);
    };
    let nodes = usize::try_from(asks.nodes).unwrap_or(usize::MAX);
    let wait = member.when_copied(dot, nodes, Box::new(tell));
    session.info.blocked.store(true, Ordering::Relaxed);
    session.info.ticket.store(ticket.0, Ordering::Relaxed);
    session.awaited = Some(Awaited { ticket, wait, dot, asks });
    node.stats.blocked.fetch_add(1, Ordering::Relaxed);
    let left = Duration::from_millis(asks.timeout_ms.unsigned_abs());
    Flow::Block { deadline: if left.is_zero() { None } else { turn.now.mono.checked_add(left) } }
}

fn answer(room: &Room, session: &Session, turn: &mut Turn<'_>, asks: Asks, copies: usize) {
    let is_durable = session.last_write <= room.node.engine.log().durable();
    let mut reply = session.reply(turn);
    if asks.local.is_some() {
        reply.array(2);
        reply.int(i64::from(is_durable));
    }
    reply.int(i64::try_from(copies).unwrap_or(i64::MAX));
}

/// Whether the client waits here, by that ticket if one is given.
pub fn waits(session: &Session, ticket: Option<u64>) -> bool {
    session.awaited.as_ref().is_some_and(|awaited| ticket.is_none_or(|ticket| awaited.ticket.0 == ticket))
}

/// Ends the client's wait without a reply.
pub fn give_up(room: &Room, session: &mut Session) -> Option<Awaited> {
    let awaited = session.awaited.take()?;
    session.info.blocked.store(false, Ordering::Relaxed);
    session.info.ticket.store(0, Ordering::Relaxed);
    room.node.stats.blocked.fetch_sub(1, Ordering::Relaxed);
    if let Some(member) = room.node.member() {
        member.stop_waiting(awaited.wait);
    }
    Some(awaited)
}

/// Ends the client's wait, with as many copies as there are now if it is not said.
pub fn end(room: &Room, session: &mut Session, turn: &mut Turn<'_>, copies: Option<usize>) -> Flow {
    let Some(Awaited { dot, asks, .. }) = give_up(room, session) else { return Flow::Continue };
    let now = || room.node.member().map_or(0, |member| member.copies(dot));
    answer(room, session, turn, asks, copies.unwrap_or_else(now));
    Flow::Resume
}
