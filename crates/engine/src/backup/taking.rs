//! What a node gives to a backup while it runs.

use std::io::Write;
use std::path::{Path, PathBuf};

use effect::{Dot, HashSeed, Hlc, Vector};
use mvcc::Snapshot;
use wal::{LogError, Position};

use super::making::name;
use super::{LogPin, Mark};
use crate::checkpoint::{self, Image, ROWS, lower_priority};
use crate::engine::Engine;
use crate::error::CheckpointError;

/// The state at one position of the log, and the log behind it.
#[derive(Debug)]
pub struct Base {
    /// Where the log goes on.
    pub position: Position,
    /// No batch below that position is later than this, none behind it is as early.
    pub last: Hlc,
    /// What is in it, of every origin.
    pub vector: Vector,
    /// Bytes that the rows take at rest, about.
    pub bytes: u64,
    /// Keeps the log behind it.
    pub pin: LogPin,
    /// The rows.
    pub rows: BaseRows,
}

/// The rows of a [`Base`], to be written once.
pub struct BaseRows {
    image: Box<dyn Snapshot>,
    path: PathBuf,
}

impl BaseRows {
    /// Writes the rows, in clear, as an image of `mvcc`; answers its bytes.
    ///
    /// # Errors
    /// What the store or `out` says.
    pub fn write_to(mut self, out: &mut dyn Write) -> Result<u64, CheckpointError> {
        self.image.write_to(out).map_err(|source| CheckpointError::Rows { path: self.path, source })
    }
}

impl std::fmt::Debug for BaseRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BaseRows")
    }
}

/// How far the log goes at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Everything below is durable.
    pub end: Position,
    /// No batch below `end` is later than this, none behind it is as early.
    pub last: Hlc,
}

impl Engine {
    /// Takes a checkpoint, and answers its rows. `go_on` is asked now and then.
    ///
    /// # Errors
    /// `Stopped` if it was not to go on.
    pub fn base(&self, go_on: &mut dyn FnMut() -> bool) -> Result<Base, CheckpointError> {
        let shared = &self.shared;
        checkpoint::take_with(shared, &mut || !shared.checkpoints.is_stopped() && go_on())?;
        let Image { head, rows, bytes, pin } = checkpoint::image(shared)?;
        Ok(Base {
            position: head.from,
            last: head.last,
            vector: head.origins.iter().map(|(origin, next)| Dot { origin: *origin, seq: next - 1 }).collect(),
            bytes,
            pin,
            rows: BaseRows { image: rows, path: shared.dir.join(ROWS) },
        })
    }

    /// Makes everything durable that was logged before the call, and says how far that is.
    ///
    /// # Errors
    /// The log's.
    pub fn backup_moment(&self) -> Result<Moment, LogError> {
        let now = Hlc::at_ms(self.now_ms());
        let (end, last) = {
            let mut log = self.shared.log.lock();
            let end = log.end();
            let clock = &mut log.state().clock;
            // What comes later is later than now, also if the system's clock goes back.
            clock.observe(now.min(clock.ceiling()));
            (end, clock.last())
        };
        self.shared.log.commit(end)?;
        Ok(Moment { end, last })
    }

    /// Keeps the log from `from` on for as long as the pin lives.
    ///
    /// # Errors
    /// `Removed` if it begins later.
    pub fn pin_log(&self, from: Position) -> Result<LogPin, LogError> {
        LogPin::new(&self.shared, from)
    }

    /// From where on the log is kept for the next backup into this repository, if there was one.
    pub fn backup_mark(&self, name: &str) -> Option<Mark> {
        self.shared.kept.mark(name)
    }

    /// Has the log kept from a position on for the next backup into a repository, durably.
    ///
    /// # Errors
    /// What the system says.
    pub fn set_backup_mark(&self, mark: Mark) -> std::io::Result<()> {
        self.shared.kept.set_mark(mark)
    }

    /// Changes how many bytes of log are kept for the next backup, at most.
    pub fn set_backup_log_bytes(&self, bytes: u64) {
        self.shared.kept.set_limit(bytes);
    }

    /// Changes how many bytes of log are kept for an archive that is behind, at most; 0: there is none.
    pub fn set_archive_log_bytes(&self, bytes: u64) {
        self.shared.kept.set_archive_limit(bytes);
    }

    /// Makes a data directory, of which nothing is open, that of this node: with its id and what its clock may have given.
    ///
    /// # Errors
    /// What the system says, or that it is no data directory.
    pub fn name_copy(&self, dir: &Path) -> std::io::Result<()> {
        name(dir, self.origin(), self.shared.ceiling())
    }

    /// The secret by which keys are hashed: rows are in this order.
    pub fn hash_seed(&self) -> HashSeed {
        self.shared.seed
    }
}

/// Lets whoever answers commands go before the calling thread.
pub fn yield_to_commands() {
    lower_priority();
}
