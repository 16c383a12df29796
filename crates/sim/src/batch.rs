//! What the bytes of a batch say: a plain write, a definition of a keyspace, the bind of an exclusive transaction, or the verdict on one.
//!
//! ```text
//! batch := key u8 < KEYS ‖ anything | 0xb0 ‖ keys ‖ voters ‖ context | 0xb1 ‖ origin u64 LE ‖ seq varint ‖ ballot varint ‖ commit u8
//!          | 0xb2, see `definitions`
//! ```

use std::sync::Arc;

use causal::Entry;
use causal::bind::{Ballot, Bind, Key, KeyUse, Safety, Vote, Voters};
use effect::wire::{Reader, put_varint};
use effect::{Dot, Origin, Stamp, Vector, WireError};

use crate::definitions::{self, DEFINITION};

/// How many keys there are.
pub const KEYS: u8 = 6;

const BIND: u8 = 0xb0;
const VERDICT: u8 = 0xb1;

/// What a batch is.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// A plain write of this key.
    Plain(u8),
    /// A definition of this keyspace, or its end.
    Definition(u8, bool),
    /// An exclusive transaction.
    Bind(Arc<Bind>),
    /// What became of one.
    Verdict(Dot, Vote),
}

impl Kind {
    /// What this batch is.
    pub fn of(entry: &Entry) -> Self {
        match entry.bytes.first() {
            Some(&BIND) => Self::Bind(Arc::new(bind_of(entry).expect("a bind as it was written"))),
            Some(&VERDICT) => verdict_of(&entry.bytes).expect("a verdict as it was written"),
            Some(&DEFINITION) => {
                let (name, is_end) = definitions::named(&entry.bytes);
                Self::Definition(name, is_end)
            }
            first => Self::Plain(first.copied().unwrap_or_default()),
        }
    }

    /// Whether it is about an exclusive transaction, read quickly.
    pub fn is_exclusive(entry: &Entry) -> bool {
        matches!(entry.bytes.first(), Some(&(BIND | VERDICT)))
    }
}

/// The name of a key.
pub fn key(name: u8) -> Key {
    Key::named(&[name])
}

/// The number of a key.
pub fn number(key: &Key) -> u8 {
    key.name.first().copied().unwrap_or_default()
}

/// The bytes of a bind.
pub fn bind_bytes(safety: Safety, keys: &[KeyUse], voters: &Voters, context: &Vector) -> Vec<u8> {
    let mut out = vec![BIND, keys.len() as u8 | u8::from(safety == Safety::Unsafe) << 7];
    out.extend(keys.iter().map(|used| number(&used.key) | u8::from(used.read) << 6 | u8::from(used.written) << 7));
    put_varint(&mut out, voters.len() as u64);
    voters.iter().for_each(|node| put_varint(&mut out, node));
    context.encode(&mut out);
    out
}

fn bind_of(entry: &Entry) -> Result<Bind, WireError> {
    let mut from = Reader::new(&entry.bytes);
    from.u8()?;
    let mut keys = Vec::new();
    let head = from.u8()?;
    for _ in 0..head & 0x7f {
        let used = from.u8()?;
        keys.push(KeyUse { key: key(used & 0x3f), read: used & 0x40 != 0, written: used & 0x80 != 0 });
    }
    let nodes = (0..from.varint()?).map(|_| from.varint()).collect::<Result<Vec<u64>, _>>()?;
    let context = Vector::decode(&mut from)?;
    let invalid = WireError::Invalid { what: "bind", at: from.offset() };
    let voters = Voters::new(nodes).ok_or(invalid)?;
    let stamp = Stamp::new(entry.first, entry.hlc);
    let safety = if head & 0x80 != 0 { Safety::Unsafe } else { Safety::Safe };
    Bind::new((entry.first, stamp), voters, &context, keys, safety).ok_or(invalid)
}

/// The bytes of a verdict.
pub fn verdict_bytes(bind: Dot, vote: Vote) -> Vec<u8> {
    let mut out = vec![VERDICT];
    out.extend_from_slice(&bind.origin.0.to_le_bytes());
    put_varint(&mut out, bind.seq);
    put_varint(&mut out, vote.ballot.0);
    out.push(u8::from(vote.commit));
    out
}

fn verdict_of(bytes: &[u8]) -> Result<Kind, WireError> {
    let mut from = Reader::new(bytes);
    from.u8()?;
    let dot = Dot { origin: Origin(from.u64()?), seq: from.varint()? };
    Ok(Kind::Verdict(dot, Vote { ballot: Ballot(from.varint()?), commit: from.u8()? != 0 }))
}

#[cfg(test)]
mod tests {
    use effect::Hlc;

    use super::*;

    #[test]
    fn batches_are_read_as_they_were_written() {
        let dot = |node, seq| Dot { origin: Origin::new(node, 3), seq };
        let entry = |bytes: Vec<u8>| Entry {
            first: dot(1, 9),
            count: 1,
            hlc: Hlc(77),
            ticks: 0,
            grown: Vector::new(),
            bytes: bytes.into(),
        };
        let keys = vec![KeyUse::read(key(2)), KeyUse::written(key(5))];
        let (voters, context) = (Voters::new([1, 2, 300]).expect("some"), [dot(2, 7)].into_iter().collect::<Vector>());
        let bind = Bind::new(
            (dot(1, 9), Stamp::new(dot(1, 9), Hlc(77))),
            voters.clone(),
            &context,
            keys.clone(),
            Safety::Unsafe,
        );
        let read = Kind::of(&entry(bind_bytes(Safety::Unsafe, &keys, &voters, &context)));
        assert_eq!(read, Kind::Bind(Arc::new(bind.expect("few keys"))));
        let vote = Vote { ballot: Ballot(300), commit: true };
        assert_eq!(Kind::of(&entry(verdict_bytes(dot(2, 300), vote))), Kind::Verdict(dot(2, 300), vote));
        assert_eq!(Kind::of(&entry(vec![4, 4, 4])), Kind::Plain(4));
    }
}
