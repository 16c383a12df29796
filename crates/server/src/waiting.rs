//! Clients that wait for data, with the commands that will run when there is some.
//!
//! Whoever commits a change of a key runs the commands of the clients that wait for it, in the order in which they
//! came, before its own next command: as if they had been blocked inside the server's one thread.
//!
//! *Invariant:* a wait ends once: by data, by its deadline, by CLIENT UNBLOCK or with its connection. Whoever ends it takes
//! the [`Wait`] out of its cell.

use std::collections::HashMap;
use std::sync::Arc;

use command::Spec;
use effect::TraceContext;
use engine::{DbKey, Ticket};
use parking_lot::Mutex;
use resp::{OwnedArgs, Protocol};

use crate::net::ClientAddr;

/// A command that waits.
pub struct Wait {
    /// Its declaration.
    pub spec: &'static Spec,
    /// Name and arguments.
    pub args: OwnedArgs,
    /// The client's logical database.
    pub db: u8,
    /// The client's protocol.
    pub protocol: Protocol,
    /// Where the reply goes.
    pub addr: ClientAddr,
    /// Where it is queued; known once it is.
    pub keys: Vec<DbKey>,
    /// Whether it renews the access clocks of what it looks up.
    pub touch: bool,
    /// The trace that its writes belong to.
    pub trace: Option<TraceContext>,
    /// It gives up some day.
    pub timed: bool,
}

/// A wait that is going on, or has ended.
pub type WaitCell = Arc<Mutex<Option<Wait>>>;

/// All waits by ticket.
#[derive(Default)]
pub struct Waiting {
    cells: Mutex<HashMap<Ticket, WaitCell>>,
}

impl Waiting {
    /// A command is about to wait.
    pub fn begin(&self, ticket: Ticket, wait: Wait) -> WaitCell {
        let cell = Arc::new(Mutex::new(Some(wait)));
        self.cells.lock().insert(ticket, Arc::clone(&cell));
        cell
    }

    /// The wait with this ticket.
    pub fn find(&self, ticket: Ticket) -> Option<WaitCell> {
        self.cells.lock().get(&ticket).cloned()
    }

    /// Nobody will ask for this ticket any more.
    pub fn forget(&self, ticket: Ticket) {
        self.cells.lock().remove(&ticket);
    }

    /// How many clients wait.
    pub fn len(&self) -> usize {
        self.cells.lock().len()
    }

    /// Keys that clients wait for, each once.
    pub fn key_count(&self) -> usize {
        let cells: Vec<WaitCell> = self.cells.lock().values().cloned().collect();
        let waits = cells.iter().map(|cell| cell.lock());
        let mut keys: Vec<DbKey> =
            waits.filter_map(|wait| wait.as_ref().map(|wait| wait.keys.clone())).flatten().collect();
        keys.sort_unstable();
        keys.dedup();
        keys.len()
    }

    /// Clients that will not wait for ever.
    pub fn timed_count(&self) -> usize {
        let cells: Vec<WaitCell> = self.cells.lock().values().cloned().collect();
        cells.iter().filter(|cell| cell.lock().as_ref().is_some_and(|wait| wait.timed)).count()
    }

    /// Whether no client waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
