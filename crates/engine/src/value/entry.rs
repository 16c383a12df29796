//! `Entry`: one key of the keyspace with its value, 24 bytes in its table.

use super::hash::{BigHash, HashMut, HashRef};
use super::list::{BigList, ListMut, ListRef};
use super::set::{BigSet, SetMut, SetRef};
use super::wide::Wide;
use super::zset::{BigZSet, ZSetMut, ZSetRef};
use super::{Fetch, Limits, Steps, packed, size_class, text};
use crate::prefetch::prefetch;
use effect::Kind;
use std::cell::Cell;

/// What OBJECT ENCODING says: the form that Redis would have chosen, which decides ours as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// A string that is a canonical 64-bit integer.
    Int,
    /// A string of at most 44 bytes.
    Embstr,
    /// A longer string, or one changed in part.
    Raw,
    /// A small collection.
    Listpack,
    /// A large hash or set.
    Hashtable,
    /// A small set of integers.
    Intset,
    /// A large sorted set.
    Skiplist,
    /// A large list.
    Quicklist,
}

impl Encoding {
    /// The name that Redis uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Int => "int",
            Self::Embstr => "embstr",
            Self::Raw => "raw",
            Self::Listpack => "listpack",
            Self::Hashtable => "hashtable",
            Self::Intset => "intset",
            Self::Skiplist => "skiplist",
            Self::Quicklist => "quicklist",
        }
    }
}

/// A value too large to be packed.
#[expect(clippy::large_enum_variant, reason = "its elements take much more, and a list's ends are at hand")]
pub(super) enum Value {
    String(Vec<u8>),
    List(BigList),
    Hash(BigHash),
    Set(BigSet),
    ZSet(BigZSet),
}

/// Key, deadline and value of a large entry.
pub struct Big {
    pub(super) key: Box<[u8]>,
    pub(super) deadline: Option<i64>,
    pub(super) value: Value,
    /// What the value knows of its rows, if it has any.
    pub(super) wide: Option<Box<Wide>>,
}

/// One key with its value; the cell is the access clock that eviction reads and writes, with the marks of checkpoints.
pub enum Entry {
    /// All in one allocation; see the module `packed` for its bytes.
    Packed(Cell<u32>, Box<[u8]>),
    /// Real structures.
    Big(Cell<u32>, Box<Big>),
    /// The husk of a value that is at rest: key, type and deadline, packed, and where the value is. See the module `husk`.
    Rest(Cell<u32>, Box<[u8]>),
}

const _: () = assert!(size_of::<Entry>() == 24, "an entry is three words");

/// A shard, with all its entries, moves between threads.
const fn sent<T: Send>() {}
const _: () = sent::<Entry>();

impl Fetch for Entry {
    #[inline]
    fn fetch(&self) {
        match self {
            Self::Packed(_, bytes) | Self::Rest(_, bytes) => bytes.fetch(),
            Self::Big(_, big) => prefetch(std::ptr::from_ref(&**big)),
        }
    }
}

impl Entry {
    /// A string.
    pub fn string(key: &[u8], bytes: &[u8], deadline: Option<i64>) -> Self {
        if bytes.len() <= text::PACKED_MAX {
            return Self::Packed(Cell::new(0), packed::build(Kind::String, 0, key, deadline, &[bytes]));
        }
        let big = Big { key: key.into(), deadline, value: Value::String(bytes.to_vec()), wide: None };
        Self::Big(Cell::new(0), Box::new(big))
    }

    /// An empty collection of the kind, or an empty string.
    pub fn empty(kind: Kind, key: &[u8], deadline: Option<i64>) -> Self {
        let (form, payload): (u8, &[u8]) = match kind {
            Kind::String => (0, &[]),
            Kind::List => (0, super::list::EMPTY),
            Kind::Hash => (0, super::hash::EMPTY),
            Kind::Set => (super::set::EMPTY_FORM, &[]),
            Kind::ZSet => (0, super::zset::EMPTY),
        };
        Self::Packed(Cell::new(0), packed::build(kind, form, key, deadline, &[payload]))
    }

    /// The members of a large collection, and which of a command's arguments behind the key is one of them.
    pub(crate) fn members<'a>(&self, arguments: [Option<&'a [u8]>; 2]) -> Option<(&dyn Steps, &'a [u8])> {
        let Self::Big(_, big) = self else { return None };
        let [second, third] = arguments;
        match &big.value {
            Value::Hash(hash) => Some((hash.steps(), second?)),
            Value::Set(set) => Some((set.steps(), second?)),
            // Behind a score, if there is one.
            Value::ZSet(zset) => Some((zset, third.or(second)?)),
            Value::String(_) | Value::List(_) => None,
        }
    }

    /// The key.
    #[inline]
    pub fn key(&self) -> &[u8] {
        match self {
            Self::Packed(_, bytes) | Self::Rest(_, bytes) => packed::key(bytes),
            Self::Big(_, big) => &big.key,
        }
    }

    /// The data type of the value.
    #[inline]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Packed(_, bytes) | Self::Rest(_, bytes) => packed::kind(bytes),
            Self::Big(_, big) => match big.value {
                Value::String(_) => Kind::String,
                Value::List(_) => Kind::List,
                Value::Hash(_) => Kind::Hash,
                Value::Set(_) => Kind::Set,
                Value::ZSet(_) => Kind::ZSet,
            },
        }
    }

    /// When the key expires, in unix ms.
    #[inline]
    pub fn deadline(&self) -> Option<i64> {
        match self {
            Self::Packed(_, bytes) | Self::Rest(_, bytes) => packed::deadline(bytes),
            Self::Big(_, big) => big.deadline,
        }
    }

    /// Sets or removes the deadline.
    pub fn set_deadline(&mut self, deadline: Option<i64>) {
        match self {
            Self::Packed(_, bytes) | Self::Rest(_, bytes) => packed::set_deadline(bytes, deadline),
            Self::Big(_, big) => big.deadline = deadline,
        }
    }

    /// The access clock and the marks beside it; see the modules `husk` and `stamp`.
    #[inline]
    pub(super) fn word(&self) -> &Cell<u32> {
        match self {
            Self::Packed(word, _) | Self::Big(word, _) | Self::Rest(word, _) => word,
        }
    }

    /// Gives the entry another key. The caller takes it out of its table before.
    pub fn rename(&mut self, key: &[u8]) {
        match self {
            Self::Packed(_, bytes) | Self::Rest(_, bytes) => packed::rename(bytes, key),
            Self::Big(_, big) => big.key = key.into(),
        }
    }

    /// Bytes of this entry with all that it points to, in the allocator's size classes. O(1).
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Packed(_, bytes) | Self::Rest(_, bytes) => size_class(bytes.len()),
                Self::Big(_, big) => {
                    let value = match &big.value {
                        Value::String(bytes) => size_class(bytes.capacity()),
                        Value::List(list) => list.memory_bytes(),
                        Value::Hash(hash) => hash.memory_bytes(),
                        Value::Set(set) => set.memory_bytes(),
                        Value::ZSet(zset) => zset.memory_bytes(),
                    };
                    size_class(size_of::<Big>()) + size_class(big.key.len()) + value
                }
            }
    }

    /// What OBJECT ENCODING says.
    pub fn encoding(&self) -> Encoding {
        match self {
            Self::Packed(_, bytes) => match packed::kind(bytes) {
                Kind::String => text::encoding(packed::form(bytes), packed::payload(bytes)),
                Kind::Set if packed::form(bytes) & super::set::TEXT == 0 => Encoding::Intset,
                Kind::List | Kind::Hash | Kind::Set | Kind::ZSet => Encoding::Listpack,
            },
            // Whoever asks has the value loaded before.
            Self::Rest(..) => Encoding::Raw,
            Self::Big(_, big) => match big.value {
                Value::String(_) => Encoding::Raw,
                Value::List(_) => Encoding::Quicklist,
                Value::Hash(_) | Value::Set(_) => Encoding::Hashtable,
                Value::ZSet(_) => Encoding::Skiplist,
            },
        }
    }

    /// Replaces a packed value by a big one under the same key, deadline and clock.
    pub(super) fn grow(&mut self, value: Value) {
        let clock = self.word().clone();
        let big = Big { key: self.key().into(), deadline: self.deadline(), value, wide: None };
        *self = Self::Big(clock, Box::new(big));
    }

    /// The value as a hash; `None` when it is of another kind.
    #[inline]
    pub fn hash(&self) -> Option<HashRef<'_>> {
        match self {
            Self::Packed(_, bytes) if packed::kind(bytes) == Kind::Hash => Some(HashRef::packed(bytes)),
            Self::Big(_, big) => match &big.value {
                Value::Hash(hash) => Some(HashRef::Big(hash)),
                _ => None,
            },
            _ => None,
        }
    }

    /// The value as a hash to change.
    pub fn hash_mut<'a>(&'a mut self, limits: &'a Limits) -> Option<HashMut<'a>> {
        (self.kind() == Kind::Hash && !self.is_at_rest()).then(|| HashMut::new(self, limits))
    }

    /// The value as a set; `None` when it is of another kind.
    #[inline]
    pub fn set(&self) -> Option<SetRef<'_>> {
        match self {
            Self::Packed(_, bytes) if packed::kind(bytes) == Kind::Set => Some(SetRef::packed(bytes)),
            Self::Big(_, big) => match &big.value {
                Value::Set(set) => Some(SetRef::Big(set)),
                _ => None,
            },
            _ => None,
        }
    }

    /// The value as a set to change.
    pub fn set_mut<'a>(&'a mut self, limits: &'a Limits) -> Option<SetMut<'a>> {
        (self.kind() == Kind::Set && !self.is_at_rest()).then(|| SetMut::new(self, limits))
    }

    /// The value as a sorted set; `None` when it is of another kind.
    #[inline]
    pub fn zset(&self) -> Option<ZSetRef<'_>> {
        match self {
            Self::Packed(_, bytes) if packed::kind(bytes) == Kind::ZSet => Some(ZSetRef::packed(bytes)),
            Self::Big(_, big) => match &big.value {
                Value::ZSet(zset) => Some(ZSetRef::Big(zset)),
                _ => None,
            },
            _ => None,
        }
    }

    /// The value as a sorted set to change.
    pub fn zset_mut<'a>(&'a mut self, limits: &'a Limits) -> Option<ZSetMut<'a>> {
        (self.kind() == Kind::ZSet && !self.is_at_rest()).then(|| ZSetMut::new(self, limits))
    }

    /// The value as a list; `None` when it is of another kind.
    #[inline]
    pub fn list(&self) -> Option<ListRef<'_>> {
        match self {
            Self::Packed(_, bytes) if packed::kind(bytes) == Kind::List => Some(ListRef::packed(bytes)),
            Self::Big(_, big) => match &big.value {
                Value::List(list) => Some(ListRef::Big(list)),
                _ => None,
            },
            _ => None,
        }
    }

    /// The value as a list to change.
    pub fn list_mut<'a>(&'a mut self, limits: &'a Limits) -> Option<ListMut<'a>> {
        (self.kind() == Kind::List && !self.is_at_rest()).then(|| ListMut::new(self, limits))
    }

    /// Asserts the invariants of the value. For tests.
    pub fn validate(&self) {
        match self.kind() {
            Kind::String => assert!(self.bytes().is_some()),
            Kind::Hash => self.hash().expect("its kind says so").validate(),
            Kind::Set => self.set().expect("its kind says so").validate(),
            Kind::ZSet => self.zset().expect("its kind says so").validate(),
            Kind::List => self.list().expect("its kind says so").validate(),
        }
    }
}
