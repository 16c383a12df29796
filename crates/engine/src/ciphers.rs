//! What the log and the rows of a data directory are encrypted with, if the operator gives master keys.
//!
//! ```text
//!   DIR/keys/log/data-keys      data keys of log records      old ones go when a checkpoint has cut the log
//!   DIR/keys/rows/data-keys     data keys of rows             old ones go when all rows have been sealed anew
//!   DIR/keys/votes/data-keys    data keys of votes            old ones go when the journal of votes was written anew
//!   DIR/keys/undone/data-keys   data keys of reports          old ones go when the journal of reports was written anew
//! ```
//! Each has a registry of its own: whoever forgets keys of one makes unreadable what else was sealed with it.
//!
//! *Invariant:* where there is DIR/keys, the data is opened with master keys or not at all.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use envelope::{Cipher, Keyring};
use wal::Log;

use crate::engine::Engine;
use crate::error::OpenError;

/// Where the registries are, within the data directory.
pub(crate) const KEYS: &str = "keys";

/// None of them without master keys.
#[derive(Clone, Default)]
pub(crate) struct Ciphers {
    pub(crate) log: Option<Arc<Cipher>>,
    pub(crate) rows: Option<Arc<Cipher>>,
    /// Where they are, and the master keys.
    master: Option<(PathBuf, Keyring)>,
}

impl Ciphers {
    /// Those of the data directory `dir`; the registries are made, durably, if there are none.
    pub(crate) fn open(dir: &Path, keyring: Option<&Keyring>) -> Result<Self, OpenError> {
        let path = dir.join(KEYS);
        match keyring {
            None if path.exists() => Err(OpenError::KeysNeeded { path }),
            None => Ok(Self::default()),
            Some(keyring) => {
                make(&path, dir).map_err(|source| OpenError::Io { path: path.clone(), source })?;
                Self::of(&path, keyring)
            }
        }
    }

    /// Those of another directory, under the same master keys.
    pub(crate) fn beside(&self, dir: &Path) -> Result<Self, OpenError> {
        Self::open(dir, self.master.as_ref().map(|(_, keyring)| keyring))
    }

    /// Those whose registries are in `path`, which must exist.
    pub(crate) fn of(path: &Path, keyring: &Keyring) -> Result<Self, OpenError> {
        let open = |name: &str| open(path, keyring, name).map(|cipher| Some(Arc::new(cipher)));
        Ok(Self { log: open("log")?, rows: open("rows")?, master: Some((path.into(), keyring.clone())) })
    }

    /// One with a registry of its own, of which there is one at a time.
    pub(crate) fn another(&self, name: &str) -> Result<Option<Cipher>, OpenError> {
        self.master.as_ref().map(|(path, keyring)| open(path, keyring, name)).transpose()
    }

    pub(crate) fn is_on(&self) -> bool {
        self.log.is_some()
    }

    /// Forgets the data keys that no record of the log names any more, after it was cut.
    pub(crate) fn forget_log_keys<S: Send + 'static>(&self, log: &Log<S>) {
        let Some(cipher) = &self.log else { return };
        // Looked at first: what is sealed from here on is sealed with this one or a later one.
        let keys = cipher.data_keys();
        let [_, .., (newest, _)] = keys[..] else { return };
        let oldest = match log.oldest_data_key() {
            Ok(named) => named.unwrap_or(newest),
            Err(error) => return tracing::warn!(%error, "the log's old data keys are kept: it cannot be read"),
        };
        if let Err(error) = cipher.forget_below(oldest) {
            tracing::warn!(%error, "the log's old data keys are kept");
        }
    }
}

fn open(path: &Path, keyring: &Keyring, name: &str) -> Result<Cipher, OpenError> {
    let at = path.join(name);
    make(&at, path).map_err(|source| OpenError::Io { path: at.clone(), source })?;
    Cipher::open(&at, keyring.clone()).map_err(|source| OpenError::Keys { path: at, source })
}

/// Makes the directory `path` in `parent`, durably, if it is not there.
fn make(path: &PathBuf, parent: &Path) -> io::Result<()> {
    if !path.exists() {
        fs::create_dir(path)?;
    }
    // Also if it was there: who made it may not have come so far.
    File::open(parent)?.sync_all()
}

impl Engine {
    /// What votes are to be sealed with, if the data is encrypted. There may be one at a time.
    pub fn votes_cipher(&self) -> Result<Option<envelope::Cipher>, OpenError> {
        self.shared.ciphers.another("votes")
    }

    /// The same for reports of what was undone.
    pub fn undone_cipher(&self) -> Result<Option<envelope::Cipher>, OpenError> {
        self.shared.ciphers.another("undone")
    }
}

#[cfg(test)]
mod tests;
