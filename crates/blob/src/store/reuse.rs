//! Files that are written again: the file of a segment that went becomes a new segment's.
//!
//! Only where nothing is synced. There a crash that keeps what was written keeps it all, in the order in which it
//! happened, and any other empties the store; so no old name can come back with new bytes under it, or the other way
//! round.
//!
//! ```text
//!   7.seg  ── nothing in it is needed, nobody holds it ──>  7.free  ── segment 12 is begun ──>  12.seg
//!                                                             │                    written over from the start,
//!                                                             └── removed by closing and opening      cut when sealed
//! ```
//!
//! What lies behind the records of the new segment is the old one's: never a record, because each names its segment.

use super::Inner;
use crate::disk::DiskFile;
use crate::error::{Error, Result};
use crate::format::footer::{TAIL_BYTES, Tail};
use crate::format::segment::{file_name, spare_name};
use crate::limits::MAX_SPARES;
use crate::segment::{Listing, Segment};
use crate::sync::Arc;
use crate::sync::atomic::Ordering;
use std::io::ErrorKind;

impl Inner {
    /// Whether another segment could use the file of this one, if nobody reads it.
    pub(super) fn may_spare(&self, segment: &Segment) -> bool {
        let fits = segment.disk_bytes() <= self.reserve_bytes() && segment.disk_bytes() > self.reserve_bytes() / 2;
        // A file that failed a write has no footer, and is not written again.
        let sealed = matches!(segment.listing(), Listing::Footer(_));
        !self.opts.syncs() && fits && sealed && self.spares.len() < MAX_SPARES && !self.closed.load(Ordering::Acquire)
    }

    /// Makes the file of a segment that is out of the table a spare one.
    pub(super) fn spare_file(&self, segment: &Arc<Segment>) -> Result<()> {
        let name = file_name(segment.id);
        if let Err(e) = self.disk.rename(&name, &spare_name(segment.id)) {
            let error = Error::io(format!("renaming {name}"), e);
            self.segments.insert(Arc::clone(segment));
            self.degrade(&error);
            return Err(error);
        }
        self.spares.push(segment.to_spare());
        Ok(())
    }

    /// Makes spare files one file of this name: the first becomes it, the others go.
    pub(super) fn reuse_files(&self, spares: &[u32], name: &str) -> Result<Arc<dyn DiskFile>> {
        let (first, others) = spares.split_first().expect("called with some");
        let take = || {
            self.disk.rename(&spare_name(*first), name)?;
            self.disk.open(name)
        };
        let file = take().map_err(|e| Error::io(format!("writing {name} anew"), e))?;
        self.remove_spare_files(others)?;
        self.counters.files_reused.fetch_add(1, Ordering::Relaxed);
        Ok(file)
    }

    /// Cuts off what the file of a sealed segment had before.
    pub(super) fn cut_reused(&self, file: &dyn DiskFile, tail: &Tail) -> Result<()> {
        let end = tail.directory().end + TAIL_BYTES as u64;
        let cut = || if file.len()? > end { file.set_len(end) } else { Ok(()) };
        cut().map_err(|e| Error::io(format!("cutting {}", file_name(tail.segment)), e))
    }

    /// Removes spare files, which may be gone already.
    pub(super) fn remove_spare_files(&self, ids: &[u32]) -> Result<()> {
        for name in ids.iter().map(|&id| spare_name(id)) {
            match self.disk.remove(&name) {
                Err(e) if e.kind() != ErrorKind::NotFound => return Err(Error::io(format!("removing {name}"), e)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Removes all that nobody has taken, and gives their bytes back.
    pub(super) fn remove_spares(&self) -> Result<()> {
        self.spares.take_all().iter().try_for_each(|spare| self.remove_spare_files(&spare.files))
    }
}
