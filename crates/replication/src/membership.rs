//! What a replica must not forget beside its log: its vote, the epoch it is in, and whether its disk is to be trusted. The life itself
//! is in `identity`: the engine writes as it.
//!
//! ```text
//! membership := restored u8 ‖ epoch ‖ vote ‖ before vector
//! ```

use causal::{Epoch, Vote};
use effect::wire::Reader;
use effect::{Vector, WireError};
use engine::Engine;

use crate::error::Error;

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Membership {
    /// The disk is an older one, a copy, or was empty when the node began to join: an origin is taken once all members have told theirs.
    pub restored: bool,
    /// The members.
    pub epoch: Epoch,
    /// What was promised about the next ones.
    pub vote: Vote,
    /// What this node had written when it founded its group: its log says it in a way that is for this node only, so others get it as a
    /// copy of the state.
    pub before: Vector,
}

impl Membership {
    /// What the data directory has, if the node has ever been in a group.
    pub fn load(engine: &Engine) -> Result<Option<Self>, Error> {
        let bytes = engine.membership()?;
        bytes.map(|bytes| Self::decode(&bytes)).transpose().map_err(Error::Membership)
    }

    /// Makes this durable.
    pub fn save(&self, engine: &Engine) -> Result<(), Error> {
        engine.set_membership(&self.to_bytes()).map_err(Error::Save)
    }

    /// The bytes of a node that comes back with less than it has told the others: it is to write as nobody before they have said
    /// which of its lives they know.
    pub fn returning(bytes: &[u8]) -> Result<Vec<u8>, String> {
        let membership = Self::decode(bytes).map_err(|error| error.to_string())?;
        Ok(Self { restored: true, ..membership }.to_bytes())
    }

    /// As they stand in the data directory.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![u8::from(self.restored)];
        self.epoch.encode(&mut out);
        self.vote.encode(&mut out);
        self.before.encode(&mut out);
        out
    }

    fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let mut from = Reader::new(bytes);
        let restored = match from.u8()? {
            0 => false,
            1 => true,
            _ => return Err(WireError::Invalid { what: "membership", at: 0 }),
        };
        let (epoch, vote) = (Epoch::decode(&mut from)?, Vote::decode(&mut from)?);
        let before = Vector::decode(&mut from)?;
        match from.remaining() {
            0 => Ok(Self { restored, epoch, vote, before }),
            _ => Err(WireError::Invalid { what: "bytes behind a membership", at: from.offset() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use causal::Ballot;
    use effect::{Dot, Origin};

    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let ballot = Ballot { round: 7, node: 3 };
        let vote = Vote { promised: ballot, accepted: Some((ballot, Epoch::new(4, [1, 3]))) };
        let before = Vector::from_iter([Dot { origin: Origin::new(1, 1), seq: 300 }]);
        let membership = Membership { restored: true, epoch: Epoch::new(3, [1, 2, 3]), vote, before };
        let bytes = membership.to_bytes();
        assert_eq!(Membership::decode(&bytes), Ok(membership));
        assert!((0..bytes.len()).all(|len| Membership::decode(&bytes[..len]).is_err()));
        assert!(Membership::decode(&[bytes, vec![0]].concat()).is_err());
    }

    #[test]
    fn who_comes_back_with_less_has_the_same_epoch_and_vote_and_is_not_trusted() {
        let vote = Vote { promised: Ballot { round: 7, node: 3 }, accepted: None };
        let found = Membership { restored: false, epoch: Epoch::new(3, [1, 2]), vote, before: Vector::default() };
        let back = Membership::decode(&Membership::returning(&found.to_bytes()).unwrap()).unwrap();
        assert_eq!(back, Membership { restored: true, ..found });
        assert!(Membership::returning(&[2]).is_err());
    }
}
