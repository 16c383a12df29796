//! Who belongs to the group, and the consensus that decides it.
//!
//! Source: Lamport, "Paxos Made Simple" (2001): one decree for each epoch number, among the voters of the epoch before it.

use std::collections::{BTreeMap, BTreeSet};

use effect::WireError;
use effect::wire::{Reader, put_varint};

use crate::io::Change;
use crate::limits;

/// The members of the group from one decision to the next.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Epoch {
    /// Counted from 0, which is what the group was founded with.
    pub number: u64,
    /// The node ids. All of them vote on the next epoch.
    pub members: BTreeSet<u64>,
    /// The epoch in which a member became one, of those that were not there from the beginning.
    pub joined: BTreeMap<u64, u64>,
}

impl Epoch {
    /// An epoch of these nodes.
    pub fn new(number: u64, members: impl IntoIterator<Item = u64>) -> Self {
        Self { number, members: members.into_iter().collect(), joined: BTreeMap::new() }
    }

    /// The next one, with the change, if it is one.
    pub fn with(&self, change: Change) -> Option<Self> {
        let mut next = Self { number: self.number + 1, ..self.clone() };
        let changes = match change {
            Change::Join(node) => next.members.len() < limits::MEMBERS && next.members.insert(node),
            Change::Leave(node) => next.members.len() > 1 && next.members.remove(&node),
        };
        match change {
            Change::Join(node) => next.joined.insert(node, next.number),
            Change::Leave(node) => next.joined.remove(&node),
        };
        changes.then_some(next)
    }

    /// Whether one who was in that epoch when it spoke may be what the node was before it left and came back: what such a one sent
    /// late is below what has become stable without it.
    pub fn is_from_before(&self, node: u64, epoch: u64) -> bool {
        self.joined.get(&node).is_some_and(|joined| epoch < *joined)
    }

    /// What a node notes that must not take itself for a member yet: an epoch that nobody takes from it.
    pub fn without(&self, node: u64) -> Self {
        let mut without = self.clone();
        if without.members.remove(&node) {
            without.joined.clear();
            without.number = 0;
        }
        without
    }

    /// Whether the node is a member.
    pub fn has(&self, node: u64) -> bool {
        self.members.contains(&node)
    }

    /// How many votes decide. It follows from the record alone: no silence makes it smaller.
    pub fn majority(&self) -> usize {
        self.members.len() / 2 + 1
    }

    /// Appends it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.number);
        put_varint(out, self.members.len() as u64);
        for node in &self.members {
            put_varint(out, *node);
            put_varint(out, self.joined.get(node).copied().unwrap_or(0));
        }
    }

    /// Reads what [`Epoch::encode`] wrote.
    pub fn decode(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let number = from.varint()?;
        let (count, at) = (from.varint()?, from.offset());
        let (mut members, mut joined) = (BTreeSet::new(), BTreeMap::new());
        for _ in 0..count {
            let (node, since) = (from.varint()?, from.varint()?);
            let is_next = members.last().is_none_or(|last| *last < node);
            if members.len() == limits::MEMBERS || !is_next || since > number {
                return Err(WireError::Invalid { what: "members", at });
            }
            members.insert(node);
            if since > 0 {
                joined.insert(node, since);
            }
        }
        Ok(Self { number, members, joined })
    }
}

/// The number of an attempt: a round and who makes it, so that no two are equal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ballot {
    /// Counted from 1.
    pub round: u64,
    /// The node that makes the attempt.
    pub node: u64,
}

/// What a voter has promised and accepted about the epoch behind the one that it is in. Durable before it is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Vote {
    /// It takes part in no attempt below this.
    pub promised: Ballot,
    /// What it accepted last.
    pub accepted: Option<(Ballot, Epoch)>,
}

impl Vote {
    /// Appends it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        encode_ballot(self.promised, out);
        out.push(u8::from(self.accepted.is_some()));
        if let Some((ballot, epoch)) = &self.accepted {
            encode_ballot(*ballot, out);
            epoch.encode(out);
        }
    }

    /// Reads what [`Vote::encode`] wrote.
    pub fn decode(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let promised = decode_ballot(from)?;
        let at = from.offset();
        let accepted = match from.u8()? {
            0 => None,
            1 => Some((decode_ballot(from)?, Epoch::decode(from)?)),
            _ => return Err(WireError::Invalid { what: "vote", at }),
        };
        Ok(Self { promised, accepted })
    }
}

/// One message of the consensus, about the epoch `number`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Motion {
    /// The epoch that is decided upon.
    pub number: u64,
    /// The attempt.
    pub ballot: Ballot,
    /// What is said.
    pub say: Say,
}

/// What a message of the consensus says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Say {
    /// Take part in no lower attempt, and tell what you have accepted.
    Prepare,
    /// I will; and this is what I have accepted.
    Promise(Option<(Ballot, Epoch)>),
    /// Accept this.
    Accept(Epoch),
    /// I have.
    Accepted,
    /// I take part in a higher attempt already.
    Refused(Ballot),
}

impl Motion {
    /// Appends it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.number);
        encode_ballot(self.ballot, out);
        match &self.say {
            Say::Prepare => out.push(0),
            Say::Promise(None) => out.push(1),
            Say::Promise(Some((ballot, epoch))) => {
                out.push(2);
                encode_ballot(*ballot, out);
                epoch.encode(out);
            }
            Say::Accept(epoch) => {
                out.push(3);
                epoch.encode(out);
            }
            Say::Accepted => out.push(4),
            Say::Refused(ballot) => {
                out.push(5);
                encode_ballot(*ballot, out);
            }
        }
    }

    /// Reads what [`Motion::encode`] wrote.
    pub fn decode(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let (number, ballot) = (from.varint()?, decode_ballot(from)?);
        let at = from.offset();
        let say = match from.u8()? {
            0 => Say::Prepare,
            1 => Say::Promise(None),
            2 => Say::Promise(Some((decode_ballot(from)?, Epoch::decode(from)?))),
            3 => Say::Accept(Epoch::decode(from)?),
            4 => Say::Accepted,
            5 => Say::Refused(decode_ballot(from)?),
            _ => return Err(WireError::Invalid { what: "motion", at }),
        };
        Ok(Self { number, ballot, say })
    }
}

fn encode_ballot(ballot: Ballot, out: &mut Vec<u8>) {
    put_varint(out, ballot.round);
    put_varint(out, ballot.node);
}

fn decode_ballot(from: &mut Reader<'_>) -> Result<Ballot, WireError> {
    Ok(Ballot { round: from.varint()?, node: from.varint()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(epoch: &Epoch) -> Vec<u8> {
        let mut out = Vec::new();
        epoch.encode(&mut out);
        out
    }

    #[test]
    fn an_epoch_is_read_as_it_was_written_and_nothing_else_is() {
        let epoch = Epoch::new(6, [1, 300]).with(Change::Join(7)).expect("a change");
        assert_eq!(epoch.joined, BTreeMap::from([(7, 7)]));
        let good = bytes(&epoch);
        assert_eq!(Epoch::decode(&mut Reader::new(&good)), Ok(epoch.clone()));
        assert!(
            (0..good.len()).all(|len| Epoch::decode(&mut Reader::new(&good[..len])).is_err()),
            "a cut one is refused"
        );
        let refused = |epoch: &Epoch| Epoch::decode(&mut Reader::new(&bytes(epoch))).is_err();
        assert!(refused(&Epoch { joined: BTreeMap::from([(7, 8)]), ..epoch.clone() }), "nobody has joined later");
        assert!(!refused(&Epoch { joined: BTreeMap::from([(7, 6)]), ..epoch }));
        // Members ascend, and each is there once.
        assert!(Epoch::decode(&mut Reader::new(&[3, 2, 5, 0, 5, 0])).is_err());
        assert!(Epoch::decode(&mut Reader::new(&[3, 2, 5, 0, 4, 0])).is_err());
    }
}
