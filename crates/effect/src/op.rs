//! What one effect does to one key: operations as borrowed views, never owned.

use crate::codec::{BindKeyShape, DotShape, NodeShape};
use crate::id::{Dot, KeyspaceId};
use crate::items::{Fields, Ids, Items, Runs, Seq, Values};
use crate::pos::ListPos;
use crate::stamp::Stamp;
use crate::value::Folded;

/// The type of a value. The numbers are part of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A byte string (also bitmaps and HyperLogLogs).
    String = 1,
    /// An ordered collection of elements with positions.
    List = 2,
    /// Fields with values.
    Hash = 3,
    /// Members.
    Set = 4,
    /// Members with scores.
    ZSet = 5,
}

impl Kind {
    /// The kind with this number.
    pub fn from_u8(byte: u8) -> Option<Self> {
        [Kind::String, Kind::List, Kind::Hash, Kind::Set, Kind::ZSet].into_iter().find(|k| *k as u8 == byte)
    }

    /// The name that the TYPE command gives it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::String => "string",
            Kind::List => "list",
            Kind::Hash => "hash",
            Kind::Set => "set",
            Kind::ZSet => "zset",
        }
    }
}

/// How concurrent writes of the same scalar or element combine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Merge {
    /// The later one by (HLC, fork-choice hash) stays.
    LastWriter = 0,
    /// Integer deltas add up.
    AddInt = 1,
    /// Exact decimal deltas add up; for sorted sets the exact difference of two doubles.
    AddFloat = 2,
    /// The larger integer stays.
    MaxInt = 3,
    /// The first one stays.
    FirstWriter = 4,
    /// The bytewise maximum stays.
    MaxBytes = 5,
}

/// What a write does to a deadline that is already there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Deadline {
    /// It goes: the value lives until it is removed.
    Clear,
    /// It stays as it is.
    Keep,
    /// It is this, in unix milliseconds.
    At(i64),
}

impl Deadline {
    /// The deadline after the write of what had `old`.
    #[inline]
    pub fn after(self, old: Option<i64>) -> Option<i64> {
        match self {
            Self::Clear => None,
            Self::Keep => old,
            Self::At(ms) => Some(ms),
        }
    }
}

/// The end of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// Index 0 (LPUSH).
    Head,
    /// Index -1 (RPUSH).
    Tail,
}

/// A change of a part of a string, applied in (HLC, fork-choice hash) order on the winning SET.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patch<'a> {
    /// Bytes behind the end.
    Append(&'a [u8]),
    /// Bytes from an offset on; what lies between the end and the offset becomes zero.
    Write {
        /// In bytes.
        offset: u64,
        /// What stands there afterwards.
        bytes: &'a [u8],
    },
    /// An unsigned integer of `width` bits (1 to 64), most significant bit first, from bit `offset` on.
    Bits {
        /// In bits; bit 0 is the highest of byte 0.
        offset: u64,
        /// How many bits.
        width: u8,
        /// The value; only its lower `width` bits count.
        value: u64,
    },
}

/// One immutable change. Borrowed from the batch that holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct Effect<'a> {
    /// The keyspace of the key.
    pub keyspace: KeyspaceId,
    /// The physical database number.
    pub db: u8,
    /// The key; empty for operations on a whole database.
    pub key: &'a [u8],
    /// The writer found the key (for element operations: the key) absent or expired: whatever of its context is
    /// still there is removed first.
    pub fresh: bool,
    /// The key's tips in the unstable suffix when this was written. Empty wherever everything is stable. Of a keyspace of a group: the
    /// definitions of it that this one takes the place of.
    pub deps: Seq<'a, DotShape>,
    /// What happens.
    pub op: Op<'a>,
}

/// The operations. A command that replaces a whole value says so in one of them.
#[derive(Debug, Clone, PartialEq)]
pub enum Op<'a> {
    /// The key is this string.
    Set {
        /// The whole value.
        value: &'a [u8],
        /// What becomes of the deadline.
        deadline: Deadline,
    },
    /// An integer is added to the string's.
    AddInt(i64),
    /// An exact decimal (text) is added to the string's.
    AddDecimal(&'a [u8]),
    /// The string is the larger of itself and this one, byte by byte.
    MaxBytes(&'a [u8]),
    /// A part of the string changes.
    Patch(Patch<'a>),
    /// Elements of a hash, set or sorted set are written.
    Put {
        /// Hash, Set or ZSet.
        kind: Kind,
        /// How concurrent writes of the same element combine.
        merge: Merge,
        /// What becomes of the elements' own deadlines.
        deadline: Deadline,
        /// Identities and values.
        items: Items<'a>,
    },
    /// Elements of a hash, set or sorted set are removed.
    Drop {
        /// Hash, Set or ZSet.
        kind: Kind,
        /// Their identities.
        ids: Ids<'a>,
    },
    /// Fields of a hash get a deadline or lose it.
    FieldDeadlines(Fields<'a>),
    /// Elements are pushed to an end of a list; the first takes `first`, the next ones the positions beyond it.
    Push {
        /// The end.
        side: Side,
        /// The position of the first value.
        first: ListPos,
        /// In the order in which they are pushed.
        values: Values<'a>,
    },
    /// One element is put between others.
    Insert {
        /// Where.
        pos: ListPos,
        /// What.
        value: &'a [u8],
    },
    /// The element at a position gets another value; nothing if it is gone.
    SetAt {
        /// Where.
        pos: ListPos,
        /// What.
        value: &'a [u8],
    },
    /// List elements are removed.
    Cut(Runs<'a>),
    /// The key is this value, whatever it was before.
    Replace {
        /// The whole value.
        value: Folded<'a>,
        /// What becomes of the deadline.
        deadline: Deadline,
    },
    /// The key's deadline (unix ms) is set, or taken away.
    Expire(Option<i64>),
    /// The key and all that was observed of it go.
    Remove,
    /// The value, with its deadline, moves to another name and replaces what is there.
    Rename {
        /// The keyspace of the new name.
        keyspace: KeyspaceId,
        /// The physical database of the new name.
        db: u8,
        /// The new name.
        key: &'a [u8],
    },
    /// Nothing changes; says that the key was observed.
    Noop,
    /// Ties the effects of a transaction together.
    Bind(Bind<'a>),
    /// How a bind was decided.
    Verdict {
        /// The bind.
        bind: Dot,
        /// Committed, else aborted.
        committed: bool,
        /// The ballot at which it was decided.
        ballot: u64,
    },
    /// The stable value of a key, as a replica hands it to another: with the stamp of its last writer.
    Snapshot {
        /// The HLC of the last writer, raw.
        hlc: u64,
        /// The dot of the last writer.
        writer: Dot,
        /// The value.
        value: Folded<'a>,
        /// Its deadline.
        deadline: Option<i64>,
    },
    /// All keys of the effect's database go.
    FlushDb,
    /// All keys of all databases go.
    FlushAll,
    /// The effect's database and this one (both logical numbers) change places.
    SwapDb(u8),
    /// A leader for the transactions of a key, or its release.
    Serialize(Option<u64>),
    /// The effect's keyspace, which has the effect's key as its name, is this from now on.
    Define(Definition<'a>),
    /// There is no such keyspace any more: none of its keys is left.
    Undefine,
    /// Every key is where the definitions up to this epoch put it.
    Moved(u64),
    /// The effects before it in its batch stand for a batch that ended with this one and never arrived: its node wrote it before the
    /// group went on without it.
    Again(Dot),
    /// The keyspace of the group that has the effect's key as its name is this from now on; `None`: there is none any more.
    GroupDefine(Option<GroupDefinition<'a>>),
}

impl Op<'_> {
    /// The type that a key is of once it has been carried out, if it writes one.
    pub fn kind(&self) -> Option<Kind> {
        match self {
            Op::Set { .. } | Op::AddInt(_) | Op::AddDecimal(_) | Op::MaxBytes(_) | Op::Patch(_) => Some(Kind::String),
            Op::Put { kind, .. } => Some(*kind),
            Op::Push { .. } | Op::Insert { .. } => Some(Kind::List),
            Op::Replace { value, .. } | Op::Snapshot { value, .. } => Some(value.kind()),
            _ => None,
        }
    }

    /// Whether what it changes is one key, the effect's.
    pub fn is_of_one_key(&self) -> bool {
        !matches!(
            self,
            Op::FlushDb
                | Op::FlushAll
                | Op::SwapDb(_)
                | Op::Rename { .. }
                | Op::Define(_)
                | Op::Undefine
                | Op::Moved(_)
                | Op::Noop
                | Op::Bind(_)
                | Op::Verdict { .. }
                | Op::Serialize(_)
                | Op::Again(_)
                | Op::GroupDefine(_)
        )
    }
}

/// How the keys of a keyspace are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Mode {
    /// Logged, and replicated without coordination.
    Causal = 0,
    /// Bounded in RAM and on disk, neither logged nor replicated.
    Cache = 1,
}

impl Mode {
    /// The mode with this number.
    pub fn from_u8(byte: u8) -> Option<Self> {
        [Mode::Causal, Mode::Cache].into_iter().find(|mode| *mode as u8 == byte)
    }

    /// The name that people use.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Causal => "causal",
            Mode::Cache => "cache",
        }
    }
}

/// A keyspace: which keys are its own, and how they are kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Definition<'a> {
    /// How its keys are kept.
    pub mode: Mode,
    /// Whether files of the disk tier are synced before what depends on them is acknowledged.
    pub fsync: bool,
    /// It matches nothing any more and goes once its keys have moved.
    pub leaving: bool,
    /// Counts the changes of all definitions.
    pub epoch: u64,
    /// The bound on RAM in bytes.
    pub ram_bytes: u64,
    /// The bound on disk in bytes.
    pub disk_bytes: u64,
    /// Glob patterns of its keys.
    pub patterns: Values<'a>,
}

/// A keyspace of a group: which keys are its own, and how safe they are.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupDefinition<'a> {
    /// Both sides of a partition go on with transactions on its keys.
    pub is_unsafe: bool,
    /// When its name was first defined; `None`: by this effect.
    pub first: Option<Stamp>,
    /// Glob patterns of its keys.
    pub patterns: Values<'a>,
}

/// A transaction, in front of its effects: all that is to be known of it without anything around it. Its rank is its stamp.
#[derive(Debug, Clone, PartialEq)]
pub struct Bind<'a> {
    /// Exclusive (EXEC after WATCH), else only atomic.
    pub exclusive: bool,
    /// Both sides of a partition go on with it; one of them is undone.
    pub is_unsafe: bool,
    /// The nodes that decide it: the voters of its epoch.
    pub voters: Seq<'a, NodeShape>,
    /// What its writer had observed, of its own origin too, when it locked the keys.
    pub context: Seq<'a, DotShape>,
    /// The keys with what the transaction did to them.
    pub keys: Seq<'a, BindKeyShape>,
}
