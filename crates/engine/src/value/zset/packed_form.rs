//! Sorted sets in the packed form: `count u16 ‖ members` in order, a member being `score f64 LE ‖ varint ‖ bytes`.

use crate::value::packed;
use std::ops::Range;

/// The payload of a sorted set without members.
pub(in crate::value) const EMPTY: &[u8] = &[0, 0];

/// The members of a packed sorted set.
#[derive(Clone, Copy)]
pub struct PackedZSet<'a> {
    payload: &'a [u8],
}

impl<'a> PackedZSet<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { payload: packed::payload(bytes) }
    }

    pub(super) fn len(self) -> usize {
        packed::count(self.payload, 0)
    }

    /// The members in order with the place of each in the payload.
    fn places(self) -> Places<'a> {
        Places { payload: self.payload, at: 2 }
    }

    pub(super) fn iter(self) -> PackedMembers<'a> {
        PackedMembers(self.places())
    }

    pub(super) fn score(self, member: &[u8]) -> Option<f64> {
        self.iter().find(|(other, _)| *other == member).map(|(_, score)| score)
    }

    pub(super) fn partition_point(self, mut below: impl FnMut(f64, &[u8]) -> bool) -> usize {
        self.iter().take_while(|(member, score)| below(*score, member)).count()
    }
}

struct Places<'a> {
    payload: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Places<'a> {
    type Item = (Range<usize>, &'a [u8], f64);

    fn next(&mut self) -> Option<Self::Item> {
        if self.at == self.payload.len() {
            return None;
        }
        let start = self.at;
        let score = f64::from_le_bytes(packed::word(self.payload, start));
        self.at += 8;
        let member = packed::string(self.payload, &mut self.at);
        Some((start..self.at, member, score))
    }
}

/// The members of a packed sorted set in order, read as they are asked for.
pub(super) struct PackedMembers<'a>(Places<'a>);

impl<'a> Iterator for PackedMembers<'a> {
    type Item = (&'a [u8], f64);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(_, member, score)| (member, score))
    }
}

/// Sets a score and returns the one before.
pub(super) fn insert(bytes: &mut Box<[u8]>, member: &[u8], score: f64) -> Option<f64> {
    let old = PackedZSet::new(bytes).score(member);
    if old.map(f64::to_bits) == Some(score.to_bits()) {
        return old;
    }
    remove(bytes, member);
    let zset = PackedZSet::new(bytes);
    let (at, count) = (packed::payload_at(bytes), zset.len() + 1);
    let place = zset.places().find(|(_, other, above)| (*above, *other) > (score, member));
    let place = place.map_or(bytes.len(), |(place, _, _)| at + place.start);
    packed::splice(bytes, place..place, &[&score.to_le_bytes(), packed::length(member.len()).bytes(), member]);
    bytes[at..at + 2].copy_from_slice(&(count as u16).to_le_bytes());
    old
}

/// Removes a member and returns its score.
pub(super) fn remove(bytes: &mut Box<[u8]>, member: &[u8]) -> Option<f64> {
    let zset = PackedZSet::new(bytes);
    let (at, count) = (packed::payload_at(bytes), zset.len());
    let (place, _, score) = zset.places().find(|(_, other, _)| *other == member)?;
    packed::splice(bytes, at + place.start..at + place.end, &[]);
    bytes[at..at + 2].copy_from_slice(&((count - 1) as u16).to_le_bytes());
    Some(score)
}
