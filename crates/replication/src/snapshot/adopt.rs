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

/// What of the old data would be wrong beside the new: marks in a log that goes, and what is noted of rows that go.
const GONE: [&str; 2] = ["backups", "copied"];

/// What such a file says if nothing of the data is to stay.
const NOTHING: &[u8] = b"nothing";

/// What goes then beside that: the data. Reports stay, and what the group never got; so do the keys they are sealed with.
const DATA: [&str; 3] = ["log", "rows", "votes"];

/// What of the old keys goes on: files beside the copy are sealed with these.
const KEPT_KEYS: [&str; 2] = ["votes", "undone"];

/// Has the copy, which is whole, used by the next start.
pub(crate) fn prepare(dir: &Path, engine: &Engine) -> io::Result<()> {
    engine.name_copy(&dir.join(SNAPSHOT))?;
    File::create(dir.join(READY))?.sync_all()?;
    File::open(dir)?.sync_all()
}

/// Has the next start begin with nothing but who it is and what `membership` says.
pub(crate) fn prepare_nothing(dir: &Path, engine: &Engine, membership: &[u8]) -> io::Result<()> {
    engine.make_nothing(&dir.join(SNAPSHOT), membership)?;
    fs::write(dir.join(READY), NOTHING)?;
    File::open(dir.join(READY))?.sync_all()?;
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
        let has_nothing = fs::read(dir.join(READY))? == NOTHING;
        let mut gone = DATA.into_iter().filter(|_| has_nothing).chain(GONE);
        gone.try_for_each(|name| remove(&dir.join(name)))?;
        let copy = dir.join(SNAPSHOT);
        if copy.exists() {
            keep_keys(&dir.join("keys"), &copy.join("keys"))?;
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

fn keep_keys(old: &Path, new: &Path) -> io::Result<()> {
    for name in KEPT_KEYS {
        if new.exists() && old.join(name).exists() && !new.join(name).exists() {
            fs::rename(old.join(name), new.join(name))?;
        }
    }
    Ok(())
}

fn remove(path: &Path) -> io::Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_of_what_stays_beside_a_copy_stay() {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, bytes: &[u8]| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        };
        write("keys/log/data-keys", b"old log");
        write("keys/votes/data-keys", b"old votes");
        write("keys/undone/data-keys", b"old undone");
        write("snapshot/keys/log/data-keys", b"new log");
        write(READY, b"");
        adopt(dir.path()).unwrap();
        let read = |name: &str| fs::read(dir.path().join("keys").join(name).join("data-keys")).unwrap();
        let found: Vec<Vec<u8>> = ["log", "votes", "undone"].into_iter().map(read).collect();
        assert_eq!(found, [&b"new log"[..], b"old votes", b"old undone"]);
    }
}
