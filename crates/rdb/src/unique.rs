//! Looks for a member that is there twice.

use hashbrown::HashSet;

use crate::limits::FEW_MEMBERS;

/// Memory for looking, which can be used again.
#[derive(Debug, Default)]
pub struct Unique {
    seen: HashSet<u64>,
}

impl Unique {
    /// Whether no name is there twice. `names` is asked for them up to three times.
    pub fn holds<'n, I: Iterator<Item = &'n [u8]> + Clone>(&mut self, names: impl Fn() -> I) -> bool {
        let all = names();
        if all.clone().nth(FEW_MEMBERS).is_none() {
            return all.clone().enumerate().all(|(i, name)| all.clone().take(i).all(|other| other != name));
        }
        self.seen.clear();
        self.seen.shrink_to(KEPT);
        // Names with one hash are compared themselves, if there are any.
        let hasher = self.seen.hasher().clone();
        let hash = |name: &[u8]| std::hash::BuildHasher::hash_one(&hasher, name);
        if all.clone().all(|name| self.seen.insert(hash(name))) {
            return true;
        }
        let mut names = HashSet::new();
        all.clone().all(|name| names.insert(name))
    }
}

/// Entries whose memory is kept.
const KEPT: usize = 1 << 16;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_there_twice_is_found(names in prop::collection::vec(prop::collection::vec(0u8..6, 0..5), 0..60)) {
            let distinct = names.iter().collect::<BTreeSet<_>>().len() == names.len();
            let mut unique = Unique::default();
            for _ in 0..2 {
                prop_assert_eq!(unique.holds(|| names.iter().map(Vec::as_slice)), distinct);
            }
        }
    }
}
