//! Images: written from a snapshot of the tree, restored into a generation of rows of its own that is put in force at
//! the end.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use fjall::{Keyspace, Readable};

use super::LsmStore;
use super::apart::FileMap;
use super::books::{self, Books};
use super::dead::{DeadRows, is_dead_row};
use super::ingest::Files;
use super::seal::{Seal, Sealing};
use super::view::{View, decode};
use crate::deletes::Pending;
use crate::error::{Error, Result};
use crate::header::Header;
use crate::layout::{self, Fields, STATE_KEY};
use crate::pins::Watermark;
use crate::snapshot::{Head, Reader, Writer};
use crate::store::Snapshot;
use crate::timestamp::Timestamp;

/// A snapshot of the tree and what the books said at its moment. While it lives, the tree keeps what it shows.
pub(super) struct Image {
    rows: Keyspace,
    snapshot: fjall::Snapshot,
    /// Where large values are that its rows refer to.
    values: Arc<FileMap>,
    head: Head,
    /// What was dead at its moment.
    dead: Option<Arc<dyn DeadRows>>,
    seal: Arc<Seal>,
    /// Says that a reader is there.
    _reader: Arc<()>,
}

impl Image {
    pub(super) fn of(store: &LsmStore) -> Result<Self> {
        // A prefix deletion is in the tree an instant before readers are told of it; not while no one writes.
        let _writer = store.writer.lock();
        let view = View::snapshot(store);
        let state = view.read(STATE_KEY)?;
        let (mut last_commit, mut applied_index) = (Timestamp::ZERO, 0);
        if let Some(row) = &state {
            let mut fields = Fields::new("the state row", row);
            (last_commit, applied_index) = (Timestamp(fields.u64()?), fields.u64()?);
        }
        let deletes: Vec<Pending> = view.deletes.to_vec();
        let (rows, snapshot, values, reader) = view.into_parts();
        let snapshot = snapshot.ok_or(Error::NotSupported("an image of a view that changes"))?;
        // Asked after the rows were fixed: what was collected from them is below it.
        let watermark = store.floor();
        let head = Head { retention: store.retention, last_commit, watermark, applied_index, deletes };
        let (dead, seal) = (store.options.dead.as_ref().map(|dead| dead.as_it_is()), Arc::clone(&store.seal));
        Ok(Self { rows, snapshot, values, head, dead, seal, _reader: reader })
    }
}

impl Snapshot for Image {
    fn last_commit(&self) -> Timestamp {
        self.head.last_commit
    }

    fn write_to(&mut self, out: &mut dyn Write) -> Result<u64> {
        let mut writer = Writer::begin(out, &self.head)?;
        for guard in self.snapshot.range(&self.rows, [layout::CURRENT]..[layout::END]) {
            let (key, found) = decode(guard, &self.seal)?;
            // Who reads the image need not know what was dead here, and files of values keep nothing for what is garbage.
            if !found.header.is_garbage(self.head.watermark)
                && !is_dead_row(self.dead.as_deref(), &key, found.header.commit)
            {
                // Nor the keys: an image is in clear, and whoever stores it seals it.
                writer.row(&key, &found.header.row(&found.value_from(&[&key], &self.values, &self.seal)?))?;
            }
        }
        writer.finish()
    }
}

impl LsmStore {
    pub(super) fn restore_image(&self, from: &mut dyn Read) -> Result<()> {
        let mut reader = Reader::open(from)?;
        if reader.head().retention != self.retention {
            return Err(Error::NotSupported("restoring the image of a store with another retention"));
        }
        let mut writer = self.writer.lock();
        books::drop_other_generations(&self.db, writer.generation)?;
        let generation = writer.generation + 1;
        let rows = books::open_rows(&self.db, generation, &self.options)?;
        let (books, values) = match fill(&rows, &mut reader, self) {
            Ok(filled) => filled,
            Err(error) => {
                // Whatever this says, the reason is the first error; an open drops the rows as well.
                let _ = self.db.delete_keyspace(rows);
                return Err(error);
            }
        };
        books::set_generation(&self.generations, generation)?;
        let old = {
            let mut shared = self.shared.write();
            self.floor.store(books.watermark.effective().0, Ordering::Release);
            self.pins.set(books.watermark);
            shared.deletes = Arc::new(books.deletes);
            std::mem::replace(&mut shared.values, Arc::new(values)).give_up();
            std::mem::replace(&mut shared.rows, rows)
        };
        writer.generation = generation;
        writer.cursor.clear();
        self.applied_index.store(books.applied_index, Ordering::Release);
        self.last_commit.store(books.last_commit.0, Ordering::Release);
        self.db.delete_keyspace(old).map_err(|error| Error::tree("dropping old rows", error))
    }
}

/// Reads the whole image into an empty tree. The tree has either all of it or nothing.
fn fill(rows: &Keyspace, reader: &mut Reader<'_>, store: &LsmStore) -> Result<(Books, FileMap)> {
    let mut next = reader.row()?;
    let head = reader.head().clone();
    let books = Books {
        last_commit: head.last_commit,
        applied_index: head.applied_index,
        watermark: Watermark { committed: head.watermark, pending: None },
        cursor: Vec::new(),
        deletes: head.deletes,
    };
    let mut files = Files::of(store, rows.clone())?;
    for (key, row) in books::all_rows(&books, store.retention, store.seal.complete()) {
        files.row(key.into(), row.into())?;
    }
    let mut sealing = Sealing::of(&store.seal);
    while let Some((key, row)) = next {
        let (header, from) = Header::decode(&row)?;
        match key.first() {
            Some(&layout::CURRENT) => files.put(key.into(), &header, &[&row[from..]], sealing.as_mut())?,
            _ => match &mut sealing {
                None => files.row(key.into(), row.into())?,
                Some(sealing) => {
                    let row = sealing.row(&key, &header, &[&row[from..]])?.into();
                    files.row(key.into(), row)?;
                }
            },
        }
        next = reader.row()?;
    }
    Ok((books, files.finish_aside()?))
}
