//! Files of values, as they are written: those of one run.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::sync::Arc;

use super::file::{HEAD_BYTES, MAGIC, ValueFile, remove};
use super::values::ValueFiles;
use super::{Reference, checksum};
use crate::error::{Error, Result};

/// Writes values to files that are not in force yet. What it has written is removed with it, unless it was [kept](Self::keep).
pub(in crate::lsm) struct ValueWriter {
    files: Arc<ValueFiles>,
    open: Option<Open>,
    /// Whole and synced.
    done: Vec<Arc<ValueFile>>,
    is_kept: bool,
}

/// The file that is being written.
struct Open {
    id: u64,
    out: BufWriter<File>,
    bytes: u64,
}

impl ValueWriter {
    pub(in crate::lsm) fn new(files: &Arc<ValueFiles>) -> Self {
        Self { files: Arc::clone(files), open: None, done: Vec::new(), is_kept: false }
    }

    /// Writes the value of a row, which is above all rows before; it may come in parts.
    pub(in crate::lsm) fn put(&mut self, row_key: &[u8], value: &[&[u8]]) -> Result<Reference> {
        if self.open.as_ref().is_some_and(|open| open.bytes >= self.files.full) {
            self.close()?;
        }
        let open = match self.open.take() {
            Some(open) => open,
            None => self.begin()?,
        };
        let open = self.open.insert(open);
        let len: usize = value.iter().map(|part| part.len()).sum();
        let len = u32::try_from(len).map_err(|_| Error::NotSupported("a value of more than 4 GiB"))?;
        let crc = checksum(value);
        let mut head = [0; HEAD_BYTES];
        head[..4].copy_from_slice(&(row_key.len() as u32).to_be_bytes());
        head[4..8].copy_from_slice(&len.to_be_bytes());
        let head_crc = checksum(&[&head[..8], row_key]);
        head[8..12].copy_from_slice(&head_crc.to_be_bytes());
        head[12..].copy_from_slice(&crc.to_be_bytes());
        let offset = open.bytes + (HEAD_BYTES + row_key.len()) as u64;
        let mut write = || {
            open.out.write_all(&head)?;
            open.out.write_all(row_key)?;
            value.iter().try_for_each(|part| open.out.write_all(part))
        };
        write().map_err(fail)?;
        open.bytes = offset + u64::from(len);
        Ok(Reference { file: open.id, offset, len, crc })
    }

    fn begin(&self) -> Result<Open> {
        let id = self.files.next_id();
        let file = File::create_new(self.files.path(id)).map_err(fail)?;
        let mut open = Open { id, out: BufWriter::with_capacity(256 << 10, file), bytes: MAGIC.len() as u64 };
        open.out.write_all(MAGIC).map_err(fail)?;
        Ok(open)
    }

    fn close(&mut self) -> Result<()> {
        let Some(open) = &mut self.open else { return Ok(()) };
        open.out.flush().and_then(|()| open.out.get_ref().sync_all()).map_err(fail)?;
        self.done.push(Arc::new(ValueFile::new(open.id, self.files.path(open.id), open.bytes)));
        self.open = None;
        Ok(())
    }

    /// Makes all of it durable, with the names, and answers the files: they may come into force.
    pub(in crate::lsm) fn sync(&mut self) -> Result<&[Arc<ValueFile>]> {
        self.close()?;
        if !self.done.is_empty() {
            self.files.sync_names()?;
        }
        Ok(&self.done)
    }

    /// The files may be in force from now on: whether they are, the tree knows.
    pub(in crate::lsm) fn keep(&mut self) {
        self.is_kept = true;
    }
}

impl Drop for ValueWriter {
    fn drop(&mut self) {
        if !self.is_kept {
            self.done.iter().for_each(|file| file.give_up());
            self.open.iter().for_each(|open| remove(&self.files.path(open.id)));
        }
    }
}

fn fail(error: std::io::Error) -> Error {
    Error::io("writing a file of values", error)
}
