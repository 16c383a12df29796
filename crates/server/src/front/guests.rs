//! Transactions that other nodes send here, because this one leads their keys: each runs as one of this node's own.
//!
//! *Invariant:* nothing of it is in the log if it is declined or its keys are busy.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use command::{Call, Exclusive, Executed, Fetch, Flags, Host, Queued, Spec, errors, table};
use engine::{Context, Since, Stop};
use replication::{Electorate, Exec, Outcome, Ran, Role, TxnError};
use resp::{Args, OwnedArgs, Protocol, Reply};

use super::Front;
use super::leaders::command_of;
use super::verdicts::exclusive;
use crate::limits::FORWARDED_REPLY_MAX;

/// What is said instead of more than that.
const TOO_LARGE: &str = "ERR the transaction was committed, but its reply is too large to come from another node";

/// What the executor asks of whoever keeps the session: there is none.
struct Guest<'x> {
    exec: &'x Exec,
    exclusive: Option<Exclusive>,
    /// What has become of what is watched.
    since: Since,
}

impl Host for Guest<'_> {
    fn exclusive(&mut self) -> Option<Exclusive> {
        self.exclusive.take()
    }

    fn select(&mut self, _: &Queued<'_>) -> Option<u8> {
        None
    }

    fn session(&mut self, _: &Queued<'_>, reply: &mut Reply<'_>) {
        reply.error(errors::NOT_IN_TRANSACTION);
    }

    fn each_watched(&self, see: &mut dyn FnMut(&[u8])) {
        self.exec.watches.iter().for_each(|watch| see(&watch.key.name));
    }

    fn unchanged(&mut self, context: &mut Context<'_>) -> Result<bool, Stop> {
        let (before, touched) = (context.state.db(), context.state.set_touch(false));
        self.since = Since::Unchanged;
        for watch in &self.exec.watches {
            let name = (watch.key.db, watch.key.name.as_ref().into());
            // What it is called may have changed only here.
            let mut since =
                match context.logical_db(name.0) == name.0 && context.logical_db(self.exec.db) == self.exec.db {
                    true => context.since(&name, &watch.seen)?,
                    false => Since::Unknown,
                };
            if since == Since::Unchanged && watch.existed {
                context.state.select(name.0);
                let exists = context.state.exists(&name.1);
                context.state.select(before);
                if !exists? {
                    since = Since::Changed;
                }
            }
            if since != Since::Unchanged {
                self.since = since;
                break;
            }
        }
        context.state.set_touch(touched);
        Ok(self.since == Since::Unchanged)
    }
}

fn null(protocol: Protocol) -> Vec<u8> {
    let mut out = Vec::new();
    Reply::new(&mut out, protocol).null_array();
    out
}

/// What the client reads, whose replies are these if the transaction was committed.
fn told(outcome: Outcome, replies: Vec<u8>, protocol: Protocol) -> Vec<u8> {
    let error = match outcome {
        Ok(_) if replies.len() <= FORWARDED_REPLY_MAX => return replies,
        Ok(_) => TOO_LARGE.to_owned(),
        Err(TxnError::Lost) => return null(protocol),
        Err(error) => error.to_string(),
    };
    let mut out = Vec::new();
    Reply::new(&mut out, protocol).error(error);
    out
}

impl Front {
    /// Runs it, and says what has become of it, now or when the group has decided.
    #[cold]
    pub(super) fn run_guest(&mut self, number: u64, exec: &Exec) {
        let Some(member) = self.room.node.member().cloned() else { return };
        if let Some(ran) = self.try_guest(number, exec) {
            member.serial().ran(number, ran);
        }
    }

    /// `None`: it waits for its verdict.
    fn try_guest(&mut self, number: u64, exec: &Exec) -> Option<Ran> {
        let node = Arc::clone(&self.room.node);
        let member = node.member()?;
        let args: Vec<OwnedArgs> = exec.commands.iter().map(|command| command.iter().collect()).collect();
        let Some(queue) = queue_of(&args) else { return Some(Ran::Declined) };
        let now_ms = node.engine.now_ms();
        let Electorate::Voters(voters) = member.electorate() else { return Some(Ran::Declined) };
        if member.role() != Role::Member || node.pause(now_ms).is_some() || self.lacks_memory(&queue) {
            return Some(Ran::Declined);
        }
        let (spec, _) = table::find_with_id(b"exec")?;
        let protocol = if exec.resp3 { Protocol::Resp3 } else { Protocol::Resp2 };
        let call = Call { spec, args: Args::default(), db: exec.db, protocol, now_ms };
        let watched = exec.watches.iter().map(|watch| (watch.key.db, watch.key.name.as_ref().into())).collect();
        let exclusive = Some(exclusive(member, voters, watched));
        let mut guest = Guest { exec, exclusive, since: Since::Unchanged };
        let mut out = Vec::new();
        self.executor.set_touch(true);
        self.executor.set_trace(exec.trace);
        match self.executor.exec(&queue, &call, Fetch::Here, &mut guest, &mut out) {
            Executed::Undecided(undecided) => {
                // Others hear of it once it is written.
                self.owed = self.owed.max(node.engine.log().end());
                let serial = Arc::clone(member.serial());
                let tell = move |outcome| serial.ran(number, Ran::Replied(told(outcome, out, protocol)));
                member.when_decided(undecided.bind, Box::new(tell));
                None
            }
            Executed::Done(_) if guest.since == Since::Unknown => Some(Ran::Declined),
            Executed::Done(done) if done.busy => Some(Ran::Busy),
            Executed::Done(_) => Some(Ran::Replied(out)),
            Executed::Missed(_) => Some(Ran::Declined),
        }
    }

    fn lacks_memory(&self, queue: &[Queued<'_>]) -> bool {
        self.room.node.stats.over_memory.load(Ordering::Relaxed)
            && queue.iter().any(|command| command.spec.flags.has(Flags::DENYOOM))
    }
}

/// Its commands, if all of them are such on data.
fn queue_of(args: &[OwnedArgs]) -> Option<Vec<Queued<'_>>> {
    let is_data = |spec: &Spec, args: &Args<'_>| matches!(spec.run, command::Run::Data(_)) && spec.takes(args.len());
    let command = |args: &'_ OwnedArgs| {
        let spec = command_of(&args.as_args())?;
        is_data(spec, &args.as_args()).then_some(spec)
    };
    args.iter().map(|args| Some(Queued { spec: command(args)?, args: args.as_args() })).collect()
}
