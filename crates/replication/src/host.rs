//! What a driver tells the server that it is part of.

use cluster::NodeId;
use engine::DbKey;
use wal::Position;

/// The server, as the driver sees it.
pub trait Host: Send + Sync {
    /// Effects of other nodes have changed keys that clients wait for; they are in the log up to `position`.
    fn ready(&self, keys: Vec<DbKey>, position: Position);

    /// Another node's client has published a message.
    fn published(&self, from: NodeId, channel: &[u8], message: &[u8]);

    /// The node is to start anew: the reason, for its log.
    fn restart(&self, why: &str);

    /// The node must not go on: the reason, for its log.
    fn stop(&self, why: &str);
}
