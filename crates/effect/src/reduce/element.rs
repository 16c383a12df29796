//! A value with its deadlines: a string, or a named element of a collection; and the elements of a collection by name.
//!
//! *Invariant:* a collection holds no element of which nothing is left.

use std::borrow::{Borrow, Cow};
use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::reduce::deadlines::{Deadlines, Moment};
use crate::reduce::edit::Change;
use crate::reduce::event::Event;
use crate::reduce::register::Register;
use crate::reduce::tag::Tag;
use crate::vector::Vector;

/// One value with its deadlines.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Element<V, E> {
    pub register: Register<V, E>,
    pub deadlines: Deadlines,
}

impl<V, E> Default for Element<V, E> {
    fn default() -> Self {
        Self { register: Register::default(), deadlines: Deadlines::default() }
    }
}

impl<V: Clone, E: Change<V> + Clone> Element<V, E> {
    /// A folded value with its deadline.
    pub(crate) fn folded(value: V, deadline: Option<i64>) -> Self {
        let mut element = Self::default();
        element.register.base = Some(value);
        element.deadlines.base = deadline.map(Moment::At);
        element
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.register.is_empty() && self.deadlines.is_empty()
    }

    /// Whether it is a value with or without a deadline, and nothing else.
    pub(crate) fn is_plain(&self) -> bool {
        let Deadlines { base, base_value, own } = &self.deadlines;
        let is_stated = base_value.is_some() || !own.is_empty() || *base == Some(Moment::Never);
        self.register.is_folded() && !is_stated && (self.register.base.is_some() || base.is_none())
    }

    pub(crate) fn shown(&self) -> Option<Cow<'_, V>> {
        self.register.shown()
    }

    /// In unix ms.
    pub(crate) fn deadline(&self) -> Option<i64> {
        self.deadlines.counted(&self.register)?.ms()
    }

    /// Takes the value away, and its deadlines unless they are to be kept.
    pub(crate) fn take(&mut self, event: &Event<'_>, keep_deadlines: bool) {
        match keep_deadlines {
            true => self.deadlines.take_lost(event, &self.register),
            false => self.deadlines.take(event),
        }
        self.register.take(event);
        self.deadlines.unbind();
    }

    /// Takes away what is neither folded nor in `context`.
    pub(crate) fn keep_only(&mut self, context: &Vector) {
        self.register.values.retain(|tag, _| context.has(tag.dot));
        self.register.edits.retain(|tag, _| context.has(tag.dot));
        self.deadlines.own.retain(|tag, _| context.has(tag.dot));
        self.register.prune();
    }

    pub(crate) fn fold(&mut self, stable: &Vector) {
        let folding = self.register.fold(stable);
        self.deadlines.fold(stable, &folding, &self.register);
    }

    pub(crate) fn join(a: (&Self, &Vector), b: (&Self, &Vector), folded_by_b: &Vector) -> Self {
        let register = Register::join((&a.0.register, a.1), (&b.0.register, b.1), folded_by_b);
        let mut deadlines = Deadlines::join((&a.0.deadlines, a.1), (&b.0.deadlines, b.1), folded_by_b);
        if register.base.is_none() {
            deadlines.unbind();
        }
        Self { register, deadlines }
    }
}

/// The elements of a collection.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Elements<K, V, E>(pub BTreeMap<K, Element<V, E>>);

impl<K, V, E> Default for Elements<K, V, E> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord + Clone, V: Clone, E: Change<V> + Clone> Elements<K, V, E> {
    /// The element of this name, to add to.
    pub(crate) fn at(&mut self, name: K) -> &mut Element<V, E> {
        self.0.entry(name).or_default()
    }

    /// Changes the element of this name if there is one.
    pub(crate) fn with<Q: Ord + ?Sized>(&mut self, name: &Q, change: impl FnOnce(&mut Element<V, E>))
    where
        K: Borrow<Q>,
    {
        if let Some(element) = self.0.get_mut(name) {
            change(element);
            if element.is_empty() {
                self.0.remove(name);
            }
        }
    }

    /// Changes all of them.
    pub(crate) fn each(&mut self, mut change: impl FnMut(&mut Element<V, E>)) {
        self.0.retain(|_, element| {
            change(element);
            !element.is_empty()
        });
    }

    pub(crate) fn take(&mut self, event: &Event<'_>) {
        self.each(|element| element.take(event, false));
    }

    /// Takes away what is earlier than a write of another type, and not folded.
    pub(crate) fn take_before(&mut self, tag: Tag) {
        self.each(|element| {
            element.register.take_before(tag);
            element.deadlines.own.take_before(tag);
        });
    }

    /// Takes away what is folded.
    pub(crate) fn take_bases(&mut self) {
        self.each(|element| {
            element.register.base = None;
            element.register.prune();
            (element.deadlines.base, element.deadlines.base_value) = (None, None);
        });
    }

    pub(crate) fn fold(&mut self, stable: &Vector) {
        self.each(|element| element.fold(stable));
    }

    /// Everything is stable: only values that are shown remain, each with its deadline.
    pub(crate) fn settle(&mut self) {
        self.each(|element| {
            let is_there = element.register.base.is_some();
            element.deadlines.settle(is_there);
        });
    }

    pub(crate) fn is_plain(&self) -> bool {
        self.0.values().all(Element::is_plain)
    }

    /// Whether any element is shown.
    pub(crate) fn is_shown(&self) -> bool {
        self.0.values().any(|element| element.register.is_shown())
    }

    pub(crate) fn join(a: (&Self, &Vector), b: (&Self, &Vector), folded_by_b: &Vector) -> Self {
        let none = Element::default();
        let (mut left, mut right) = (a.0.0.iter().peekable(), b.0.0.iter().peekable());
        let mut joined = BTreeMap::new();
        loop {
            let order = match (left.peek(), right.peek()) {
                (Some((x, _)), Some((y, _))) => x.cmp(y),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => return Self(joined),
            };
            let x = left.next_if(|_| order != Ordering::Greater);
            let y = right.next_if(|_| order != Ordering::Less);
            let Some((name, _)) = x.or(y) else { return Self(joined) };
            let [x, y] = [x, y].map(|side| side.map_or(&none, |(_, element)| element));
            let element = Element::join((x, a.1), (y, b.1), folded_by_b);
            if !element.is_empty() {
                joined.insert(name.clone(), element);
            }
        }
    }
}
