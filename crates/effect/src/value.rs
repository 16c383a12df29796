//! A whole value in one piece: what `Replace` carries, what snapshots and digests are made of.
//!
//! Shape: `kind u8`, then
//! - String: the bytes, with their length before them;
//! - Hash: count, then `field ‖ value ‖ deadline` each;
//! - Set: count, then the members; ZSet: count, then `member ‖ score f64 LE` each;
//! - List: the number of runs, then per run `first position ‖ count ‖ values`.

use crate::items::{get_deadline, put_deadline, score};
use crate::op::Kind;
use crate::pos::ListPos;
use crate::wire::{Reader, WireError, put_bytes, put_varint};

/// A whole value in its encoded form. Its bytes have been walked once: reading cannot fail.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Folded<'a> {
    kind: Kind,
    home: u64,
    bytes: &'a [u8],
}

/// A part of a folded value, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Part<'a> {
    /// The whole string.
    String(&'a [u8]),
    /// A field of a hash.
    Field {
        /// Its name.
        field: &'a [u8],
        /// Its value.
        value: &'a [u8],
        /// Its deadline in unix ms.
        deadline: Option<i64>,
    },
    /// A member of a set.
    Member(&'a [u8]),
    /// A member of a sorted set.
    Scored(&'a [u8], f64),
    /// An element of a list.
    Element(ListPos, &'a [u8]),
}

impl<'a> Folded<'a> {
    /// Reads a value and checks all of it; `home` is the origin of the batch.
    pub fn decode(home: u64, from: &mut Reader<'a>) -> Result<Self, WireError> {
        let at = from.offset();
        let kind = Kind::from_u8(from.u8()?).ok_or(WireError::Invalid { what: "kind of value", at })?;
        let mut ahead = from.clone();
        check(kind, home, &mut ahead)?;
        let bytes = from.take(ahead.offset() - from.offset())?;
        Ok(Self { kind, home, bytes })
    }

    /// Appends the value.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.kind as u8);
        out.extend_from_slice(self.bytes);
    }

    /// Whether it means the same in a batch of `home`: only list positions depend on it.
    pub(crate) fn is_of(&self, home: u64) -> bool {
        self.kind != Kind::List || self.home == home
    }

    /// The type of the value.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Hands every part to `visit`, in the order in which they were written.
    pub fn for_each(&self, mut visit: impl FnMut(Part<'a>)) {
        walk(self.kind, self.home, &mut Reader::new(self.bytes), &mut visit)
            .expect("every part was read once when the value was decoded");
    }
}

/// Reads past a value without keeping anything of it.
fn check(kind: Kind, home: u64, from: &mut Reader<'_>) -> Result<(), WireError> {
    if kind != Kind::List {
        return walk(kind, home, from, &mut |_| {});
    }
    for _ in 0..from.varint()? {
        for _ in 0..ListPos::check_run(home, from)? {
            from.bytes()?;
        }
    }
    Ok(())
}

fn walk<'a>(kind: Kind, home: u64, from: &mut Reader<'a>, visit: &mut impl FnMut(Part<'a>)) -> Result<(), WireError> {
    if kind == Kind::String {
        visit(Part::String(from.bytes()?));
        return Ok(());
    }
    for _ in 0..from.varint()? {
        match kind {
            Kind::String => unreachable!("handled above"),
            Kind::Hash => {
                let (field, value) = (from.bytes()?, from.bytes()?);
                visit(Part::Field { field, value, deadline: get_deadline(from)? });
            }
            Kind::Set => visit(Part::Member(from.bytes()?)),
            Kind::ZSet => {
                let member = from.bytes()?;
                visit(Part::Scored(member, score(from)?));
            }
            Kind::List => {
                let first = ListPos::decode(home, from)?;
                for i in 0..from.varint()? {
                    visit(Part::Element(first.step(i as i64), from.bytes()?));
                }
            }
        }
    }
    Ok(())
}

/// Writes a whole value piece by piece into a buffer that is reused.
#[derive(Debug)]
pub struct FoldedWriter<'b> {
    out: &'b mut Vec<u8>,
    kind: Kind,
    home: u64,
}

impl<'b> FoldedWriter<'b> {
    /// Starts a string; it is complete with this.
    pub fn string(out: &'b mut Vec<u8>, bytes: &[u8]) {
        out.push(Kind::String as u8);
        put_bytes(out, bytes);
    }

    /// Starts a collection of `count` parts (for lists: of `count` runs).
    pub fn collection(out: &'b mut Vec<u8>, kind: Kind, home: u64, count: usize) -> Self {
        assert!(kind != Kind::String, "a string is written by `string`");
        out.push(kind as u8);
        put_varint(out, count as u64);
        Self { out, kind, home }
    }

    /// Goes on with the parts of a collection whose head, with their number, somebody else writes.
    pub fn parts(out: &'b mut Vec<u8>, kind: Kind, home: u64) -> Self {
        assert!(kind != Kind::String, "a string has no parts");
        Self { out, kind, home }
    }

    /// Writes a field of a hash.
    pub fn field(&mut self, field: &[u8], value: &[u8], deadline: Option<i64>) {
        debug_assert_eq!(self.kind, Kind::Hash);
        put_bytes(self.out, field);
        put_bytes(self.out, value);
        put_deadline(self.out, deadline);
    }

    /// Writes a member of a set.
    pub fn member(&mut self, member: &[u8]) {
        debug_assert_eq!(self.kind, Kind::Set);
        put_bytes(self.out, member);
    }

    /// Writes a member of a sorted set.
    pub fn scored(&mut self, member: &[u8], score: f64) {
        debug_assert_eq!(self.kind, Kind::ZSet);
        put_bytes(self.out, member);
        self.out.extend_from_slice(&score.to_bits().to_le_bytes());
    }

    /// Writes a run of list elements at consecutive positions.
    pub fn run<'v>(&mut self, first: &ListPos, values: impl ExactSizeIterator<Item = &'v [u8]>) {
        debug_assert_eq!(self.kind, Kind::List);
        first.encode(self.home, self.out);
        put_varint(self.out, values.len() as u64);
        for value in values {
            put_bytes(self.out, value);
        }
    }

    /// The same of values that are encoded already: the length of each before its bytes, one behind the other.
    pub fn encoded_run(&mut self, first: &ListPos, count: usize, values: &[u8]) {
        debug_assert_eq!(self.kind, Kind::List);
        first.encode(self.home, self.out);
        put_varint(self.out, count as u64);
        self.out.extend_from_slice(values);
    }
}
