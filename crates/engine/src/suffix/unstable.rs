//! The recent effects on one key.
//!
//! ```text
//!   a SET, and those that it was written over     set, hlc         the plain value is what it gave
//!     │ any other effect, or a concurrent one
//!     ▼ open: the plain value becomes a part
//!   what each of the effects gave                 causality        the plain value is what the parts show
//! ```
//! Nearly all keys with recent effects have one SET: it takes no memory but its place in the table.
//!
//! *Invariant:* without a causality the last effect on the key was a SET that had observed all before it, and the plain value, with its
//! deadline, is what that gave. (Until a batch is logged, its own effects may have made more of it.)

use effect::reduce::{Base, Event, Reduced, Unit};
use effect::{Deadline, Dot, Effect, Hlc, Op, Origin, Vector};

use super::Written;
use super::name::Name;
use super::patch::{self, At};
use crate::engine::Shared;
use crate::guards::Guards;
use crate::limits::FORGET_EFFECTS;
use crate::shard::Shard;
use crate::stop::Place;
use crate::value::Entry;

/// See the module.
pub(super) struct Unstable {
    pub(super) order: u64,
    pub(super) name: Name,
    /// The SET that there is, where there is nothing else.
    pub(super) set: Dot,
    pub(super) hlc: Hlc,
    /// What else there is.
    pub(super) causality: Option<Box<Causality>>,
    /// The checkpoint before which it changed last, or that has taken it.
    pub(super) turn: u32,
}

const _: () =
    assert!(size_of::<Unstable>() == 72, "as many as there are recent effects are written, looked up and forgotten");

/// What recent effects gave.
#[derive(Clone)]
pub(super) struct Causality {
    pub(super) parts: Reduced,
    /// Effects since something of it was forgotten.
    pub(super) effects: u32,
    /// Of each origin the last effect on the key, also if nothing is left of what it gave.
    pub(super) reach: Vector,
}

impl Unstable {
    /// A SET whose writer had applied all recent effects on the key.
    #[inline]
    pub(super) fn of_set(order: u64, effect: &Effect<'_>, written: &Written<'_>) -> Self {
        let name = Name::new(effect.db, effect.key);
        Self { order, name, set: written.dot, hlc: written.hlc, causality: None, turn: 0 }
    }

    /// A key on which an effect comes to be recorded, the first that is recent.
    pub(super) fn before(order: u64, effect: &Effect<'_>, written: &Written<'_>) -> Self {
        Self { causality: Some(Box::new(Causality::new())), ..Self::of_set(order, effect, written) }
    }

    /// A key on which nothing is recent.
    pub(super) fn nothing(order: u64, db: u8, key: &[u8]) -> Self {
        let (name, set) = (Name::new(db, key), Dot { origin: Origin(0), seq: 0 });
        Self { order, name, set, hlc: Hlc(0), causality: Some(Box::new(Causality::new())), turn: 0 }
    }

    /// What each recent effect gave, of a key that has this plain value.
    pub(super) fn open(&mut self, entry: Option<&Entry>) -> &mut Causality {
        let (set, hlc) = (self.set, self.hlc);
        self.causality.get_or_insert_with(|| Box::new(Causality::of_set(set, hlc, entry)))
    }

    /// All of it once more.
    pub(super) fn copy(&self) -> Self {
        let (name, causality) = (self.name.clone(), self.causality.clone());
        Self { order: self.order, name, set: self.set, hlc: self.hlc, causality, turn: self.turn }
    }

    /// The same, for whoever may have to give it up.
    pub(super) fn opened(&self, entry: Option<&Entry>) -> Causality {
        match &self.causality {
            Some(causality) => (**causality).clone(),
            None => Causality::of_set(self.set, self.hlc, entry),
        }
    }

    /// Of each origin the last recent effect.
    pub(super) fn reach(&self) -> Vector {
        match &self.causality {
            None => [self.set].into_iter().collect(),
            Some(causality) => causality.reach.clone(),
        }
    }

    /// Whether the plain value says what is recent.
    pub(super) fn is_brief(&self) -> bool {
        self.causality.is_none()
    }

    /// Whether a SET takes the place of all that is recent: its writer had applied it, and nobody needs to know that it was there.
    #[inline]
    pub(super) fn yields_to(&self, written: &Written<'_>) -> bool {
        match &self.causality {
            None => written.has_observed(self.set),
            Some(causality) => causality.is_observed(written) && causality.parts.is_string_only(),
        }
    }

    /// Whether the effect is one of those that are recent, or before them.
    #[inline]
    pub(super) fn has(&self, dot: Dot) -> bool {
        match &self.causality {
            None => self.set == dot,
            Some(causality) => causality.reach.has(dot),
        }
    }
}

impl Causality {
    pub(super) fn new() -> Self {
        Self { parts: Reduced::new(), effects: 0, reach: Vector::new() }
    }

    fn of_set(dot: Dot, hlc: Hlc, entry: Option<&Entry>) -> Self {
        let (value, deadline) = (entry.and_then(Entry::bytes), entry.and_then(Entry::deadline));
        let parts = Reduced::of_set(dot, hlc, value, deadline.map_or(Deadline::Clear, Deadline::At));
        Self { parts, effects: 1, reach: [dot].into_iter().collect() }
    }

    /// Lends the parts what the effect needs of the value before it.
    pub(super) fn lend(&mut self, entry: Option<&Entry>, effect: &Effect<'_>) {
        let Some(entry) = entry else { return };
        for unit in self.parts.lacks(effect) {
            if let Some(base) = base(entry, &unit) {
                self.parts.lend(&unit, base);
            }
        }
    }

    /// Brings the plain value to what the parts show behind an effect that has been recorded. `said_deadline`: before it they said something of
    /// the deadline; a write of another type takes that, too.
    pub(super) fn patch(
        &self,
        guards: &mut Guards<'_>,
        shared: &Shared,
        effect: &Effect<'_>,
        place: Place,
        said_deadline: bool,
    ) {
        patch::patch(&self.parts, guards, shared, effect, place);
        if said_deadline || !self.parts.lends_no_deadline() {
            patch::patch_deadline(&self.parts, guards, shared, At { db: effect.db, key: effect.key, place });
        }
    }

    /// A key that lost its last element has lost its deadline with it; who adds one without knowing has not.
    pub(super) fn lend_deadline(&mut self, shard: &Shard, place: Place, effect: &Effect<'_>, deadline: Option<i64>) {
        let may_empty = matches!(effect.op, Op::Drop { .. } | Op::Cut(_) | Op::FieldDeadlines(_));
        if let Some(ms) = deadline.filter(|_| may_empty && self.parts.lends_no_deadline())
            && shard.find(effect.db, place.order, effect.key).is_none()
        {
            self.parts.lend(&Unit::Deadline, Base::Deadline(ms));
        }
    }

    /// Whether the writer had applied all recent effects on the key.
    pub(super) fn is_observed(&self, written: &Written<'_>) -> bool {
        self.reach.iter().all(|dot| written.has_observed(dot))
    }

    /// Forgets which effects gave what is stable, once they have become many.
    pub(super) fn give_back(&mut self, stable: &Vector) {
        if self.effects >= FORGET_EFFECTS {
            self.parts.give_back(stable);
            self.effects = 0;
        }
    }

    pub(super) fn record(&mut self, effect: &Effect<'_>, written: &Written<'_>) {
        // What was written here has observed all that is here.
        let context = written.context.unwrap_or(&self.reach);
        self.parts.take_in(&Event { dot: written.dot, hlc: written.hlc, context, effect });
        self.reach.add(written.dot);
        self.effects += 1;
    }
}

/// What the value has of a unit.
fn base<'e>(entry: &'e Entry, unit: &Unit<'_>) -> Option<Base<'e>> {
    match unit {
        Unit::String => entry.bytes().map(Base::Bytes),
        Unit::Deadline => entry.deadline().map(Base::Deadline),
        Unit::Field(name) => entry.hash()?.get(name).map(|field| Base::Field(field.value, field.deadline)),
        Unit::Scored(name) => entry.zset()?.score(name).map(Base::Score),
        Unit::Element(pos) => entry.list()?.at(pos).map(Base::Bytes),
    }
}
