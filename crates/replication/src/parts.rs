//! What a driver is made of.

use std::sync::Arc;

use causal::Replica;
use engine::{Engine, Options};

use crate::acks::Acks;
use crate::exclusive::{Desk, JournalFile};
use crate::host::Host;
use crate::membership::Membership;
use crate::serial::Serial;
use crate::status::Board;
use crate::undone::Undone;
use crate::verdicts::Verdicts;
use crate::wire::Wire;

/// See the module.
pub(crate) struct Parts {
    pub(crate) engine: Arc<Engine>,
    pub(crate) wire: Arc<dyn Wire>,
    pub(crate) host: Arc<dyn Host>,
    pub(crate) dir: std::path::PathBuf,
    pub(crate) membership: Membership,
    pub(crate) replica: Replica,
    pub(crate) desk: Desk<JournalFile>,
    pub(crate) frame_bytes: u64,
    pub(crate) status: Arc<Board>,
    pub(crate) acks: Arc<Acks>,
    pub(crate) verdicts: Arc<Verdicts>,
    pub(crate) serial: Arc<Serial>,
    pub(crate) undone: Arc<Undone>,
    /// Whether it was started to join others.
    pub(crate) joins: bool,
    /// How a copy of the state is opened.
    pub(crate) options: Options,
    /// Bytes of log that are kept for peers that lack them, at most.
    pub(crate) kept_log_bytes: u64,
}
