//! Sets: distinct members.
//!
//! Packed payload: sorted little-endian integers of one width, or, flagged [`TEXT`], `count u16 ‖ members` with a
//! varint length each. Big: a table of one allocation per member.

mod away;
mod big;

pub use big::BigSet;

use super::entry::{Entry, Value};
use super::packed::FORM_A;
use super::text::canonical_integer;
use super::wide::{Named, Wide};
use super::{Limits, below, packed};
use std::ops::{Deref, Range};

/// Flag: members are byte strings, not integers.
pub(super) const TEXT: u8 = FORM_A;
/// The flags of an empty set: integers of two bytes.
pub(super) const EMPTY_FORM: u8 = 0;
/// Where the flags say how wide integers are: two bytes shifted left by this code.
const WIDTH_SHIFT: u8 = 5;

/// A member; one that is stored as an integer is written out.
#[derive(Clone, Copy, Debug)]
pub enum Member<'a> {
    /// As it lies in memory.
    Bytes(&'a [u8]),
    /// Digits right-aligned, from the given place on.
    Digits([u8; 20], u8),
}

impl Member<'_> {
    fn integer(value: i64) -> Self {
        let mut digits = [0; 20];
        let mut buffer = itoa::Buffer::new();
        let text = buffer.format(value).as_bytes();
        let start = digits.len() - text.len();
        digits[start..].copy_from_slice(text);
        Self::Digits(digits, start as u8)
    }
}

impl Deref for Member<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Digits(digits, start) => &digits[usize::from(*start)..],
        }
    }
}

/// The members of a packed set.
#[derive(Clone, Copy)]
pub struct PackedSet<'a> {
    payload: &'a [u8],
    form: u8,
}

/// Bytes that an integer needs: 2, 4 or 8, as a shift of two.
fn width_code(value: i64) -> u8 {
    match value {
        v if i16::try_from(v).is_ok() => 0,
        v if i32::try_from(v).is_ok() => 1,
        _ => 2,
    }
}

impl<'a> PackedSet<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { payload: packed::payload(bytes), form: packed::form(bytes) }
    }

    fn is_text(self) -> bool {
        self.form & TEXT != 0
    }

    fn width(self) -> usize {
        2 << (self.form >> WIDTH_SHIFT)
    }

    fn len(self) -> usize {
        if self.is_text() { packed::count(self.payload, 0) } else { self.payload.len() / self.width() }
    }

    fn integer(self, index: usize) -> i64 {
        let width = self.width();
        let bytes = &self.payload[index * width..(index + 1) * width];
        let mut wide = if bytes[width - 1] & 0x80 == 0 { [0; 8] } else { [0xff; 8] };
        wide[..width].copy_from_slice(bytes);
        i64::from_le_bytes(wide)
    }

    /// Where the integer is, or where it would be.
    fn search(self, value: i64) -> Result<usize, usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = (low + high) / 2;
            match self.integer(middle).cmp(&value) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Ok(middle),
            }
        }
        Err(low)
    }

    /// Where a member lies in the payload.
    fn place(self, member: &[u8]) -> Option<Range<usize>> {
        if !self.is_text() {
            let index = self.search(canonical_integer(member)?).ok()?;
            return Some(index * self.width()..(index + 1) * self.width());
        }
        let mut at = 2;
        while at < self.payload.len() {
            let start = at;
            if packed::string(self.payload, &mut at) == member {
                return Some(start..at);
            }
        }
        None
    }

    fn iter(self) -> impl Iterator<Item = Member<'a>> {
        let (mut at, mut index, len) = (2, 0, self.len());
        std::iter::from_fn(move || {
            if index == len {
                return None;
            }
            index += 1;
            Some(match self.is_text() {
                true => Member::Bytes(packed::string(self.payload, &mut at)),
                false => Member::integer(self.integer(index - 1)),
            })
        })
    }
}

/// A set to read.
#[derive(Clone, Copy)]
pub enum SetRef<'a> {
    /// Within the limits of the packed form.
    Packed(PackedSet<'a>),
    /// Beyond.
    Big(&'a BigSet),
}

impl<'a> SetRef<'a> {
    #[inline]
    pub(super) fn packed(bytes: &'a [u8]) -> Self {
        Self::Packed(PackedSet::new(bytes))
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Packed(set) => set.len(),
            Self::Big(set) => set.len(),
        }
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the member is there.
    pub fn contains(&self, member: &[u8]) -> bool {
        match self {
            Self::Packed(set) => set.place(member).is_some(),
            Self::Big(set) => set.contains(member),
        }
    }

    /// How many members are away: at rest only.
    #[inline]
    pub(crate) fn away(&self) -> usize {
        if let Self::Big(set) = self { set.away() } else { 0 }
    }

    /// Whether a member that is not in memory may be away.
    pub(crate) fn lacks(&self, member: &[u8]) -> bool {
        if let Self::Big(set) = self { set.lacks(member) } else { false }
    }

    /// Visits the members in memory whose hashes lie from one up to, not including, another.
    pub(crate) fn scan_to(&self, from: u64, to: Option<u64>, visit: &mut dyn FnMut(u64, &'a [u8])) {
        if let Self::Big(set) = *self {
            set.scan_to(from, to, visit);
        }
    }

    /// All members in memory, in an order that holds while the set is not changed.
    pub fn iter(&self) -> Box<dyn Iterator<Item = Member<'a>> + 'a> {
        match *self {
            Self::Packed(set) => Box::new(set.iter()),
            Self::Big(set) => Box::new(set.iter().map(Member::Bytes)),
        }
    }

    /// Visits some members from a position on and returns the next position, as [`Table::scan`] does. A packed set
    /// is one page.
    pub fn scan(&self, from: u64, mut visit: impl FnMut(&[u8])) -> Option<u64> {
        match self {
            Self::Packed(set) => {
                set.iter().for_each(|member| visit(&member));
                None
            }
            Self::Big(set) => set.scan(from, visit),
        }
    }

    /// A member chosen by the random number.
    pub fn pick(&self, rand: u64) -> Option<Member<'a>> {
        match *self {
            Self::Packed(set) if set.is_text() => set.iter().nth(below(rand, set.len())?),
            Self::Packed(set) => Some(Member::integer(set.integer(below(rand, set.len())?))),
            Self::Big(set) => set.pick(rand).map(Member::Bytes),
        }
    }

    pub(super) fn validate(&self) {
        match self {
            Self::Packed(set) if set.is_text() => assert_eq!(set.iter().count(), set.len()),
            Self::Packed(set) => assert!((1..set.len()).all(|at| set.integer(at - 1) < set.integer(at))),
            Self::Big(set) => set.validate(),
        }
    }
}

/// A set to change; it becomes big when it passes the limits.
pub struct SetMut<'a> {
    entry: &'a mut Entry,
    limits: &'a Limits,
}

enum Form<'a> {
    Packed(&'a mut Box<[u8]>),
    Big(&'a mut BigSet, Option<&'a mut Named<()>>),
}

impl<'a> SetMut<'a> {
    pub(super) fn new(entry: &'a mut Entry, limits: &'a Limits) -> Self {
        Self { entry, limits }
    }

    /// The set to read.
    pub fn view(&self) -> SetRef<'_> {
        self.entry.set().expect("made of a set only")
    }

    fn form(&mut self) -> Form<'_> {
        match self.entry {
            Entry::Packed(_, bytes) => Form::Packed(bytes),
            Entry::Rest(..) => unreachable!("a value at rest is not changed in place"),
            Entry::Big(_, big) => match &mut big.value {
                Value::Set(set) => Form::Big(set, big.wide.as_deref_mut().and_then(Wide::set)),
                _ => unreachable!("made of a set only"),
            },
        }
    }

    /// Adds a member and returns whether it is new.
    pub fn insert(&mut self, member: &[u8]) -> bool {
        if let Entry::Packed(_, bytes) = &mut *self.entry {
            let set = PackedSet::new(bytes);
            if set.place(member).is_some() {
                return false;
            }
            let len = set.len();
            if !set.is_text() {
                match canonical_integer(member) {
                    Some(value) if len < self.limits.set_max_intset_entries.min(packed::MAX_COUNT) => {
                        insert_integer(bytes, value);
                        return true;
                    }
                    _ if len < self.limits.set_max_listpack_entries.min(packed::MAX_COUNT) => write_out(bytes),
                    _ => {}
                }
            }
            let full = len >= self.limits.set_max_listpack_entries.min(packed::MAX_COUNT);
            let large =
                member.len() > self.limits.set_max_listpack_value || bytes.len() + member.len() > packed::MAX_BYTES;
            if !full && !large {
                insert_text(bytes, member, len + 1);
                return true;
            }
            self.make_big();
        }
        match self.form() {
            Form::Packed(_) => unreachable!("a packed set was dealt with"),
            Form::Big(set, _) => set.insert(member),
        }
    }

    /// Removes a member and returns whether it was there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        match self.form() {
            Form::Packed(bytes) => {
                let set = PackedSet::new(bytes);
                let Some(place) = set.place(member) else { return false };
                let (at, text, left) = (packed::payload_at(bytes), set.is_text(), set.len() - 1);
                packed::splice(bytes, at + place.start..at + place.end, &[]);
                if text {
                    bytes[at..at + 2].copy_from_slice(&(left as u16).to_le_bytes());
                }
                true
            }
            Form::Big(set, trail) => set.remove(member, trail),
        }
    }

    /// Removes a member chosen by the random number and returns it.
    pub fn pop(&mut self, rand: u64) -> Option<Box<[u8]>> {
        let member: Box<[u8]> = (*self.view().pick(rand)?).into();
        self.remove(&member);
        Some(member)
    }

    fn make_big(&mut self) {
        let mut big = BigSet::new(self.limits.seed);
        for member in self.view().iter() {
            big.insert(&member);
        }
        self.entry.grow(Value::Set(big));
    }
}

fn insert_integer(bytes: &mut Box<[u8]>, value: i64) {
    let set = PackedSet::new(bytes);
    let code = width_code(value);
    if code > set.form >> WIDTH_SHIFT {
        let width = 2 << code;
        let wide: Vec<u8> =
            (0..set.len()).flat_map(|index| set.integer(index).to_le_bytes().into_iter().take(width)).collect();
        let (at, end) = (packed::payload_at(bytes), bytes.len());
        packed::splice(bytes, at..end, &[&wide]);
        packed::set_form(bytes, code << WIDTH_SHIFT);
    }
    let set = PackedSet::new(bytes);
    if let Err(index) = set.search(value) {
        let width = set.width();
        let at = packed::payload_at(bytes) + index * width;
        packed::splice(bytes, at..at, &[&value.to_le_bytes()[..width]]);
    }
}

fn insert_text(bytes: &mut Box<[u8]>, member: &[u8], count: usize) {
    let (at, end) = (packed::payload_at(bytes), bytes.len());
    packed::splice(bytes, end..end, &[packed::length(member.len()).bytes(), member]);
    bytes[at..at + 2].copy_from_slice(&(count as u16).to_le_bytes());
}

/// Turns packed integers into packed text.
fn write_out(bytes: &mut Box<[u8]>) {
    let set = PackedSet::new(bytes);
    let mut payload = (set.len() as u16).to_le_bytes().to_vec();
    for member in set.iter() {
        effect::wire::put_bytes(&mut payload, &member);
    }
    let (at, end) = (packed::payload_at(bytes), bytes.len());
    packed::splice(bytes, at..end, &[&payload]);
    packed::set_form(bytes, TEXT);
}
