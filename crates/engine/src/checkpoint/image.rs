//! The rows of the last checkpoint as a stream, for a backup.

use mvcc::{Snapshot, Store};

use super::books::{Books, Head};
use crate::backup::LogPin;
use crate::engine::Shared;
use crate::error::CheckpointError;

/// The rows of one checkpoint. Later checkpoints change nothing of them.
pub(crate) struct Image {
    /// Where the log goes on behind them.
    pub(crate) head: Head,
    /// The stream, in clear.
    pub(crate) rows: Box<dyn Snapshot>,
    /// Bytes at rest, about.
    pub(crate) bytes: u64,
    /// Has the log behind them kept.
    pub(crate) pin: LogPin,
}

/// The rows of the last checkpoint, which must have been taken.
pub(crate) fn image(shared: &std::sync::Arc<Shared>) -> Result<Image, CheckpointError> {
    let checkpoints = &shared.checkpoints;
    // No checkpoint ends meanwhile: what is read, what is pinned and what is dead are of the same one.
    let _turn = checkpoints.turn.lock();
    let rows = checkpoints.rows(shared)?;
    let books = Books::read(&rows).map_err(|error| rows.failed(error))?;
    let missing = || "no checkpoint has come into force".to_owned();
    let books = books.and_then(|books| books.ok_or_else(missing));
    let head = books.map_err(|reason| CheckpointError::Damaged { path: rows.path.clone(), reason })?.head;
    let pin = LogPin::new(shared, head.from)?;
    let image = rows.store.snapshot().map_err(|error| rows.failed(error))?;
    Ok(Image { head, rows: image, bytes: rows.disk_bytes(), pin })
}
