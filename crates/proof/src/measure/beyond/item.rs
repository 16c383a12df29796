//! A key's value in the model: small, since strings are kept as how to make them.

use std::collections::{BTreeMap, VecDeque};

use super::expect::Expect;
use crate::conn::{Command, command};
use crate::resp::Value;
use crate::rng::Rng;

/// Bytes that can be made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blob {
    pub seed: u64,
    pub len: u32,
}

impl Blob {
    /// Of a random length, as many between 64 and 128 B as between 8 and 16 KiB.
    pub fn large(rng: &mut Rng) -> Blob {
        let doublings = rng.below(8);
        let len = (64 << doublings) + rng.below((64 << doublings) + 1);
        Blob { seed: rng.bits(), len: len as u32 }
    }

    /// An element of a collection.
    pub fn small(rng: &mut Rng) -> Blob {
        Blob { seed: rng.bits(), len: rng.between(16, 256) as u32 }
    }

    pub fn bytes(self) -> Vec<u8> {
        let mut rng = Rng::new(self.seed);
        let mut out = vec![0; self.len as usize];
        for chunk in out.chunks_mut(8) {
            chunk.copy_from_slice(&rng.bits().to_le_bytes()[..chunk.len()]);
        }
        out
    }
}

/// What kind of value a key has; it keeps it for life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    Count,
    Hash,
    List,
    Sorted,
}

impl Kind {
    /// Three quarters are strings.
    pub fn of(number: usize) -> Kind {
        match number % 20 {
            0 | 1 => Kind::Hash,
            2 => Kind::List,
            3 => Kind::Sorted,
            4 => Kind::Count,
            _ => Kind::Text,
        }
    }

    /// The word of TYPE.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Text | Kind::Count => "string",
            Kind::Hash => "hash",
            Kind::List => "list",
            Kind::Sorted => "zset",
        }
    }
}

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    Text(Blob),
    Count(i64),
    Hash(BTreeMap<u16, Blob>),
    List(VecDeque<Blob>),
    /// Scores by member.
    Sorted(BTreeMap<u16, i64>),
}

/// The names of a collection's fields and members.
pub fn name(number: u16) -> Vec<u8> {
    format!("name:{number:05}:{:032}", u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15)).into_bytes()
}

impl Item {
    /// A new value of this kind.
    pub fn random(kind: Kind, rng: &mut Rng) -> Item {
        let count = rng.between(4, 40) as u16;
        match kind {
            Kind::Text => Item::Text(Blob::large(rng)),
            Kind::Count => Item::Count(rng.below(1000) as i64),
            Kind::Hash => Item::Hash((0..count).map(|field| (field, Blob::small(rng))).collect()),
            Kind::List => Item::List((0..count).map(|_| Blob::small(rng)).collect()),
            Kind::Sorted => Item::Sorted((0..count).map(|member| (member, rng.below(100) as i64)).collect()),
        }
    }

    /// Bytes of what is stored, about.
    pub fn bytes(&self) -> u64 {
        match self {
            Item::Text(blob) => u64::from(blob.len),
            Item::Count(_) => 8,
            Item::Hash(fields) => fields.values().map(|blob| u64::from(blob.len) + 43).sum(),
            Item::List(items) => items.iter().map(|blob| u64::from(blob.len)).sum(),
            Item::Sorted(members) => members.len() as u64 * 51,
        }
    }

    /// A collection that has lost its last element is no key any more.
    pub fn is_empty(&self) -> bool {
        match self {
            Item::Text(_) | Item::Count(_) => false,
            Item::Hash(fields) => fields.is_empty(),
            Item::List(items) => items.is_empty(),
            Item::Sorted(members) => members.is_empty(),
        }
    }

    /// The members in their order: by score, then by name.
    pub fn sorted(members: &BTreeMap<u16, i64>) -> Vec<(u16, i64)> {
        let mut sorted: Vec<_> = members.iter().map(|(member, score)| (*member, *score)).collect();
        sorted.sort_unstable_by_key(|(member, score)| (*score, *member));
        sorted
    }

    /// The command that makes it under a key that is not there, with its reply.
    pub fn make(&self, key: &[u8]) -> (Command, Expect) {
        let with = |word: &[u8]| command(&[word, key]);
        match self {
            Item::Text(blob) => (command(&[b"SET", key, &blob.bytes()]), Expect::Is(ok())),
            Item::Count(n) => (command(&[b"SET", key, n.to_string().as_bytes()]), Expect::Is(ok())),
            Item::Hash(fields) => {
                let mut words = with(b"HSET");
                fields.iter().for_each(|(field, blob)| words.extend([name(*field), blob.bytes()]));
                (words, Expect::int(fields.len()))
            }
            Item::List(items) => {
                let mut words = with(b"RPUSH");
                words.extend(items.iter().map(|blob| blob.bytes()));
                (words, Expect::int(items.len()))
            }
            Item::Sorted(members) => {
                let mut words = with(b"ZADD");
                members
                    .iter()
                    .for_each(|(member, score)| words.extend([score.to_string().into_bytes(), name(*member)]));
                (words, Expect::int(members.len()))
            }
        }
    }

    /// The command that reads all of it, with its reply.
    pub fn read(&self, key: &[u8]) -> (Command, Expect) {
        match self {
            Item::Text(blob) => (command(&[b"GET", key]), Expect::bulk(Some(blob.bytes()))),
            Item::Count(n) => (command(&[b"GET", key]), Expect::bulk(Some(n.to_string().into_bytes()))),
            Item::Hash(fields) => {
                let pair = |(field, blob): (&u16, &Blob)| (Value::Bulk(name(*field)), Value::Bulk(blob.bytes()));
                (command(&[b"HGETALL", key]), Expect::Pairs(fields.iter().map(pair).collect()))
            }
            Item::List(items) => {
                (command(&[b"LRANGE", key, b"0", b"-1"]), Expect::array(items.iter().map(|blob| blob.bytes())))
            }
            Item::Sorted(members) => {
                let pairs = Item::sorted(members).into_iter();
                let flat = pairs.flat_map(|(member, score)| [name(member), score.to_string().into_bytes()]);
                (command(&[b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"]), Expect::array(flat))
            }
        }
    }
}

pub fn ok() -> Value {
    Value::Simple(b"OK".to_vec())
}
