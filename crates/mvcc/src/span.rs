//! Ranges of keys.

use std::ops::Bound;

/// The keys from `start` up to, not including, `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span<'a> {
    /// The first key.
    pub start: &'a [u8],
    /// The first key behind; `None` means there is no end.
    pub end: Option<&'a [u8]>,
}

impl<'a> Span<'a> {
    /// Every key.
    pub const ALL: Self = Self { start: &[], end: None };

    /// The keys from `start` up to, not including, `end`.
    pub fn new(start: &'a [u8], end: &'a [u8]) -> Self {
        Self { start, end: Some(end) }
    }

    /// The keys from `start` on.
    pub fn from(start: &'a [u8]) -> Self {
        Self { start, end: None }
    }

    /// Whether no key lies in it.
    pub fn is_empty(&self) -> bool {
        self.end.is_some_and(|end| end <= self.start)
    }

    /// Whether `key` lies in it.
    pub fn contains(&self, key: &[u8]) -> bool {
        key >= self.start && self.end.is_none_or(|end| key < end)
    }

    /// What is left of this span behind a page that stopped at `next`; see [`Page::next`](crate::Page::next).
    pub fn rest(&self, direction: Direction, next: &'a [u8]) -> Self {
        match direction {
            Direction::Forward => Self { start: next, end: self.end },
            Direction::Reverse => Self { start: self.start, end: Some(next) },
        }
    }

    pub(crate) fn bounds(&self) -> (Bound<&'a [u8]>, Bound<&'a [u8]>) {
        (Bound::Included(self.start), self.end.map_or(Bound::Unbounded, Bound::Excluded))
    }
}

/// Which way a scan goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Ascending keys.
    Forward,
    /// Descending keys.
    Reverse,
}

/// The first key behind all keys that begin with `prefix`; `None` when no key is behind them (the prefix is empty or
/// all 0xFF).
pub fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let keep = prefix.iter().rposition(|&byte| byte != 0xFF)?;
    let mut end = prefix[..=keep].to_vec();
    end[keep] += 1;
    Some(end)
}

/// The smallest key above `key`.
pub(crate) fn successor(key: &[u8]) -> Vec<u8> {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    next
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn prefix_end_separates_what_has_the_prefix_from_what_is_behind(
            prefix in prop::collection::vec(prop_oneof![Just(0xFFu8), Just(0), any::<u8>()], 0..5),
            key in prop::collection::vec(prop_oneof![Just(0xFFu8), Just(0), any::<u8>()], 0..6),
        ) {
            let end = prefix_end(&prefix);
            let span = Span { start: &prefix, end: end.as_deref() };
            prop_assert_eq!(span.contains(&key), key.starts_with(&prefix));
        }
    }

    #[test]
    fn nothing_lies_between_a_key_and_its_successor() {
        assert_eq!(successor(b"a"), b"a\0");
        assert!(Span::new(b"a", &successor(b"a")).contains(b"a"));
    }

    #[test]
    fn a_span_with_its_end_before_its_start_is_empty() {
        assert!(Span::new(b"b", b"a").is_empty());
        assert!(Span::new(b"b", b"b").is_empty());
        assert!(!Span::ALL.is_empty());
    }
}
