//! What a versioned store does: the trait, and what goes in and comes out.

use std::io::{Read, Write};

use crate::conflict::ConflictCounts;
use crate::error::{BadInput, Result};
use crate::pins::{Pin, Watermark};
use crate::span::{Direction, Span};
use crate::timestamp::Timestamp;
use crate::value::{Row, Version};

/// An ordered map from keys to versions. Every read names the timestamp that it reads at, every write the one at which
/// it commits; the store has no clock.
///
/// - A version is visible at `at` if it is the newest with `commit <= at`, is no deletion, and has no deadline `<= at`.
///   At [`Timestamp::LATEST`] the newest version counts, and deadlines do not.
/// - Commits ascend: each must be above [`last_commit`](Self::last_commit). So what was read at a timestamp at or below
///   it stays as it was. Several reads at such a timestamp are one snapshot; several at `LATEST` are not.
/// - Nothing below the [`watermark`](Self::watermark) can be read, and no transaction that began below it can commit.
///   What no reader at or above the watermark can see is absent for every operation, collected or not.
/// - Where superseded versions are not kept ([`Retention::Newest`]), a read below a key's newest version fails as
///   compacted.
/// - An operation that fails has changed nothing.
///
/// Stores that hold the same log must be told the same horizons at the same place of it: whether a transaction
/// conflicts, commits or is refused as compacted depends on the watermark.
pub trait Store: Send + Sync {
    /// Whether superseded versions are kept.
    fn retention(&self) -> Retention;

    /// The version of `key` that is visible at `at`.
    fn get(&self, key: &[u8], at: Timestamp) -> Result<Option<Version>>;

    /// Whether a version of `key` is visible at `at`.
    fn exists(&self, key: &[u8], at: Timestamp) -> Result<bool> {
        Ok(self.get(key, at)?.is_some())
    }

    /// The visible rows of `span` at `at` in order of their keys, until one of the bounds is reached.
    fn scan(&self, span: Span<'_>, at: Timestamp, direction: Direction, bounds: Bounds) -> Result<Page>;

    /// When the newest version of `key` was committed; a deletion counts, unless it is below the watermark.
    fn latest_commit(&self, key: &[u8]) -> Result<Option<Timestamp>>;

    /// Whether `key` has a version, or a deletion, that was committed exactly at `commit`. For whoever does not know
    /// whether an attempt succeeded: timestamps are not used twice. Fails as compacted where the answer is not known
    /// any more.
    fn committed_at(&self, key: &[u8], commit: Timestamp) -> Result<bool>;

    /// Stores `value` under `key`, with an optional deadline.
    fn put(&self, key: &[u8], value: &[u8], commit: Timestamp, expire_at: Option<Timestamp>) -> Result<()> {
        self.apply_one(Mutation::Put { key, value, expire_at }, commit)
    }

    /// Deletes `key`, whether it exists or not.
    fn delete(&self, key: &[u8], commit: Timestamp) -> Result<()> {
        self.apply_one(Mutation::Delete { key }, commit)
    }

    /// Gives the visible value of `key` another deadline, or none. Fails with `NotFound` or `Expired` if there is no
    /// such value.
    fn expire(&self, key: &[u8], expire_at: Option<Timestamp>, commit: Timestamp) -> Result<()> {
        self.apply_one(Mutation::Expire { key, expire_at }, commit)
    }

    /// One blind mutation, made durable.
    fn apply_one(&self, mutation: Mutation<'_>, commit: Timestamp) -> Result<()> {
        let transaction = Transaction { commit, mutations: &[mutation], ..Transaction::default() };
        self.apply(&transaction, Source::Direct).map(|_| ())
    }

    /// Commits all mutations of a transaction, or none. If it has a start, it conflicts with whatever was committed
    /// after that to a key that it writes, a key that it read or a span that it read: checked in this order, each in
    /// the order of the call, and a span by ascending keys. A commit exactly at the start is no conflict.
    fn apply(&self, transaction: &Transaction<'_>, source: Source) -> Result<Applied>;

    /// Deletes every visible key that begins with `prefix`, except those that begin with `spare`, as one version. It
    /// takes bounded time and memory however many keys there are, and a crash leaves all of them visible or none.
    fn delete_prefix(&self, delete: &PrefixDelete<'_>, source: Source) -> Result<Applied>;

    /// Brings in rows that are sorted already, all or none of them. Each replaces whatever its key had, at its own
    /// timestamp, which is at most `commit`. Only where superseded versions are not kept.
    fn ingest(&self, run: &mut dyn Iterator<Item = RunRow>, commit: Timestamp, source: Source) -> Result<Applied>;

    /// The highest committed timestamp.
    fn last_commit(&self) -> Timestamp;

    /// The highest log index that was applied; zero if none.
    fn applied_index(&self) -> u64;

    /// Says that everything up to `index` of the log has been applied, although the last of it changed nothing here,
    /// and makes that and all before it durable.
    fn advance_applied(&self, index: u64) -> Result<()>;

    /// The conflict counters.
    fn conflicts(&self) -> ConflictCounts;

    /// From when on the store can be read.
    fn watermark(&self) -> Watermark;

    /// Keeps what is readable at `at` readable; at `LATEST`, what is readable at the last commit.
    fn pin(&self, at: Timestamp) -> Result<Pin>;

    /// Collects what no reader at or above `horizon` can see; pinned readers hold it back. A horizon must not be ahead
    /// of the clock that commits get their timestamps from, since they must be above the watermark. Visits about
    /// `budget` rows and then says how far it has come; it goes on there when called again, also after a restart. A
    /// compaction that is under way is finished before another horizon counts.
    fn compact(&self, horizon: Timestamp, budget: usize) -> Result<Compaction>;

    /// An image of the store as it is now.
    fn snapshot(&self) -> Result<Box<dyn Snapshot>>;

    /// Replaces everything by an image, whichever implementation wrote it. Nothing has changed if it fails or the
    /// process dies.
    fn restore(&self, from: &mut dyn Read) -> Result<()>;
}

/// A consistent image of a store.
pub trait Snapshot: Send {
    /// The last commit that it holds.
    fn last_commit(&self) -> Timestamp;

    /// Writes it; answers how many bytes that were.
    fn write_to(&mut self, out: &mut dyn Write) -> Result<u64>;
}

/// Whether superseded versions are kept until the watermark passes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retention {
    /// Only the newest version of each key. Writes need not read, and a row is one row.
    Newest,
    /// All that the watermark allows to be read.
    Versions,
}

/// A change of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation<'a> {
    /// Stores a value.
    Put {
        /// The key.
        key: &'a [u8],
        /// The value.
        value: &'a [u8],
        /// From when on it is hidden.
        expire_at: Option<Timestamp>,
    },
    /// Deletes the key, whether it exists or not.
    Delete {
        /// The key.
        key: &'a [u8],
    },
    /// Gives the visible value another deadline.
    Expire {
        /// The key.
        key: &'a [u8],
        /// The deadline; `None` takes it away.
        expire_at: Option<Timestamp>,
    },
}

impl<'a> Mutation<'a> {
    /// The key that it changes.
    pub fn key(&self) -> &'a [u8] {
        match *self {
            Self::Put { key, .. } | Self::Delete { key } | Self::Expire { key, .. } => key,
        }
    }
}

/// Mutations that are committed together, and what they depend on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Transaction<'a> {
    /// What it has seen: everything committed up to here. `None`: it does not care, and conflicts with nothing.
    pub start: Option<Timestamp>,
    /// When it commits.
    pub commit: Timestamp,
    /// What it changes; a key once.
    pub mutations: &'a [Mutation<'a>],
    /// The keys that it read.
    pub read_keys: &'a [&'a [u8]],
    /// The spans that it read. Checking one costs a walk over its keys if anything was committed since the start.
    pub read_spans: &'a [Span<'a>],
}

impl Default for Mutation<'_> {
    fn default() -> Self {
        Self::Delete { key: &[] }
    }
}

/// A deletion of all keys with a prefix.
#[derive(Clone, Copy, Debug)]
pub struct PrefixDelete<'a> {
    /// What the keys begin with; empty means all keys.
    pub prefix: &'a [u8],
    /// Keys that begin with this are spared.
    pub spare: Option<&'a [u8]>,
    /// When it commits.
    pub commit: Timestamp,
}

/// Who stands behind a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nobody: it is made durable before the call returns.
    Direct,
    /// A log that will bring it again after a crash, so it need not be durable yet. The index is stored with it; a
    /// write at or below the stored index was applied already and is left out.
    Log {
        /// Its place in that log, from 1.
        index: u64,
    },
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It was applied.
    Now,
    /// The log had brought it before.
    Before,
}

/// A row of a sorted run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRow {
    /// The key; above that of the row before.
    pub key: Vec<u8>,
    /// When it was committed.
    pub commit: Timestamp,
    /// From when on it is hidden; none for a deletion.
    pub expire_at: Option<Timestamp>,
    /// The value; `None` is a deletion.
    pub value: Option<Vec<u8>>,
}

/// When a scan stops. It always gets somewhere: each bound lets at least one row pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// After so many rows.
    pub rows: usize,
    /// After so many visited keys, whether visible or not: deletions and expired rows that are not collected yet count.
    pub visited: usize,
    /// After so many bytes of keys and values.
    pub bytes: usize,
}

impl Bounds {
    /// It never stops early.
    pub const NONE: Self = Self { rows: usize::MAX, visited: usize::MAX, bytes: usize::MAX };

    /// At most so many rows.
    pub fn rows(rows: usize) -> Self {
        Self { rows, ..Self::NONE }
    }

    /// At most so many visited keys.
    pub fn visited(visited: usize) -> Self {
        Self { visited, ..Self::NONE }
    }

    pub(crate) fn check(&self) -> Result<()> {
        if self.rows == 0 || self.visited == 0 || self.bytes == 0 {
            return Err(BadInput::ZeroBound.into());
        }
        Ok(())
    }
}

/// What a scan found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The visible rows, in the direction of the scan.
    pub rows: Vec<Row>,
    /// How many keys were visited.
    pub visited: usize,
    /// Where to go on, if a bound stopped it: the first key to visit when going forward, the first key not to visit
    /// when going in reverse. [`Span::rest`] makes the span of it. `None`: the span was seen to its end.
    pub next: Option<Vec<u8>>,
}

impl Page {
    /// Whether a bound stopped the scan.
    pub fn is_truncated(&self) -> bool {
        self.next.is_some()
    }
}

/// Fills a page and says when it is full.
pub(crate) struct PageBuilder {
    page: Page,
    bounds: Bounds,
    direction: Direction,
    bytes: usize,
}

impl PageBuilder {
    pub(crate) fn new(direction: Direction, bounds: Bounds) -> Self {
        Self { page: Page::default(), bounds, direction, bytes: 0 }
    }

    /// Takes the next visited key, with its version if it is visible. Answers whether the scan may go on.
    pub(crate) fn visit(&mut self, key: &[u8], version: Option<Version>) -> bool {
        self.page.visited += 1;
        if let Some(version) = version {
            self.bytes = self.bytes.saturating_add(key.len() + version.value.len());
            self.page.rows.push(Row { key: key.to_vec(), version });
        }
        let full = self.page.rows.len() >= self.bounds.rows
            || self.page.visited >= self.bounds.visited
            || self.bytes >= self.bounds.bytes;
        if full {
            self.page.next = Some(match self.direction {
                Direction::Forward => crate::span::successor(key),
                Direction::Reverse => key.to_vec(),
            });
        }
        !full
    }

    pub(crate) fn finish(self) -> Page {
        self.page
    }
}

/// How far a compaction has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compaction {
    /// What it collects below, or has collected below.
    pub watermark: Timestamp,
    /// Rows visited by this call.
    pub visited: usize,
    /// Rows collected by this call.
    pub collected: usize,
    /// Nothing is left to do.
    pub done: bool,
}
