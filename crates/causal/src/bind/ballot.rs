//! Voters of an epoch, their quorums, and ballots.

use std::sync::Arc;

use crate::bind::limits::{MAX_VOTERS, VOTER_BITS};

/// A node, without its incarnation: it stays the same voter as long as it keeps what it persisted.
pub type NodeId = u64;

/// The voters of one epoch, by id. They are the same for a bind whoever is silent, dead or unreachable.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Voters(Arc<[NodeId]>);

impl Voters {
    /// The voters with these ids; `None` if there is none or there are more than [`MAX_VOTERS`].
    pub fn new(nodes: impl IntoIterator<Item = NodeId>) -> Option<Self> {
        let mut nodes: Vec<NodeId> = nodes.into_iter().collect();
        nodes.sort_unstable();
        nodes.dedup();
        (!nodes.is_empty() && nodes.len() <= MAX_VOTERS).then(|| Self(nodes.into()))
    }

    /// How many of them are more than half.
    pub fn majority(&self) -> usize {
        self.0.len() / 2 + 1
    }

    /// How many must accept at ballot 0, the originator included.
    ///
    /// It is the majority for up to six voters, and for eight. With `f` voters down, both originators of two competitors
    /// among them, the others must be able to tell that not both can have been accepted by so many. Together they can have at
    /// most `n + f - 2` possible acceptors (`choice.rs`), so twice this number has to be more.
    pub fn fast(&self) -> usize {
        let n = self.0.len();
        let f = n - self.majority();
        self.majority().max((n + f).saturating_sub(1).div_ceil(2))
    }

    /// The place of a node among them.
    pub fn index(&self, node: NodeId) -> Option<usize> {
        self.0.binary_search(&node).ok()
    }

    /// Whether a node is one of them.
    pub fn contains(&self, node: NodeId) -> bool {
        self.index(node).is_some()
    }

    /// All of them, ascending.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = NodeId> + '_ {
        self.0.iter().copied()
    }

    /// How many they are.
    #[allow(clippy::len_without_is_empty, reason = "there is always one")]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// An attempt to decide a bind. [`Ballot::ORIGINATOR`] is the originator's first, without asking for promises; of any other the
/// lower bits name the proposer among the bind's voters, and the upper ones count. A proposer uses none twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Ballot(pub u64);

impl Ballot {
    /// The ballot that every bind begins with.
    pub const ORIGINATOR: Self = Self(0);

    /// The ballot of a round, from 1, by the voter at `index`.
    pub fn new(round: u64, index: usize) -> Self {
        debug_assert!(round > 0 && index < MAX_VOTERS);
        Self(round << VOTER_BITS | index as u64)
    }

    /// Its round.
    pub fn round(self) -> u64 {
        self.0 >> VOTER_BITS
    }

    /// Who proposes at it; nobody in particular at [`Ballot::ORIGINATOR`].
    pub fn proposer(self, voters: &Voters) -> Option<NodeId> {
        (self != Self::ORIGINATOR).then(|| voters.0.get((self.0 & (MAX_VOTERS as u64 - 1)) as usize).copied())?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_majorities_meet_and_one_round_trip_needs_no_more_up_to_six() {
        let quorums = |n: u64| {
            let voters = Voters::new(0..n).expect("some voters");
            (voters.majority(), voters.fast())
        };
        let expected = [(1, 1), (2, 2), (2, 2), (3, 3), (3, 3), (4, 4), (4, 5), (5, 5), (5, 6)];
        for (n, expected) in (1..).zip(expected) {
            assert_eq!(quorums(n), expected, "{n} voters");
        }
        for n in 1..=MAX_VOTERS as u64 {
            let (majority, fast) = quorums(n);
            let f = n as usize - majority;
            assert!(2 * majority > n as usize && fast <= n as usize);
            assert!(2 * fast + 2 > n as usize + f, "{n} voters: two competitors could both seem accepted");
        }
    }

    #[test]
    fn a_ballot_names_its_proposer() {
        let voters = Voters::new([9, 4, 9, 7]).expect("three voters");
        assert_eq!(voters.iter().collect::<Vec<_>>(), [4, 7, 9]);
        let ballot = Ballot::new(3, 2);
        assert_eq!((ballot.round(), ballot.proposer(&voters)), (3, Some(9)));
        assert_eq!(Ballot::ORIGINATOR.proposer(&voters), None);
        assert!(Ballot::new(1, 63) < Ballot::new(2, 0) && Ballot::ORIGINATOR < Ballot::new(1, 0));
    }

    #[test]
    fn there_are_voters_and_not_too_many() {
        assert_eq!(Voters::new([]), None);
        assert!(Voters::new(0..MAX_VOTERS as u64).is_some() && Voters::new(0..=MAX_VOTERS as u64).is_none());
    }
}
