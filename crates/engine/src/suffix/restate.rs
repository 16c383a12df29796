//! Deadlines that are kept, said again: a write that keeps one (KEEPTTL) takes a value that has lost, but not the deadline that was
//! hidden with it, which would count then. Nor does one that makes a field (HINCRBY) take what was said of the field's deadline while
//! there was none. So the one that the writer saw is stated behind it, in the same batch.

use effect::items::FieldShape;
use effect::{BatchMark, Deadline, Effect, Item, Kind, Merge, Op, SeqBuf};

use crate::context::settle;
use crate::emitter::Emitter;
use crate::shard::Shard;
use crate::state::State;
use crate::stop::Place;

/// A key, or a field of it, by physical database.
type Name = (u8, Vec<u8>, Option<Vec<u8>>);

/// See the module; before a batch is logged.
#[cold]
pub(crate) fn restate(state: &mut State<'_>, out: &mut Emitter<'_>) {
    if !out.batch.may_keep_deadlines() {
        return;
    }
    let mut hiding: Vec<Name> = Vec::new();
    out.batch.each_since(BatchMark::START, |effect| {
        if !keeps(effect) {
            return;
        }
        let place = state.shared.place_of(effect.key);
        if let Ok(shard) = state.shard(place.shard) {
            hiding.extend(hides(shard, place, effect));
        }
    });
    if !hiding.is_empty() {
        settle(state, out);
    }
    for (db, key, field) in &hiding {
        let place = state.shared.place_of(key);
        let Some(entry) = state.shard(place.shard).ok().and_then(|shard| shard.find(*db, place.order, key)) else {
            continue;
        };
        match field {
            None => out.again(*db, key, Op::Expire(entry.deadline())),
            Some(field) => {
                let Some(found) = entry.hash().and_then(|hash| hash.get(field)) else { continue };
                let mut fields = SeqBuf::new(FieldShape);
                fields.push((field, found.deadline));
                out.again(*db, key, Op::FieldDeadlines(fields.seq()));
            }
        }
    }
}

/// Whether the effect keeps a deadline.
fn keeps(effect: &Effect<'_>) -> bool {
    let is_kept = |deadline: &Deadline| *deadline == Deadline::Keep && !effect.fresh;
    match &effect.op {
        Op::Set { deadline, .. } | Op::Replace { deadline, .. } => is_kept(deadline),
        Op::Put { kind: Kind::Hash, deadline, .. } => is_kept(deadline),
        _ => false,
    }
}

/// The key, or the fields, of which an effect that keeps the deadline does so while another one is hidden.
fn hides(shard: &Shard, place: Place, effect: &Effect<'_>) -> Vec<Name> {
    let name = |field: Option<&[u8]>| (effect.db, effect.key.to_vec(), field.map(<[u8]>::to_vec));
    // A single SET hides nothing.
    let found = shard.suffix.find_opened(place, effect.db, effect.key).and_then(|unstable| unstable.causality.as_ref());
    let Some(causality) = found else { return Vec::new() };
    let hides = |field: Option<&[u8]>| causality.parts.hides_deadlines(field);
    match &effect.op {
        Op::Put { merge, items, .. } => {
            let loses = |id: &[u8]| *merge == Merge::LastWriter && hides(Some(id));
            let restates = |item: &Item<'_>| loses(item.id) || causality.parts.has_lone_deadline(item.id);
            items.iter().filter(restates).map(|item| name(Some(item.id))).collect()
        }
        _ if hides(None) => vec![name(None)],
        _ => Vec::new(),
    }
}
