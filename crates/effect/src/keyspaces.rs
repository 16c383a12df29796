//! The keyspaces of a group: what their definitions, made on any node, make of each other.
//!
//! ```text
//!   KEYSPACE SET ─▶ effect: name, patterns, safety, and the definitions of that name that its writer saw (`deps`)
//!                        │
//!                        ▼  takes those away, and is one itself; KEYSPACE DEL only takes away
//!   name ─▶ definitions that nobody has taken away ─▶ the latest counts; it is asked in the order in which names were first defined
//! ```
//! An effect names what it takes the place of, so nothing has to be known of contexts, and nothing is forgotten once it is stable: a name
//! has as many definitions as were made concurrently, nearly always one.
//!
//! *Invariant:* what is shown is a function of the set of effects, if each is applied once and behind those that it names. So it is the
//! same on all replicas that have the same effects, in whatever order these came.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::codec::{dot, put_dot, put_stamp, stamp};
use crate::hlc::Hlc;
use crate::id::Dot;
use crate::op::{Effect, Op};
use crate::stamp::Stamp;
use crate::wire::{Reader, WireError, put_bytes, put_varint};

/// The keyspace of whatever no other one matches. It has no patterns, and is always there.
pub const DEFAULT_KEYSPACE: &str = "default";

const VERSION: u8 = 1;

/// A keyspace of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupKeyspace {
    /// Its name.
    pub name: String,
    /// Glob patterns of its keys.
    pub patterns: Vec<Vec<u8>>,
    /// Both sides of a partition go on with transactions on its keys.
    pub is_unsafe: bool,
}

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupKeyspaces {
    /// By name: at least one, in the order of their dots.
    names: BTreeMap<Vec<u8>, Vec<Definition>>,
}

/// A definition that nobody has taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Definition {
    dot: Dot,
    hlc: Hlc,
    /// When the name was first defined, as far as its writer knew.
    first: Stamp,
    is_unsafe: bool,
    patterns: Vec<Vec<u8>>,
}

impl Definition {
    fn stamp(&self) -> Stamp {
        Stamp::new(self.dot, self.hlc)
    }
}

impl GroupKeyspaces {
    /// Applies an effect, which has this dot and timestamp; of others than definitions nothing comes.
    pub fn apply(&mut self, effect: &Effect<'_>, dot: Dot, hlc: Hlc) {
        let Op::GroupDefine(definition) = &effect.op else { return };
        let mut known = match self.names.entry(effect.key.to_vec()) {
            Entry::Occupied(known) => known,
            Entry::Vacant(vacant) => vacant.insert_entry(Vec::new()),
        };
        known.get_mut().retain(|one| one.dot != dot && effect.deps.iter().all(|taken| taken != one.dot));
        if let Some(definition) = definition {
            let first = definition.first.unwrap_or(Stamp::new(dot, hlc));
            let patterns = definition.patterns.iter().map(<[u8]>::to_vec).collect();
            let at = known.get().partition_point(|one| one.dot < dot);
            known.get_mut().insert(at, Definition { dot, hlc, first, is_unsafe: definition.is_unsafe, patterns });
        }
        if known.get().is_empty() {
            known.remove();
        }
    }

    /// What a new definition of the name takes the place of.
    pub fn tips(&self, name: &[u8]) -> impl Iterator<Item = Dot> {
        self.of(name).iter().map(|one| one.dot)
    }

    /// When the name was first defined, if it is defined.
    pub fn first(&self, name: &[u8]) -> Option<Stamp> {
        self.of(name).iter().map(|one| one.first).min()
    }

    /// When others than this node have last defined the name, of what is left of that.
    pub fn last_of_others(&self, name: &[u8], node: u64) -> Option<Stamp> {
        self.of(name).iter().filter(|one| one.dot.origin.node() != node).map(Definition::stamp).max()
    }

    /// All of them, in the order in which they are asked for a key; the last is `default`.
    pub fn shown(&self) -> Vec<GroupKeyspace> {
        let mut names: Vec<_> = self.names.keys().filter(|name| **name != DEFAULT_KEYSPACE.as_bytes()).collect();
        names.sort_by_key(|name| self.first(name));
        let shown = |name: &[u8]| {
            let latest = self.latest(name)?;
            let (patterns, is_unsafe) = (latest.patterns.clone(), latest.is_unsafe);
            Some(GroupKeyspace { name: String::from_utf8_lossy(name).into_owned(), patterns, is_unsafe })
        };
        let is_unsafe = self.latest(DEFAULT_KEYSPACE.as_bytes()).is_some_and(|latest| latest.is_unsafe);
        let default = GroupKeyspace { name: DEFAULT_KEYSPACE.into(), patterns: Vec::new(), is_unsafe };
        names.into_iter().filter_map(|name| shown(name)).chain([default]).collect()
    }

    /// Whether nothing was defined that is not gone.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    fn of(&self, name: &[u8]) -> &[Definition] {
        self.names.get(name).map_or(&[], Vec::as_slice)
    }

    fn latest(&self, name: &[u8]) -> Option<&Definition> {
        self.of(name).iter().max_by_key(|one| one.stamp())
    }

    /// ```text
    /// keyspaces  := version u8 ‖ count varint ‖ (name ‖ count varint ‖ definition*)*
    /// definition := origin u64 LE ‖ seq varint ‖ hlc u64 LE ‖ first hlc u64 LE ‖ first origin u64 LE ‖ is unsafe u8 ‖ count varint ‖ pattern*
    /// ```
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        put_varint(out, self.names.len() as u64);
        for (name, known) in &self.names {
            put_bytes(out, name);
            put_varint(out, known.len() as u64);
            for Definition { dot, hlc, first, is_unsafe, patterns } in known {
                put_dot(out, *dot);
                out.extend_from_slice(&hlc.0.to_le_bytes());
                put_stamp(first, out);
                out.push(u8::from(*is_unsafe));
                put_varint(out, patterns.len() as u64);
                patterns.iter().for_each(|pattern| put_bytes(out, pattern));
            }
        }
    }

    /// Reads what [`Self::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let mut from = Reader::new(bytes);
        if from.u8()? != VERSION {
            return Err(WireError::Invalid { what: "version of keyspaces", at: 0 });
        }
        let mut names = BTreeMap::new();
        for _ in 0..from.varint()? {
            let name = from.bytes()?.to_vec();
            let mut known = Vec::new();
            for _ in 0..from.varint()? {
                known.push(Definition::decode(&mut from)?);
            }
            names.insert(name, known);
        }
        match from.remaining() {
            0 => Ok(Self { names }),
            _ => Err(WireError::Invalid { what: "bytes behind keyspaces", at: from.offset() }),
        }
    }
}

impl Definition {
    fn decode(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let (dot, hlc, first) = (dot(from)?, Hlc(from.u64()?), stamp(from)?);
        let at = from.offset();
        let is_unsafe = match from.u8()? {
            0 => false,
            1 => true,
            _ => return Err(WireError::Invalid { what: "safety of a keyspace", at }),
        };
        let mut patterns = Vec::new();
        for _ in 0..from.varint()? {
            patterns.push(from.bytes()?.to_vec());
        }
        Ok(Self { dot, hlc, first, is_unsafe, patterns })
    }
}
