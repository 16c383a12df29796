//! What the owner of a large value does with what of it is away.

use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use effect::{Effect, Op, items::Items};

use super::fences::{Key, read_deadlines, read_fences};
use super::{Edge, Gaps, Ordered, PARTLY_LEAST, Part, Shed, Want};
use crate::value::entry::{Big, Entry, Value};
use crate::value::wide::{Content, Order, RowKey, RowRefused, Wide};
use crate::value::{BigHash, BigList, BigSet, BigZSet, HashSeed, Kind, Limits};

/// Elements that leave memory, or are looked at for it, under one hold of a lock.
const SHED_ELEMENTS: usize = if cfg!(test) { 24 } else { 512 };
/// Blocks that are looked at under one hold of a lock.
const SHED_BLOCKS: usize = 64;

/// Where the next elements are looked for that may leave.
#[derive(Clone, Default)]
pub(in crate::value) enum ShedFrom {
    #[default]
    Start,
    Hash(u64),
    Edge(Edge),
}

/// A value as its rows say it is: what they are called, and how many elements it has.
pub(crate) struct AtRestValue<'a> {
    pub(crate) kind: Kind,
    pub(crate) incarnation: u64,
    pub(crate) len: usize,
    /// The rows of its fences.
    pub(crate) fences: &'a [Vec<u8>],
}

impl Entry {
    /// A value whose elements are all away. `None`: this one must be read as a whole.
    pub(crate) fn away_all(
        key: &[u8],
        deadline: Option<i64>,
        of: &AtRestValue<'_>,
        seed: HashSeed,
        all: &Arc<AtomicUsize>,
    ) -> Result<Option<Self>, String> {
        let value = match (of.kind, of.fences) {
            (Kind::Hash, [row]) if read_deadlines(row)? == 0 => Value::Hash(BigHash::away_all(seed, of.len, all)),
            (Kind::Set, []) => Value::Set(BigSet::away_all(seed, of.len, all)),
            (Kind::ZSet, rows) => match fenced::<Order>(rows, of)? {
                Some(gaps) => Value::ZSet(BigZSet::away_all(seed, gaps, all)),
                None => return Ok(None),
            },
            (Kind::List, rows) => match fenced(rows, of)? {
                Some(gaps) => Value::List(BigList::away_all(gaps, all)),
                None => return Ok(None),
            },
            _ => return Ok(None),
        };
        let wide = Wide::loaded(&value, of.incarnation, of.fences.len() as u32);
        let big = Big { key: key.into(), deadline, value, wide: Some(Box::new(wide)) };
        Ok(Some(Self::Big(Cell::new(0), Box::new(big))))
    }

    /// How many elements are away.
    pub(crate) fn away(&self) -> usize {
        let Self::Big(_, big) = self else { return 0 };
        match &big.value {
            Value::String(_) => 0,
            Value::List(list) => list.away(),
            Value::Hash(hash) => hash.away(),
            Value::Set(set) => set.away(),
            Value::ZSet(zset) => zset.away(),
        }
    }

    /// Whether some elements are away.
    #[inline]
    pub(crate) fn is_partly_away(&self) -> bool {
        matches!(self, Self::Big(..)) && self.away() > 0
    }

    /// The rows that have to be read for a part, or some of them: about `most` elements.
    pub(crate) fn wants(&self, part: &Part, seed: HashSeed, most: usize) -> Vec<Want> {
        let Self::Big(_, big) = self else { return Vec::new() };
        if !self.is_partly_away() {
            return Vec::new();
        }
        let ranks = if let Part::Ranks(ranks) = part { Some(ranks) } else { None };
        match (part, &big.value) {
            (Part::Named(names), value) => {
                let lacking = names.iter().filter(|name| value.lacks(name));
                lacking.map(|name| Want::Row(seed.hash(name), name.clone())).collect()
            }
            (Part::Hashes { from, count }, _) => vec![Want::Hashes(*from, *count)],
            (_, Value::List(list)) => list.rows_of(ranks, most),
            (_, Value::ZSet(zset)) => zset.rows_of(ranks, most),
            (Part::Whole, _) => vec![Want::Hashes(0, usize::MAX)],
            (Part::Ranks(_), _) => Vec::new(),
        }
    }

    /// The rows without which a value cannot be used at all: those at the ends of a list.
    pub(crate) fn wants_first(&self) -> Vec<Want> {
        match self {
            Self::Big(_, big) => match &big.value {
                Value::List(list) => list.end_gaps(),
                _ => Vec::new(),
            },
            _ => Vec::new(),
        }
    }

    /// A row has been read. Whether its element was away and is here now.
    pub(crate) fn arrive(&mut self, key: &RowKey<'_>, content: Content<'_>) -> Result<bool, RowRefused> {
        let Self::Big(_, big) = self else { return Ok(false) };
        let Big { value, wide, .. } = &mut **big;
        let wide = wide.as_deref_mut();
        match (value, key, content) {
            (Value::Hash(into), RowKey::Hashed { hash, name }, Content::Field(value, deadline)) => {
                Ok(into.arrive((*hash, name), value, deadline, wide.and_then(Wide::hash).as_deref()))
            }
            (Value::Set(into), RowKey::Hashed { hash, name }, Content::Nothing) => {
                Ok(into.arrive(*hash, name, wide.and_then(Wide::set).as_deref()))
            }
            (Value::ZSet(into), RowKey::Hashed { hash, name }, Content::Score(score)) => {
                into.arrive((*hash, name), score, wide.and_then(Wide::zset).as_deref()).ok_or(RowRefused::Order)
            }
            (Value::ZSet(into), RowKey::Scored { score, member }, _) => {
                let name = (into.hash_of(member), *member);
                into.arrive(name, *score, wide.and_then(Wide::zset).as_deref()).ok_or(RowRefused::Order)
            }
            (Value::List(into), RowKey::Placed(pos), Content::Bytes(value)) => {
                into.arrive(pos, value, wide.and_then(Wide::list).as_deref()).ok_or(RowRefused::Order)
            }
            (_, RowKey::Fences(_), _) => Ok(false),
            _ => Err(RowRefused::Kind),
        }
    }

    /// There is no field or member of this name, unless it is here. If that is known of many, it is forgotten of others, unless
    /// somebody `holds` on to them.
    pub(crate) fn note_vacant(&mut self, name: &[u8], holds: bool) {
        let Self::Big(_, big) = self else { return };
        match &mut big.value {
            value if !value.lacks(name) => {}
            Value::Hash(hash) => hash.note_vacant(name, holds),
            Value::Set(set) => set.note_vacant(name, holds),
            Value::ZSet(zset) => zset.note_vacant(name, holds),
            Value::String(_) | Value::List(_) => {}
        }
    }

    /// Whether nothing is away between two places, whose rows have been read.
    pub(crate) fn is_filled(&self, first: &Edge, last: &Edge) -> bool {
        let Self::Big(_, big) = self else { return true };
        match (&big.value, first, last) {
            (Value::ZSet(zset), Edge::Scored(order, member), Edge::Scored(to, upto)) => {
                zset.is_filled(&(*order, member.clone()), &(*to, upto.clone()))
            }
            (Value::List(list), Edge::Placed(first), Edge::Placed(last)) => list.is_filled(first, last),
            _ => true,
        }
    }

    /// Whether elements may go that are at rest, if there are such.
    pub(crate) fn may_shed(&self) -> bool {
        let Self::Big(_, big) = self else { return false };
        big.value.len() >= PARTLY_LEAST && big.wide.as_ref().is_some_and(|wide| wide.is_at_rest())
    }

    /// Lets some elements go that are at rest, others each time.
    pub(crate) fn shed(&mut self, all: &Arc<AtomicUsize>) -> Shed {
        let mut shed = Shed::default();
        if !self.may_shed() {
            return shed;
        }
        let Self::Big(_, big) = self else { return shed };
        let Big { value, wide: Some(wide), .. } = &mut **big else { return shed };
        let from = wide.shed_from();
        for _ in 0..SHED_BLOCKS {
            *from = match (&mut *value, &*from) {
                (Value::Hash(hash), from) => hash.shed(from.hash(), all, &mut shed).map(ShedFrom::Hash),
                (Value::Set(set), from) => set.shed(from.hash(), all, &mut shed).map(ShedFrom::Hash),
                (Value::ZSet(zset), from) => {
                    let key = from.key().unwrap_or_default();
                    zset.shed(&key, all, &mut shed).map(|next| ShedFrom::Edge(next.into()))
                }
                (Value::List(list), from) => {
                    let pos = from.key().unwrap_or_else(crate::value::wide::first);
                    list.shed(&pos, all, &mut shed).map(|next| ShedFrom::Edge(next.into()))
                }
                (Value::String(_), _) => None,
            }
            .unwrap_or_default();
            let is_round = matches!(from, ShedFrom::Start);
            if shed.elements >= SHED_ELEMENTS || shed.fill.is_some() || is_round {
                break;
            }
        }
        shed
    }

    /// What of the value must be in memory, or known to be absent, before an effect can be applied to it.
    pub(crate) fn needs(&self, effect: &Effect<'_>) -> Option<Part> {
        let Self::Big(_, big) = self else { return None };
        // What is fresh begins empty.
        if !self.is_partly_away() || effect.fresh {
            return None;
        }
        match (&big.value, &effect.op) {
            // Rows are named by database.
            (_, Op::Rename { db, .. }) if *db != effect.db => Some(Part::Whole),
            (Value::List(list), op) => list.needs(op).map(Part::Ranks),
            (_, Op::Put { kind, items, .. }) if *kind == self.kind() => big.value.needs_named(ids(items)),
            (_, Op::Drop { kind, ids }) if *kind == self.kind() => big.value.needs_named(ids.iter()),
            (Value::Hash(_), Op::FieldDeadlines(fields)) => big.value.needs_named(fields.iter().map(|(name, _)| name)),
            _ => None,
        }
    }
}

fn ids<'a>(items: &'a Items<'_>) -> impl Iterator<Item = &'a [u8]> {
    items.iter().map(|item| item.id)
}

impl Value {
    fn len(&self) -> usize {
        match self {
            Self::String(_) => 0,
            Self::List(list) => list.len(),
            Self::Hash(hash) => hash.len(),
            Self::Set(set) => set.len(),
            Self::ZSet(zset) => zset.len(),
        }
    }

    /// Whether an element that is not in memory may be away.
    fn lacks(&self, name: &[u8]) -> bool {
        match self {
            Self::String(_) | Self::List(_) => false,
            Self::Hash(hash) => hash.lacks(name),
            Self::Set(set) => set.lacks(name),
            Self::ZSet(zset) => zset.lacks(name),
        }
    }

    fn needs_named<'n>(&self, names: impl Iterator<Item = &'n [u8]>) -> Option<Part> {
        let lacking: Vec<Box<[u8]>> = names.filter(|name| self.lacks(name)).map(Into::into).collect();
        (!lacking.is_empty()).then_some(Part::Named(lacking))
    }
}

impl BigList {
    fn needs(&self, op: &Op<'_>) -> Option<Range<usize>> {
        match op {
            Op::Insert { pos, .. } | Op::SetAt { pos, .. } => self.gaps_between(pos, pos),
            Op::Push { side, first, values } => {
                let way = if *side == effect::Side::Head { -1 } else { 1 };
                let last = first.step(way * values.len().saturating_sub(1) as i64);
                self.gaps_between(first.min(&last), first.max(&last))
            }
            Op::Cut(runs) => runs.iter().find_map(|(first, len)| {
                let last = first.step(i64::try_from(len.saturating_sub(1)).unwrap_or(i64::MAX));
                self.gaps_between(&first, &last)
            }),
            _ => None,
        }
    }
}

impl ShedFrom {
    fn hash(&self) -> u64 {
        if let Self::Hash(hash) = self { *hash } else { 0 }
    }

    fn key<K: Key>(&self) -> Option<K> {
        if let Self::Edge(edge) = self { K::of(edge) } else { None }
    }
}

/// What fences say, if they are of all elements.
fn fenced<K: Key>(rows: &[Vec<u8>], of: &AtRestValue<'_>) -> Result<Option<Gaps<K>>, String> {
    let mut gaps = Gaps::new();
    rows.iter().try_for_each(|row| read_fences(row, of.kind == Kind::List, &mut gaps))?;
    Ok(Some(gaps).filter(|gaps| gaps.elements() == of.len && of.len > 0))
}

impl Limits {
    /// Whether a value of so many elements comes into memory element by element.
    pub(crate) fn is_partly(len: u64) -> bool {
        len >= PARTLY_LEAST as u64
    }
}
