//! Keyspace events for what other replicas have done: told by what an effect says, since their commands are not known here.
//!
//! ```text
//!   effect ─▶ was the key there? ─▶ applied ─▶ is it there? ─▶ `new`, the operation's event, `expire`, `del` for what it emptied
//! ```
//! *Invariant:* while nobody wants events, an effect pays one relaxed load for them.
//! *Invariant:* a name is one that a command with this effect could have caused here.

use effect::{Deadline, Effect, Kind, Merge, Op, Patch, Side};
use wal::Position;

use crate::engine::Shared;
use crate::events::{Event, EventClass};
use crate::guards::Guards;
use crate::state::is_dead_hash;

/// What the key of an effect was before it.
pub(crate) struct Echo<'e> {
    effect: &'e Effect<'e>,
    was: Option<Kind>,
    now_ms: i64,
}

impl<'e> Echo<'e> {
    /// The effect is about to be applied; none if nobody wants to hear of it.
    pub(crate) fn begin(shared: &Shared, guards: &Guards<'_>, effect: &'e Effect<'e>, now_ms: i64) -> Option<Self> {
        let is_wanted = shared.events.wanted() != EventClass::default() && effect.op.is_of_one_key();
        is_wanted.then(|| Self { effect, was: kind_of(shared, guards, effect, now_ms), now_ms })
    }

    /// It was applied, and is in the log at `position`.
    pub(crate) fn tell(self, shared: &Shared, guards: &Guards<'_>, position: Position) {
        let Self { effect, was, now_ms } = self;
        let is = kind_of(shared, guards, effect, now_ms);
        let db = shared.logical(effect.db);
        let tell = |class, name| shared.events.tell(&Event { class, name, db, key: effect.key.into() }, position);
        let Some((class, name)) = event_of(&effect.op) else { return };
        if let (Op::Set { .. } | Op::Replace { .. }, Some(was)) = (&effect.op, was) {
            tell(EventClass::OVERWRITTEN, "overwritten");
            if is.is_some_and(|is| is != was) {
                tell(EventClass::TYPE_CHANGED, "type_changed");
            }
        }
        if was.is_none() && is.is_some() {
            tell(EventClass::NEW, "new");
        }
        let is_removal = effect.op == Op::Remove;
        if !is_removal {
            tell(class, name);
        }
        if let Op::Set { deadline: Deadline::At(_), .. } = effect.op {
            tell(EventClass::GENERIC, "expire");
        }
        // What had observed less than is here removes less.
        if was.is_some() && is.is_none() {
            tell(EventClass::GENERIC, "del");
        }
    }
}

/// What the key is to a reader now.
fn kind_of(shared: &Shared, guards: &Guards<'_>, effect: &Effect<'_>, now_ms: i64) -> Option<Kind> {
    let place = shared.place_of(effect.key);
    let entry = guards.get(place.shard)?.find(effect.db, place.order, effect.key)?;
    let is_over = entry.deadline().is_some_and(|at| at <= now_ms) || is_dead_hash(entry, now_ms);
    (!is_over).then(|| entry.kind())
}

/// The event of the command that most often causes such an effect.
pub(crate) fn event_of(op: &Op<'_>) -> Option<(EventClass, &'static str)> {
    use EventClass as C;
    Some(match op {
        Op::Set { .. } => (C::STRING, "set"),
        Op::AddInt(_) => (C::STRING, "incrby"),
        Op::AddDecimal(_) => (C::STRING, "incrbyfloat"),
        Op::Patch(Patch::Append(_)) => (C::STRING, "append"),
        Op::Patch(Patch::Bits { .. }) => (C::STRING, "setbit"),
        Op::Patch(Patch::Write { .. }) | Op::MaxBytes(_) => (C::STRING, "setrange"),
        Op::Put { kind: Kind::Hash, merge: Merge::AddInt, .. } => (C::HASH, "hincrby"),
        Op::Put { kind: Kind::Hash, merge: Merge::AddFloat, .. } => (C::HASH, "hincrbyfloat"),
        Op::Put { kind: Kind::Hash, .. } => (C::HASH, "hset"),
        Op::Put { kind: Kind::ZSet, merge: Merge::AddFloat, .. } => (C::ZSET, "zincr"),
        Op::Put { kind: Kind::ZSet, .. } => (C::ZSET, "zadd"),
        Op::Put { .. } => (C::SET, "sadd"),
        Op::Drop { kind: Kind::Hash, .. } => (C::HASH, "hdel"),
        Op::Drop { kind: Kind::ZSet, .. } => (C::ZSET, "zrem"),
        Op::Drop { .. } => (C::SET, "srem"),
        Op::FieldDeadlines(fields) if fields.iter().any(|(_, deadline)| deadline.is_some()) => (C::HASH, "hexpire"),
        Op::FieldDeadlines(_) => (C::HASH, "hpersist"),
        Op::Push { side: Side::Head, .. } => (C::LIST, "lpush"),
        Op::Push { side: Side::Tail, .. } => (C::LIST, "rpush"),
        Op::Insert { .. } => (C::LIST, "linsert"),
        Op::SetAt { .. } => (C::LIST, "lset"),
        Op::Cut(_) => (C::LIST, "lrem"),
        Op::Replace { .. } | Op::Snapshot { .. } => (C::GENERIC, "restore"),
        Op::Expire(Some(_)) => (C::GENERIC, "expire"),
        Op::Expire(None) => (C::GENERIC, "persist"),
        Op::Remove => (C::GENERIC, "del"),
        _ => return None,
    })
}
