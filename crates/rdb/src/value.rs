//! A whole value on its way from a payload into the state.

use effect::{FoldedWriter, Kind, ListPos, Origin};

use crate::error::{Corrupt, Error};
use crate::object::{Part, Sink};
use crate::unique::Unique;

/// Bytes that an element costs beside its own: where it ends, and a score or deadline.
const ELEMENT_BYTES: usize = size_of::<usize>() + size_of::<Option<i64>>();

/// A whole value: its byte strings one behind the other, with their ends.
pub struct Value {
    kind: Kind,
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// Of a sorted set's members.
    scores: Vec<f64>,
    /// Of a hash's fields, in unix ms, if any has one.
    deadlines: Vec<Option<i64>>,
    /// Bytes that may still be added.
    budget: usize,
}

impl Value {
    /// One of this type without parts, which may take about `budget` bytes.
    pub fn new(kind: Kind, budget: usize) -> Self {
        Self { kind, bytes: Vec::new(), ends: Vec::new(), scores: Vec::new(), deadlines: Vec::new(), budget }
    }

    /// The type.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), Corrupt> {
        const TOO_LARGE: Corrupt = Corrupt("the value takes more memory than it may");
        self.budget = self.budget.checked_sub(bytes.len().saturating_add(ELEMENT_BYTES)).ok_or(TOO_LARGE)?;
        self.bytes.extend_from_slice(bytes);
        self.ends.push(self.bytes.len());
        Ok(())
    }

    /// The value if it is whole: not an empty collection, no member twice.
    pub(crate) fn checked(self) -> Result<Self, Corrupt> {
        let per_element = if self.kind == Kind::Hash { 2 } else { 1 };
        if self.kind != Kind::String && self.ends.is_empty() {
            return Err(Corrupt("a collection is empty"));
        }
        let named = matches!(self.kind, Kind::Set | Kind::Hash | Kind::ZSet);
        if named && !Unique::default().holds(|| self.parts().step_by(per_element)) {
            return Err(Corrupt("a member is there twice"));
        }
        Ok(self)
    }

    /// The byte strings in order.
    fn parts(&self) -> impl ExactSizeIterator<Item = &[u8]> + Clone {
        (0..self.ends.len()).map(|i| {
            let start = if i == 0 { 0 } else { self.ends[i - 1] };
            &self.bytes[start..self.ends[i]]
        })
    }

    /// Appends the value in the form that effects carry; those of `origin`; a list begins at `first`. False, and nothing is
    /// appended, if it is a hash all of whose fields have expired at `now_ms`.
    pub fn fold(&self, origin: Origin, first: &ListPos, now_ms: i64, out: &mut Vec<u8>) -> bool {
        let count = self.ends.len();
        match self.kind {
            Kind::String => FoldedWriter::string(out, &self.bytes),
            Kind::List => {
                let mut writer = FoldedWriter::collection(out, Kind::List, origin.0, 1);
                writer.run(first, self.parts());
            }
            Kind::Set => {
                let mut writer = FoldedWriter::collection(out, Kind::Set, origin.0, count);
                self.parts().for_each(|member| writer.member(member));
            }
            Kind::ZSet => {
                let mut writer = FoldedWriter::collection(out, Kind::ZSet, origin.0, count);
                self.parts().zip(&self.scores).for_each(|(member, score)| writer.scored(member, *score));
            }
            Kind::Hash => return self.fold_hash(origin, now_ms, out),
        }
        true
    }

    fn fold_hash(&self, origin: Origin, now_ms: i64, out: &mut Vec<u8>) -> bool {
        let deadline = |i: usize| self.deadlines.get(i).copied().flatten();
        let lives = |i: usize| deadline(i).is_none_or(|at| at > now_ms);
        let fields = self.ends.len() / 2;
        let living = (0..fields).filter(|i| lives(*i)).count();
        if living == 0 {
            return false;
        }
        let mut writer = FoldedWriter::collection(out, Kind::Hash, origin.0, living);
        let mut parts = self.parts();
        for i in 0..fields {
            let (Some(field), Some(value)) = (parts.next(), parts.next()) else { break };
            if lives(i) {
                writer.field(field, value, deadline(i));
            }
        }
        true
    }
}

impl Sink for Value {
    fn part(&mut self, part: Part<'_>) -> Result<(), Error> {
        match part {
            Part::String(bytes) | Part::Element(bytes) | Part::Member(bytes) => self.push(bytes)?,
            Part::Scored(member, score) => {
                self.push(member)?;
                self.scores.push(score);
            }
            Part::Field { field, value, deadline } => {
                self.push(field)?;
                self.push(value)?;
                if deadline.is_some() || !self.deadlines.is_empty() {
                    // Those before it have none.
                    self.deadlines.resize(self.ends.len() / 2 - 1, None);
                    self.deadlines.push(deadline);
                }
            }
        }
        Ok(())
    }
}
