//! The seam to the file system: one directory of flat files, as a trait with a real and a fake implementation.
//!
//! What the store relies on, and nothing more: a write is visible to later reads at once; it is durable after
//! `sync` of its file; a created, renamed or removed name is durable after `sync_dir`. Until then a power cut may
//! keep, drop or tear any of it, in any order.

mod direct;
mod fake;
mod real;

pub use fake::{Crash, FakeDisk, Fault};
pub use real::RealDisk;

use crate::budget::Permit;
use crate::sync::Arc;
use std::io::{IoSlice, Result};

/// One directory.
pub trait Disk: Send + Sync {
    /// Creates an empty file; fails if the name exists.
    fn create(&self, name: &str) -> Result<Arc<dyn DiskFile>>;
    /// Opens an existing file.
    fn open(&self, name: &str) -> Result<Arc<dyn DiskFile>>;
    /// Removes a file. Handles that are open stay readable.
    fn remove(&self, name: &str) -> Result<()>;
    /// Renames a file over another or over nothing, atomically.
    fn rename(&self, from: &str, to: &str) -> Result<()>;
    /// Names of all files.
    fn list(&self) -> Result<Vec<String>>;
    /// Makes creates, renames and removes so far durable.
    fn sync_dir(&self) -> Result<()>;
    /// Takes the directory's lock until the guard is dropped; `None` if somebody else has it.
    fn lock(&self, name: &str) -> Result<Option<Box<dyn Send + Sync>>>;
    /// Names the current boot of the machine: whatever was written under it is still there, synced or not.
    fn boot_id(&self) -> u128;
    /// Makes several files durable. The order is open.
    fn sync_files(&self, files: &[Arc<dyn DiskFile>]) -> Result<()> {
        files.iter().try_for_each(|file| file.sync())
    }
    /// Says whether what is written next will probably be read before long; a hint that may do nothing.
    fn expect_reads(&self, _soon: bool) {}
    /// Lends the disk RAM for buffers of its own, for good. A disk that has no use for it gives it back at once.
    fn lend(&self, _ram: Permit) {}
}

/// One open file.
pub trait DiskFile: Send + Sync {
    /// Reads up to `buf.len()` bytes; less only at the end of the file or when interrupted.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize>;
    /// Appends the `len` bytes at `offset` to `out`, or fewer: as many as one read brings.
    fn read_append(&self, out: &mut Vec<u8>, len: usize, offset: u64) -> Result<usize> {
        let start = out.len();
        out.resize(start + len, 0);
        let read = self.read_at(&mut out[start..], offset);
        out.truncate(start + read.as_ref().map_or(0, |&n| n));
        read
    }
    /// Appends the `len` bytes at `offset` to `out` for somebody who will hardly read them again, so that there is no need
    /// to keep a copy anywhere else. False, and `out` unchanged, if another read serves him as well or better.
    fn read_once(&self, _out: &mut Vec<u8>, _len: usize, _offset: u64) -> bool {
        false
    }
    /// Writes some of the buffers, in order; returns how many bytes.
    fn write_at(&self, buffers: &[IoSlice<'_>], offset: u64) -> Result<usize>;
    /// Makes the file's bytes and length durable.
    fn sync(&self) -> Result<()>;
    /// Bytes of the file.
    fn len(&self) -> Result<u64>;
    /// Whether it has no bytes.
    fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Cuts or extends the file.
    fn set_len(&self, len: u64) -> Result<()>;
    /// Says that these bytes will be read next, so that they may be on their way already; a hint that may do nothing.
    fn expect_read(&self, _offset: u64, _len: u64) {}
}
