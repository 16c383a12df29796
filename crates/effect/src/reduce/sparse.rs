//! The state of a key whose base stays elsewhere: only what effects are about comes in, one unit at a time.
//!
//! A **unit** is what an effect changes: the string, a field, a member, a list position. Whoever keeps the key as a plain value
//! lends the base of a unit before the first effect that needs it is applied, and reads back what the unit shows.
//!
//! *Invariant:* of a unit that is not in it, the base is what the plain value has; of one that is, the plain value has what it shows.

use std::borrow::Cow;

use crate::codec::DotShape;
use crate::hlc::Hlc;
use crate::id::{Dot, KeyspaceId};
use crate::items::Seq;
use crate::op::{Deadline, Effect, Kind, Merge, Op};
use crate::pos::ListPos;
use crate::reduce::deadlines::Moment;
use crate::reduce::element::Element;
use crate::reduce::event::Event;
use crate::reduce::reduced::Reduced;
use crate::reduce::shown::{Field, bytes, shown_field};
use crate::vector::Vector;
use crate::wire::{Reader, WireError};

/// A unit of which the base is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unit<'a> {
    /// The string.
    String,
    /// The key's deadline.
    Deadline,
    /// A field of a hash.
    Field(&'a [u8]),
    /// A member of a sorted set.
    Scored(&'a [u8]),
    /// A position of a list.
    Element(&'a ListPos),
}

/// The base of a unit.
#[derive(Debug, Clone, PartialEq)]
pub enum Base<'a> {
    /// A string, a list element.
    Bytes(&'a [u8]),
    /// A field of a hash with its deadline in unix ms.
    Field(&'a [u8], Option<i64>),
    /// A score.
    Score(f64),
    /// The key's deadline in unix ms.
    Deadline(i64),
}

impl Reduced {
    /// What one SET gave that had observed all before it, if `value` is what it is now; without, what is known when that has gone.
    pub fn of_set(dot: Dot, hlc: Hlc, value: Option<&[u8]>, deadline: Deadline) -> Self {
        let mut key = Self::new();
        let op = Op::Set { value: value.unwrap_or_default(), deadline };
        let effect =
            Effect { keyspace: KeyspaceId::DEFAULT, db: 0, key: b"", fresh: false, deps: Seq::empty(DotShape), op };
        key.take_in(&Event { dot, hlc, context: &Vector::new(), effect: &effect });
        if value.is_none() {
            key.whole = Element::default();
        }
        key
    }

    /// Whether no effect is known that wrote anything but a string: then nothing is, once a SET has taken all that there is.
    pub fn is_string_only(&self) -> bool {
        let string = Kind::String as usize - 1;
        self.kinds.iter().enumerate().all(|(at, latest)| at == string || latest.is_none())
    }

    /// The units of which the effect keeps something, and which are not in it.
    pub fn lacks<'e>(&self, effect: &'e Effect<'_>) -> Vec<Unit<'e>> {
        let field = |name: &'e [u8]| (!self.hash.0.contains_key(name)).then_some(Unit::Field(name));
        match &effect.op {
            _ if effect.fresh => Vec::new(),
            Op::AddInt(_) | Op::AddDecimal(_) | Op::MaxBytes(_) | Op::Patch(_) if self.whole.register.is_empty() => {
                vec![Unit::String]
            }
            Op::Set { deadline: Deadline::Keep, .. } | Op::Replace { deadline: Deadline::Keep, .. }
                if self.whole.deadlines.is_empty() =>
            {
                vec![Unit::Deadline]
            }
            Op::Put { kind: Kind::Hash, merge, deadline, items }
                if *merge != Merge::LastWriter || *deadline == Deadline::Keep =>
            {
                items.iter().filter_map(|item| field(item.id)).collect()
            }
            Op::Put { kind: Kind::ZSet, merge: Merge::AddFloat, items, .. } => {
                let lacking = items.iter().filter(|item| !self.zset.0.contains_key(item.id));
                lacking.map(|item| Unit::Scored(item.id)).collect()
            }
            Op::FieldDeadlines(fields) => fields.iter().filter_map(|(name, _)| field(name)).collect(),
            Op::SetAt { pos, .. } if !self.list.0.contains_key(pos) => vec![Unit::Element(pos)],
            _ => Vec::new(),
        }
    }

    /// Lends the base of a unit that it lacks.
    pub fn lend(&mut self, unit: &Unit<'_>, base: Base<'_>) {
        match (unit, base) {
            (Unit::String, Base::Bytes(bytes)) => self.whole.register.base = Some(bytes.to_vec()),
            (Unit::Deadline, Base::Deadline(ms)) => self.whole.deadlines.base = Some(Moment::At(ms)),
            (Unit::Field(name), Base::Field(value, deadline)) => {
                self.hash.0.insert((*name).into(), Element::folded(value.to_vec(), deadline));
            }
            (Unit::Scored(name), Base::Score(score)) => {
                self.zset.0.insert((*name).into(), Element::folded(score, None));
            }
            (Unit::Element(pos), Base::Bytes(bytes)) => {
                self.list.0.insert((*pos).clone(), Element::folded(bytes.to_vec(), None));
            }
            _ => debug_assert!(false, "a unit has the base of its type"),
        }
    }

    /// Whether nothing is said of the key's deadline here: it is that of the plain value.
    pub fn lends_no_deadline(&self) -> bool {
        self.whole.deadlines.is_empty()
    }

    /// The string.
    pub fn shown_string(&self) -> Option<Cow<'_, [u8]>> {
        self.whole.shown().map(bytes)
    }

    /// The key's deadline in unix ms.
    pub fn shown_deadline(&self) -> Option<i64> {
        self.whole.deadline()
    }

    /// A field.
    pub fn shown_field(&self, name: &[u8]) -> Option<Field<'_>> {
        let (name, field) = self.hash.0.get_key_value(name)?;
        shown_field(name, field)
    }

    /// Whether a member of a set is there.
    pub fn shows_member(&self, name: &[u8]) -> bool {
        self.set.0.get(name).is_some_and(|member| member.shown().is_some())
    }

    /// A member's score.
    pub fn shown_score(&self, name: &[u8]) -> Option<f64> {
        self.zset.0.get(name)?.shown().map(|score| *score)
    }

    /// A list element.
    pub fn shown_element(&self, pos: &ListPos) -> Option<Cow<'_, [u8]>> {
        self.list.0.get(pos)?.shown().map(bytes)
    }

    /// Hands those positions of a run to `visit` at which there are parts of an element.
    pub fn each_shown_in(&self, first: &ListPos, len: u64, visit: impl FnMut(&ListPos)) {
        self.positions(first, len).for_each(visit);
    }

    /// Takes an effect in, of which the units that it lacks have been lent. Each comes once, and after what its writer had seen.
    pub fn take_in(&mut self, event: &Event<'_>) {
        self.carry_out(event);
    }

    /// Appends it; `reach` has of each origin the last effect that was taken in.
    pub fn store(&self, reach: &Vector, out: &mut Vec<u8>) {
        self.encode_seen(reach, out);
    }

    /// Reads what [`Reduced::store`] wrote.
    pub fn restore(from: &mut Reader<'_>) -> Result<(Self, Vector), WireError> {
        let mut key = Self::decode(from)?;
        let reach = std::mem::take(&mut key.seen);
        Ok((key, reach))
    }

    /// Forgets which effects gave what is stable, and gives back what is no more than a base: the plain value has it.
    pub fn give_back(&mut self, stable: &Vector) {
        self.fold(stable);
        self.list.0.retain(|_, element| !element.is_plain());
        self.hash.0.retain(|_, element| !element.is_plain());
        self.set.0.retain(|_, element| !element.is_plain());
        self.zset.0.retain(|_, element| !element.is_plain());
        let Element { register, deadlines } = &mut self.whole;
        // A deadline that came with the base needs it.
        if register.is_folded() && deadlines.own.is_empty() && deadlines.base_value.is_none() {
            register.base = None;
        }
    }
}
