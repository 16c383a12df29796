//! MULTI, EXEC, DISCARD, WATCH, UNWATCH.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;
use std::time::Duration;

use command::{Exclusive, Flags, Host, Queued, Spec, Undecided, errors};
use engine::{Context, Stop, Ticket};
use resp::{Args, OwnedArgs, Reply};

use super::{Handler, Session, Watch, ok, refuse};
use crate::admin::copies::{self, Patience};
use crate::front::Room;
use crate::net::{Behind, Flow, Turn};

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
    crate::front::end_turn(&room.node, session.watch.turn);
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

/// A transaction that the group is to decide.
pub struct Bound {
    /// The wait.
    pub ticket: Ticket,
    /// What was logged.
    pub undecided: Box<Undecided>,
    /// Its commands.
    pub multi: Multi,
    /// What they have answered.
    pub replies: Vec<u8>,
    /// What they add to the figures if it is committed.
    pub figures: Vec<Figures>,
    /// The turn that it was run in, which others wait for; 0: none.
    pub leaders_turn: u64,
}

/// A transaction that is to run at the leader of its keys, or a WATCH that waits for its turn there.
pub struct Led {
    /// The wait.
    pub ticket: Ticket,
    /// Name and arguments of its EXEC, which may still run here, or of WATCH.
    pub args: OwnedArgs,
    /// It is a WATCH.
    pub is_watch: bool,
    /// It has waited here for others that are undecided, and does so once.
    pub has_waited: bool,
}

/// What a command of a transaction adds to the figures.
#[derive(Debug, Default)]
pub struct Figures {
    /// How long it ran.
    pub took: Duration,
    /// The reply if that is an error, from behind the `-` up to its first blank.
    pub error: Option<Box<[u8]>>,
    /// The client's database behind it.
    pub db: u8,
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
    /// What its commands add to the figures, in their order.
    pub figures: Vec<Figures>,
    /// Who decides on it, if this node alone does not.
    pub exclusive: Option<Exclusive>,
    watch: &'a quanta::Clock,
    /// When the last command ended, in ticks of the watch.
    mark: Option<u64>,
    /// Which commands could not go on in an earlier try, and how long they kept the transaction.
    waits: BTreeMap<usize, Duration>,
    /// Which session commands are still to run.
    sessions: VecDeque<usize>,
}

impl Multi {
    /// Its commands, as they are run.
    pub fn queued(&self) -> Vec<Queued<'_>> {
        self.queue.iter().map(|(spec, args)| Queued { spec, args: args.as_args() }).collect()
    }
}

impl<'a, 't> Transaction<'a, 't> {
    /// A transaction that is about to run; `watch` measures its commands.
    pub fn new(room: &'a mut Room, session: &'a mut Session, turn: &'a mut Turn<'t>, watch: &'a quanta::Clock) -> Self {
        let (figures, exclusive, waits, sessions) = Default::default();
        Self { room, session, turn, flow: Flow::Continue, figures, exclusive, watch, mark: None, waits, sessions }
    }

    /// The time since this was last asked for.
    fn lap(&mut self) -> Duration {
        let now = self.watch.raw();
        let began = self.mark.replace(now).unwrap_or(now);
        Duration::from_nanos(self.watch.delta_as_nanos(began, now))
    }

    /// The client's database behind the commands so far.
    fn db(&self) -> u8 {
        self.figures.last().map_or(self.session.db, |last| last.db)
    }
}

/// The word that an error is counted by; `None` for any other reply.
fn error_of(reply: &[u8]) -> Option<Box<[u8]>> {
    let text = reply.strip_prefix(b"-")?;
    text.split(|byte| matches!(byte, b' ' | b'\r')).next().map(Box::from)
}

impl Host for Transaction<'_, '_> {
    fn exclusive(&mut self) -> Option<Exclusive> {
        self.exclusive.take()
    }

    fn begin(&mut self) {
        let stopped_at = self.figures.len();
        if self.mark.is_some() {
            let lost = self.lap();
            *self.waits.entry(stopped_at).or_default() += lost;
        } else {
            self.lap();
        }
        self.figures.clear();
        self.sessions.clear();
    }

    fn ran(&mut self, reply: &[u8]) {
        let waited = self.waits.get(&self.figures.len()).copied().unwrap_or_default();
        let (took, db) = (self.lap() + waited, self.db());
        self.figures.push(Figures { took, error: error_of(reply), db });
    }

    fn select(&mut self, command: &Queued<'_>) -> Option<u8> {
        let selected = (command.spec.name == "select")
            .then(|| super::connection::database(self.room, command.args).ok())
            .flatten();
        self.sessions.push_back(self.figures.len());
        self.figures.push(Figures { db: selected.unwrap_or(self.db()), ..Figures::default() });
        selected
    }

    fn session(&mut self, command: &Queued<'_>, reply: &mut Reply<'_>) {
        self.lap();
        let mut out = Vec::new();
        let (now, addr) = (self.turn.now, self.turn.addr);
        let mut turn = Turn { out: &mut out, now, addr, settings: self.turn.settings, behind: Behind::default() };
        let flow = match command.spec.name {
            "monitor" => refuse(self.session, &mut turn, "ERR MONITOR isn't allowed for DENY BLOCKING client"),
            "wait" | "waitaof" => copies::run(self.room, self.session, command.args, &mut turn, Patience::None),
            _ => self.room.session_command(self.session, command.spec, command.args, &mut turn),
        };
        if flow != Flow::Continue {
            self.flow = flow;
        }
        if out.is_empty() {
            Reply::new(&mut out, self.session.protocol).error(errors::NOT_IN_TRANSACTION);
        }
        reply.raw(&out);
        let took = self.lap();
        if let Some(figures) = self.sessions.pop_front().and_then(|at| self.figures.get_mut(at)) {
            figures.took = took;
            figures.error = error_of(&out);
        }
    }

    fn each_watched(&self, see: &mut dyn FnMut(&[u8])) {
        self.session.watch.keys.iter().for_each(|(_, key)| see(key));
    }

    fn unchanged(&mut self, context: &mut Context<'_>) -> Result<bool, Stop> {
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
