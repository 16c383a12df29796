//! What replicas say to each other, as bytes.
//!
//! ```text
//! frame := tag u8 ‖ what the tag says
//! ```
//! Lengths, checksums and encryption are the transport's.

use effect::wire::{Reader, put_varint};
use effect::{GroupId, Origin, Vector, WireError};

use crate::entry::{self, Entry};
use crate::epoch::{Epoch, Motion, Vote};
use crate::statement::{Statement, decode_lives, encode_lives};

/// The first thing that either side says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The group that this is about.
    pub group: GroupId,
    /// Who speaks. Incarnation 0: a node that does not know yet which number it may take.
    pub origin: Origin,
    /// The epoch that it is in.
    pub epoch: Epoch,
    /// What it has applied: its peer's stream begins behind that.
    pub applied: Vector,
    /// Which incarnations it knows.
    pub lives: Vec<(u64, u16)>,
    /// How many bytes of batches may be sent to it before it says more.
    pub window: u64,
    /// Its vote on the next epoch.
    pub vote: Vote,
}

/// Why a batch is not applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// What comes before it has not arrived: the stream must go back.
    Gap,
    /// It has observed this, which has not arrived. The stream is held until then.
    Context(Vector),
    /// It was written so many ms in the future. The stream is held until then.
    Clock(i64),
}

/// A negative acknowledgement: enough to act on without asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nack {
    /// Whose batch.
    pub origin: Origin,
    /// What of that origin has been applied.
    pub have: u64,
    /// The first effect of the batch.
    pub got: u64,
    /// What is wrong.
    pub why: Why,
}

/// What one replica says to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// Who speaks and what it has.
    Hello(Hello),
    /// Batches of one origin, each following the one before it: the sender's own stream, in order.
    Batches(Vec<Entry>),
    /// What was fetched, or its beginning; nothing, if there is none.
    Fetched(Origin, Vec<Entry>),
    /// What the sender has, and how far its clock is.
    Statement(Statement),
    /// So many bytes more may be sent.
    Credit(u64),
    /// Send batches of `origin` from here to there.
    Fetch {
        /// Whose.
        origin: Origin,
        /// The first effect.
        from: u64,
        /// The last one.
        to: u64,
    },
    /// The log has nothing of `origin` any more below this.
    Gone(Origin, u64),
    /// A batch is not applied.
    Nack(Nack),
    /// The epoch that the sender is in: it was decided.
    Decided(Epoch),
    /// About the next epoch.
    Motion(Motion),
}

impl Frame {
    /// Appends it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Frame::Hello(hello) => {
                out.push(0);
                out.extend_from_slice(&hello.group.0.to_le_bytes());
                out.extend_from_slice(&hello.origin.0.to_le_bytes());
                hello.epoch.encode(out);
                hello.applied.encode(out);
                encode_lives(&hello.lives, out);
                put_varint(out, hello.window);
                hello.vote.encode(out);
            }
            Frame::Batches(entries) => {
                out.push(1);
                entry::encode(entries, out);
            }
            Frame::Fetched(origin, entries) => {
                out.push(2);
                out.extend_from_slice(&origin.0.to_le_bytes());
                entry::encode(entries, out);
            }
            Frame::Statement(statement) => {
                out.push(3);
                statement.encode(out);
            }
            Frame::Credit(bytes) => {
                out.push(4);
                put_varint(out, *bytes);
            }
            Frame::Fetch { origin, from, to } => {
                out.push(5);
                put_dots(out, *origin, *from, *to);
            }
            Frame::Gone(origin, first) => {
                out.push(6);
                out.extend_from_slice(&origin.0.to_le_bytes());
                put_varint(out, *first);
            }
            Frame::Nack(nack) => {
                out.push(7);
                put_dots(out, nack.origin, nack.have, nack.got);
                encode_why(&nack.why, out);
            }
            Frame::Decided(epoch) => {
                out.push(8);
                epoch.encode(out);
            }
            Frame::Motion(motion) => {
                out.push(9);
                motion.encode(out);
            }
        }
    }

    /// Reads one frame, which must be all there is.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let mut from = Reader::new(bytes);
        let frame = Self::read(&mut from)?;
        match from.remaining() {
            0 => Ok(frame),
            _ => Err(WireError::Invalid { what: "bytes behind a frame", at: from.offset() }),
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(match from.u8()? {
            0 => {
                let group = from.take(4)?.try_into().expect("take returned four bytes");
                Frame::Hello(Hello {
                    group: GroupId(u32::from_le_bytes(group)),
                    origin: Origin(from.u64()?),
                    epoch: Epoch::decode(from)?,
                    applied: Vector::decode(from)?,
                    lives: decode_lives(from)?,
                    window: from.varint()?,
                    vote: Vote::decode(from)?,
                })
            }
            1 => Frame::Batches(entry::decode(from)?),
            2 => {
                let (origin, at) = (Origin(from.u64()?), from.offset());
                let entries = entry::decode(from)?;
                if entries.first().is_some_and(|e| e.first.origin != origin) {
                    return Err(WireError::Invalid { what: "origin", at });
                }
                Frame::Fetched(origin, entries)
            }
            3 => Frame::Statement(Statement::decode(from)?),
            4 => Frame::Credit(from.varint()?),
            5 => Frame::Fetch { origin: Origin(from.u64()?), from: from.varint()?, to: from.varint()? },
            6 => Frame::Gone(Origin(from.u64()?), from.varint()?),
            7 => {
                let (origin, have, got) = (Origin(from.u64()?), from.varint()?, from.varint()?);
                Frame::Nack(Nack { origin, have, got, why: decode_why(from)? })
            }
            8 => Frame::Decided(Epoch::decode(from)?),
            9 => Frame::Motion(Motion::decode(from)?),
            _ => return Err(WireError::Invalid { what: "frame", at: 0 }),
        })
    }
}

fn put_dots(out: &mut Vec<u8>, origin: Origin, a: u64, b: u64) {
    out.extend_from_slice(&origin.0.to_le_bytes());
    put_varint(out, a);
    put_varint(out, b);
}

fn encode_why(why: &Why, out: &mut Vec<u8>) {
    match why {
        Why::Gap => out.push(0),
        Why::Context(missing) => {
            out.push(1);
            missing.encode(out);
        }
        Why::Clock(ahead_ms) => {
            out.push(2);
            put_varint(out, ahead_ms.unsigned_abs());
        }
    }
}

fn decode_why(from: &mut Reader<'_>) -> Result<Why, WireError> {
    let at = from.offset();
    Ok(match from.u8()? {
        0 => Why::Gap,
        1 => Why::Context(Vector::decode(from)?),
        2 => {
            let ahead = from.varint()?;
            Why::Clock(i64::try_from(ahead).map_err(|_| WireError::Invalid { what: "ms", at })?)
        }
        _ => return Err(WireError::Invalid { what: "reason", at }),
    })
}
