//! What a node may ask of its binds, without anything happening.

use effect::Dot;

use crate::bind::ballot::{NodeId, Voters};
use crate::bind::error::{TxnError, Why};
use crate::bind::limits::MAX_BEGUN;
use crate::bind::machine::Binds;
use crate::bind::safety::Safety;
use crate::bind::table::Held;
use crate::bind::transaction::{Key, KeyUse};

impl Binds {
    /// Whether an exclusive transaction over these keys may be begun. Asked with its keys' shards locked, before its bind is logged;
    /// the bind's context must cover every bind that has arrived.
    ///
    /// One that clashes with a bind whose outcome is not visible yet has read what may be overwritten, with that bind in its
    /// context: it would not count as a competitor, so it must not be.
    pub fn may_begin(&self, keys: &[KeyUse], voters: &Voters) -> Result<(), TxnError> {
        self.may_begin_as(Safety::Safe, keys, voters)
    }

    /// The same. A safe one could be decided before an unsafe one that it was made on, which is shown and has no verdict.
    pub fn may_begin_as(&self, safety: Safety, keys: &[KeyUse], voters: &Voters) -> Result<(), TxnError> {
        if !voters.contains(self.node) || !self.has_met() {
            return Err(TxnError::TryAgain(Why::NoVoter));
        }
        if self.begun >= MAX_BEGUN {
            return Err(TxnError::TryAgain(Why::TooMany));
        }
        let mut keys = keys.to_vec();
        keys.sort_unstable();
        let is_in_the_way = |held: &Held| match safety {
            Safety::Safe => held.verdict.is_none(),
            Safety::Unsafe => !held.settled(),
        };
        match self.table.clashing(&keys).any(is_in_the_way) {
            true => Err(TxnError::Lost),
            false => Ok(()),
        }
    }

    /// Whether a bind that writes the key has no visible outcome. (What is not folded yet is another matter: an unsafe bind is settled later than
    /// it is seen.)
    pub fn is_open(&self, key: &Key) -> bool {
        let writes = |held: &Held| held.bind.keys().iter().any(|used| used.written && used.key == *key);
        self.table.of_key(key).any(|held| !held.settled() && writes(held))
    }

    /// The verdict on a bind that is not forgotten yet; of an unsafe one whether it is visible.
    pub fn verdict(&self, bind: Dot) -> Option<bool> {
        let held = self.table.get(bind)?;
        held.committed().or(held.shown)
    }

    /// Of an unsafe bind that is not forgotten yet, whether it was shown as committed, or as lost.
    pub fn visible(&self, bind: Dot) -> Option<bool> {
        self.table.get(bind)?.shown
    }

    /// How many binds are remembered, and how many of them have no visible outcome.
    pub fn counts(&self) -> (usize, usize) {
        (self.table.len(), self.table.open_len())
    }

    /// The leader of a key, if its transactions are serialised.
    pub fn leader(&self, key: &Key) -> Option<NodeId> {
        self.leaders.leader(key)
    }
}
