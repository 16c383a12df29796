//! One file of values, as it is read.

use std::fs::{self, File};
use std::io::{self, BufReader, ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use fjall::Slice;

use super::values::VALUES;
use super::{Reference, checksum};
use crate::error::{Error, Result};
use crate::layout;
use crate::limits::{MAX_ROW_KEY_BYTES, VALUE_FILES_OPEN};

/// What a file of values begins with.
pub(super) const MAGIC: &[u8; 8] = b"ANAVALS1";

/// Bytes in front of each key.
pub(super) const HEAD_BYTES: usize = 16;

/// Files that are kept open, of all stores.
static OPEN: AtomicUsize = AtomicUsize::new(0);

/// A file of values that is in force, or was when somebody began to read.
#[derive(Debug)]
pub(in crate::lsm) struct ValueFile {
    pub(super) id: u64,
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    /// Bytes that nobody refers to, as of the last look.
    stale: AtomicU64,
    /// Nobody refers to it who does not hold it.
    is_gone: AtomicBool,
    file: OnceLock<File>,
}

impl ValueFile {
    pub(super) fn new(id: u64, path: PathBuf, bytes: u64) -> Self {
        Self { id, path, bytes, stale: AtomicU64::new(0), is_gone: AtomicBool::new(false), file: OnceLock::new() }
    }

    /// The key of the row that says that it is in force.
    pub(in crate::lsm) fn row_key(&self) -> Vec<u8> {
        layout::values_key(self.id)
    }

    /// That row.
    pub(in crate::lsm) fn row(&self) -> [u8; 8] {
        self.bytes.to_be_bytes()
    }

    /// Bytes that nobody refers to, as of the last look.
    pub(super) fn stale(&self) -> u64 {
        self.stale.load(Ordering::Relaxed)
    }

    pub(super) fn set_stale(&self, bytes: u64) {
        self.stale.store(bytes.min(self.bytes), Ordering::Relaxed);
    }

    /// It is removed once nobody holds it.
    pub(super) fn give_up(&self) {
        self.is_gone.store(true, Ordering::Release);
    }

    /// The bytes of a value, as they are kept.
    pub(super) fn read(&self, reference: &Reference) -> Result<Slice> {
        let end = reference.offset.checked_add(u64::from(reference.len));
        if end.is_none_or(|end| end > self.bytes) {
            return Err(self.corrupt(reference.offset, "a value would reach beyond its end"));
        }
        let read = match self.kept_open() {
            Some(file) => file.and_then(|file| read_at(file, reference)),
            None => File::open(&self.path).and_then(|file| read_at(&file, reference)),
        };
        let bytes = read.map_err(|error| self.failed(error))?;
        if checksum(&[&bytes]) != reference.crc {
            return Err(self.corrupt(reference.offset, "a value does not match its checksum"));
        }
        Ok(bytes)
    }

    /// The file, if it is open or may be kept so.
    fn kept_open(&self) -> Option<io::Result<&File>> {
        if let Some(file) = self.file.get() {
            return Some(Ok(file));
        }
        if OPEN.fetch_add(1, Ordering::Relaxed) >= VALUE_FILES_OPEN {
            OPEN.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let set = File::open(&self.path).map(|file| self.file.set(file));
        if !matches!(set, Ok(Ok(()))) {
            OPEN.fetch_sub(1, Ordering::Relaxed);
        }
        set.err().map(Err).or_else(|| self.file.get().map(Ok))
    }

    /// Hands what is in the file to `visit`, in order: the key of each row and where its value was put.
    pub(super) fn walk(&self, mut visit: impl FnMut(&[u8], Reference) -> Result<()>) -> Result<()> {
        let file = File::open(&self.path).map_err(|error| self.failed(error))?;
        let mut from = BufReader::with_capacity(4 << 10, file);
        let mut magic = [0; MAGIC.len()];
        from.read_exact(&mut magic).map_err(|error| self.failed(error))?;
        if magic != *MAGIC {
            return Err(self.corrupt(0, "it is no file of values"));
        }
        let (mut at, mut key) = (MAGIC.len() as u64, Vec::new());
        while at < self.bytes {
            let mut head = [0; HEAD_BYTES];
            from.read_exact(&mut head).map_err(|error| self.failed(error))?;
            let [key_len, len, head_crc, crc] = words(&head);
            if key_len as usize > MAX_ROW_KEY_BYTES {
                return Err(self.corrupt(at, "the head of a value cannot be read"));
            }
            key.resize(key_len as usize, 0);
            from.read_exact(&mut key).map_err(|error| self.failed(error))?;
            if checksum(&[&head[..8], &key]) != head_crc {
                return Err(self.corrupt(at, "the head of a value does not match its checksum"));
            }
            let offset = at + (HEAD_BYTES + key.len()) as u64;
            visit(&key, Reference { file: self.id, offset, len, crc })?;
            from.seek_relative(i64::from(len)).map_err(|error| self.failed(error))?;
            at = offset + u64::from(len);
        }
        Ok(())
    }

    fn failed(&self, error: io::Error) -> Error {
        match error.kind() {
            ErrorKind::NotFound => self.corrupt(0, "it is missing"),
            ErrorKind::UnexpectedEof => self.corrupt(self.bytes, "it is cut short"),
            _ => Error::io("reading a file of values", error),
        }
    }

    pub(super) fn corrupt(&self, offset: u64, reason: &str) -> Error {
        Error::corrupt(format!("{VALUES}/{}, offset {offset}", self.id), reason)
    }
}

impl Drop for ValueFile {
    fn drop(&mut self) {
        if self.file.get().is_some() {
            OPEN.fetch_sub(1, Ordering::Relaxed);
        }
        if self.is_gone.load(Ordering::Acquire) {
            remove(&self.path);
        }
    }
}

/// Removes a file that is not in force. If that fails, the next open does it.
pub(super) fn remove(path: &Path) {
    let _ = fs::remove_file(path);
}

fn words(head: &[u8; HEAD_BYTES]) -> [u32; 4] {
    let word = |n: usize| u32::from_be_bytes([head[n], head[n + 1], head[n + 2], head[n + 3]]);
    [word(0), word(4), word(8), word(12)]
}

fn read_at(file: &File, reference: &Reference) -> io::Result<Slice> {
    let mut from = At { file, offset: reference.offset };
    Slice::from_reader(&mut from, reference.len as usize)
}

/// A file from an offset on, whoever else reads it.
struct At<'f> {
    file: &'f File,
    offset: u64,
}

impl Read for At<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(out, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}
