//! A name's turn: what a checkpoint takes of the keys with one ordering hash.

use super::CheckpointReport;
use super::batch::Batch;
use super::rows::{encode_large, encode_row, is_large};
use crate::changes::{Hold, Image};
use crate::engine::Shared;
use crate::shard::{Db, ShardId};
use crate::value::{Epoch, Stamp};

/// A name to be taken. They are taken in the order of rows: slot, database, hash.
pub(super) struct Item {
    pub(super) db: u8,
    pub(super) order: u64,
    /// The key, if it had rows and went.
    pub(super) removed: Option<Box<[u8]>>,
}

impl Item {
    pub(super) fn slot(&self) -> u64 {
        self.order >> 58
    }
}

/// Taking the keys with one ordering hash in one database.
pub(super) struct Turn<'t> {
    pub(super) shared: &'t Shared,
    /// The one that the checkpoint takes.
    pub(super) epoch: Epoch,
    pub(super) at: (ShardId, u64, u8),
    pub(super) batch: &'t mut Batch,
    pub(super) large: &'t mut Vec<Hold>,
    pub(super) report: &'t mut CheckpointReport,
    /// Whether it must be known which keys there are: some may have gone.
    pub(super) notes: bool,
    pub(super) present: Vec<Box<[u8]>>,
}

impl Turn<'_> {
    /// Takes what of the tables is as it was at the flip, or has an image.
    pub(super) fn take(&mut self, tables: &mut Db) -> mvcc::Result<()> {
        for image in tables.changes.take_images(self.at.1) {
            match image {
                Image::Row { key, row } => self.add(&key, |out| out.extend_from_slice(&row))?,
                Image::Held(held) => self.add_large(&held.key, held.deadline, held.hold)?,
            }
        }
        for key in self.take_small(tables)? {
            self.take_other(tables, key)?;
        }
        Ok(())
    }

    /// Takes small values that are as they were at the flip, and answers the keys of the others that are.
    fn take_small(&mut self, tables: &Db) -> mvcc::Result<Vec<Box<[u8]>>> {
        let order = self.at.1;
        let (mut others, mut added): (Vec<Box<[u8]>>, _) = (Vec::new(), Ok(()));
        tables.table.find(order, |entry| {
            if !entry.stamp().is_of(self.epoch) || self.shared.order_of(entry.key()) != order || added.is_err() {
                return false;
            }
            if tables.holds_as_cache(order, entry) {
                entry.set_stamp(Stamp::default());
            } else if is_large(entry) || !entry.is_without_rows() {
                others.push(entry.key().into());
            } else {
                entry.set_stamp(Stamp::AT_REST);
                added = self.add(entry.key(), |out| encode_row(entry, out));
            }
            // There may be more.
            false
        });
        added.map(|()| others)
    }

    /// Takes a value that is large, or was.
    fn take_other(&mut self, tables: &mut Db, key: Box<[u8]>) -> mvcc::Result<()> {
        let Some(entry) = tables.table.find_mut(self.at.1, |entry| entry.key() == &key[..]) else { return Ok(()) };
        entry.set_stamp(Stamp::AT_REST);
        if is_large(entry) {
            let hold = self.shared.held.hold(entry, (self.at.2, key.clone()));
            return self.add_large(&key, entry.deadline(), hold);
        }
        self.shared.held.make_small(entry);
        self.add(&key, |out| encode_row(entry, out))
    }

    fn add_large(&mut self, key: &[u8], deadline: Option<i64>, hold: Hold) -> mvcc::Result<()> {
        self.large.push(hold);
        self.add(key, |out| encode_large(deadline, hold, out))
    }

    fn add(&mut self, key: &[u8], write: impl FnOnce(&mut Vec<u8>)) -> mvcc::Result<()> {
        self.report.keys += 1;
        if self.notes {
            self.present.push(key.into());
        }
        self.batch.add(self.at, key, Some(write))
    }

    /// Takes the rows of keys away that went, and were not there at the flip.
    pub(super) fn take_removed(&mut self, items: &[Item]) -> mvcc::Result<()> {
        for key in items.iter().filter_map(|item| item.removed.as_ref()) {
            // The same key may have gone twice.
            if !self.present.contains(key) {
                self.batch.add(self.at, key, None::<fn(&mut Vec<u8>)>)?;
                self.report.removed += 1;
                self.present.push(key.clone());
            }
        }
        Ok(())
    }
}
