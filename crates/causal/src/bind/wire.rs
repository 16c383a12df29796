//! What voters say to each other, and what they persist, as bytes.
//!
//! ```text
//! sent    := 0 ‖ message | 1 ‖ id varint ‖ exec | 2 ‖ id varint ‖ bytes
//! message := 0 ‖ dot | 1 ‖ bind ‖ ballot | 2 ‖ dot ‖ ballot ‖ report | 3 ‖ bind ‖ vote | 4 ‖ dot ‖ vote
//!          | 5 ‖ dot ‖ ballot ‖ refusal | 6 ‖ dot ‖ vote
//! record  := 0 ‖ origin u64 LE | 1 ‖ dot ‖ ballot | 2 ‖ dot ‖ vote | 3 ‖ dot ‖ vote | 4 ‖ count varint ‖ (dot ‖ bool)* | 5 ‖ epoch varint
//! logged  := 0 ‖ bind ‖ plain bool | 1 ‖ dot ‖ vote ‖ dot | 2 ‖ record
//! bind    := dot ‖ fork 32 bytes ‖ unsafe bool ‖ voters ‖ context ‖ count varint ‖ (use u8 ‖ key)*     voters, keys ascend
//! report  := accepted ‖ plain bool ‖ forgot bool ‖ count varint ‖ (dot ‖ fork 32 bytes ‖ same voters bool ‖ accepted ‖ verdict u8)*
//! exec    := turn varint ‖ count varint ‖ key* ‖ count varint ‖ (count varint ‖ bytes*)* ‖ count varint ‖ (key ‖ seen ‖ existed bool)*
//!          ‖ user bytes ‖ db u8 ‖ resp3 bool
//! dot     := origin u64 LE ‖ seq varint        vote := ballot varint ‖ commit bool        accepted := 0 | 1 ‖ vote
//! key     := keyspace varint ‖ db u8 ‖ name bytes      use: bit 0 read, bit 1 written      verdict: 0 none, 1 abort, 2 commit
//! ```
//! Bytes have their length before them. What is said of a record's checksum, a frame's length and its encryption is the log's and the
//! transport's.
//!
//! *Invariant:* whatever is accepted would be written again as the same bytes; memory follows the bytes that are there.

mod parts;

use effect::wire::{Reader, put_bytes, put_varint};
use effect::{Dot, Origin, WireError};

use crate::bind::ballot::Ballot;
use crate::bind::message::{Exec, Logged, Message, Record, Refusal, Report, Rival, Vote};

/// What has a form in bytes.
pub(super) trait Code: Sized {
    fn put(&self, out: &mut Vec<u8>);
    fn get(from: &mut Reader<'_>) -> Result<Self, WireError>;
}

/// What goes from one node to another.
#[derive(Debug, Clone, PartialEq)]
pub enum Sent {
    /// Between voters.
    Message(Message),
    /// A whole EXEC, to the leader of its keys.
    Forward(u64, Box<Exec>),
    /// What the client of that EXEC is answered.
    Reply(u64, Vec<u8>),
}

/// Reads what must be all there is.
fn whole<T: Code>(bytes: &[u8]) -> Result<T, WireError> {
    let mut from = Reader::new(bytes);
    let value = T::get(&mut from)?;
    match from.remaining() {
        0 => Ok(value),
        _ => Err(WireError::Invalid { what: "bytes behind a message", at: from.offset() }),
    }
}

impl Sent {
    /// Appends it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.put(out);
    }

    /// Reads one, which must be all there is.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        whole(bytes)
    }
}

impl Record {
    /// Appends it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.put(out);
    }

    /// Reads one, which must be all there is.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        whole(bytes)
    }
}

impl Logged {
    /// Appends it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Logged::Bind(bind, plain) => {
                out.push(0);
                bind.put(out);
                plain.put(out);
            }
            Logged::Verdict { bind, vote, dot } => {
                out.push(1);
                bind.put(out);
                vote.put(out);
                dot.put(out);
            }
            Logged::Record(record) => {
                out.push(2);
                record.put(out);
            }
        }
    }

    /// Reads one, which must be all there is.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        whole(bytes)
    }
}

impl Code for Logged {
    fn put(&self, out: &mut Vec<u8>) {
        self.encode(out);
    }
    fn get(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let at = from.offset();
        Ok(match from.u8()? {
            0 => Logged::Bind(Code::get(from)?, Code::get(from)?),
            1 => Logged::Verdict { bind: Code::get(from)?, vote: Code::get(from)?, dot: Code::get(from)? },
            2 => Logged::Record(Code::get(from)?),
            _ => return Err(WireError::Invalid { what: "entry of a journal", at }),
        })
    }
}

impl Code for Sent {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Sent::Message(message) => {
                out.push(0);
                message.put(out);
            }
            Sent::Forward(id, exec) => {
                out.push(1);
                put_varint(out, *id);
                exec.put(out);
            }
            Sent::Reply(id, bytes) => {
                out.push(2);
                put_varint(out, *id);
                put_bytes(out, bytes);
            }
        }
    }
    fn get(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let at = from.offset();
        Ok(match from.u8()? {
            0 => Sent::Message(Code::get(from)?),
            1 => Sent::Forward(from.varint()?, Box::new(Code::get(from)?)),
            2 => Sent::Reply(from.varint()?, from.bytes()?.to_vec()),
            _ => return Err(WireError::Invalid { what: "frame", at }),
        })
    }
}

impl Code for Message {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Message::Ask { bind } => {
                out.push(0);
                bind.put(out);
            }
            Message::Prepare { bind, ballot } => {
                out.push(1);
                bind.put(out);
                ballot.put(out);
            }
            Message::Promise { bind, ballot, report } => {
                out.push(2);
                bind.put(out);
                ballot.put(out);
                report.put(out);
            }
            Message::Accept { bind, vote } => {
                out.push(3);
                bind.put(out);
                vote.put(out);
            }
            Message::Voted { bind, vote } => {
                out.push(4);
                bind.put(out);
                vote.put(out);
            }
            Message::Refused { bind, ballot, cause } => {
                out.push(5);
                bind.put(out);
                ballot.put(out);
                cause.put(out);
            }
            Message::Decided { bind, vote } => {
                out.push(6);
                bind.put(out);
                vote.put(out);
            }
        }
    }
    fn get(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let at = from.offset();
        Ok(match from.u8()? {
            0 => Message::Ask { bind: Code::get(from)? },
            1 => Message::Prepare { bind: Code::get(from)?, ballot: Code::get(from)? },
            2 => Message::Promise { bind: Code::get(from)?, ballot: Code::get(from)?, report: Code::get(from)? },
            3 => Message::Accept { bind: Code::get(from)?, vote: Code::get(from)? },
            4 => Message::Voted { bind: Code::get(from)?, vote: Code::get(from)? },
            5 => Message::Refused { bind: Code::get(from)?, ballot: Code::get(from)?, cause: Code::get(from)? },
            6 => Message::Decided { bind: Code::get(from)?, vote: Code::get(from)? },
            _ => return Err(WireError::Invalid { what: "message", at }),
        })
    }
}

impl Code for Refusal {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Refusal::Promised(ballot) => {
                out.push(0);
                ballot.put(out);
            }
            Refusal::Competitor => out.push(1),
            Refusal::PlainWrite => out.push(2),
            Refusal::Forgotten => out.push(3),
        }
    }
    fn get(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let at = from.offset();
        Ok(match from.u8()? {
            0 => Refusal::Promised(Code::get(from)?),
            1 => Refusal::Competitor,
            2 => Refusal::PlainWrite,
            3 => Refusal::Forgotten,
            _ => return Err(WireError::Invalid { what: "refusal", at }),
        })
    }
}

impl Code for Report {
    fn put(&self, out: &mut Vec<u8>) {
        self.accepted.put(out);
        self.plain.put(out);
        self.forgot.put(out);
        self.rivals.put(out);
    }
    fn get(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let (accepted, plain, forgot) = (Code::get(from)?, Code::get(from)?, Code::get(from)?);
        Ok(Self { accepted, plain, forgot, rivals: Code::get(from)? })
    }
}

impl Code for Rival {
    fn put(&self, out: &mut Vec<u8>) {
        self.rank.put(out);
        self.same_voters.put(out);
        self.accepted.put(out);
        out.push(match self.decided {
            None => 0,
            Some(false) => 1,
            Some(true) => 2,
        });
    }
    fn get(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let (rank, same_voters, accepted) = (Code::get(from)?, Code::get(from)?, Code::get(from)?);
        let at = from.offset();
        let decided = match from.u8()? {
            0 => None,
            1 => Some(false),
            2 => Some(true),
            _ => return Err(WireError::Invalid { what: "verdict", at }),
        };
        Ok(Self { rank, same_voters, accepted, decided })
    }
}

impl Code for Record {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Record::Forgot(life) => {
                out.push(0);
                out.extend_from_slice(&life.0.to_le_bytes());
            }
            Record::Promised(dot, ballot) => {
                out.push(1);
                dot.put(out);
                ballot.put(out);
            }
            Record::Accepted(dot, vote) => {
                out.push(2);
                dot.put(out);
                vote.put(out);
            }
            Record::Decided(dot, vote) => {
                out.push(3);
                dot.put(out);
                vote.put(out);
            }
            Record::Shown(shown) => {
                out.push(4);
                shown.put(out);
            }
            Record::Met(epoch) => {
                out.push(5);
                put_varint(out, *epoch);
            }
        }
    }
    fn get(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let at = from.offset();
        Ok(match from.u8()? {
            0 => Record::Forgot(Origin(from.u64()?)),
            1 => Record::Promised(Dot::get(from)?, Ballot::get(from)?),
            2 => Record::Accepted(Dot::get(from)?, Vote::get(from)?),
            3 => Record::Decided(Dot::get(from)?, Vote::get(from)?),
            4 => Record::Shown(Code::get(from)?),
            5 => Record::Met(from.varint()?),
            _ => return Err(WireError::Invalid { what: "record", at }),
        })
    }
}
