//! `Pin`: a large value of which a checkpoint has a part already, and which may change before it has the rest.
//!
//! The checkpoint goes over the value in steps (by hash, by position or by offset) and frees the lock between them. It
//! gets the value as it was when it was pinned: what changes ahead of it is kept as it was, once, and handed over with
//! the next step. The pin lies in the value, so it goes along when the value moves to another key or is removed.
//!
//! *Invariant:* what the steps hand over, together, is the value at the moment of [`Entry::pin`].

use crate::limits::{CHECKPOINT_PART_BYTES, CHECKPOINT_PART_ELEMENTS};

use super::entry::{Entry, Value};
use super::{BigHash, BigList, BigSet, BigZSet, HashRef, ListRef, SetRef, ZSetRef};
use effect::{FoldedWriter, Kind, ListPos, wire};
use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};

/// Bytes of a string that are kept together when one of them changes.
const BLOCK: usize = 4096;

const _: () = assert!(CHECKPOINT_PART_BYTES.is_multiple_of(BLOCK), "a step ends where a block ends");

/// What the checkpoint has of the value, and what has changed of the rest.
pub(crate) struct Pin {
    id: u64,
    /// Elements as they were, encoded: they changed before the checkpoint came to them.
    kept: VecDeque<Box<[u8]>>,
    place: Place,
}

/// How far the checkpoint has come, by the kind of value.
enum Place {
    /// Fields and members by hash: those from `next` on are to come; `None`: all are done. Those in `changed` are not
    /// what they were, and are kept or were not there.
    Hashed { next: Option<u64>, changed: HashSet<Box<[u8]>> },
    /// List elements by position: those behind `after` are to come.
    Listed { after: Option<ListPos>, done: bool, changed: BTreeSet<ListPos> },
    /// Bytes from `at` up to `len`; `old` are blocks, by number, as they were before they changed.
    Bytes { at: usize, len: usize, old: BTreeMap<usize, Box<[u8]>> },
}

/// The encoded form of one element, as it stands within a folded value.
fn encoded(kind: Kind, write: impl FnOnce(&mut FoldedWriter<'_>)) -> Box<[u8]> {
    let mut out = Vec::new();
    write(&mut FoldedWriter::parts(&mut out, kind, 0));
    out.into_boxed_slice()
}

impl Pin {
    /// Whether the hash is ahead of the checkpoint and its element unchanged so far; notes that it changes.
    fn changes(&mut self, hash: u64, id: &[u8]) -> bool {
        match &mut self.place {
            Place::Hashed { next, changed } => {
                next.is_some_and(|next| hash >= next) && !changed.contains(id) && changed.insert(id.into())
            }
            _ => false,
        }
    }

    /// A field is about to change.
    #[cold]
    pub(super) fn note_field(&mut self, hash: &BigHash, name: &[u8]) {
        if self.changes(hash.hash_of(name), name)
            && let Some(old) = hash.get(name)
        {
            self.kept.push_back(encoded(Kind::Hash, |out| out.field(old.field, old.value, old.deadline)));
        }
    }

    /// A member is about to come or go.
    #[cold]
    pub(super) fn note_member(&mut self, set: &BigSet, member: &[u8]) {
        if self.changes(set.hash_of(member), member) && set.contains(member) {
            self.kept.push_back(encoded(Kind::Set, |out| out.member(member)));
        }
    }

    /// A member is about to come, to go or to get another score.
    #[cold]
    pub(super) fn note_scored(&mut self, zset: &BigZSet, member: &[u8]) {
        if self.changes(zset.hash_of(member), member)
            && let Some(score) = zset.score(member)
        {
            self.kept.push_back(encoded(Kind::ZSet, |out| out.scored(member, score)));
        }
    }

    /// The element at a position, or the place for one, is about to change.
    #[cold]
    pub(super) fn note_element(&mut self, pos: &ListPos, value: Option<&[u8]>) {
        let Place::Listed { after, done, changed } = &mut self.place else { return };
        let ahead = !*done && after.as_ref().is_none_or(|after| pos > after);
        if ahead
            && changed.insert(pos.clone())
            && let Some(value) = value
        {
            self.kept.push_back(encoded(Kind::List, |out| out.run(pos, std::iter::once(value))));
        }
    }

    /// Bytes from `offset` on, up to `end`, are about to be overwritten or cut off.
    #[cold]
    pub(super) fn note_bytes(&mut self, whole: &[u8], offset: usize, end: usize) {
        let Place::Bytes { at, len, old } = &mut self.place else { return };
        let (from, to) = (offset.max(*at), end.min(*len));
        if from >= to {
            return;
        }
        for block in from / BLOCK..to.div_ceil(BLOCK) {
            // Whoever shortened the string noted what it cut off, so what is missing here is there already.
            old.entry(block).or_insert_with(|| {
                let end = ((block + 1) * BLOCK).min(*len).min(whole.len());
                whole[(block * BLOCK).min(end)..end].into()
            });
        }
    }
}

/// What a step hands over: elements, counted, and then the whole as a folded value.
struct Step {
    kind: Kind,
    count: usize,
    body: Vec<u8>,
    /// Count and length where the present allowance began.
    since: (usize, usize),
}

impl Step {
    fn new(kind: Kind) -> Self {
        Self { kind, count: 0, body: Vec::new(), since: (0, 0) }
    }

    fn is_full(&self) -> bool {
        self.count - self.since.0 >= CHECKPOINT_PART_ELEMENTS || self.body.len() - self.since.1 >= CHECKPOINT_PART_BYTES
    }

    /// Adds some of what was kept. It has an allowance of its own, or whoever changes elements as fast as they are
    /// taken, just ahead of the checkpoint, would keep it from getting past them.
    fn add_kept(&mut self, kept: &mut VecDeque<Box<[u8]>>) {
        self.since = (self.count, self.body.len());
        while !self.is_full()
            && let Some(element) = kept.pop_front()
        {
            self.count += 1;
            self.body.extend_from_slice(&element);
        }
    }

    /// Adds one element, or one run of them.
    #[inline]
    fn write(&mut self, write: impl FnOnce(&mut FoldedWriter<'_>)) {
        write(&mut FoldedWriter::parts(&mut self.body, self.kind, 0));
        self.count += 1;
    }

    fn finish(self, out: &mut Vec<u8>) {
        out.push(self.kind as u8);
        wire::put_varint(out, self.count as u64);
        out.extend_from_slice(&self.body);
    }
}

impl Entry {
    /// Lets a checkpoint named `id` take the value in steps; no, if it is so small that it lies in one allocation.
    pub(crate) fn pin(&mut self, id: u64) -> bool {
        let Self::Big(_, big) = self else { return false };
        let place = match &big.value {
            Value::String(bytes) => Place::Bytes { at: 0, len: bytes.len(), old: BTreeMap::new() },
            Value::List(_) => Place::Listed { after: None, done: false, changed: BTreeSet::new() },
            Value::Hash(_) | Value::Set(_) | Value::ZSet(_) => Place::Hashed { next: Some(0), changed: HashSet::new() },
        };
        big.pin = Some(Box::new(Pin { id, kept: VecDeque::new(), place }));
        true
    }

    /// The checkpoint that goes over the value.
    #[inline]
    pub(crate) fn pinned(&self) -> Option<u64> {
        match self {
            Self::Big(_, big) => big.pin.as_ref().map(|pin| pin.id),
            Self::Packed(..) | Self::Rest(..) => None,
        }
    }

    /// Ends what [`Entry::pin`] began. What it answers is best dropped without a lock.
    pub(crate) fn unpin(&mut self) -> Option<Box<Pin>> {
        match self {
            Self::Big(_, big) => big.pin.take(),
            Self::Packed(..) | Self::Rest(..) => None,
        }
    }

    /// Appends the next part of a pinned value, as a folded value of its own, and says whether it was the last.
    pub(crate) fn next_part(&mut self, out: &mut Vec<u8>) -> bool {
        let Self::Big(_, big) = self else { return true };
        let Some(pin) = &mut big.pin else { return true };
        let Pin { kept, place, .. } = &mut **pin;
        match (&big.value, place) {
            (Value::String(bytes), Place::Bytes { at, len, old }) => next_bytes(bytes, at, *len, old, out),
            (Value::List(list), Place::Listed { after, done, changed }) => {
                let mut step = Step::new(Kind::List);
                next_elements(list, after, done, changed, &mut step);
                step.add_kept(kept);
                step.finish(out);
                *done && kept.is_empty()
            }
            (value, Place::Hashed { next, changed }) => {
                let mut step = Step::new(self_kind(value));
                while !step.is_full()
                    && let Some(from) = *next
                {
                    *next = next_hashed(value, from, changed, &mut step);
                }
                step.add_kept(kept);
                step.finish(out);
                next.is_none() && kept.is_empty()
            }
            // A value never changes its kind: another one is another entry.
            _ => true,
        }
    }
}

fn self_kind(value: &Value) -> Kind {
    match value {
        Value::String(_) => Kind::String,
        Value::List(_) => Kind::List,
        Value::Hash(_) => Kind::Hash,
        Value::Set(_) => Kind::Set,
        Value::ZSet(_) => Kind::ZSet,
    }
}

/// One page of elements that are what they were.
fn next_hashed(value: &Value, from: u64, changed: &HashSet<Box<[u8]>>, step: &mut Step) -> Option<u64> {
    let same = |id: &[u8]| changed.is_empty() || !changed.contains(id);
    match value {
        Value::Hash(hash) => HashRef::Big(hash).scan(from, |f| {
            if same(f.field) {
                step.write(|out| out.field(f.field, f.value, f.deadline));
            }
        }),
        Value::Set(set) => SetRef::Big(set).scan(from, |member| {
            if same(member) {
                step.write(|out| out.member(member));
            }
        }),
        Value::ZSet(zset) => ZSetRef::Big(zset).scan(from, |member, score| {
            if same(member) {
                step.write(|out| out.scored(member, score));
            }
        }),
        Value::String(_) | Value::List(_) => None,
    }
}

/// The elements behind `after` that are what they were.
fn next_elements(
    list: &BigList,
    after: &mut Option<ListPos>,
    done: &mut bool,
    changed: &BTreeSet<ListPos>,
    step: &mut Step,
) {
    if *done || step.is_full() {
        return;
    }
    let first = match after {
        None => 0,
        Some(pos) => match ListRef::Big(list).search(pos) {
            Ok(index) => index + 1,
            Err(index) => index,
        },
    };
    let most = first.saturating_add(CHECKPOINT_PART_ELEMENTS);
    let mut at = first;
    while at < most
        && step.body.len() < CHECKPOINT_PART_BYTES
        && let Some((chunk, base)) = list.chunk_at(at)
    {
        let here = at - base..(most - base).min(chunk.runs().len());
        let mut index = here.start;
        chunk.runs().each_run(here.clone(), |pos, count| {
            each_unchanged(&pos, count, changed, |from, count| {
                let values = chunk.encoded(index + from..index + from + count);
                step.write(|out| out.encoded_run(&pos.step(from as i64), count, values));
            });
            index += count as usize;
        });
        *after = Some(chunk.runs().get(here.end - 1));
        at = base + here.end;
    }
    *done = list.chunk_at(at).is_none();
}

/// Hands on what of a run of positions is not in `changed`: how many positions behind the first a part begins, and how
/// many elements it has.
fn each_unchanged(first: &ListPos, count: u64, changed: &BTreeSet<ListPos>, mut visit: impl FnMut(usize, usize)) {
    let (mut from, end) = (0, count as usize);
    for other in changed.range(first..=&first.step(count as i64 - 1)) {
        let offset = other.n.wrapping_sub(first.n);
        // One that was inserted between two of the run, and is gone, leaves no gap.
        if first.step(offset) == *other {
            let at = offset as usize;
            if at > from {
                visit(from, at - from);
            }
            from = at + 1;
        }
    }
    if end > from {
        visit(from, end - from);
    }
}

/// The next bytes as they were.
fn next_bytes(now: &[u8], at: &mut usize, len: usize, old: &mut BTreeMap<usize, Box<[u8]>>, out: &mut Vec<u8>) -> bool {
    let (start, end) = (*at, len.min(*at + CHECKPOINT_PART_BYTES));
    out.push(Kind::String as u8);
    wire::put_varint(out, (end - start) as u64);
    let base = out.len();
    out.extend_from_slice(&now[start.min(now.len())..end.min(now.len())]);
    out.resize(base + end - start, 0);
    // Steps are whole blocks, so a block is needed by one step only.
    while let Some(block) = old.first_entry().filter(|block| block.key() * BLOCK < end) {
        let from = base + block.key() * BLOCK - start;
        let bytes = block.remove();
        out[from..from + bytes.len()].copy_from_slice(&bytes);
    }
    *at = end;
    end == len
}
