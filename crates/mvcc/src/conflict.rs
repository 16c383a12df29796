//! How often transactions conflicted, by what they did and what kind of key it was.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::class::KeyClass;
use crate::error::{Conflict, ConflictKind, Error};
use crate::timestamp::Timestamp;

const KINDS: usize = ConflictKind::ALL.len();

/// The counters of a store. Each refused transaction counts once.
#[derive(Debug, Default)]
pub(crate) struct Counters([[AtomicU64; KeyClass::COUNT]; KINDS]);

impl Counters {
    /// Counts a conflict and makes the error of it.
    pub(crate) fn refuse(&self, kind: ConflictKind, key: &[u8], latest: Timestamp, start: Timestamp) -> Error {
        self.0[kind as usize][KeyClass::of(key).index()].fetch_add(1, Ordering::Relaxed);
        Error::Conflict(Box::new(Conflict { kind, key: key.to_vec(), latest, start }))
    }

    pub(crate) fn counts(&self) -> ConflictCounts {
        ConflictCounts(std::array::from_fn(|kind| {
            std::array::from_fn(|class| self.0[kind][class].load(Ordering::Relaxed))
        }))
    }
}

/// A copy of a store's conflict counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConflictCounts([[u64; KeyClass::COUNT]; KINDS]);

impl ConflictCounts {
    /// How many transactions were refused for `kind` on a key of `class`.
    pub fn get(&self, kind: ConflictKind, class: KeyClass) -> u64 {
        self.0[kind as usize][class.index()]
    }

    /// All counters, also those that are zero.
    pub fn iter(&self) -> impl Iterator<Item = (ConflictKind, KeyClass, u64)> + '_ {
        ConflictKind::ALL
            .into_iter()
            .flat_map(move |kind| KeyClass::all().map(move |class| (kind, class, self.get(kind, class))))
    }
}

/// The label of a counter in metrics: `kind|class`.
pub fn conflict_label(kind: ConflictKind, class: KeyClass) -> String {
    format!("{}|{}", kind.name(), class.name())
}

/// The counter that a label names.
pub fn parse_conflict_label(label: &str) -> Option<(ConflictKind, KeyClass)> {
    let (kind, class) = label.split_once('|')?;
    let kind = ConflictKind::ALL.into_iter().find(|known| known.name() == kind)?;
    let class = KeyClass::all().find(|known| known.name() == class)?;
    Some((kind, class))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_counter_has_a_label_of_its_own() {
        let mut labels = HashSet::new();
        for (kind, class, count) in ConflictCounts::default().iter() {
            let label = conflict_label(kind, class);
            assert_eq!(parse_conflict_label(&label), Some((kind, class)));
            assert_eq!(count, 0);
            assert!(labels.insert(label));
        }
        assert_eq!(labels.len(), KINDS * KeyClass::COUNT);
    }

    #[test]
    fn labels_that_no_counter_has_are_refused() {
        for label in ["", "write", "write|", "|meta", "write|meta|x", "Write|meta"] {
            assert_eq!(parse_conflict_label(label), None, "{label}");
        }
    }
}
