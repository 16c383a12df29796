//! How far a backup or a restore has come, for whoever watches from another thread, who may also stop it.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use crate::error::Error;

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It is looked what there is.
    Planning,
    /// A checkpoint is taken.
    Checkpoint,
    /// Rows are stored.
    Rows,
    /// Log is stored.
    Log,
    /// The manifest is stored, and what is to be known for the next backup.
    Finishing,
}

impl Phase {
    const ALL: [Self; 5] = [Self::Planning, Self::Checkpoint, Self::Rows, Self::Log, Self::Finishing];

    /// A word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Planning => "planning",
            Self::Checkpoint => "checkpoint",
            Self::Rows => "rows",
            Self::Log => "log",
            Self::Finishing => "finishing",
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Progress {
    phase: AtomicU8,
    done: AtomicU64,
    total: AtomicU64,
    cancelled: AtomicBool,
}

impl Progress {
    /// What is being done.
    #[must_use]
    pub fn phase(&self) -> Phase {
        Phase::ALL[usize::from(self.phase.load(Ordering::Relaxed))]
    }

    /// Plain bytes that have been read, and about how many there will be.
    #[must_use]
    pub fn bytes(&self) -> (u64, u64) {
        let done = self.done.load(Ordering::Relaxed);
        (done, self.total.load(Ordering::Relaxed).max(done))
    }

    /// Asks for an end; what has been done is taken back.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether somebody has asked for an end.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    pub(crate) fn begin(&self, phase: Phase) -> Result<(), Error> {
        self.phase.store(phase as u8, Ordering::Relaxed);
        if self.is_cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    }

    pub(crate) fn expect(&self, bytes: u64) {
        self.total.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn add(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }
}
