//! `Trail`: what a written value remembers beside its marks. Which rows must go, and, while an image is being written, how
//! far that is and what was changed ahead of it.
//!
//! *Invariant:* what is kept is what the elements were when the image began, each once, and none that is handed over.

use super::mark::Mark;
use std::collections::{BTreeMap, BTreeSet};

/// Names of rows that must go.
pub(in crate::value) trait Gone: Default {
    type Key: Ord;
    fn is_empty(&self) -> bool;
    fn add(&mut self, key: Self::Key);
}

impl<K: Ord> Gone for BTreeSet<K> {
    type Key = K;

    fn is_empty(&self) -> bool {
        self.is_empty()
    }

    fn add(&mut self, key: K) {
        self.insert(key);
    }
}

/// How far an image is, and what it still needs.
struct Image<K, V> {
    /// Rows from here on are to come; `None`: all are handed over.
    next: Option<K>,
    /// Elements as they were: they changed before the image came to them.
    kept: BTreeMap<K, V>,
}

/// See the module. Elements are called `K` and are `V`.
pub(in crate::value) struct Trail<K, V, G> {
    /// Rows whose elements went in this epoch.
    gone: G,
    /// Rows whose elements went in epochs before: of this image, and of images that were given up.
    before: Vec<G>,
    image: Option<Image<K, V>>,
}

impl<K, V, G: Default> Default for Trail<K, V, G> {
    fn default() -> Self {
        Self { gone: G::default(), before: Vec::new(), image: None }
    }
}

impl<K: Ord + Clone, V, G: Gone<Key = K>> Trail<K, V, G> {
    /// Begins an image with the row `first`.
    pub(in crate::value) fn freeze(&mut self, first: K) {
        let gone = std::mem::take(&mut self.gone);
        if !gone.is_empty() {
            self.before.push(gone);
        }
        self.image = Some(Image { next: Some(first), kept: BTreeMap::new() });
    }

    /// Ends the image; answers what is best freed without a lock. If it is not written, what it had to remove is for the
    /// next one.
    pub(in crate::value) fn end(&mut self, written: bool) -> Self {
        let before = if written { std::mem::take(&mut self.before) } else { Vec::new() };
        Self { gone: G::default(), before, image: self.image.take() }
    }

    /// The first row that is to come.
    pub(in crate::value) fn next(&self) -> Option<&K> {
        self.image.as_ref()?.next.as_ref()
    }

    pub(in crate::value) fn set_next(&mut self, next: Option<K>) {
        if let Some(image) = &mut self.image {
            image.next = next;
        }
    }

    /// The rows whose elements went in this epoch.
    pub(in crate::value) fn gone(&self) -> &G {
        &self.gone
    }

    /// The same, to add to.
    pub(in crate::value) fn gone_mut(&mut self) -> &mut G {
        &mut self.gone
    }

    /// What was kept, by key.
    pub(in crate::value) fn kept(&self) -> Option<&BTreeMap<K, V>> {
        self.image.as_ref().map(|image| &image.kept)
    }

    /// The rows that the image removes, in layers.
    pub(in crate::value) fn removed(&self) -> &[G] {
        &self.before
    }

    /// An element with this mark is about to change: keeps it if the image needs it.
    #[inline]
    pub(in crate::value) fn note_change(&mut self, mark: Mark, key: impl FnOnce() -> K, old: impl FnOnce() -> V) {
        if mark == Mark::Frozen {
            self.keep(key(), old);
        }
    }

    /// An element with this mark has gone, or is about to.
    #[inline]
    pub(in crate::value) fn note_removal(&mut self, mark: Mark, key: impl FnOnce() -> K, old: impl FnOnce() -> V) {
        if mark == Mark::New {
            return;
        }
        let key = key();
        if mark == Mark::Frozen {
            self.keep(key.clone(), old);
        }
        self.gone.add(key);
    }

    fn keep(&mut self, key: K, old: impl FnOnce() -> V) {
        if let Some(image) = &mut self.image
            && image.next.as_ref().is_some_and(|next| key >= *next)
        {
            image.kept.entry(key).or_insert_with(old);
        }
    }
}
