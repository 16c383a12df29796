//! Sorted runs: files of the tree are written directly, without journal and memory, and come into force at once.

use std::io::{self, Read};

use fjall::{Keyspace, Slice};
use parking_lot::MutexGuard;
use self_cell::self_cell;

use super::seal::Sealing;
use super::{LsmStore, Writer};
use crate::error::{Error, Result};
use crate::header::{Header, State};
use crate::input::{self, RunCheck};
use crate::layout::{self, STATE_KEY};
use crate::store::{Applied, Retention, RunRow, Source};
use crate::timestamp::Timestamp;

/// What a run asks of the tree. (The tree's own type for it has no public name.)
enum Ask {
    Row(Slice, Slice),
    Removal(Slice),
    Finish,
}

type Ingestion<'a> = Box<dyn FnMut(Ask) -> fjall::Result<()> + 'a>;

self_cell!(
    /// Files being written, and the tree that they will belong to.
    struct Files {
        owner: Keyspace,
        #[not_covariant]
        dependent: Ingestion,
    }
);

impl Files {
    fn begin(rows: Keyspace) -> Result<Self> {
        Self::try_new(rows, |rows| {
            let mut ingestion = Some(rows.start_ingestion().map_err(fail)?);
            let ask = move |ask: Ask| match (ask, &mut ingestion) {
                (Ask::Row(key, row), Some(ingestion)) => ingestion.write(key, row),
                (Ask::Removal(key), Some(ingestion)) => ingestion.write_tombstone(key),
                (Ask::Finish, ingestion) => ingestion.take().map_or(Ok(()), |ingestion| ingestion.finish()),
                (_, None) => Ok(()),
            };
            Ok(Box::new(ask) as Ingestion<'_>)
        })
    }

    fn ask(&mut self, ask: Ask) -> Result<()> {
        self.with_dependent_mut(|_, ingestion| ingestion(ask)).map_err(fail)
    }
}

fn fail(error: fjall::Error) -> Error {
    Error::tree("bringing in a run", error)
}

/// Brings in rows that are sorted already, all or none of them, each in the place of whatever its key had.
///
/// The rows are written to files of the tree as they come, and [`finish`](Self::finish) makes the files a part of it:
/// durable, and for all readers at once. A run that is dropped, or fails, or is cut short by a crash, leaves no row. It
/// does leave files that nothing names; the next open removes them.
///
/// It holds the writers' lock: until it is gone whoever else writes waits, and whoever writes in the same thread waits
/// for ever. Readers do not notice it.
pub struct RunWriter<'s> {
    store: &'s LsmStore,
    _writer: MutexGuard<'s, Writer>,
    /// `None`: the log has brought this run before, and its rows are only checked.
    files: Option<Files>,
    check: RunCheck,
    commit: Timestamp,
    index: Option<u64>,
    floor: Timestamp,
    /// What values are sealed with, if they are.
    sealing: Option<Sealing>,
    /// Why the files are not what they should be.
    failed: Option<Error>,
}

impl RunWriter<'_> {
    /// Whether the run is new. If the log has brought it before, its rows need not be put.
    pub fn is_needed(&self) -> bool {
        self.files.is_some()
    }

    /// Stores under `key`, which is above all keys before, a value that is handed in in parts. A row that is refused is
    /// left out, and the run may go on.
    pub fn put(&mut self, key: &[u8], expire_at: Option<Timestamp>, value: &[&[u8]]) -> Result<()> {
        self.write(key, Header::value(self.commit, expire_at), value)
    }

    /// Deletes `key`, which is above all keys before.
    pub fn delete(&mut self, key: &[u8]) -> Result<()> {
        self.write(key, Header::tombstone(self.commit), &[])
    }

    /// Takes `key`, which is above all keys before, away as if it had never been: nobody learns of a deletion.
    pub fn remove(&mut self, key: &[u8]) -> Result<()> {
        self.check.part(key, self.commit, None, 0)?;
        let Some(files) = &mut self.files else { return Ok(()) };
        let row_key = join(&[layout::CURRENT], &[key], 1 + key.len())?;
        files.ask(Ask::Removal(row_key)).inspect_err(|error| self.failed = Some(error.clone()))
    }

    /// Brings the rows into force; durable when it returns. If the disk fails in the course of it, no row is there until
    /// the store is opened again; then it may turn out that all of them are.
    pub fn finish(self) -> Result<Applied> {
        if let Some(failed) = self.failed {
            return Err(failed);
        }
        let Some(mut files) = self.files else { return Ok(Applied::Before) };
        files.ask(Ask::Finish)?;
        self.store.publish(self.commit, self.index);
        Ok(Applied::Now)
    }

    fn write(&mut self, key: &[u8], header: Header, value: &[&[u8]]) -> Result<()> {
        let len = value.iter().map(|part| part.len()).sum();
        self.check.part(key, header.commit, header.expire_at, len)?;
        let Some(files) = &mut self.files else { return Ok(()) };
        let row_key = join(&[layout::CURRENT], &[key], 1 + key.len())?;
        let ask = if header.is_garbage(self.floor) {
            Ask::Removal(row_key)
        } else if let Some(sealing) = &mut self.sealing {
            let row = sealing.row(&row_key, &header, value)?.into();
            Ask::Row(row_key, row)
        } else {
            let (bytes, header_len) = header.encode(State::Clear);
            Ask::Row(row_key, join(&bytes[..header_len], value, header_len + len)?)
        };
        files.ask(ask).inspect_err(|error| self.failed = Some(error.clone()))
    }
}

/// Bytes joined in memory of the tree's, without another copy in between.
fn join(first: &[u8], rest: &[&[u8]], len: usize) -> Result<Slice> {
    Slice::from_reader(&mut Parts { now: first, rest: rest.iter() }, len)
        .map_err(|error| Error::io("joining the parts of a row", error))
}

struct Parts<'a> {
    now: &'a [u8],
    rest: std::slice::Iter<'a, &'a [u8]>,
}

impl Read for Parts<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.now.is_empty() {
            match self.rest.next() {
                Some(next) => self.now = next,
                None => return Ok(0),
            }
        }
        let (head, tail) = self.now.split_at(self.now.len().min(out.len()));
        out[..head.len()].copy_from_slice(head);
        self.now = tail;
        Ok(head.len())
    }
}

impl LsmStore {
    /// Begins a run of sorted rows that are all committed at `commit`; see [`RunWriter`]. Only where superseded versions
    /// are not kept. `commit` and `source` mean what they mean for a transaction.
    pub fn begin_run(&self, commit: Timestamp, source: Source) -> Result<RunWriter<'_>> {
        let index = input::log_index(source)?;
        let check = RunCheck::new(commit)?;
        let writer = self.writer.lock();
        if self.retention != Retention::Newest {
            return Err(Error::NotSupported("bringing in a run where superseded versions are kept"));
        }
        let files = match self.check_order(commit, index)? {
            Applied::Before => None,
            Applied::Now => Some(self.begin_files(commit, index)?),
        };
        let floor = self.floor();
        let sealing = Sealing::of(&self.seal);
        Ok(RunWriter { store: self, _writer: writer, files, check, commit, index, floor, sealing, failed: None })
    }

    fn begin_files(&self, commit: Timestamp, index: Option<u64>) -> Result<Files> {
        // Rows of the run may be older than a deletion that came before it and must not be hidden by it.
        while !self.shared.read().deletes.is_empty() {
            self.sweep_some(usize::MAX)?;
        }
        let rows = self.shared.read().rows.clone();
        let mut files = Files::begin(rows)?;
        files.ask(Ask::Row(STATE_KEY.into(), self.stamp(commit, index)[..].into()))?;
        Ok(files)
    }

    pub(super) fn ingest_run(
        &self,
        run: &mut dyn Iterator<Item = RunRow>,
        commit: Timestamp,
        source: Source,
    ) -> Result<Applied> {
        let mut writer = self.begin_run(commit, source)?;
        if writer.is_needed() {
            for row in run {
                let (header, value) = match &row.value {
                    Some(value) => (Header::value(row.commit, row.expire_at), &value[..]),
                    None if row.expire_at.is_some() => return Err(Error::NotSupported("a deadline on a deletion")),
                    None => (Header::tombstone(row.commit), &[][..]),
                };
                writer.write(&row.key, header, &[value])?;
            }
        }
        writer.finish()
    }
}
