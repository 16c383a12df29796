//! EFFECT: what has happened to a key lately, as a graph.
//!
//! ```text
//!   log ─▶ the last effects on the key ─▶ each with those of them that its writer had seen, but for what these had seen already
//! ```
//! *Invariant:* an effect is after another exactly if its writer had applied that one.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use command::{errors, parse};
use effect::trace::{parse_traceparent, traceparent};
use effect::{Dot, Hlc, TraceContext, Vector};
use engine::{Engine, FeedError, RecentEffect};
use resp::{Args, Protocol, Reply};

use super::Handlers;
use super::effect_words::words;
use super::info_group::dot_text;
use crate::front::Room;
use crate::limits::EFFECTS_MAX;
use crate::net::{Flow, Turn};
use crate::session::{Session, refuse};

/// The handlers of this family.
pub const HANDLERS: Handlers = &[
    ("effect|log", log),
    ("effect|trace", trace),
    ("effect|help", |room, session, _, turn| room.help(session, turn, "effect")),
];

/// Effects that are told of if nobody says how many.
const EFFECTS: usize = 16;

fn log(room: &mut Room, session: &mut Session, args: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    let count = match (args.len(), args.get(3)) {
        (3, _) => EFFECTS,
        (5, Some(word)) if parse::is(word, "COUNT") => match resp::parse_i64(&args[4]) {
            Some(count) if (1..=EFFECTS_MAX as i64).contains(&count) => count as usize,
            _ => return refuse(session, turn, format!("ERR COUNT must be between 1 and {EFFECTS_MAX}")),
        },
        _ => return refuse(session, turn, errors::SYNTAX_TEXT),
    };
    let stable = room.node.member().map(|member| member.status().stable);
    let search = Search { db: session.db, key: args[2].into(), count, stable, protocol: session.protocol };
    match room.node.effect_logs.begin(&room.node, search, turn.addr) {
        Ok(()) => Flow::Block { deadline: None },
        Err(text) => refuse(session, turn, text),
    }
}

fn trace(_: &mut Room, session: &mut Session, args: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    let wanted = match &args[2] {
        word if parse::is(word, "OFF") => None,
        text => match parse_traceparent(text) {
            Some(trace) => Some(trace),
            None => {
                return refuse(
                    session,
                    turn,
                    "ERR a W3C traceparent such as 00-<32 hex digits>-<16>-<2>, or OFF, is expected",
                );
            }
        },
    };
    session.trace = wanted;
    session.reply(turn).simple("OK");
    Flow::Continue
}

/// What is looked for.
pub struct Search {
    db: u8,
    key: Box<[u8]>,
    count: usize,
    /// What is stable. None: all is, for there is no other node.
    stable: Option<Vector>,
    protocol: Protocol,
}

/// An effect that was found.
struct Found {
    dot: Dot,
    hlc: Hlc,
    words: String,
    trace: Option<TraceContext>,
    context: Vector,
}

impl Found {
    fn of(recent: &RecentEffect<'_>) -> Self {
        let (dot, hlc) = (recent.dot, recent.hlc);
        Self { dot, hlc, words: words(recent.effect), trace: recent.trace, context: recent.context.clone() }
    }

    /// Whether its writer had applied `other`.
    fn is_after(&self, other: &Self) -> bool {
        match self.dot.origin == other.dot.origin {
            true => other.dot.seq < self.dot.seq,
            false => self.context.has(other.dot),
        }
    }
}

impl Search {
    /// Looks through the log; the reply. Ends early, with an error, if it is to.
    pub fn run(&self, engine: &Engine, stop: &AtomicBool) -> Vec<u8> {
        let mut out = Vec::new();
        let mut reply = Reply::new(&mut out, self.protocol);
        match self.find(engine, stop) {
            Ok(_) if stop.load(Ordering::Relaxed) => reply.error("ERR the server is being stopped"),
            Ok((found, reach)) => self.write(&mut reply, &found, &reach),
            Err(error) => reply.error(format!("ERR the log could not be read: {error}")),
        }
        out
    }

    fn find(&self, engine: &Engine, stop: &AtomicBool) -> Result<(Vec<Found>, Vector), FeedError> {
        let mut found = VecDeque::new();
        let reach = engine.recent_effects(self.db, &self.key, |recent| {
            if found.len() == EFFECTS_MAX {
                found.pop_front();
            }
            found.push_back(Found::of(recent));
            match stop.load(Ordering::Relaxed) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        })?;
        Ok((found.into(), reach))
    }

    fn is_stable(&self, dot: Dot) -> bool {
        self.stable.as_ref().is_none_or(|stable| stable.has(dot))
    }

    /// Newest first. What is recent and older than what was read has no more than its dot.
    fn write(&self, reply: &mut Reply<'_>, found: &[Found], reach: &Vector) {
        let is_known = |dot: &Dot| found.iter().any(|found| found.dot == *dot);
        let unread = reach.iter().filter(|dot| !self.is_stable(*dot) && !is_known(dot));
        let shown = &found[found.len().saturating_sub(self.count)..];
        let unread: Vec<Dot> = unread.take(self.count - shown.len()).collect();
        reply.array(shown.len() + unread.len());
        for one in shown.iter().rev() {
            reply.map(5 + usize::from(one.trace.is_some()));
            text(reply, "dot", &dot_text(one.dot));
            text(reply, "hlc", &format!("{}-{}", one.hlc.ms(), one.hlc.0 & 0xFFFF));
            text(reply, "op", &one.words);
            text(reply, "stable", if self.is_stable(one.dot) { "yes" } else { "no" });
            reply.bulk(b"after");
            let after = seen_last(one, found);
            reply.array(after.len());
            after.iter().for_each(|dot| reply.bulk(dot_text(*dot).as_bytes()));
            if let Some(trace) = &one.trace {
                text(reply, "trace", &traceparent(trace));
            }
        }
        for dot in unread {
            reply.map(2);
            text(reply, "dot", &dot_text(dot));
            text(reply, "stable", "no");
        }
    }
}

fn text(reply: &mut Reply<'_>, name: &str, value: &str) {
    reply.bulk(name.as_bytes());
    reply.bulk(value.as_bytes());
}

/// Those that the writer had seen, less those that one of them had seen as well.
fn seen_last(one: &Found, all: &[Found]) -> Vec<Dot> {
    let seen: Vec<&Found> = all.iter().filter(|other| one.is_after(other)).collect();
    let is_last = |other: &&&Found| !seen.iter().any(|later| later.is_after(other));
    seen.iter().filter(is_last).map(|found| found.dot).collect()
}

#[cfg(test)]
mod tests {
    use effect::Origin;

    use super::*;

    fn found(node: u64, seq: u64, context: &[(u64, u64)]) -> Found {
        let dot = |(node, seq): &(u64, u64)| Dot { origin: Origin::new(*node, 1), seq: *seq };
        let context = context.iter().map(dot).collect();
        Found { dot: dot(&(node, seq)), hlc: Hlc(0), words: String::new(), trace: None, context }
    }

    #[test]
    fn an_effect_comes_after_the_last_ones_that_its_writer_had_seen() {
        let all = [found(1, 1, &[]), found(2, 1, &[(1, 1)]), found(1, 2, &[]), found(3, 1, &[(1, 2), (2, 1)])];
        let after = |n: usize| seen_last(&all[n], &all).iter().map(|d| (d.origin.node(), d.seq)).collect::<Vec<_>>();
        assert_eq!(after(0), []);
        assert_eq!(after(1), [(1, 1)]);
        assert_eq!(after(2), [(1, 1)], "concurrent with that of node 2");
        assert_eq!(after(3), [(2, 1), (1, 2)], "1:1 is seen through both");
    }
}
