//! Sequences inside an effect: members, values, fields with deadlines, runs of list positions.
//!
//! A [`Seq`] is a count and the encoded elements, borrowed; a [`SeqBuf`] builds one and is reused from command to
//! command, so that nothing is allocated per effect. The [`Shape`] says how an element is written.

use crate::limits::MAX_RUN;
use crate::op::{Kind, Merge};
use crate::pos::ListPos;
use crate::wire::{Reader, WireError, put_bytes, put_varint, put_zigzag};

/// How the elements of a sequence are written.
pub trait Shape: Copy + PartialEq + std::fmt::Debug {
    /// An element, borrowed from the bytes.
    type Item<'a>;
    /// Reads one element.
    fn read<'a>(&self, from: &mut Reader<'a>) -> Result<Self::Item<'a>, WireError>;
    /// Reads past one element; refuses what [`Shape::read`] refuses.
    fn check(&self, from: &mut Reader<'_>) -> Result<(), WireError> {
        self.read(from).map(drop)
    }
    /// Writes one element.
    fn write(&self, item: &Self::Item<'_>, out: &mut Vec<u8>);
}

/// Byte strings: members, ids, list values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BytesShape;
/// Fields with their new deadline in unix ms; `None` takes it away.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FieldShape;
/// Elements with a value, as their kind and merge rule ask.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ItemShape {
    /// Hash, Set or ZSet.
    pub kind: Kind,
    /// Says what the value is: the new one, or a delta.
    pub merge: Merge,
}
/// A position and how many consecutive positions of its run are meant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RunShape {
    /// The origin of the batch.
    pub home: u64,
}

/// The value of an element in a [`crate::Op::Put`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ItemValue<'a> {
    /// A set's member has none.
    Member,
    /// A hash field's new value, or a bytewise maximum.
    Bytes(&'a [u8]),
    /// An integer delta or maximum.
    Int(i64),
    /// An exact decimal delta, as text.
    Decimal(&'a [u8]),
    /// A sorted set's new score.
    Score(f64),
    /// A score that was incremented: the exact difference `to - from` is the delta.
    ScoreDelta {
        /// The score that was seen (0 for a new member).
        from: f64,
        /// The score that came out.
        to: f64,
    },
}

/// An element with its identity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Item<'a> {
    /// Field or member.
    pub id: &'a [u8],
    /// What is written.
    pub value: ItemValue<'a>,
}

/// Identities of elements.
pub type Ids<'a> = Seq<'a, BytesShape>;
/// Values of list elements.
pub type Values<'a> = Seq<'a, BytesShape>;
/// Fields with deadlines.
pub type Fields<'a> = Seq<'a, FieldShape>;
/// Elements with values.
pub type Items<'a> = Seq<'a, ItemShape>;
/// Runs of list positions.
pub type Runs<'a> = Seq<'a, RunShape>;

impl Shape for BytesShape {
    type Item<'a> = &'a [u8];
    #[inline]
    fn read<'a>(&self, from: &mut Reader<'a>) -> Result<&'a [u8], WireError> {
        from.bytes()
    }
    #[inline]
    fn write(&self, item: &&[u8], out: &mut Vec<u8>) {
        put_bytes(out, item);
    }
}

impl Shape for FieldShape {
    type Item<'a> = (&'a [u8], Option<i64>);
    fn read<'a>(&self, from: &mut Reader<'a>) -> Result<Self::Item<'a>, WireError> {
        let field = from.bytes()?;
        Ok((field, get_deadline(from)?))
    }
    fn write(&self, item: &(&[u8], Option<i64>), out: &mut Vec<u8>) {
        put_bytes(out, item.0);
        put_deadline(out, item.1);
    }
}

impl Shape for ItemShape {
    type Item<'a> = Item<'a>;
    #[inline]
    fn read<'a>(&self, from: &mut Reader<'a>) -> Result<Item<'a>, WireError> {
        let id = from.bytes()?;
        let value = match (self.kind, self.merge) {
            (Kind::Set, _) => ItemValue::Member,
            (Kind::ZSet, Merge::AddFloat) => ItemValue::ScoreDelta { from: score(from)?, to: score(from)? },
            (Kind::ZSet, _) => ItemValue::Score(score(from)?),
            (_, Merge::AddInt | Merge::MaxInt) => ItemValue::Int(from.zigzag()?),
            (_, Merge::AddFloat) => ItemValue::Decimal(from.bytes()?),
            (_, Merge::LastWriter | Merge::FirstWriter | Merge::MaxBytes) => ItemValue::Bytes(from.bytes()?),
        };
        Ok(Item { id, value })
    }
    #[inline]
    fn write(&self, item: &Item<'_>, out: &mut Vec<u8>) {
        debug_assert!(self.fits(&item.value), "{:?} is no value of {self:?}", item.value);
        put_bytes(out, item.id);
        match item.value {
            ItemValue::Member => {}
            ItemValue::Bytes(bytes) | ItemValue::Decimal(bytes) => put_bytes(out, bytes),
            ItemValue::Int(n) => put_zigzag(out, n),
            ItemValue::Score(score) => out.extend_from_slice(&score.to_bits().to_le_bytes()),
            ItemValue::ScoreDelta { from, to } => {
                out.extend_from_slice(&from.to_bits().to_le_bytes());
                out.extend_from_slice(&to.to_bits().to_le_bytes());
            }
        }
    }
}

impl ItemShape {
    /// Whether `value` is what [`Shape::read`] would look for.
    fn fits(&self, value: &ItemValue<'_>) -> bool {
        match (self.kind, self.merge) {
            (Kind::Set, _) => matches!(value, ItemValue::Member),
            (Kind::ZSet, Merge::AddFloat) => {
                matches!(value, ItemValue::ScoreDelta { from, to } if !from.is_nan() && !to.is_nan())
            }
            (Kind::ZSet, _) => matches!(value, ItemValue::Score(score) if !score.is_nan()),
            (_, Merge::AddInt | Merge::MaxInt) => matches!(value, ItemValue::Int(_)),
            (_, Merge::AddFloat) => matches!(value, ItemValue::Decimal(_)),
            (_, Merge::LastWriter | Merge::FirstWriter | Merge::MaxBytes) => matches!(value, ItemValue::Bytes(_)),
        }
    }
}

/// A score: any double but NaN.
pub(crate) fn score(from: &mut Reader<'_>) -> Result<f64, WireError> {
    let at = from.offset();
    let score = from.f64()?;
    if score.is_nan() { Err(WireError::Invalid { what: "score", at }) } else { Ok(score) }
}

impl Shape for RunShape {
    type Item<'a> = (ListPos, u64);
    fn read<'a>(&self, from: &mut Reader<'a>) -> Result<Self::Item<'a>, WireError> {
        Ok((ListPos::decode(self.home, from)?, from.varint()?))
    }
    fn check(&self, from: &mut Reader<'_>) -> Result<(), WireError> {
        let at = from.offset();
        let len = ListPos::check_run(self.home, from)?;
        if len > MAX_RUN { Err(WireError::Invalid { what: "length of a run of positions", at }) } else { Ok(()) }
    }
    #[inline]
    fn write(&self, item: &(ListPos, u64), out: &mut Vec<u8>) {
        item.0.encode(self.home, out);
        put_varint(out, item.1);
    }
}

/// Appends an optional deadline: 0 for none, else 1 and the zigzag milliseconds.
pub(crate) fn put_deadline(out: &mut Vec<u8>, deadline: Option<i64>) {
    out.push(u8::from(deadline.is_some()));
    if let Some(ms) = deadline {
        put_zigzag(out, ms);
    }
}

/// Reads what [`put_deadline`] wrote.
pub(crate) fn get_deadline(from: &mut Reader<'_>) -> Result<Option<i64>, WireError> {
    let at = from.offset();
    match from.u8()? {
        0 => Ok(None),
        1 => Ok(Some(from.zigzag()?)),
        _ => Err(WireError::Invalid { what: "deadline", at }),
    }
}

/// A sequence of elements in their encoded form. Its bytes have been walked once: iteration cannot fail.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seq<'a, S: Shape> {
    shape: S,
    count: u64,
    bytes: &'a [u8],
}

impl<'a, S: Shape> Seq<'a, S> {
    /// The sequence without elements.
    pub fn empty(shape: S) -> Self {
        Self { shape, count: 0, bytes: &[] }
    }

    /// Reads a sequence and checks every element.
    #[inline]
    pub fn decode(shape: S, from: &mut Reader<'a>) -> Result<Self, WireError> {
        let count = from.varint()?;
        let mut ahead = from.clone();
        for _ in 0..count {
            shape.check(&mut ahead)?;
        }
        let bytes = from.take(ahead.offset() - from.offset())?;
        Ok(Self { shape, count, bytes })
    }

    /// As [`Seq::decode`], for a sequence that an effect closes with.
    #[inline]
    pub(crate) fn decode_last(shape: S, from: &mut Reader<'a>) -> Result<Self, WireError> {
        if from.is_at_own_end() {
            let count = from.varint()?;
            return Ok(Self { shape, count, bytes: from.rest() });
        }
        Self::decode(shape, from)
    }

    /// Appends the sequence.
    #[inline]
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.count);
        out.extend_from_slice(self.bytes);
    }

    /// How many elements.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How the elements are written.
    pub fn shape(&self) -> S {
        self.shape
    }

    /// The elements in order.
    #[inline]
    pub fn iter(&self) -> SeqIter<'a, S> {
        SeqIter { shape: self.shape, left: self.count, reader: Reader::new(self.bytes) }
    }
}

/// Iterates over a [`Seq`].
#[derive(Debug, Clone)]
pub struct SeqIter<'a, S> {
    shape: S,
    left: u64,
    reader: Reader<'a>,
}

impl<'a, S: Shape> Iterator for SeqIter<'a, S> {
    type Item = S::Item<'a>;

    #[inline]
    fn next(&mut self) -> Option<S::Item<'a>> {
        self.left = self.left.checked_sub(1)?;
        Some(self.shape.read(&mut self.reader).expect("every element was read once when the sequence was decoded"))
    }
}

/// Builds a [`Seq`].
#[derive(Debug, Clone)]
pub struct SeqBuf<S> {
    shape: S,
    count: u64,
    bytes: Vec<u8>,
}

impl<S: Shape> SeqBuf<S> {
    /// An empty sequence.
    pub fn new(shape: S) -> Self {
        Self::reuse(shape, Vec::new())
    }

    /// An empty sequence that is built in memory from an earlier one.
    #[inline]
    pub fn reuse(shape: S, mut memory: Vec<u8>) -> Self {
        memory.clear();
        Self { shape, count: 0, bytes: memory }
    }

    /// Gives the memory back.
    pub fn into_memory(self) -> Vec<u8> {
        self.bytes
    }

    /// Adds an element behind the others.
    #[inline]
    pub fn push(&mut self, item: S::Item<'_>) {
        self.shape.write(&item, &mut self.bytes);
        self.count += 1;
    }

    /// What has been built.
    #[inline]
    pub fn seq(&self) -> Seq<'_, S> {
        Seq { shape: self.shape, count: self.count, bytes: &self.bytes }
    }

    /// How many elements.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether nothing was pushed yet.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}
