//! One I/O thread's application: from arguments to a reply.
//!
//! ```text
//! execute ─▶ find ─▶ arity, password, transaction, subscription ─▶ data: Executor ─▶ serve those who waited
//!                                                               └▶ session: handler
//! end_of_round ─▶ always: one commit of the log for all commands of the round
//! ```

mod guests;
mod leaders;
mod notice;
mod parking;
mod verdicts;
mod waits;

pub(crate) use leaders::end_turn;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use command::table::{self, CommandId};
use command::{Call, Done, Executed, Executor, Flags, Ran, Run, Spec, Wait as Waits, errors};
use engine::{Sight, Stop};
use replication::{TxnError, Why};
use resp::{Args, Note, Protocol};
use smallvec::SmallVec;
use wal::Position;

use crate::admin::copies;
use crate::client::ClientInfo;
use crate::message::Message;
use crate::net::{App, ClientAddr, ClientSettings, Flow, Now, Outbox, OutputClass, Peer, Turn, Verdict};
use crate::node::Node;
use crate::renames::Renames;
use crate::session::{self, Handler, ReplyMode, Session, Watch, refuse};
use crate::stats::CommandStats;

/// What session commands use.
pub struct Room {
    /// What all threads share.
    pub node: Arc<Node>,
    handlers: Vec<Option<Handler>>,
    /// `rename-command`; it cannot change while the server runs.
    renames: Option<Renames>,
}

impl Room {
    /// The command that clients call by this name.
    pub fn find(&self, name: &[u8]) -> Option<(&'static Spec, CommandId)> {
        match &self.renames {
            None => table::find_with_id(name),
            Some(renames) => renames.find(name),
        }
    }

    /// Runs a session command.
    pub fn session_command(
        &mut self,
        session: &mut Session,
        spec: &'static Spec,
        args: Args<'_>,
        turn: &mut Turn<'_>,
    ) -> Flow {
        match self.handlers.get(table::id_of(spec).index()).copied().flatten() {
            Some(handler) => handler(self, session, args, turn),
            None if spec.name == "command" => crate::admin::commands::all(session, turn),
            None => refuse(session, turn, errors::NOT_IN_TRANSACTION),
        }
    }

    /// Writes the help of a container: its subcommands with their summaries.
    pub fn help(&self, session: &Session, turn: &mut Turn<'_>, container: &str) -> Flow {
        let lines = crate::admin::help_lines(container);
        let mut reply = session.reply(turn);
        reply.array(lines.len());
        lines.iter().for_each(|line| reply.simple(line));
        Flow::Continue
    }
}

/// See the module.
pub struct Front {
    room: Room,
    executor: Executor,
    env_version: u64,
    stats: Arc<CommandStats>,
    /// The highest log position that a reply of this round waits for, be it of a read.
    owed: Position,
    /// The same of what this round acknowledges to have written.
    written: Position,
    /// The number of this round.
    round: u64,
    /// Counts ticks of the processor: read once for each command, and cheaper to read than the system's clocks.
    watch: quanta::Clock,
    /// When the command that runs began, in those ticks.
    began: u64,
    /// When this round's last command ended, in those ticks: where the next one began.
    mark: Option<u64>,
    /// The name of the last command as the client wrote it: the next one often has the same.
    last_name: Vec<u8>,
    /// What that name means.
    last_found: Option<(&'static Spec, CommandId)>,
    scratch: Vec<u8>,
}

impl Front {
    /// The application of one thread; `seed` determines its random numbers.
    pub fn new(node: Arc<Node>, seed: u64) -> Self {
        let (env, env_version) = node.env();
        let mut handlers = vec![None; table::count()];
        for (name, handler) in session::handlers() {
            if let Some(id) = table::find_full(name) {
                handlers[id.index()] = Some(*handler);
            }
        }
        let mut executor = Executor::new(Arc::clone(&node.engine), env, seed);
        // Once a round, before any of its replies leaves.
        executor.settle_by_hand();
        let stats = node.stats.add_thread(table::count());
        let renames = Renames::new(&node.config.settings().security.renamed_commands);
        let room = Room { node, handlers, renames };
        Self {
            room,
            executor,
            env_version,
            stats,
            owed: Position::START,
            written: Position::START,
            round: 0,
            watch: quanta::Clock::new(),
            began: 0,
            mark: None,
            last_name: Vec::new(),
            last_found: None,
            scratch: Vec::new(),
        }
    }

    #[inline]
    fn find(&mut self, name: &[u8]) -> Option<(&'static Spec, CommandId)> {
        if self.last_name != name {
            self.last_found = self.room.find(name);
            self.last_name.clear();
            if self.last_found.is_some() {
                self.last_name.extend_from_slice(name);
            }
        }
        self.last_found
    }

    fn dispatch(&mut self, session: &mut Session, args: Args<'_>, turn: &mut Turn<'_>) -> Flow {
        let name = args.get(0).unwrap_or_default();
        let Some((mut spec, mut id)) = self.find(name) else {
            if is_of_http(name) {
                self.room.node.warn_of_http(&session.info, turn.now);
                return Flow::CloseNow;
            }
            break_transaction(session);
            return refuse(session, turn, errors::unknown_command(&args));
        };
        if let Run::Container(_) = spec.run {
            match table::resolve_sub(spec, &args) {
                Ok((sub, sub_id)) => (spec, id) = (sub, sub_id),
                Err(text) => {
                    break_transaction(session);
                    return refuse(session, turn, text);
                }
            }
        }
        if !spec.takes(args.len()) {
            self.stats.reject(id);
            let text = errors::wrong_arity(&table::full_name(id));
            if spec.name == "exec" {
                // A rejected EXEC ends its transaction.
                session::transaction::end(&self.room, session);
                let because = text.strip_prefix("ERR ").unwrap_or(&text);
                return refuse(session, turn, format!("EXECABORT Transaction discarded because of: {because}"));
            }
            break_transaction(session);
            return refuse(session, turn, text);
        }
        if let Some(barred) = self.forbidden(session, spec, id, turn.now.unix_ms) {
            let Barred::Refused(text) = barred else { return self.await_room(session, &args, turn) };
            self.stats.reject(id);
            if spec.name == "exec" && session.multi.is_some() {
                session::transaction::end(&self.room, session);
                return refuse(session, turn, format!("EXECABORT Transaction discarded because of: {text}"));
            }
            break_transaction(session);
            return refuse(session, turn, text);
        }
        if let Some(pause) = self.room.node.pause(turn.now.unix_ms as i64)
            && holds_back(pause, session, spec)
        {
            return self.hold(session, args, turn, pause.until_ms);
        }
        self.run(session, spec, id, args, turn)
    }

    /// Why a command may not run now, apart from its arguments.
    fn forbidden(&self, session: &Session, spec: &Spec, id: CommandId, now_unix_ms: u64) -> Option<Barred> {
        if !session.authenticated && !spec.flags.has(Flags::NO_AUTH) {
            return Some(Barred::Refused("NOAUTH Authentication required.".into()));
        }
        if let (Run::Data(_), Some(member)) = (spec.run, self.room.node.member())
            && let Some(text) = crate::member::bar(member.role(), spec)
        {
            return Some(Barred::Refused(text.into()));
        }
        if session.subscriptions() > 0 && session.protocol == Protocol::Resp2 && !spec.flags.has(Flags::SUBSCRIBED) {
            return Some(Barred::Refused(format!(
                "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in \
                 this context",
                table::full_name(id)
            )));
        }
        // One that runs again was let in before.
        if self.room.node.stats.over_memory.load(Ordering::Relaxed)
            && session.resumed.is_none()
            && needs_memory(session, spec)
        {
            return Some(match self.room.node.may_have_room(now_unix_ms) {
                true => Barred::ForWantOfRoom,
                false => Barred::Refused("OOM command not allowed when used memory > 'maxmemory'.".into()),
            });
        }
        None
    }

    #[inline]
    fn run(
        &mut self,
        session: &mut Session,
        spec: &'static Spec,
        id: CommandId,
        args: Args<'_>,
        turn: &mut Turn<'_>,
    ) -> Flow {
        if session.multi.is_some() && !matches!(spec.name, "exec" | "discard" | "multi" | "quit" | "reset" | "watch") {
            if !session::transaction::queue(session, spec, args, turn) {
                self.stats.reject(id);
            }
            return Flow::Continue;
        }
        session.info.note_command(id);
        let mut start = self.mark.unwrap_or_else(|| self.watch.raw());
        if let Some(resumed) = &session.resumed {
            start = resumed.began;
        }
        self.began = start;
        let errors_before = turn.out.len();
        let flow = match spec.run {
            Run::Data(_) => self.data(session, spec, args, turn),
            _ if spec.name == "exec" => self.exec(session, args, turn),
            _ if spec.name == "watch" => self.watch(session, args, turn),
            _ => self.room.session_command(session, spec, args, turn),
        };
        let end = self.watch.raw();
        self.mark = Some(end);
        if flow == Flow::Park {
            return flow;
        }
        let took = Duration::from_nanos(self.watch.delta_as_nanos(start, end));
        let failed = turn.out.get(errors_before) == Some(&b'-');
        self.stats.count(id, took, failed);
        if took.as_micros() as i64 >= self.room.node.stats.notable_us() {
            self.note_time(session, spec, &args, took, turn);
        }
        if self.room.node.has_monitors() {
            self.show_monitors(session, session.db, spec, &args, turn);
        }
        flow
    }

    #[inline]
    fn data(&mut self, session: &mut Session, spec: &'static Spec, args: Args<'_>, turn: &mut Turn<'_>) -> Flow {
        let now_ms = began_ms(session, turn);
        let call = Call { spec, args, db: session.db, protocol: session.protocol, now_ms };
        self.executor.set_touch(touches(session));
        self.executor.set_trace(session.trace);
        if spec.flags.has(Flags::BLOCKING) {
            return self.blocking(session, &call, turn);
        }
        match self.executor.run(&call, Waits::No, self.fetch(session), turn.out) {
            Ran::Done(done) => self.settle(session, done),
            Ran::Blocked { .. } => {}
            Ran::Missed(missed) => return self.park(session, &call.args, missed, turn),
        }
        Flow::Continue
    }

    /// After a command: notes what its reply waits for and serves those who waited for its keys.
    #[inline]
    fn settle(&mut self, session: &mut Session, done: Done) {
        self.owed = self.owed.max(done.position);
        if done.wrote {
            session.last_write = done.position;
            session.is_led_write = false;
            self.written = self.written.max(done.position);
        }
        if !done.ready.is_empty() {
            self.serve(done.ready);
        }
    }

    fn exec(&mut self, session: &mut Session, args: Args<'_>, turn: &mut Turn<'_>) -> Flow {
        let is_whole = session.multi.as_ref().is_some_and(|multi| !multi.broken);
        match is_whole.then(|| self.forward(session, &args, turn)).flatten() {
            Some(flow) => flow,
            None => self.exec_here(session, args, true, turn),
        }
    }

    /// Runs the client's transaction on this node. If it `waits`, others that are undecided do not make it fail before it has done so.
    fn exec_here(&mut self, session: &mut Session, args: Args<'_>, waits: bool, turn: &mut Turn<'_>) -> Flow {
        let Some(multi) = session.multi.take() else {
            return refuse(session, turn, "ERR EXEC without MULTI");
        };
        if multi.broken {
            session::transaction::end(&self.room, session);
            return refuse(session, turn, "EXECABORT Transaction discarded because of previous errors.");
        }
        let Ok(exclusive) = self.electorate(session) else {
            session::transaction::end(&self.room, session);
            return refuse(session, turn, TxnError::TryAgain(Why::NoVoter).to_string());
        };
        let queue = multi.queued();
        let Some((spec, _)) = table::find_with_id(b"exec") else { return Flow::Continue };
        let now_ms = began_ms(session, turn);
        let call = Call { spec, args: Args::default(), db: session.db, protocol: session.protocol, now_ms };
        self.executor.set_touch(touches(session));
        self.executor.set_trace(session.trace);
        let mut out = std::mem::take(&mut self.scratch);
        out.clear();
        let fetch = self.fetch(session);
        let mut host = session::transaction::Transaction::new(&mut self.room, session, turn, &self.watch);
        host.exclusive = exclusive;
        let ran = self.executor.exec(&queue, &call, fetch, &mut host, &mut out);
        let (flow, figures) = (host.flow, host.figures);
        let done = match ran {
            Executed::Done(done) => done,
            Executed::Missed(missed) => {
                // All of it runs again.
                session.multi = Some(multi);
                self.scratch = out;
                return self.park(session, &args, missed, turn);
            }
            Executed::Undecided(undecided) => {
                return self.await_verdict(session, multi, undecided, (out, figures), turn);
            }
        };
        match (done.busy, done.failed) {
            (true, _) if waits => {
                self.note_lost(session, &multi);
                session.multi = Some(multi);
                if let Some(flow) = self.await_others(session, &args, turn) {
                    self.scratch = out;
                    return flow;
                }
            }
            (true, _) | (_, true) => {}
            (false, false) => self.count_queue(session, &queue, &figures, turn),
        }
        turn.out.extend_from_slice(&out);
        self.scratch = if out.capacity() > 1 << 20 { Vec::new() } else { out };
        session::transaction::end(&self.room, session);
        self.settle(session, done);
        flow
    }

    fn watch(&mut self, session: &mut Session, args: Args<'_>, turn: &mut Turn<'_>) -> Flow {
        if session.multi.is_some() {
            return refuse(session, turn, "ERR WATCH inside MULTI is not allowed");
        }
        match self.ask_for_turn(session, &args, turn) {
            Some(flow) => flow,
            None => self.watch_now(session, args, turn),
        }
    }

    fn watch_now(&mut self, session: &mut Session, args: Args<'_>, turn: &mut Turn<'_>) -> Flow {
        let keys: Vec<&[u8]> = args.iter().skip(1).collect();
        let (db, now_ms) = (session.db, turn.now.unix_ms as i64);
        let (node, mut seen) = (&self.room.node, None);
        let Watch { flag, keys: registered, existed, seen: all_seen, .. } = &mut session.watch;
        let watched: Result<(), Stop> = self.executor.with_keys(&keys, db, now_ms, |context| {
            context.state.set_touch(false);
            for key in &keys {
                if context.state.exists(key)? && !existed.iter().any(|(d, k)| *d == db && **k == **key) {
                    existed.push((db, (*key).into()));
                }
            }
            // Only once all are known: what misses one begins anew.
            for key in &keys {
                registered.push(context.watch(key, flag)?);
            }
            // Their shards are locked: what is in the log by now has been seen.
            seen = node.member().map(|_| Arc::new(node.engine.vector()));
            Ok(())
        });
        if let Some(seen) = seen {
            all_seen.resize(registered.len(), seen);
        }
        session.info.watched.store(session.watch.keys.len(), Ordering::Relaxed);
        match watched {
            Ok(()) => session::ok(session, turn),
            Err(stop) => refuse(session, turn, format!("ERR WATCH could not look at its keys: {stop:?}")),
        }
    }

    /// Keeps a command until a pause ends.
    fn hold(&mut self, session: &mut Session, args: Args<'_>, turn: &mut Turn<'_>, until_ms: i64) -> Flow {
        session.held = Some(args.to_owned_args());
        session.info.blocked.store(true, Ordering::Relaxed);
        let left = Duration::from_millis((until_ms - turn.now.unix_ms as i64).max(1) as u64);
        Flow::Block { deadline: Some(turn.now.mono + left) }
    }

    /// Runs a command that was held back, if nothing holds it back any more.
    fn release(&mut self, session: &mut Session, turn: &mut Turn<'_>) -> Flow {
        // Without one the client waits for something else, or for nothing.
        let Some(args) = session.held.take() else { return Flow::Continue };
        session.info.blocked.store(false, Ordering::Relaxed);
        match self.execute(session, args.as_args(), turn) {
            Flow::Continue => Flow::Resume,
            flow => flow,
        }
    }
}

/// What CLIENT UNBLOCK ERROR has a client told.
const UNBLOCKED: &str = "UNBLOCKED client unblocked via CLIENT UNBLOCK";

/// Why a command may not run now.
enum Barred {
    /// Its client is told this.
    Refused(String),
    /// There may be room in memory for it in a moment.
    ForWantOfRoom,
}

/// Takes back the reply that stands in the output from `start` on, if CLIENT REPLY says so.
#[inline]
fn mute(session: &mut Session, start: usize, turn: &mut Turn<'_>) {
    match session.reply_mode {
        ReplyMode::On => {}
        ReplyMode::Off => turn.out.truncate(start),
        ReplyMode::SkipNext => session.reply_mode = ReplyMode::SkipThis,
        ReplyMode::SkipThis => {
            turn.out.truncate(start);
            session.reply_mode = ReplyMode::On;
        }
    }
}

/// The moment at which the client's command began, unix ms: that of its first run.
#[inline]
fn began_ms(session: &Session, turn: &Turn<'_>) -> i64 {
    session.resumed.as_ref().map_or(turn.now.unix_ms as i64, |resumed| resumed.now_ms)
}

/// Whether look-ups for this client renew access clocks.
#[inline]
fn touches(session: &Session) -> bool {
    !session.info.no_touch.load(Ordering::Relaxed)
}

/// Whether an unknown command is the first or another line of an HTTP request that a page in a browser can have sent.
#[cold]
fn is_of_http(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:")
}

/// A refused command breaks the transaction that it would have belonged to.
fn break_transaction(session: &mut Session) {
    if let Some(multi) = session.multi.as_mut() {
        multi.broken = true;
    }
}

/// Whether a command, the commands that it would run, or the queue that it would lengthen may need memory.
#[inline]
fn needs_memory(session: &Session, spec: &Spec) -> bool {
    match &session.multi {
        None => spec.flags.has(Flags::DENYOOM),
        Some(multi) if spec.name == "exec" => multi.queue.iter().any(|(spec, _)| spec.flags.has(Flags::DENYOOM)),
        Some(_) => !matches!(spec.name, "discard" | "quit" | "reset" | "unwatch"),
    }
}

/// Whether a pause concerns this command.
fn holds_back(pause: crate::node::Pause, session: &Session, spec: &Spec) -> bool {
    let write = spec.flags.has(Flags::WRITE) || matches!(spec.name, "publish");
    let write = write
        || spec.name == "exec"
            && session.multi.as_ref().is_some_and(|m| m.queue.iter().any(|(s, _)| s.flags.has(Flags::WRITE)));
    let exempt = matches!(spec.name, "unpause" | "pause" | "kill" | "reply" | "info") || session.held.is_some();
    !exempt && (pause.all || write)
}

impl App for Front {
    type Session = Session;
    type Message = Message;

    fn connected(&mut self, addr: &ClientAddr, peer: &Peer, settings: &mut ClientSettings) -> Result<Session, Vec<u8>> {
        let node = &self.room.node;
        let config = node.config.settings();
        let info = Arc::new(ClientInfo::new(peer.clone(), node.engine.now_ms()));
        let open = config.security.requirepass.is_none();
        if open && config.network.protected_mode && !info.is_local() {
            return Err(crate::admin::PROTECTED.as_bytes().to_vec());
        }
        settings.authenticated = open;
        settings.class = OutputClass::Normal;
        node.add_client(addr, Arc::clone(&info));
        Ok(Session::new(info, open))
    }

    fn foresee(&mut self, session: &Session, commands: &[Args<'_>], notes: &mut [Note]) {
        // What stands at argument 1 is a key in almost every command.
        let (mut sights, mut whose) = (SmallVec::<[Sight<'_>; 16]>::new(), SmallVec::<[&mut Note; 16]>::new());
        for (args, note) in commands.iter().zip(notes) {
            if let Some(key) = args.get(1) {
                sights.push(Sight { key, next: [args.get(2), args.get(3)] });
                whose.push(note);
            }
        }
        let places = self.room.node.engine.foresee(session.db, &sights);
        whose.into_iter().zip(places).for_each(|(note, place)| *note = Some(place.into()));
    }

    #[inline]
    fn execute(&mut self, session: &mut Session, args: Args<'_>, turn: &mut Turn<'_>) -> Flow {
        let start = turn.out.len();
        session.info.active_ms.store(turn.now.unix_ms as i64, Ordering::Relaxed);
        let flow = self.dispatch(session, args, turn);
        if turn.out.get(start) == Some(&b'-') {
            self.room.node.stats.count_error(&turn.out[start + 1..]);
        }
        // A command that waits has its reply before it: whether that is wanted is asked then.
        if !matches!(flow, Flow::Block { .. } | Flow::Park) {
            mute(session, start, turn);
        }
        flow
    }

    fn message(&mut self, session: &mut Session, message: Message, turn: &mut Turn<'_>) -> Flow {
        let start = turn.out.len();
        match message {
            Message::Push { resp2, resp3, position } => {
                self.owed = self.owed.max(position);
                let bytes = if session.protocol == Protocol::Resp3 { resp3 } else { resp2 };
                turn.out.extend_from_slice(&bytes);
                session.unasked.note(self.round, start..turn.out.len());
                Flow::Continue
            }
            Message::Line(line) => {
                if session.monitor {
                    turn.out.extend_from_slice(&line);
                    session.unasked.note(self.round, start..turn.out.len());
                }
                Flow::Continue
            }
            Message::Served { reply, position } => {
                turn.out.extend_from_slice(&reply);
                mute(session, start, turn);
                self.owed = self.owed.max(position);
                self.written = self.written.max(position);
                session.last_write = session.last_write.max(position);
                self.give_up(session);
                Flow::Resume
            }
            Message::Copied { ticket, copies } => {
                if !copies::waits(session, Some(ticket.0)) {
                    return Flow::Continue;
                }
                let flow = copies::end(&self.room, session, turn, Some(copies));
                mute(session, start, turn);
                flow
            }
            Message::Unblock { ticket, error } if copies::waits(session, Some(ticket)) => {
                if error {
                    copies::give_up(&self.room, session);
                    session.reply(turn).error(UNBLOCKED);
                } else {
                    copies::end(&self.room, session, turn, None);
                }
                mute(session, start, turn);
                Flow::Resume
            }
            Message::Unblock { ticket, .. } if session.wait.as_ref().is_none_or(|(t, _)| t.0 != ticket) => {
                Flow::Continue
            }
            Message::Unblock { error, .. } => {
                if self.give_up(session).is_none() {
                    return Flow::Continue;
                }
                let mut reply = session.reply(turn);
                match error {
                    true => reply.error(UNBLOCKED),
                    false => reply.null_array(),
                }
                mute(session, start, turn);
                Flow::Resume
            }
            Message::Decided { ticket, outcome } => self.decided(session, ticket, outcome, turn),
            Message::Led { ticket, answer } => self.led(session, ticket, answer, turn),
            Message::Fetched { ticket, missed, read } => self.unpark(session, ticket, (missed, read), turn),
            Message::Room { ticket, found } => self.leave_lobby(session, ticket, found, turn),
            Message::Unpaused => self.release(session, turn),
            Message::Kill => Flow::CloseNow,
            Message::Ready(_) | Message::Guest(..) => Flow::Continue,
        }
    }

    fn thread_message(&mut self, message: Message, _: &mut Outbox<'_, Session>) {
        match message {
            Message::Ready(keys) => self.serve(keys),
            Message::Guest(number, exec) => self.run_guest(number, &exec),
            _ => {}
        }
    }

    fn expired(&mut self, session: &mut Session, turn: &mut Turn<'_>) -> Flow {
        if session.held.is_some() {
            return self.release(session, turn);
        }
        let start = turn.out.len();
        if std::mem::take(&mut session.sleeping) {
            session.reply(turn).ok();
            mute(session, start, turn);
            return Flow::Resume;
        }
        if copies::waits(session, None) {
            let flow = copies::end(&self.room, session, turn, None);
            mute(session, start, turn);
            return flow;
        }
        match self.give_up(session) {
            // Served at the last moment: the reply is in the mail.
            None => Flow::Continue,
            Some(_) => {
                session.reply(turn).null_array();
                mute(session, start, turn);
                Flow::Resume
            }
        }
    }

    fn end_of_round(&mut self, _: Now) -> Verdict {
        self.round += 1;
        self.mark = None;
        self.owed = self.owed.max(self.executor.settle());
        let node = &self.room.node;
        let log = node.engine.log();
        let owed = std::mem::replace(&mut self.owed, Position::START);
        let written = std::mem::replace(&mut self.written, Position::START);
        let always = log.policy() == wal::Fsync::Always;
        let kept = if always { log.commit(owed) } else { log.write_up_to(owed) };
        // Reads go on where only the system's memory was promised: what they show may be lost, but nobody was told that
        // it would not be.
        if let Err(error) = kept
            && (always || written > log.written())
        {
            tracing::error!(%error, "the log could not be written");
            return Verdict::Revise;
        }
        if node.env_version() != self.env_version {
            let (env, version) = node.env();
            self.executor.set_env(env);
            self.env_version = version;
        }
        let (hits, misses) = self.executor.take_hits_and_misses();
        self.stats.add_lookups(hits, misses);
        Verdict::Deliver
    }

    fn revise(&mut self, session: &mut Session, start: usize, replies: &mut Vec<u8>) {
        // What was promised may not have been kept. The round has just ended.
        // A full disk that has space again by now was full.
        session.unasked.refuse(self.round - 1, start, replies, self.room.node.engine.log().health());
    }

    fn disconnected(&mut self, mut session: Session, addr: &ClientAddr) {
        self.give_up(&mut session);
        copies::give_up(&self.room, &mut session);
        self.give_up_verdict(&mut session);
        session::transaction::forget_watches(&self.room, &mut session);
        session::pubsub::unsubscribe_all(&self.room, &mut session, addr.id());
        self.room.node.remove_client(addr.id());
        if session.monitor {
            self.room.node.remove_monitor(addr.id());
        }
    }

    fn tick(&mut self, now: Now) {
        self.room.node.look_around(now);
    }
}
