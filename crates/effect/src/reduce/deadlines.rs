//! When a key or a field goes: statements of their own, of which the latest moment counts.
//!
//! *Invariant:* a statement of a SET counts when its value is shown or gone, not while that value is there and another is shown.
//! *Invariant:* what is folded and what is not come to the same: who takes a value that has lost takes its statement with it.

use crate::op::Kind;
use crate::reduce::event::Event;
use crate::reduce::parts::Parts;
use crate::reduce::register::{Folding, Register};
use crate::reduce::tag::Tag;
use crate::vector::Vector;

/// Whether a statement came with a value that is there while another is shown.
fn lost<V, E>(register: &Register<V, E>) -> impl Fn(&(Tag, &Statement)) -> bool {
    let shown = register.values.latest().map(|(tag, _)| tag.dot);
    move |(tag, statement)| statement.of.is_some() && shown != Some(tag.dot) && register.values.has(tag.dot)
}

/// A moment in unix ms; the last of all is never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Moment {
    At(i64),
    Never,
}

impl Moment {
    pub(super) fn of(deadline: Option<i64>) -> Self {
        deadline.map_or(Moment::Never, Moment::At)
    }

    pub(super) fn ms(self) -> Option<i64> {
        match self {
            Moment::At(ms) => Some(ms),
            Moment::Never => None,
        }
    }
}

/// What an effect said of a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Statement {
    pub moment: Moment,
    /// The type of the whole value that the effect gave with it.
    pub of: Option<Kind>,
}

/// All that was said and not taken back.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Deadlines {
    /// What is folded.
    pub base: Option<Moment>,
    /// What is folded and was said with the value that is the base.
    pub base_value: Option<Moment>,
    pub own: Parts<Statement>,
}

impl Deadlines {
    pub(crate) fn is_empty(&self) -> bool {
        self.base.is_none() && self.base_value.is_none() && self.own.is_empty()
    }

    /// Takes away what the event has observed.
    pub(crate) fn take(&mut self, event: &Event<'_>) {
        (self.base, self.base_value) = (None, None);
        self.own.take(event);
    }

    /// Takes away what came with values that had lost where the event was written, and are taken with it: there they may have been
    /// folded, and given up with their deadlines. Who had not folded them says behind it which deadline it kept.
    pub(crate) fn take_lost<V, E>(&mut self, event: &Event<'_>, register: &Register<V, E>) {
        let observed = |tag: &Tag| tag.dot.seq <= event.reach(tag.dot.origin);
        let Some(shown) = register.values.iter().map(|(tag, _)| tag).filter(observed).max() else { return };
        self.base_value = None;
        let is_lost = |tag: Tag| tag != shown && observed(&tag) && register.values.has(tag.dot);
        self.own.retain(|tag, statement| statement.of.is_none() || !is_lost(tag));
    }

    /// Takes away what came with values of other types than the event's, if that is later and has not observed it. (Of what it has
    /// observed it says itself what becomes of it.)
    pub(crate) fn take_types(&mut self, kind: Kind, event: &Event<'_>) {
        if !self.own.is_empty() {
            let stays = |tag: Tag| tag > event.tag() || tag.dot.seq <= event.reach(tag.dot.origin);
            self.own.retain(|tag, statement| statement.of.is_none_or(|of| of == kind) || stays(tag));
        }
    }

    /// The base value has gone: its deadline stands for itself.
    pub(crate) fn unbind(&mut self) {
        self.base = self.base.max(self.base_value.take());
    }

    /// What counts, if anything was said.
    pub(crate) fn counted<V, E>(&self, register: &Register<V, E>) -> Option<Moment> {
        let (base_value, lost) = (self.base_value.filter(|_| register.values.is_empty()), lost(register));
        let own = self.own.iter().filter(|said| !lost(said)).map(|(_, statement)| statement.moment).max();
        self.base.max(base_value).max(own)
    }

    /// Whether something was said that does not count.
    pub(crate) fn hides<V, E>(&self, register: &Register<V, E>) -> bool {
        let lost = lost(register);
        (self.base_value.is_some() && !register.values.is_empty()) || self.own.iter().any(|said| lost(&said))
    }

    /// Folds what is stable, after the value's register was.
    pub(crate) fn fold<V, E>(&mut self, stable: &Vector, folding: &Folding, register: &Register<V, E>) {
        let (losers, base) = match folding.values.split_last() {
            None => (&[][..], None),
            Some((base, losers)) => {
                // The base before has lost against them, and its deadline with it.
                self.base_value = None;
                (losers, Some(base))
            }
        };
        let Self { base: folded, base_value, own } = self;
        own.retain(|tag, &mut Statement { moment, of }| {
            if !stable.has(tag.dot) || (of.is_some() && register.values.has(tag.dot)) {
                return true;
            }
            if of.is_some() && base == Some(&tag) {
                *base_value = Some(moment);
            } else if of.is_none() || !losers.contains(&tag) {
                *folded = (*folded).max(Some(moment));
            }
            false
        });
    }

    /// Everything is stable: what remains is the deadline of what is there, if it is any.
    pub(crate) fn settle(&mut self, is_there: bool) {
        self.unbind();
        self.base = self.base.filter(|moment| is_there && *moment != Moment::Never);
    }

    fn has_of(&self, folded: &Vector) -> bool {
        self.base.is_some() || self.base_value.is_some() || self.own.any_in(folded)
    }

    /// As [`Register::join`].
    pub(crate) fn join(a: (&Self, &Vector), b: (&Self, &Vector), folded_by_b: &Vector) -> Self {
        let is_left = a.0.has_of(folded_by_b) && b.0.has_of(folded_by_b);
        Self {
            base: b.0.base.filter(|_| is_left),
            base_value: b.0.base_value.filter(|_| is_left),
            own: Parts::join((&a.0.own, a.1), (&b.0.own, b.1)),
        }
    }
}
