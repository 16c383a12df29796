//! Connections as the state machine names them, and the nodes at their other ends.

use std::collections::HashMap;

use causal::LinkId;
use cluster::{NodeId, Peer};

/// What is known of a connection.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) id: LinkId,
    pub(crate) peer: Peer,
    /// What came in pieces, as far as it has.
    pub(crate) pieces: Vec<u8>,
    pub(crate) rtt_micros: u32,
}

/// All that are open. A node has one at most.
#[derive(Debug, Default)]
pub(crate) struct Links {
    by_node: HashMap<NodeId, Link>,
    nodes: HashMap<LinkId, NodeId>,
    last: u64,
}

impl Links {
    pub(crate) fn open(&mut self, peer: Peer) -> LinkId {
        self.last += 1;
        let (id, node) = (LinkId(self.last), peer.node);
        self.by_node.insert(node, Link { id, peer, pieces: Vec::new(), rtt_micros: 0 });
        self.nodes.insert(id, node);
        id
    }

    pub(crate) fn close(&mut self, node: NodeId) -> Option<LinkId> {
        let link = self.by_node.remove(&node)?;
        self.nodes.remove(&link.id);
        Some(link.id)
    }

    pub(crate) fn node(&self, id: LinkId) -> Option<NodeId> {
        self.nodes.get(&id).copied()
    }

    pub(crate) fn of(&self, node: NodeId) -> Option<&Link> {
        self.by_node.get(&node)
    }

    pub(crate) fn of_mut(&mut self, node: NodeId) -> Option<&mut Link> {
        self.by_node.get_mut(&node)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Link> {
        self.by_node.values()
    }
}
