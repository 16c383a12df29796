//! SETs that nobody has had to look for yet.
//!
//! ```text
//!   a SET that had observed all that is recent in its shard ─▶ pending ─▶ stable: forgotten, and no table was touched
//!                                                                 │ something comes for which others must be found: a SET that has not
//!                                                                 ▼ observed them, another kind of effect, a checkpoint
//!                                                              the table of keys, in the order in which they came
//! ```
//! While one node writes, or each key is written by one, nearly all SETs come and go like this.
//!
//! *Invariant:* what is pending came after all that is in the table, and had observed it; none of it has parts meanwhile.
//! *Invariant:* while a checkpoint takes what is recent, what is pending came before its flip.

use std::collections::VecDeque;

use effect::{Dot, Effect, Hlc, Origin};
use hashbrown::hash_table::Entry as HashEntry;

use super::name::Name;
use super::unstable::Unstable;
use super::{FORESEEN, Suffix, Written};
use crate::limits::SUFFIX_KEPT;
use crate::stop::Place;

/// A SET.
pub(super) struct Brief {
    order: u64,
    name: Name,
    set: Dot,
    hlc: Hlc,
}

/// See the module.
pub(super) type Pending = VecDeque<Brief>;

/// Who wrote what is recent in a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Writers {
    #[default]
    Nobody,
    One(Origin),
    Several,
}

impl Writers {
    #[inline]
    pub(super) fn add(&mut self, origin: Origin) {
        *self = match *self {
            Self::Nobody => Self::One(origin),
            Self::One(one) if one == origin => Self::One(one),
            _ => Self::Several,
        };
    }
}

impl Suffix {
    /// Whether an effect surely had observed all that is recent here.
    #[inline]
    fn is_observed(&self, written: &Written<'_>) -> bool {
        written.context.is_none()
            || match self.writers {
                Writers::Nobody => true,
                Writers::One(origin) => origin == written.dot.origin,
                Writers::Several => false,
            }
    }

    /// Takes a SET as pending, if it may be.
    #[inline]
    pub(super) fn suspend(&mut self, place: Place, effect: &Effect<'_>, written: &Written<'_>) -> bool {
        if self.opened > 0 || self.turn.goes_on() || !self.is_observed(written) {
            return false;
        }
        self.writers.add(written.dot.origin);
        let name = Name::new(effect.db, effect.key);
        self.pending.push_back(Brief { order: place.order, name, set: written.dot, hlc: written.hlc });
        true
    }

    /// Puts what is pending into the table, for whoever looks for a key there.
    #[inline]
    pub(super) fn index(&mut self) {
        if !self.pending.is_empty() {
            self.index_all();
        }
    }

    fn index_all(&mut self) {
        let turn = self.turn.of_pending();
        let mut pending = std::mem::take(&mut self.pending);
        self.keys.reserve(pending.len().min(FORESEEN), |unstable| unstable.order);
        for at in 0.. {
            if at % FORESEEN == 0 {
                pending.iter().take(FORESEEN).for_each(|brief| self.foresee(brief.order));
            }
            let Some(Brief { order, name, set, hlc }) = pending.pop_front() else { break };
            self.recent.push_back((set, name.db(), order));
            match self.keys.entry(order, |unstable| unstable.name == name, |unstable| unstable.order) {
                HashEntry::Vacant(vacant) => {
                    vacant.insert(Unstable { order, name, set, hlc, causality: None, turn });
                }
                HashEntry::Occupied(mut found) => {
                    let unstable = found.get_mut();
                    debug_assert!(unstable.is_brief(), "nothing has parts while something is pending");
                    (unstable.set, unstable.hlc, unstable.turn) = (set, hlc, turn);
                }
            }
        }
        if pending.capacity() <= SUFFIX_KEPT {
            self.pending = pending;
        }
    }

    /// Forgets what is pending and stable; nothing before it is left.
    pub(super) fn settle_pending(&mut self, is_stable: impl Fn(Dot) -> bool) {
        while self.pending.pop_front_if(|brief| is_stable(brief.set)).is_some() {}
        if self.pending.capacity() > SUFFIX_KEPT.max(4 * self.pending.len()) {
            self.pending.shrink_to_fit();
        }
    }
}
