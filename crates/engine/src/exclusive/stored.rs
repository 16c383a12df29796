//! Transactions in a checkpoint, so that what is made of it needs no log before it: a start, a backup, a copy for another member.
//!
//! ```text
//! exclusives := count varint ‖ (batch bytes ‖ committed u8 ‖ ballot varint ‖ dots ‖ early)* ‖ flushes
//! early      := 0 u8, or 1 u8 ‖ count varint ‖ (vector ‖ record bytes)*
//! dots       := count varint ‖ (origin u64 LE ‖ seq varint)*          the verdicts, none while it is undecided
//! flushes    := count varint ‖ (origin u64 LE ‖ seq varint ‖ 0 u8, or 1 u8 ‖ db u8)*
//! ```
//! Behind a batch stands what its transaction had not observed of its keys, up to the flip; 0: that was not to be had.

use std::sync::Arc;

use effect::wire::{Reader, put_bytes, put_varint};
use effect::{Batch, Dot, Origin, Vector, WireError};
use wal::{LogError, Position};

use super::later::Early;
use super::{Later, Pending, bind_of};
use crate::engine::Shared;
use crate::feed::{FeedError, Waymark};

/// What there was at the flip.
#[derive(Default)]
pub(crate) struct Frozen {
    pub(super) pending: Vec<Arc<Pending>>,
    pub(super) flushes: Vec<Flush>,
}

/// A flush, of one physical database or of all.
pub(super) type Flush = (Dot, Option<u8>);

/// The same as it is stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(super) pending: Vec<KeptBind>,
    pub(super) flushes: Vec<Flush>,
}

/// A transaction with its verdicts and what it had not observed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeptBind {
    pub(super) batch: Arc<[u8]>,
    /// Of one that is decided.
    pub(super) outcome: (bool, u64),
    pub(super) verdicts: Vec<Dot>,
    pub(super) early: Option<Arc<[Early]>>,
}

impl Frozen {
    /// Reads what the transactions had not observed, before the position of the flip.
    pub(crate) fn keep(self, shared: &Shared, position: Position) -> Result<Kept, LogError> {
        let keep = |pending: Arc<Pending>| {
            let (batch, verdicts) = (Arc::clone(&pending.batch), pending.verdicts.clone());
            let early = match pending.verdicts.is_empty() {
                false => Some([].into()),
                true => match Later::read(shared, &pending, Some(position)) {
                    Ok(later) => Some(later.into_records()),
                    Err(FeedError::Log(error)) => return Err(error),
                    Err(FeedError::Gone { .. } | FeedError::Record { .. }) => None,
                },
            };
            Ok(KeptBind { batch, outcome: pending.outcome.unwrap_or_default(), verdicts, early })
        };
        let pending = self.pending.into_iter().map(keep).collect::<Result<_, _>>()?;
        Ok(Kept { pending, flushes: self.flushes })
    }
}

impl KeptBind {
    /// As it is behind the checkpoint, whose position is that of `mark`.
    pub(super) fn restore(&self, mark: &Waymark) -> Result<Pending, WireError> {
        let from = self.early.as_ref().map(|_| mark.clone());
        Ok(Pending { early: self.early.clone(), ..Pending::new(&Batch::decode(&self.batch)?, &self.batch, from)? })
    }
}

impl Kept {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.pending.len() as u64);
        for KeptBind { batch, outcome: (committed, ballot), verdicts, early } in &self.pending {
            put_bytes(out, batch);
            out.push(u8::from(*committed));
            put_varint(out, *ballot);
            put_varint(out, verdicts.len() as u64);
            verdicts.iter().for_each(|dot| put_dot(*dot, out));
            out.push(u8::from(early.is_some()));
            let Some(early) = early else { continue };
            put_varint(out, early.len() as u64);
            for Early { context, record } in early.iter() {
                context.encode(out);
                put_bytes(out, record);
            }
        }
        put_varint(out, self.flushes.len() as u64);
        for (dot, db) in &self.flushes {
            put_dot(*dot, out);
            out.push(u8::from(db.is_some()));
            out.extend(db);
        }
    }

    pub(crate) fn decode(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let mut kept = Self::default();
        for _ in 0..from.varint()? {
            let at = from.offset();
            let batch: Arc<[u8]> = from.bytes()?.into();
            if !Batch::decode(&batch).is_ok_and(|batch| bind_of(&batch).is_some()) {
                return Err(WireError::Invalid { what: "transaction", at });
            }
            let outcome = (flag(from)?, from.varint()?);
            let mut verdicts = Vec::new();
            for _ in 0..from.varint()? {
                verdicts.push(dot(from)?);
            }
            let early = if flag(from)? { Some(records(from)?) } else { None };
            kept.pending.push(KeptBind { batch, outcome, verdicts, early });
        }
        for _ in 0..from.varint()? {
            let dot = dot(from)?;
            let db = if flag(from)? { Some(from.u8()?) } else { None };
            kept.flushes.push((dot, db));
        }
        Ok(kept)
    }
}

fn records(from: &mut Reader<'_>) -> Result<Arc<[Early]>, WireError> {
    let mut records = Vec::new();
    for _ in 0..from.varint()? {
        let context = Vector::decode(from)?;
        records.push(Early { context, record: from.bytes()?.to_vec() });
    }
    Ok(records.into())
}

fn flag(from: &mut Reader<'_>) -> Result<bool, WireError> {
    let at = from.offset();
    match from.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(WireError::Invalid { what: "flag", at }),
    }
}

fn put_dot(dot: Dot, out: &mut Vec<u8>) {
    out.extend_from_slice(&dot.origin.0.to_le_bytes());
    put_varint(out, dot.seq);
}

fn dot(from: &mut Reader<'_>) -> Result<Dot, WireError> {
    Ok(Dot { origin: Origin(from.u64()?), seq: from.varint()? })
}

#[cfg(test)]
mod tests {
    use effect::codec::{BindKeyShape, DotShape, NodeShape};
    use effect::{BatchBuf, Bind, Effect, GroupId, Hlc, KeyspaceId, Op, Seq};

    use super::*;

    #[test]
    fn what_is_stored_is_read_back_and_what_is_cut_is_refused() {
        let mut batch = BatchBuf::new(GroupId(0), Origin(1));
        let (voters, context, keys) = (Seq::empty(NodeShape), Seq::empty(DotShape), Seq::empty(BindKeyShape));
        let op = Op::Bind(Bind { exclusive: true, is_unsafe: false, voters, context, keys });
        let deps = Seq::empty(DotShape);
        batch.push(&Effect { keyspace: KeyspaceId::DEFAULT, db: 0, key: b"", fresh: false, deps, op });
        batch.stamp(5, Hlc(7));
        let batch: Arc<[u8]> = batch.encoded().into();
        let early = Early { context: [Dot { origin: Origin(2), seq: 3 }].into_iter().collect(), record: vec![1, 2] };
        let dot = |seq| Dot { origin: Origin(4), seq };
        let bind = |verdicts: &[Dot], early: Option<Vec<Early>>| KeptBind {
            batch: Arc::clone(&batch),
            outcome: (!verdicts.is_empty(), 300),
            verdicts: verdicts.to_vec(),
            early: early.map(Arc::from),
        };
        let pending = vec![bind(&[], Some(vec![early])), bind(&[dot(8), dot(9)], Some(Vec::new())), bind(&[], None)];
        let kept = Kept { pending, flushes: vec![(dot(1), None), (dot(2), Some(3))] };
        let mut bytes = Vec::new();
        kept.encode(&mut bytes);
        assert_eq!(Kept::decode(&mut Reader::new(&bytes)), Ok(kept));
        assert!((0..bytes.len()).all(|len| Kept::decode(&mut Reader::new(&bytes[..len])).is_err()));
    }
}
