//! The few rows that say what state a store is in: the only ones that opening it reads.

use std::fs::File;

use envelope::RegistryId;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Slice};

use super::Options;
use super::seal::{self, Seal};
use crate::deletes::Pending;
use crate::error::{Error, Result};
use crate::layout::{self, DELETES_PREFIX, ENCRYPTION_KEY, Fields, RETENTION_KEY, STATE_KEY, WATERMARK_KEY};
use crate::limits::MAX_ROW_KEY_BYTES;
use crate::pins::Watermark;
use crate::store::Retention;
use crate::timestamp::Timestamp;

/// What the name of every tree of rows begins with; its generation follows.
pub(super) const ROWS_PREFIX: &str = "rows-";
const GENERATIONS: &str = "generations";
const CURRENT_KEY: &[u8] = b"current";

/// The state of a store as its rows tell it.
#[derive(Default)]
pub(super) struct Books {
    pub(super) last_commit: Timestamp,
    pub(super) applied_index: u64,
    pub(super) watermark: Watermark,
    /// Where the compaction under way goes on.
    pub(super) cursor: Vec<u8>,
    pub(super) deletes: Vec<Pending>,
}

/// What a store says about sealed values in it; one without any says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Encryption {
    /// All values are sealed; otherwise some may be in clear.
    pub(super) is_complete: bool,
    /// Where the data keys are.
    pub(super) registry: RegistryId,
}

fn name(generation: u64) -> String {
    format!("{ROWS_PREFIX}{generation}")
}

/// Which generation of rows is in force, and the tree that knows it.
pub(super) fn current_generation(db: &Database) -> Result<(Keyspace, u64)> {
    let generations = db
        .keyspace(GENERATIONS, KeyspaceCreateOptions::default)
        .map_err(|error| Error::tree("opening the generations", error))?;
    let stored = generations.get(CURRENT_KEY).map_err(|error| Error::tree("reading the generation", error))?;
    let generation = match stored {
        None => 0,
        Some(row) => {
            let mut fields = Fields::new("the generation", &row);
            let generation = fields.u64()?;
            fields.done()?;
            generation
        }
    };
    Ok((generations, generation))
}

/// Puts a generation in force: durable and atomic, and without leaving anything in the journal, which an idle tree
/// would keep from being given up.
pub(super) fn set_generation(generations: &Keyspace, generation: u64) -> Result<()> {
    let write = || {
        let mut ingestion = generations.start_ingestion()?;
        ingestion.write(CURRENT_KEY, generation.to_be_bytes())?;
        ingestion.finish()
    };
    write().map_err(|error| Error::tree("switching generations", error))
}

pub(super) fn open_rows(db: &Database, generation: u64, options: &Options) -> Result<Keyspace> {
    let fail = |error| Error::tree("opening the rows", error);
    let rows = db.keyspace(&name(generation), || options.rows()).map_err(fail)?;
    sync_names(&rows)?;
    Ok(rows)
}

/// Makes the names of all trees durable. The library syncs the directory that it makes for a tree, but not the one that
/// the new directory is named in: without this, a crash of the machine may leave no trace of rows that were synced.
fn sync_names(rows: &Keyspace) -> Result<()> {
    let Some(names) = rows.path().parent() else { return Ok(()) };
    let synced = File::open(names).and_then(|names| names.sync_all());
    synced.map_err(|error| Error::io("syncing the directory of the trees", error))
}

/// Drops rows that a restore left behind: of before it, or of one that did not come to its end.
pub(super) fn drop_other_generations(db: &Database, generation: u64) -> Result<()> {
    let kept = name(generation);
    for other in db.list_keyspace_names() {
        if other.starts_with(ROWS_PREFIX) && *other != *kept {
            db.keyspace(&other, KeyspaceCreateOptions::default)
                .and_then(|rows| db.delete_keyspace(rows))
                .map_err(|error| Error::tree("dropping old rows", error))?;
        }
    }
    Ok(())
}

/// Reads the books; settles a change of retention, and whether values are sealed.
pub(super) fn load(rows: &Keyspace, retention: Retention, db: &Database, seal: &Seal) -> Result<Books> {
    let read = |key: &[u8]| rows.get(key).map_err(|error| Error::tree("reading the books", error));
    let mut books = Books::default();
    if let Some(row) = read(STATE_KEY)? {
        let mut fields = Fields::new("the state row", &row);
        books.last_commit = Timestamp(fields.u64()?);
        books.applied_index = fields.u64()?;
        fields.done()?;
    }
    if let Some(row) = read(WATERMARK_KEY)? {
        (books.watermark, books.cursor) = parse_watermark(&row)?;
    }
    for guard in rows.prefix(DELETES_PREFIX) {
        let (key, row) = guard.into_inner().map_err(|error| Error::tree("reading the books", error))?;
        let mut fields = Fields::new("a prefix deletion", &key[DELETES_PREFIX.len()..]);
        let commit = Timestamp(fields.u64()?);
        fields.done()?;
        books.deletes.push(Pending::decode(commit, &row)?);
    }
    let stored = read(RETENTION_KEY)?;
    let stored = stored.map(|row| parse_retention(&row)).transpose()?;
    let sealed = read(ENCRYPTION_KEY)?.map(|row| parse_encryption(&row)).transpose()?;
    let settled = seal.settle(sealed, stored.is_none())?;
    if let Some(settled) = settled.filter(|_| settled != sealed) {
        seal::note(db, rows, settled)?;
    }
    if stored != Some(retention) {
        if stored == Some(Retention::Newest) {
            let committed = books.watermark.committed.max(books.last_commit);
            let pending = books.watermark.pending.filter(|&pending| pending > committed);
            books.watermark = Watermark { committed, pending };
        }
        let mut batch = db.batch().durability(Some(PersistMode::SyncAll));
        batch.insert(rows, RETENTION_KEY, [retention.byte()]);
        batch.insert(rows, WATERMARK_KEY, watermark_row(books.watermark, &books.cursor));
        batch.commit().map_err(|error| Error::tree("storing the retention", error))?;
    }
    Ok(books)
}

fn parse_retention(row: &Slice) -> Result<Retention> {
    let mut fields = Fields::new("the retention row", row);
    let byte = fields.u8()?;
    fields.done()?;
    Retention::from_byte(byte).ok_or_else(|| Error::corrupt("the retention row", format!("{byte} is not known")))
}

pub(super) fn encryption_row(encryption: Encryption) -> [u8; 17] {
    let mut row = [1 + u8::from(encryption.is_complete); 17];
    row[1..].copy_from_slice(&encryption.registry.0);
    row
}

fn parse_encryption(row: &[u8]) -> Result<Encryption> {
    match *row {
        [state @ (1 | 2), ref id @ ..] if id.len() == 16 => {
            let registry = RegistryId(id.try_into().expect("its length was looked at"));
            Ok(Encryption { is_complete: state == 2, registry })
        }
        _ => Err(Error::corrupt("the encryption row", "it is not known to this program")),
    }
}

pub(super) fn state_row(last_commit: Timestamp, applied_index: u64) -> [u8; 16] {
    let mut row = [0; 16];
    row[..8].copy_from_slice(&last_commit.0.to_be_bytes());
    row[8..].copy_from_slice(&applied_index.to_be_bytes());
    row
}

pub(super) fn watermark_row(watermark: Watermark, cursor: &[u8]) -> Vec<u8> {
    let mut row = Vec::with_capacity(16 + cursor.len());
    row.extend_from_slice(&watermark.committed.0.to_be_bytes());
    row.extend_from_slice(&watermark.pending.unwrap_or_default().0.to_be_bytes());
    row.extend_from_slice(cursor);
    row
}

fn parse_watermark(row: &[u8]) -> Result<(Watermark, Vec<u8>)> {
    let mut fields = Fields::new("the watermark row", row);
    let committed = Timestamp(fields.u64()?);
    let pending = Timestamp(fields.u64()?);
    let cursor = fields.rest();
    if cursor.len() > MAX_ROW_KEY_BYTES {
        return Err(Error::corrupt("the watermark row", "its cursor is too long"));
    }
    let pending = (pending > committed).then_some(pending);
    Ok((Watermark { committed, pending }, cursor.to_vec()))
}

/// All bookkeeping rows, in the order of their keys.
pub(super) fn all_rows(books: &Books, retention: Retention, encryption: Option<Encryption>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut rows: Vec<_> =
        books.deletes.iter().map(|delete| (layout::delete_key(delete.commit), delete.row())).collect();
    rows.extend(encryption.map(|encryption| (ENCRYPTION_KEY.to_vec(), encryption_row(encryption).to_vec())));
    rows.push((RETENTION_KEY.to_vec(), vec![retention.byte()]));
    rows.push((STATE_KEY.to_vec(), state_row(books.last_commit, books.applied_index).to_vec()));
    rows.push((WATERMARK_KEY.to_vec(), watermark_row(books.watermark, &books.cursor)));
    debug_assert!(rows.is_sorted(), "they are ingested in this order");
    rows
}
