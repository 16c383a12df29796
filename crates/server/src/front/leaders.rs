//! WATCH and EXEC on keys that a node leads, this one or another. WATCH waits for the client's turn there, EXEC runs there, and the client
//! waits for what it answers.
//!
//! ```text
//!   WATCH ─▶ ask_for_turn ─▶ the leader's queue ─▶ led ─▶ the keys are watched, as they are in this turn
//!   EXEC ──▶ forward ─ in a turn ──▶ led ─▶ it runs here; the turn is over behind its verdict
//!              └ without ──────────▶ the leader's queue ─▶ a guest there ─▶ led ─▶ the reply
//! ```
//! *Invariant:* it runs here only in a turn, or if the leader has said that it has not run there, and never will.

use std::sync::Arc;

use command::{Keys, Run, Spec, table};
use engine::{DbKey, Engine, Ticket};
use replication::{Answer, Exec, Key, TellAnswer, Watch, turn_of};
use resp::{Args, OwnedArgs, Protocol};

use super::{Front, mute};
use crate::limits::{FORWARDED_ARGUMENTS_MAX, FORWARDED_BYTES_MAX};
use crate::message::Message;
use crate::net::{Flow, Turn};
use crate::node::Node;
use crate::session::transaction::{self, Figures, Led, Multi};
use crate::session::{Session, refuse};

/// Bytes of a dot that goes to another node, at most.
const DOT_BYTES: usize = 20;

/// The command that these arguments mean on any node, whatever it is called there.
pub(super) fn command_of(args: &Args<'_>) -> Option<&'static Spec> {
    let (spec, _) = table::find_with_id(args.get(0)?)?;
    match spec.run {
        Run::Container(_) => Some(table::resolve_sub(spec, args).ok()?.0),
        _ => Some(spec),
    }
}

/// Whether any node understands the transaction, and runs all of it.
fn can_travel(multi: &Multi, session: &Session) -> bool {
    let is_understood = |(spec, args): &(&'static Spec, OwnedArgs)| {
        let is_data = matches!(spec.run, Run::Data(_)) && !matches!(spec.keys, Keys::All);
        is_data && command_of(&args.as_args()).is_some_and(|found| std::ptr::eq(found, *spec))
    };
    let arguments: usize = multi.queue.iter().map(|(_, args)| args.as_args().len()).sum();
    let watched = session.watch.keys.iter().zip(&session.watch.seen);
    // A key that is led is named twice.
    let watches: usize = watched.map(|((_, name), seen)| 2 * name.len() + DOT_BYTES * (1 + seen.len())).sum();
    !multi.queue.is_empty()
        && multi.bytes + watches <= FORWARDED_BYTES_MAX
        && arguments <= FORWARDED_ARGUMENTS_MAX
        && multi.queue.iter().all(is_understood)
}

/// What it names and watches, if all of that is in databases that have never been exchanged.
fn names(multi: &Multi, session: &Session, engine: &Engine) -> Option<Vec<DbKey>> {
    let mut names = session.watch.keys.clone();
    if names.iter().map(|(db, _)| *db).chain([session.db]).any(|db| engine.physical_db(db) != db) {
        return None;
    }
    for (spec, args) in &multi.queue {
        let args = args.as_args();
        spec.keys.each(&args, |at| names.extend(args.get(at).map(|key| (session.db, key.into()))));
    }
    Some(names)
}

fn exec_of(multi: &Multi, session: &Session) -> Exec {
    let command = |args: Args<'_>| args.iter().map(<[u8]>::to_vec).collect();
    let watched = session.watch.keys.iter().zip(&session.watch.seen);
    let watch = |(name, seen): (&DbKey, &Arc<effect::Vector>)| Watch {
        key: key_of(name),
        seen: effect::Vector::clone(seen),
        existed: session.watch.existed.contains(name),
    };
    Exec {
        commands: multi.queue.iter().map(|(_, args)| command(args.as_args())).collect(),
        watches: watched.map(watch).collect(),
        user: b"default".to_vec(),
        db: session.db,
        resp3: session.protocol == Protocol::Resp3,
        turn: session.watch.turn,
        trace: session.trace,
        ..Exec::default()
    }
}

fn key_of((db, name): &DbKey) -> Key {
    Key { db: *db, ..Key::named(name) }
}

/// Lets others have what the client had for itself.
pub(crate) fn end_turn(node: &Node, turn: u64) {
    if turn > 0
        && let Some(member) = node.member()
    {
        member.serial().end_turn(turn);
    }
}

impl Front {
    /// Has the client wait for its turn, if a node leads what it wants to watch. It has one turn at a time: nobody waits for another in his own.
    pub(super) fn ask_for_turn(&mut self, session: &mut Session, args: &Args<'_>, turn: &mut Turn<'_>) -> Option<Flow> {
        let engine = &self.room.node.engine;
        let serial = self.room.node.member().map(|member| member.serial()).filter(|serial| serial.has_leaders())?;
        if session.watch.turn > 0 || engine.physical_db(session.db) != session.db {
            return None;
        }
        let names: Vec<DbKey> = args.iter().skip(1).map(|key| (session.db, key.into())).collect();
        if !names.iter().any(|name| serial.is_led(name)) {
            return None;
        }
        let (tell, ticket) = self.teller(turn);
        session.led = Some(Led { ticket, args: args.to_owned_args(), is_watch: true, has_waited: false });
        serial.forward(names.iter().map(key_of).collect(), Exec::default(), tell);
        Some(Flow::Block { deadline: None })
    }

    /// Sends the client what has come of what it waits for.
    fn teller(&self, turn: &Turn<'_>) -> (TellAnswer, Ticket) {
        let node = &self.room.node;
        let (ticket, addr, post) = (node.ticket(), turn.addr.clone(), node.control.post().clone());
        let tell = move |answer| {
            // A client that is gone does not wait any more.
            let _ = post.send(&addr, Message::Led { ticket, answer }, 0);
        };
        (Box::new(tell), ticket)
    }

    /// Has the leader of its keys run the client's transaction, if there is one.
    pub(super) fn forward(&mut self, session: &mut Session, args: &Args<'_>, turn: &mut Turn<'_>) -> Option<Flow> {
        let node = &self.room.node;
        let serial = node.member().map(|member| member.serial()).filter(|serial| serial.has_leaders())?;
        // One that runs again belongs here.
        if session.resumed.is_some() || session.watch.keys.is_empty() || session.watch.flag.is_dirty() {
            return None;
        }
        let multi = session.multi.as_ref().filter(|multi| can_travel(multi, session))?;
        let names = names(multi, session, &node.engine)?;
        if !names.iter().any(|name| serial.is_led(name)) {
            return None;
        }
        // What others show and this node does not yet its client has not seen, though it is in this node's log: only here that is known.
        if session.watch.turn == 0 && names.iter().any(|name| node.engine.may_be_shown_elsewhere(name)) {
            return None;
        }
        let exec = exec_of(multi, session);
        let (tell, ticket) = self.teller(turn);
        session.led = Some(Led { ticket, args: args.to_owned_args(), is_watch: false, has_waited: false });
        serial.forward(names.iter().map(key_of).collect(), exec, tell);
        Some(Flow::Block { deadline: None })
    }

    /// Has the client's transaction, which could not begin, wait for those that are in its way, unless it has a turn, or cannot run for itself.
    #[cold]
    pub(super) fn await_others(&mut self, session: &mut Session, args: &Args<'_>, turn: &mut Turn<'_>) -> Option<Flow> {
        let member = self.room.node.member().filter(|_| session.watch.turn == 0)?;
        let multi = session.multi.as_ref().filter(|multi| can_travel(multi, session))?;
        let names = names(multi, session, &self.room.node.engine)?;
        let exec = exec_of(multi, session);
        let (tell, ticket) = self.teller(turn);
        member.serial().wait(names.iter().map(key_of).collect(), exec, tell);
        session.led = Some(Led { ticket, args: args.to_owned_args(), is_watch: false, has_waited: true });
        Some(Flow::Block { deadline: None })
    }

    /// What has become of a transaction that was to run at a leader, or behind others.
    #[cold]
    pub(super) fn led(&mut self, session: &mut Session, ticket: Ticket, answer: Answer, turn: &mut Turn<'_>) -> Flow {
        let Some(led) = session.led.take_if(|led| led.ticket == ticket) else { return Flow::Continue };
        let start = turn.out.len();
        match answer {
            answer if led.is_watch => {
                self.watch_now(session, led.args.as_args(), turn);
                session.watch.turn = turn_of(&answer);
            }
            Answer::Here => {
                self.began = self.watch.raw();
                let flow = self.exec_here(session, led.args.as_args(), !led.has_waited, turn);
                if matches!(flow, Flow::Block { .. } | Flow::Park) {
                    return flow;
                }
                if flow != Flow::Continue {
                    mute(session, start, turn);
                    return flow;
                }
            }
            Answer::Reply(reply) => {
                // What it tells of is in this node's log as well.
                let end = self.room.node.engine.log().end();
                self.owed = self.owed.max(end);
                if reply.starts_with(b"*") && !reply.starts_with(b"*-1") {
                    (session.last_write, session.is_led_write) = (end, true);
                    self.count_led(session, turn);
                }
                transaction::end(&self.room, session);
                turn.out.extend_from_slice(&reply);
            }
            Answer::Refused(error) => {
                transaction::end(&self.room, session);
                refuse(session, turn, error.to_string());
            }
        }
        if turn.out.get(start) == Some(&b'-') {
            self.room.node.stats.count_error(&turn.out[start + 1..]);
        }
        mute(session, start, turn);
        Flow::Resume
    }

    /// The client's transaction could not begin, because of others that are undecided.
    #[cold]
    pub(super) fn note_lost(&self, session: &Session, multi: &Multi) {
        let node = &self.room.node;
        if let (Some(member), Some(names)) = (node.member(), names(multi, session, &node.engine)) {
            member.serial().note_lost(names);
        }
    }

    /// Its commands have run, at the leader: how long, and with which errors, is not known here.
    fn count_led(&self, session: &Session, turn: &Turn<'_>) {
        let Some(multi) = &session.multi else { return };
        let queue = multi.queued();
        let figures: Vec<Figures> = queue.iter().map(|_| Figures { db: session.db, ..Figures::default() }).collect();
        self.count_queue(session, &queue, &figures, turn);
    }
}
