//! Reads a value from the body of a payload.

use std::borrow::Cow;

use effect::Kind;

use super::packed::{self, Element, Visit};
use super::value::Value;
use super::{kinds, lzf};
use crate::parse;

/// The bytes are not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Corrupt;

/// Bytes that are read from the front.
#[derive(Clone)]
pub(super) struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// How many are left.
    pub(super) fn left(&self) -> usize {
        self.0.len()
    }

    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], Corrupt> {
        let (head, rest) = self.0.split_at_checked(len).ok_or(Corrupt)?;
        self.0 = rest;
        Ok(head)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Corrupt> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Corrupt> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(Corrupt)?;
        self.0 = rest;
        Ok(*head)
    }
}

/// What stands where a length is expected.
enum Length {
    Plain(u64),
    /// A string in the special form with this number.
    Special(u8),
}

/// The forms of a blob that holds the elements of a collection.
type Walk = for<'v, 'b> fn(&'b [u8], Visit<'v, 'b>) -> Result<(), Corrupt>;

/// A value about to be read.
pub(super) struct Object<'a> {
    from: Bytes<'a>,
    /// Bytes that may still be unfolded.
    budget: usize,
}

impl<'a> Object<'a> {
    /// `body` is a payload without its footer; what it holds may unfold to `budget` bytes.
    pub(super) fn new(body: &'a [u8], budget: usize) -> Self {
        Self { from: Bytes::new(body), budget }
    }

    /// Reads the value. Bytes behind it are left alone, as Redis does.
    pub(super) fn read(mut self) -> Result<Value, Corrupt> {
        use kinds::*;
        let value = match self.from.byte()? {
            STRING => {
                let mut value = self.value(Kind::String);
                value.push(&self.string()?)?;
                value
            }
            LIST => self.strings(Kind::List, 1)?,
            SET => self.strings(Kind::Set, 1)?,
            HASH => self.strings(Kind::Hash, 2)?,
            ZSET => self.scored(Self::text_score)?,
            ZSET_2 => self.scored(|from| Ok(f64::from_le_bytes(from.from.array()?)))?,
            LIST_ZIPLIST => self.blob(Kind::List, packed::ziplist)?,
            SET_INTSET => self.blob(Kind::Set, packed::intset)?,
            SET_LISTPACK => self.blob(Kind::Set, packed::listpack)?,
            HASH_ZIPMAP => self.blob(Kind::Hash, packed::zipmap)?,
            HASH_ZIPLIST => self.blob(Kind::Hash, packed::ziplist)?,
            HASH_LISTPACK => self.blob(Kind::Hash, packed::listpack)?,
            ZSET_ZIPLIST => self.scored_blob(packed::ziplist)?,
            ZSET_LISTPACK => self.scored_blob(packed::listpack)?,
            LIST_QUICKLIST => self.quicklist(false)?,
            LIST_QUICKLIST_2 => self.quicklist(true)?,
            HASH_METADATA_EARLY => self.fields(false)?,
            HASH_METADATA => self.fields(true)?,
            HASH_LISTPACK_EX_EARLY => self.field_triples(false)?,
            HASH_LISTPACK_EX => self.field_triples(true)?,
            _ => return Err(Corrupt),
        };
        value.checked()
    }

    fn value(&self, kind: Kind) -> Value {
        Value::new(kind, self.budget)
    }

    /// A length: the upper two bits of the first byte say how it goes on.
    fn length(&mut self) -> Result<Length, Corrupt> {
        let first = self.from.byte()?;
        let low = first & 0x3f;
        Ok(match first >> 6 {
            0 => Length::Plain(u64::from(low)),
            1 => Length::Plain(u64::from(low) << 8 | u64::from(self.from.byte()?)),
            2 if first == 0x80 => Length::Plain(u64::from(u32::from_be_bytes(self.from.array()?))),
            2 if first == 0x81 => Length::Plain(u64::from_be_bytes(self.from.array()?)),
            2 => return Err(Corrupt),
            _ => Length::Special(low),
        })
    }

    fn count(&mut self) -> Result<u64, Corrupt> {
        match self.length()? {
            Length::Plain(count) => Ok(count),
            Length::Special(_) => Err(Corrupt),
        }
    }

    fn size(&mut self) -> Result<usize, Corrupt> {
        usize::try_from(self.count()?).map_err(|_| Corrupt)
    }

    fn string(&mut self) -> Result<Cow<'a, [u8]>, Corrupt> {
        let integer = |value: i64| Ok(Cow::Owned(value.to_string().into_bytes()));
        match self.length()? {
            Length::Plain(len) => Ok(Cow::Borrowed(self.from.take(usize::try_from(len).map_err(|_| Corrupt)?)?)),
            Length::Special(0) => integer(i64::from(i8::from_le_bytes(self.from.array()?))),
            Length::Special(1) => integer(i64::from(i16::from_le_bytes(self.from.array()?))),
            Length::Special(2) => integer(i64::from(i32::from_le_bytes(self.from.array()?))),
            Length::Special(3) => {
                let (packed, len) = (self.size()?, self.size()?);
                let packed = self.from.take(packed)?;
                self.budget = self.budget.checked_sub(len).ok_or(Corrupt)?;
                Ok(Cow::Owned(lzf::unfold(packed, len)?))
            }
            Length::Special(_) => Err(Corrupt),
        }
    }

    /// A count, then `per_element` strings for each.
    fn strings(&mut self, kind: Kind, per_element: u64) -> Result<Value, Corrupt> {
        let mut value = self.value(kind);
        for _ in 0..self.count()?.checked_mul(per_element).ok_or(Corrupt)? {
            value.push(&self.string()?)?;
        }
        Ok(value)
    }

    /// A count, then members with scores.
    fn scored(&mut self, score: fn(&mut Self) -> Result<f64, Corrupt>) -> Result<Value, Corrupt> {
        let mut value = self.value(Kind::ZSet);
        for _ in 0..self.count()? {
            value.push(&self.string()?)?;
            value.score(score(self)?)?;
        }
        Ok(value)
    }

    /// A score as text with its length before it; three lengths stand for what has no digits.
    fn text_score(&mut self) -> Result<f64, Corrupt> {
        match self.from.byte()? {
            253 => Ok(f64::NAN),
            254 => Ok(f64::INFINITY),
            255 => Ok(f64::NEG_INFINITY),
            len => parse::float_opt(self.from.take(usize::from(len))?).ok_or(Corrupt),
        }
    }

    /// All elements in one blob.
    fn blob(&mut self, kind: Kind, walk: Walk) -> Result<Value, Corrupt> {
        let blob = self.string()?;
        let mut value = self.value(kind);
        walk(&blob, &mut |element| push(&mut value, element))?;
        Ok(value)
    }

    /// Members and scores in turn in one blob.
    fn scored_blob(&mut self, walk: Walk) -> Result<Value, Corrupt> {
        let blob = self.string()?;
        let mut value = self.value(Kind::ZSet);
        let mut is_score = false;
        walk(&blob, &mut |element| {
            match element {
                _ if !is_score => push(&mut value, element)?,
                Element::Int(score) => value.score(score as f64)?,
                Element::Bytes(text) => value.score(parse::float_opt(text).ok_or(Corrupt)?)?,
            }
            is_score = !is_score;
            Ok(())
        })?;
        Ok(value)
    }

    /// A count of nodes: ziplists, or (`tagged`) each with a number before it that says whether it is one element (1) or a
    /// listpack (2).
    fn quicklist(&mut self, tagged: bool) -> Result<Value, Corrupt> {
        let mut value = self.value(Kind::List);
        for _ in 0..self.count()? {
            let form = if tagged { Some(self.count()?) } else { None };
            let node = self.string()?;
            let walk: Walk = match form {
                None => packed::ziplist,
                Some(2) => packed::listpack,
                Some(1) => {
                    value.push(&node)?;
                    continue;
                }
                Some(_) => return Err(Corrupt),
            };
            walk(&node, &mut |element| push(&mut value, element))?;
        }
        Ok(value)
    }

    /// The earliest deadline of a hash's fields, where it stands before them.
    fn earliest(&mut self, stated: bool) -> Result<Option<i64>, Corrupt> {
        if !stated {
            return Ok(None);
        }
        let ms = i64::from_le_bytes(self.from.array()?);
        if ms < 0 { Err(Corrupt) } else { Ok(Some(ms)) }
    }

    /// A count, then deadline, field and value for each. The deadline is 0 for none; else, if the earliest one is stated,
    /// what it lies behind that plus one, if it is not, itself.
    fn fields(&mut self, stated: bool) -> Result<Value, Corrupt> {
        let earliest = self.earliest(stated)?;
        let mut value = self.value(Kind::Hash);
        for _ in 0..self.count()? {
            let ttl = i64::try_from(self.count()?).map_err(|_| Corrupt)?;
            let deadline = match (ttl, earliest) {
                (0, _) => None,
                (ttl, None) => Some(ttl),
                (ttl, Some(first)) => Some(first.checked_add(ttl - 1).ok_or(Corrupt)?),
            };
            value.push(&self.string()?)?;
            value.push(&self.string()?)?;
            value.deadline(deadline);
        }
        Ok(value)
    }

    /// A listpack of field, value and deadline (0 for none) in turn.
    fn field_triples(&mut self, stated: bool) -> Result<Value, Corrupt> {
        self.earliest(stated)?;
        let blob = self.string()?;
        let mut value = self.value(Kind::Hash);
        let mut at = 0;
        packed::listpack(&blob, &mut |element| {
            at = (at + 1) % 3;
            match element {
                _ if at != 0 => push(&mut value, element)?,
                Element::Int(ms @ 0..) => value.deadline(Some(ms).filter(|ms| *ms != 0)),
                Element::Int(_) | Element::Bytes(_) => return Err(Corrupt),
            }
            Ok(())
        })?;
        if at == 0 { Ok(value) } else { Err(Corrupt) }
    }
}

fn push(value: &mut Value, element: Element<'_>) -> Result<(), Corrupt> {
    match element {
        Element::Bytes(bytes) => value.push(bytes),
        Element::Int(n) => {
            let mut text = Vec::with_capacity(20);
            resp::write_i64(&mut text, n);
            value.push(&text)
        }
    }
}
