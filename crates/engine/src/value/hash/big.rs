//! Hashes beyond the packed limits: a table of one allocation per field, and an index of the deadlines.

use super::{FieldRef, NEVER};
use crate::value::away::AwayNames;
use crate::value::packed;
use crate::value::wide::{Budget, Content, Named, RowSink, Source};
use crate::value::{Batches, Fetch, HashSeed, Steps, Table, size_class};
use std::collections::BTreeMap;

/// A field of a big hash in one allocation: `varint(length * 2 + has deadline) ‖ field ‖ [deadline] ‖ value`.
#[derive(Clone)]
pub(in crate::value) struct FieldCell(Box<[u8]>);

impl FieldCell {
    fn new(field: &[u8], value: &[u8], deadline: Option<i64>) -> Self {
        let head = packed::length(field.len() << 1 | usize::from(deadline.is_some()));
        let stamp = deadline.unwrap_or(NEVER).to_le_bytes();
        let stamp = if deadline.is_some() { &stamp[..] } else { &[] };
        Self([head.bytes(), field, stamp, value].concat().into_boxed_slice())
    }

    #[inline]
    pub(super) fn field(&self) -> &[u8] {
        let mut at = 0;
        let len = packed::varint(&self.0, &mut at) >> 1;
        &self.0[at..at + len]
    }

    #[inline]
    pub(super) fn get(&self) -> FieldRef<'_> {
        let mut at = 0;
        let head = packed::varint(&self.0, &mut at);
        let (field, rest) = self.0[at..].split_at(head >> 1);
        if head & 1 == 0 {
            return FieldRef { field, value: rest, deadline: None };
        }
        let (stamp, value) = rest.split_at(8);
        FieldRef { field, value, deadline: Some(i64::from_le_bytes(packed::word(stamp, 0))) }
    }

    /// Overwrites the value if old and new take the same space.
    fn set_in_place(&mut self, value: &[u8]) -> bool {
        let old = self.get();
        let fits = old.deadline.is_none() && old.value.len() == value.len();
        if fits {
            let at = self.0.len() - value.len();
            self.0[at..].copy_from_slice(value);
        }
        fits
    }

    pub(super) fn heap(&self) -> usize {
        size_class(self.0.len())
    }
}

impl Fetch for FieldCell {
    #[inline]
    fn fetch(&self) {
        self.0.fetch();
    }
}

/// A hash beyond the packed limits.
pub struct BigHash {
    pub(super) table: Table<FieldCell>,
    pub(super) seed: HashSeed,
    /// What of it is away.
    pub(super) away: Option<Box<AwayNames>>,
    /// How many fields there are for each deadline and hash of the field.
    deadlines: BTreeMap<(i64, u64), u32>,
    /// Fields with a deadline.
    with_deadline: usize,
    pub(super) heap: usize,
}

/// About what one element costs in a B-tree map of 20-byte items at its usual fill.
const INDEX_BYTES: usize = 32;

impl BigHash {
    pub(super) fn new(seed: HashSeed) -> Self {
        Self { table: Table::new(), seed, away: None, deadlines: BTreeMap::new(), with_deadline: 0, heap: 0 }
    }

    pub(in crate::value) fn steps(&self) -> &dyn Steps {
        &self.table
    }

    fn index(&mut self, deadline: Option<i64>, hash: u64) {
        if let Some(at) = deadline {
            *self.deadlines.entry((at, hash)).or_insert(0) += 1;
            self.with_deadline += 1;
        }
    }

    fn unindex(&mut self, deadline: Option<i64>, hash: u64) {
        let Some(at) = deadline else { return };
        self.with_deadline -= 1;
        let count = self.deadlines.get_mut(&(at, hash)).expect("each deadline of a field is in the index");
        *count -= 1;
        if *count == 0 {
            self.deadlines.remove(&(at, hash));
        }
    }

    pub(super) fn insert(
        &mut self,
        field: &[u8],
        value: &[u8],
        deadline: Option<i64>,
        trail: Option<&mut Named<FieldCell>>,
    ) -> bool {
        let (seed, hash) = (self.seed, self.seed.hash(field));
        let rehash = |cell: &FieldCell| seed.hash(cell.field());
        if let Some(found) = self.table.find_marked(hash, |cell| cell.field() == field) {
            if let Some(trail) = trail {
                trail.note_change(found.mark(), || (hash, field.into()), || found.item().clone());
            }
            let cell = found.change();
            if deadline.is_none() && cell.set_in_place(value) {
                return false;
            }
            let before = cell.get().deadline;
            self.heap -= cell.heap();
            *cell = FieldCell::new(field, value, deadline);
            self.heap += cell.heap();
            self.unindex(before, hash);
            self.index(deadline, hash);
            return false;
        }
        let cell = FieldCell::new(field, value, deadline);
        self.heap += cell.heap();
        self.table.insert_unique(hash, cell, rehash);
        self.index(deadline, hash);
        if let Some(away) = &mut self.away {
            away.came(field);
        }
        true
    }

    pub(super) fn remove(&mut self, field: &[u8], trail: Option<&mut Named<FieldCell>>) -> bool {
        let (seed, hash) = (self.seed, self.seed.hash(field));
        let gone = self.table.take(hash, |cell| cell.field() == field, |cell| seed.hash(cell.field()));
        let Some((cell, mark)) = gone else { return false };
        if let Some(away) = &mut self.away {
            away.went(field);
        }
        self.heap -= cell.heap();
        self.unindex(cell.get().deadline, hash);
        if let Some(trail) = trail {
            trail.note_removal(mark, || (hash, field.into()), || cell);
        }
        true
    }

    /// An empty hash with room for about `count` fields, which come in the order of their hashes.
    pub(in crate::value) fn with_room(seed: HashSeed, count: u64) -> Self {
        Self { table: Table::with_room(count), ..Self::new(seed) }
    }

    /// Adds a field that is at rest and new.
    pub(in crate::value) fn load(&mut self, hash: u64, field: &[u8], value: &[u8], deadline: Option<i64>) {
        let (seed, cell) = (self.seed, FieldCell::new(field, value, deadline));
        self.heap += cell.heap();
        self.table.insert_at_rest(hash, cell, |cell| seed.hash(cell.field()));
        self.index(deadline, hash);
    }

    /// An image begins, or is written.
    pub(in crate::value) fn next_epoch(&mut self) {
        if let Some(away) = &mut self.away {
            away.forget_many();
        }
        self.table.next_epoch();
    }

    /// No element has a row any more.
    pub(in crate::value) fn renew(&mut self) {
        self.table.renew();
    }

    /// The image is given up.
    pub(in crate::value) fn give_up(&mut self) {
        self.table.give_up();
    }

    /// Hands over rows of the image.
    pub(in crate::value) fn next_rows(
        &mut self,
        trail: &mut Named<FieldCell>,
        budget: &mut Budget,
        sink: &mut RowSink<'_>,
    ) {
        fn content(cell: &FieldCell) -> Content<'_> {
            let field = cell.get();
            Content::Field(field.value, field.deadline)
        }
        let mut source = Source { table: &mut self.table, pool: &(), seed: self.seed };
        source.next_rows(trail, (|(), cell| (cell.field(), content(cell)), content), budget, sink);
    }

    pub(in crate::value) fn get(&self, field: &[u8]) -> Option<FieldRef<'_>> {
        self.table.find(self.seed.hash(field), |cell| cell.field() == field).map(FieldCell::get)
    }

    pub(super) fn expired(&self, now: i64, limit: usize, mut visit: impl FnMut(FieldRef<'_>)) {
        let mut left = limit;
        for ((at, hash), count) in self.deadlines.range(..=(now, u64::MAX)) {
            let mut matching = 0;
            // The table has no search for several of one hash, so the predicate collects and never matches.
            self.table.find(*hash, |cell| {
                let field = cell.get();
                if matching < *count && field.deadline == Some(*at) && self.seed.hash(field.field) == *hash && left > 0
                {
                    matching += 1;
                    left -= 1;
                    visit(field);
                }
                false
            });
            if left == 0 {
                return;
            }
        }
    }

    pub(in crate::value) fn memory_bytes(&self) -> usize {
        let away = self.away.as_ref().map_or(0, |away| away.memory_bytes());
        self.heap + self.table.memory_bytes() + self.deadlines.len() * INDEX_BYTES + away
    }

    pub(super) fn scan<'a>(&'a self, from: u64, visit: &mut impl FnMut(FieldRef<'a>)) -> Option<u64> {
        self.table.scan(from, |cell| self.seed.hash(cell.field()), |cell| visit(cell.get()))
    }

    pub(in crate::value) fn len(&self) -> usize {
        self.table.len() + self.away()
    }

    /// How many fields have a deadline.
    pub(in crate::value) fn with_deadline(&self) -> usize {
        self.with_deadline
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = FieldRef<'_>> {
        self.table.iter().map(FieldCell::get)
    }

    pub(super) fn pick(&self, rand: u64) -> Option<FieldRef<'_>> {
        self.table.pick(rand).map(FieldCell::get)
    }

    /// The earliest deadline of a field.
    pub(super) fn min_deadline(&self) -> Option<i64> {
        self.deadlines.first_key_value().map(|((at, _), _)| *at)
    }

    /// How many fields have a deadline at or before `now`.
    pub(super) fn count_expired(&self, now: i64) -> usize {
        self.deadlines.range(..=(now, u64::MAX)).map(|(_, count)| *count as usize).sum()
    }

    /// The fields in batches, to be freed in slices.
    pub(in crate::value) fn into_batches(self) -> Batches<FieldCell> {
        self.table.into_batches()
    }

    pub(super) fn validate(&self) {
        self.table.validate(|cell| self.seed.hash(cell.field()));
        assert!(self.away.as_ref().is_none_or(|away| away.count() > 0), "nothing is away");
        assert_eq!(self.heap, self.table.iter().map(FieldCell::heap).sum::<usize>());
        let mut index = BTreeMap::new();
        for field in self.table.iter().map(FieldCell::get) {
            if let Some(at) = field.deadline {
                *index.entry((at, self.seed.hash(field.field))).or_insert(0) += 1;
            }
        }
        assert_eq!(self.deadlines, index, "the index of deadlines differs from the fields");
        assert_eq!(self.with_deadline, index.values().sum::<u32>() as usize);
    }
}
