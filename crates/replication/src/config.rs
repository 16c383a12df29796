//! What a member is started with.

use std::path::PathBuf;

/// Everything that a member is told, but for the mesh's own settings.
#[derive(Clone)]
pub struct Config {
    /// The data directory, where `membership` is.
    pub dir: PathBuf,
    /// Whether this node joins others. If it has been a member of no group and joins nobody, it founds one.
    pub joins: bool,
    /// How far ahead of the local clock a batch of another node may be written, in ms, before its stream is held.
    pub max_clock_skew_ms: i64,
    /// Bytes of log that are kept for peers that lack them, at most; with more, a peer needs a copy of the state.
    pub kept_log_bytes: u64,
    /// How the engine was opened, and how a copy of another's state is.
    pub options: engine::Options,
}
