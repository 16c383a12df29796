//! The identity of a list element: a position that is fixed when the element is written and never renumbered.
//!
//! Positions are totally ordered by `(epoch, origin, n, path)`. A pusher extends its own run (same epoch and
//! origin, next `n`) while that run is the end it sees and opens a new epoch otherwise, so pushes stay at their end
//! and the runs of concurrent pushers stay contiguous. `LINSERT` puts digits behind a neighbour's position.
//!
//! Source: DESIGN §5, law 7; the digits follow the idea of Logoot (Weiss, Urso, Molli 2009).

use std::cmp::Ordering;
use std::ops::Deref;

use crate::wire::{Reader, WireError, put_varint, put_zigzag};

/// One step of an insertion path: a digit, and who chose it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathStep {
    /// Orders siblings inserted behind the same element.
    pub digit: i64,
    /// The origin that inserted; separates concurrent inserts with the same digit.
    pub origin: u64,
}

/// The insertion path of an element. Pushed elements have none, and a copy of none costs next to nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(
    /// Never an empty slice.
    Option<Box<[PathStep]>>,
);

impl Path {
    /// This path with one more step.
    pub fn with(&self, step: PathStep) -> Self {
        self.iter().copied().chain([step]).collect()
    }

    /// Bytes of its own allocation.
    pub fn heap(&self) -> usize {
        size_of_val::<[PathStep]>(self)
    }
}

impl Deref for Path {
    type Target = [PathStep];

    #[inline]
    fn deref(&self) -> &[PathStep] {
        self.0.as_deref().unwrap_or_default()
    }
}

impl FromIterator<PathStep> for Path {
    fn from_iter<I: IntoIterator<Item = PathStep>>(steps: I) -> Self {
        let steps: Box<[PathStep]> = steps.into_iter().collect();
        Self((!steps.is_empty()).then_some(steps))
    }
}

/// Where a list element stands, for ever.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ListPos {
    /// Grows at the tail and shrinks at the head whenever a pusher does not own the end that it sees.
    pub epoch: i64,
    /// The origin whose run this is.
    pub origin: u64,
    /// The element's number within the run.
    pub n: i64,
    /// Empty for pushed elements; the insertion path of those that came by `LINSERT`.
    pub path: Path,
}

impl Ord for ListPos {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        (self.epoch, self.origin, self.n)
            .cmp(&(other.epoch, other.origin, other.n))
            .then_with(|| self.path.cmp(&other.path))
    }
}

impl PartialOrd for ListPos {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl ListPos {
    /// The position `n` of the run that `origin` opened in `epoch`.
    #[inline]
    pub fn new(epoch: i64, origin: u64, n: i64) -> Self {
        Self { epoch, origin, n, path: Path::default() }
    }

    /// Where `me` pushes the first of a run of elements behind `last` (`None`: the list is empty).
    /// The following elements of the same push take `n + 1`, `n + 2`, …
    #[inline]
    pub fn after_tail(last: Option<&ListPos>, me: u64) -> Self {
        match last {
            None => Self::new(0, me, 0),
            Some(l) if l.origin == me && l.n < i64::MAX / 2 => Self::new(l.epoch, me, l.n + 1),
            Some(l) => Self::new(l.epoch.saturating_add(1), me, 0),
        }
    }

    /// Where `me` pushes the first of a run of elements before `first` (`None`: the list is empty).
    /// The following elements of the same push take `n - 1`, `n - 2`, …
    #[inline]
    pub fn before_head(first: Option<&ListPos>, me: u64) -> Self {
        match first {
            None => Self::new(0, me, 0),
            Some(f) if f.origin == me && f.n > i64::MIN / 2 => Self::new(f.epoch, me, f.n - 1),
            Some(f) => Self::new(f.epoch.saturating_sub(1), me, 0),
        }
    }

    /// A position strictly between `left` and `right` (`None`: `left` is the tail), chosen by `me`.
    pub fn between(left: &ListPos, right: Option<&ListPos>, me: u64) -> Self {
        let fits = |candidate: &ListPos| candidate > left && right.is_none_or(|r| candidate < r);
        let beside = |path: Path| Self { path, ..left.clone() };
        if let [above @ .., last] = &*left.path {
            let step = PathStep { digit: last.digit.saturating_add(1), origin: me };
            let sibling = beside(above.iter().copied().chain([step]).collect());
            if fits(&sibling) {
                return sibling;
            }
        }
        let below = right.filter(|r| r.base() == left.base() && r.path.starts_with(&left.path));
        let digit = below.and_then(|r| r.path.get(left.path.len())).map_or(0, |step| step.digit.saturating_sub(1));
        let child = beside(left.path.with(PathStep { digit, origin: me }));
        debug_assert!(fits(&child), "an insertion path must lie between its neighbours");
        child
    }

    /// The element `offset` places further in the same run (negative: before it), with the same path.
    #[inline]
    pub fn step(&self, offset: i64) -> Self {
        Self { n: self.n.wrapping_add(offset), ..self.clone() }
    }

    fn base(&self) -> (i64, u64, i64) {
        (self.epoch, self.origin, self.n)
    }

    /// Appends the wire form; `home` is the origin of the batch, which then costs no bytes.
    ///
    /// Shape: `tag u8` (bit 0: origin is `home`, bit 1: epoch is 0, bits 2..: path length, 62 = varint follows),
    /// `epoch zigzag`?, `origin u64 LE`?, `n zigzag`, then per step `digit zigzag ‖ origin u64 LE`.
    pub fn encode(&self, home: u64, out: &mut Vec<u8>) {
        let steps = self.path.len();
        let short = steps.min(LONG_PATH);
        out.push((short as u8) << 2 | u8::from(self.epoch == 0) << 1 | u8::from(self.origin == home));
        if self.epoch != 0 {
            put_zigzag(out, self.epoch);
        }
        if self.origin != home {
            out.extend_from_slice(&self.origin.to_le_bytes());
        }
        put_zigzag(out, self.n);
        if short == LONG_PATH {
            put_varint(out, steps as u64);
        }
        for step in &*self.path {
            put_zigzag(out, step.digit);
            out.extend_from_slice(&step.origin.to_le_bytes());
        }
    }

    /// Reads what [`ListPos::encode`] wrote, and nothing that it would have written differently.
    #[inline]
    pub fn decode(home: u64, from: &mut Reader<'_>) -> Result<Self, WireError> {
        let Head { epoch, origin, n, steps } = head(home, from)?;
        if steps == 0 {
            return Ok(Self::new(epoch, origin, n));
        }
        let mut path = Vec::with_capacity(steps);
        for _ in 0..steps {
            path.push(PathStep { digit: from.zigzag()?, origin: from.u64()? });
        }
        Ok(Self { epoch, origin, n, path: Path(Some(path.into_boxed_slice())) })
    }

    /// Reads past a position and the count behind it, of elements in the same run; keeps nothing of the position.
    pub(crate) fn check_run(home: u64, from: &mut Reader<'_>) -> Result<u64, WireError> {
        let at = from.offset();
        let Head { n, steps, .. } = head(home, from)?;
        for _ in 0..steps {
            from.zigzag()?;
            from.u64()?;
        }
        let len = from.varint()?;
        check_reach(n, 1, len, at)?;
        Ok(len)
    }
}

/// Refuses `len` elements from number `n` on, in direction `way` (1 or -1), if there are not so many numbers.
pub(crate) fn check_reach(n: i64, way: i64, len: u64, at: usize) -> Result<(), WireError> {
    let steps = len.saturating_sub(1);
    let last = if way < 0 { n.checked_sub_unsigned(steps) } else { n.checked_add_unsigned(steps) };
    last.map(drop).ok_or(WireError::Invalid { what: "length of a run of positions", at })
}

/// A position before its path.
struct Head {
    epoch: i64,
    origin: u64,
    n: i64,
    /// How many steps follow; there are bytes for them.
    steps: usize,
}

#[inline]
fn head(home: u64, from: &mut Reader<'_>) -> Result<Head, WireError> {
    let at = from.offset();
    let invalid = |what| WireError::Invalid { what, at };
    let tag = from.u8()?;
    let epoch = if tag & 2 != 0 { 0 } else { from.zigzag()? };
    let origin = if tag & 1 != 0 { home } else { from.u64()? };
    if (tag & 2 == 0 && epoch == 0) || (tag & 1 == 0 && origin == home) {
        return Err(invalid("list position"));
    }
    let n = from.zigzag()?;
    if tag >> 2 == 0 {
        return Ok(Head { epoch, origin, n, steps: 0 });
    }
    let steps = match usize::from(tag >> 2) {
        short @ ..LONG_PATH => short as u64,
        LONG_PATH => from.varint()?,
        _ => return Err(invalid("list position path")),
    };
    if (tag >> 2 == LONG_PATH as u8 && steps < LONG_PATH as u64) || steps > (from.remaining() / MIN_STEP_BYTES) as u64 {
        return Err(invalid("list position path"));
    }
    Ok(Head { epoch, origin, n, steps: steps as usize })
}

/// Path lengths from here on are written as a varint of their own.
const LONG_PATH: usize = 62;
/// A step takes at least one byte of digit and eight of origin.
const MIN_STEP_BYTES: usize = 9;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pos() -> impl Strategy<Value = ListPos> {
        let step = (-3i64..3, 1u64..4).prop_map(|(digit, origin)| PathStep { digit, origin });
        (-3i64..3, 1u64..4, -5i64..5, proptest::collection::vec(step, 0..4))
            .prop_map(|(epoch, origin, n, path)| ListPos { epoch, origin, n, path: path.into_iter().collect() })
    }

    proptest! {
        #[test]
        fn between_lies_strictly_between(a in pos(), b in pos(), me in 1u64..5) {
            prop_assume!(a != b);
            let (left, right) = if a < b { (a, b) } else { (b, a) };
            let mid = ListPos::between(&left, Some(&right), me);
            prop_assert!(left < mid && mid < right, "{left:?} {mid:?} {right:?}");
        }

        #[test]
        fn ends_lie_outside(a in pos(), me in 1u64..5) {
            prop_assert!(ListPos::after_tail(Some(&a), me) > a);
            prop_assert!(ListPos::before_head(Some(&a), me) < a);
            prop_assert!(ListPos::between(&a, None, me) > a);
        }

        #[test]
        fn wire_form_round_trips(a in pos(), home in 1u64..4) {
            let mut out = Vec::new();
            a.encode(home, &mut out);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(ListPos::decode(home, &mut reader).expect("own encoding"), a);
            prop_assert_eq!(reader.remaining(), 0);
        }
    }
}
