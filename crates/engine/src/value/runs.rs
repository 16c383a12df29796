//! The positions of a row of list elements, stored as runs: a pushed row costs the same for one element or a thousand.

use effect::{
    ListPos,
    wire::{Reader, WireError, put_varint},
};
use smallvec::SmallVec;
use std::cmp::Ordering;
use std::ops::Range;

/// Elements from index `at` on, up to the next part: `pos`, then its followers in the same run.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    at: u32,
    pos: ListPos,
}

/// Strictly ascending positions of `len` elements.
///
/// *Invariant:* parts begin at strictly ascending indexes, the first at 0; a position with an insertion path is a part
/// of its own.
#[derive(Clone, Debug, Default)]
pub(super) struct Runs {
    parts: SmallVec<[Part; 1]>,
    len: u32,
}

/// Whether `pos` with nothing between follows the element `steps` before it.
fn follows(pos: &ListPos, before: &ListPos, steps: u32) -> bool {
    pos.path.is_empty()
        && before.path.is_empty()
        && (pos.epoch, pos.origin) == (before.epoch, before.origin)
        && before.n.checked_add(i64::from(steps)) == Some(pos.n)
}

impl Runs {
    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    /// How many runs, or single positions, there are.
    pub(super) fn parts(&self) -> usize {
        self.parts.len()
    }

    /// Whether the elements of these indexes, which are there, are at `first` and the positions of its run behind it.
    pub(super) fn is_run(&self, indexes: Range<usize>, first: &ListPos) -> bool {
        if indexes.len() > 1 && !first.path.is_empty() {
            return false;
        }
        let (mut at, mut pos) = (indexes.start, first.clone());
        while at < indexes.end {
            let part = self.part(at as u32);
            if self.get(at) != pos {
                return false;
            }
            let end = indexes.end.min(self.end(part) as usize);
            pos = pos.step((end - at) as i64);
            at = end;
        }
        true
    }

    /// Hands the positions of these indexes, which are there, on to `visit`: the first of each run and how many follow
    /// one another from it on.
    pub(super) fn each_run(&self, indexes: Range<usize>, mut visit: impl FnMut(ListPos, u64)) {
        let mut at = indexes.start;
        while at < indexes.end {
            let end = indexes.end.min(self.end(self.part(at as u32)) as usize);
            visit(self.get(at), (end - at) as u64);
            at = end;
        }
    }

    /// The part that holds the element.
    #[inline]
    fn part(&self, index: u32) -> usize {
        if self.parts.len() == 1 { 0 } else { self.parts.partition_point(|part| part.at <= index) - 1 }
    }

    fn end(&self, part: usize) -> u32 {
        self.parts.get(part + 1).map_or(self.len, |next| next.at)
    }

    /// The position of an element that is there.
    #[inline]
    pub(super) fn get(&self, index: usize) -> ListPos {
        let part = &self.parts[self.part(index as u32)];
        part.pos.step(i64::from(index as u32 - part.at))
    }

    /// How the position of the element at `index`, which is there, compares to `pos`.
    #[inline]
    pub(super) fn compare(&self, index: usize, pos: &ListPos) -> Ordering {
        let part = &self.parts[self.part(index as u32)];
        let n = part.pos.n.wrapping_add(i64::from(index as u32 - part.at));
        let here = (part.pos.epoch, part.pos.origin, n);
        here.cmp(&(pos.epoch, pos.origin, pos.n)).then_with(|| part.pos.path.cmp(&pos.path))
    }

    /// How many elements stand before the position.
    pub(super) fn rank(&self, pos: &ListPos) -> usize {
        let Some(part) = self.parts.partition_point(|part| part.pos < *pos).checked_sub(1) else { return 0 };
        let (start, end) = (self.parts[part].at, self.end(part));
        let base = &self.parts[part].pos;
        if !base.path.is_empty() || (base.epoch, base.origin) != (pos.epoch, pos.origin) {
            return end as usize;
        }
        // Of the run, those with a lower number are before; the same number is when the position goes deeper.
        let before = i128::from(pos.n) - i128::from(base.n) + i128::from(!pos.path.is_empty());
        start as usize + before.clamp(1, i128::from(end - start)) as usize
    }

    /// How many leading elements satisfy the predicate.
    pub(super) fn partition_point(&self, below: &mut dyn FnMut(&ListPos) -> bool) -> usize {
        let Some(part) = self.parts.partition_point(|part| below(&part.pos)).checked_sub(1) else { return 0 };
        let (mut low, mut high) = (self.parts[part].at as usize + 1, self.end(part) as usize);
        while low < high {
            let middle = (low + high) / 2;
            if below(&self.get(middle)) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    fn shift(&mut self, from: usize, by: i32) {
        self.len = self.len.wrapping_add_signed(by);
        for part in &mut self.parts[from..] {
            part.at = part.at.wrapping_add_signed(by);
        }
    }

    /// Makes a part begin at the index, which may be the length; returns its number.
    fn cut(&mut self, index: u32) -> usize {
        if index == self.len {
            return self.parts.len();
        }
        let part = self.part(index);
        if self.parts[part].at == index {
            return part;
        }
        let pos = self.get(index as usize);
        self.parts.insert(part + 1, Part { at: index, pos });
        part + 1
    }

    /// Inserts a position before the element at `index`.
    pub(super) fn insert(&mut self, index: usize, pos: ListPos) {
        let index = index as u32;
        // One run that grows at an end: what a list has that is only pushed and popped.
        if let [only] = &mut self.parts[..] {
            let in_front = index == 0 && follows(&only.pos, &pos, 1);
            if in_front || index == self.len && follows(&pos, &only.pos, index) {
                only.pos.n -= i64::from(in_front);
                self.len += 1;
                return;
            }
        }
        let next = self.cut(index);
        let joins_left = next > 0 && {
            let left = &self.parts[next - 1];
            follows(&pos, &left.pos, index - left.at)
        };
        let joins_right = self.parts.get(next).is_some_and(|right| follows(&right.pos, &pos, 1));
        match (joins_left, joins_right) {
            (true, true) => {
                self.shift(next, 1);
                self.parts.remove(next);
            }
            (true, false) => self.shift(next, 1),
            (false, true) => {
                self.parts[next].pos = pos;
                self.shift(next + 1, 1);
            }
            (false, false) => {
                self.shift(next, 1);
                self.parts.insert(next, Part { at: index, pos });
            }
        }
    }

    /// Removes the position of the element at `index`.
    pub(super) fn remove(&mut self, index: usize) {
        let part = self.cut(index as u32);
        if self.end(part) - self.parts[part].at == 1 {
            self.parts.remove(part);
            self.shift(part, -1);
        } else {
            let pos = &mut self.parts[part].pos;
            pos.n = pos.n.wrapping_add(1);
            self.shift(part + 1, -1);
        }
    }

    /// Keeps the positions before `index` and returns the others.
    pub(super) fn split_off(&mut self, index: usize) -> Self {
        let index = index as u32;
        let part = self.cut(index);
        let mut right = Self { parts: self.parts.drain(part..).collect(), len: self.len - index };
        right.parts.iter_mut().for_each(|part| part.at -= index);
        self.parts.shrink_to_fit();
        self.len = index;
        right
    }

    /// Takes in positions that all come after these.
    pub(super) fn append(&mut self, right: &mut Self) {
        let base = self.len;
        for (number, part) in right.parts.drain(..).enumerate() {
            let joins =
                number == 0 && self.parts.last().is_some_and(|last| follows(&part.pos, &last.pos, base - last.at));
            if !joins {
                self.parts.push(Part { at: base + part.at, pos: part.pos });
            }
        }
        self.len += std::mem::take(&mut right.len);
    }

    /// Bytes of own allocations.
    pub(super) fn heap(&self) -> usize {
        let paths: usize = self.parts.iter().map(|part| part.pos.path.heap()).sum();
        paths + if self.parts.spilled() { self.parts.capacity() * size_of::<Part>() } else { 0 }
    }

    /// Appends `number of parts varint ‖ parts`, a part being `index varint ‖ position`.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.parts.len() as u64);
        for part in &self.parts {
            put_varint(out, u64::from(part.at));
            part.pos.encode(0, out);
        }
    }

    /// Reads what [`encode`](Self::encode) wrote for `len` elements.
    pub(super) fn decode(len: usize, from: &mut Reader<'_>) -> Result<Self, WireError> {
        let count = from.varint()?;
        let mut parts = SmallVec::new();
        for _ in 0..count {
            let at = from.varint()? as u32;
            parts.push(Part { at, pos: ListPos::decode(0, from)? });
        }
        Ok(Self { parts, len: len as u32 })
    }

    pub(super) fn validate(&self) {
        assert_eq!(self.parts.is_empty(), self.len == 0);
        assert!(self.parts.first().is_none_or(|part| part.at == 0));
        assert!((1..self.parts.len()).all(|part| self.parts[part - 1].at < self.parts[part].at));
        assert!(self.parts.last().is_none_or(|part| part.at < self.len));
        assert!((1..self.len()).all(|index| self.get(index - 1) < self.get(index)), "positions are out of order");
        for part in 0..self.parts.len() {
            assert!(self.parts[part].pos.path.is_empty() || self.end(part) - self.parts[part].at == 1);
        }
    }
}
