//! What a concurrent effect makes of the plain value: its units, as the parts show them now.

use effect::items::{BytesShape, ItemShape};
use effect::reduce::{Plain, Reduced};
use effect::wire::Reader;
use effect::{Deadline, Effect, Folded, Item, ItemValue, KeyspaceId, Kind, ListPos, Merge, Op, Seq, SeqBuf, Side};

use crate::apply::apply_at;
use crate::engine::Shared;
use crate::guards::Guards;
use crate::stop::Place;
use crate::value::Entry;

/// A key, and its place.
#[derive(Clone, Copy)]
pub(super) struct At<'k> {
    pub(super) db: u8,
    pub(super) key: &'k [u8],
    pub(super) place: Place,
}

struct Patch<'p, 'g> {
    parts: &'p Reduced,
    guards: &'p mut Guards<'g>,
    shared: &'p Shared,
    at: At<'p>,
}

/// Brings the plain value to what the parts show, as far as the effect is about it; not its deadline.
pub(super) fn patch(parts: &Reduced, guards: &mut Guards<'_>, shared: &Shared, effect: &Effect<'_>, place: Place) {
    let at = At { db: effect.db, key: effect.key, place };
    let was = guards.get(place.shard).and_then(|shard| shard.find(at.db, place.order, at.key)).map(Entry::kind);
    if effect.fresh
        || is_whole(&effect.op)
        || kind_of(&effect.op).is_some_and(|kind| was.is_some_and(|was| was != kind))
    {
        return rebuild(parts, guards, shared, at);
    }
    let mut patch = Patch { parts, guards, shared, at };
    match &effect.op {
        Op::AddInt(_) | Op::AddDecimal(_) | Op::MaxBytes(_) | Op::Patch(_) => patch.string(),
        Op::Put { kind, items, .. } => items.iter().for_each(|item| patch.element(*kind, item.id)),
        Op::Drop { kind, ids } => ids.iter().for_each(|id| patch.element(*kind, id)),
        Op::FieldDeadlines(fields) => fields.iter().for_each(|(name, _)| patch.element(Kind::Hash, name)),
        Op::Push { side, first, values } => {
            let way = if *side == Side::Head { -1 } else { 1 };
            (0..values.len()).for_each(|i| patch.position(&first.step(way * i as i64)));
        }
        Op::Insert { pos, .. } => patch.position(pos),
        Op::SetAt { pos, value: _ } => patch.content(pos),
        Op::Cut(runs) => {
            patch.apply(effect.op.clone());
            // A position is taken again once its element has gone.
            runs.iter().for_each(|(first, len)| parts.each_shown_in(&first, len, |pos| patch.position(pos)));
        }
        _ => {}
    }
}

/// Brings the deadline of the plain value to what the parts show, which said something of it, or do so now.
pub(super) fn patch_deadline(parts: &Reduced, guards: &mut Guards<'_>, shared: &Shared, at: At<'_>) {
    Patch { parts, guards, shared, at }.deadline();
}

/// Makes the plain value what the parts show: nothing of the base is left.
pub(super) fn rebuild(parts: &Reduced, guards: &mut Guards<'_>, shared: &Shared, at: At<'_>) {
    let mut patch = Patch { parts, guards, shared, at };
    let Some(shown) = parts.shown() else { return patch.apply(Op::Remove) };
    let deadline = shown.deadline.map_or(Deadline::Clear, Deadline::At);
    if let Plain::String(value) = &shown.value {
        return patch.apply(Op::Set { value, deadline });
    }
    let mut bytes = Vec::new();
    shown.write(0, &mut bytes);
    if let Ok(value) = Folded::decode(0, &mut Reader::new(&bytes)) {
        patch.apply(Op::Replace { value, deadline });
    }
}

impl Patch<'_, '_> {
    fn apply(&mut self, op: Op<'_>) {
        let At { db, key, place } = self.at;
        let deps = Seq::empty(effect::codec::DotShape);
        let effect = Effect { keyspace: KeyspaceId::DEFAULT, db, key, fresh: false, deps, op };
        apply_at(self.guards, self.shared, &effect, Some(place), None);
    }

    fn string(&mut self) {
        if let Some(value) = self.parts.shown_string() {
            self.apply(Op::Set { value: &value, deadline: Deadline::Keep });
        }
    }

    /// A field or a member.
    fn element(&mut self, kind: Kind, id: &[u8]) {
        let (value, deadline) = match kind {
            Kind::Hash => match self.parts.shown_field(id) {
                Some(field) => (Some(field.value), field.deadline),
                None => (None, None),
            },
            _ => (None, None),
        };
        let shown = match kind {
            Kind::Hash => value.as_deref().map(ItemValue::Bytes),
            Kind::Set => self.parts.shows_member(id).then_some(ItemValue::Member),
            Kind::ZSet => self.parts.shown_score(id).map(ItemValue::Score),
            Kind::String | Kind::List => return,
        };
        match shown {
            Some(value) => {
                let merge = Merge::LastWriter;
                let mut items = SeqBuf::new(ItemShape { kind, merge });
                items.push(Item { id, value });
                let deadline = deadline.map_or(Deadline::Clear, Deadline::At);
                self.apply(Op::Put { kind, merge, deadline, items: items.seq() });
            }
            None => {
                let mut ids = SeqBuf::new(BytesShape);
                ids.push(id);
                self.apply(Op::Drop { kind, ids: ids.seq() });
            }
        }
    }

    fn position(&mut self, pos: &ListPos) {
        if let Some(value) = self.parts.shown_element(pos) {
            self.apply(Op::Insert { pos: pos.clone(), value: &value });
        }
    }

    fn content(&mut self, pos: &ListPos) {
        if let Some(value) = self.parts.shown_element(pos) {
            self.apply(Op::SetAt { pos: pos.clone(), value: &value });
        }
    }

    fn deadline(&mut self) {
        self.apply(Op::Expire(self.parts.shown_deadline()));
    }
}

/// Whether it takes everything that it has observed.
fn is_whole(op: &Op<'_>) -> bool {
    matches!(op, Op::Set { .. } | Op::Replace { .. } | Op::Snapshot { .. } | Op::Remove)
}

/// The type of which the key is after it.
fn kind_of(op: &Op<'_>) -> Option<Kind> {
    match op {
        Op::AddInt(_) | Op::AddDecimal(_) | Op::MaxBytes(_) | Op::Patch(_) => Some(Kind::String),
        Op::Put { kind, .. } => Some(*kind),
        Op::Push { .. } | Op::Insert { .. } => Some(Kind::List),
        _ => None,
    }
}
