//! Whole values as owned ones.

use effect::{Folded, FoldedWriter, Kind, ListPos, Part};

use super::Bytes;

/// A whole value. A list is made of runs; read back, each element is a run of its own.
#[derive(Debug, Clone, PartialEq)]
pub enum Whole {
    String(Bytes),
    List(Vec<(ListPos, Vec<Bytes>)>),
    Hash(Vec<(Bytes, Bytes, Option<i64>)>),
    Set(Vec<Bytes>),
    ZSet(Vec<(Bytes, u64)>),
}

impl Whole {
    /// With each list element as a run of its own.
    pub(super) fn flat(self) -> Self {
        let Self::List(runs) = self else { return self };
        let single = |(first, values): (ListPos, Vec<Bytes>)| {
            values.into_iter().enumerate().map(move |(i, value)| (first.step(i as i64), vec![value]))
        };
        Self::List(runs.into_iter().flat_map(single).collect())
    }

    /// Its encoding.
    pub fn bytes(&self, home: u64) -> Bytes {
        let mut out = Vec::new();
        match self {
            Self::String(bytes) => FoldedWriter::string(&mut out, bytes),
            Self::List(runs) => {
                let mut writer = FoldedWriter::collection(&mut out, Kind::List, home, runs.len());
                runs.iter().for_each(|(first, values)| writer.run(first, values.iter().map(Vec::as_slice)));
            }
            Self::Hash(fields) => {
                let mut writer = FoldedWriter::collection(&mut out, Kind::Hash, home, fields.len());
                fields.iter().for_each(|(field, value, deadline)| writer.field(field, value, *deadline));
            }
            Self::Set(members) => {
                let mut writer = FoldedWriter::collection(&mut out, Kind::Set, home, members.len());
                members.iter().for_each(|member| writer.member(member));
            }
            Self::ZSet(members) => {
                let mut writer = FoldedWriter::collection(&mut out, Kind::ZSet, home, members.len());
                members.iter().for_each(|(member, score)| writer.scored(member, f64::from_bits(*score)));
            }
        }
        out
    }

    /// What a decoded value says.
    pub fn of(folded: &Folded<'_>) -> Self {
        let mut whole = match folded.kind() {
            Kind::String => Self::String(Vec::new()),
            Kind::List => Self::List(Vec::new()),
            Kind::Hash => Self::Hash(Vec::new()),
            Kind::Set => Self::Set(Vec::new()),
            Kind::ZSet => Self::ZSet(Vec::new()),
        };
        folded.for_each(|part| match (&mut whole, part) {
            (Self::String(whole), Part::String(bytes)) => *whole = bytes.to_vec(),
            (Self::List(runs), Part::Element(pos, value)) => runs.push((pos, vec![value.to_vec()])),
            (Self::Hash(fields), Part::Field { field, value, deadline }) => {
                fields.push((field.to_vec(), value.to_vec(), deadline));
            }
            (Self::Set(members), Part::Member(member)) => members.push(member.to_vec()),
            (Self::ZSet(members), Part::Scored(member, score)) => members.push((member.to_vec(), score.to_bits())),
            (whole, part) => panic!("{part:?} in {whole:?}"),
        });
        whole
    }
}
