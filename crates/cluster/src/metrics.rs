//! Figures of a mesh, for INFO and for metrics.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::event::Peer;
use crate::node::NodeId;

/// What a mesh has done since it was started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metrics {
    /// When this node's certificate ends, in seconds since 1970. It is made anew days before.
    pub certificate_ends: u64,
    /// Connections that did not come to be.
    pub refused: u64,
    /// By node, of those connected and those that were.
    pub peers: Vec<PeerMetrics>,
}

/// The figures of one peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerMetrics {
    /// Who.
    pub node: NodeId,
    /// Its connection, if it has one.
    pub connected: Option<Peer>,
    /// Bytes from its socket, TLS included.
    pub bytes_in: u64,
    /// Bytes to its socket, TLS included.
    pub bytes_out: u64,
    /// Frames of data that have come.
    pub frames_in: u64,
    /// Frames of data that were encrypted.
    pub frames_out: u64,
    /// Connections after the first.
    pub reconnects: u64,
    /// The latest time of a ping and its answer, in microseconds; 0 before the first.
    pub rtt_micros: u32,
    /// Bytes that wait to be sent.
    pub waiting: usize,
}

/// The same while they are counted. Each is a number of its own: they need not agree.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub bytes_in: AtomicU64,
    pub bytes_out: AtomicU64,
    pub frames_in: AtomicU64,
    pub frames_out: AtomicU64,
    pub connections: AtomicU64,
    pub rtt_micros: AtomicU32,
}

impl Counters {
    pub(crate) fn add(to: &AtomicU64, count: u64) {
        to.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn metrics(&self, node: NodeId, connected: Option<(Peer, usize)>) -> PeerMetrics {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (connected, waiting) = connected.map_or((None, 0), |(peer, waiting)| (Some(peer), waiting));
        PeerMetrics {
            node,
            connected,
            bytes_in: of(&self.bytes_in),
            bytes_out: of(&self.bytes_out),
            frames_in: of(&self.frames_in),
            frames_out: of(&self.frames_out),
            reconnects: of(&self.connections).saturating_sub(1),
            rtt_micros: self.rtt_micros.load(Ordering::Relaxed),
            waiting,
        }
    }
}
