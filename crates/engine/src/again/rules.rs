//! What becomes of an effect that the group never got, row by row: `docs/merging.md`, "What is written again".
//!
//! *Invariant:* an effect is written again, or has nothing left to do, or is told.

use effect::codec::DotShape;
use effect::items::{BytesShape, FieldShape, ItemShape, RunShape};
use effect::wire::Reader;
use effect::{
    Dot, Effect, Folded, FoldedWriter, GroupDefinition, Hlc, Kind, Merge, Op, Part as Piece, Patch, Seq, SeqBuf, Stamp,
};

use super::stamps::{Part, Stamps};
use super::{AgainError, Superseded};
use crate::context::{Context, settle};
use crate::echo;
use crate::keyspace::with_definition;
use crate::state::is_dead_hash;
use crate::value::Entry;

/// Emits what is to be written again of a batch, effect by effect.
pub(super) struct Rules<'r, 'e> {
    pub(super) context: Context<'e>,
    pub(super) stamps: &'r Stamps,
    /// The effect that is looked at.
    pub(super) dot: Dot,
    /// What is not written again.
    pub(super) superseded: Vec<Superseded>,
}

impl Rules<'_, '_> {
    /// See the module.
    pub(super) fn take(&mut self, effect: &Effect<'_>, hlc: Hlc) -> Result<(), AgainError> {
        let found = self.find(effect);
        let is = |part| self.stamps.is_later((effect.db, effect.key), part, hlc);
        match &effect.op {
            // It takes the place of something.
            Op::Set { .. } | Op::Patch(Patch::Write { .. } | Patch::Bits { .. }) => match is(Part::Key) {
                true => self.tell(effect, None, hlc),
                false => self.push(effect, found.is_none(), effect.op.clone()),
            },
            Op::Replace { value, deadline } => match is(Part::Key) {
                true => self.tell(effect, None, hlc),
                false => {
                    let mut bytes = Vec::new();
                    let home = self.context.out.origin().0;
                    let value = of_home(value, home, &mut bytes)?;
                    self.push(effect, found.is_none(), Op::Replace { value, deadline: *deadline });
                }
            },
            Op::Expire(_) => match found.is_none() || is(Part::Deadline) {
                true => self.tell(effect, None, hlc),
                false => self.push(effect, false, effect.op.clone()),
            },
            Op::SetAt { pos, .. } => match !self.has_at(effect, pos) || is(Part::At(pos)) {
                true => self.tell(effect, None, hlc),
                false => self.push(effect, false, effect.op.clone()),
            },
            Op::FieldDeadlines(fields) => {
                let mut left = SeqBuf::new(FieldShape);
                for (name, deadline) in fields.iter() {
                    let is_later = is(Part::Element(name)) || is(Part::FieldDeadline(name));
                    match found != Some(Kind::Hash) || is_later {
                        true => self.tell_of(effect, name, hlc),
                        false => left.push((name, deadline)),
                    }
                }
                if !left.seq().is_empty() {
                    self.push(effect, false, Op::FieldDeadlines(left.seq()));
                }
            }
            // It takes something away.
            Op::Remove => match (found, is(Part::Key)) {
                (None, _) => {}
                (Some(_), true) => self.tell(effect, None, hlc),
                (Some(_), false) => self.push(effect, false, Op::Remove),
            },
            Op::Drop { kind, ids } => {
                let mut left = SeqBuf::new(BytesShape);
                for id in ids.iter().filter(|_| found == Some(*kind)) {
                    match is(Part::Element(id)) {
                        true => self.tell_of(effect, id, hlc),
                        false => left.push(id),
                    }
                }
                if !left.seq().is_empty() {
                    self.push(effect, false, Op::Drop { kind: *kind, ids: left.seq() });
                }
            }
            Op::Cut(runs) if found == Some(Kind::List) => {
                // Nobody can write anew where something stood.
                let mut left = SeqBuf::new(RunShape { home: self.context.out.origin().0 });
                runs.iter().for_each(|run| left.push(run));
                self.push(effect, false, Op::Cut(left.seq()));
            }
            Op::Cut(_) => {}
            // It adds something: but the type of the key is that of the last writer.
            Op::AddInt(_)
            | Op::AddDecimal(_)
            | Op::MaxBytes(_)
            | Op::Patch(Patch::Append(_))
            | Op::Push { .. }
            | Op::Insert { .. }
            | Op::Put { .. } => {
                let is_other = found.is_some() && found != effect.op.kind();
                match is_other && is(Part::Key) {
                    true => self.tell(effect, None, hlc),
                    false => self.add(effect, found, hlc),
                }
            }
            // What was exchanged has exchanged the names of what came behind it.
            Op::SwapDb(_) => self.push(effect, false, effect.op.clone()),
            Op::FlushDb | Op::FlushAll | Op::Rename { .. } | Op::Snapshot { .. } => self.tell(effect, None, hlc),
            Op::Noop | Op::Bind(_) | Op::Verdict { .. } | Op::Serialize(_) | Op::Again(_) => {}
            Op::Define(_) | Op::Undefine | Op::Moved(_) => {}
            Op::GroupDefine(definition) => self.define(effect, definition.as_ref(), hlc),
        }
        Ok(())
    }

    /// A keyspace of the group: who defined it later is known exactly, also of what came in a copy.
    fn define(&mut self, effect: &Effect<'_>, definition: Option<&GroupDefinition<'_>>, hlc: Hlc) {
        let (known, own) = (self.context.shared.keyspaces.group.save(), self.dot.origin.node());
        if known.last_of_others(effect.key, own).is_some_and(|last| last.hlc > hlc) {
            return self.tell(effect, None, hlc);
        }
        let before = known.first(effect.key);
        if definition.is_none() && before.is_none() {
            return;
        }
        let definition = definition.map(|definition| {
            let first = definition.first.unwrap_or(Stamp::new(self.dot, hlc));
            GroupDefinition { first: Some(before.map_or(first, |before| before.min(first))), ..definition.clone() }
        });
        with_definition(&known, effect.key, definition, |effect| self.context.out.batch.push(effect));
    }

    /// What adds something. Of fields and scores the last writer's stays.
    fn add(&mut self, effect: &Effect<'_>, found: Option<Kind>, hlc: Hlc) {
        let Op::Put { kind: kind @ (Kind::Hash | Kind::ZSet), merge: merge @ Merge::LastWriter, deadline, items } =
            &effect.op
        else {
            self.push(effect, found.is_none(), effect.op.clone());
            return;
        };
        let mut left = SeqBuf::new(ItemShape { kind: *kind, merge: *merge });
        for item in items.iter() {
            let part = Part::Element(item.id);
            match self.stamps.is_later((effect.db, effect.key), part, hlc) && self.has(effect, item.id) {
                true => self.tell_of(effect, item.id, hlc),
                false => left.push(item),
            }
        }
        if !left.seq().is_empty() {
            let (kind, merge, deadline) = (*kind, *merge, *deadline);
            self.push(effect, found.is_none(), Op::Put { kind, merge, deadline, items: left.seq() });
        }
    }

    fn entry(&self, effect: &Effect<'_>) -> Option<&Entry> {
        let place = self.context.shared.place_of(effect.key);
        self.context.state.shard(place.shard).ok()?.find(effect.db, place.order, effect.key)
    }

    /// The type of the key, if it is there to a reader.
    fn find(&self, effect: &Effect<'_>) -> Option<Kind> {
        let (entry, now_ms) = (self.entry(effect)?, self.context.state.now_ms());
        let is_over = entry.deadline().is_some_and(|at| at <= now_ms) || is_dead_hash(entry, now_ms);
        if is_over {
            self.context.state.met_expired.set(true);
        }
        (!is_over).then(|| entry.kind())
    }

    fn has(&self, effect: &Effect<'_>, id: &[u8]) -> bool {
        let Some(entry) = self.entry(effect) else { return false };
        let field = entry.hash().is_some_and(|hash| hash.get(id).is_some());
        field || entry.zset().is_some_and(|zset| zset.score(id).is_some())
    }

    fn has_at(&self, effect: &Effect<'_>, pos: &effect::ListPos) -> bool {
        self.entry(effect).and_then(Entry::list).is_some_and(|list| list.at(pos).is_some())
    }

    fn push(&mut self, effect: &Effect<'_>, fresh: bool, op: Op<'_>) {
        let deps = Seq::empty(DotShape);
        self.context.out.batch.push(&Effect { fresh, deps, op, ..effect.clone() });
        // What comes behind it in its batch finds it.
        settle(&mut self.context.state, &mut self.context.out);
    }

    pub(super) fn tell(&mut self, effect: &Effect<'_>, element: Option<&[u8]>, hlc: Hlc) {
        let db = self.context.shared.logical(effect.db);
        let (key, element) = (effect.key.to_vec(), element.map(<[u8]>::to_vec));
        self.superseded.push(Superseded { dot: self.dot, db, key, element, hlc, op: name(&effect.op) });
    }

    fn tell_of(&mut self, effect: &Effect<'_>, element: &[u8], hlc: Hlc) {
        self.tell(effect, Some(element), hlc);
    }
}

/// What is said of it, as keyspace events say it.
fn name(op: &Op<'_>) -> &'static str {
    match op {
        Op::FlushDb => "flushdb",
        Op::FlushAll => "flushall",
        Op::GroupDefine(Some(_)) => "keyspace|set",
        Op::GroupDefine(None) => "keyspace|del",
        op => echo::event_of(op).map_or("other", |(_, name)| name),
    }
}

/// The same value in a batch of `home`.
fn of_home<'b>(value: &Folded<'_>, home: u64, bytes: &'b mut Vec<u8>) -> Result<Folded<'b>, AgainError> {
    let mut elements = Vec::new();
    value.for_each(|piece| {
        if let Piece::Element(pos, value) = piece {
            elements.push((pos, value));
        }
    });
    if value.kind() == Kind::List {
        let mut writer = FoldedWriter::collection(bytes, Kind::List, home, elements.len());
        elements.iter().for_each(|(pos, value)| writer.run(pos, std::iter::once(*value)));
    } else {
        value.encode(bytes);
    }
    Ok(Folded::decode(home, &mut Reader::new(bytes))?)
}
