//! Hashes: fields with values, each with an optional deadline.
//!
//! Packed payload: `[least deadline i64]? ‖ count u16 ‖ fields`, a field being `varint ‖ field ‖ varint ‖ value ‖
//! [deadline i64]?`; the optional parts are there when the entry's flag says that any field has a deadline.
//! Big: a table of one allocation per field, and an index of the deadlines.

use super::entry::{Entry, Value};
use super::packed::{self, FORM_A, Varint};
use super::{HashSeed, Limits, Table, size_class};
use std::collections::BTreeMap;
use std::ops::Range;

/// The payload of a hash without fields.
pub(super) const EMPTY: &[u8] = &[0, 0];
/// Flag: fields have deadlines.
const DEADLINES: u8 = FORM_A;
/// Stands for "no deadline" where the form has a place for one.
const NEVER: i64 = i64::MAX;

/// A field as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldRef<'a> {
    /// Its name.
    pub field: &'a [u8],
    /// Its value.
    pub value: &'a [u8],
    /// When it expires, in unix ms.
    pub deadline: Option<i64>,
}

/// The fields of a packed hash.
#[derive(Clone, Copy)]
pub struct PackedHash<'a> {
    payload: &'a [u8],
    deadlines: bool,
}

impl<'a> PackedHash<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { payload: packed::payload(bytes), deadlines: packed::form(bytes) & DEADLINES != 0 }
    }

    fn count_at(self) -> usize {
        if self.deadlines { 8 } else { 0 }
    }

    fn len(self) -> usize {
        packed::count(self.payload, self.count_at())
    }

    fn min_deadline(self) -> Option<i64> {
        self.deadlines.then(|| i64::from_le_bytes(packed::word(self.payload, 0))).filter(|at| *at != NEVER)
    }

    /// The fields with the place of each in the payload.
    fn places(self) -> impl Iterator<Item = (Range<usize>, FieldRef<'a>)> {
        let mut at = self.count_at() + 2;
        std::iter::from_fn(move || {
            if at == self.payload.len() {
                return None;
            }
            let start = at;
            let field = packed::string(self.payload, &mut at);
            let value = packed::string(self.payload, &mut at);
            let mut deadline = None;
            if self.deadlines {
                deadline = Some(i64::from_le_bytes(packed::word(self.payload, at))).filter(|at| *at != NEVER);
                at += 8;
            }
            Some((start..at, FieldRef { field, value, deadline }))
        })
    }

    fn iter(self) -> impl Iterator<Item = FieldRef<'a>> {
        self.places().map(|(_, field)| field)
    }
}

/// A field of a big hash in one allocation: `varint(length * 2 + has deadline) ‖ field ‖ [deadline] ‖ value`.
struct FieldCell(Box<[u8]>);

impl FieldCell {
    fn new(field: &[u8], value: &[u8], deadline: Option<i64>) -> Self {
        let head = Varint::new(field.len() << 1 | usize::from(deadline.is_some()));
        let stamp = deadline.unwrap_or(NEVER).to_le_bytes();
        let stamp = if deadline.is_some() { &stamp[..] } else { &[] };
        Self([head.as_slice(), field, stamp, value].concat().into_boxed_slice())
    }

    #[inline]
    fn field(&self) -> &[u8] {
        let mut at = 0;
        let len = packed::varint(&self.0, &mut at) >> 1;
        &self.0[at..at + len]
    }

    #[inline]
    fn get(&self) -> FieldRef<'_> {
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

    fn heap(&self) -> usize {
        size_class(self.0.len())
    }
}

/// A hash beyond the packed limits.
pub struct BigHash {
    table: Table<FieldCell>,
    seed: HashSeed,
    /// How many fields there are for each deadline and hash of the field.
    deadlines: BTreeMap<(i64, u64), u32>,
    /// Fields with a deadline.
    with_deadline: usize,
    heap: usize,
}

/// About what one element costs in a B-tree map of 20-byte items at its usual fill.
const INDEX_BYTES: usize = 32;

impl BigHash {
    fn new(seed: HashSeed) -> Self {
        Self { table: Table::new(), seed, deadlines: BTreeMap::new(), with_deadline: 0, heap: 0 }
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

    fn insert(&mut self, field: &[u8], value: &[u8], deadline: Option<i64>) -> bool {
        let (seed, hash) = (self.seed, self.seed.hash(field));
        let rehash = |cell: &FieldCell| seed.hash(cell.field());
        if let Some(cell) = self.table.find_mut(hash, |cell| cell.field() == field) {
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
        true
    }

    fn remove(&mut self, field: &[u8]) -> bool {
        let (seed, hash) = (self.seed, self.seed.hash(field));
        let gone = self.table.remove(hash, |cell| cell.field() == field, |cell| seed.hash(cell.field()));
        if let Some(cell) = &gone {
            self.heap -= cell.heap();
            self.unindex(cell.get().deadline, hash);
        }
        gone.is_some()
    }

    fn get(&self, field: &[u8]) -> Option<FieldRef<'_>> {
        self.table.find(self.seed.hash(field), |cell| cell.field() == field).map(FieldCell::get)
    }

    fn expired(&self, now: i64, limit: usize, mut visit: impl FnMut(FieldRef<'_>)) {
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

    pub(super) fn memory_bytes(&self) -> usize {
        self.heap + self.table.memory_bytes() + self.deadlines.len() * INDEX_BYTES
    }

    fn validate(&self) {
        self.table.validate(|cell| self.seed.hash(cell.field()));
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

/// A hash to read. Expired fields count as there: hiding them is for the caller.
#[derive(Clone, Copy)]
pub enum HashRef<'a> {
    /// Within the limits of the packed form.
    Packed(PackedHash<'a>),
    /// Beyond.
    Big(&'a BigHash),
}

impl<'a> HashRef<'a> {
    #[inline]
    pub(super) fn packed(bytes: &'a [u8]) -> Self {
        Self::Packed(PackedHash::new(bytes))
    }

    /// How many fields are stored.
    pub fn len(&self) -> usize {
        match self {
            Self::Packed(hash) => hash.len(),
            Self::Big(hash) => hash.table.len(),
        }
    }

    /// Whether no field is stored.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The field of this name.
    #[inline]
    pub fn get(&self, field: &[u8]) -> Option<FieldRef<'a>> {
        match self {
            Self::Packed(hash) => hash.iter().find(|other| other.field == field),
            Self::Big(hash) => hash.get(field),
        }
    }

    /// All fields, in an order that holds while the hash is not changed.
    pub fn iter(&self) -> Box<dyn Iterator<Item = FieldRef<'a>> + 'a> {
        match *self {
            Self::Packed(hash) => Box::new(hash.iter()),
            Self::Big(hash) => Box::new(hash.table.iter().map(FieldCell::get)),
        }
    }

    /// Visits some fields from a position on and returns the next position, as [`Table::scan`] does. A packed hash
    /// is one page.
    pub fn scan(&self, from: u64, mut visit: impl FnMut(FieldRef<'a>)) -> Option<u64> {
        match *self {
            Self::Packed(hash) => {
                hash.iter().for_each(visit);
                None
            }
            Self::Big(hash) => hash.scan(from, &mut visit),
        }
    }

    /// A field chosen by the random number.
    pub fn pick(&self, rand: u64) -> Option<FieldRef<'a>> {
        match *self {
            Self::Packed(hash) => hash.iter().nth(super::below(rand, hash.len())?),
            Self::Big(hash) => hash.table.pick(rand).map(FieldCell::get),
        }
    }

    /// The earliest deadline of a field.
    pub fn min_deadline(&self) -> Option<i64> {
        match self {
            Self::Packed(hash) => hash.min_deadline(),
            Self::Big(hash) => hash.deadlines.first_key_value().map(|((at, _), _)| *at),
        }
    }

    /// How many fields have no deadline or one after `now`: in time proportional to those that have not.
    pub fn count_live(&self, now: i64) -> usize {
        match self {
            Self::Packed(hash) if hash.min_deadline().is_none_or(|at| at > now) => hash.len(),
            Self::Packed(hash) => hash.iter().filter(|field| field.deadline.is_none_or(|at| at > now)).count(),
            Self::Big(hash) => {
                let gone: u32 = hash.deadlines.range(..=(now, u64::MAX)).map(|(_, count)| count).sum();
                hash.table.len() - gone as usize
            }
        }
    }

    /// Visits at most `limit` fields whose deadline is at or before `now`.
    pub fn expired(&self, now: i64, limit: usize, mut visit: impl FnMut(FieldRef<'_>)) {
        match self {
            Self::Packed(hash) if hash.min_deadline().is_none_or(|at| at > now) => {}
            Self::Packed(hash) => {
                hash.iter().filter(|field| field.deadline.is_some_and(|at| at <= now)).take(limit).for_each(visit)
            }
            Self::Big(hash) => hash.expired(now, limit, &mut visit),
        }
    }

    pub(super) fn validate(&self) {
        match self {
            Self::Packed(hash) => {
                assert_eq!(hash.iter().count(), hash.len());
                assert_eq!(hash.iter().filter_map(|field| field.deadline).min(), hash.min_deadline());
            }
            Self::Big(hash) => hash.validate(),
        }
    }
}

impl BigHash {
    fn scan<'a>(&'a self, from: u64, visit: &mut impl FnMut(FieldRef<'a>)) -> Option<u64> {
        self.table.scan(from, |cell| self.seed.hash(cell.field()), |cell| visit(cell.get()))
    }
}

/// A hash to change; it becomes big when it passes the limits.
pub struct HashMut<'a> {
    entry: &'a mut Entry,
    limits: &'a Limits,
}

enum Form<'a> {
    Packed(&'a mut Box<[u8]>),
    Big(&'a mut BigHash),
}

impl<'a> HashMut<'a> {
    pub(super) fn new(entry: &'a mut Entry, limits: &'a Limits) -> Self {
        Self { entry, limits }
    }

    /// The hash to read.
    pub fn view(&self) -> HashRef<'_> {
        self.entry.hash().expect("made of a hash only")
    }

    fn form(&mut self) -> Form<'_> {
        match self.entry {
            Entry::Packed(_, bytes) => Form::Packed(bytes),
            Entry::Big(_, big) => match &mut big.value {
                Value::Hash(hash) => Form::Big(hash),
                _ => unreachable!("made of a hash only"),
            },
        }
    }

    /// Stores a field and returns whether it is new; what it was can be asked before. The greatest deadline there is
    /// means none.
    pub fn insert(&mut self, field: &[u8], value: &[u8], deadline: Option<i64>) -> bool {
        let deadline = deadline.filter(|at| *at != NEVER);
        let (most, longest) = (self.limits.hash_max_listpack_entries, self.limits.hash_max_listpack_value);
        if let Entry::Packed(_, bytes) = &*self.entry {
            let hash = PackedHash::new(bytes);
            let room = bytes.len() + field.len() + value.len() <= packed::MAX_BYTES;
            let fits = field.len() <= longest && value.len() <= longest && room;
            let full = hash.len() >= most.min(packed::MAX_COUNT);
            if !fits || (full && self.view().get(field).is_none()) {
                self.make_big();
            }
        }
        match self.form() {
            Form::Packed(bytes) => insert_packed(bytes, field, value, deadline),
            Form::Big(hash) => hash.insert(field, value, deadline),
        }
    }

    /// Removes a field and returns whether it was there.
    pub fn remove(&mut self, field: &[u8]) -> bool {
        match self.form() {
            Form::Packed(bytes) => remove_packed(bytes, field),
            Form::Big(hash) => hash.remove(field),
        }
    }

    /// Sets or removes the deadline of a field and returns whether the field is there.
    pub fn set_deadline(&mut self, field: &[u8], deadline: Option<i64>) -> bool {
        let Some(old) = self.view().get(field) else { return false };
        if old.deadline != deadline {
            let value = old.value.to_vec();
            self.insert(field, &value, deadline);
        }
        true
    }

    fn make_big(&mut self) {
        let mut big = BigHash::new(self.limits.seed);
        for field in self.view().iter() {
            big.insert(field.field, field.value, field.deadline);
        }
        self.entry.grow(Value::Hash(big));
    }
}

fn insert_packed(bytes: &mut Box<[u8]>, field: &[u8], value: &[u8], deadline: Option<i64>) -> bool {
    let at = packed::payload_at(bytes);
    let hash = PackedHash::new(bytes);
    if deadline.is_some() && !hash.deadlines {
        add_deadlines(bytes);
        return insert_packed(bytes, field, value, deadline);
    }
    let (stamps, count_at, len) = (hash.deadlines, at + hash.count_at(), hash.len());
    let old = hash.places().find(|(_, other)| other.field == field);
    let before = old.as_ref().and_then(|(_, old)| old.deadline);
    let found = old.map(|(place, old)| (at + place.start..at + place.end, old.value.len()));
    let stamp = deadline.unwrap_or(NEVER).to_le_bytes();
    let stamp: &[u8] = if stamps { &stamp } else { &[] };
    match &found {
        Some((place, length)) if *length == value.len() => {
            let start = place.end - stamp.len() - length;
            bytes[start..start + length].copy_from_slice(value);
            bytes[start + length..place.end].copy_from_slice(stamp);
        }
        _ => {
            let place = found.as_ref().map_or(bytes.len()..bytes.len(), |(place, _)| place.clone());
            let (name, size) = (Varint::new(field.len()), Varint::new(value.len()));
            packed::splice(bytes, place, &[name.as_slice(), field, size.as_slice(), value, stamp]);
        }
    }
    if found.is_none() {
        bytes[count_at..count_at + 2].copy_from_slice(&((len + 1) as u16).to_le_bytes());
    }
    if stamps && before != deadline {
        refresh_min(bytes);
    }
    found.is_none()
}

fn remove_packed(bytes: &mut Box<[u8]>, field: &[u8]) -> bool {
    let at = packed::payload_at(bytes);
    let hash = PackedHash::new(bytes);
    let (stamps, count_at, len) = (hash.deadlines, at + hash.count_at(), hash.len());
    let Some((place, _)) = hash.places().find(|(_, other)| other.field == field) else { return false };
    packed::splice(bytes, at + place.start..at + place.end, &[]);
    bytes[count_at..count_at + 2].copy_from_slice(&((len - 1) as u16).to_le_bytes());
    if stamps {
        refresh_min(bytes);
    }
    true
}

/// Gives every field of a packed hash a place for a deadline.
fn add_deadlines(bytes: &mut Box<[u8]>) {
    let hash = PackedHash::new(bytes);
    let mut payload = NEVER.to_le_bytes().to_vec();
    payload.extend_from_slice(&hash.payload[..2]);
    for (place, _) in hash.places() {
        payload.extend_from_slice(&hash.payload[place]);
        payload.extend_from_slice(&NEVER.to_le_bytes());
    }
    let (at, end) = (packed::payload_at(bytes), bytes.len());
    packed::splice(bytes, at..end, &[&payload]);
    packed::set_form(bytes, DEADLINES);
}

fn refresh_min(bytes: &mut [u8]) {
    let at = packed::payload_at(bytes);
    let least = PackedHash::new(bytes).iter().filter_map(|field| field.deadline).min().unwrap_or(NEVER);
    bytes[at..at + 8].copy_from_slice(&least.to_le_bytes());
}
