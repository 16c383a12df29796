//! What messages and records are made of.

use std::sync::Arc;

use effect::wire::{Reader, put_bytes, put_varint};
use effect::{Dot, KeyspaceId, Origin, TraceContext, Vector, WireError};

use super::Code;
use crate::bind::ballot::{Ballot, Voters};
use crate::bind::limits::{MAX_ARGUMENTS, MAX_KEYS, MAX_VOTERS};
use crate::bind::message::{Exec, Vote, Watch};
use crate::bind::safety::Safety;
use crate::bind::transaction::{Bind, Key, KeyUse, Rank};

impl Code for bool {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
    fn get(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let at = from.offset();
        match from.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(WireError::Invalid { what: "yes or no", at }),
        }
    }
}

impl Code for Dot {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.origin.0.to_le_bytes());
        put_varint(out, self.seq);
    }
    fn get(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let at = from.offset();
        match (Origin(from.u64()?), from.varint()?) {
            (_, 0) => Err(WireError::Invalid { what: "dot", at }),
            (origin, seq) => Ok(Dot { origin, seq }),
        }
    }
}

impl Code for Ballot {
    fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.0);
    }
    fn get(from: &mut Reader<'_>) -> Result<Self, WireError> {
        from.varint().map(Ballot)
    }
}

impl Code for Vote {
    fn put(&self, out: &mut Vec<u8>) {
        self.ballot.put(out);
        self.commit.put(out);
    }
    fn get(from: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self { ballot: Code::get(from)?, commit: Code::get(from)? })
    }
}

impl<T: Code> Code for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_some().put(out);
        self.iter().for_each(|value| value.put(out));
    }
    fn get(from: &mut Reader<'_>) -> Result<Self, WireError> {
        if bool::get(from)? { T::get(from).map(Some) } else { Ok(None) }
    }
}

/// Each takes a byte at least, so that no count asks for more than is there.
impl<T: Code> Code for Vec<T> {
    fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.len() as u64);
        self.iter().for_each(|value| value.put(out));
    }
    fn get(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let mut values = Vec::new();
        for _ in 0..from.varint()? {
            values.push(T::get(from)?);
        }
        Ok(values)
    }
}

impl<A: Code, B: Code> Code for (A, B) {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
        self.1.put(out);
    }
    fn get(from: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok((A::get(from)?, B::get(from)?))
    }
}

impl Code for Rank {
    fn put(&self, out: &mut Vec<u8>) {
        self.dot.put(out);
        out.extend_from_slice(&self.fork);
    }
    fn get(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let dot = Code::get(from)?;
        Ok(Self { dot, fork: from.take(32)?.try_into().expect("take returned 32 bytes") })
    }
}

impl Code for Voters {
    fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.len() as u64);
        self.iter().for_each(|node| put_varint(out, node));
    }
    fn get(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let at = from.offset();
        let invalid = WireError::Invalid { what: "voters", at };
        let mut nodes: Vec<u64> = Vec::new();
        for _ in 0..from.varint()? {
            let node = from.varint()?;
            if nodes.len() == MAX_VOTERS || nodes.last().is_some_and(|last| *last >= node) {
                return Err(invalid);
            }
            nodes.push(node);
        }
        Voters::new(nodes).ok_or(invalid)
    }
}

impl Code for Key {
    fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, u64::from(self.keyspace.0));
        out.push(self.db);
        put_bytes(out, &self.name);
    }
    fn get(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let at = from.offset();
        let keyspace = u16::try_from(from.varint()?).map_err(|_| WireError::Invalid { what: "keyspace id", at })?;
        Ok(Self { keyspace: KeyspaceId(keyspace), db: from.u8()?, name: from.bytes()?.into() })
    }
}

impl Code for KeyUse {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.read) | u8::from(self.written) << 1);
        self.key.put(out);
    }
    fn get(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let at = from.offset();
        let flags = from.u8()?;
        if flags > 3 {
            return Err(WireError::Invalid { what: "use of a key", at });
        }
        Ok(Self { key: Code::get(from)?, read: flags & 1 != 0, written: flags & 2 != 0 })
    }
}

impl Code for Arc<Bind> {
    fn put(&self, out: &mut Vec<u8>) {
        self.rank().put(out);
        (self.safety() == Safety::Unsafe).put(out);
        self.voters().put(out);
        self.context().encode(out);
        put_varint(out, self.keys().len() as u64);
        self.keys().iter().for_each(|used| used.put(out));
    }
    fn get(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let (rank, is_unsafe, voters) = (Code::get(from)?, bool::get(from)?, Code::get(from)?);
        let context = Vector::decode(from)?;
        let at = from.offset();
        let mut keys: Vec<KeyUse> = Vec::new();
        for _ in 0..from.varint()? {
            let used = KeyUse::get(from)?;
            if keys.len() == MAX_KEYS || keys.last().is_some_and(|last| last.key >= used.key) {
                return Err(WireError::Invalid { what: "keys of a transaction", at });
            }
            keys.push(used);
        }
        let safety = if is_unsafe { Safety::Unsafe } else { Safety::Safe };
        Ok(Arc::new(Bind::ranked(rank, voters, &context, keys, safety)))
    }
}

impl Code for Watch {
    fn put(&self, out: &mut Vec<u8>) {
        self.key.put(out);
        self.seen.encode(out);
        self.existed.put(out);
    }
    fn get(from: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self { key: Code::get(from)?, seen: Vector::decode(from)?, existed: Code::get(from)? })
    }
}

impl Code for TraceContext {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
    fn get(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let mut trace = [0; 24];
        for byte in &mut trace {
            *byte = from.u8()?;
        }
        Ok(trace)
    }
}

impl Code for Exec {
    fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.turn);
        self.led.put(out);
        put_varint(out, self.commands.len() as u64);
        for command in &self.commands {
            put_varint(out, command.len() as u64);
            command.iter().for_each(|argument| put_bytes(out, argument));
        }
        self.watches.put(out);
        put_bytes(out, &self.user);
        out.push(self.db);
        self.resp3.put(out);
        self.trace.put(out);
    }
    fn get(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let (turn, led) = (from.varint()?, Code::get(from)?);
        let at = from.offset();
        let (mut commands, mut arguments) = (Vec::new(), 0);
        for _ in 0..from.varint()? {
            let mut command: Vec<Vec<u8>> = Vec::new();
            for _ in 0..from.varint()? {
                arguments += 1;
                if arguments > MAX_ARGUMENTS {
                    return Err(WireError::Invalid { what: "number of arguments", at });
                }
                command.push(from.bytes()?.to_vec());
            }
            // One without a name would cost memory and say nothing.
            if command.is_empty() {
                return Err(WireError::Invalid { what: "command", at });
            }
            commands.push(command);
        }
        let (watches, user) = (Code::get(from)?, from.bytes()?.to_vec());
        let (db, resp3, trace) = (from.u8()?, Code::get(from)?, Code::get(from)?);
        Ok(Self { turn, led, commands, watches, user, db, resp3, trace })
    }
}
