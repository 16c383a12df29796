//! MULTI, EXEC, DISCARD, WATCH, UNWATCH.

use std::sync::atomic::Ordering;

use command::{Flags, Host, Queued, Spec, errors};
use engine::{Context, Stop};
use resp::{Args, OwnedArgs, Reply};

use super::{Handler, Session, Watch, ok, refuse};
use crate::front::Room;
use crate::net::{Flow, Turn};

/// The handlers of this family; EXEC and WATCH need the executor and are run by the front.
pub const HANDLERS: &[(&str, Handler)] =
    &[("multi", multi), ("discard", discard), ("unwatch", unwatch), ("exec", outside), ("watch", outside)];

/// A transaction that is being put together.
#[derive(Default)]
pub struct Multi {
    /// Its commands.
    pub queue: Vec<(&'static Spec, OwnedArgs)>,
    /// A command was refused: EXEC will be too.
    pub broken: bool,
    /// Bytes of its commands.
    pub bytes: usize,
}

fn multi(_: &mut Room, session: &mut Session, _: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    if session.multi.is_some() {
        return refuse(session, turn, "ERR MULTI calls can not be nested");
    }
    session.multi = Some(Multi::default());
    session.info.multi.store(0, Ordering::Relaxed);
    ok(session, turn)
}

fn discard(room: &mut Room, session: &mut Session, _: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    if session.multi.is_none() {
        return refuse(session, turn, "ERR DISCARD without MULTI");
    }
    end(room, session);
    ok(session, turn)
}

fn unwatch(room: &mut Room, session: &mut Session, _: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    forget_watches(room, session);
    ok(session, turn)
}

/// EXEC and WATCH come here only where they may not stand: inside a transaction's queue.
fn outside(_: &mut Room, session: &mut Session, args: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    let name = String::from_utf8_lossy(args.get(0).unwrap_or_default()).to_ascii_uppercase();
    refuse(session, turn, format!("ERR {name} inside MULTI is not allowed"))
}

/// Ends the transaction and the watches.
pub fn end(room: &Room, session: &mut Session) {
    session.multi = None;
    session.info.multi.store(-1, Ordering::Relaxed);
    forget_watches(room, session);
}

/// Ends the watches.
pub fn forget_watches(room: &Room, session: &mut Session) {
    if !session.watch.keys.is_empty() {
        room.node.engine.stop_watching(&session.watch.keys, &session.watch.flag);
    }
    session.watch = Watch::default();
    session.info.watched.store(0, Ordering::Relaxed);
}

/// Takes a command into the transaction, or says why it cannot be; whether it did.
pub fn queue(session: &mut Session, spec: &'static Spec, args: Args<'_>, turn: &mut Turn<'_>) -> bool {
    let Some(multi) = session.multi.as_mut() else { return false };
    if spec.flags.has(Flags::NO_MULTI) {
        multi.broken = true;
        session.reply(turn).error("ERR Command not allowed inside a transaction");
        return false;
    }
    let size = args.total_len() + args.len() * 8;
    if multi.bytes + size > crate::limits::TRANSACTION_BYTES_MAX {
        multi.broken = true;
        session.reply(turn).error("ERR the transaction is too large; split it");
        return false;
    }
    multi.bytes += size;
    multi.queue.push((spec, args.to_owned_args()));
    session.info.multi.store(multi.queue.len() as i64, Ordering::Relaxed);
    session.reply(turn).simple("QUEUED");
    true
}

/// What EXEC's executor asks of the session.
pub struct Transaction<'a, 't> {
    /// What session commands use.
    pub room: &'a mut Room,
    /// The client.
    pub session: &'a mut Session,
    /// Its turn.
    pub turn: &'a mut Turn<'t>,
    /// The strongest of what its commands ask for.
    pub flow: Flow,
}

impl Host for Transaction<'_, '_> {
    fn select(&mut self, command: &Queued<'_>) -> Option<u8> {
        (command.spec.name == "select").then(|| super::connection::database(self.room, command.args).ok()).flatten()
    }

    fn session(&mut self, command: &Queued<'_>, reply: &mut Reply<'_>) {
        let mut out = Vec::new();
        let (now, addr) = (self.turn.now, self.turn.addr);
        let mut turn = Turn { out: &mut out, now, addr, settings: self.turn.settings };
        let flow = self.room.session_command(self.session, command.spec, command.args, &mut turn);
        if flow != Flow::Continue {
            self.flow = flow;
        }
        if out.is_empty() {
            reply.error(errors::NOT_IN_TRANSACTION);
        } else {
            reply.raw(&out);
        }
    }

    fn unchanged(&mut self, context: &Context<'_>) -> Result<bool, Stop> {
        if self.session.watch.flag.is_dirty() {
            return Ok(false);
        }
        let (before, touched) = (context.state.db(), context.state.set_touch(false));
        let mut unchanged = true;
        for (db, key) in &self.session.watch.existed {
            context.state.select(*db);
            let exists = context.state.exists(key);
            context.state.select(before);
            unchanged &= exists?;
        }
        context.state.set_touch(touched);
        Ok(unchanged)
    }
}
