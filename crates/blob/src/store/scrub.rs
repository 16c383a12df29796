//! Reading what is at rest before somebody needs it.

use super::read::Again;
use super::{Inner, Store};
use crate::error::{Class, Error, Result};
use crate::index::State;
use crate::sync::atomic::Ordering;

/// What a scrub did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScrubReport {
    /// Live records read and verified.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Keys whose records are damaged. A cache has dropped them; a durable store answers `Corrupt` for them.
    pub corrupt: Vec<Vec<u8>>,
    /// Whether it came to the end of the store. The next scrub then begins anew.
    pub complete: bool,
}

impl Store {
    /// Verifies live records on disk, from where the last scrub ended, until about `bytes` are read.
    ///
    /// # Errors
    /// I/O errors other than damage, which is what it looks for.
    pub fn scrub(&self, bytes: u64) -> Result<ScrubReport> {
        self.inner.check_open()?;
        self.inner.scrub(bytes)
    }
}

impl Inner {
    pub(super) fn scrub(&self, bytes: u64) -> Result<ScrubReport> {
        let mut report = ScrubReport::default();
        let from = self.counters.scrub_position.load(Ordering::Relaxed);
        let (segment, offset) = ((from >> 32) as u32, (from & u64::from(u32::MAX)) * 8);
        for part in self.segments.all() {
            if part.id < segment || part.is_open() {
                continue;
            }
            let (contents, _ram) = self.contents_of(&part)?;
            for item in contents.items() {
                let loc = item.loc(part.id);
                let skip = part.id == segment && loc.offset() < offset;
                if skip || self.index.peek(item.hash) != Some((loc, State::Live)) {
                    continue;
                }
                match self.read_record(loc, Again::Hardly) {
                    Ok(_) => {}
                    Err(error) if error.class() == Class::Corrupt => {
                        if self.note_corrupt(item.hash, loc) {
                            report.corrupt.push(contents.key(item).to_vec());
                        }
                    }
                    // Cleaned away under us, or no RAM to spare: not what scrubbing is about.
                    Err(Error::Busy(_)) => return Ok(report),
                    Err(_) if self.index.peek(item.hash).map(|(now, _)| now) != Some(loc) => {}
                    Err(error) => return Err(error),
                }
                report.records += 1;
                report.bytes += u64::from(loc.len);
                self.counters.scrubbed_bytes.fetch_add(u64::from(loc.len), Ordering::Relaxed);
                if report.bytes >= bytes {
                    let next = u64::from(loc.segment) << 32 | u64::from(loc.offset8 + 1);
                    self.counters.scrub_position.store(next, Ordering::Relaxed);
                    return Ok(report);
                }
            }
        }
        self.counters.scrub_position.store(0, Ordering::Relaxed);
        report.complete = true;
        Ok(report)
    }
}
