//! What a client would see of a key, and how tests write it down.

use std::collections::{BTreeMap, BTreeSet};

use effect::ListPos;
use effect::reduce::{Plain, Reduced};

use crate::support::Bytes;

/// What is there, with what has expired left out.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    pub value: Held,
    pub deadline: Option<i64>,
    /// Fields that are there but have expired.
    pub hidden: BTreeSet<Bytes>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Held {
    String(Bytes),
    List(Vec<(ListPos, Bytes)>),
    Hash(BTreeMap<Bytes, (Bytes, Option<i64>)>),
    Set(BTreeSet<Bytes>),
    ZSet(BTreeMap<Bytes, f64>),
}

impl View {
    pub fn new(value: Held, deadline: Option<i64>) -> Self {
        Self { value, deadline, hidden: BTreeSet::new() }
    }

    /// All that is there, expired or not.
    pub fn whole(key: &Reduced) -> Option<Self> {
        let shown = key.shown()?;
        let value = match shown.value {
            Plain::String(bytes) => Held::String(bytes.to_vec()),
            Plain::List(elements) => {
                Held::List(elements.into_iter().map(|(pos, value)| (pos.clone(), value.to_vec())).collect())
            }
            Plain::Hash(fields) => {
                Held::Hash(fields.into_iter().map(|f| (f.name.to_vec(), (f.value.to_vec(), f.deadline))).collect())
            }
            Plain::Set(members) => Held::Set(members.into_iter().map(<[u8]>::to_vec).collect()),
            Plain::ZSet(members) => Held::ZSet(members.into_iter().map(|(m, score)| (m.to_vec(), score)).collect()),
        };
        Some(Self::new(value, shown.deadline))
    }

    /// What a client sees at `now`.
    pub fn at(mut self, now: i64) -> Option<Self> {
        if let Held::Hash(fields) = &mut self.value {
            let gone = fields.iter().filter(|(_, (_, deadline))| deadline.is_some_and(|at| at <= now));
            self.hidden = gone.map(|(name, _)| name.clone()).collect();
            fields.retain(|name, _| !self.hidden.contains(name));
        }
        let is_there = self.deadline.is_none_or(|at| at > now) && !self.is_empty();
        is_there.then_some(self)
    }

    pub fn is_empty(&self) -> bool {
        match &self.value {
            Held::String(_) => false,
            Held::List(elements) => elements.is_empty(),
            Held::Hash(fields) => fields.is_empty(),
            Held::Set(members) => members.is_empty(),
            Held::ZSet(members) => members.is_empty(),
        }
    }
}

fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// A deadline in seconds behind `now`.
fn until(deadline: Option<i64>, now: i64) -> String {
    deadline.map_or(String::new(), |at| format!(", {} s", (at - now) as f64 / 1000.0))
}

/// In the notation of `docs/merging.md`, with deadlines behind what they are of.
pub fn render(view: Option<&View>, now: i64) -> String {
    let Some(view) = view else { return "no key".to_owned() };
    let value = match &view.value {
        Held::String(bytes) => text(bytes),
        Held::List(elements) => format!("[{}]", joined(elements.iter().map(|(_, value)| text(value)))),
        Held::Hash(fields) => {
            let field = |(name, (value, deadline)): (&Bytes, &(Bytes, Option<i64>))| {
                format!("{}: {}{}", text(name), text(value), until(*deadline, now))
            };
            format!("{{{}}}", joined(fields.iter().map(field)))
        }
        Held::Set(members) => format!("{{{}}}", joined(members.iter().map(|member| text(member)))),
        Held::ZSet(members) => {
            format!("<{}>", joined(members.iter().map(|(member, score)| format!("{}: {score}", text(member)))))
        }
    };
    value + &until(view.deadline, now)
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join("; ")
}
