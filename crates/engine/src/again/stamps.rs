//! When what an effect would write over was written, by others than this node: as far as its log says, exactly; of what came in a copy
//! of the state, no later than the checkpoint that the row is of.
//!
//! *Invariant:* what is not known to be earlier counts as later: then nothing that the group has is lost, and what is not written is told.

use std::collections::HashMap;

use effect::wire::put_bytes;
use effect::{Batch, Batches, Deadline, Effect, HashSeed, Hlc, ListPos, Op};
use mvcc::{Store, Timestamp};
use wal::{Position, Reader};

use super::AgainError;
use crate::checkpoint::rows::meta_key;
use crate::engine::{RECORD_BATCHES, Shared};

/// Something that has one last writer.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part<'a> {
    /// The key as a whole.
    Key,
    /// Its deadline.
    Deadline,
    /// A field, a member.
    Element(&'a [u8]),
    /// The deadline of a field.
    FieldDeadline(&'a [u8]),
    /// What stands at a position of a list.
    At(&'a ListPos),
}

/// Of each thing that is asked for, when others wrote it last: a hash and a timestamp, for as many as what was kept aside names.
pub(super) struct Stamps {
    known: HashMap<u64, Option<Hlc>>,
    /// The log, as far as it has been looked at.
    log: Reader,
    /// The log is all there ever was; else there are rows of somebody else.
    is_whole: bool,
    seed: HashSeed,
    own: u64,
}

/// What it is called. Two of one name would be a chance of one in 2^64.
fn name(seed: HashSeed, db: u8, key: &[u8], part: Part<'_>) -> u64 {
    let mut bytes = Vec::with_capacity(key.len() + 32);
    bytes.push(db);
    put_bytes(&mut bytes, key);
    let (kind, rest): (u8, &[u8]) = match part {
        Part::Key => (0, b""),
        Part::Deadline => (1, b""),
        Part::Element(name) => (2, name),
        Part::FieldDeadline(name) => (3, name),
        Part::At(_) => (4, b""),
    };
    bytes.push(kind);
    bytes.extend_from_slice(rest);
    if let Part::At(pos) = part {
        pos.encode(0, &mut bytes);
    }
    seed.hash(&bytes)
}

impl Stamps {
    pub(super) fn new(shared: &Shared) -> Result<Self, AgainError> {
        let first = shared.log.first();
        let (log, is_whole) = (shared.log.reader(first)?, first == Position::START);
        Ok(Self { known: HashMap::new(), log, is_whole, seed: shared.seed, own: shared.origin().node() })
    }

    /// All that the effects of this batch will be asked about is looked for from now on.
    pub(super) fn ask(&mut self, batch: &Batch<'_>) -> Result<(), AgainError> {
        for effect in batch.effects() {
            let effect = effect?;
            asked(&effect, |part| {
                self.known.entry(name(self.seed, effect.db, effect.key, part)).or_default();
            });
        }
        Ok(())
    }

    /// Looks at what others have written since this was called last.
    pub(super) fn catch_up(&mut self, shared: &Shared) -> Result<(), AgainError> {
        shared.log.write_out()?;
        while let Some(record) = self.log.next()? {
            if record.kind != RECORD_BATCHES {
                continue;
            }
            for batch in Batches::decode(record.payload) {
                let batch = batch?;
                if batch.first.origin.node() == self.own {
                    continue;
                }
                for (n, effect) in (0..).zip(batch.effects()) {
                    let (effect, hlc) = (effect?, batch.hlc.plus(n));
                    let (known, seed) = (&mut self.known, self.seed);
                    written(&effect, |part| {
                        if let Some(stamp) = known.get_mut(&name(seed, effect.db, effect.key, part)) {
                            *stamp = (*stamp).max(Some(hlc));
                        }
                    });
                }
            }
        }
        Ok(())
    }

    /// Whether others have written it later than `hlc`, or may have.
    pub(super) fn is_later(
        &self,
        shared: &Shared,
        (db, key): (u8, &[u8]),
        part: Part<'_>,
        hlc: Hlc,
    ) -> Result<bool, AgainError> {
        if let Some(stamp) = self.known.get(&name(self.seed, db, key, part)).copied().flatten() {
            return Ok(stamp > hlc);
        }
        let Some(rows) = shared.checkpoints.found_rows().filter(|_| !self.is_whole) else { return Ok(false) };
        let place = shared.place_of(key);
        let row = meta_key(place.shard, place.order, db, key).key().map_err(mvcc::Error::from);
        let row = row.and_then(|row| rows.store.get(&row, Timestamp::LATEST));
        let row = row.map_err(|error| AgainError::Rest(error.to_string()))?;
        Ok(row.is_some_and(|version| version.commit.0 > hlc.0))
    }
}

/// What an effect writes. What is only taken away has no writer.
fn written<'e>(effect: &'e Effect<'_>, mut visit: impl FnMut(Part<'e>)) {
    match &effect.op {
        Op::FieldDeadlines(fields) => fields.iter().for_each(|(name, _)| visit(Part::FieldDeadline(name))),
        Op::Expire(_) => visit(Part::Deadline),
        Op::SetAt { pos, .. } => visit(Part::At(pos)),
        Op::Put { items, .. } => {
            visit(Part::Key);
            items.iter().for_each(|item| visit(Part::Element(item.id)));
        }
        Op::Set { deadline, .. } | Op::Replace { deadline, .. } => {
            visit(Part::Key);
            if *deadline != Deadline::Keep {
                visit(Part::Deadline);
            }
        }
        op if op.kind().is_some() => visit(Part::Key),
        _ => {}
    }
}

/// What the rules ask about an effect.
fn asked<'e>(effect: &'e Effect<'_>, mut visit: impl FnMut(Part<'e>)) {
    match &effect.op {
        Op::Drop { ids, .. } => ids.iter().for_each(|id| visit(Part::Element(id))),
        Op::Remove => visit(Part::Key),
        Op::FieldDeadlines(fields) => fields.iter().for_each(|(name, _)| {
            visit(Part::Element(name));
            visit(Part::FieldDeadline(name));
        }),
        _ => written(effect, visit),
    }
}
