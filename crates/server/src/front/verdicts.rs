//! EXEC after WATCH in a group: its client waits until the group has decided, and gets what its commands have answered only if the
//! transaction was committed.

use std::sync::Arc;

use command::{Exclusive, Undecided};
use engine::{DbKey, Ticket};
use replication::{Electorate, Member, Outcome, Safety, TxnError};

use super::{Front, end_turn, mute};
use crate::message::Message;
use crate::net::{Flow, Turn};
use crate::session::transaction::{self, Bound, Figures, Multi, Transaction};
use crate::session::{Session, refuse};

/// A transaction over what is watched and what its commands name, as safe as these keys are now.
pub(super) fn exclusive(member: &Member, voters: Arc<[u64]>, watched: Vec<DbKey>) -> Exclusive {
    let rules = member.safety();
    let is_unsafe = move |key: &[u8]| rules.of_key(key) == Safety::Unsafe;
    Exclusive::new(voters, watched, Box::new(is_unsafe))
}

impl Front {
    /// Who decides on the client's transaction, if this node alone does not. An error: nobody can at the moment.
    pub(super) fn electorate(&self, session: &Session) -> Result<Option<Exclusive>, ()> {
        let watched = &session.watch.keys;
        let Some(member) = self.room.node.member().filter(|_| !watched.is_empty()) else { return Ok(None) };
        match member.electorate() {
            Electorate::Alone => Ok(None),
            Electorate::Voters(voters) => Ok(Some(exclusive(member, voters, watched.clone()))),
            // It fails whoever decides.
            Electorate::Unknown if session.watch.flag.is_dirty() => Ok(None),
            Electorate::Unknown => Err(()),
        }
    }

    /// The transaction is logged: its client waits.
    #[cold]
    pub(super) fn await_verdict(
        &mut self,
        session: &mut Session,
        multi: Multi,
        undecided: Box<Undecided>,
        (replies, figures): (Vec<u8>, Vec<Figures>),
        turn: &mut Turn<'_>,
    ) -> Flow {
        let leaders_turn = std::mem::take(&mut session.watch.turn);
        transaction::end(&self.room, session);
        let node = &self.room.node;
        // Others hear of it once it is written.
        self.owed = self.owed.max(node.engine.log().end());
        let Some(member) = node.member() else { return refuse(session, turn, "ERR this node has left its group") };
        let (ticket, addr, post) = (node.ticket(), turn.addr.clone(), node.control.post().clone());
        let tell = move |outcome| {
            // A client that is gone does not wait any more.
            let _ = post.send(&addr, Message::Decided { ticket, outcome }, 0);
        };
        member.when_decided(undecided.bind, Box::new(tell));
        session.bound = Some(Bound { ticket, undecided, multi, replies, figures, leaders_turn });
        Flow::Block { deadline: None }
    }

    /// The group has decided.
    #[cold]
    pub(super) fn decided(
        &mut self,
        session: &mut Session,
        ticket: Ticket,
        outcome: Outcome,
        turn: &mut Turn<'_>,
    ) -> Flow {
        let Some(bound) = session.bound.take_if(|bound| bound.ticket == ticket) else { return Flow::Continue };
        let start = turn.out.len();
        let Bound { undecided, multi, mut replies, figures, leaders_turn, .. } = bound;
        end_turn(&self.room.node, leaders_turn);
        let mut flow = Flow::Resume;
        match outcome {
            Ok(position) => {
                self.owed = self.owed.max(position);
                self.written = self.written.max(position);
                session.last_write = session.last_write.max(position);
                let (queue, protocol) = (multi.queued(), session.protocol);
                let mut host = Transaction::new(&mut self.room, session, turn, &self.watch);
                undecided.finish(&queue, protocol, &mut host, &mut replies);
                if host.flow != Flow::Continue {
                    flow = host.flow;
                }
                turn.out.extend_from_slice(&replies);
                self.count_queue(session, &queue, &figures, turn);
            }
            Err(TxnError::Lost) => session.reply(turn).null_array(),
            Err(error) => {
                session.reply(turn).error(error.to_string());
                self.room.node.stats.count_error(&turn.out[start + 1..]);
            }
        }
        mute(session, start, turn);
        flow
    }

    /// The client is gone. Its transaction is decided all the same.
    pub(super) fn give_up_verdict(&mut self, session: &mut Session) {
        let Some(bound) = session.bound.take() else { return };
        end_turn(&self.room.node, bound.leaders_turn);
        if let Some(member) = self.room.node.member() {
            member.stop_waiting_for(bound.undecided.bind);
        }
    }
}
