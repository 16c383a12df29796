//! An effect with what a merge must know of it: who wrote it, when, and what its writer had seen.

use crate::hlc::Hlc;
use crate::id::{Dot, Origin};
use crate::op::Effect;
use crate::reduce::tag::Tag;
use crate::vector::Vector;

/// One effect of a group, to be taken into the state of its key.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// Its identity.
    pub dot: Dot,
    /// When it was written.
    pub hlc: Hlc,
    /// What its writer had seen. What the same origin wrote before is observed in any case.
    pub context: &'a Vector,
    /// What happens.
    pub effect: &'a Effect<'a>,
}

impl Event<'_> {
    /// Up to which of `origin`'s effects it has observed all.
    #[inline]
    pub(super) fn reach(&self, origin: Origin) -> u64 {
        let told = self.context.get(origin);
        if origin == self.dot.origin { told.max(self.dot.seq.saturating_sub(1)) } else { told }
    }

    /// What orders it.
    pub(super) fn tag(&self) -> Tag {
        Tag { dot: self.dot, hlc: self.hlc }
    }
}
