//! Whether a backup can go on where the one before it ended.

use engine::Engine;
use engine::backup::LogPin;
use wal::{LogError, Reader};

use crate::error::Error;
use crate::log_part::goes_on;
use crate::manifest::{log_name, node_name};
use crate::note::Stored;
use crate::repository::Folder;
use crate::take::Job;

/// What a backup is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It goes on where another ended.
    GoesOn,
    /// It has all rows.
    Whole(WhyWhole),
}

/// Why a backup has all rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhyWhole {
    /// The data directory knows of none before it, in this repository.
    First,
    /// It was asked for.
    Asked,
    /// The one before it is sealed for another key.
    OtherRecipient,
    /// The one before it is not in the repository any more.
    Gone,
    /// The log has been cut beyond where the one before it ended: more was written than is kept.
    LogCut,
    /// The log is not the one that was stored.
    OtherLog,
    /// The log since the last rows is larger than they are, or in too many backups.
    Grown,
}

impl WhyWhole {
    /// In words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::First => "the first of this data directory in this repository",
            Self::Asked => "asked for",
            Self::OtherRecipient => "the one before it is sealed for another key",
            Self::Gone => "the one before it is not in the repository any more",
            Self::LogCut => "more was written since the one before it than backup-log-size keeps",
            Self::OtherLog => "the log is not the one of the backup before it",
            Self::Grown => "the log since the last whole one has become larger than that",
        }
    }
}

/// How a backup begins.
pub(crate) enum Plan {
    GoOn(Box<GoOn>),
    /// With all rows; the chain before it, if that can go on up to there, so that no moment is missing between them.
    Whole(WhyWhole, Option<Box<GoOn>>),
}

/// The end of a chain, and the log behind it.
pub(crate) struct GoOn {
    pub(crate) stored: Stored,
    pub(crate) log: Reader,
    pub(crate) pin: LogPin,
}

pub(crate) fn plan(engine: &Engine, job: &Job<'_>, stored: Option<Stored>) -> Result<Plan, Error> {
    let Some(stored) = stored else { return Ok(Plan::Whole(WhyWhole::First, None)) };
    let is_grown = stored.log_bytes > stored.rows_bytes.max(job.sizes.rebase) || stored.count >= job.sizes.chain;
    let why = if stored.recipient != job.recipient.fingerprint().to_string() {
        WhyWhole::OtherRecipient
    } else if stored.log_id != log_name(engine.log().id()) {
        WhyWhole::OtherLog
    } else if !job.repository.has_manifest(&folder_of(engine, &stored))? {
        WhyWhole::Gone
    } else {
        return Ok(match go_on(engine, stored)? {
            Err(why) => Plan::Whole(why, None),
            Ok(end) if job.full => Plan::Whole(WhyWhole::Asked, Some(end)),
            Ok(end) if is_grown => Plan::Whole(WhyWhole::Grown, Some(end)),
            Ok(end) => Plan::GoOn(end),
        });
    };
    Ok(Plan::Whole(why, None))
}

pub(crate) fn folder_of(engine: &Engine, stored: &Stored) -> Folder {
    let (chain, backup) = (stored.chain.clone(), stored.backup.clone());
    Folder { node: node_name(engine.origin().node()), chain, backup }
}

pub(crate) fn go_on(engine: &Engine, stored: Stored) -> Result<Result<Box<GoOn>, WhyWhole>, Error> {
    let from = stored.reads_from();
    // Pinned before it is looked at: what is there now stays.
    let pin = match engine.pin_log(from) {
        Ok(pin) => pin,
        Err(LogError::Removed { .. }) => return Ok(Err(WhyWhole::LogCut)),
        Err(error) => return Err(error.into()),
    };
    let mut log = match engine.log().reader(from) {
        Ok(log) => log,
        // The log is a copy of an older moment, and ends before.
        Err(LogError::Beyond { .. }) => return Ok(Err(WhyWhole::OtherLog)),
        Err(error) => return Err(error.into()),
    };
    let is_same = match &stored.tail {
        None => Ok(true),
        Some(tail) => goes_on(&mut log, tail),
    };
    match is_same {
        Ok(true) => Ok(Ok(Box::new(GoOn { stored, log, pin }))),
        // A copy that went on has its records at other places.
        Ok(false) | Err(LogError::Corrupt { .. }) => Ok(Err(WhyWhole::OtherLog)),
        Err(error) => Err(error.into()),
    }
}
