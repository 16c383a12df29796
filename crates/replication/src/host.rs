//! What a driver tells the server that it is part of.

use std::sync::Arc;

use causal::bind::Exec;
use cluster::NodeId;
use engine::DbKey;
use wal::Position;

use crate::undone::Report;

/// The server, as the driver sees it.
pub trait Host: Send + Sync {
    /// Effects of other nodes have changed keys that clients wait for; they are in the log up to `position`.
    fn ready(&self, keys: Vec<DbKey>, position: Position);

    /// Another node's client has published a message.
    fn published(&self, from: NodeId, channel: &[u8], message: &[u8]);

    /// Another node's client has a transaction run here, as its keys are led here: what becomes of it is told by [`crate::Serial::ran`].
    /// False: it was not taken.
    fn guest(&self, number: u64, exec: &Arc<Exec>) -> bool;

    /// What clients of this node may have been told was done is so no more.
    fn undone(&self, report: &Report);

    /// The node is to start anew: the reason, for its log.
    fn restart(&self, why: &str);

    /// The node must not go on: the reason, for its log.
    fn stop(&self, why: &str);
}
