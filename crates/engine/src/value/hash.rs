//! Hashes: fields with values, each with an optional deadline.

mod away;
mod big;
mod packed_form;

use super::entry::{Entry, Value};
use super::wide::{Named, Wide};
use super::{Limits, packed};

pub use big::BigHash;
pub(super) use big::FieldCell;
pub(super) use packed_form::EMPTY;
pub use packed_form::PackedHash;

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
            Self::Big(hash) => hash.len(),
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

    /// How many fields are away: at rest only.
    #[inline]
    pub(crate) fn away(&self) -> usize {
        if let Self::Big(hash) = self { hash.away() } else { 0 }
    }

    /// Whether a field that is not in memory may be away.
    pub(crate) fn lacks(&self, field: &[u8]) -> bool {
        if let Self::Big(hash) = self { hash.lacks(field) } else { false }
    }

    /// Visits the fields in memory whose hashes lie from one up to, not including, another.
    pub(crate) fn scan_to(&self, from: u64, to: Option<u64>, visit: &mut dyn FnMut(u64, FieldRef<'a>)) {
        if let Self::Big(hash) = *self {
            hash.scan_to(from, to, visit);
        }
    }

    /// All fields in memory, in an order that holds while the hash is not changed.
    pub fn iter(&self) -> Box<dyn Iterator<Item = FieldRef<'a>> + 'a> {
        match *self {
            Self::Packed(hash) => Box::new(hash.iter()),
            Self::Big(hash) => Box::new(hash.iter()),
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
            Self::Big(hash) => hash.pick(rand),
        }
    }

    /// The earliest deadline of a field.
    pub fn min_deadline(&self) -> Option<i64> {
        match self {
            Self::Packed(hash) => hash.min_deadline(),
            Self::Big(hash) => hash.min_deadline(),
        }
    }

    /// How many fields have no deadline or one after `now`: in time proportional to those that have not.
    pub fn count_live(&self, now: i64) -> usize {
        match self {
            Self::Packed(hash) if hash.min_deadline().is_none_or(|at| at > now) => hash.len(),
            Self::Packed(hash) => hash.iter().filter(|field| field.deadline.is_none_or(|at| at > now)).count(),
            Self::Big(hash) => hash.len() - hash.count_expired(now),
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

/// A hash to change; it becomes big when it passes the limits.
pub struct HashMut<'a> {
    entry: &'a mut Entry,
    limits: &'a Limits,
}

enum Form<'a> {
    Packed(&'a mut Box<[u8]>),
    Big(&'a mut BigHash, Option<&'a mut Named<FieldCell>>),
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
            Entry::Rest(..) => unreachable!("a value at rest is not changed in place"),
            Entry::Big(_, big) => match &mut big.value {
                Value::Hash(hash) => Form::Big(hash, big.wide.as_deref_mut().and_then(Wide::hash)),
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
            Form::Packed(bytes) => packed_form::insert(bytes, field, value, deadline),
            Form::Big(hash, trail) => hash.insert(field, value, deadline, trail),
        }
    }

    /// Removes a field and returns whether it was there.
    pub fn remove(&mut self, field: &[u8]) -> bool {
        match self.form() {
            Form::Packed(bytes) => packed_form::remove(bytes, field),
            Form::Big(hash, trail) => hash.remove(field, trail),
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
            big.insert(field.field, field.value, field.deadline, None);
        }
        self.entry.grow(Value::Hash(big));
    }
}
