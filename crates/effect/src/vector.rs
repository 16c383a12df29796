//! Version vectors: how far of each origin something has come. A context is one, and so is what a replica has applied.

use crate::id::{Dot, Origin};
use crate::wire::{Reader, WireError, put_varint};

/// Of each origin the number of its last effect that is in it; all before it are in it too. Origins of which nothing is in it
/// do not appear, so that equal vectors are equal bytes.
///
/// *Invariant:* ascending by origin; there are few, and looking through them is quicker than following pointers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Vector(Vec<(Origin, u64)>);

impl Vector {
    /// The empty vector.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The number of the last effect of `origin` that is in it; 0 if none is.
    #[inline]
    pub fn get(&self, origin: Origin) -> u64 {
        self.find(origin).map_or(0, |at| self.0[at].1)
    }

    #[inline]
    fn find(&self, origin: Origin) -> Result<usize, usize> {
        self.0.binary_search_by_key(&origin, |(origin, _)| *origin)
    }

    /// Whether the effect is in it.
    #[inline]
    pub fn has(&self, dot: Dot) -> bool {
        self.get(dot.origin) >= dot.seq
    }

    /// Whether all of `other` is in it.
    pub fn covers(&self, other: &Vector) -> bool {
        other.0.iter().all(|(origin, seq)| self.get(*origin) >= *seq)
    }

    /// Takes in the effect, and all of its origin before it.
    pub fn add(&mut self, dot: Dot) {
        if dot.seq == 0 {
            return;
        }
        match self.find(dot.origin) {
            Ok(at) => self.0[at].1 = dot.seq.max(self.0[at].1),
            Err(at) => self.0.insert(at, (dot.origin, dot.seq)),
        }
    }

    /// Takes in all of `other`.
    pub fn join(&mut self, other: &Vector) {
        other.iter().for_each(|dot| self.add(dot));
    }

    /// What is in both.
    pub fn meet(&self, other: &Vector) -> Vector {
        let both = |(origin, seq): &(Origin, u64)| (*origin, (*seq).min(other.get(*origin)));
        Self(self.0.iter().map(both).filter(|(_, seq)| *seq > 0).collect())
    }

    /// Forgets an origin.
    pub fn remove(&mut self, origin: Origin) {
        if let Ok(at) = self.find(origin) {
            self.0.remove(at);
        }
    }

    /// The last effect of each origin, by origin.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Dot> + '_ {
        self.0.iter().map(|(origin, seq)| Dot { origin: *origin, seq: *seq })
    }

    /// What differs from an older vector that it covers.
    pub fn since<'a>(&'a self, older: &'a Vector) -> impl Iterator<Item = Dot> + 'a {
        self.iter().filter(|dot| older.get(dot.origin) != dot.seq)
    }

    /// How many origins.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Appends `count varint ‖ (origin u64 LE ‖ seq varint)*`, by origin.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.0.len() as u64);
        for (origin, seq) in &self.0 {
            out.extend_from_slice(&origin.0.to_le_bytes());
            put_varint(out, *seq);
        }
    }

    /// Reads what [`Vector::encode`] wrote, and nothing that it would have written differently.
    pub fn decode(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let mut vector = Self::new();
        let mut last = None;
        for _ in 0..from.varint()? {
            let at = from.offset();
            let (origin, seq) = (Origin(from.u64()?), from.varint()?);
            if seq == 0 || last.is_some_and(|last| last >= origin) {
                return Err(WireError::Invalid { what: "version vector", at });
            }
            last = Some(origin);
            vector.0.push((origin, seq));
        }
        Ok(vector)
    }
}

impl FromIterator<Dot> for Vector {
    fn from_iter<I: IntoIterator<Item = Dot>>(dots: I) -> Self {
        let mut vector = Self::new();
        dots.into_iter().for_each(|dot| vector.add(dot));
        vector
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn vector() -> impl Strategy<Value = Vector> {
        let dot = (1u64..5, 0u64..6).prop_map(|(origin, seq)| Dot { origin: Origin(origin), seq });
        prop::collection::vec(dot, 0..6).prop_map(Vector::from_iter)
    }

    proptest! {
        #[test]
        fn join_and_meet_are_the_least_above_and_the_greatest_below(a in vector(), b in vector()) {
            let mut joined = a.clone();
            joined.join(&b);
            let met = a.meet(&b);
            for origin in (1..5).map(Origin) {
                prop_assert_eq!(joined.get(origin), a.get(origin).max(b.get(origin)));
                prop_assert_eq!(met.get(origin), a.get(origin).min(b.get(origin)));
            }
            prop_assert!(joined.covers(&a) && joined.covers(&b) && a.covers(&met) && b.covers(&met));
            prop_assert_eq!(a.covers(&b), joined == a);
        }

        #[test]
        fn a_vector_has_what_was_added_and_all_before(a in vector(), seq in 1u64..6) {
            let dot = Dot { origin: Origin(3), seq };
            let mut more = a.clone();
            more.add(dot);
            let [first, next] = [1, seq + 1].map(|seq| Dot { seq, ..dot });
            prop_assert!(more.has(dot) && more.has(first));
            prop_assert_eq!(more.has(next), a.has(next));
            prop_assert_eq!(more.since(&a).count(), usize::from(!a.has(dot)));
        }

        #[test]
        fn wire_form_round_trips(a in vector()) {
            let mut out = Vec::new();
            a.encode(&mut out);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(Vector::decode(&mut reader).expect("own encoding"), a);
            prop_assert_eq!(reader.remaining(), 0);
        }
    }

    #[test]
    fn another_order_or_a_zero_is_refused() {
        let bytes = |dots: &[(u64, u64)]| {
            let mut out = Vec::new();
            put_varint(&mut out, dots.len() as u64);
            for (origin, seq) in dots {
                out.extend_from_slice(&origin.to_le_bytes());
                put_varint(&mut out, *seq);
            }
            out
        };
        for dots in [&[(2, 1), (1, 1)][..], &[(1, 1), (1, 2)], &[(1, 0)]] {
            assert!(Vector::decode(&mut Reader::new(&bytes(dots))).is_err(), "{dots:?}");
        }
    }
}
