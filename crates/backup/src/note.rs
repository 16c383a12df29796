//! What a node knows of its backups in a repository: it has no key to read them with.
//!
//! It is a line of JSON in the file `backups` of the data directory, beside the position from which on the log is kept.

use engine::Engine;
use engine::backup::{ARCHIVE, Mark};
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
    /// Up to which timestamp it has everything, as a raw HLC; 0: it was not noted.
    #[serde(default)]
    pub(crate) last: u64,
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
    /// One with rows, beside which the chain before it goes on.
    #[serde(default)]
    pub(crate) base: Option<Pending>,
}

/// Which of the two that can be on their way at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    /// One that goes on from another.
    GoesOn,
    /// One with rows.
    Base,
}

/// Whose backups these are: each goes on from its own only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Those that somebody asks for.
    Asked,
    /// Those of an archive, which has all of the log as it is written.
    Archive,
}

impl Purpose {
    /// What the mark in the data directory is called.
    fn mark(self, repository: &str) -> String {
        match self {
            Self::Asked => repository.to_owned(),
            Self::Archive => format!("{ARCHIVE}{repository}"),
        }
    }
}

impl Stored {
    /// The first position of the log that the next backup reads.
    pub(crate) fn reads_from(&self) -> Position {
        Position(self.tail.as_ref().map_or(self.end, |tail| tail.start))
    }
}

impl Note {
    /// What is on its way.
    pub(crate) fn slot(&mut self, slot: Slot) -> &mut Option<Pending> {
        match slot {
            Slot::GoesOn => &mut self.pending,
            Slot::Base => &mut self.base,
        }
    }

    /// What is noted of a repository. What cannot be read is nothing: then the next backup is a whole one.
    pub(crate) fn of(engine: &Engine, repository: &str, purpose: Purpose) -> Self {
        let mark = engine.backup_mark(&purpose.mark(repository));
        mark.and_then(|mark| serde_json::from_str(&mark.note).ok()).unwrap_or_default()
    }

    /// Notes it, durably, and has the log kept that the next backup goes on with.
    pub(crate) fn save(&self, engine: &Engine, repository: &str, purpose: Purpose) -> Result<(), Error> {
        // One of which it is not known yet whether it is whole may be what is gone on from.
        let pending = self.pending.iter().chain(&self.base).filter_map(|pending| pending.stored.as_ref());
        let from = self.stored.iter().chain(pending).map(Stored::reads_from).min().unwrap_or(Position::MAX);
        let note = serde_json::to_string(self).expect("it has only text, numbers and lists");
        engine.set_backup_mark(Mark { name: purpose.mark(repository), from, note }).map_err(Error::Note)
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
            last: u64::MAX,
            tail,
            rows_bytes: u64::MAX,
            log_bytes: u64::MAX,
            count: u32::MAX,
        };
        let pending = Some(Pending { chain: id.clone(), backup: id, stored: Some(stored.clone()) });
        let base = pending.clone();
        let note = serde_json::to_string(&Note { stored: Some(stored), pending, base }).unwrap();
        assert!(note.len() <= engine::limits::BACKUP_NOTE_BYTES_MAX && !note.contains('\n'), "{}", note.len());
    }

    #[test]
    fn a_note_of_an_older_version_is_read() {
        let note: Note = serde_json::from_str("{\"stored\":null,\"pending\":null}").unwrap();
        assert_eq!(note, Note::default());
    }
}
