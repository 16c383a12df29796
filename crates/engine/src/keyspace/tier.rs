//! `Tier`: a keyspace's disk tier, and what holds its place while it is opened anew.
//!
//! Its bounds belong to the open store, so a change of them ends the store and opens it again. That takes as long as
//! the disk needs, and nobody waits for it: meanwhile nothing at rest is found, and the names of records that must not
//! be found again are kept, in memory and in a journal beside the records.
//!
//! ```text
//! journal := (length u32 LE ‖ name)*        a torn end is of names that nobody was told of
//! ```

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use blob::Store;
use parking_lot::Mutex;

/// The journal, in the directory of the store.
const JOURNAL: &str = "HIDDEN";

/// See the module.
pub(crate) enum Tier {
    /// There is none.
    None,
    /// It is there.
    Open(Store),
    /// It is being opened anew.
    Away(Arc<Away>),
}

impl Tier {
    /// The store, if it is there.
    pub(crate) fn store(&self) -> Option<&Store> {
        match self {
            Self::Open(store) => Some(store),
            Self::None | Self::Away(_) => None,
        }
    }

    /// Leaves nothing, and answers the store that was there.
    pub(crate) fn take(&mut self) -> Option<Store> {
        match std::mem::replace(self, Self::None) {
            Self::Open(store) => Some(store),
            Self::None | Self::Away(_) => None,
        }
    }
}

impl From<Option<Store>> for Tier {
    fn from(store: Option<Store>) -> Self {
        store.map_or(Self::None, Self::Open)
    }
}

/// What is kept while a store is opened anew.
pub(crate) struct Away {
    path: PathBuf,
    file: Mutex<File>,
    /// Names must survive a power cut.
    syncs: bool,
    names: Mutex<HashSet<Vec<u8>>>,
    /// Bytes that the files of the store took when it was ended.
    pub(crate) disk_bytes: u64,
}

impl Away {
    /// Begins a journal in the directory of the store.
    pub(crate) fn begin(dir: &Path, syncs: bool, disk_bytes: u64) -> io::Result<Self> {
        let path = dir.join(JOURNAL);
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&path)?;
        if syncs {
            file.sync_all()?;
            File::open(dir)?.sync_all()?;
        }
        Ok(Self { path, file: Mutex::new(file), syncs, names: Mutex::default(), disk_bytes })
    }

    /// A record with this name must not be found again.
    pub(crate) fn hide(&self, name: &[u8]) {
        self.names.lock().insert(name.to_vec());
    }

    /// The names that were hidden since this was last asked.
    pub(crate) fn take_names(&self) -> HashSet<Vec<u8>> {
        std::mem::take(&mut *self.names.lock())
    }

    /// How many they are.
    pub(crate) fn len(&self) -> usize {
        self.names.lock().len()
    }

    /// Writes names down: from then on they stay hidden whatever happens to the process.
    pub(crate) fn write(&self, names: &[Vec<u8>]) -> io::Result<()> {
        let mut bytes = Vec::new();
        for name in names {
            let len = u32::try_from(name.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
            bytes.extend_from_slice(&len.to_le_bytes());
            bytes.extend_from_slice(name);
        }
        let mut file = self.file.lock();
        file.write_all(&bytes)?;
        if self.syncs { file.sync_data() } else { Ok(()) }
    }

    /// Ends the journal: the store has all that it says.
    pub(crate) fn end(&self) -> io::Result<()> {
        std::fs::remove_file(&self.path)
    }
}

/// The names in the journal that a stop in the middle has left; none if there is no journal.
pub(crate) fn read_journal(dir: &Path) -> io::Result<Vec<Vec<u8>>> {
    let bytes = match std::fs::read(dir.join(JOURNAL)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read?,
    };
    let (mut names, mut rest) = (Vec::new(), &bytes[..]);
    while let Some((len, after)) = rest.split_first_chunk() {
        let Some((name, after)) = after.split_at_checked(u32::from_le_bytes(*len) as usize) else { break };
        names.extend((!name.is_empty()).then(|| name.to_vec()));
        rest = after;
    }
    Ok(names)
}

/// Ends such a journal.
pub(crate) fn remove_journal(dir: &Path) -> io::Result<()> {
    match std::fs::remove_file(dir.join(JOURNAL)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_is_read_up_to_its_torn_end() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read_journal(dir.path()).unwrap().is_empty());
        let away = Away::begin(dir.path(), true, 0).unwrap();
        let names: Vec<Vec<u8>> = vec![b"one".to_vec(), vec![0; 300], b"three".to_vec()];
        away.write(&names[..1]).unwrap();
        away.write(&names[1..]).unwrap();
        assert_eq!(read_journal(dir.path()).unwrap(), names);
        let path = dir.path().join(JOURNAL);
        let whole = std::fs::read(&path).unwrap();
        for len in 0..whole.len() {
            std::fs::write(&path, &whole[..len]).unwrap();
            let found = read_journal(dir.path()).unwrap();
            assert!(found.len() < names.len() && found == names[..found.len()], "{len} bytes");
        }
        away.end().unwrap();
        remove_journal(dir.path()).unwrap();
        assert!(read_journal(dir.path()).unwrap().is_empty());
    }
}
