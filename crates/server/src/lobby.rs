//! Writers for whom there is no room in memory: they wait for keys to leave it, and nobody else does.
//!
//! ```text
//! memory is full ─▶ the writer's client is parked ─▶ a thread looks every few ms ─▶ mail ─▶ its command runs
//!                                                     └─ in vain for a while ─▶ mail ─▶ it is refused, as is who comes next
//! ```
//! It is the only way to hold back those who write faster than what they write comes to rest; without it they would be refused
//! at once.
//!
//! *Invariant:* a client waits here for one command at most, so there are no more guests than clients.
//!
//! *Invariant:* each guest gets one message, after [`ROOM_WAIT`] at the latest, unless its client or the server is gone.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use engine::Ticket;
use parking_lot::Mutex;

use crate::limits::{ROOM_LOOK, ROOM_WAIT};
use crate::message::Message;
use crate::net::ClientAddr;
use crate::node::Node;

/// See the module.
#[derive(Default)]
pub struct Lobby {
    state: Mutex<State>,
    /// Until then, unix ms, nobody is let in: those before have waited in vain.
    closed_until: AtomicU64,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct State {
    /// In the order in which they came.
    guests: VecDeque<Guest>,
    /// A thread looks whether there is room.
    watched: bool,
    stopped: bool,
}

/// A client whose command waits.
struct Guest {
    addr: ClientAddr,
    /// Which of its waits it is.
    ticket: Ticket,
    /// When it has waited long enough.
    until: Instant,
}

impl Lobby {
    /// Whether who comes now may wait.
    pub fn is_open(&self, now_unix_ms: u64) -> bool {
        now_unix_ms >= self.closed_until.load(Ordering::Relaxed)
    }

    /// Clients that wait.
    pub fn waiting(&self) -> usize {
        self.state.lock().guests.len()
    }

    /// Lets a client wait: it gets [`Message::Room`].
    pub fn enter(&self, node: &Arc<Node>, addr: ClientAddr, ticket: Ticket) {
        let mut state = self.state.lock();
        state.guests.push_back(Guest { addr, ticket, until: Instant::now() + ROOM_WAIT });
        if !state.stopped && !std::mem::replace(&mut state.watched, true) {
            drop(state);
            self.start(node);
        }
    }

    /// Lets nobody go any more.
    pub fn stop(&self) {
        self.state.lock().stopped = true;
        self.join(None);
    }

    fn start(&self, node: &Arc<Node>) {
        let shared = Arc::clone(node);
        match std::thread::Builder::new().name("lobby".into()).spawn(move || shared.lobby.watch(&shared)) {
            // The one before has nobody left, and is about to end.
            Ok(thread) => self.join(Some(thread)),
            Err(error) => {
                tracing::warn!(%error, "a thread that looks for room in memory could not be started");
                let guests = {
                    let mut state = self.state.lock();
                    state.watched = false;
                    std::mem::take(&mut state.guests)
                };
                self.close(node);
                tell(node, guests, false);
            }
        }
    }

    /// Waits until the thread has ended; from now on it is `next`.
    fn join(&self, next: Option<JoinHandle<()>>) {
        let before = std::mem::replace(&mut *self.thread.lock(), next);
        if let Some(before) = before {
            // A panic of it has been printed; there is nothing left to do about it.
            let _ = before.join();
        }
    }

    /// Looks whether there is room, as long as somebody waits for it.
    fn watch(&self, node: &Node) {
        loop {
            std::thread::sleep(ROOM_LOOK);
            let (has_room, now) = (node.has_room(), Instant::now());
            let mut state = self.state.lock();
            if state.stopped {
                return;
            }
            let leave = state.guests.iter().take_while(|guest| has_room || now >= guest.until).count();
            let leaving: VecDeque<Guest> = state.guests.drain(..leave).collect();
            if !has_room && leave > 0 {
                self.close(node);
            }
            state.watched = !state.guests.is_empty();
            let is_over = !state.watched;
            drop(state);
            tell(node, leaving, has_room);
            if is_over {
                return;
            }
        }
    }

    /// Somebody has waited in vain: for as long again nobody waits.
    fn close(&self, node: &Node) {
        let until = node.engine.now_ms().max(0) as u64 + ROOM_WAIT.as_millis() as u64;
        self.closed_until.store(until, Ordering::Relaxed);
    }
}

fn tell(node: &Node, guests: VecDeque<Guest>, found: bool) {
    for Guest { addr, ticket, .. } in guests {
        // A client that is gone by now needs nothing any more.
        let _ = node.control.post().send(&addr, Message::Room { ticket, found }, 0);
    }
}
