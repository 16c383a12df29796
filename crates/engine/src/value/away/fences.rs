//! Fences: rows that say how many elements of an ordered value have rows between which keys, so that a start need not count them.
//!
//! ```text
//! fence   := count varint ‖ first key ‖ last key
//! key     := score in its order u64, big-endian ‖ length varint ‖ member      of a sorted set
//!          | position                                                         of a list
//! ```
//! They are counted when the image of the value is written, part by part, while commands change it: what has a row then is what
//! is away, what is in memory and not new, and what has gone since the image began.
//!
//! A hash has one such row, which says how many fields have a deadline.

use std::ops::Range;

use effect::ListPos;
use effect::wire::{Reader, WireError, put_bytes, put_varint};
use mvcc::wide::{INLINE_NAME_BYTES, INLINE_STEPS};

use super::{Away, Edge, FENCE_ELEMENTS, Gaps, PARTLY_LEAST, Want};
use crate::value::Kind;
use crate::value::wide::{Budget, Content, Order, RowKey, RowSink, WideRow};

/// Bytes of a row of fences.
const ROW_BYTES: usize = if cfg!(test) { 128 } else { 16 << 10 };

/// So many elements have rows with keys between two, both included.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::value) struct Fence<K> {
    pub(in crate::value) first: K,
    pub(in crate::value) last: K,
    pub(in crate::value) count: usize,
}

/// A place in an order.
pub(in crate::value) trait Key: Ord + Clone + Into<Edge> {
    /// Whether it stands whole in the key of a row: others are not in the order of rows.
    fn is_whole(&self) -> bool;
    /// The same place.
    fn of(edge: &Edge) -> Option<Self>;
}

impl Key for Order {
    fn is_whole(&self) -> bool {
        self.1.len() <= INLINE_NAME_BYTES
    }

    fn of(edge: &Edge) -> Option<Self> {
        if let Edge::Scored(order, member) = edge { Some((*order, member.clone())) } else { None }
    }
}

impl Key for ListPos {
    fn is_whole(&self) -> bool {
        self.path.len() <= INLINE_STEPS
    }

    fn of(edge: &Edge) -> Option<Self> {
        if let Edge::Placed(pos) = edge { Some(pos.clone()) } else { None }
    }
}

impl From<Order> for Edge {
    fn from((order, member): Order) -> Self {
        Self::Scored(order, member)
    }
}

impl From<ListPos> for Edge {
    fn from(pos: ListPos) -> Self {
        Self::Placed(pos)
    }
}

/// What went in the epoch of an image, between two keys.
pub(in crate::value) struct Went<K> {
    pub(in crate::value) count: usize,
    pub(in crate::value) ends: Option<(K, K)>,
}

/// A value with an order, to be fenced.
pub(in crate::value) trait Ordered {
    type Key: Key;

    /// How many elements in memory come before a key; or, if `behind` is said, not behind it.
    fn place(&self, key: &Self::Key, behind: bool) -> usize;
    /// The key of an element in memory.
    fn key_at(&self, rank: usize) -> Option<Self::Key>;
    /// The rank behind those that lie in one block with this one.
    fn block_end(&self, rank: usize) -> usize;
    /// How many of these elements have rows once the image is written.
    fn with_rows(&self, ranks: Range<usize>) -> usize;
    fn gaps(&self) -> Option<&Gaps<Self::Key>>;

    /// The gaps that some of these ranks lie in.
    fn lacking(&self, ranks: &Range<usize>) -> Range<usize> {
        self.gaps().map_or(0..0, |gaps| gaps.at_ranks(ranks, &|key, behind| self.place(key, behind)))
    }

    /// The ranks among elements in memory of these ranks, unless some of them are away.
    #[inline]
    fn here(&self, ranks: Range<usize>) -> Result<Range<usize>, Away> {
        let Some(gaps) = self.gaps().filter(|_| !ranks.is_empty()) else { return Ok(ranks) };
        gaps.here(&ranks, &|key, behind| self.place(key, behind)).ok_or(Away(ranks))
    }

    /// The rows of gaps that these ranks lie in, or of all, from the first one on, that have about so many elements together.
    fn rows_of(&self, ranks: Option<&Range<usize>>, most: usize) -> Vec<Want> {
        let Some(gaps) = self.gaps() else { return Vec::new() };
        let of = ranks.map_or(0..gaps.len(), |ranks| self.lacking(ranks));
        let mut sum = 0;
        let some = of.map_while(|at| gaps.get(at).filter(|_| sum < most).inspect(|(.., count)| sum += count));
        some.map(|(first, last, _)| Want::Between(first.clone().into(), last.clone().into())).collect()
    }
}

/// Counts what has rows behind a key, up to about as many as lie between two fences. Answers also behind which key to go on;
/// `None`: that was all.
fn next_fence<O: Ordered>(
    of: &O,
    after: Option<&O::Key>,
    went: impl Fn(Option<&O::Key>, Option<&O::Key>) -> Went<O::Key>,
) -> (Option<Fence<O::Key>>, Option<O::Key>) {
    let mut rank = after.map_or(0, |key| of.place(key, true));
    let gap = |at: usize| of.gaps().and_then(|gaps| gaps.get(at));
    let mut at = after.map_or(0, |key| of.gaps().map_or(0, |gaps| gaps.behind(key)));
    let (mut first, mut last, mut count) = (None, None, 0);
    let is_over = loop {
        if count >= FENCE_ELEMENTS && last.as_ref().is_some_and(O::Key::is_whole) {
            break false;
        }
        match (of.key_at(rank), gap(at)) {
            (None, None) => break true,
            (here, Some((from, to, away))) if here.as_ref().is_none_or(|here| from <= here) => {
                let end = of.place(to, true);
                count += away + of.with_rows(rank..end);
                first.get_or_insert_with(|| from.clone());
                last = Some(to.clone());
                (rank, at) = (end, at + 1);
            }
            (Some(here), gap) => {
                let end = gap.map_or(usize::MAX, |(from, ..)| of.place(from, false)).min(of.block_end(rank));
                count += of.with_rows(rank..end);
                first.get_or_insert(here);
                last = of.key_at(end - 1);
                rank = end;
            }
            (None, Some(_)) => unreachable!("a gap that nothing is before is next"),
        }
    };
    let Went { count: gone, ends } = went(after, last.as_ref().filter(|_| !is_over));
    if let Some((least, most)) = ends {
        first = Some(first.map_or(least.clone(), |first| first.min(least)));
        last = Some(last.map_or(most.clone(), |last| last.max(most)));
    }
    let next = last.clone().filter(|_| !is_over);
    let fence = first.zip(last).filter(|_| count + gone > 0);
    (fence.map(|(first, last)| Fence { first, last, count: count + gone }), next)
}

/// The fences of an image on their way.
#[derive(Default)]
pub(in crate::value) struct Fencing {
    /// Whether some are to come.
    wanted: bool,
    /// Behind which key.
    after: Option<Edge>,
    row: Vec<u8>,
    /// Rows that were handed over.
    rows: u32,
    /// Rows that there were before.
    old: u32,
    /// The first of them that is still to go, if it is behind those that were handed over.
    cleared: u32,
}

impl Fencing {
    /// Begins, for a value of so many elements that has `old` rows of fences.
    pub(in crate::value) fn begin(len: usize, old: u32) -> Self {
        Self { wanted: len >= PARTLY_LEAST, old, ..Self::default() }
    }

    pub(in crate::value) fn is_done(&self) -> bool {
        !self.wanted && self.rows.max(self.cleared) >= self.old
    }

    /// Rows that there may be when the run is in force, or is not.
    pub(in crate::value) fn rows(&self, written: bool) -> u32 {
        if written { self.rows } else { self.rows.max(self.old) }
    }

    /// Hands over what a hash has: the number of fields that have deadlines.
    pub(in crate::value) fn deadlines(&mut self, count: u64, budget: &mut Budget, sink: &mut RowSink<'_>) {
        if self.wanted {
            if budget.is_spent() {
                return;
            }
            self.wanted = false;
            put_varint(&mut self.row, count);
            self.put(budget, sink);
        }
        self.clear(budget, sink);
    }

    /// Hands over rows of a value that has no fences.
    pub(in crate::value) fn none(&mut self, budget: &mut Budget, sink: &mut RowSink<'_>) {
        self.wanted = false;
        self.clear(budget, sink);
    }

    /// Hands over the next rows of an ordered value; `went` answers what went since the image began behind one key and up to
    /// another.
    pub(in crate::value) fn next_rows<O: Ordered>(
        &mut self,
        of: &O,
        went: impl Fn(Option<&O::Key>, Option<&O::Key>) -> Went<O::Key>,
        budget: &mut Budget,
        sink: &mut RowSink<'_>,
    ) {
        while self.wanted && !budget.is_spent() {
            budget.spend(0);
            let after = self.after.as_ref().and_then(O::Key::of);
            let (fence, next) = next_fence(of, after.as_ref(), &went);
            if let Some(Fence { first, last, count }) = fence {
                // Where keys do not stand in the order of rows there are no fences: the value is read as a whole.
                if !first.is_whole() || !last.is_whole() {
                    self.wanted = false;
                    self.row.clear();
                    break;
                }
                put_varint(&mut self.row, count as u64);
                put_edge(&mut self.row, &first.into());
                put_edge(&mut self.row, &last.into());
            }
            self.wanted = next.is_some();
            self.after = next.map(Into::into);
            if self.row.len() >= ROW_BYTES || (!self.wanted && !self.row.is_empty()) {
                self.put(budget, sink);
            }
        }
        if !self.wanted {
            self.clear(budget, sink);
        }
    }

    fn put(&mut self, budget: &mut Budget, sink: &mut RowSink<'_>) {
        budget.spend(self.row.len());
        sink(WideRow::Put(RowKey::Fences(self.rows), Content::Bytes(&self.row)));
        self.row.clear();
        self.rows += 1;
    }

    /// Removes rows of which there are none any more.
    fn clear(&mut self, budget: &mut Budget, sink: &mut RowSink<'_>) {
        self.cleared = self.cleared.max(self.rows);
        while self.cleared < self.old && !budget.is_spent() {
            budget.spend(0);
            sink(WideRow::Remove(RowKey::Fences(self.cleared)));
            self.cleared += 1;
        }
    }
}

fn put_edge(out: &mut Vec<u8>, edge: &Edge) {
    match edge {
        Edge::Scored(order, member) => {
            out.extend_from_slice(&order.to_be_bytes());
            put_bytes(out, member);
        }
        Edge::Placed(pos) => pos.encode(0, out),
    }
}

fn take_edge(from: &mut Reader<'_>, is_list: bool) -> Result<Edge, WireError> {
    if is_list {
        return ListPos::decode(0, from).map(Edge::Placed);
    }
    let mut order = [0; 8];
    order.copy_from_slice(from.take(8)?);
    Ok(Edge::Scored(u64::from_be_bytes(order), from.bytes()?.into()))
}

/// Reads the fences of a row of a list or a sorted set.
pub(super) fn read_fences<K: Key>(row: &[u8], is_list: bool, gaps: &mut Gaps<K>) -> Result<(), String> {
    let mut from = Reader::new(row);
    while from.remaining() > 0 {
        let told = |error: WireError| error.to_string();
        let count = from.varint().map_err(told)?;
        let (first, last) =
            (take_edge(&mut from, is_list).map_err(told)?, take_edge(&mut from, is_list).map_err(told)?);
        let ends = K::of(&first).zip(K::of(&last));
        let added = ends.and_then(|(first, last)| gaps.push(first, last, usize::try_from(count).ok()?));
        added.ok_or("its fences are not in order")?;
    }
    Ok(())
}

/// Reads how many fields of a hash have deadlines.
pub(super) fn read_deadlines(row: &[u8]) -> Result<u64, String> {
    Reader::new(row).varint().map_err(|error| error.to_string())
}

/// How many elements the fences of a row count; `None`: it counts something else.
pub(crate) fn count_fenced(kind: Kind, row: &[u8]) -> Result<Option<u64>, String> {
    let elements = match kind {
        Kind::ZSet => elements_of::<Order>(row, false),
        Kind::List => elements_of::<ListPos>(row, true),
        Kind::Hash => return read_deadlines(row).map(|_| None),
        Kind::Set | Kind::String => Err("its value has no fences".into()),
    };
    elements.map(Some)
}

fn elements_of<K: Key>(row: &[u8], is_list: bool) -> Result<u64, String> {
    let mut gaps = Gaps::<K>::new();
    read_fences(row, is_list, &mut gaps)?;
    Ok(gaps.elements() as u64)
}
