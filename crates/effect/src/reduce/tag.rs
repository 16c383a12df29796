//! What a part knows of the effect that gave it.

use std::cmp::Ordering;

use crate::hlc::Hlc;
use crate::id::Dot;
use crate::stamp::Stamp;

/// The identity of an effect with its moment. Greater is later, as of [`Stamp`]s; dots separate what no sound origin makes: two
/// effects with one HLC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tag {
    pub dot: Dot,
    pub hlc: Hlc,
}

impl Ord for Tag {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        let stamp = |tag: &Self| Stamp::new(tag.dot, tag.hlc);
        stamp(self).cmp(&stamp(other)).then(self.dot.seq.cmp(&other.dot.seq))
    }
}

impl PartialOrd for Tag {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
