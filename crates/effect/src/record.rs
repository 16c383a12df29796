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
use crate::wire::{Reader, Varints, WireError};

/// Where a record that was begun ends: what a batch must continue to be added to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordEnd {
    source: [u8; BatchBuf::SOURCE_BYTES],
    next_seq: u64,
    next_hlc: Hlc,
}

impl BatchBuf {
    /// The bytes that this batch takes in a record, at most.
    pub fn size_in_record(&self) -> usize {
        self.size() + 10
    }

    /// Hands the parts of a record that begins with this batch, as the sequencer stamps it; says where the record ends.
    #[inline]
    pub fn begin_record<R>(&mut self, seq: u64, hlc: Hlc, write: impl FnOnce(&[&[u8]]) -> R) -> (R, RecordEnd) {
        self.stamp(seq, hlc);
        let written = self.parts(|[header, count, effects]| {
            let size = Varints::of((header.len() + count.len() + effects.len()) as u64);
            write(&[size.bytes(), header, count, effects])
        });
        (written, self.end_of_record(seq, hlc))
    }

    /// Whether a batch that is stamped so can be added to a record that ends there.
    #[inline]
    pub fn follows(&self, end: &RecordEnd, seq: u64, hlc: Hlc) -> bool {
        self.source() == end.source && seq == end.next_seq && hlc >= end.next_hlc
    }

    /// Hands the parts that add this batch to the record that ends at `end`, which it must follow; says where the record
    /// ends then.
    #[inline]
    pub fn extend_record<R>(&self, end: &RecordEnd, hlc: Hlc, write: impl FnOnce(&[&[u8]]) -> R) -> (R, RecordEnd) {
        let written = self.parts(|[_, count, effects]| {
            let mut head = Varints::new();
            head.put(hlc.0 - end.next_hlc.0);
            head.put((count.len() + effects.len()) as u64);
            write(&[head.bytes(), count, effects])
        });
        (written, self.end_of_record(end.next_seq, hlc))
    }

    #[inline]
    fn end_of_record(&self, seq: u64, hlc: Hlc) -> RecordEnd {
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
