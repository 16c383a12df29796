//! A copy takes the place of what the data directory has: prepared while the node runs, carried out before the next start opens it.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use engine::Engine;

use crate::error::Error;

/// Where a copy is made, in the data directory.
pub(crate) const SNAPSHOT: &str = "snapshot";

/// The file that says that it is whole and is to be used.
const READY: &str = "snapshot-ready";

/// What of the old data would be wrong beside the new: marks in a log that goes.
const GONE: [&str; 1] = ["backups"];

/// Has the copy, which is whole, used by the next start.
pub(crate) fn prepare(dir: &Path, engine: &Engine) -> io::Result<()> {
    engine.name_copy(&dir.join(SNAPSHOT))?;
    File::create(dir.join(READY))?.sync_all()?;
    File::open(dir)?.sync_all()
}

/// Puts a copy that was made ready in the place of what is in the directory. A crash meanwhile is made good by the next call.
///
/// # Errors
/// What the system says.
pub fn adopt(dir: &Path) -> Result<(), Error> {
    let carry_out = || -> io::Result<bool> {
        if !dir.join(READY).exists() {
            return Ok(false);
        }
        for name in GONE {
            remove(&dir.join(name))?;
        }
        let copy = dir.join(SNAPSHOT);
        if copy.exists() {
            for entry in fs::read_dir(&copy)? {
                let entry = entry?;
                let place = dir.join(entry.file_name());
                remove(&place)?;
                fs::rename(entry.path(), place)?;
            }
            File::open(dir)?.sync_all()?;
            fs::remove_dir(&copy)?;
        }
        fs::remove_file(dir.join(READY))?;
        File::open(dir)?.sync_all()?;
        Ok(true)
    };
    match carry_out() {
        Ok(true) => {
            tracing::info!("a copy of another node's state has taken the place of this node's");
            Ok(())
        }
        Ok(false) => Ok(()),
        Err(source) => Err(Error::Io { path: PathBuf::from(dir), source }),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
