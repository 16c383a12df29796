//! `AwayNames`: how many elements with names are away, and names of which it is known that there is no such element.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::VACANT_MOST;

/// See the module.
pub(in crate::value) struct AwayNames {
    count: usize,
    vacant: HashSet<Box<[u8]>>,
    _among: Among,
}

impl AwayNames {
    /// So many are away, of a value that counts among `all` that have such elements.
    pub(in crate::value) fn new(count: usize, all: &Arc<AtomicUsize>) -> Self {
        Self { count, vacant: HashSet::new(), _among: Among::new(all) }
    }

    pub(in crate::value) fn count(&self) -> usize {
        self.count
    }

    /// Whether an element that is not in memory may be away.
    pub(in crate::value) fn is_unknown(&self, name: &[u8]) -> bool {
        self.count > 0 && !self.vacant.contains(name)
    }

    /// An element has come that was away.
    pub(in crate::value) fn arrived(&mut self) {
        self.count -= 1;
    }

    /// An element of this name has come into being.
    pub(in crate::value) fn came(&mut self, name: &[u8]) {
        if !self.vacant.is_empty() {
            self.vacant.remove(name);
        }
    }

    /// An element of this name has gone. Its row is still there: without this whoever looks for it behind the change, in the
    /// same transaction, would miss it, and find it in memory again as soon as all was taken back.
    pub(in crate::value) fn went(&mut self, name: &[u8]) {
        self.vacant.insert(name.into());
    }

    /// Nobody is in a transaction: of many names it need not be known.
    pub(in crate::value) fn forget_many(&mut self) {
        if self.vacant.len() >= VACANT_MOST {
            self.vacant = HashSet::new();
        }
    }

    /// So many more are away.
    pub(in crate::value) fn left(&mut self, count: usize) {
        self.count += count;
    }

    /// There is no such element. If that is known of many, it is forgotten of the others, unless somebody `holds` on to them.
    pub(in crate::value) fn note_vacant(&mut self, name: &[u8], holds: bool) {
        if self.vacant.len() >= VACANT_MOST && !holds {
            self.vacant.clear();
        }
        self.vacant.insert(name.into());
    }

    pub(in crate::value) fn memory_bytes(&self) -> usize {
        self.vacant.capacity() * 48
    }
}

/// Counts a value among all that have elements away.
pub(in crate::value) struct Among(Arc<AtomicUsize>);

impl Among {
    pub(in crate::value) fn new(all: &Arc<AtomicUsize>) -> Self {
        all.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(all))
    }
}

impl Drop for Among {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
