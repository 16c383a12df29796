//! `Loader`: makes a large value of its rows.

use super::entry::Wide;
use super::row::{Content, RowKey};
use crate::value::entry::{Big, Entry, Value};
use crate::value::{BigHash, BigList, BigSet, BigZSet, HashSeed, Kind, Limits};
use effect::ListPos;
use mvcc::wide::INLINE_STEPS;
use std::cell::Cell;

/// A row that cannot be one of the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowRefused {
    /// It is of another kind.
    #[error("it belongs to a value of another type")]
    Kind,
    /// It does not come behind the one before.
    #[error("it does not come behind the row before it")]
    Order,
    /// Its hash is not that of its name.
    #[error("its hash is not that of its name by the seed of this node")]
    Hash,
    /// Its score is not a number.
    #[error("its score is not a number")]
    Score,
}

/// What the row before was called.
enum Last {
    None,
    Named(u64, Vec<u8>),
    Placed(ListPos),
    Block,
}

/// Whether two positions begin alike and were inserted so deep that their rows stand in any order.
fn are_deep(one: &ListPos, other: &ListPos) -> bool {
    let beginning = |pos: &ListPos| (pos.epoch, pos.origin, pos.n, pos.path.get(..INLINE_STEPS).map(<[_]>::to_vec));
    let deep = |pos: &ListPos| pos.path.len() > INLINE_STEPS;
    deep(one) && deep(other) && beginning(one) == beginning(other)
}

/// A value that is being made of rows, which come in their order. Rows of a sorted set by score say nothing new, and are not
/// taken.
pub struct Loader {
    key: Box<[u8]>,
    deadline: Option<i64>,
    seed: HashSeed,
    value: Value,
    last: Last,
    /// Rows of fences that were seen.
    fences: u32,
}

impl Loader {
    /// A loader of a value that has about `len` elements (bytes, if it is a string).
    pub fn new(kind: Kind, key: &[u8], deadline: Option<i64>, limits: &Limits, len: u64) -> Self {
        let seed = limits.seed;
        let value = match kind {
            Kind::String => Value::String(Vec::new()),
            Kind::List => Value::List(BigList::new()),
            Kind::Hash => Value::Hash(BigHash::with_room(seed, len)),
            Kind::Set => Value::Set(BigSet::with_room(seed, len)),
            Kind::ZSet => Value::ZSet(BigZSet::with_room(seed, len)),
        };
        Self { key: key.into(), deadline, seed, value, last: Last::None, fences: 0 }
    }

    /// Takes the next row.
    pub fn add(&mut self, key: &RowKey<'_>, content: Content<'_>) -> Result<(), RowRefused> {
        match (key, content) {
            (RowKey::Hashed { hash, name }, content) => self.add_named(*hash, name, content),
            (RowKey::Placed(pos), Content::Bytes(value)) => {
                let Value::List(list) = &mut self.value else { return Err(RowRefused::Kind) };
                match &self.last {
                    Last::Placed(last) if last == pos || last > pos && !are_deep(last, pos) => Err(RowRefused::Order),
                    Last::Placed(last) if last > pos => list.load_before(pos, value).ok_or(RowRefused::Order),
                    _ => {
                        list.load(pos, value);
                        self.last = Last::Placed(pos.clone());
                        Ok(())
                    }
                }
            }
            (RowKey::Block(number), Content::Bytes(block)) => {
                let Value::String(bytes) = &mut self.value else { return Err(RowRefused::Kind) };
                let whole = bytes.len().is_multiple_of(super::BLOCK_BYTES) && block.len() <= super::BLOCK_BYTES;
                if !whole || bytes.len() as u64 != number.saturating_mul(super::BLOCK_BYTES as u64) {
                    return Err(RowRefused::Order);
                }
                bytes.extend_from_slice(block);
                self.last = Last::Block;
                Ok(())
            }
            // What they count is here as a whole.
            (RowKey::Fences(number), Content::Bytes(_)) => {
                self.fences = self.fences.max(number.saturating_add(1));
                Ok(())
            }
            _ => Err(RowRefused::Kind),
        }
    }

    fn add_named(&mut self, hash: u64, name: &[u8], content: Content<'_>) -> Result<(), RowRefused> {
        match (&self.value, content) {
            (Value::Hash(_), Content::Field(..)) | (Value::Set(_), Content::Nothing) => {}
            (Value::ZSet(_), Content::Score(score)) if score.is_nan() => return Err(RowRefused::Score),
            (Value::ZSet(_), Content::Score(_)) => {}
            _ => return Err(RowRefused::Kind),
        }
        self.follow(hash, name)?;
        match (&mut self.value, content) {
            (Value::Hash(into), Content::Field(value, deadline)) => into.load(hash, name, value, deadline),
            (Value::Set(into), Content::Nothing) => into.load(hash, name),
            (Value::ZSet(into), Content::Score(score)) => into.load(hash, name, score),
            _ => unreachable!("it was just looked at"),
        }
        Ok(())
    }

    /// Whether a name comes behind the one before, and has this hash.
    fn follow(&mut self, hash: u64, name: &[u8]) -> Result<(), RowRefused> {
        if self.seed.hash(name) != hash {
            return Err(RowRefused::Hash);
        }
        match &mut self.last {
            Last::Named(before, other) if (*before, &other[..]) >= (hash, name) => return Err(RowRefused::Order),
            Last::Named(before, other) => {
                *before = hash;
                other.clear();
                other.extend_from_slice(name);
            }
            last => *last = Last::Named(hash, name.to_vec()),
        }
        Ok(())
    }

    /// The value, wholly at rest. `None`, if there was no row at all.
    pub fn finish(self, incarnation: u64) -> Option<Entry> {
        let Self { key, deadline, mut value, fences, .. } = self;
        match &mut value {
            Value::List(list) => list.settle(),
            Value::ZSet(zset) => zset.rank_all(),
            Value::String(bytes) => bytes.shrink_to_fit(),
            Value::Hash(_) | Value::Set(_) => {}
        }
        if matches!(self.last, Last::None) {
            return None;
        }
        let wide = Some(Box::new(Wide::loaded(&value, incarnation, fences)));
        Some(Entry::Big(Cell::new(0), Box::new(Big { key, deadline, value, wide })))
    }
}
