//! Records of the log as backups see them: when they were, and where one is cut that goes beyond a moment.

use effect::{Batches, Hlc, WireError};
use thiserror::Error;
use wal::Kind;

use crate::engine::RECORD_BATCHES;
use crate::replica::RECORD_STATE;

/// Why a record cannot be told from another time.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CutError {
    /// Another version of the program wrote it.
    #[error("a record of kind {0}, which this version does not know")]
    Kind(u8),
    /// Its batches cannot be read.
    #[error("a record whose batches cannot be read: {0}")]
    Batch(#[from] WireError),
}

fn batches(kind: Kind, payload: &[u8]) -> Result<Batches<'_>, CutError> {
    if kind == RECORD_BATCHES { Ok(Batches::decode(payload)) } else { Err(CutError::Kind(kind.get())) }
}

/// How many bytes of a record are its batches up to `until`: all of them, some, or none.
///
/// # Errors
/// It cannot be read.
pub fn cut_after(kind: Kind, payload: &[u8], until: Hlc) -> Result<usize, CutError> {
    if kind == RECORD_STATE {
        // It says something of what stands before it.
        return Ok(payload.len());
    }
    let mut batches = batches(kind, payload)?;
    let mut end = 0;
    while let Some(batch) = batches.next() {
        if batch?.hlc > until {
            break;
        }
        end = batches.offset();
    }
    Ok(end)
}
