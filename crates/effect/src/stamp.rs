//! The order of last writers: by HLC, and where two are equal by fork choice.
//!
//! Source: seed 000 for the fork-choice hash; that the HLC comes first is DESIGN §5, law 6.

use std::cmp::Ordering;

use sha2::{Digest, Sha256};

use crate::hlc::Hlc;
use crate::id::{Dot, Origin};

/// SHA-256 of the node id and the raw HLC, each as eight bytes, little-endian.
pub fn fork_choice_hash(node: u64, hlc: Hlc) -> [u8; 32] {
    let mut sha = Sha256::new();
    sha.update(node.to_le_bytes());
    sha.update(hlc.0.to_le_bytes());
    sha.finalize().into()
}

/// Whether `a` wins over `b`: the lower hash does.
pub fn fork_choice_less(a: &[u8; 32], b: &[u8; 32]) -> bool {
    a < b
}

/// When an effect was written, and by whom: what says which of two concurrent writes is the last one. Greater is later.
///
/// *Invariant:* an effect has a greater stamp than all that it has observed, because HLCs take over what they hear and never
/// repeat. So the order of stamps extends causality.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// Of the effect itself, not of its batch.
    pub hlc: Hlc,
    /// Who wrote it.
    pub origin: Origin,
}

impl Stamp {
    /// The stamp of the effect with this dot.
    pub fn new(dot: Dot, hlc: Hlc) -> Self {
        Self { hlc, origin: dot.origin }
    }
}

impl Ord for Stamp {
    /// Hashes are made only where two nodes have met the same HLC; two origins of one node cannot, but must differ.
    fn cmp(&self, other: &Self) -> Ordering {
        self.hlc.cmp(&other.hlc).then_with(|| {
            if self.origin == other.origin {
                return Ordering::Equal;
            }
            let [a, b] = [self, other].map(|stamp| fork_choice_hash(stamp.origin.node(), stamp.hlc));
            b.cmp(&a).then(self.origin.cmp(&other.origin))
        })
    }
}

impl PartialOrd for Stamp {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_sha_256_of_node_and_hlc() {
        // sha256sum of 0100000000000000 0002000000000000 (hex).
        let hash = fork_choice_hash(1, Hlc(0x200));
        let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "50e360a541cd409bc38fe604ad26ca29ac399b0725a67a41a66152dbcbd65da9");
    }

    #[test]
    fn the_later_hlc_wins_and_the_lower_hash_where_they_are_equal() {
        let stamp = |node, hlc| Stamp { hlc: Hlc(hlc), origin: Origin::new(node, 1) };
        assert!(stamp(1, 2) > stamp(2, 1) && stamp(2, 2) > stamp(1, 1));
        for hlc in 0..50 {
            let (a, b) = (stamp(1, hlc), stamp(2, hlc));
            let a_is_lower = fork_choice_less(&fork_choice_hash(1, Hlc(hlc)), &fork_choice_hash(2, Hlc(hlc)));
            assert_eq!(a > b, a_is_lower);
            assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
        }
    }

    #[test]
    fn two_lives_of_one_node_are_never_equal() {
        let [a, b] = [1, 2].map(|life| Stamp { hlc: Hlc(7), origin: Origin::new(9, life) });
        assert_eq!((a.cmp(&b), b.cmp(&a)), (Ordering::Less, Ordering::Greater));
    }
}
