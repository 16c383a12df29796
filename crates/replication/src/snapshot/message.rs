//! What giver and taker say.

use effect::wire::{Reader, put_bytes, put_varint};
use effect::{HashSeed, Hlc, Vector, WireError};

use crate::wire::Channel;

/// What a copy is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    /// Where the giver's log goes on behind it.
    pub(crate) position: u64,
    /// Nothing in it is later.
    pub(crate) last: Hlc,
    /// By what keys are hashed: rows are in this order.
    pub(crate) seed: HashSeed,
    /// The effects in it.
    pub(crate) vector: Vector,
}

/// See the module above.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Message {
    /// A copy is wanted, from its chunk `from` on; with the id 0 any.
    Want { id: u64, from: u64 },
    /// It begins.
    Head { id: u64, head: Head },
    /// A part of it, counted from 0.
    Chunk { id: u64, n: u64, bytes: Vec<u8> },
    /// It had so many chunks.
    End { id: u64, chunks: u64 },
    /// Chunks below `next` are dealt with.
    Ack { id: u64, next: u64 },
    /// There is none, or not any more: the taker begins anew, later.
    Sorry { id: u64 },
}

impl Message {
    /// As a frame of the mesh.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![Channel::Snapshot as u8];
        let mut head = |tag: u8, id: u64| {
            out.push(tag);
            put_varint(&mut out, id);
        };
        match self {
            Self::Want { id, from } => {
                head(0, *id);
                put_varint(&mut out, *from);
            }
            Self::Head { id, head: Head { position, last, seed, vector } } => {
                head(1, *id);
                put_varint(&mut out, *position);
                out.extend_from_slice(&last.0.to_le_bytes());
                out.extend_from_slice(&seed.0);
                vector.encode(&mut out);
            }
            Self::Chunk { id, n, bytes } => {
                head(2, *id);
                put_varint(&mut out, *n);
                put_bytes(&mut out, bytes);
            }
            Self::End { id, chunks } => {
                head(3, *id);
                put_varint(&mut out, *chunks);
            }
            Self::Ack { id, next } => {
                head(4, *id);
                put_varint(&mut out, *next);
            }
            Self::Sorry { id } => head(5, *id),
        }
        out
    }

    /// Reads what [`Message::encode`] wrote behind its first byte.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let mut from = Reader::new(bytes);
        let (tag, id) = (from.u8()?, from.varint()?);
        let message = match tag {
            0 => Self::Want { id, from: from.varint()? },
            1 => {
                let (position, last) = (from.varint()?, Hlc(from.u64()?));
                let seed = HashSeed(from.take(16)?.try_into().expect("take returned sixteen bytes"));
                Self::Head { id, head: Head { position, last, seed, vector: Vector::decode(&mut from)? } }
            }
            2 => Self::Chunk { id, n: from.varint()?, bytes: from.bytes()?.to_vec() },
            3 => Self::End { id, chunks: from.varint()? },
            4 => Self::Ack { id, next: from.varint()? },
            5 => Self::Sorry { id },
            _ => return Err(WireError::Invalid { what: "message of a snapshot", at: 0 }),
        };
        match from.remaining() {
            0 => Ok(message),
            _ => Err(WireError::Invalid { what: "bytes behind a message", at: from.offset() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use effect::{Dot, Origin};

    use super::*;

    #[test]
    fn what_is_said_is_understood_and_nothing_else() {
        let vector = Vector::from_iter([Dot { origin: Origin(7), seq: 300 }]);
        let head = Head { position: 1 << 40, last: Hlc(5), seed: HashSeed([9; 16]), vector };
        let all = [
            Message::Want { id: 0, from: 0 },
            Message::Head { id: 300, head },
            Message::Chunk { id: 1, n: 129, bytes: vec![1, 2, 3] },
            Message::End { id: 1, chunks: 130 },
            Message::Ack { id: 1, next: 17 },
            Message::Sorry { id: 2 },
        ];
        for message in all {
            let bytes = message.encode();
            assert_eq!(bytes[0], Channel::Snapshot as u8);
            assert_eq!(Message::decode(&bytes[1..]), Ok(message.clone()));
            for len in 0..bytes.len() - 1 {
                assert!(Message::decode(&bytes[1..1 + len]).is_err(), "{message:?} cut at {len}");
            }
        }
    }
}
