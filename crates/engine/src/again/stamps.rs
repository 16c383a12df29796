//! When what an effect would write over was written, by others than this node: as far as its log says, exactly; of what came in a copy
//! of the state, no later than the checkpoint that the row is of (`copied.rs`).
//!
//! *Invariant:* what is not known to be earlier counts as later: then nothing that the group has is lost, and what is not written is told.
//!
//! *Invariant:* nothing that this node does makes anything later.

use std::collections::HashMap;

use effect::wire::put_bytes;
use effect::{Batch, Batches, Deadline, Effect, Folded, HashSeed, Hlc, ListPos, Op, Part as Piece};
use wal::Reader;

use super::AgainError;
use super::copied;
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
    /// Of each key that came in a copy, when anything of it was written at the latest.
    copied: HashMap<u64, Hlc>,
    /// The log, as far as it has been looked at.
    log: Reader,
    seed: HashSeed,
    own: u64,
}

/// What it is called. Two of one name would be a chance of one in 2^64.
pub(super) fn name(seed: HashSeed, db: u8, key: &[u8], part: Part<'_>) -> u64 {
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
        let log = shared.log.reader(shared.log.first())?;
        let copied = if copied::began_with_rows(shared) { copied::load(shared)? } else { HashMap::new() };
        Ok(Self { known: HashMap::new(), copied, log, seed: shared.seed, own: shared.origin().node() })
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

    /// Looks at what others have written since this was called last, as far as there is room for; whether that is all of it.
    pub(super) fn catch_up(&mut self, shared: &Shared, room: &mut usize) -> Result<bool, AgainError> {
        shared.log.write_out()?;
        while *room > 0 {
            let Some(record) = self.log.next()? else { return Ok(true) };
            *room = room.saturating_sub(record.payload.len());
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
        Ok(false)
    }

    /// Whether others have written it later than `hlc`, or may have.
    pub(super) fn is_later(&self, (db, key): (u8, &[u8]), part: Part<'_>, hlc: Hlc) -> bool {
        let known = self.known.get(&name(self.seed, db, key, part)).copied().flatten();
        known.max(self.copied.get(&name(self.seed, db, key, Part::Key)).copied()) > Some(hlc)
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
            if let Op::Replace { value, .. } = &effect.op {
                elements(value, &mut visit);
            }
            if *deadline != Deadline::Keep {
                visit(Part::Deadline);
            }
        }
        op if op.kind().is_some() => visit(Part::Key),
        _ => {}
    }
}

/// The elements of a whole value that have names. The positions of a list are new ones.
fn elements<'e>(value: &Folded<'e>, visit: &mut impl FnMut(Part<'e>)) {
    value.for_each(|piece| match piece {
        Piece::Field { field: id, .. } | Piece::Member(id) | Piece::Scored(id, _) => visit(Part::Element(id)),
        Piece::String(_) | Piece::Element(..) => {}
    });
}

/// What the rules ask about an effect.
fn asked<'e>(effect: &'e Effect<'_>, mut visit: impl FnMut(Part<'e>)) {
    match &effect.op {
        Op::Drop { ids, .. } => ids.iter().for_each(|id| visit(Part::Element(id))),
        Op::Remove | Op::Replace { .. } => visit(Part::Key),
        Op::FieldDeadlines(fields) => fields.iter().for_each(|(name, _)| {
            visit(Part::Element(name));
            visit(Part::FieldDeadline(name));
        }),
        _ => written(effect, visit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_log_says_does_not_hide_what_came_in_a_copy_nor_the_other_way_round() {
        let dir = tempfile::tempdir().unwrap();
        let log = wal::Log::open(dir.path().join("log"), wal::Options::default(), ()).unwrap().0;
        let seed = HashSeed([7; 16]);
        let of = |part| name(seed, 0, b"k", part);
        let stamps = |known: Option<u64>, copied: Option<u64>| Stamps {
            known: HashMap::from([(of(Part::Element(b"f")), known.map(Hlc))]),
            copied: copied.map(|hlc| (of(Part::Key), Hlc(hlc))).into_iter().collect(),
            log: log.reader(wal::Position::START).unwrap(),
            seed,
            own: 1,
        };
        let is_later = |known, copied, hlc| stamps(known, copied).is_later((0, b"k"), Part::Element(b"f"), Hlc(hlc));
        for (known, copied) in [(Some(10), Some(30)), (Some(30), Some(10)), (Some(30), None), (None, Some(30))] {
            assert!(is_later(known, copied, 20), "{known:?} {copied:?}");
            assert!(!is_later(known, copied, 30), "{known:?} {copied:?}: it is not later than itself");
        }
        assert!(!is_later(None, None, 0), "nobody else has written it");
    }
}
