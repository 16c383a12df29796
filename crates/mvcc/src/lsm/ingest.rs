//! Sorted runs: files of the tree, and of values beside it, are written directly, without journal and memory, and come into force at once.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use fjall::{Keyspace, Slice};
use parking_lot::MutexGuard;
use self_cell::self_cell;

use super::apart::{FileMap, ValueFile, ValueWriter};
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
    /// Tables being written, and the tree that they will belong to.
    struct Tables {
        owner: Keyspace,
        #[not_covariant]
        dependent: Ingestion,
    }
);

impl Tables {
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

/// What a run writes: tables of the tree, and files of values beside it. Only for whoever holds the writers' lock.
pub(super) struct Files<'s> {
    store: &'s LsmStore,
    tables: Tables,
    values: ValueWriter,
}

impl<'s> Files<'s> {
    /// Files for the rows of `store`, of which none is in force.
    pub(super) fn begin(store: &'s LsmStore) -> Result<Self> {
        let rows = store.shared.read().rows.clone();
        Self::of(store, rows)
    }

    /// Files for the tree `rows`.
    pub(super) fn of(store: &'s LsmStore, rows: Keyspace) -> Result<Self> {
        Ok(Self { store, tables: Tables::begin(rows)?, values: ValueWriter::new(&store.value_files) })
    }

    /// Writes the row that says what state the store is in; it stands before those of versions.
    pub(super) fn state(&mut self, stamp: &[u8]) -> Result<()> {
        self.row(STATE_KEY.into(), stamp.into())
    }

    /// Writes a row as it is.
    pub(super) fn row(&mut self, row_key: Slice, row: Slice) -> Result<()> {
        self.tables.ask(Ask::Row(row_key, row))
    }

    fn remove(&mut self, row_key: Slice) -> Result<()> {
        self.tables.ask(Ask::Removal(row_key))
    }

    /// Writes the row of a version, and its value apart if it is large.
    pub(super) fn put(
        &mut self,
        row_key: Slice,
        header: &Header,
        value: &[&[u8]],
        sealing: Option<&mut Sealing>,
    ) -> Result<()> {
        let len: usize = value.iter().map(|part| part.len()).sum();
        let apart = !header.tombstone && len >= self.store.large_value_bytes.load(Ordering::Relaxed);
        match sealing {
            Some(sealing) => match sealing.parts(&row_key, header, value, apart)? {
                (head, sealed) if apart => self.put_apart(&row_key, head, &[sealed]),
                (head, sealed) => self.row(row_key, join(head, &[sealed], head.len() + sealed.len())?),
            },
            None => {
                let (head, head_len) = header.encode(State { sealed: false, apart });
                match apart {
                    true => self.put_apart(&row_key, &head[..head_len], value),
                    false => self.row(row_key, join(&head[..head_len], value, head_len + len)?),
                }
            }
        }
    }

    /// Writes a value, as it is to be kept, apart, and a row with the header `head` that refers to it.
    pub(super) fn put_apart(&mut self, row_key: &[u8], head: &[u8], value: &[&[u8]]) -> Result<()> {
        let reference = self.values.put(row_key, value)?.encode();
        let row = join(head, &[&reference], head.len() + reference.len())?;
        self.row(row_key.into(), row)
    }

    /// Brings all of it into force: durable when it returns, and for all readers at once.
    fn finish(self) -> Result<()> {
        self.finish_without(&[])
    }

    /// The same; in the same step the files of values `gone` are not in force any more.
    pub(super) fn finish_without(mut self, gone: &[Arc<ValueFile>]) -> Result<()> {
        let written = self.close(gone)?;
        {
            // Readers must have the files before they can see a row that refers to them.
            let mut shared = self.store.shared.write();
            shared.values = Arc::new(shared.values.with(&written));
        }
        self.tables.ask(Ask::Finish)
    }

    /// The same for a tree that is not the store's yet. Answers its files of values.
    pub(super) fn finish_aside(mut self) -> Result<FileMap> {
        let written = self.close(&[])?;
        self.tables.ask(Ask::Finish)?;
        Ok(FileMap::default().with(&written))
    }

    fn close(&mut self, gone: &[Arc<ValueFile>]) -> Result<Vec<Arc<ValueFile>>> {
        // Old files have smaller numbers.
        gone.iter().try_for_each(|file| self.remove(file.row_key().into()))?;
        let written = self.values.sync()?.to_vec();
        for file in &written {
            self.row(file.row_key().into(), file.row()[..].into())?;
        }
        self.values.keep();
        Ok(written)
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
    files: Option<Files<'s>>,
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
        files.remove(row_key).inspect_err(|error| self.failed = Some(error.clone()))
    }

    /// Brings the rows into force; durable when it returns. If the disk fails in the course of it, no row is there until
    /// the store is opened again; then it may turn out that all of them are.
    pub fn finish(self) -> Result<Applied> {
        if let Some(failed) = self.failed {
            return Err(failed);
        }
        let Some(files) = self.files else { return Ok(Applied::Before) };
        files.finish()?;
        self.store.publish(self.commit, self.index);
        Ok(Applied::Now)
    }

    fn write(&mut self, key: &[u8], header: Header, value: &[&[u8]]) -> Result<()> {
        let len = value.iter().map(|part| part.len()).sum();
        self.check.part(key, header.commit, header.expire_at, len)?;
        let Some(files) = &mut self.files else { return Ok(()) };
        let row_key = join(&[layout::CURRENT], &[key], 1 + key.len())?;
        let written = match header.is_garbage(self.floor) {
            true => files.remove(row_key),
            false => files.put(row_key, &header, value, self.sealing.as_mut()),
        };
        written.inspect_err(|error| self.failed = Some(error.clone()))
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

    fn begin_files(&self, commit: Timestamp, index: Option<u64>) -> Result<Files<'_>> {
        // Rows of the run may be older than a deletion that came before it and must not be hidden by it.
        while !self.shared.read().deletes.is_empty() {
            self.sweep_some(usize::MAX)?;
        }
        let mut files = Files::begin(self)?;
        files.state(&self.stamp(commit, index))?;
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
