//! Segments: what is known of each file, and the table of all of them.

use crate::budget::Permit;
use crate::disk::{Disk, DiskFile};
use crate::error::{Error, Result};
use crate::format::footer::{Contents, Tail};
use crate::format::segment::file_name;
use crate::index::Loc;
use crate::spare::Spare;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Arc, Mutex, RwLock, lock};
use std::collections::{BTreeMap, VecDeque};
use std::sync::PoisonError;

/// Where the list of a segment's records is.
#[derive(Clone)]
pub enum Listing {
    /// Not sealed: in RAM, growing while the segment is written.
    Ram(Arc<Mutex<Contents>>),
    /// Sealed: in the footer.
    Footer(Tail),
}

/// One segment. Dropping the last handle gives its disk bytes back, so a file that is unlinked while somebody
/// still reads it counts until then.
pub struct Segment {
    /// Its id: later segments have higher ones.
    pub id: u32,
    /// Bytes of live records.
    pub live: AtomicU64,
    /// Bytes of tombstones: dead weight at the tail, to be carried on anywhere else.
    pub tombstones: AtomicU64,
    /// Whether something was written since the last sync.
    pub unsynced: AtomicBool,
    /// Whether the file was created.
    pub created: AtomicBool,
    /// Whether it is certain that records were written to it.
    pub holds_records: AtomicBool,
    /// Whether it holds a damaged record that must not be thrown away.
    pub quarantined: AtomicBool,
    /// Whether records may still be added or the footer is still to be written.
    open: AtomicBool,
    listing: Mutex<Listing>,
    listing_ram: Mutex<Option<Permit>>,
    file: Mutex<Option<Arc<dyn DiskFile>>>,
    disk_bytes: Mutex<Permit>,
    /// The spare files that become its file, and what they held of the disk limit.
    spares: Vec<u32>,
    spare_bytes: u64,
}

impl Segment {
    /// A segment that holds what `disk` holds of the limit.
    pub fn new(id: u32, listing: Listing, open: bool, disk: Spare, ram: Option<Permit>) -> Self {
        Self {
            id,
            live: AtomicU64::new(0),
            tombstones: AtomicU64::new(0),
            unsynced: AtomicBool::new(false),
            created: AtomicBool::new(!open),
            holds_records: AtomicBool::new(!open),
            quarantined: AtomicBool::new(false),
            open: AtomicBool::new(open),
            listing: Mutex::new(listing),
            listing_ram: Mutex::new(ram),
            file: Mutex::new(None),
            spare_bytes: if disk.files.is_empty() { 0 } else { disk.bytes.bytes() },
            spares: disk.files,
            disk_bytes: Mutex::new(disk.bytes),
        }
    }

    /// Bytes of the disk limit it holds.
    pub fn disk_bytes(&self) -> u64 {
        lock(&self.disk_bytes).bytes()
    }

    /// Whether it may still change.
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// Gives back disk bytes that its file will not need, but for those that the file had when it became this one's.
    pub fn shrink_to(&self, bytes: u64) {
        lock(&self.disk_bytes).shrink_to(bytes.max(self.spare_bytes));
    }

    /// Gives back all its disk bytes: it has no file any more.
    pub fn file_is_gone(&self) {
        lock(&self.disk_bytes).shrink_to(0);
    }

    /// Ids of the spare files that become its file.
    pub fn spares(&self) -> &[u32] {
        &self.spares
    }

    /// Its file as one that another segment may take, with the disk bytes.
    pub fn to_spare(&self) -> Spare {
        Spare { files: vec![self.id], bytes: lock(&self.disk_bytes).take() }
    }

    /// Whether its file is open here and nowhere else.
    fn has_file_alone(&self) -> bool {
        lock(&self.file).as_mut().is_some_and(|file| Arc::get_mut(file).is_some())
    }

    /// Its records will not change any more, although there is no footer.
    pub fn close_without_footer(&self) {
        self.open.store(false, Ordering::Release);
    }

    /// The footer is on disk: the list leaves RAM, and disk bytes that the file does not need are given back.
    pub fn sealed(&self, tail: Tail, disk_bytes: u64) {
        *lock(&self.listing) = Listing::Footer(tail);
        *lock(&self.listing_ram) = None;
        lock(&self.disk_bytes).shrink_to(disk_bytes);
        self.open.store(false, Ordering::Release);
    }

    /// Where its records are listed.
    pub fn listing(&self) -> Listing {
        lock(&self.listing).clone()
    }

    /// Pays for a longer list; false if the RAM is not there.
    pub fn grow_listing(&self, bytes: u64) -> bool {
        lock(&self.listing_ram).as_mut().is_some_and(|ram| ram.try_grow(bytes))
    }

    /// The open file, if it is open.
    pub fn file_if_open(&self) -> Option<Arc<dyn DiskFile>> {
        lock(&self.file).clone()
    }

    /// Remembers the open file.
    pub fn set_file(&self, file: Option<Arc<dyn DiskFile>>) {
        *lock(&self.file) = file;
    }
}

/// All segments, by id, and which of their files are open.
pub struct Segments {
    table: RwLock<BTreeMap<u32, Arc<Segment>>>,
    open_files: Mutex<VecDeque<u32>>,
    max_open: usize,
}

impl Segments {
    /// An empty table that keeps `max_open` files open.
    pub fn new(max_open: usize) -> Self {
        Self { table: RwLock::default(), open_files: Mutex::default(), max_open }
    }

    fn read<T>(&self, f: impl FnOnce(&BTreeMap<u32, Arc<Segment>>) -> T) -> T {
        f(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, f: impl FnOnce(&mut BTreeMap<u32, Arc<Segment>>) -> T) -> T {
        f(&mut self.table.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// One of them.
    pub fn get(&self, id: u32) -> Option<Arc<Segment>> {
        self.read(|table| table.get(&id).cloned())
    }

    /// All, oldest first.
    pub fn all(&self) -> Vec<Arc<Segment>> {
        self.read(|table| table.values().cloned().collect())
    }

    /// The oldest: the tail of the log.
    pub fn tail(&self) -> Option<u32> {
        self.read(|table| table.keys().next().copied())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.read(BTreeMap::len)
    }

    /// Adds one.
    pub fn insert(&self, segment: Arc<Segment>) {
        self.write(|table| table.insert(segment.id, segment));
    }

    /// Takes one out if the caller is the only one beside the table that holds it and its open file, so that nobody can
    /// read the file any more. Says whether it did.
    pub fn remove_unshared(&self, segment: &Arc<Segment>) -> bool {
        let removed = self.write(|table| {
            // Others come to it through the table, which is locked.
            let alone = Arc::strong_count(segment) == 2 && segment.has_file_alone();
            alone && table.remove(&segment.id).is_some()
        });
        if removed {
            segment.set_file(None);
            lock(&self.open_files).retain(|&open| open != segment.id);
        }
        removed
    }

    /// Takes one out.
    pub fn remove(&self, id: u32) -> Option<Arc<Segment>> {
        let segment = self.write(|table| table.remove(&id))?;
        segment.set_file(None);
        lock(&self.open_files).retain(|&open| open != id);
        Some(segment)
    }

    /// Counts a record as live in its segment.
    pub fn add_live(&self, loc: Loc) {
        if let Some(segment) = self.get(loc.segment) {
            segment.live.fetch_add(loc.padded_len(), Ordering::Relaxed);
        }
    }

    /// Counts a record as dead in its segment.
    pub fn sub_live(&self, loc: Loc) {
        if let Some(segment) = self.get(loc.segment) {
            let before = segment.live.fetch_sub(loc.padded_len(), Ordering::Relaxed);
            debug_assert!(before >= loc.padded_len(), "a segment has fewer live bytes than its records");
        }
    }

    /// The segment's file, opened if it is not. Over the limit the file opened longest ago is let go; whoever is
    /// reading it keeps it open for himself.
    pub fn file(&self, segment: &Segment, disk: &dyn Disk) -> Result<Arc<dyn DiskFile>> {
        if let Some(file) = segment.file_if_open() {
            return Ok(file);
        }
        let name = file_name(segment.id);
        let file = disk.open(&name).map_err(|e| Error::io(format!("opening {name}"), e))?;
        self.opened(segment, &file);
        Ok(file)
    }

    /// Notes that the segment's file is open.
    pub fn opened(&self, segment: &Segment, file: &Arc<dyn DiskFile>) {
        segment.set_file(Some(Arc::clone(file)));
        let close = {
            let mut open = lock(&self.open_files);
            open.retain(|&id| id != segment.id);
            open.push_back(segment.id);
            (open.len() > self.max_open).then(|| open.pop_front()).flatten()
        };
        if let Some(segment) = close.and_then(|id| self.get(id)) {
            segment.set_file(None);
        }
    }

    /// Files that are open.
    pub fn open_files(&self) -> usize {
        lock(&self.open_files).len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Budget;

    #[test]
    fn a_file_that_was_anothers_keeps_the_bytes_that_it_came_with() {
        let budget = Budget::new(100);
        for (files, left) in [(Vec::new(), 30), (vec![7], 80)] {
            let disk = Spare { files, bytes: budget.try_take(80).expect("within the limit") };
            let listing = Listing::Ram(Arc::new(Mutex::new(Contents::default())));
            let segment = Segment::new(1, listing, true, disk, None);
            segment.shrink_to(30);
            assert_eq!((segment.disk_bytes(), budget.used()), (left, left));
            segment.file_is_gone();
            assert_eq!(budget.used(), 0);
        }
    }
}
