//! Lists: elements with identities, strictly ascending by position.
//!
//! Packed payload: `count u16 ‖ runs ‖ elements`, an element being `varint ‖ bytes`. Big: chunks in a tree,
//! so that an index in the middle costs a descent and a walk over at most one chunk, and a chunk at each end beside it.

mod away;
mod chunk;
mod chunks;
mod image;
mod marks;

use super::away::{Away, Ordered};
use super::entry::{Entry, Value};
use super::packed;
use super::runs::Runs;
use super::tree::{Leaf, Leaves};
use super::wide::{Placed, Wide};
use super::{Limits, Remains};
use away::ListAway;
pub(super) use chunk::Chunk;
use chunks::Chunks;
use effect::{ListPos, wire::Reader};
use std::cmp::Ordering;
use std::ops::Range;

/// The payload of a list without elements.
pub(super) const EMPTY: &[u8] = &[0, 0, 0];

/// The elements of a packed list.
#[derive(Clone, Copy)]
pub struct PackedList<'a> {
    payload: &'a [u8],
}

impl<'a> PackedList<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { payload: packed::payload(bytes) }
    }

    fn len(self) -> usize {
        packed::count(self.payload, 0)
    }

    /// The runs, and where the elements begin.
    fn runs(self) -> (Runs, usize) {
        let mut reader = Reader::new(&self.payload[2..]);
        let runs = Runs::decode(self.len(), &mut reader).expect("a packed list is written by this module only");
        (runs, 2 + reader.offset())
    }

    /// The places of the elements in the payload.
    fn places(self) -> impl Iterator<Item = (Range<usize>, &'a [u8])> {
        let mut at = self.runs().1;
        std::iter::from_fn(move || {
            let start = at;
            (at < self.payload.len()).then(|| {
                let value = packed::string(self.payload, &mut at);
                (start..at, value)
            })
        })
    }

    fn iter(self) -> impl Iterator<Item = &'a [u8]> {
        self.places().map(|(_, value)| value)
    }

    fn positions(self, indexes: Range<usize>) -> ListPositions<'a> {
        ListPositions { indexes, part: Part::Packed(self.runs().0) }
    }
}

/// A list beyond the packed limits.
pub struct BigList {
    chunks: Chunks,
    /// What of it is away.
    away: Option<Box<ListAway>>,
}

impl BigList {
    pub(super) fn memory_bytes(&self) -> usize {
        self.chunks.memory_bytes() + self.away.as_ref().map_or(0, |away| away.memory_bytes())
    }

    /// The chunks, to be freed in slices.
    pub(super) fn into_leaves(self) -> Leaves<Chunk> {
        self.chunks.into_leaves()
    }

    /// The index, among those in memory, of the element with this position, or where it would be inserted. The ends, where most
    /// work is, are tried without a search.
    fn search(&self, pos: &ListPos) -> Result<usize, usize> {
        match self.compare(0, pos) {
            None | Some(Ordering::Greater) => return Err(0),
            Some(Ordering::Equal) => return Ok(0),
            Some(Ordering::Less) => {}
        }
        let last = self.chunks.len() - 1;
        match self.compare(last, pos) {
            Some(Ordering::Less) => return Err(last + 1),
            Some(Ordering::Equal) => return Ok(last),
            _ => {}
        }
        let rank = self.chunks.partition_point(|other| other < pos);
        if self.compare(rank, pos) == Some(Ordering::Equal) { Ok(rank) } else { Err(rank) }
    }

    /// How the position of the element at `index` compares to `pos`.
    fn compare(&self, index: usize, pos: &ListPos) -> Option<Ordering> {
        self.chunks.at(index).map(|(chunk, start)| chunk.runs().compare(index - start, pos))
    }

    fn positions(&self, indexes: Range<usize>) -> ListPositions<'_> {
        ListPositions { indexes, part: Part::Big { list: self, chunk: None } }
    }

    fn get(&self, index: usize) -> Option<&[u8]> {
        self.chunks.at(index).map(|(chunk, start)| chunk.get(index - start))
    }

    #[inline]
    fn get_pos(&self, index: usize) -> Option<ListPos> {
        self.chunks.at(index).map(|(chunk, start)| chunk.runs().get(index - start))
    }
}

/// A list to read.
#[derive(Clone, Copy)]
pub enum ListRef<'a> {
    /// Within the limits of the packed form.
    Packed(PackedList<'a>),
    /// Beyond.
    Big(&'a BigList),
}

impl<'a> ListRef<'a> {
    #[inline]
    pub(super) fn packed(bytes: &'a [u8]) -> Self {
        Self::Packed(PackedList::new(bytes))
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Packed(list) => list.len(),
            Self::Big(list) => list.len(),
        }
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The element at an index from the head.
    pub fn get(&self, index: usize) -> Result<Option<&'a [u8]>, Away> {
        match *self {
            Self::Packed(list) => Ok(list.iter().nth(index)),
            Self::Big(list) => Ok(list.get(list.here(index..index.saturating_add(1))?.start)),
        }
    }

    /// The position of the element at an index from the head.
    #[inline]
    pub fn position_of(&self, index: usize) -> Result<Option<ListPos>, Away> {
        match self {
            Self::Packed(list) => Ok((index < list.len()).then(|| list.runs().0.get(index))),
            Self::Big(list) => Ok(list.get_pos(list.here(index..index.saturating_add(1))?.start)),
        }
    }

    /// The position of the head.
    #[inline]
    pub fn first(&self) -> Result<Option<ListPos>, Away> {
        self.position_of(0)
    }

    /// The position of the tail.
    #[inline]
    pub fn last(&self) -> Result<Option<ListPos>, Away> {
        self.len().checked_sub(1).map_or(Ok(None), |last| self.position_of(last))
    }

    /// The element at this position.
    pub fn at(&self, pos: &ListPos) -> Option<&'a [u8]> {
        let index = self.search(pos).ok()?;
        match *self {
            Self::Packed(list) => list.iter().nth(index),
            Self::Big(list) => list.get(index),
        }
    }

    /// The index, among those in memory, of the element with this position, or the one at which it would be inserted.
    fn search(&self, pos: &ListPos) -> Result<usize, usize> {
        match self {
            Self::Packed(list) => {
                let runs = list.runs().0;
                let rank = runs.rank(pos);
                let found = rank < runs.len() && runs.compare(rank, pos) == Ordering::Equal;
                if found { Ok(rank) } else { Err(rank) }
            }
            Self::Big(list) => list.search(pos),
        }
    }

    /// The index, among those in memory, of the element with exactly this position.
    pub fn index_of(&self, pos: &ListPos) -> Option<usize> {
        self.search(pos).ok()
    }

    /// How many elements in memory stand before a position.
    pub fn rank(&self, pos: &ListPos) -> usize {
        self.search(pos).unwrap_or_else(|rank| rank)
    }

    /// The elements of these indexes, from either end; indexes beyond the end are ignored.
    pub fn range(&self, indexes: Range<usize>) -> Result<ListRange<'a>, Away> {
        let end = indexes.end.min(self.len());
        let indexes = indexes.start.min(end)..end;
        Ok(match *self {
            Self::Packed(list) => {
                let front = list.iter().skip(indexes.start).take(indexes.len()).collect::<Vec<_>>();
                ListRange { list: None, indexes: 0..front.len(), front: None, back: (0, front) }
            }
            Self::Big(list) => {
                ListRange { list: Some(list), indexes: list.here(indexes)?, front: None, back: Default::default() }
            }
        })
    }

    /// The positions of these indexes; indexes beyond the end are ignored.
    pub fn positions(&self, indexes: Range<usize>) -> Result<ListPositions<'a>, Away> {
        let end = indexes.end.min(self.len());
        let indexes = indexes.start.min(end)..end;
        Ok(match *self {
            Self::Packed(list) => list.positions(indexes),
            Self::Big(list) => list.positions(list.here(indexes)?),
        })
    }

    /// Those of `len` positions of a run, from `first` on, that have an element: in time proportional to the elements that
    /// lie there, however long the run is said to be.
    pub fn present(&self, first: &ListPos, len: u64) -> Vec<ListPos> {
        let Some(steps) = len.checked_sub(1) else { return Vec::new() };
        let last = ListPos { n: first.n.saturating_add_unsigned(steps), ..first.clone() };
        let on_the_run = |pos: &ListPos| (pos.epoch, pos.origin, &pos.path) == (first.epoch, first.origin, &first.path);
        let from = match *self {
            Self::Packed(list) => list.positions(self.rank(first)..list.len()),
            Self::Big(list) => list.positions(self.rank(first)..list.chunks.len()),
        };
        from.take_while(|pos| *pos <= last).filter(on_the_run).collect()
    }

    /// The positions of these indexes, consecutive ones of a run drawn together; indexes beyond the end are ignored. In
    /// time proportional to chunks and runs.
    pub fn runs(&self, indexes: Range<usize>) -> Result<Vec<(ListPos, u64)>, Away> {
        let mut runs: Vec<(ListPos, u64)> = Vec::new();
        let mut add = |position: ListPos, count: u64| match runs.last_mut() {
            Some((first, len)) if first.step(*len as i64) == position => *len += count,
            _ => runs.push((position, count)),
        };
        let mut end = indexes.end.min(self.len());
        let mut at = indexes.start.min(end);
        match self {
            Self::Packed(list) => list.runs().0.each_run(at..end, add),
            Self::Big(list) => {
                let here = list.here(at..end)?;
                (at, end) = (here.start, here.end);
                while let Some((chunk, base)) = list.chunks.at(at).filter(|_| at < end) {
                    let till = end.min(base + chunk.len());
                    chunk.runs().each_run(at - base..till - base, &mut add);
                    at = till;
                }
            }
        }
        Ok(runs)
    }

    /// All elements from the head. None may be away.
    pub fn iter(&self) -> ListRange<'a> {
        self.range(0..self.len()).expect("who walks over all elements has seen to it that all are here")
    }

    pub(super) fn validate(&self) {
        match self {
            Self::Packed(list) => {
                assert_eq!(list.iter().count(), list.len());
                list.runs().0.validate();
            }
            Self::Big(list) => {
                list.chunks.validate();
                list.away.iter().for_each(|away| away.validate());
                let mut rank = 0;
                let mut before: Option<ListPos> = None;
                while let Some((chunk, start)) = list.chunks.at(rank) {
                    assert_eq!(start, rank);
                    chunk.runs().validate();
                    assert!(before.is_none_or(|before| before < chunk.first()), "chunks are out of order");
                    let (mut at, mut count) = (0, 0);
                    while at < chunk.body().len() {
                        packed::string(chunk.body(), &mut at);
                        count += 1;
                    }
                    assert_eq!(count, chunk.len());
                    before = Some(chunk.runs().get(count - 1));
                    rank += count;
                }
            }
        }
    }
}

/// Elements of consecutive indexes.
pub struct ListRange<'a> {
    list: Option<&'a BigList>,
    indexes: Range<usize>,
    front: Option<Front<'a>>,
    /// The index of the first element of a chunk, and the elements of that chunk: it can only be walked forwards. Of a
    /// packed list all that are asked for.
    back: (usize, Vec<&'a [u8]>),
}

/// Where a walk from the head stands.
struct Front<'a> {
    chunk: &'a Chunk,
    /// Elements of the chunk that are left, and where the next one begins.
    left: usize,
    at: usize,
}

fn load<'a>(list: Option<&'a BigList>, index: usize, spot: &mut (usize, Vec<&'a [u8]>)) -> Option<&'a [u8]> {
    if let Some(value) = index.checked_sub(spot.0).and_then(|at| spot.1.get(at)) {
        return Some(value);
    }
    let (chunk, start) = list?.chunks.at(index)?;
    spot.0 = start;
    spot.1.clear();
    let (body, mut at) = (chunk.body(), 0);
    while at < body.len() {
        spot.1.push(packed::string(body, &mut at));
    }
    spot.1.get(index - start).copied()
}

impl<'a> Iterator for ListRange<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let index = self.indexes.next()?;
        let Some(list) = self.list else { return load(None, index, &mut self.back) };
        if self.front.as_ref().is_none_or(|front| front.left == 0) {
            let (chunk, start) = list.chunks.at(index)?;
            self.front = Some(Front { chunk, left: chunk.len() - (index - start), at: chunk.offset(index - start) });
        }
        let front = self.front.as_mut()?;
        front.left -= 1;
        Some(front.chunk.read(&mut front.at))
    }

    /// Skips without looking at what is skipped.
    fn nth(&mut self, n: usize) -> Option<&'a [u8]> {
        self.indexes.start = self.indexes.start.saturating_add(n).min(self.indexes.end);
        self.front = None;
        self.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.indexes.size_hint()
    }
}

impl DoubleEndedIterator for ListRange<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        load(self.list, self.indexes.next_back()?, &mut self.back)
    }
}

impl ExactSizeIterator for ListRange<'_> {}

/// Positions of consecutive indexes.
pub struct ListPositions<'a> {
    indexes: Range<usize>,
    part: Part<'a>,
}

/// Where the positions of neighbours are looked up without a search for each.
enum Part<'a> {
    Packed(Runs),
    Big { list: &'a BigList, chunk: Option<(&'a Chunk, usize)> },
}

impl Iterator for ListPositions<'_> {
    type Item = ListPos;

    fn next(&mut self) -> Option<ListPos> {
        let index = self.indexes.next()?;
        match &mut self.part {
            Part::Packed(runs) => Some(runs.get(index)),
            Part::Big { list, chunk } => {
                let here = chunk.filter(|(chunk, start)| index - start < chunk.len());
                let (here, start) = here.or_else(|| list.chunks.at(index))?;
                *chunk = Some((here, start));
                Some(here.runs().get(index - start))
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.indexes.size_hint()
    }

    /// Skips without looking at what is skipped.
    fn nth(&mut self, n: usize) -> Option<ListPos> {
        self.indexes.start = self.indexes.start.saturating_add(n).min(self.indexes.end);
        self.next()
    }
}

impl ExactSizeIterator for ListPositions<'_> {}

/// A list to change; it becomes big when it passes the limits.
pub struct ListMut<'a> {
    entry: &'a mut Entry,
    limits: &'a Limits,
}

enum Form<'a> {
    Packed(&'a mut Box<[u8]>),
    Big(&'a mut BigList, Option<&'a mut Placed>),
}

impl<'a> ListMut<'a> {
    pub(super) fn new(entry: &'a mut Entry, limits: &'a Limits) -> Self {
        Self { entry, limits }
    }

    /// The list to read.
    pub fn view(&self) -> ListRef<'_> {
        self.entry.list().expect("made of a list only")
    }

    fn form(&mut self) -> Form<'_> {
        match self.entry {
            Entry::Packed(_, bytes) => Form::Packed(bytes),
            Entry::Rest(..) => unreachable!("a value at rest is not changed in place"),
            Entry::Big(_, big) => match &mut big.value {
                Value::List(list) => Form::Big(list, big.wide.as_deref_mut().and_then(Wide::list)),
                _ => unreachable!("made of a list only"),
            },
        }
    }

    /// Becomes big unless `more` elements and bytes still fit.
    #[inline]
    fn make_room(&mut self, more: usize, more_bytes: usize) {
        if let Entry::Packed(..) = self.entry {
            self.make_room_if_small(more, more_bytes);
        }
    }

    fn make_room_if_small(&mut self, more: usize, more_bytes: usize) {
        let (most, bytes_most) = self.limits.list();
        let count = self.view().len() + more;
        let Entry::Packed(_, bytes) = &*self.entry else { return };
        let payload = packed::payload(bytes).len();
        if count > most.min(packed::MAX_COUNT) || payload + more_bytes > bytes_most.min(packed::MAX_BYTES) {
            let list = PackedList::new(bytes);
            let runs = list.runs().0;
            let mut chunks = Chunks::default();
            for (index, value) in list.iter().enumerate() {
                chunks.insert(index, (&runs.get(index), value));
            }
            self.entry.grow(Value::List(BigList { chunks, away: None }));
        }
    }

    /// Adds an element where its position belongs. When there is one with that position already nothing is done and
    /// the answer is no.
    pub fn insert(&mut self, pos: &ListPos, value: &[u8]) -> bool {
        let Err(index) = self.view().search(pos) else { return false };
        self.make_room(1, value.len());
        match self.form() {
            Form::Packed(bytes) => edit(bytes, index, index, Some((pos, value))),
            Form::Big(list, _) => {
                list.chunks.insert(index, (pos, value));
            }
        }
        true
    }

    /// Removes the element of a position and returns whether it was there.
    pub fn remove(&mut self, pos: &ListPos) -> bool {
        let Some(index) = self.view().index_of(pos) else { return false };
        match self.form() {
            Form::Packed(bytes) => edit(bytes, index, index + 1, None),
            Form::Big(list, trail) => {
                list.remove(index, pos, trail);
            }
        }
        true
    }

    /// Removes `len` elements at once: those at `first` and the positions behind it in its run. `None`, and nothing done,
    /// unless the list is a big one and has exactly these there, one behind the other.
    pub fn cut(&mut self, first: &ListPos, len: u64) -> Option<Remains> {
        let Form::Big(list, trail) = self.form() else { return None };
        let start = ListRef::Big(list).index_of(first)?;
        let end = start.checked_add(usize::try_from(len).ok()?).filter(|end| *end <= list.chunks.len())?;
        let mut at = start;
        while at < end {
            let (chunk, base) = list.chunks.at(at)?;
            let till = end.min(base + chunk.len());
            if !chunk.runs().is_run(at - base..till - base, &first.step((at - start) as i64)) {
                return None;
            }
            at = till;
        }
        if let Some(trail) = trail {
            list.note_cut(start..end, first, trail)?;
        }
        Some(Remains::of_chunks(list.chunks.remove_range(start..end)))
    }

    /// Replaces the value of the element of a position and returns whether it was there.
    pub fn set(&mut self, pos: &ListPos, value: &[u8]) -> bool {
        let Some(index) = self.view().index_of(pos) else { return false };
        self.make_room(0, value.len());
        match self.form() {
            Form::Packed(bytes) => edit(bytes, index, index + 1, Some((pos, value))),
            Form::Big(list, trail) => {
                list.set(index, pos, value, trail);
            }
        }
        true
    }
}

/// Puts at most one element in the place of those in `from..to` (none or one) of a packed list.
fn edit(bytes: &mut Box<[u8]>, from: usize, to: usize, with: Option<(&ListPos, &[u8])>) {
    let base = packed::payload_at(bytes);
    let list = PackedList::new(bytes);
    let (mut runs, head) = list.runs();
    let place = if from == list.len() {
        bytes.len()..bytes.len()
    } else if from == 0 && to == 0 {
        base + head..base + head
    } else {
        let (place, _) = list.places().nth(from).expect("the index was found in this list");
        base + place.start..base + if to > from { place.end } else { place.start }
    };
    if to > from {
        runs.remove(from);
    }
    match with {
        Some((pos, value)) => {
            runs.insert(from, pos.clone());
            packed::splice(bytes, place, &[packed::length(value.len()).bytes(), value]);
        }
        None => packed::splice(bytes, place, &[]),
    }
    let mut front = Vec::with_capacity(head + 8);
    front.extend_from_slice(&(runs.len() as u16).to_le_bytes());
    runs.encode(&mut front);
    if front.len() == head {
        bytes[base..base + head].copy_from_slice(&front);
    } else {
        packed::splice(bytes, base..base + head, &[&front]);
    }
}
