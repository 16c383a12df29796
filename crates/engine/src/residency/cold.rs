//! `Cold`: what of one database in one shard is at rest only.
//!
//! ```text
//!   a key that is not in memory:   removed, and its row not yet  ─▶ absent      (`changes.rs`)
//!                                  looked for, and has no row    ─▶ absent      (`vacant`)
//!                                  else                          ─▶ a miss: it may have a row
//! ```
//! A database of a shard without a `Cold` is complete: what is not in memory is absent.
//!
//! *Invariant:* a key that is vacant has no row in force. It may get one only by being in memory first, and ceases to be vacant
//! when it is evicted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hashbrown::HashTable;

use crate::changes::Name;
use crate::limits::VACANT_MOST;

/// See the module.
pub(crate) struct Cold {
    /// Keys at rest that are not in memory.
    pub(crate) keys: u64,
    /// Those of them with a deadline.
    pub(crate) volatile: u64,
    /// Some may have a large value, with rows of its own.
    pub(crate) large: bool,
    /// Keys without a row, or with one that a removal is to take away.
    vacant: HashTable<Name>,
    _among: Among,
}

impl Cold {
    /// So many keys are at rest only; `large`: some of them may have rows of their own.
    pub(crate) fn new(keys: u64, volatile: u64, large: bool, all: &Arc<AtomicUsize>) -> Self {
        Self { keys, volatile, large, vacant: HashTable::new(), _among: Among::new(all) }
    }

    /// Notes that the key has no row. If that is known of many, it is forgotten of the others, unless somebody `holds` on to them.
    pub(crate) fn note_vacant(&mut self, order: u64, key: &[u8], holds: bool) {
        if self.vacant.len() >= VACANT_MOST && !holds {
            self.vacant = HashTable::new();
        }
        if !self.is_vacant(order, key) {
            self.vacant.insert_unique(order, (order, key.into()), |name| name.0);
        }
    }

    /// Whether it is known that the key has no row.
    pub(crate) fn is_vacant(&self, order: u64, key: &[u8]) -> bool {
        self.vacant.find(order, |name| name.0 == order && &name.1[..] == key).is_some()
    }

    /// The key is about to be evicted.
    pub(crate) fn forget_vacant(&mut self, order: u64, key: &[u8]) {
        if let Ok(found) = self.vacant.find_entry(order, |name| name.0 == order && &name.1[..] == key) {
            found.remove();
        }
    }

    /// A key that was here has come into memory, or gone.
    pub(crate) fn left(&mut self, has_deadline: bool) {
        self.keys = self.keys.saturating_sub(1);
        self.volatile = self.volatile.saturating_sub(u64::from(has_deadline));
    }

    /// A key has been evicted.
    pub(crate) fn came(&mut self, has_deadline: bool) {
        self.keys += 1;
        self.volatile += u64::from(has_deadline);
    }
}

/// Counts one while it lives.
struct Among(Arc<AtomicUsize>);

impl Among {
    fn new(all: &Arc<AtomicUsize>) -> Self {
        all.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(all))
    }
}

impl Drop for Among {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
