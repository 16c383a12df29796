//! The state of one key, as the parts that its effects gave and none has taken.

use std::convert::Infallible;

use crate::op::Kind;
use crate::pos::ListPos;
use crate::reduce::deadlines::Moment;
use crate::reduce::edit::{Content, Edit, ScoreDelta};
use crate::reduce::element::{Element, Elements};
use crate::reduce::tag::Tag;
use crate::value::{Folded, Part};
use crate::vector::Vector;

/// The name of an element.
pub(crate) type Name = Box<[u8]>;

/// The state of one key.
///
/// *Invariant:* it is a function of the set of effects that were applied and of what each had observed, whatever the order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reduced {
    /// Whatever of the group has been applied, be it on this key or not.
    pub(super) seen: Vector,
    /// What the bases stand for: of it, only what is left.
    pub(super) folded: Vector,
    /// The latest write of each type, be its parts there or not: what is earlier, and of another type, is void.
    pub(super) kinds: [Option<Tag>; 5],
    /// The string, with the deadlines of the key whatever it is.
    pub(super) whole: Element<Vec<u8>, Edit>,
    pub(super) list: Elements<ListPos, Vec<u8>, Content>,
    pub(super) hash: Elements<Name, Vec<u8>, Edit>,
    pub(super) set: Elements<Name, (), Infallible>,
    pub(super) zset: Elements<Name, f64, ScoreDelta>,
}

impl Reduced {
    /// A key of which nothing is known.
    pub fn new() -> Self {
        Self::default()
    }

    /// A key that is plain data: what is left of everything in `stable`.
    pub fn plain(value: &Folded<'_>, deadline: Option<i64>, stable: &Vector) -> Self {
        let mut key = Self { seen: stable.clone(), folded: stable.clone(), ..Self::default() };
        key.whole.deadlines.base = deadline.map(Moment::At);
        value.for_each(|part| match part {
            Part::String(bytes) => key.whole.register.base = Some(bytes.to_vec()),
            Part::Field { field, value, deadline } => {
                key.hash.0.insert(field.into(), Element::folded(value.to_vec(), deadline));
            }
            Part::Member(member) => drop(key.set.0.insert(member.into(), Element::folded((), None))),
            Part::Scored(member, score) => drop(key.zset.0.insert(member.into(), Element::folded(score, None))),
            Part::Element(pos, value) => drop(key.list.0.insert(pos, Element::folded(value.to_vec(), None))),
        });
        key
    }

    /// All that it has seen: of each origin whatever was applied before, or is known not to concern this key.
    pub fn seen(&self) -> &Vector {
        &self.seen
    }

    /// What was folded into plain values, and is known no more.
    pub fn folded(&self) -> &Vector {
        &self.folded
    }

    /// Says that all of `applied` has been applied, as far as it concerns this key. Whoever has many keys says it of one before he
    /// applies an effect whose writer had seen effects on others.
    pub fn see(&mut self, applied: &Vector) {
        self.seen.join(applied);
    }

    /// Whether it is a plain value, or nothing, and no effect is told from any other.
    pub fn is_plain(&self) -> bool {
        let Element { register, deadlines } = &self.whole;
        let is_stated = deadlines.base_value.is_some()
            || !deadlines.own.is_empty()
            || deadlines.base.is_some_and(|base| base == Moment::Never || self.kind().is_none());
        let are_plain = self.list.is_plain() && self.hash.is_plain() && self.set.is_plain() && self.zset.is_plain();
        self.kinds == [None; 5] && register.is_folded() && !is_stated && are_plain
    }

    /// Its type, if there is a value. (One whose deadline has passed is there: only readers hide it.)
    pub fn kind(&self) -> Option<Kind> {
        let kinds = [
            (Kind::String, self.whole.register.is_shown()),
            (Kind::List, self.list.is_shown()),
            (Kind::Hash, self.hash.is_shown()),
            (Kind::Set, self.set.is_shown()),
            (Kind::ZSet, self.zset.is_shown()),
        ];
        kinds.into_iter().find(|(_, is_shown)| *is_shown).map(|(kind, _)| kind)
    }

    /// Forgets which effects gave what is stable, and gives up what can count no more. `stable` must have been applied, and
    /// whatever is applied later must have observed all of it. Nothing that is shown changes, now or later.
    ///
    /// Of one thing writers must take care: a SET or a field that keeps its deadline (KEEPTTL), written where a deadline of a loser
    /// is hidden ([`Reduced::hides_deadlines`]), must be followed by a statement of the deadline that is kept.
    pub fn forget(&mut self, stable: &Vector) {
        self.seen.join(stable);
        self.folded.join(stable);
        self.fold(stable);
        if self.folded.covers(&self.seen) {
            self.list.settle();
            self.hash.settle();
            let is_there = self.kind().is_some();
            self.whole.deadlines.settle(is_there);
        }
    }

    /// Makes bases of what is stable.
    pub(super) fn fold(&mut self, stable: &Vector) {
        for kind in &mut self.kinds {
            *kind = kind.filter(|tag| !stable.has(tag.dot));
        }
        self.whole.fold(stable);
        self.list.fold(stable);
        self.hash.fold(stable);
        self.set.fold(stable);
        self.zset.fold(stable);
    }

    /// Whether a deadline of the key, or of a field, does not count because the value that it came with has lost.
    pub fn hides_deadlines(&self, field: Option<&[u8]>) -> bool {
        let hides = |element: &Element<Vec<u8>, Edit>| element.deadlines.hides(&element.register);
        match field {
            None => hides(&self.whole),
            Some(field) => self.hash.0.get(field).is_some_and(hides),
        }
    }

    /// Whether something was said of a field's deadline, and there is no such field.
    pub fn has_lone_deadline(&self, field: &[u8]) -> bool {
        let found = self.hash.0.get(field);
        found.is_some_and(|element| element.register.is_empty() && !element.deadlines.is_empty())
    }
}
