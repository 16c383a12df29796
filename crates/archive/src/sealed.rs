//! Sealing and storage joined: a sealed object under a name, which is bound to it.

use std::io::{self, Read};

use crate::seal::{self, OpenReader, Opener, Sealed, Sealer};
use crate::storage::{self, Name, Object, Storage};

/// What goes wrong with sealed objects in a storage: of the one or of the other.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// Sealing or opening failed; with the object's name.
    #[error("\"{name}\": {cause}")]
    Seal {
        /// The name.
        name: String,
        /// What failed.
        cause: seal::Error,
    },
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

impl Error {
    fn seal(name: &Name, cause: seal::Error) -> Self {
        // What the storage said through a reader is the storage's.
        match cause {
            seal::Error::Io(inner) => match inner.get_ref().and_then(|e| e.downcast_ref::<storage::Error>()) {
                Some(error) => Self::Storage(error.clone()),
                None => Self::Seal { name: name.to_string(), cause: seal::Error::Io(inner) },
            },
            cause => Self::Seal { name: name.to_string(), cause },
        }
    }

    /// The error behind a failed read of what [`open_sealed`] gave.
    #[must_use]
    pub fn from_io(name: &Name, error: io::Error) -> Self {
        Self::seal(name, seal::Error::from_io(error))
    }
}

/// An object that was read to its end and is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Its bytes, opened and sealed.
    pub sums: Sealed,
}

/// Seals what a reader gives and puts it under `name`, in place of what was there. Memory is bounded. If the reader
/// fails nothing is put.
///
/// # Errors
/// The reader's error is [`storage::Error::Source`]; what sealing and storing say.
pub fn store_sealed(storage: &dyn Storage, sealer: &Sealer, name: &Name, from: &mut dyn Read) -> Result<Sealed, Error> {
    let mut reader = sealer.reader(name.as_str(), from).map_err(|e| Error::seal(name, e))?;
    storage.put_stream(name, &mut reader).map_err(|error| match error {
        storage::Error::Source(cause) => source(name, &cause),
        error => error.into(),
    })?;
    Ok(reader.sums())
}

/// The reader below the sealing failed, or the sealing itself.
fn source(name: &Name, cause: &std::sync::Arc<io::Error>) -> Error {
    match cause.get_ref().and_then(|e| e.downcast_ref::<seal::Error>()) {
        Some(seal::Error::Io(inner)) => storage::Error::Source(inner.clone()).into(),
        Some(error) => Error::seal(name, error.clone()),
        None => storage::Error::Source(cause.clone()).into(),
    }
}

/// Opens a sealed object. What it gives is right from its first byte, but that it is whole is known only at its end:
/// see [`OpenReader`]. Errors of reading carry an error of this crate; [`Error::from_io`] takes it out.
///
/// # Errors
/// What the storage says, and the object's header.
pub fn open_sealed(storage: &dyn Storage, opener: &Opener, name: &Name) -> Result<OpenReader<Object>, Error> {
    let object = storage.get(name, 0)?;
    opener.reader(name.as_str(), object).map_err(|e| Error::seal(name, e))
}

/// Reads a sealed object to its end and keeps nothing of it.
///
/// # Errors
/// Whatever opening and reading it would say.
pub fn verify_sealed(storage: &dyn Storage, opener: &Opener, name: &Name) -> Result<Verified, Error> {
    let mut reader = open_sealed(storage, opener, name)?;
    io::copy(&mut reader, &mut io::sink()).map_err(|e| Error::from_io(name, e))?;
    Ok(Verified { sums: reader.sums() })
}
