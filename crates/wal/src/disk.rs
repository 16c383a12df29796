//! The seam to the filesystem: what the log needs of a directory and of a file, and nothing more.
//!
//! [`RealDisk`] is a directory of the operating system; the in-memory one with faults is in `testing`, with the
//! conformance suite that both pass. All names are plain file names in one flat directory.

mod real;

use std::fmt::Debug;
use std::io;
use std::sync::Arc;

pub use real::RealDisk;

/// A flat directory of files.
pub trait Disk: Send + Sync + Debug {
    /// The names of its files, in no order.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Makes an empty file, or empties an existing one, and opens it. Its name is durable only after `sync_dir`.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// Opens an existing file for reading and writing.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// Gives a file another name, replacing what had it. Durable only after `sync_dir`.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Deletes a file; who has it open can still read it. Durable only after `sync_dir`.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes every creation, rename and removal so far durable.
    fn sync_dir(&self) -> io::Result<()>;
    /// Takes the directory for this holder alone until the guard is dropped. `WouldBlock` if somebody else has it.
    fn lock(&self) -> io::Result<Box<dyn Send + Sync>>;
    /// Milliseconds since 1970, for the record only.
    fn unix_ms(&self) -> u64;
    /// A random number, to tell logs apart.
    fn entropy(&self) -> u64;
    /// How a person finds this file.
    fn describe(&self, name: &str) -> String;
}

/// One file. All calls may come from several threads at once.
pub trait DiskFile: Send + Sync + Debug {
    /// Writes a prefix of `bytes` at `offset` and says how long it was; the file grows as needed.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize>;
    /// Reads into a prefix of `bytes` from `offset`; 0 at the end.
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<usize>;
    /// Makes the content durable that was written before the call, and the length needed to read it.
    fn sync_data(&self) -> io::Result<()>;
    /// The same with all metadata: needed after `truncate`.
    fn sync_all(&self) -> io::Result<()>;
    /// Its length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Whether it has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Sets the length; what is added reads as zeros.
    fn truncate(&self, len: u64) -> io::Result<()>;
    /// Reserves space so that the file is at least `len` long, new bytes reading as zeros. `Unsupported` where the
    /// filesystem cannot.
    fn preallocate(&self, len: u64) -> io::Result<()>;
}

/// Writes all of `bytes` at `offset`.
pub(crate) fn write_all(file: &dyn DiskFile, mut offset: u64, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write_at(offset, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                offset += n as u64;
                bytes = &bytes[n..];
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads until `bytes` is full or the file ends; says how many bytes came.
pub(crate) fn read_full(file: &dyn DiskFile, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
    let mut got = 0;
    while got < bytes.len() {
        match file.read_at(offset + got as u64, &mut bytes[got..]) {
            Ok(0) => break,
            Ok(n) => got += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}
