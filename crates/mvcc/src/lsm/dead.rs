//! Rows that their owner has declared dead, many at once, and that nobody has written a deletion for.
//!
//! ```text
//!   the owner makes its mark durable ─▶ is_dead() ─▶ every read passes over them, at once
//!                                                 ─▶ compactions of the tree drop them as they come past
//!                                                 ─▶ compact_all() drops the rest ─▶ may_forget() ─▶ the mark can go
//! ```

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use fjall::{AbstractTree, Keyspace};

use super::LsmStore;
use crate::error::{Error, Result};
use crate::layout;
use crate::timestamp::Timestamp;

/// Who says which rows are dead.
///
/// For every operation but an image that began before, a dead row is absent, collected or not. So what it answers must never go back: once a key is
/// dead at a commit, it is so for ever, and at all earlier commits as well. An owner may forget this once
/// [`MajorCompaction::may_forget`] says so; it must not write rows that are dead when they are written.
///
/// It is asked for each row that is read or compacted, from several threads, also while locks are held: it must be quick
/// and must not call the store.
pub trait DeadRows: fmt::Debug + Send + Sync {
    /// Whether the version of `key` that was committed at `commit` is dead.
    fn is_dead(&self, key: &[u8], commit: Timestamp) -> bool;

    /// What it says now, for good: for an image, which must not miss what dies while it is written.
    fn as_it_is(&self) -> Arc<dyn DeadRows>;
}

/// Whether the row of the tree with this key, and with a version of this commit, is dead.
pub(super) fn is_dead_row(dead: Option<&dyn DeadRows>, row_key: &[u8], commit: Timestamp) -> bool {
    let Some(dead) = dead else { return false };
    match row_key.split_first() {
        Some((&layout::CURRENT, key)) => dead.is_dead(key, commit),
        // What cannot be read is left for a reader to complain about.
        Some((&layout::HISTORY, _)) => layout::parse_history(row_key).is_ok_and(|(key, _)| dead.is_dead(&key, commit)),
        _ => false,
    }
}

/// A major compaction that has come to its end.
#[derive(Debug)]
pub struct MajorCompaction {
    readers: Vec<Weak<()>>,
}

impl MajorCompaction {
    /// Whether the owner may forget what was dead before the compaction began: no file that is in force holds any of
    /// it, and no reader, image or scan is left that began before the end of the compaction and looks at older files.
    pub fn may_forget(&self) -> bool {
        self.readers.iter().all(|reader| reader.strong_count() == 0)
    }
}

impl LsmStore {
    /// Rewrites all files of the tree, without what is dead or garbage, and gives the disk space back. Writers and
    /// readers go on meanwhile, but for a run under way, which it waits for: it must not be called by a thread that
    /// holds a [`RunWriter`](super::RunWriter).
    pub fn compact_all(&self) -> Result<MajorCompaction> {
        // Everything written before lies behind this row, in memory or in files.
        self.rewrite_state()?;
        let rows = self.shared.read().rows.clone();
        rows.rotate_memtable_and_wait().map_err(fail)?;
        while rows.sealed_memtable_count() > 0 {
            // The tree is writing it to a file already, and tells nobody when it is done.
            std::thread::sleep(Duration::from_millis(1));
        }
        replace_files(&rows)?;
        self.drop_replaced_files(&rows)?;
        let mut old = self.old_readers.lock();
        let readers = std::mem::take(&mut self.shared.write().readers);
        old.retain(|reader| reader.strong_count() > 0);
        old.push(Arc::downgrade(&readers));
        Ok(MajorCompaction { readers: old.clone() })
    }

    /// The tree removes files that it has replaced only when it moves on.
    pub(super) fn drop_replaced_files(&self, rows: &Keyspace) -> Result<()> {
        self.rewrite_state()?;
        rows.rotate_memtable_and_wait().map_err(fail)
    }
}

/// Rewrites every file that there is now. The tree may decline a compaction without a word, so its files are looked at.
fn replace_files(rows: &Keyspace) -> Result<()> {
    const ATTEMPTS: usize = 3;
    let files = || rows.tree.current_version().iter_tables().map(|table| table.id()).collect::<Vec<_>>();
    let before = files();
    for _ in 0..ATTEMPTS {
        rows.major_compact().map_err(fail)?;
        if !files().iter().any(|file| before.contains(file)) {
            return Ok(());
        }
    }
    let declined = std::io::Error::other("the tree has declined to rewrite its files; try again later");
    Err(Error::io("compacting everything", declined))
}

fn fail(error: fjall::Error) -> Error {
    Error::tree("compacting everything", error)
}
