//! Writes an image frame by frame.

use std::io::Write;

use super::{DELETE, END, FRAME_HEADER_BYTES, HEAD, Head, MAGIC, ROWS, check};
use crate::error::{Error, Result};
use crate::layout::put_bytes;
use crate::limits::SNAPSHOT_FRAME_BYTES;

/// An image that is being written.
pub(crate) struct Writer<'w> {
    out: &'w mut dyn Write,
    rows: Vec<u8>,
    row_count: u64,
    frame_number: u32,
    bytes: u64,
}

impl<'w> Writer<'w> {
    pub(crate) fn begin(out: &'w mut dyn Write, head: &Head) -> Result<Self> {
        let mut writer = Self { out, rows: Vec::new(), row_count: 0, frame_number: 0, bytes: 0 };
        writer.write(MAGIC)?;
        let mut payload = vec![head.retention.byte()];
        for field in [head.last_commit.0, head.watermark.0, head.applied_index] {
            payload.extend_from_slice(&field.to_be_bytes());
        }
        writer.frame(HEAD, &payload)?;
        for delete in &head.deletes {
            let payload = [&delete.commit.0.to_be_bytes()[..], &delete.row()].concat();
            writer.frame(DELETE, &payload)?;
        }
        Ok(writer)
    }

    pub(crate) fn row(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        put_bytes(&mut self.rows, key);
        put_bytes(&mut self.rows, value);
        self.row_count += 1;
        if self.rows.len() >= SNAPSHOT_FRAME_BYTES { self.flush_rows() } else { Ok(()) }
    }

    /// Writes what is left; answers how many bytes the image has.
    pub(crate) fn finish(mut self) -> Result<u64> {
        self.flush_rows()?;
        self.frame(END, &self.row_count.to_be_bytes())?;
        self.out.flush().map_err(|error| Error::io("flushing a snapshot", error))?;
        Ok(self.bytes)
    }

    fn flush_rows(&mut self) -> Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let rows = std::mem::take(&mut self.rows);
        self.frame(ROWS, &rows)?;
        self.rows = rows;
        self.rows.clear();
        self.rows.shrink_to(2 * SNAPSHOT_FRAME_BYTES);
        Ok(())
    }

    fn frame(&mut self, kind: u8, payload: &[u8]) -> Result<()> {
        let number = self.frame_number;
        self.frame_number = number.checked_add(1).ok_or(Error::NotSupported("a snapshot of 2^32 frames"))?;
        let len = u32::try_from(payload.len()).expect("a frame holds at most one row more than its target");
        let mut header = Vec::with_capacity(FRAME_HEADER_BYTES);
        header.extend_from_slice(&len.to_be_bytes());
        header.extend_from_slice(&check(number, kind, payload).to_be_bytes());
        header.extend_from_slice(&number.to_be_bytes());
        header.push(kind);
        self.write(&header)?;
        self.write(payload)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.bytes += bytes.len() as u64;
        self.out.write_all(bytes).map_err(|error| Error::io("writing a snapshot", error))
    }
}
