//! Images of strings, block by block.

use super::mark::Mark;
use super::page::{Budget, RowSink};
use super::row::{Content, RowKey, WideRow};
use std::collections::BTreeMap;
use std::ops::Range;

/// Bytes of a string that are one row: larger blocks are written for a changed byte, smaller ones make more rows. Few in tests, for
/// many blocks. It is a part of the format of rows.
pub const BLOCK_BYTES: usize = if cfg!(test) { 4 << 10 } else { 64 << 10 };

/// An image of a string.
struct Image {
    /// Length of the string when it began.
    len: usize,
    /// Blocks from here on are to come.
    next: usize,
    /// Blocks as they were.
    kept: BTreeMap<usize, Box<[u8]>>,
}

/// What a written string remembers: a mark for each block that it has had since it was first written.
///
/// *Invariant:* each block that has a row, and each of the present string, has a mark.
#[derive(Default)]
pub(in crate::value) struct Blocks {
    marks: Vec<Mark>,
    /// How many blocks, from the first on, have rows.
    rows: usize,
    image: Option<Image>,
}

impl Blocks {
    /// The blocks of a string that is wholly at rest.
    pub(super) fn at_rest(len: usize) -> Self {
        let rows = len.div_ceil(BLOCK_BYTES);
        Self { marks: vec![Mark::Rest; rows], rows, image: None }
    }

    /// Begins an image.
    pub(super) fn begin(&mut self, len: usize) {
        // A string that is written for the first time has no marks yet.
        self.marks.resize(len.div_ceil(BLOCK_BYTES).max(self.marks.len()), Mark::New);
        for mark in self.marks.iter_mut().filter(|mark| **mark != Mark::Rest) {
            *mark = Mark::Frozen;
        }
        self.image = Some(Image { len, next: 0, kept: BTreeMap::new() });
    }

    /// Whether all rows of the image are handed over.
    pub(super) fn is_done(&self) -> bool {
        self.image.as_ref().is_none_or(|image| image.next >= self.marks_end(image))
    }

    /// How many blocks the image puts or removes.
    fn marks_end(&self, image: &Image) -> usize {
        image.len.div_ceil(BLOCK_BYTES).max(self.rows)
    }

    /// Ends the image; answers what is best freed without a lock.
    pub(super) fn end(&mut self, written: bool) -> Self {
        let image = self.image.take();
        if written && let Some(image) = &image {
            self.rows = image.len.div_ceil(BLOCK_BYTES);
        }
        let after = if written { Mark::Rest } else { Mark::Over };
        self.marks.iter_mut().filter(|mark| mark.is_frozen()).for_each(|mark| *mark = after);
        Self { image, ..Self::default() }
    }

    /// Bytes of the string are about to be overwritten, appended or cut off.
    pub(in crate::value) fn note(&mut self, whole: &[u8], bytes: Range<usize>) {
        if bytes.is_empty() {
            return;
        }
        let blocks = bytes.start / BLOCK_BYTES..bytes.end.div_ceil(BLOCK_BYTES);
        self.marks.resize(blocks.end.max(self.marks.len()), Mark::New);
        for block in blocks {
            if let Some(image) = &mut self.image
                && self.marks[block].is_frozen()
                && block >= image.next
            {
                let end = ((block + 1) * BLOCK_BYTES).min(image.len);
                // Whoever shortened the string noted what it cut off.
                if let Some(old) = whole.get(block * BLOCK_BYTES..end.min(whole.len())) {
                    image.kept.entry(block).or_insert_with(|| old.into());
                }
            }
            self.marks[block] = self.marks[block].changed();
        }
    }

    /// Hands over rows of the image.
    pub(super) fn next_rows(&mut self, now: &[u8], budget: &mut Budget, sink: &mut RowSink<'_>) {
        while !budget.is_spent() && !self.is_done() {
            let Some(image) = &mut self.image else { return };
            let (block, number) = (image.next, image.next as u64);
            image.next += 1;
            let bytes = block * BLOCK_BYTES..((block + 1) * BLOCK_BYTES).min(image.len);
            if bytes.start >= image.len {
                budget.spend(0);
                sink(WideRow::Remove(RowKey::Block(number)));
            } else if let Some(old) = image.kept.remove(&block) {
                budget.spend(old.len());
                sink(WideRow::Put(RowKey::Block(number), Content::Bytes(&old)));
            } else if self.marks[block].is_frozen() {
                budget.spend(bytes.len());
                sink(WideRow::Put(RowKey::Block(number), Content::Bytes(&now[bytes])));
            } else {
                budget.spend(0);
            }
        }
    }
}
