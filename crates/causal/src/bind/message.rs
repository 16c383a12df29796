//! What goes between voters, what they persist, and what goes into the state machine and comes out of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use effect::{Dot, Origin, Stamp, TraceContext, Vector};

use crate::bind::ballot::{Ballot, NodeId};
use crate::bind::error::TxnError;
use crate::bind::transaction::{Bind, Key, Rank};

/// A value at a ballot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vote {
    /// When.
    pub ballot: Ballot,
    /// Commit, else abort.
    pub commit: bool,
}

/// From voter to voter, about one bind. Any of them may be lost, doubled, late and out of order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Message {
    /// The originator asks again for a vote at ballot 0. The first time, the bind's arrival asks.
    Ask {
        /// The bind.
        bind: Dot,
    },
    /// Promise nothing below `ballot` for this bind and its competitors.
    Prepare {
        /// The bind.
        bind: Arc<Bind>,
        /// The proposer's ballot.
        ballot: Ballot,
    },
    /// Promised; this is what the voter had done before.
    Promise {
        /// The bind.
        bind: Dot,
        /// What was promised.
        ballot: Ballot,
        /// What the voter knows.
        report: Report,
    },
    /// Accept this value.
    Accept {
        /// The bind.
        bind: Arc<Bind>,
        /// The value, with its ballot.
        vote: Vote,
    },
    /// Accepted.
    Voted {
        /// The bind.
        bind: Dot,
        /// What was accepted.
        vote: Vote,
    },
    /// Not promised, or not accepted.
    Refused {
        /// The bind.
        bind: Dot,
        /// What was asked for.
        ballot: Ballot,
        /// Why not.
        cause: Refusal,
    },
    /// It is decided.
    Decided {
        /// The bind.
        bind: Dot,
        /// The verdict, with the ballot at which it was found.
        vote: Vote,
    },
}

/// Why a voter does not do as it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// It has promised this ballot, for the bind or a competitor.
    Promised(Ballot),
    /// It holds a competitor that may be committed, or was begun here.
    Competitor,
    /// It holds a plain write of one of the keys that is concurrent with the bind.
    PlainWrite,
    /// It does not know what it said of the bind before it lost its disk. At a ballot above 0 it has accepted; but that counts only if
    /// all voters have.
    Forgotten,
}

/// What a voter had done about a bind and its competitors when it promised.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Report {
    /// The last value that it accepted.
    pub accepted: Option<Vote>,
    /// It holds a plain write that is concurrent with the bind.
    pub plain: bool,
    /// It may have accepted more, and promised more, before it lost its disk.
    pub forgot: bool,
    /// All competitors that it knows.
    pub rivals: Vec<Rival>,
}

/// A competitor in a [`Report`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rival {
    /// Which one, and how fork choice ranks it.
    pub rank: Rank,
    /// It has the same voters. Else it is of another epoch.
    pub same_voters: bool,
    /// The last value that the voter accepted for it.
    pub accepted: Option<Vote>,
    /// Its verdict.
    pub decided: Option<bool>,
}

/// What must be durable before anything that follows it leaves.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Record {
    /// The voter takes part in no lower ballot of the bind, or of a competitor.
    Promised(Dot, Ballot),
    /// The voter accepted a value, and so has promised its ballot.
    Accepted(Dot, Vote),
    /// The verdict is known.
    Decided(Dot, Vote),
    /// Votes from before this life of the node are forgotten, see [`Input::Forgot`].
    Forgot(Origin),
    /// The members of the epoch with this number have been met, see [`Input::Members`].
    Met(u64),
    /// These unsafe binds were shown as committed or as lost, together; for some not for the first time.
    Shown(Vec<(Dot, bool)>),
}

/// What a restart reads back, in the order in which it was logged.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Logged {
    /// The effect of a bind, begun here or arrived, and whether a concurrent plain write was there before it.
    Bind(Arc<Bind>, bool),
    /// The effect `dot` with the verdict on `bind`.
    Verdict {
        /// The bind.
        bind: Dot,
        /// The verdict.
        vote: Vote,
        /// The effect that carries it.
        dot: Dot,
    },
    /// A record of [`Output::Persist`].
    Record(Record),
}

/// A watched key of a transaction that is forwarded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    /// The key.
    pub key: Key,
    /// What had been observed at WATCH: the transaction fails if the leader has an effect on the key that is not in it, and must
    /// wait if the leader lacks one that is.
    pub seen: Vector,
    /// It existed: the transaction fails if it has expired since.
    pub existed: bool,
}

/// A whole EXEC, as its leader needs it. One without commands asks for a turn on its keys, or gives one back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exec {
    /// The turn that it has, as the leader has named it; 0: none.
    pub turn: u64,
    /// Those of its keys that are led, as the sender knows it.
    pub led: Vec<Key>,
    /// The commands with their arguments.
    pub commands: Vec<Vec<Vec<u8>>>,
    /// Its watches.
    pub watches: Vec<Watch>,
    /// Whose permissions count.
    pub user: Vec<u8>,
    /// The database that is selected.
    pub db: u8,
    /// Its client reads RESP3.
    pub resp3: bool,
    /// The trace that it belongs to.
    pub trace: Option<TraceContext>,
}

/// Round trips between nodes and who answers, as the node knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Peers {
    /// Those that answer. A node need not name itself.
    pub alive: BTreeSet<NodeId>,
    /// Milliseconds for pairs, the lower id first.
    pub rtt_ms: BTreeMap<(NodeId, NodeId), u64>,
}

impl Peers {
    /// Milliseconds between two nodes, if they are known.
    pub fn rtt_ms(&self, a: NodeId, b: NodeId) -> Option<u64> {
        self.rtt_ms.get(&(a.min(b), a.max(b))).copied()
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// The node has logged a bind of its own, whose client waits. When it was logged no bind that clashes with it was undecided there
    /// ([`super::Binds::may_begin`]); others may have arrived since.
    Begin(Arc<Bind>),
    /// A bind's effect has been applied, and is durable. Told before it is told that the bind is stable.
    Bind {
        /// The bind.
        bind: Arc<Bind>,
        /// A plain write of one of its keys, concurrent with it, was there before it.
        conflicts_with_plain: bool,
    },
    /// An effect with a verdict has been applied or, if it is the node's own, logged.
    Verdict {
        /// The bind.
        bind: Dot,
        /// The verdict.
        vote: Vote,
        /// The effect that carries it.
        dot: Dot,
    },
    /// The verdict on a bind, which has failed, has come and is not carried out yet: what is shown of an unsafe one is undone before.
    Failed(Dot),
    /// Votes of the node may be missing, because its disk was replaced by an older one, a copy or an empty one: it says so of all binds
    /// whose writer had not observed something of this life of it, or a later one. Told at such a start, before anything else, with a life
    /// that never comes; and again with the life that it takes, once it may write.
    Forgot(Origin),
    /// The epoch that the node is in. Told at each start, and when something of it changes.
    Members {
        /// Its number.
        epoch: u64,
        /// Who belongs to it.
        members: BTreeSet<NodeId>,
        /// [`crate::Replica::has_met_all`].
        met: bool,
    },
    /// A message from another voter.
    Message(NodeId, Message),
    /// A bind is to be recovered without waiting for its time.
    Recover(Dot),
    /// Time has passed.
    Tick,
    /// Round trips have been measured, or somebody fell silent or came back.
    Peers(Peers),
    /// All effects in here are stable: nothing concurrent with them can arrive any more. Told after [`Input::Bind`] of all that had been applied
    /// when they became so: what one of those competes with is forgotten now.
    Stable(Vector),
    /// A client's EXEC with watches, before it runs.
    Exec {
        /// Names it in what follows.
        id: u64,
        /// All keys that it names and watches.
        keys: Vec<Key>,
        /// The transaction.
        exec: Box<Exec>,
        /// Another node has sent it, as to a leader: it runs here, whoever leads by now.
        forwarded: bool,
    },
    /// So many transactions of this node have failed on a key without having begun, because of others that are undecided. Counts where those
    /// write it.
    Lost(Key, u32),
    /// The leader's reply to a forwarded EXEC has come.
    Replied(u64),
    /// An effect names the leader of a key, or releases it.
    Serialize {
        /// The key.
        key: Key,
        /// The leader.
        leader: Option<NodeId>,
        /// When it was written, and by whom.
        stamp: Stamp,
    },
}

/// What is to be done, in this order.
///
/// *Invariant:* a [`Output::Persist`] is durable before anything behind it, in this step or a later one, leaves the node.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// To be logged and synced, under every fsync policy.
    Persist(Record),
    /// To be sent to another voter.
    Send(NodeId, Message),
    /// A verdict, to be logged as an effect; it comes back as [`Input::Verdict`]. Several may be logged, and agree.
    EmitVerdict(Dot, Vote),
    /// To be logged as an effect; it comes back as [`Input::Serialize`].
    EmitSerialize(Key, Option<NodeId>),
    /// The client of a bind that was begun here is answered. Once for each.
    Answer(Dot, Result<(), TxnError>),
    /// An unsafe bind takes effect, or has lost.
    Show(Dot, bool),
    /// An unsafe bind that was shown as committed has lost to `by`: for the undone stream. Said again after each start, until the bind is past.
    Undone {
        /// The bind.
        bind: Dot,
        /// The competitor.
        by: Dot,
    },
    /// The EXEC runs here.
    Run(u64),
    /// The EXEC runs at its keys' leader.
    Forward {
        /// The leader.
        to: NodeId,
        /// Names it.
        id: u64,
        /// The transaction.
        exec: Box<Exec>,
    },
    /// The EXEC runs here, as this node leads its keys: behind those that came before it.
    Lead {
        /// Names it.
        id: u64,
        /// The transaction.
        exec: Box<Exec>,
    },
    /// The EXEC does not run, or nobody knows whether it has.
    Refuse(u64, TxnError),
}
