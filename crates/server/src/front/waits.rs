//! Commands that wait for data: how a client begins to wait, who serves it, and how it gives up. See `waiting` for who may end
//! a wait.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use command::{Call, Fetch, Ran, Wait as Waits};
use engine::DbKey;

use super::{Front, touches};
use crate::limits::SERVE_ROUNDS_MAX;
use crate::message::Message;
use crate::net::{Flow, Turn};
use crate::session::Session;
use crate::waiting::Wait;

impl Front {
    pub(super) fn blocking(&mut self, session: &mut Session, call: &Call<'_>, turn: &mut Turn<'_>) -> Flow {
        let node = Arc::clone(&self.room.node);
        let ticket = node.ticket();
        let wait = Wait {
            spec: call.spec,
            args: call.args.to_owned_args(),
            db: call.db,
            protocol: call.protocol,
            addr: turn.addr.clone(),
            keys: Vec::new(),
            touch: touches(session),
            trace: session.trace,
            timed: false,
        };
        let cell = node.waiting.begin(ticket, wait);
        // Held while the command queues itself, so that whoever serves it sees where it is queued.
        let mut held = cell.lock();
        match self.executor.run(call, Waits::Queue(ticket), self.fetch(session), turn.out) {
            Ran::Done(done) => {
                *held = None;
                drop(held);
                node.waiting.forget(ticket);
                self.settle(session, done);
                Flow::Continue
            }
            Ran::Missed(missed) => {
                *held = None;
                drop(held);
                node.waiting.forget(ticket);
                self.park(session, &call.args, missed, turn)
            }
            Ran::Blocked { keys, until_ms, .. } => {
                if let Some(wait) = held.as_mut() {
                    wait.keys = keys;
                    wait.timed = until_ms.is_some();
                }
                drop(held);
                session.info.blocked.store(true, Ordering::Relaxed);
                session.info.ticket.store(ticket.0, Ordering::Relaxed);
                session.wait = Some((ticket, cell));
                node.stats.blocked.fetch_add(1, Ordering::Relaxed);
                let left = until_ms.map(|until| Duration::from_millis((until - call.now_ms).max(1) as u64));
                Flow::Block { deadline: left.map(|left| turn.now.mono + left) }
            }
        }
    }

    /// Runs the commands of clients that wait for `ready`, oldest first, and of those whom they feed in turn.
    #[cold]
    pub(super) fn serve(&mut self, mut ready: Vec<DbKey>) {
        let node = Arc::clone(&self.room.node);
        let mut rounds = 0;
        let mut next = 0;
        while next < ready.len() && rounds < SERVE_ROUNDS_MAX {
            let key = ready[next].clone();
            next += 1;
            for ticket in node.engine.waiters(&key) {
                rounds += 1;
                let Some(cell) = node.waiting.find(ticket) else { continue };
                let mut held = cell.lock();
                let Some(wait) = held.as_ref() else { continue };
                if let Some(more) = self.serve_one(wait) {
                    let wait = held.take();
                    drop(held);
                    node.waiting.forget(ticket);
                    if let Some(wait) = wait {
                        node.engine.stop_waiting(&wait.keys, ticket);
                    }
                    ready.extend(more);
                }
            }
        }
    }

    /// Runs one waiting command; `None` if it still finds nothing.
    fn serve_one(&mut self, wait: &Wait) -> Option<Vec<DbKey>> {
        let node = &self.room.node;
        let now_ms = node.engine.now_ms();
        let call = Call { spec: wait.spec, args: wait.args.as_args(), db: wait.db, protocol: wait.protocol, now_ms };
        let mut reply = Vec::new();
        self.executor.set_touch(wait.touch);
        self.executor.set_trace(wait.trace);
        // Who serves others reads for them: a key that has just been written is in memory, and most need no other.
        match self.executor.run(&call, Waits::Queued, Fetch::Here, &mut reply) {
            Ran::Blocked { .. } | Ran::Missed(_) => None,
            Ran::Done(done) => {
                let bytes = reply.len();
                // The reply does not wait for the end of this round.
                let position = done.position.max(self.executor.settle());
                let message = Message::Served { reply, position };
                // A client that is gone by now has lost what it was given, as if its connection had broken a moment later.
                let _ = node.control.post().send(&wait.addr, message, bytes);
                Some(done.ready)
            }
        }
    }

    /// Ends the client's wait without data.
    pub(super) fn give_up(&mut self, session: &mut Session) -> Option<Wait> {
        let (ticket, cell) = session.wait.take()?;
        session.info.blocked.store(false, Ordering::Relaxed);
        session.info.ticket.store(0, Ordering::Relaxed);
        let node = &self.room.node;
        node.stats.blocked.fetch_sub(1, Ordering::Relaxed);
        let wait = cell.lock().take();
        node.waiting.forget(ticket);
        if let Some(wait) = &wait {
            node.engine.stop_waiting(&wait.keys, ticket);
        }
        wait
    }
}
