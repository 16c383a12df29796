//! What a mesh tells.

use std::net::SocketAddr;

use crate::error::Why;
use crate::node::{NodeId, Region};

/// Something has happened. Those of one node come in order: `PeerUp`, then its frames in the order in which they were
/// sent, then `PeerDown`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// There is a connection with a node. Frames that were given to one before it, and did not arrive, are lost.
    PeerUp(Peer),
    /// A frame has come.
    Frame(NodeId, Vec<u8>),
    /// The connection has ended. There may be another soon.
    PeerDown {
        /// With whom.
        node: NodeId,
        /// What ended it.
        why: Why,
    },
    /// How long a ping and its answer took. At most one for a node waits at a time.
    Rtt {
        /// With whom.
        node: NodeId,
        /// Microseconds, what waited in queues included.
        micros: u32,
    },
    /// After [`crate::SendError::Full`]: half of what may wait is free again.
    Room(NodeId),
    /// A connection did not come to be. Not told when much waits to be read; the figures count all.
    Refused {
        /// The other end.
        addr: SocketAddr,
        /// Why not.
        why: Why,
    },
}

/// A node at the other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Who, by its certificate.
    pub node: NodeId,
    /// The other end of the connection.
    pub addr: SocketAddr,
    /// Where it says that it can be dialed, `host:port`, for `Mesh::add_peer`; `None` if it listens nowhere.
    pub announced: Option<String>,
    /// Where it says that it is.
    pub region: Region,
    /// Whether we dialed.
    pub dialed: bool,
}
