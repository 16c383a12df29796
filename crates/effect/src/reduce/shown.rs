//! What a key is for those who read it: a plain value.

use std::borrow::Cow;

use crate::op::Kind;
use crate::pos::ListPos;
use crate::reduce::edit::{Change, Edit};
use crate::reduce::element::{Element, Elements};
use crate::reduce::reduced::Reduced;
use crate::value::FoldedWriter;

/// A key that is there. Whether its deadline has passed is for the reader to say.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown<'a> {
    /// What it is.
    pub value: Plain<'a>,
    /// In unix ms.
    pub deadline: Option<i64>,
}

/// A whole value; elements in the order of their names or positions.
#[derive(Debug, Clone, PartialEq)]
pub enum Plain<'a> {
    /// A string.
    String(Cow<'a, [u8]>),
    /// Elements with their positions.
    List(Vec<(&'a ListPos, Cow<'a, [u8]>)>),
    /// Fields.
    Hash(Vec<Field<'a>>),
    /// Members.
    Set(Vec<&'a [u8]>),
    /// Members with their scores.
    ZSet(Vec<(&'a [u8], f64)>),
}

/// A field of a hash.
#[derive(Debug, Clone, PartialEq)]
pub struct Field<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// Its value.
    pub value: Cow<'a, [u8]>,
    /// Its deadline in unix ms.
    pub deadline: Option<i64>,
}

impl Reduced {
    /// What the key is; `None` if it is not there.
    pub fn shown(&self) -> Option<Shown<'_>> {
        let value = match self.kind()? {
            Kind::String => Plain::String(bytes(self.whole.shown()?)),
            Kind::List => Plain::List(each(&self.list, |pos, value| (pos, bytes(value)))),
            Kind::Hash => Plain::Hash(self.fields()),
            Kind::Set => Plain::Set(each(&self.set, |member, _| &**member)),
            Kind::ZSet => Plain::ZSet(each(&self.zset, |member, score| (&**member, *score))),
        };
        Some(Shown { value, deadline: self.whole.deadline() })
    }

    fn fields(&self) -> Vec<Field<'_>> {
        self.hash.0.iter().filter_map(|(name, field)| shown_field(name, field)).collect()
    }
}

pub(super) fn shown_field<'a>(name: &'a [u8], field: &'a Element<Vec<u8>, Edit>) -> Option<Field<'a>> {
    Some(Field { name, value: bytes(field.shown()?), deadline: field.deadline() })
}

#[expect(clippy::owned_cow, reason = "a register lends what it holds")]
pub(super) fn bytes(value: Cow<'_, Vec<u8>>) -> Cow<'_, [u8]> {
    match value {
        Cow::Borrowed(bytes) => Cow::Borrowed(bytes),
        Cow::Owned(bytes) => Cow::Owned(bytes),
    }
}

fn each<'a, K: Ord + Clone, V: Clone, E: Change<V> + Clone, R>(
    elements: &'a Elements<K, V, E>,
    of: impl Fn(&'a K, Cow<'a, V>) -> R,
) -> Vec<R> {
    elements.0.iter().filter_map(|(name, element)| Some(of(name, element.shown()?))).collect()
}

impl Shown<'_> {
    /// Its type.
    pub fn kind(&self) -> Kind {
        match self.value {
            Plain::String(_) => Kind::String,
            Plain::List(_) => Kind::List,
            Plain::Hash(_) => Kind::Hash,
            Plain::Set(_) => Kind::Set,
            Plain::ZSet(_) => Kind::ZSet,
        }
    }

    /// Appends the value as [`crate::Folded`] reads it, for a batch of `home`.
    pub fn write(&self, home: u64, out: &mut Vec<u8>) {
        match &self.value {
            Plain::String(bytes) => FoldedWriter::string(out, bytes),
            Plain::List(elements) => write_list(elements, home, out),
            Plain::Hash(fields) => {
                let mut writer = FoldedWriter::collection(out, Kind::Hash, home, fields.len());
                fields.iter().for_each(|field| writer.field(field.name, &field.value, field.deadline));
            }
            Plain::Set(members) => {
                let mut writer = FoldedWriter::collection(out, Kind::Set, home, members.len());
                members.iter().for_each(|member| writer.member(member));
            }
            Plain::ZSet(members) => {
                let mut writer = FoldedWriter::collection(out, Kind::ZSet, home, members.len());
                members.iter().for_each(|(member, score)| writer.scored(member, *score));
            }
        }
    }
}

/// Neighbours at consecutive positions are one run.
fn write_list(elements: &[(&ListPos, Cow<'_, [u8]>)], home: u64, out: &mut Vec<u8>) {
    let follows = |a: &(&ListPos, _), b: &(&ListPos, _)| a.0.n < i64::MAX && a.0.step(1) == *b.0;
    let runs: Vec<_> = elements.chunk_by(follows).collect();
    let mut writer = FoldedWriter::collection(out, Kind::List, home, runs.len());
    for run in runs {
        writer.run(run[0].0, run.iter().map(|(_, value)| &**value));
    }
}
