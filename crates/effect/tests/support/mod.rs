//! Effects as owned values: what tests say that an effect is, to be encoded, and what a decoded effect says that it is.
#![allow(dead_code, reason = "a tool box: not every test needs all of it")]

use effect::codec::{BindKeyShape, DotShape, NodeShape};
use effect::items::{BytesShape, FieldShape, ItemShape, RunShape};
use effect::wire::Reader;
use effect::{
    Bind, Deadline, Definition, Dot, Effect, Folded, GroupDefinition, Hlc, Item, ItemValue, KeyspaceId, Kind, ListPos,
    Merge, Mode, Op, Origin, Patch, Seq, SeqBuf, Side, Stamp,
};

pub mod bound;
pub mod group;
pub mod oracle;
pub mod redis;
pub mod view;
pub mod whole;

pub use bound::Bound;
pub use whole::Whole;

pub type Bytes = Vec<u8>;

/// One effect.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    pub keyspace: u16,
    pub db: u8,
    pub key: Bytes,
    pub fresh: bool,
    pub deps: Vec<Dot>,
    pub act: Act,
}

/// Its operation.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    Set(Bytes, Deadline),
    AddInt(i64),
    AddDecimal(Bytes),
    MaxBytes(Bytes),
    Append(Bytes),
    Write(u64, Bytes),
    Bits(u64, u8, u64),
    Put(Kind, Merge, Deadline, Vec<(Bytes, Value)>),
    Drop(Kind, Vec<Bytes>),
    FieldDeadlines(Vec<(Bytes, Option<i64>)>),
    Push(Side, ListPos, Vec<Bytes>),
    Insert(ListPos, Bytes),
    SetAt(ListPos, Bytes),
    Cut(Vec<(ListPos, u64)>),
    Replace(Whole, Deadline),
    Expire(Option<i64>),
    Remove,
    Rename(u16, u8, Bytes),
    Noop,
    Bind {
        exclusive: bool,
        is_unsafe: bool,
        voters: Vec<u64>,
        context: Vec<Dot>,
        keys: Vec<Bound>,
    },
    Verdict {
        bind: Dot,
        committed: bool,
        ballot: u64,
    },
    Snapshot {
        hlc: u64,
        writer: Dot,
        value: Whole,
        deadline: Option<i64>,
    },
    FlushDb,
    FlushAll,
    SwapDb(u8),
    Serialize(Option<u64>),
    Again(Dot),
    /// Mode, fsync and leaving, epoch, RAM and disk, patterns.
    Define(Mode, (bool, bool), u64, (u64, u64), Vec<Bytes>),
    Undefine,
    Moved(u64),
    /// Whether it is unsafe, when and by whom the name was first defined, patterns.
    GroupDefine(bool, Option<(u64, u64)>, Vec<Bytes>),
    GroupUndefine,
}

/// The value of an element; doubles by their bits, so that zeros with different signs differ.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Member,
    Bytes(Bytes),
    Int(i64),
    Decimal(Bytes),
    Score(u64),
    ScoreDelta(u64, u64),
}

impl Value {
    fn view(&self) -> ItemValue<'_> {
        match self {
            Self::Member => ItemValue::Member,
            Self::Bytes(bytes) => ItemValue::Bytes(bytes),
            Self::Int(n) => ItemValue::Int(*n),
            Self::Decimal(text) => ItemValue::Decimal(text),
            Self::Score(score) => ItemValue::Score(f64::from_bits(*score)),
            Self::ScoreDelta(from, to) => {
                ItemValue::ScoreDelta { from: f64::from_bits(*from), to: f64::from_bits(*to) }
            }
        }
    }

    fn of(value: &ItemValue<'_>) -> Self {
        match *value {
            ItemValue::Member => Self::Member,
            ItemValue::Bytes(bytes) => Self::Bytes(bytes.to_vec()),
            ItemValue::Int(n) => Self::Int(n),
            ItemValue::Decimal(text) => Self::Decimal(text.to_vec()),
            ItemValue::Score(score) => Self::Score(score.to_bits()),
            ItemValue::ScoreDelta { from, to } => Self::ScoreDelta(from.to_bits(), to.to_bits()),
        }
    }
}

impl Change {
    /// With each list element of a whole value as a run of its own, as decoding gives it.
    pub fn flat(mut self) -> Self {
        self.act = match self.act {
            Act::Replace(value, deadline) => Act::Replace(value.flat(), deadline),
            Act::Snapshot { hlc, writer, value, deadline } => {
                Act::Snapshot { hlc, writer, value: value.flat(), deadline }
            }
            other => other,
        };
        self
    }

    /// Shows this as the effect that code outside of tests would make in a batch of `home`.
    pub fn show<R>(&self, home: u64, see: impl FnOnce(&Effect<'_>) -> R) -> R {
        let deps = dots(&self.deps);
        let mut parts = Parts::new(home);
        parts.fill(&self.act);
        see(&Effect {
            keyspace: KeyspaceId(self.keyspace),
            db: self.db,
            key: &self.key,
            fresh: self.fresh,
            deps: deps.seq(),
            op: parts.op(&self.act),
        })
    }

    /// What a decoded effect says.
    pub fn of(effect: &Effect<'_>) -> Self {
        Self {
            keyspace: effect.keyspace.0,
            db: effect.db,
            key: effect.key.to_vec(),
            fresh: effect.fresh,
            deps: effect.deps.iter().collect(),
            act: act_of(&effect.op),
        }
    }
}

fn dots(dots: &[Dot]) -> SeqBuf<DotShape> {
    let mut seq = SeqBuf::new(DotShape);
    dots.iter().for_each(|dot| seq.push(*dot));
    seq
}

/// The encoded sequences that an operation borrows.
struct Parts {
    home: u64,
    bytes: SeqBuf<BytesShape>,
    items: SeqBuf<ItemShape>,
    fields: SeqBuf<FieldShape>,
    runs: SeqBuf<RunShape>,
    keys: SeqBuf<BindKeyShape>,
    voters: SeqBuf<NodeShape>,
    context: SeqBuf<DotShape>,
    whole: Bytes,
}

impl Parts {
    fn new(home: u64) -> Self {
        Self {
            home,
            bytes: SeqBuf::new(BytesShape),
            items: SeqBuf::new(ItemShape { kind: Kind::Set, merge: Merge::LastWriter }),
            fields: SeqBuf::new(FieldShape),
            runs: SeqBuf::new(RunShape { home }),
            keys: SeqBuf::new(BindKeyShape),
            voters: SeqBuf::new(NodeShape),
            context: SeqBuf::new(DotShape),
            whole: Vec::new(),
        }
    }

    fn fill(&mut self, act: &Act) {
        match act {
            Act::Put(kind, merge, _, items) => {
                self.items = SeqBuf::new(ItemShape { kind: *kind, merge: *merge });
                items.iter().for_each(|(id, value)| self.items.push(Item { id, value: value.view() }));
            }
            Act::Drop(_, values) | Act::Push(_, _, values) | Act::Define(.., values) | Act::GroupDefine(.., values) => {
                values.iter().for_each(|v| self.bytes.push(v))
            }
            Act::FieldDeadlines(fields) => fields.iter().for_each(|(field, d)| self.fields.push((field, *d))),
            Act::Cut(runs) => runs.iter().for_each(|run| self.runs.push(run.clone())),
            Act::Replace(value, _) | Act::Snapshot { value, .. } => self.whole = value.bytes(self.home),
            Act::Bind { keys, voters, context, .. } => {
                voters.iter().for_each(|node| self.voters.push(*node));
                self.context = dots(context);
                keys.iter().for_each(|bound| self.keys.push(bound.key()));
            }
            _ => {}
        }
    }

    fn whole(&self) -> Folded<'_> {
        Folded::decode(self.home, &mut Reader::new(&self.whole)).expect("the writer's own bytes")
    }

    fn op<'a>(&'a self, act: &'a Act) -> Op<'a> {
        match act {
            Act::Set(value, deadline) => Op::Set { value, deadline: *deadline },
            Act::AddInt(delta) => Op::AddInt(*delta),
            Act::AddDecimal(text) => Op::AddDecimal(text),
            Act::MaxBytes(bytes) => Op::MaxBytes(bytes),
            Act::Append(bytes) => Op::Patch(Patch::Append(bytes)),
            Act::Write(offset, bytes) => Op::Patch(Patch::Write { offset: *offset, bytes }),
            Act::Bits(offset, width, value) => Op::Patch(Patch::Bits { offset: *offset, width: *width, value: *value }),
            Act::Put(kind, merge, deadline, _) => {
                Op::Put { kind: *kind, merge: *merge, deadline: *deadline, items: self.items.seq() }
            }
            Act::Drop(kind, _) => Op::Drop { kind: *kind, ids: self.bytes.seq() },
            Act::FieldDeadlines(_) => Op::FieldDeadlines(self.fields.seq()),
            Act::Push(side, first, _) => Op::Push { side: *side, first: first.clone(), values: self.bytes.seq() },
            Act::Insert(pos, value) => Op::Insert { pos: pos.clone(), value },
            Act::SetAt(pos, value) => Op::SetAt { pos: pos.clone(), value },
            Act::Cut(_) => Op::Cut(self.runs.seq()),
            Act::Replace(_, deadline) => Op::Replace { value: self.whole(), deadline: *deadline },
            Act::Expire(deadline) => Op::Expire(*deadline),
            Act::Remove => Op::Remove,
            Act::Rename(keyspace, db, key) => Op::Rename { keyspace: KeyspaceId(*keyspace), db: *db, key },
            Act::Noop => Op::Noop,
            Act::Bind { exclusive, is_unsafe, .. } => Op::Bind(Bind {
                exclusive: *exclusive,
                is_unsafe: *is_unsafe,
                voters: self.voters.seq(),
                context: self.context.seq(),
                keys: self.keys.seq(),
            }),
            Act::Verdict { bind, committed, ballot } => {
                Op::Verdict { bind: *bind, committed: *committed, ballot: *ballot }
            }
            Act::Snapshot { hlc, writer, deadline, .. } => {
                Op::Snapshot { hlc: *hlc, writer: *writer, value: self.whole(), deadline: *deadline }
            }
            Act::FlushDb => Op::FlushDb,
            Act::FlushAll => Op::FlushAll,
            Act::SwapDb(other) => Op::SwapDb(*other),
            Act::Serialize(leader) => Op::Serialize(*leader),
            Act::Define(mode, (fsync, leaving), epoch, (ram_bytes, disk_bytes), _) => Op::Define(Definition {
                mode: *mode,
                fsync: *fsync,
                leaving: *leaving,
                epoch: *epoch,
                ram_bytes: *ram_bytes,
                disk_bytes: *disk_bytes,
                patterns: self.bytes.seq(),
            }),
            Act::Undefine => Op::Undefine,
            Act::Moved(epoch) => Op::Moved(*epoch),
            Act::Again(last) => Op::Again(*last),
            Act::GroupDefine(is_unsafe, first, _) => Op::GroupDefine(Some(GroupDefinition {
                is_unsafe: *is_unsafe,
                first: first.map(|(hlc, origin)| Stamp { hlc: Hlc(hlc), origin: Origin(origin) }),
                patterns: self.bytes.seq(),
            })),
            Act::GroupUndefine => Op::GroupDefine(None),
        }
    }
}

fn owned(values: &Seq<'_, BytesShape>) -> Vec<Bytes> {
    values.iter().map(<[u8]>::to_vec).collect()
}

fn act_of(op: &Op<'_>) -> Act {
    match op {
        Op::Set { value, deadline } => Act::Set(value.to_vec(), *deadline),
        Op::AddInt(delta) => Act::AddInt(*delta),
        Op::AddDecimal(text) => Act::AddDecimal(text.to_vec()),
        Op::MaxBytes(bytes) => Act::MaxBytes(bytes.to_vec()),
        Op::Patch(Patch::Append(bytes)) => Act::Append(bytes.to_vec()),
        Op::Patch(Patch::Write { offset, bytes }) => Act::Write(*offset, bytes.to_vec()),
        Op::Patch(Patch::Bits { offset, width, value }) => Act::Bits(*offset, *width, *value),
        Op::Put { kind, merge, deadline, items } => {
            let items = items.iter().map(|item| (item.id.to_vec(), Value::of(&item.value))).collect();
            Act::Put(*kind, *merge, *deadline, items)
        }
        Op::Drop { kind, ids } => Act::Drop(*kind, owned(ids)),
        Op::FieldDeadlines(fields) => Act::FieldDeadlines(fields.iter().map(|(f, d)| (f.to_vec(), d)).collect()),
        Op::Push { side, first, values } => Act::Push(*side, first.clone(), owned(values)),
        Op::Insert { pos, value } => Act::Insert(pos.clone(), value.to_vec()),
        Op::SetAt { pos, value } => Act::SetAt(pos.clone(), value.to_vec()),
        Op::Cut(runs) => Act::Cut(runs.iter().collect()),
        Op::Replace { value, deadline } => Act::Replace(Whole::of(value), *deadline),
        Op::Expire(deadline) => Act::Expire(*deadline),
        Op::Remove => Act::Remove,
        Op::Rename { keyspace, db, key } => Act::Rename(keyspace.0, *db, key.to_vec()),
        Op::Noop => Act::Noop,
        Op::Bind(bind) => Act::Bind {
            exclusive: bind.exclusive,
            is_unsafe: bind.is_unsafe,
            voters: bind.voters.iter().collect(),
            context: bind.context.iter().collect(),
            keys: bind.keys.iter().map(|key| Bound::of(&key)).collect(),
        },
        Op::Verdict { bind, committed, ballot } => Act::Verdict { bind: *bind, committed: *committed, ballot: *ballot },
        Op::Snapshot { hlc, writer, value, deadline } => {
            Act::Snapshot { hlc: *hlc, writer: *writer, value: Whole::of(value), deadline: *deadline }
        }
        Op::FlushDb => Act::FlushDb,
        Op::FlushAll => Act::FlushAll,
        Op::SwapDb(other) => Act::SwapDb(*other),
        Op::Serialize(leader) => Act::Serialize(*leader),
        Op::Define(d) => {
            Act::Define(d.mode, (d.fsync, d.leaving), d.epoch, (d.ram_bytes, d.disk_bytes), owned(&d.patterns))
        }
        Op::Undefine => Act::Undefine,
        Op::Moved(epoch) => Act::Moved(*epoch),
        Op::Again(last) => Act::Again(*last),
        Op::GroupDefine(Some(d)) => {
            Act::GroupDefine(d.is_unsafe, d.first.map(|first| (first.hlc.0, first.origin.0)), owned(&d.patterns))
        }
        Op::GroupDefine(None) => Act::GroupUndefine,
    }
}
