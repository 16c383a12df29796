//! Batches that came from elsewhere, put into a record of one's own log: the effects stay the bytes that their writer encoded.
//!
//! What its writer had applied stands before the first batch of which it says something new; the ones behind it have the same
//! context, until another is said. Whoever keeps batches of several origins in one log so finds the contexts of each.

use crate::batch::{BATCH_VERSION, Batch, BatchBuf, HAS_CONTEXT, HAS_TRACE};
use crate::record::RecordEnd;
use crate::vector::Vector;
use crate::wire::{Reader, put_varint, varint_len};

impl Batch<'_> {
    /// Whether it can be added to a record that ends there.
    #[inline]
    pub fn follows(&self, end: &RecordEnd) -> bool {
        self.context.is_none()
            && self.trace.is_none()
            && self.source() == end.source
            && self.first.seq == end.next_seq
            && self.hlc >= end.next_hlc
    }

    /// Where the record ends that this batch is the last of.
    #[inline]
    pub fn record_end(&self) -> RecordEnd {
        RecordEnd { source: self.source(), next_seq: self.first.seq + self.len(), next_hlc: self.hlc.plus(self.len()) }
    }

    /// Appends the record that begins with this batch; `context` is said in it, in place of what it says itself.
    pub fn begin_record(&self, context: Option<&Vector>, out: &mut Vec<u8>) {
        let (mut head, flags) = (Vec::new(), self.flags(context.is_some()));
        head.extend_from_slice(&[BATCH_VERSION, flags]);
        head.extend_from_slice(&self.source());
        head.extend_from_slice(&self.first.seq.to_le_bytes());
        head.extend_from_slice(&self.hlc.0.to_le_bytes());
        context.into_iter().for_each(|context| context.encode(&mut head));
        self.trace.iter().for_each(|trace| head.extend_from_slice(trace));
        put_varint(&mut head, self.len());
        put_varint(out, (head.len() + self.encoded_effects().len()) as u64);
        out.extend_from_slice(&head);
        out.extend_from_slice(self.encoded_effects());
    }

    /// Appends what adds this batch to the record that ends at `end`, which it must follow.
    #[inline]
    pub fn extend_record(&self, end: &RecordEnd, out: &mut Vec<u8>) {
        debug_assert!(self.follows(end));
        let effects = self.encoded_effects();
        put_varint(out, self.hlc.0 - end.next_hlc.0);
        put_varint(out, (varint_len(self.len()) + effects.len()) as u64);
        put_varint(out, self.len());
        out.extend_from_slice(effects);
    }

    /// It by itself, as [`Batch::decode`] reads it, without its context.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut record = Vec::new();
        self.begin_record(None, &mut record);
        let mut reader = Reader::new(&record);
        reader.bytes().expect("a record begins with the length of its first batch").to_vec()
    }

    /// Bytes that it adds to a record, at most.
    pub fn size(&self) -> usize {
        self.encoded_effects().len() + 30
    }

    /// The context that it says, as a vector.
    pub fn context_vector(&self) -> Option<Vector> {
        self.context.map(|dots| dots.iter().collect())
    }

    fn flags(&self, has_context: bool) -> u8 {
        let context = if has_context { HAS_CONTEXT } else { 0 };
        context | if self.trace.is_some() { HAS_TRACE } else { 0 }
    }

    fn source(&self) -> [u8; BatchBuf::SOURCE_BYTES] {
        let mut source = [0; BatchBuf::SOURCE_BYTES];
        source[..4].copy_from_slice(&self.group.0.to_le_bytes());
        source[4..].copy_from_slice(&self.first.origin.0.to_le_bytes());
        source
    }
}
