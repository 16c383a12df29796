//! One connection: how far its stream is, what it is owed, and what waits.

use std::collections::{BTreeMap, VecDeque};

use effect::{Dot, Origin, Vector};

use crate::entry::Entry;

/// The state of one connection.
#[derive(Debug, Default)]
pub(crate) struct Link {
    /// Who is there, once it has said so.
    pub peer: Option<Origin>,
    /// In which epoch it was then.
    pub spoke_in: u64,
    /// When it was last heard of.
    pub heard_ms: i64,
    /// What it has fsynced, by its last statement.
    pub has: Vector,
    /// The way there and back, if it was measured.
    pub rtt_ms: Option<i64>,
    /// Its last `sent_ms`, and when that arrived.
    pub echo: Option<(i64, i64)>,
    /// When a statement was last sent.
    pub said_ms: Option<i64>,
    /// What it said to have fsynced.
    pub said: Vector,

    /// The next effect of the own stream to be sent.
    pub cursor: u64,
    /// Bytes that may be sent; a batch that is larger than what is left may pass it.
    pub credit: i64,
    /// From where a read of the log for the stream is under way.
    pub reading: Option<u64>,
    /// Fetches that it has asked for, one for each origin, and whose answer is being read.
    pub asked: BTreeMap<Origin, (u64, u64)>,
    pub serving: Option<Origin>,

    /// Batches of its stream that wait for what comes before them.
    pub held: VecDeque<Entry>,
    pub held_bytes: u64,
    /// Bytes that were received and dealt with, and of which it has not been told.
    pub consumed: u64,
    /// The batch about which it was sent a negative acknowledgement.
    pub nacked: Option<Dot>,
}

impl Link {
    pub(crate) fn node(&self) -> Option<u64> {
        self.peer.map(Origin::node)
    }

    pub(crate) fn hold(&mut self, entry: Entry) {
        self.held_bytes += entry.size();
        self.held.push_back(entry);
    }

    /// Takes the first held batch: it is dealt with.
    pub(crate) fn release(&mut self) -> Option<Entry> {
        let entry = self.held.pop_front()?;
        self.held_bytes -= entry.size();
        self.consumed += entry.size();
        Some(entry)
    }
}
