//! What a replica is told and what it answers: all of its outside.

use std::sync::Arc;

use effect::{Dot, Hlc, Origin, Vector};

use crate::entry::Entry;
use crate::epoch::{Epoch, Vote};
use crate::frame::{Frame, Nack};

/// One connection; never used again once it is closed. Frames of one connection arrive in order, or not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// Something happened.
#[derive(Debug, Clone)]
pub enum Input {
    /// A connection is open, whoever opened it.
    Connected(LinkId),
    /// It is no more. Nothing that it brought is told afterwards.
    Closed(LinkId),
    /// It brought a frame.
    Received(LinkId, Frame),
    /// This node's log has a batch of this node's own. Told in the order of the log, with [`Output::Apply`] carried out in its order, so
    /// that `grown` is what the log had applied before it.
    Wrote(Entry),
    /// The log is fsynced up to here.
    Synced(Vector),
    /// What [`Output::Read`] asked for.
    Read {
        /// For whom.
        link: LinkId,
        /// For what.
        purpose: Purpose,
        /// Whose batches.
        origin: Origin,
        /// From which effect on.
        from: u64,
        /// The batches, or what the log still has.
        found: Found,
    },
    /// Time has passed. No effect that this node writes, but for those it has told, has this timestamp or a lower one.
    Tick {
        /// A timestamp that the clock has left behind.
        promised: Hlc,
    },
    /// Somebody wants other members.
    Propose(Change),
}

/// What a read of the log is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The stream to a peer.
    Stream,
    /// The answer to a fetch.
    Fetch,
}

/// What a read of the log found.
#[derive(Debug, Clone)]
pub enum Found {
    /// Batches, each following the one before it, the first one where the read began. None: the log does not go so far.
    Batches(Vec<Entry>),
    /// The log begins behind that: its first effect of the origin.
    Gone(u64),
}

/// A change of the members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// This node shall be one.
    Join(u64),
    /// This node shall be none: it leaves, or it has been away too long.
    Leave(u64),
}

/// Something must be done, in this order.
#[derive(Debug, Clone)]
pub enum Output {
    /// Send this.
    Send(LinkId, Frame),
    /// Close the connection.
    Close(LinkId, &'static str),
    /// Log and apply this batch; the vector is what its writer had observed of other origins, as far as it is not stable.
    Apply(Entry, Arc<Vector>),
    /// Read batches `from..=to` from the log: as many as fit, at least one. Own batches need not be fsynced for a stream.
    Read {
        /// For whom.
        link: LinkId,
        /// For what.
        purpose: Purpose,
        /// Whose batches.
        origin: Origin,
        /// The first effect.
        from: u64,
        /// The last one.
        to: u64,
        /// How many bytes at most, but for the first batch.
        max_bytes: u64,
    },
    /// The node's clock shall pass this.
    Observe(Hlc),
    /// All effects up to here are stable. Must be durable in checkpoints.
    Cut(Cut),
    /// Must be durable before what comes behind it is done.
    Persist(Record),
    /// From now on this node may write, as this origin.
    Writable(Origin),
    /// This node may not write: it is no member any more.
    Dropped,
    /// What the group took from this node while it was a member is settled. All that the log has of these origins from there on never
    /// arrived: it must be kept apart, and written again once the node is a member. The rest of log and state must be given up, since
    /// they may have what the group has not, and the node starts as restored on an empty disk.
    Farewell(Vec<Dot>),
    /// A peer holds effects of this origin that this node has not written: the disk is an older one, and the node must start as restored.
    Superseded,
    /// A peer does not apply a batch. For whoever watches; what can be done is done.
    Nacked(u64, Nack),
    /// No peer's log has what is missing here: only a copy of the state helps.
    NeedsSnapshot(Origin),
}

/// What outlives every crash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// This node writes as this origin.
    Life(Origin),
    /// What it has promised about the next epoch.
    Vote(Vote),
    /// The epoch that it is in. Its vote begins anew.
    Epoch(Epoch),
}

/// How far stability has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cut {
    /// Every effect of a timestamp up to this is known and stable.
    pub hlc: Option<Hlc>,
    /// Effects that are: all up to `hlc`, as far as marks tell them apart.
    pub vector: Vector,
}
