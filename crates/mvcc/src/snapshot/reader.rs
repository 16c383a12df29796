//! Reads an image and believes nothing of it before it is checked.

use std::io::Read;

use super::{DELETE, END, FRAME_HEADER_BYTES, HEAD, Head, MAGIC, ROWS, check};
use crate::deletes::Pending;
use crate::error::{Error, Part, Result};
use crate::header::Header;
use crate::layout::{self, Fields};
use crate::limits::{MAX_KEY_BYTES, MAX_PREFIX_DELETES, MAX_ROW_KEY_BYTES, MAX_SNAPSHOT_FRAME_BYTES};
use crate::store::Retention;
use crate::timestamp::Timestamp;

const PLACE: &str = "a snapshot";

fn bad(reason: impl Into<String>) -> Error {
    Error::corrupt(PLACE, reason)
}

/// An image that is being read. Only after [`row`](Self::row) has answered `None` is it known to be whole.
pub(crate) struct Reader<'r> {
    from: &'r mut dyn Read,
    head: Head,
    frame_number: u32,
    /// The frame of rows that is being handed out.
    rows: Vec<u8>,
    /// Where its next row begins.
    at: usize,
    row_count: u64,
    last_key: Vec<u8>,
    is_done: bool,
}

impl<'r> Reader<'r> {
    /// Reads up to the first rows.
    pub(crate) fn open(from: &'r mut dyn Read) -> Result<Self> {
        let mut magic = [0; MAGIC.len()];
        read_exact(from, &mut magic)?;
        if &magic != MAGIC {
            return Err(bad("it does not begin as one, or has a format that is not known to this program"));
        }
        let head = Head {
            retention: Retention::Newest,
            last_commit: Timestamp::ZERO,
            watermark: Timestamp::ZERO,
            applied_index: 0,
            deletes: Vec::new(),
        };
        let (rows, last_key) = (Vec::new(), Vec::new());
        let mut reader = Self { from, head, frame_number: 0, rows, at: 0, row_count: 0, last_key, is_done: false };
        let (kind, payload) = reader.frame()?;
        if kind != HEAD {
            return Err(bad("its first frame is not its head"));
        }
        reader.read_head(&payload)?;
        Ok(reader)
    }

    /// What it says about the store. Its prefix deletions are complete once the first row was asked for.
    pub(crate) fn head(&self) -> &Head {
        &self.head
    }

    /// The next row, checked to be one that a store may hold; `None` at the end.
    pub(crate) fn row(&mut self) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
        while self.at == self.rows.len() {
            if self.is_done {
                return Ok(None);
            }
            self.next_frame()?;
        }
        let mut fields = Fields::new(PLACE, &self.rows[self.at..]);
        let key = fields.bytes(MAX_ROW_KEY_BYTES)?.to_vec();
        let value = fields.bytes(self.rows.len())?.to_vec();
        self.at = self.rows.len() - fields.rest().len();
        check_row(&key, &value)?;
        if self.row_count > 0 && key <= self.last_key {
            return Err(bad("its rows are out of order"));
        }
        self.last_key.clone_from(&key);
        self.row_count += 1;
        Ok(Some((key, value)))
    }

    fn next_frame(&mut self) -> Result<()> {
        let (kind, payload) = self.frame()?;
        match kind {
            DELETE if self.row_count == 0 && self.head.deletes.len() < MAX_PREFIX_DELETES => self.read_delete(&payload),
            ROWS if !payload.is_empty() => {
                (self.rows, self.at) = (payload, 0);
                Ok(())
            }
            END => {
                let mut fields = Fields::new(PLACE, &payload);
                if fields.u64()? != self.row_count {
                    return Err(bad("it does not hold as many rows as it says"));
                }
                self.is_done = true;
                fields.done()
            }
            other => Err(bad(format!("a frame of kind {other} stands where none may"))),
        }
    }

    fn read_head(&mut self, payload: &[u8]) -> Result<()> {
        let mut fields = Fields::new(PLACE, payload);
        let retention = fields.u8()?;
        self.head.retention =
            Retention::from_byte(retention).ok_or_else(|| bad(format!("retention {retention} is not known")))?;
        self.head.last_commit = Timestamp(fields.u64()?);
        self.head.watermark = Timestamp(fields.u64()?);
        self.head.applied_index = fields.u64()?;
        fields.done()
    }

    fn read_delete(&mut self, payload: &[u8]) -> Result<()> {
        let mut fields = Fields::new(PLACE, payload);
        let commit = Timestamp(fields.u64()?);
        if self.head.deletes.last().is_some_and(|last| last.commit >= commit) || commit > self.head.last_commit {
            return Err(bad("its prefix deletions are out of order"));
        }
        self.head.deletes.push(Pending::decode(commit, fields.rest())?);
        Ok(())
    }

    fn frame(&mut self) -> Result<(u8, Vec<u8>)> {
        let mut header = [0; FRAME_HEADER_BYTES];
        read_exact(self.from, &mut header)?;
        let mut fields = Fields::new(PLACE, &header);
        let len = fields.u32()? as usize;
        let (expected, number, kind) = (fields.u32()?, fields.u32()?, fields.u8()?);
        if len > MAX_SNAPSHOT_FRAME_BYTES {
            return Err(Error::TooLarge { part: Part::Frame, size: len, limit: MAX_SNAPSHOT_FRAME_BYTES });
        }
        let mut payload = Vec::new();
        let read = self.from.take(len as u64).read_to_end(&mut payload);
        if read.map_err(|error| Error::io("reading a snapshot", error))? < len {
            return Err(bad("it is cut short"));
        }
        if check(number, kind, &payload) != expected {
            return Err(bad(format!("the check of frame {number} does not match")));
        }
        if number != self.frame_number {
            return Err(bad(format!("frame {number} stands where frame {} should", self.frame_number)));
        }
        self.frame_number = number.wrapping_add(1);
        Ok((kind, payload))
    }
}

/// Whether a store may hold this row.
fn check_row(key: &[u8], value: &[u8]) -> Result<()> {
    let (header, _) = Header::decode(value)?;
    match key.first() {
        Some(&layout::CURRENT) if (2..=MAX_KEY_BYTES + 1).contains(&key.len()) && header.successor.is_none() => Ok(()),
        Some(&layout::HISTORY) => {
            let (key, commit) = layout::parse_history(key)?;
            if commit != header.commit || header.successor.is_none() || key.is_empty() || key.len() > MAX_KEY_BYTES {
                return Err(bad("a superseded version does not match its row's key"));
            }
            Ok(())
        }
        _ => Err(bad("a row belongs to no table")),
    }
}

fn read_exact(from: &mut dyn Read, into: &mut [u8]) -> Result<()> {
    from.read_exact(into).map_err(|error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => bad("it is cut short"),
        _ => Error::io("reading a snapshot", error),
    })
}
