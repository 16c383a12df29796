//! Parts of one kind under one name, as effects gave them.
//!
//! ```text
//! origin 1:  seq 3 ─ seq 7 ─ seq 8       each origin's in the order of its numbers, which is that of its stamps
//! origin 2:  seq 1 ─ seq 2               so whatever is observed, stable or older than something is a beginning of each
//! ```
//! So taking and folding cost what they remove, and a merge walks two sequences once.
//!
//! *Invariant:* origins ascend and have a part each; numbers do not fall and HLCs ascend with them.

use std::cmp::Ordering;
use std::collections::VecDeque;

use crate::hlc::Hlc;
use crate::id::{Dot, Origin};
use crate::reduce::event::Event;
use crate::reduce::tag::Tag;
use crate::vector::Vector;

/// Parts that are not folded, by origin.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Parts<T>(pub(super) Vec<Run<T>>);

/// Those of one origin.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Run<T> {
    pub origin: Origin,
    pub parts: VecDeque<Given<T>>,
}

/// A part, and which effect of its origin gave it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Given<T> {
    pub seq: u64,
    pub hlc: Hlc,
    pub what: T,
}

impl<T> Default for Parts<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Run<T> {
    pub(super) fn tag(&self, given: &Given<T>) -> Tag {
        Tag { dot: Dot { origin: self.origin, seq: given.seq }, hlc: given.hlc }
    }

    fn end(&self, end: Option<&Given<T>>) -> Tag {
        self.tag(end.expect("a run has a part"))
    }

    /// Whether there is a part of this number.
    fn has(&self, seq: u64) -> bool {
        self.parts.binary_search_by_key(&seq, |given| given.seq).is_ok()
    }
}

impl<T> Parts<T> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn find(&self, origin: Origin) -> Result<usize, usize> {
        self.0.binary_search_by_key(&origin, |run| run.origin)
    }

    /// Adds what an effect gives; it comes after all others of its origin.
    pub(crate) fn give(&mut self, tag: Tag, what: T) {
        let given = Given { seq: tag.dot.seq, hlc: tag.hlc, what };
        match self.find(tag.dot.origin) {
            Ok(at) => {
                let parts = &mut self.0[at].parts;
                debug_assert!(
                    parts.back().is_none_or(|last| last.seq <= given.seq),
                    "an origin's effects come in order"
                );
                parts.push_back(given);
            }
            Err(at) => self.0.insert(at, Run { origin: tag.dot.origin, parts: VecDeque::from([given]) }),
        }
    }

    /// The same where an effect gives one part at most: what it gave before goes.
    pub(crate) fn give_one(&mut self, tag: Tag, what: T) {
        if let Ok(at) = self.find(tag.dot.origin)
            && let Some(last) = self.0[at].parts.back_mut()
            && last.seq == tag.dot.seq
        {
            last.what = what;
            return;
        }
        self.give(tag, what);
    }

    /// Removes the beginning of each run as far as `goes` says so of its parts.
    fn cut(&mut self, mut goes: impl FnMut(Tag) -> bool) {
        if self.0.is_empty() {
            return;
        }
        for run in &mut self.0 {
            while let Some(first) = run.parts.front()
                && goes(run.tag(first))
            {
                run.parts.pop_front();
            }
        }
        self.0.retain(|run| !run.parts.is_empty());
    }

    /// Takes away what the event has observed.
    pub(crate) fn take(&mut self, event: &Event<'_>) {
        self.cut(|tag| tag.dot.seq <= event.reach(tag.dot.origin));
    }

    /// Takes away what is earlier, observed or not.
    pub(crate) fn take_before(&mut self, before: Tag) {
        self.cut(|tag| tag < before);
    }

    /// Removes those of which `stays` says no.
    pub(crate) fn retain(&mut self, mut stays: impl FnMut(Tag, &mut T) -> bool) {
        for Run { origin, parts } in &mut self.0 {
            parts.retain_mut(|given| {
                stays(Tag { dot: Dot { origin: *origin, seq: given.seq }, hlc: given.hlc }, &mut given.what)
            });
        }
        self.0.retain(|run| !run.parts.is_empty());
    }

    /// Removes and returns the earliest part, if it is stable.
    pub(crate) fn pop_stable(&mut self, stable: &Vector) -> Option<(Tag, T)> {
        let at = match self.0.len() {
            0 => return None,
            1 => 0,
            _ => (0..self.0.len()).min_by_key(|at| self.0[*at].end(self.0[*at].parts.front()))?,
        };
        let run = &mut self.0[at];
        let tag = run.end(run.parts.front());
        if !stable.has(tag.dot) {
            return None;
        }
        let given = run.parts.pop_front()?;
        if run.parts.is_empty() {
            self.0.remove(at);
        }
        Some((tag, given.what))
    }

    /// The latest part.
    pub(crate) fn latest(&self) -> Option<(Tag, &T)> {
        let last = |run: &Run<T>| run.end(run.parts.back());
        let run = self.0.iter().max_by_key(|run| last(run))?;
        Some((last(run), &run.parts.back()?.what))
    }

    /// Whether this effect's part is among them.
    pub(crate) fn has(&self, dot: Dot) -> bool {
        self.find(dot.origin).is_ok_and(|at| self.0[at].has(dot.seq))
    }

    /// Whether one of them is in `vector`.
    pub(crate) fn any_in(&self, vector: &Vector) -> bool {
        self.0.iter().any(|run| vector.has(run.end(run.parts.front()).dot))
    }

    /// All, by origin.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Tag, &T)> {
        self.0.iter().flat_map(|run| run.parts.iter().map(move |given| (run.tag(given), &given.what)))
    }

    /// All, the earliest first.
    pub(crate) fn in_order(&self) -> Vec<(Tag, &T)> {
        let mut all: Vec<_> = self.iter().collect();
        if self.0.len() > 1 {
            all.sort_by_key(|(tag, _)| *tag);
        }
        all
    }
}

impl<T: Clone> Parts<T> {
    /// What is in both, as the second has it, or in one and was not seen by the other.
    pub(crate) fn join(a: (&Self, &Vector), b: (&Self, &Vector)) -> Self {
        let ((a, seen_by_a), (b, seen_by_b)) = (a, b);
        let (mut left, mut right) = (a.0.iter().peekable(), b.0.iter().peekable());
        let mut joined = Vec::new();
        loop {
            let order = match (left.peek(), right.peek()) {
                (Some(x), Some(y)) => x.origin.cmp(&y.origin),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => return Self(joined),
            };
            let x = left.next_if(|_| order != Ordering::Greater);
            let y = right.next_if(|_| order != Ordering::Less);
            let Some(origin) = x.or(y).map(|run| run.origin) else { return Self(joined) };
            let parts = join_runs((x, seen_by_a.get(origin)), (y, seen_by_b.get(origin)));
            if !parts.is_empty() {
                joined.push(Run { origin, parts });
            }
        }
    }
}

/// The same of one origin, of which each side has seen all up to a number.
fn join_runs<T: Clone>(a: (Option<&Run<T>>, u64), b: (Option<&Run<T>>, u64)) -> VecDeque<Given<T>> {
    let mut left = a.0.iter().flat_map(|run| &run.parts).peekable();
    let mut right = b.0.iter().flat_map(|run| &run.parts).peekable();
    let mut joined = VecDeque::new();
    while let Some(seq) = left.peek().into_iter().chain(right.peek()).map(|given| given.seq).min() {
        let (mut in_left, mut in_right) = (0, 0);
        while let Some(given) = right.next_if(|given| given.seq == seq) {
            joined.push_back(given.clone());
            in_right += 1;
        }
        while let Some(given) = left.next_if(|given| given.seq == seq) {
            if in_right == 0 {
                joined.push_back(given.clone());
            }
            in_left += 1;
        }
        if (in_right == 0 && b.1 >= seq) || (in_left == 0 && a.1 >= seq) {
            joined.truncate(joined.len() - in_left.max(in_right));
        }
    }
    joined
}
