//! What threads send each other's clients.

use std::sync::Arc;

use command::Missed;
use engine::{DbKey, Stop, Ticket};
use replication::{Answer, Exec, Outcome};
use wal::Position;

/// A message for a client.
#[derive(Debug)]
pub enum Message {
    /// Something that was not asked for: a message of a channel.
    Push {
        /// As a RESP2 client reads it.
        resp2: Arc<[u8]>,
        /// As a RESP3 client reads it.
        resp3: Arc<[u8]>,
        /// The log position of what it tells of: it is not seen before that is as durable as the policy asks.
        position: Position,
    },
    /// A line of MONITOR; a client that has seen enough meanwhile does not get it.
    Line(Arc<[u8]>),
    /// The reply that a blocked client has waited for.
    Served {
        /// The reply.
        reply: Vec<u8>,
        /// The log position that it waits for.
        position: Position,
    },
    /// CLIENT UNBLOCK.
    Unblock {
        /// The wait that is meant; a later one goes on.
        ticket: u64,
        /// The client gets an error, else what it would get at the end of its patience.
        error: bool,
    },
    /// What a parked client's command has missed was read, or could not be.
    Fetched {
        /// The wait that is meant.
        ticket: Ticket,
        /// What was missed.
        missed: Box<Missed>,
        /// What the client is to be told if it could not be read.
        read: Result<(), Stop>,
    },
    /// A parked client's command has waited for room in memory.
    Room {
        /// The wait that is meant.
        ticket: Ticket,
        /// There is some. Else it has waited long enough.
        found: bool,
    },
    /// WAIT: so many other nodes have what the client has written.
    Copied {
        /// The wait that is meant.
        ticket: Ticket,
        /// How many.
        copies: usize,
    },
    /// EXEC: the group has decided on the client's transaction.
    Decided {
        /// The wait that is meant.
        ticket: Ticket,
        /// How.
        outcome: Outcome,
    },
    /// EXEC: what has become of the client's transaction, which was to run at the leader of its keys.
    Led {
        /// The wait that is meant.
        ticket: Ticket,
        /// What.
        answer: Answer,
    },
    /// For a thread: a transaction of another node, which is to run here under this number.
    Guest(u64, Arc<Exec>),
    /// For a thread: another node has changed these keys, and clients may wait for them.
    Ready(Vec<DbKey>),
    /// The connection is to be closed.
    Kill,
    /// The time of a client that was held back by CLIENT PAUSE has come.
    Unpaused,
}
