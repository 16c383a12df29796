//! Records of the log: batches of one origin that were stamped one right after the other. One frame, one header and one
//! checksum serve them all; each is still applied alone, with a place of its own.
//!
//! ```text
//! record   := size varint ‖ batch ‖ follower*             size: bytes of the batch
//! follower := gap varint ‖ size varint ‖ count varint ‖ effect*      size: bytes of count and effects
//! ```
//! A follower has the group and the origin of the batch before it, the sequence number behind its last one, and the
//! timestamp `gap` ticks behind the one that would have come next. It has neither context nor trace.

use crate::batch::{Batch, BatchBuf};
use crate::hlc::Hlc;
use crate::id::{Dot, Origin};
use crate::wire::{Reader, WireError};

/// Where a record that was begun ends: what a batch must continue to be added to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordEnd {
    pub(crate) source: [u8; BatchBuf::SOURCE_BYTES],
    pub(crate) next_seq: u64,
    pub(crate) next_hlc: Hlc,
}

impl RecordEnd {
    /// The last effect before it, and its timestamp.
    pub fn last(&self) -> (Dot, Hlc) {
        let [.., a, b, c, d, e, f, g, h] = self.source;
        let origin = Origin(u64::from_le_bytes([a, b, c, d, e, f, g, h]));
        (Dot { origin, seq: self.next_seq.saturating_sub(1) }, Hlc(self.next_hlc.0.saturating_sub(1)))
    }
}

impl BatchBuf {
    /// The bytes that this batch takes in a record, at most.
    pub fn size_in_record(&self) -> usize {
        self.size() + 10
    }

    /// The record that begins with this batch, as the sequencer stamps it.
    #[inline]
    pub fn begin_record(&mut self, seq: u64, hlc: Hlc) -> &[u8] {
        self.stamp(seq, hlc);
        let mut front = self.with_header();
        front.put(front.len() as u64);
        front.into_bytes()
    }

    /// Whether a batch that is stamped so can be added to a record that ends there.
    #[inline]
    pub fn follows(&self, end: &RecordEnd, seq: u64, hlc: Hlc) -> bool {
        self.trace().is_none() && self.source() == end.source && seq == end.next_seq && hlc >= end.next_hlc
    }

    /// What adds this batch to the record that ends at `end`, which it must follow.
    #[inline]
    pub fn extend_record(&mut self, end: &RecordEnd, hlc: Hlc) -> &[u8] {
        let mut front = self.with_count();
        front.put(front.len() as u64);
        front.put(hlc.0 - end.next_hlc.0);
        front.into_bytes()
    }

    /// Where the record ends that this batch, stamped so, is the last of.
    #[inline]
    pub fn record_end(&self, seq: u64, hlc: Hlc) -> RecordEnd {
        RecordEnd { source: self.source(), next_seq: seq + self.len(), next_hlc: hlc.plus(self.len()) }
    }
}

/// The batches of a record, in order. A batch that cannot be read is the last.
#[derive(Debug, Clone)]
pub struct Batches<'a> {
    reader: Reader<'a>,
    last: Option<Batch<'a>>,
    failed: bool,
}

impl<'a> Batches<'a> {
    /// The batches of this record. Each is checked when it is come to.
    pub fn decode(record: &'a [u8]) -> Self {
        Self { reader: Reader::new(record), last: None, failed: false }
    }

    /// How many bytes of the record have been read: up to the end of the last batch.
    pub fn offset(&self) -> usize {
        self.reader.offset()
    }

    fn read(&mut self) -> Result<Batch<'a>, WireError> {
        let Some(last) = &self.last else { return Batch::decode(self.reader.bytes()?) };
        let gap = self.reader.varint()?;
        let bytes = self.reader.bytes()?;
        let (next_seq, next_hlc) = (last.first.seq.checked_add(last.len()), last.hlc.0.checked_add(last.len()));
        let (Some(seq), Some(hlc)) = (next_seq, next_hlc.and_then(|next| next.checked_add(gap))) else {
            return Err(WireError::Invalid { what: "gap between batches", at: self.reader.offset() });
        };
        Batch::follower(last, seq, Hlc(hlc), bytes)
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<Batch<'a>, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        let is_over = self.failed || (self.last.is_some() && self.reader.remaining() == 0);
        if is_over {
            return None;
        }
        let batch = self.read();
        match &batch {
            Ok(batch) => self.last = Some(batch.clone()),
            Err(_) => self.failed = true,
        }
        Some(batch)
    }
}
