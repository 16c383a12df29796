//! Which rows nobody needs any more, though nobody has written a deletion for each.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mvcc::wide::{Incarnation, MetaKey};
use mvcc::{DeadRows, Timestamp};
use parking_lot::RwLock;

use crate::held::db_of;
use crate::limits::DATABASES_MAX;

/// What the books of the last run say of that.
#[derive(Debug)]
pub(crate) struct Dead {
    /// By physical database: what was committed up to then.
    emptied: Box<[AtomicU64]>,
    incarnations: RwLock<HashSet<u64>>,
}

impl Default for Dead {
    fn default() -> Self {
        Self { emptied: (0..DATABASES_MAX).map(|_| AtomicU64::new(0)).collect(), incarnations: RwLock::default() }
    }
}

impl Dead {
    /// What a database had up to `commit` is dead.
    pub(crate) fn empty(&self, db: u8, commit: Timestamp) {
        self.emptied[usize::from(db)].fetch_max(commit.0, Ordering::Release);
    }

    /// Of what the database had up to then no row is left.
    pub(crate) fn sweep(&self, db: u8) {
        self.emptied[usize::from(db)].store(0, Ordering::Release);
    }

    /// The databases of which there may be dead rows, because they were emptied.
    pub(crate) fn emptied(&self) -> Vec<u8> {
        (0..=u8::MAX).zip(&self.emptied).filter(|(_, at)| at.load(Ordering::Acquire) > 0).map(|(db, _)| db).collect()
    }

    /// These large values are dead.
    pub(crate) fn bury(&self, incarnations: impl IntoIterator<Item = u64>) {
        self.incarnations.write().extend(incarnations);
    }

    /// Of these no row is left.
    pub(crate) fn forget<'i>(&self, incarnations: impl IntoIterator<Item = &'i u64>) {
        let mut dead = self.incarnations.write();
        incarnations.into_iter().for_each(|incarnation| {
            dead.remove(incarnation);
        });
    }

    /// All dead large values.
    pub(crate) fn incarnations(&self) -> Vec<u64> {
        self.incarnations.read().iter().copied().collect()
    }

    fn is_emptied(&self, db: u8, commit: Timestamp) -> bool {
        commit.0 <= self.emptied[usize::from(db)].load(Ordering::Acquire)
    }
}

impl DeadRows for Dead {
    fn is_dead(&self, key: &[u8], commit: Timestamp) -> bool {
        if let Some((_, db)) = MetaKey::database(key) {
            return self.is_emptied(db, commit);
        }
        let Some(Incarnation(incarnation)) = Incarnation::of_row(key) else { return false };
        self.is_emptied(db_of(incarnation), commit) || self.incarnations.read().contains(&incarnation)
    }

    fn as_it_is(&self) -> Arc<dyn DeadRows> {
        let emptied = self.emptied.iter().map(|at| AtomicU64::new(at.load(Ordering::Acquire))).collect();
        Arc::new(Self { emptied, incarnations: RwLock::new(self.incarnations.read().clone()) })
    }
}
