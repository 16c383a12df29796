//! The versions of one key, written to be obviously right.

use crate::error::{Error, Result};
use crate::store::Retention;
use crate::timestamp::Timestamp;
use crate::value::{Value, Version};

/// One version; a deletion has no value.
#[derive(Clone, Debug)]
pub(super) struct MemVersion {
    pub(super) commit: Timestamp,
    pub(super) expire_at: Option<Timestamp>,
    pub(super) value: Option<Value>,
}

impl MemVersion {
    pub(super) fn deletion(commit: Timestamp) -> Self {
        Self { commit, expire_at: None, value: None }
    }

    pub(super) fn visible(&self, at: Timestamp) -> Option<Version> {
        let is_expired = at != Timestamp::LATEST && self.expire_at.is_some_and(|deadline| deadline <= at);
        let value = self.value.clone().filter(|_| !is_expired)?;
        Some(Version { commit: self.commit, expire_at: self.expire_at, value })
    }
}

/// All versions of a key, newest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Versions(pub(super) Vec<MemVersion>);

impl Versions {
    pub(super) fn newest(&self) -> Option<&MemVersion> {
        self.0.first()
    }

    /// What a reader at `at` sees.
    pub(super) fn visible(&self, at: Timestamp, retention: Retention) -> Result<Option<Version>> {
        match (self.0.iter().find(|version| version.commit <= at), self.newest()) {
            (Some(version), _) => Ok(version.visible(at)),
            (None, Some(newest)) if retention == Retention::Newest => {
                Err(Error::Compacted { at, watermark: newest.commit })
            }
            (None, _) => Ok(None),
        }
    }

    /// Whether there is a version of exactly this commit.
    pub(super) fn committed_at(&self, commit: Timestamp, watermark: Timestamp, retention: Retention) -> Result<bool> {
        if self.0.iter().any(|version| version.commit == commit) {
            return Ok(true);
        }
        if commit <= watermark {
            return Err(Error::Compacted { at: commit, watermark });
        }
        match self.newest() {
            Some(newest) if retention == Retention::Newest && newest.commit > commit => {
                Err(Error::Compacted { at: commit, watermark: newest.commit })
            }
            _ => Ok(false),
        }
    }

    pub(super) fn push(&mut self, version: MemVersion, retention: Retention) {
        self.0.insert(0, version);
        if retention == Retention::Newest {
            self.0.truncate(1);
        }
    }

    /// Drops what no reader at or above `watermark` can see: what was superseded by then, and a newest version that is
    /// deleted or expired by then.
    pub(super) fn collect(&mut self, watermark: Timestamp) {
        if let Some(oldest_needed) = self.0.iter().position(|version| version.commit <= watermark) {
            self.0.truncate(oldest_needed + 1);
        }
        if self.newest().is_some_and(|newest| newest.commit <= watermark && newest.visible(watermark).is_none()) {
            self.0.clear();
        }
    }
}
