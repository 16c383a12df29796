//! The rows of a value, as plain as can be.

use crate::value::wide::{BLOCK_BYTES, Content, Loader, RowKey};
use crate::value::{Entry, Kind, Limits};
use effect::ListPos;
use std::collections::BTreeMap;

/// What a row is called, in the order of rows: of a sorted set, members come before scores.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Hashed(u64, Vec<u8>),
    Scored(Order, Vec<u8>),
    Placed(ListPos),
    Block(u64),
    Fences(u32),
}

/// A score, ordered as numbers are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order(pub(super) f64);

impl Ord for Order {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.partial_cmp(&other.0).expect("scores are numbers")
    }
}

impl PartialOrd for Order {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Order {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Order {}

/// What a row says; a score by its bits, since the sign of zero counts.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Said {
    Nothing,
    Field(Vec<u8>, Option<i64>),
    Score(u64),
    Bytes(Vec<u8>),
}

pub(super) type Rows = BTreeMap<Key, Said>;

pub(super) fn key_of(of: &RowKey<'_>) -> Key {
    match of {
        RowKey::Hashed { hash, name } => Key::Hashed(*hash, name.to_vec()),
        RowKey::Scored { score, member } => Key::Scored(Order(*score), member.to_vec()),
        RowKey::Placed(pos) => Key::Placed(pos.clone()),
        RowKey::Block(number) => Key::Block(*number),
        RowKey::Fences(number) => Key::Fences(*number),
    }
}

pub(super) fn said(by: Content<'_>) -> Said {
    match by {
        Content::Nothing => Said::Nothing,
        Content::Field(value, deadline) => Said::Field(value.to_vec(), deadline),
        Content::Score(score) => Said::Score(score.to_bits()),
        Content::Bytes(bytes) => Said::Bytes(bytes.to_vec()),
    }
}

/// The rows that say what the value is.
pub(super) fn rows_of(entry: &Entry, limits: &Limits) -> Rows {
    let hashed = |name: &[u8]| Key::Hashed(limits.seed.hash(name), name.to_vec());
    match entry.kind() {
        Kind::String => {
            let blocks = entry.bytes().expect("a string").chunks(BLOCK_BYTES).zip(0..);
            blocks.map(|(block, number)| (Key::Block(number), Said::Bytes(block.to_vec()))).collect()
        }
        Kind::List => {
            let list = entry.list().expect("a list");
            let positions = list.positions(0..list.len()).expect("it has all").map(Key::Placed);
            positions.zip(list.iter().map(|value| Said::Bytes(value.to_vec()))).collect()
        }
        Kind::Hash => {
            let fields = entry.hash().expect("a hash").iter();
            fields.map(|f| (hashed(f.field), Said::Field(f.value.to_vec(), f.deadline))).collect()
        }
        Kind::Set => entry.set().expect("a set").iter().map(|member| (hashed(&member), Said::Nothing)).collect(),
        Kind::ZSet => {
            let members = entry.zset().expect("a sorted set").iter();
            let both = |(member, score): (&[u8], f64)| {
                let scored = (Key::Scored(Order(score), member.to_vec()), Said::Nothing);
                [(hashed(member), Said::Score(score.to_bits())), scored]
            };
            members.flat_map(both).collect()
        }
    }
}

/// A row as it is read.
pub(super) fn read<'r>(key: &'r Key, said: &'r Said) -> (RowKey<'r>, Content<'r>) {
    let content = match said {
        Said::Nothing => Content::Nothing,
        Said::Field(value, deadline) => Content::Field(value, *deadline),
        Said::Score(bits) => Content::Score(f64::from_bits(*bits)),
        Said::Bytes(bytes) => Content::Bytes(bytes),
    };
    let key = match key {
        Key::Hashed(hash, name) => RowKey::Hashed { hash: *hash, name },
        Key::Scored(order, member) => RowKey::Scored { score: order.0, member },
        Key::Placed(pos) => RowKey::Placed(pos.clone()),
        Key::Block(number) => RowKey::Block(*number),
        Key::Fences(number) => RowKey::Fences(*number),
    };
    (key, content)
}

/// Makes a value of rows.
pub(super) fn load(kind: Kind, rows: &Rows, limits: &Limits, incarnation: u64) -> Option<Entry> {
    let mut loader = Loader::new(kind, b"key", None, limits, rows.len() as u64);
    for (key, said) in rows {
        // They say nothing that the rows of members do not say.
        if !matches!(key, Key::Scored(..)) {
            let (key, content) = read(key, said);
            loader.add(&key, content).expect("a row in its place");
        }
    }
    loader.finish(incarnation)
}
