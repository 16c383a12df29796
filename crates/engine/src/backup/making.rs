//! A data directory made of the rows of a base and the records behind them.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use effect::{HashSeed, Hlc, Origin};
use mvcc::Store;
use wal::{Kind, Log, Position};

use crate::check::{CheckError, inspect};
use crate::checkpoint::{ROWS, Rows, sync_all};
use crate::ciphers::Ciphers;
use crate::engine::{Engine, LOG, Options};
use crate::error::{OpenError, Refusal};
use crate::identity::Identity;
use crate::limits::DATABASES_MAX;

/// A data directory on its way. If anything fails it is of no use.
#[derive(Debug)]
pub struct Making {
    dir: PathBuf,
    identity: Identity,
    log: Log<()>,
    _ciphers: CiphersHeld,
}

/// The registries of data keys stay this one's until the directory is whole.
struct CiphersHeld(#[expect(dead_code, reason = "what it locks counts")] Ciphers);

impl std::fmt::Debug for CiphersHeld {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ciphers")
    }
}

/// Whose data it is, if it was a group's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    /// A node's of its own: what it has is all there is.
    Own,
    /// A member's: effects will come that have not observed what is recent in it.
    Member,
    /// That of a member that takes the place of what it was: it is to write as nobody before the others have told which of its lives they
    /// know, which `membership` must say.
    Returning {
        /// As whom it wrote last, as far as is known.
        origin: Origin,
        /// What whoever talks to the others will find noted ([`Engine::membership`]).
        membership: Vec<u8>,
    },
}

/// What was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Made {
    /// Keys of all databases, expired ones included that have not been reclaimed.
    pub keys: u64,
    /// Who the directory is now.
    pub origin: Origin,
}

impl Making {
    /// Begins in `dir`, which must exist and be empty, with an image of rows behind which the log goes on at `from`. The
    /// directory is a node of its own: what it was made of may live on elsewhere, under the next incarnations of its node.
    ///
    /// # Errors
    /// What the image says, and the directory.
    pub fn begin(
        dir: &Path,
        seed: HashSeed,
        from: Position,
        image: &mut dyn Read,
        options: &Options,
    ) -> Result<Self, OpenError> {
        let identity = Identity { seed, ..Identity::mint(options.entropy) };
        let ciphers = Ciphers::open(dir, options.keyring.as_ref())?;
        let path = dir.join(ROWS);
        let rows = Rows::open(&path, ciphers.rows.clone(), options.large_value_bytes)
            .map_err(|source| OpenError::of_rows(dir, &path, source))?;
        rows.store.restore(image).map_err(|source| OpenError::of_rows(dir, &path, source))?;
        drop(rows);
        let log = dir.join(LOG);
        wal::begin_at(&log, from)?;
        let log_options = wal::Options { cipher: ciphers.log.clone(), ..options.log.clone() };
        let (log, _) = Log::open(&log, log_options, ()).map_err(|error| OpenError::of_log(dir, error))?;
        Ok(Self { dir: dir.into(), identity, log, _ciphers: CiphersHeld(ciphers) })
    }

    /// Adds the next record.
    ///
    /// # Errors
    /// The log's.
    pub fn append(&self, kind: Kind, payload: &[u8]) -> Result<(), OpenError> {
        let (position, is_full) = {
            let mut log = self.log.lock();
            let position = log.append(kind, &[payload])?;
            (position, log.wants_flush())
        };
        if is_full {
            self.log.write_up_to(position)?;
        }
        Ok(())
    }

    /// Opens it once, as a server would, so that all of it has been read, and stops cleanly. `last` is the latest timestamp
    /// that was given in what it holds. `options` are those that it was begun with.
    ///
    /// # Errors
    /// It is not what a server can start on.
    pub fn finish(self, whose: Whose, last: Hlc, options: Options) -> Result<Made, MakingError> {
        let Self { dir, identity, log, _ciphers } = self;
        log.close().map_err(OpenError::Log)?;
        drop(_ciphers);
        let io = |source| MakingError::Open(OpenError::Io { path: dir.clone(), source });
        Identity { ceiling: last, ..identity }.save(&dir).map_err(io)?;
        let keyring = options.keyring.clone();
        let engine = Engine::open(&dir, Options { fills: false, ..options })?;
        let keys = (0..DATABASES_MAX).map(|db| engine.key_counts(db as u8).keys).sum();
        let origin = engine.origin();
        if whose == Whose::Own {
            engine.set_replicating(false).map_err(MakingError::Close)?;
        }
        if let Whose::Returning { membership, .. } = &whose {
            engine.set_membership(membership).map_err(io)?;
        }
        engine.close().map_err(MakingError::Close)?;
        let origin = match whose {
            Whose::Returning { origin, .. } => {
                name(&dir, origin, Hlc(0)).map_err(io)?;
                origin
            }
            Whose::Own | Whose::Member => origin,
        };
        // A start reads hardly any row.
        if let Some(fault) = inspect(&dir, keyring.as_ref())?.faults.first() {
            return Err(MakingError::Damaged(fault.to_string()));
        }
        sync_all(&dir).and_then(|()| File::open(&dir)?.sync_all()).map_err(io)?;
        Ok(Made { keys, origin })
    }
}

/// Has a data directory, of which nothing is open, write as `origin` from now on, above `ceiling`.
pub(super) fn name(dir: &Path, origin: Origin, ceiling: Hlc) -> std::io::Result<()> {
    let found = Identity::load(dir).map_err(std::io::Error::other)?;
    let found = found.ok_or_else(|| std::io::Error::other("there is no identity"))?;
    Identity { origin, ceiling: found.ceiling.max(ceiling), ..found }.save(dir)
}

/// Why a data directory could not be finished.
#[derive(Debug, thiserror::Error)]
pub enum MakingError {
    /// Something in it is not as it should be.
    #[error("{0}")]
    Damaged(String),
    /// It could not be looked at.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// It cannot be written, or not be opened again.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It could not be made durable.
    #[error(transparent)]
    Close(Refusal),
}
