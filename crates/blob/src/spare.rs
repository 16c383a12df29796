//! Files of segments that went, kept to be written anew.
//!
//! A file system gives a new file blocks that it has to find, to mark as written, and to take back when the file goes; a
//! file that is written again has them. Measured in decision 0012.
//!
//! Invariants:
//! - A spare file holds its bytes of the disk limit until the segment that takes it has them: the limit never has to be
//!   believed, it is held.
//! - Nobody reads a spare file. It was taken from a segment that nobody else held, and its name is no segment's, so that
//!   opening finds no record in it.

use crate::budget::{Budget, Permit};
use crate::sync::{Arc, Mutex, lock};

/// Files and the disk bytes that they hold together.
pub struct Spare {
    /// Ids of the segments that they were.
    pub files: Vec<u32>,
    /// What they hold of the disk limit.
    pub bytes: Permit,
}

/// The spare files of a store.
#[derive(Default)]
pub struct Spares(Mutex<Vec<Spare>>);

impl Spares {
    /// Disk bytes that they hold: as good as free, for a new segment.
    pub fn bytes(&self) -> u64 {
        lock(&self.0).iter().map(|spare| spare.bytes.bytes()).sum()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        lock(&self.0).len()
    }

    /// Keeps one.
    pub fn push(&self, spare: Spare) {
        lock(&self.0).push(spare);
    }

    /// Takes all.
    pub fn take_all(&self) -> Vec<Spare> {
        std::mem::take(&mut lock(&self.0))
    }

    /// Takes `bytes` for a new segment: of a spare file, of the budget for what that lacks, and of more spare files where
    /// there is not enough of both. What is taken may be more than `bytes`, until the files are made one.
    pub fn take(&self, bytes: u64, budget: &Arc<Budget>) -> Option<Spare> {
        let mut spares = lock(&self.0);
        let mut taken = match spares.pop() {
            Some(spare) => spare,
            None => return budget.try_take(bytes).map(|bytes| Spare { files: Vec::new(), bytes }),
        };
        while taken.bytes.bytes() < bytes && !taken.bytes.try_grow(bytes - taken.bytes.bytes()) {
            let Some(other) = spares.pop() else {
                spares.push(taken);
                return None;
            };
            taken.files.extend(other.files);
            taken.bytes.absorb(other.bytes);
        }
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn spare(id: u32, bytes: u64, budget: &Arc<Budget>) -> Spare {
        Spare { files: vec![id], bytes: budget.try_take(bytes).expect("within the limit") }
    }

    proptest! {
        #[test]
        fn what_is_taken_is_enough_and_nothing_is_forgotten(
            kept in prop::collection::vec(1u64..100, 0..6),
            limit in 500u64..700,
            wanted in 0u64..800,
        ) {
            let (budget, spares) = (Budget::new(limit), Spares::default());
            (0..).zip(&kept).for_each(|(id, &bytes)| spares.push(spare(id, bytes, &budget)));
            let (held, used) = (spares.bytes(), budget.used());
            prop_assert_eq!(held, used);
            let taken = spares.take(wanted, &budget);
            prop_assert_eq!(taken.is_some(), wanted <= limit, "spares are as good as free");
            let (taken_files, taken_bytes) =
                taken.as_ref().map_or((0, 0), |taken| (taken.files.len(), taken.bytes.bytes()));
            prop_assert!(taken.is_none() || taken_bytes >= wanted);
            let left: usize = lock(&spares.0).iter().map(|spare| spare.files.len()).sum();
            prop_assert_eq!(taken_files + left, kept.len(), "a file is spare or taken");
            prop_assert_eq!(budget.used(), spares.bytes() + taken_bytes);
            drop(taken);
            spares.take_all();
            prop_assert_eq!(budget.used(), 0);
        }
    }
}
