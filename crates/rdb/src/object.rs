//! Reads one value, in whichever encoding it stands, and hands its parts on.

use effect::Kind;

use crate::error::{Corrupt, Error};
use crate::input::Input;
use crate::kinds::{self, Dialect};
use crate::packed::{self, Element, Visit};
use crate::source::{Source, score};

/// A part of a value, in order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Part<'a> {
    /// All of a string.
    String(&'a [u8]),
    /// An element of a list.
    Element(&'a [u8]),
    /// A member of a set.
    Member(&'a [u8]),
    /// A member of a sorted set; its score is a number.
    Scored(&'a [u8], f64),
    /// A field of a hash.
    Field {
        /// Its name.
        field: &'a [u8],
        /// Its value.
        value: &'a [u8],
        /// Unix ms; it may have passed.
        deadline: Option<i64>,
    },
}

/// What is given the parts of a value. A collection may have none, or the same one twice: that is for the sink to see.
pub trait Sink {
    /// Takes the next part.
    fn part(&mut self, part: Part<'_>) -> Result<(), Error>;
}

/// Takes everything and keeps nothing.
pub struct Nowhere;

impl Sink for Nowhere {
    fn part(&mut self, _: Part<'_>) -> Result<(), Error> {
        Ok(())
    }
}

/// The type of the values that have this number, if they can be read.
pub fn kind_of(number: u8, dialect: Dialect) -> Option<Kind> {
    use kinds::*;
    Some(match (number, dialect) {
        (STRING, _) => Kind::String,
        (LIST | LIST_ZIPLIST | LIST_QUICKLIST | LIST_QUICKLIST_2, _) => Kind::List,
        (SET | SET_INTSET | SET_LISTPACK, _) => Kind::Set,
        (ZSET | ZSET_2 | ZSET_ZIPLIST | ZSET_LISTPACK, _) => Kind::ZSet,
        (HASH | HASH_ZIPMAP | HASH_ZIPLIST | HASH_LISTPACK, _) | (VALKEY_HASH_2, Dialect::Valkey) => Kind::Hash,
        (HASH_METADATA_EARLY | HASH_LISTPACK_EX_EARLY | HASH_METADATA | HASH_LISTPACK_EX, Dialect::Redis)
        | (HASH_TEMPLATE_LISTPACK | HASH_TEMPLATE, Dialect::Redis) => Kind::Hash,
        _ => return None,
    })
}

fn element(bytes: &[u8]) -> Part<'_> {
    Part::Element(bytes)
}

fn member(bytes: &[u8]) -> Part<'_> {
    Part::Member(bytes)
}

/// The forms of a blob that holds the elements of a collection.
type Walk = for<'v, 'b> fn(&'b [u8], Visit<'v, 'b>) -> Result<(), Error>;

impl<I: Input> Source<I> {
    /// Reads the value with this number, which is of a [`kind_of`] kind, into `sink`. Templates are not known here.
    pub(crate) fn object(&mut self, number: u8, dialect: Dialect, sink: &mut dyn Sink) -> Result<(), Error> {
        use kinds::*;
        match number {
            STRING => sink.part(Part::String(self.string()?)),
            LIST => self.strings(sink, element),
            SET => self.strings(sink, member),
            HASH => self.pairs(sink),
            ZSET => self.scored(sink, Self::text_score),
            ZSET_2 => self.scored(sink, |from| Ok(f64::from_le_bytes(from.input.array()?))),
            LIST_ZIPLIST => self.blob(sink, packed::ziplist, element),
            SET_INTSET => self.blob(sink, packed::intset, member),
            SET_LISTPACK => self.blob(sink, packed::listpack, member),
            HASH_ZIPMAP => self.pairs_blob(sink, packed::zipmap),
            HASH_ZIPLIST => self.pairs_blob(sink, packed::ziplist),
            HASH_LISTPACK => self.pairs_blob(sink, packed::listpack),
            ZSET_ZIPLIST => self.scored_blob(sink, packed::ziplist),
            ZSET_LISTPACK => self.scored_blob(sink, packed::listpack),
            LIST_QUICKLIST => self.quicklist(sink, false),
            LIST_QUICKLIST_2 => self.quicklist(sink, true),
            VALKEY_HASH_2 if dialect == Dialect::Valkey => self.triples(sink),
            HASH_METADATA_EARLY => self.fields(sink, false),
            HASH_METADATA => self.fields(sink, true),
            HASH_LISTPACK_EX_EARLY => self.triples_blob(sink, false),
            HASH_LISTPACK_EX => self.triples_blob(sink, true),
            _ => Err(self.damaged("a value is of no known type")),
        }
    }

    /// A count, then the strings.
    fn strings(&mut self, sink: &mut dyn Sink, part: for<'p> fn(&'p [u8]) -> Part<'p>) -> Result<(), Error> {
        for _ in 0..self.count()? {
            sink.part(part(self.string()?))?;
        }
        Ok(())
    }

    /// A string to be kept in `held`, and one behind it.
    fn pair(&mut self) -> Result<(Vec<u8>, &[u8]), Error> {
        self.hold()?;
        let held = std::mem::take(&mut self.held);
        Ok((held, self.string()?))
    }

    /// A count, then a field and a value each.
    fn pairs(&mut self, sink: &mut dyn Sink) -> Result<(), Error> {
        for _ in 0..self.count()? {
            let (field, value) = self.pair()?;
            sink.part(Part::Field { field: &field, value, deadline: None })?;
            self.held = field;
        }
        Ok(())
    }

    /// A count, then members with scores.
    fn scored(&mut self, sink: &mut dyn Sink, read: fn(&mut Self) -> Result<f64, Error>) -> Result<(), Error> {
        for _ in 0..self.count()? {
            self.hold()?;
            let score = read(self)?;
            if score.is_nan() {
                return Err(self.damaged("a score is no number"));
            }
            sink.part(Part::Scored(&self.held, score))?;
        }
        Ok(())
    }

    /// A score as text with its length before it; three lengths stand for what has no digits.
    fn text_score(&mut self) -> Result<f64, Error> {
        let start = self.input.offset();
        match self.input.byte()? {
            253 => Ok(f64::NAN),
            254 => Ok(f64::INFINITY),
            255 => Ok(f64::NEG_INFINITY),
            len => score(self.input.take(usize::from(len))?).map_err(|corrupt| Error::from(corrupt).within(start)),
        }
    }

    /// All elements in one blob.
    fn blob(&mut self, sink: &mut dyn Sink, walk: Walk, part: for<'p> fn(&'p [u8]) -> Part<'p>) -> Result<(), Error> {
        let start = self.input.offset();
        walk(self.string()?, &mut |element| sink.part(part(&Text::of(element)))).map_err(|error| error.within(start))
    }

    /// Fields and values in turn in one blob.
    fn pairs_blob(&mut self, sink: &mut dyn Sink, walk: Walk) -> Result<(), Error> {
        let start = self.input.offset();
        let mut waiting = None;
        walk(self.string()?, &mut |element| match waiting.take() {
            None => {
                waiting = Some(element);
                Ok(())
            }
            Some(field) => {
                sink.part(Part::Field { field: &Text::of(field), value: &Text::of(element), deadline: None })
            }
        })
        .and_then(|()| if waiting.is_none() { Ok(()) } else { Err(ODD.into()) })
        .map_err(|error| error.within(start))
    }

    /// Members and scores in turn in one blob.
    fn scored_blob(&mut self, sink: &mut dyn Sink, walk: Walk) -> Result<(), Error> {
        let start = self.input.offset();
        let mut waiting = None;
        walk(self.string()?, &mut |element| match (waiting.take(), element) {
            (None, _) => {
                waiting = Some(element);
                Ok(())
            }
            (Some(member), Element::Int(score)) => sink.part(Part::Scored(&Text::of(member), score as f64)),
            (Some(member), Element::Bytes(text)) => sink.part(Part::Scored(&Text::of(member), score(text)?)),
        })
        .and_then(|()| if waiting.is_none() { Ok(()) } else { Err(ODD.into()) })
        .map_err(|error| error.within(start))
    }

    /// A count of nodes: ziplists, or (`tagged`) each with a number before it that says whether it is one element (1) or a
    /// listpack (2).
    fn quicklist(&mut self, sink: &mut dyn Sink, tagged: bool) -> Result<(), Error> {
        for _ in 0..self.count()? {
            match if tagged { self.count()? } else { 0 } {
                0 if !tagged => self.blob(sink, packed::ziplist, element)?,
                1 => sink.part(Part::Element(self.string()?))?,
                2 => self.blob(sink, packed::listpack, element)?,
                _ => return Err(self.damaged("a node of a list is of no known form")),
            }
        }
        Ok(())
    }

    /// The earliest deadline of a hash's fields, where it stands before them.
    fn earliest(&mut self, stated: bool) -> Result<Option<i64>, Error> {
        if !stated {
            return Ok(None);
        }
        let ms = i64::from_le_bytes(self.input.array()?);
        if ms < 0 { Err(self.damaged("the deadline of a field is negative")) } else { Ok(Some(ms)) }
    }

    /// A count, then deadline, field and value for each. The deadline is 0 for none; else, if the earliest one is stated,
    /// what it lies behind that plus one, if it is not, itself.
    fn fields(&mut self, sink: &mut dyn Sink, stated: bool) -> Result<(), Error> {
        let earliest = self.earliest(stated)?;
        for _ in 0..self.count()? {
            let deadline = match self.count()? {
                0 => None,
                ttl => {
                    let ttl = i64::try_from(ttl).ok();
                    let at = ttl.and_then(|ttl| earliest.map_or(Some(ttl), |first| first.checked_add(ttl - 1)));
                    Some(at.ok_or_else(|| self.damaged("the deadline of a field is too far away"))?)
                }
            };
            let (field, value) = self.pair()?;
            sink.part(Part::Field { field: &field, value, deadline })?;
            self.held = field;
        }
        Ok(())
    }

    /// A count, then field, value and deadline for each: 8 bytes, negative for none.
    fn triples(&mut self, sink: &mut dyn Sink) -> Result<(), Error> {
        let mut kept = Vec::new();
        for _ in 0..self.count()? {
            let (field, value) = self.pair()?;
            kept.clear();
            kept.extend_from_slice(value);
            let deadline = Some(i64::from_le_bytes(self.input.array()?)).filter(|ms| *ms >= 0);
            sink.part(Part::Field { field: &field, value: &kept, deadline })?;
            self.held = field;
        }
        Ok(())
    }

    /// A listpack of field, value and deadline (0 for none) in turn.
    fn triples_blob(&mut self, sink: &mut dyn Sink, stated: bool) -> Result<(), Error> {
        self.earliest(stated)?;
        let start = self.input.offset();
        let (mut field, mut value) = (None, None);
        packed::listpack(self.string()?, &mut |element| match (field, value, element) {
            (None, ..) => {
                field = Some(element);
                Ok(())
            }
            (_, None, _) => {
                value = Some(element);
                Ok(())
            }
            (Some(f), Some(v), Element::Int(ms @ 0..)) => {
                (field, value) = (None, None);
                let deadline = Some(ms).filter(|ms| *ms != 0);
                sink.part(Part::Field { field: &Text::of(f), value: &Text::of(v), deadline })
            }
            _ => Err(Corrupt("the deadline of a field is no time").into()),
        })
        .and_then(|()| if field.is_none() { Ok(()) } else { Err(ODD.into()) })
        .map_err(|error| error.within(start))
    }
}

const ODD: Corrupt = Corrupt("a packed blob ends in the middle of a pair");

/// An element as the text that it stands for.
pub(crate) enum Text<'a> {
    Bytes(&'a [u8]),
    Int { digits: [u8; 20], start: usize },
}

impl<'a> Text<'a> {
    #[inline]
    pub(crate) fn of(element: Element<'a>) -> Self {
        match element {
            Element::Bytes(bytes) => Self::Bytes(bytes),
            Element::Int(n) => Self::int(n),
        }
    }

    fn int(n: i64) -> Self {
        let mut digits = [0; 20];
        let (mut start, mut left) = (digits.len(), n.unsigned_abs());
        loop {
            start -= 1;
            digits[start] = b'0' + (left % 10) as u8;
            left /= 10;
            if left == 0 {
                break;
            }
        }
        if n < 0 {
            start -= 1;
            digits[start] = b'-';
        }
        Self::Int { digits, start }
    }
}

impl std::ops::Deref for Text<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Int { digits, start } => &digits[*start..],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_have_their_text() {
        for n in [0, 7, -1, 10, -10, 127, i64::MAX, i64::MIN, i64::MIN + 1] {
            assert_eq!(&*Text::of(Element::Int(n)), n.to_string().as_bytes());
        }
    }
}
