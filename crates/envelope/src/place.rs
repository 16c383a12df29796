//! The seam to the file system: what the registry needs of a directory, and of the system's random generator.

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::limits::MAX_REGISTRY_BYTES;

const LOCK: &str = "data-keys.lock";

/// A directory, and randomness.
pub trait Place: Send + Sync + Debug {
    /// All bytes of a file, `None` if there is none.
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>>;
    /// Makes a file of these bytes, in the place of one of the same name. Not durable.
    fn create(&self, name: &str, bytes: &[u8]) -> io::Result<()>;
    /// Makes the bytes of a file durable.
    fn sync(&self, name: &str) -> io::Result<()>;
    /// Gives a file another name, in the place of what had it. Durable only after `sync_dir`.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Makes all names durable.
    fn sync_dir(&self) -> io::Result<()>;
    /// Takes the directory for this holder alone until the guard is dropped. `WouldBlock` if somebody else has it.
    fn lock(&self) -> io::Result<Box<dyn Send + Sync>>;
    /// Bytes that nobody can foresee.
    fn random(&self, out: &mut [u8]) -> io::Result<()>;
    /// How a person finds this file.
    fn describe(&self, name: &str) -> String;
}

/// A directory of the operating system.
#[derive(Clone, Debug)]
pub struct Directory {
    path: PathBuf,
}

impl Directory {
    /// The directory at `path`, which must exist.
    #[must_use]
    pub fn at(path: impl AsRef<Path>) -> Self {
        Self { path: path.as_ref().to_owned() }
    }
}

impl Place for Directory {
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(self.path.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let mut bytes = Vec::new();
        // One byte more than it may have: then it is refused.
        file.take(MAX_REGISTRY_BYTES as u64 + 1).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    fn create(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let path = self.path.join(name);
        // A new file, never the old one written over: pages that a failed sync has marked clean are not trusted.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(bytes)
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        File::open(self.path.join(name))?.sync_all()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn sync_dir(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    fn lock(&self) -> io::Result<Box<dyn Send + Sync>> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(self.path.join(LOCK))?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(file)),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn random(&self, out: &mut [u8]) -> io::Result<()> {
        aws_lc_rs::rand::fill(out).map_err(|_| io::Error::other("the random generator has failed"))
    }

    fn describe(&self, name: &str) -> String {
        self.path.join(name).display().to_string()
    }
}
