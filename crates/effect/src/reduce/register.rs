//! A value of which one is shown, and the changes that follow on it.
//!
//! ```text
//! base ─ value ─ value ─ value(latest)     of several values the latest,
//!                          └─ edit ─ edit ─ edit ─▶ what is shown
//! ```
//! *Invariant:* the base is earlier than every part that is not folded, and stands for all that was folded and has not been taken.

use std::borrow::Cow;

use crate::id::Dot;
use crate::reduce::edit::Change;
use crate::reduce::event::Event;
use crate::reduce::parts::Parts;
use crate::reduce::tag::Tag;
use crate::vector::Vector;

/// A string, a field, a member, a list position.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Register<V, E> {
    pub base: Option<V>,
    pub values: Parts<V>,
    pub edits: Parts<E>,
}

/// What became of values when a register was folded.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Folding {
    /// The values that were folded, the earliest first: the last is the base, the others have gone.
    pub values: Vec<Tag>,
    /// There was a base before.
    pub before: bool,
}

impl<V, E> Default for Register<V, E> {
    fn default() -> Self {
        Self { base: None, values: Parts::default(), edits: Parts::default() }
    }
}

impl<V: Clone, E: Change<V> + Clone> Register<V, E> {
    /// Whether nothing is there, shown or not.
    pub(crate) fn is_empty(&self) -> bool {
        self.base.is_none() && self.is_folded()
    }

    /// Whether nothing but the base is there.
    pub(crate) fn is_folded(&self) -> bool {
        self.values.is_empty() && self.edits.is_empty()
    }

    /// Takes away what the event has observed: the base in any case, for who comes after a fold has observed what was folded.
    pub(crate) fn take(&mut self, event: &Event<'_>) {
        self.base = None;
        self.values.take(event);
        self.edits.take(event);
        self.prune();
    }

    /// Takes away what is earlier and not folded.
    pub(crate) fn take_before(&mut self, tag: Tag) {
        self.values.take_before(tag);
        self.edits.take_before(tag);
        self.prune();
    }

    /// The value that is shown.
    pub(crate) fn shown(&self) -> Option<Cow<'_, V>> {
        let (dot, value) = match self.values.latest() {
            Some((tag, value)) => (Some(tag.dot), Some(value)),
            None => (None, self.base.as_ref()),
        };
        if self.edits.is_empty() {
            return value.map(Cow::Borrowed);
        }
        let edits = self.edits.in_order().into_iter().map(|(_, edit)| edit).filter(|edit| edit.is_on(dot));
        edits.fold(value.cloned(), |value, edit| edit.carry_out(value)).map(Cow::Owned)
    }

    /// Whether there is a value to show.
    pub(crate) fn is_shown(&self) -> bool {
        self.base.is_some() || !self.values.is_empty() || self.shown().is_some()
    }

    /// Folds what is stable, as far as nothing earlier is left beside it.
    pub(crate) fn fold(&mut self, stable: &Vector) -> Folding {
        let mut folding = Folding { before: self.base.is_some(), ..Folding::default() };
        while let Some((tag, value)) = self.values.pop_stable(stable) {
            self.base = Some(value);
            folding.values.push(tag);
        }
        if let Some(base) = folding.values.last() {
            if folding.before {
                // It has lost, and so has what was of it.
                self.edits.retain(|_, edit| edit.prune(&|of| of.is_some()));
            }
            self.rebase(|dot| dot == base.dot);
            self.prune();
        }
        if self.values.is_empty() {
            while let Some((_, edit)) = self.edits.pop_stable(stable) {
                if edit.is_on(None) {
                    self.base = edit.carry_out(self.base.take());
                }
            }
        }
        folding
    }

    /// Whether something is left of what `folded` has.
    fn has_of(&self, folded: &Vector) -> bool {
        self.base.is_some() || self.values.any_in(folded) || self.edits.any_in(folded)
    }

    /// The join of two registers, of which the second has folded at least what the first has. What both have folded has left
    /// something in both or was taken as a whole: whoever takes without being known to the other has observed all of it.
    pub(crate) fn join(a: (&Self, &Vector), b: (&Self, &Vector), folded_by_b: &Vector) -> Self {
        let is_left = a.0.has_of(folded_by_b) && b.0.has_of(folded_by_b);
        let values = Parts::join((&a.0.values, a.1), (&b.0.values, b.1));
        let edits = Parts::join((&a.0.edits, a.1), (&b.0.edits, b.1));
        let mut joined = Self { base: b.0.base.clone().filter(|_| is_left), values, edits };
        let Self { values, .. } = &joined;
        let folded: Vec<Dot> = match E::IS_BOUND {
            true => {
                a.0.values
                    .iter()
                    .map(|(tag, _)| tag.dot)
                    .filter(|dot| folded_by_b.has(*dot) && !values.has(*dot))
                    .collect()
            }
            false => Vec::new(),
        };
        joined.rebase(|dot| folded.contains(&dot));
        joined.prune();
        joined
    }

    fn rebase(&mut self, is_base: impl Fn(Dot) -> bool) {
        if E::IS_BOUND {
            self.edits.retain(|_, edit| {
                edit.rebase(&is_base);
                true
            });
        }
    }

    /// Gives up changes of values that are not there any more.
    pub(crate) fn prune(&mut self) {
        if E::IS_BOUND {
            let Self { base, values, edits } = self;
            edits.retain(|_, edit| edit.prune(&|of| of.map_or(base.is_some(), |dot| values.has(dot))));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hlc::Hlc;
    use crate::id::Origin;
    use crate::reduce::edit::Content;

    /// Two who restore a list give its positions twice; an LSET that saw one of the two is of no use to the other.
    #[test]
    fn a_content_is_of_the_elements_that_were_seen() {
        let tag = |node| Tag { dot: Dot { origin: Origin::new(node, 1), seq: 1 }, hlc: Hlc(node) };
        let mut register: Register<Vec<u8>, Content> = Register::default();
        register.values.give(tag(1), b"seen".to_vec());
        register.edits.give(tag(3), Content { value: b"set"[..].into(), on: vec![Some(tag(1).dot)] });
        assert_eq!(register.shown().as_deref(), Some(&b"set".to_vec()));
        register.values.give(tag(2), b"other".to_vec());
        assert_eq!(register.shown().as_deref(), Some(&b"other".to_vec()));
    }
}
