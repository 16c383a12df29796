//! What a node knows of its backups in a repository: it has no key to read them with.
//!
//! It is a line of JSON in the file `backups` of the data directory, beside the position from which on the log is kept.

use engine::Engine;
use engine::backup::Mark;
use serde::{Deserialize, Serialize};
use wal::Position;

use crate::digest::Sha256;
use crate::error::Error;
use crate::id::BackupId;
use crate::log_part::Tail;

/// The last backup that is whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stored {
    pub(crate) chain: BackupId,
    pub(crate) backup: BackupId,
    /// Of its manifest.
    pub(crate) sha256: Sha256,
    /// The fingerprint of the key that it is sealed for.
    pub(crate) recipient: String,
    pub(crate) log_id: String,
    pub(crate) end: u64,
    pub(crate) tail: Option<Tail>,
    /// Plain bytes of the chain's rows, and of its log so far.
    pub(crate) rows_bytes: u64,
    pub(crate) log_bytes: u64,
    /// Backups of the chain.
    pub(crate) count: u32,
}

/// One that was begun, and of which the end is not known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pending {
    pub(crate) chain: BackupId,
    pub(crate) backup: BackupId,
    /// What it is if its manifest is there.
    pub(crate) stored: Option<Stored>,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Note {
    pub(crate) stored: Option<Stored>,
    pub(crate) pending: Option<Pending>,
}

impl Stored {
    /// The first position of the log that the next backup reads.
    pub(crate) fn reads_from(&self) -> Position {
        Position(self.tail.as_ref().map_or(self.end, |tail| tail.start))
    }
}

impl Note {
    /// What is noted of a repository. What cannot be read is nothing: then the next backup is a whole one.
    pub(crate) fn of(engine: &Engine, repository: &str) -> Self {
        let mark = engine.backup_mark(repository);
        mark.and_then(|mark| serde_json::from_str(&mark.note).ok()).unwrap_or_default()
    }

    /// Notes it, durably, and has the log kept that the next backup goes on with.
    pub(crate) fn save(&self, engine: &Engine, repository: &str) -> Result<(), Error> {
        let from = self.stored.as_ref().map_or(Position::MAX, Stored::reads_from);
        let note = serde_json::to_string(self).expect("it has only text, numbers and lists");
        engine.set_backup_mark(Mark { name: repository.into(), from, note }).map_err(Error::Note)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_note_fits() {
        let id = BackupId::new(0).unwrap();
        let tail = Some(Tail { start: u64::MAX, digest: Sha256::of(b"") });
        let stored = Stored {
            chain: id.clone(),
            backup: id.clone(),
            sha256: Sha256::of(b""),
            recipient: "f".repeat(32),
            log_id: "f".repeat(16),
            end: u64::MAX,
            tail,
            rows_bytes: u64::MAX,
            log_bytes: u64::MAX,
            count: u32::MAX,
        };
        let pending = Some(Pending { chain: id.clone(), backup: id, stored: Some(stored.clone()) });
        let note = serde_json::to_string(&Note { stored: Some(stored), pending }).unwrap();
        assert!(note.len() <= engine::limits::BACKUP_NOTE_BYTES_MAX && !note.contains('\n'), "{}", note.len());
    }
}
