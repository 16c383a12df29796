//! What must not be seen, and how it is told.

use std::fmt;

use super::{Element, Key, TxnId};

/// Who read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// A transaction.
    Txn(TxnId),
    /// The last look at a node.
    Last(usize),
}

/// Why a reader should have seen what it did not see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guarantee {
    /// It saw another part of the same transaction.
    Atomic,
    /// Its own session had written it.
    ReadYourWrites,
    /// Its own session had read it.
    MonotonicReads,
    /// The writer's session wrote something later that the reader saw.
    MonotonicWrites,
    /// Somebody had read it before writing what the reader saw.
    WritesFollowReads,
    /// By a longer path of these.
    Causality,
}

/// Something that no causal group shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Anomaly {
    /// An element that nobody appended to this list.
    Unwritten {
        /// Who saw it.
        reader: Reader,
        /// Where.
        key: Key,
        /// What.
        element: Element,
    },
    /// What a transaction wrote of which its client was told that nothing was changed.
    Aborted {
        /// Who saw it.
        reader: Reader,
        /// Where.
        key: Key,
        /// What.
        element: Element,
        /// Whose it is.
        writer: TxnId,
    },
    /// One append, twice in a list.
    Twice {
        /// Who saw it.
        reader: Reader,
        /// Where.
        key: Key,
        /// What.
        element: Element,
    },
    /// A transaction does not see its own steps before, or sees those after.
    Internal {
        /// Which.
        txn: TxnId,
        /// Where.
        key: Key,
        /// Whose presence is wrong.
        element: Element,
    },
    /// An element that a reader should have seen.
    Missing {
        /// Who.
        reader: Reader,
        /// Where.
        key: Key,
        /// What.
        element: Element,
        /// Whose it is.
        writer: TxnId,
        /// Why it should have been seen.
        breach: Guarantee,
    },
    /// Two elements in one order here, in the other order at last.
    Reordered {
        /// Who saw the other order.
        reader: Reader,
        /// Where.
        key: Key,
        /// The first of the two, as the reader saw them.
        first: Element,
        /// The second.
        second: Element,
    },
    /// An append that is before one that its writer had seen.
    NotBehind {
        /// Where.
        key: Key,
        /// What was appended.
        element: Element,
        /// By whom.
        writer: TxnId,
        /// What it should be behind.
        seen: Element,
    },
    /// Transactions each of which came before the next, and the last before the first.
    Cycle(Vec<TxnId>),
    /// Acknowledged, or seen by somebody, and not there at last.
    Lost {
        /// At which node.
        node: usize,
        /// Where.
        key: Key,
        /// What.
        element: Element,
        /// Whose it is.
        writer: TxnId,
    },
    /// Two nodes differ although they have heard of the same.
    Diverged {
        /// Where.
        key: Key,
        /// One.
        one: usize,
        /// The other.
        other: usize,
    },
    /// Two transactions that both replaced the same version of a key, and both are told or seen to have done so.
    LostUpdate {
        /// Where.
        key: Key,
        /// The version; none is 0.
        version: Element,
        /// Who replaced it.
        writers: [TxnId; 2],
    },
}

impl fmt::Display for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reader::Txn(id) => write!(f, "{id}"),
            Reader::Last(node) => write!(f, "the last look at node {node}"),
        }
    }
}

impl fmt::Display for Guarantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Guarantee::Atomic => "it saw another part of that transaction",
            Guarantee::ReadYourWrites => "its session had written it",
            Guarantee::MonotonicReads => "its session had read it",
            Guarantee::MonotonicWrites => "it saw what that session wrote later",
            Guarantee::WritesFollowReads => "it saw what somebody wrote who had read it",
            Guarantee::Causality => "it is in the past of what it saw",
        })
    }
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Anomaly::Unwritten { reader, key, element } => {
                write!(f, "{reader} saw {element} in {key}: nobody wrote it")
            }
            Anomaly::Aborted { reader, key, element, writer } => {
                write!(f, "{reader} saw {element} in {key}: its writer {writer} was refused")
            }
            Anomaly::Twice { reader, key, element } => write!(f, "{reader} saw {element} twice in {key}"),
            Anomaly::Internal { txn, key, element } => {
                write!(f, "{txn} is at odds with itself about {element} in {key}")
            }
            Anomaly::Missing { reader, key, element, writer, breach } => {
                write!(f, "{reader} did not see {element} of {writer} in {key}, although {breach}")
            }
            Anomaly::Reordered { reader, key, first, second } => {
                write!(f, "{reader} saw {first} before {second} in {key}; at last it is the other way round")
            }
            Anomaly::NotBehind { key, element, writer, seen } => {
                write!(f, "{writer} appended {element} to {key} behind {seen}, and it is before it")
            }
            Anomaly::Cycle(txns) => {
                f.write_str("each of these came before the next, and the last before the first:")?;
                txns.iter().try_for_each(|txn| write!(f, " {txn}"))
            }
            Anomaly::Lost { node, key, element, writer } => {
                write!(f, "{element} of {writer} in {key} is not at node {node} at last")
            }
            Anomaly::Diverged { key, one, other } => write!(f, "nodes {one} and {other} differ at last in {key}"),
            Anomaly::LostUpdate { key, version, writers: [a, b] } => {
                write!(f, "{a} and {b} both replaced version {version} of {key}")
            }
        }
    }
}
