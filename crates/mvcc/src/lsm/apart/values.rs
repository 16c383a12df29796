//! The files of values of a store.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fjall::{Keyspace, Slice};

use super::Reference;
use super::file::{ValueFile, remove};
use crate::error::{Error, Result};
use crate::layout::{self, Fields};

/// Where the files are, within the directory of the store.
pub(super) const VALUES: &str = "values";

/// The files in force at one moment, by number.
#[derive(Clone, Debug, Default)]
pub(in crate::lsm) struct FileMap(BTreeMap<u64, Arc<ValueFile>>);

impl FileMap {
    pub(in crate::lsm) fn holds(&self, reference: &Reference) -> bool {
        self.0.contains_key(&reference.file)
    }

    /// The bytes of a value, as they are kept.
    pub(in crate::lsm) fn read(&self, reference: &Reference) -> Result<Slice> {
        let missing = || Error::corrupt(format!("file {} of values", reference.file), "it is not in force");
        self.0.get(&reference.file).ok_or_else(missing)?.read(reference)
    }

    pub(in crate::lsm) fn bytes(&self) -> u64 {
        self.0.values().map(|file| file.bytes).sum()
    }

    pub(in crate::lsm) fn stale_bytes(&self) -> u64 {
        self.0.values().map(|file| file.stale()).sum()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<ValueFile>> {
        self.0.values()
    }

    /// The files from number `from` on, and then those before it.
    pub(super) fn around(&self, from: u64) -> impl Iterator<Item = &Arc<ValueFile>> {
        self.0.range(from..).chain(self.0.range(..from)).map(|(_, file)| file)
    }

    pub(in crate::lsm) fn with(&self, files: &[Arc<ValueFile>]) -> Self {
        let mut map = self.0.clone();
        map.extend(files.iter().map(|file| (file.id, Arc::clone(file))));
        Self(map)
    }

    pub(super) fn without(&self, files: &[Arc<ValueFile>]) -> Self {
        let mut map = self.0.clone();
        files.iter().for_each(|file| drop(map.remove(&file.id)));
        Self(map)
    }

    /// None of these files is in force any more; each goes with its last reader.
    pub(in crate::lsm) fn give_up(&self) {
        self.iter().for_each(|file| file.give_up());
    }
}

/// Where files of values are, and what the next is called.
#[derive(Debug)]
pub(in crate::lsm) struct ValueFiles {
    dir: PathBuf,
    next: AtomicU64,
    /// Bytes after which the next is begun.
    pub(super) full: u64,
}

impl ValueFiles {
    pub(super) fn next_id(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn path(&self, id: u64) -> PathBuf {
        self.dir.join(id.to_string())
    }

    pub(super) fn sync_names(&self) -> Result<()> {
        File::open(&self.dir).and_then(|dir| dir.sync_all()).map_err(fail)
    }
}

/// Finds the files that are in force, each of which must be there, and removes all others.
pub(in crate::lsm) fn load(store: &Path, rows: &Keyspace, full: u64) -> Result<(ValueFiles, FileMap)> {
    let dir = store.join(VALUES);
    if !dir.exists() {
        fs::create_dir(&dir).and_then(|()| File::open(store)?.sync_all()).map_err(fail)?;
    }
    let mut files = ValueFiles { dir, next: AtomicU64::new(0), full };
    let mut map = BTreeMap::new();
    for guard in rows.prefix([layout::VALUES]) {
        let (key, row) = guard.into_inner().map_err(|error| Error::tree("reading the books", error))?;
        let number = |bytes| -> Result<u64> {
            let mut fields = Fields::new("a file of values", bytes);
            let number = fields.u64()?;
            fields.done().map(|()| number)
        };
        let (id, bytes) = (number(&key[1..])?, number(&row)?);
        let file = ValueFile::new(id, files.path(id), bytes);
        match fs::metadata(&file.path) {
            Ok(found) if found.len() == bytes => drop(map.insert(id, Arc::new(file))),
            Ok(found) => return Err(file.corrupt(found.len().min(bytes), "it is not as long as it was written")),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(file.corrupt(0, "it is missing")),
            Err(error) => return Err(fail(error)),
        }
    }
    let mut last = map.keys().next_back().copied();
    for entry in fs::read_dir(&files.dir).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        // What has another name is not ours.
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<u64>().ok()) else { continue };
        last = last.max(Some(id));
        if !map.contains_key(&id) {
            remove(&entry.path());
        }
    }
    *files.next.get_mut() = last.map_or(0, |last| last + 1);
    Ok((files, FileMap(map)))
}

fn fail(error: std::io::Error) -> Error {
    Error::io("looking for files of values", error)
}
