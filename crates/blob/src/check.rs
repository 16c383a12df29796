//! Checking a store that is not open: every byte of every segment, without changing anything.

use crate::disk::{Disk, DiskFile, RealDisk};
use crate::error::{Error, Result};
use crate::format::crc32c;
use crate::format::footer::{self, TAIL_BYTES, Tail};
use crate::format::record::{self, Header, Place};
use crate::format::segment::{HEADER_BYTES, file_name, is_valid, parse_file_name};
use crate::format::superblock::{LOCK_FILE, STORE_FILE, Superblock};
use crate::hash::{KeyHash, xxh3};
use crate::store::{read_full, read_key_pages, scan};
use std::ops::Range;
use std::path::Path;

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub file: String,
    /// Where in it, in bytes.
    pub offset: u64,
    /// What is wrong.
    pub what: String,
}

/// What checking found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Whether the store is durable (or a cache).
    pub durable: bool,
    /// Segments.
    pub segments: u64,
    /// Segments without a footer: normal after a crash, opening the store seals them.
    pub unsealed: u64,
    /// Valid records, dead ones and tombstones included.
    pub records: u64,
    /// Bytes of all segments.
    pub bytes: u64,
    /// What is wrong; empty for a sound store.
    pub problems: Vec<Problem>,
}

/// Checks the store in a directory.
///
/// # Errors
/// `Locked` if it is open, `NotThisStore` if there is none, I/O errors. Damage is not an error but a finding.
pub fn check(path: impl AsRef<Path>) -> Result<CheckReport> {
    let disk = RealDisk::existing(path.as_ref()).map_err(|e| Error::io("opening the directory", e))?;
    check_on(&disk)
}

/// Checks the store on any disk.
///
/// # Errors
/// As [`check`].
pub fn check_on(disk: &dyn Disk) -> Result<CheckReport> {
    let io = |e| Error::io("reading the store", e);
    let names = disk.list().map_err(io)?;
    if !names.iter().any(|name| name == STORE_FILE) {
        return Err(Error::NotThisStore("there is no STORE file".into()));
    }
    let _lock = disk.lock(LOCK_FILE).map_err(io)?.ok_or(Error::Locked)?;
    let file = disk.open(STORE_FILE).map_err(io)?;
    let mut bytes = vec![0; usize::try_from(file.len().map_err(io)?.min(4096)).unwrap_or(0)];
    read_full(&*file, &mut bytes, 0).map_err(io)?;
    let superblock =
        Superblock::decode(&bytes).ok_or_else(|| Error::NotThisStore("the STORE file is damaged".into()))?;
    let mut report = CheckReport { durable: superblock.durable, ..CheckReport::default() };
    let mut ids: Vec<u32> = names.iter().filter_map(|name| parse_file_name(name)).collect();
    ids.sort_unstable();
    for id in ids {
        let file = disk.open(&file_name(id)).map_err(io)?;
        let len = file.len().map_err(io)?;
        report.segments += 1;
        report.bytes += len;
        Segment { id, file: &*file, len, store: superblock, report: &mut report }.check()?;
    }
    Ok(report)
}

struct Segment<'a> {
    id: u32,
    file: &'a dyn DiskFile,
    len: u64,
    store: Superblock,
    report: &'a mut CheckReport,
}

impl Segment<'_> {
    fn problem(&mut self, offset: u64, what: impl Into<String>) {
        self.report.problems.push(Problem { file: file_name(self.id), offset, what: what.into() });
    }

    fn read(&self, range: Range<u64>) -> Result<Option<Vec<u8>>> {
        if range.end > self.len || range.start > range.end {
            return Ok(None);
        }
        let mut bytes = vec![0; usize::try_from(range.end - range.start).unwrap_or(0)];
        read_full(self.file, &mut bytes, range.start).map_err(|e| Error::io(file_name(self.id), e))?;
        Ok(Some(bytes))
    }

    fn hash(&self, key: &[u8]) -> KeyHash {
        KeyHash::new(xxh3(self.store.seed, key))
    }

    fn check(&mut self) -> Result<()> {
        let header = self.read(0..HEADER_BYTES.min(self.len))?.unwrap_or_default();
        if !is_valid(&header, self.id, self.store.store) {
            self.problem(0, "the segment's header is damaged");
        }
        let tail = self.read(self.len.saturating_sub(TAIL_BYTES as u64)..self.len)?.unwrap_or_default();
        match Tail::decode(&tail, self.id, self.store.store, self.len) {
            Some(tail) => self.check_sealed(&tail),
            None => self.check_unsealed(),
        }
    }

    /// Without a footer the valid records are all that is known.
    fn check_unsealed(&mut self) -> Result<()> {
        self.report.unsealed += 1;
        let found = scan(self.file, self.id, self.store.store, self.len, |key| self.hash(key))?;
        self.report.records += found.contents.items().len() as u64;
        if found.skipped > 0 {
            self.problem(HEADER_BYTES, format!("{} bytes between records are no records", found.skipped));
        }
        Ok(())
    }

    fn check_sealed(&mut self, tail: &Tail) -> Result<()> {
        let entries = self.read(tail.entries())?.filter(|bytes| crc32c(bytes) == tail.entries_crc);
        let Some(entries) = entries else {
            self.problem(tail.start, "the footer's entries do not match their checksum");
            return self.check_unsealed();
        };
        for entry in footer::entries(&entries) {
            self.check_record(&entry)?;
        }
        match read_key_pages(self.file, self.id, tail, |key| self.hash(key)) {
            Ok(contents) => {
                let listed = contents.items().iter().map(|i| (i.hash, i.offset, i.len, i.tombstone));
                if !listed.eq(footer::entries(&entries).map(|e| (e.hash, e.offset, e.len, e.tombstone))) {
                    self.problem(tail.key_pages().start, "the footer's keys and entries disagree");
                }
            }
            Err(error) => self.problem(tail.key_pages().start, error.to_string()),
        }
        Ok(())
    }

    fn check_record(&mut self, entry: &footer::Entry) -> Result<()> {
        let place = Place { store: self.store.store, segment: self.id, offset: entry.offset };
        let bytes = self.read(entry.offset..entry.offset + u64::from(entry.len))?.unwrap_or_default();
        let same = |header: &Header| {
            header.tombstone == entry.tombstone
                && header.record_len() == entry.len as usize
                && self.hash(&bytes[header.key_range()]) == entry.hash
        };
        match record::decode(&bytes, place) {
            Ok(header) if same(&header) => self.report.records += 1,
            Ok(_) => self.problem(entry.offset, "the record is another than the footer says"),
            Err(bad) => self.problem(entry.offset, format!("the record is damaged ({bad:?})")),
        }
        Ok(())
    }
}
