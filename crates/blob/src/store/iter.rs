//! Keys in order, those included that are only in RAM so far.
//!
//! ```text
//! sealed segments: sorted key pages in the footers --+
//! other segments:  their lists, sorted in RAM -------+--> merge --> is the key live in the index? --> Entry
//! ```
//!
//! Each segment lends one page at a time. A key that lives all through the iteration is seen exactly once,
//! wherever it moves meanwhile, because only the index decides whether it lives. One that comes or goes meanwhile
//! may be seen or not. An access by iteration does not count for eviction.

use super::{Inner, Store};
use crate::budget::Permit;
use crate::disk::DiskFile;
use crate::error::{Class, Error, Result};
use crate::format::crc32c;
use crate::format::footer::{self, Contents, Page, Tail};
use crate::index::{Loc, State};
use crate::limits::READ_RETRIES;
use crate::segment::{Listing, Segment};
use crate::store::read::read_full;
use crate::sync::{Arc, lock};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::ErrorKind;
use std::ops::Bound;

/// A key that lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Vec<u8>,
    /// Unix milliseconds at which it expires, if it does.
    pub expires_ms: Option<u64>,
}

/// Where one segment's keys come from.
enum Source {
    /// All of them, sorted, in RAM.
    Ram { contents: Contents, order: Vec<u32>, next: usize, _ram: Permit },
    /// Page by page.
    Footer(Pages),
}

struct Pages {
    segment: Arc<Segment>,
    file: Arc<dyn DiskFile>,
    tail: Tail,
    directory: Vec<Page>,
    next_page: usize,
    page: Vec<u8>,
    at: usize,
    ram: Permit,
}

/// What the heap orders: key, then the newest record first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Head {
    key: Vec<u8>,
    newest_first: Reverse<(u32, u64)>,
    expires_ms: u64,
    len: u32,
    source: usize,
}

/// Keys in order within bounds.
pub struct Range {
    inner: Arc<Inner>,
    sources: Vec<(u32, Source)>,
    heap: BinaryHeap<Reverse<Head>>,
    upper: Bound<Vec<u8>>,
    failed: bool,
}

impl Store {
    /// The keys between two bounds, in order of their bytes. While it lives, segments that are cleaned away keep
    /// their disk bytes: do not hold it longer than needed.
    ///
    /// # Errors
    /// `Busy` if there is no RAM for one page of each segment, I/O errors.
    pub fn range(&self, lower: Bound<&[u8]>, upper: Bound<&[u8]>) -> Result<Range> {
        let inner = &self.inner;
        inner.check_open()?;
        for _ in 0..READ_RETRIES {
            match inner.range(lower, upper) {
                Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {}
                result => return result,
            }
        }
        Err(Error::Busy(crate::error::BusyReason::Disk))
    }

    /// All keys that begin with `prefix`, in order.
    ///
    /// # Errors
    /// As [`range`](Self::range).
    pub fn prefix(&self, prefix: &[u8]) -> Result<Range> {
        let mut end = prefix.to_vec();
        while end.last() == Some(&u8::MAX) {
            end.pop();
        }
        let upper = match end.last_mut() {
            Some(last) => {
                *last += 1;
                Bound::Excluded(&end[..])
            }
            None => Bound::Unbounded,
        };
        self.range(Bound::Included(prefix), upper)
    }
}

impl Inner {
    /// One attempt: fails with `NotFound` if a segment is cleaned away before it is opened.
    fn range(self: &Arc<Self>, lower: Bound<&[u8]>, upper: Bound<&[u8]>) -> Result<Range> {
        let mut range = Range {
            inner: Arc::clone(self),
            sources: Vec::new(),
            heap: BinaryHeap::new(),
            upper: upper.map(<[u8]>::to_vec),
            failed: false,
        };
        // With the log locked no record moves from a listed segment to one that is not.
        let segments = {
            let _log = lock(&self.log);
            self.segments.all()
        };
        for segment in segments {
            let source = self.source(&segment, lower)?;
            range.sources.push((segment.id, source));
            range.advance(range.sources.len() - 1, None)?;
        }
        range.skip_below(lower)?;
        Ok(range)
    }

    fn source(&self, segment: &Arc<Segment>, lower: Bound<&[u8]>) -> Result<Source> {
        match segment.listing() {
            Listing::Ram(_) => {
                let (contents, ram) = self.contents_of(segment)?;
                let order = contents.sorted();
                let below = |&i: &u32| is_below(contents.key(&contents.items()[i as usize]), lower);
                let next = order.partition_point(below);
                Ok(Source::Ram { contents, order, next, _ram: ram })
            }
            Listing::Footer(tail) => {
                let file = self.segments.file(segment, &*self.disk)?;
                let directory_len = tail.directory().end - tail.directory().start;
                let ram = self.take_ram(directory_len * 2, self.patient())?;
                let mut bytes = vec![0; usize::try_from(directory_len).expect("smaller than its file")];
                let name = || format!("reading segment {}", segment.id);
                read_full(&*file, &mut bytes, tail.directory().start).map_err(|e| Error::io(name(), e))?;
                if crc32c(&bytes) != tail.directory_crc {
                    return self.source_of_damaged(segment);
                }
                let directory = footer::directory(&bytes);
                let (page, at, next_page, segment) = (Vec::new(), 0, 0, Arc::clone(segment));
                let mut pages = Pages { segment, file, tail, directory, next_page, page, at, ram };
                match pages.seek(self, lower) {
                    Err(error) if error.class() == Class::Corrupt => {
                        let segment = Arc::clone(&pages.segment);
                        drop(pages);
                        self.source_of_damaged(&segment)
                    }
                    sought => sought.map(|()| Source::Footer(pages)),
                }
            }
        }
    }

    /// The footer is damaged: list the records themselves.
    fn source_of_damaged(&self, segment: &Arc<Segment>) -> Result<Source> {
        let (contents, ram) = self.contents_of(segment)?;
        let order = contents.sorted();
        Ok(Source::Ram { contents, order, next: 0, _ram: ram })
    }

    /// The same in the middle of an iteration, behind the record that was given last.
    fn source_behind(&self, segment: &Arc<Segment>, last: Option<&(Vec<u8>, u64)>) -> Result<Source> {
        let mut source = self.source_of_damaged(segment)?;
        if let (Source::Ram { contents, order, next, .. }, Some((key, offset))) = (&mut source, last) {
            *next = order.partition_point(|&i| {
                let item = &contents.items()[i as usize];
                (contents.key(item), item.offset) <= (&key[..], *offset)
            });
        }
        Ok(source)
    }
}

fn is_below(key: &[u8], lower: Bound<&[u8]>) -> bool {
    match lower {
        Bound::Included(bound) => key < bound,
        Bound::Excluded(bound) => key <= bound,
        Bound::Unbounded => false,
    }
}

impl Pages {
    fn load(&mut self, inner: &Inner, index: usize) -> Result<bool> {
        let Some(page) = self.directory.get(index).copied() else { return Ok(false) };
        let need = u64::from(page.len) + self.directory.len() as u64 * 24;
        if need > self.ram.bytes() {
            // Growing in place would hold what we have while waiting; take the difference anew instead.
            let more = inner.take_ram(need - self.ram.bytes(), inner.patient())?.bytes();
            if !self.ram.try_grow(more) {
                return Err(Error::Busy(crate::error::BusyReason::Ram));
            }
        }
        self.page.clear();
        self.page.resize(page.len as usize, 0);
        let start = self.tail.key_pages().start + u64::from(page.start);
        let segment = self.tail.segment;
        read_full(&*self.file, &mut self.page, start)
            .map_err(|e| Error::io(format!("reading segment {segment}"), e))?;
        if crc32c(&self.page) != page.crc {
            let detail = "a page of keys does not match its checksum";
            return Err(Error::Corrupt { segment, offset: start, detail });
        }
        (self.at, self.next_page) = (0, index + 1);
        Ok(true)
    }

    /// Loads the last page whose first key is below the bound, by bisection.
    fn seek(&mut self, inner: &Inner, lower: Bound<&[u8]>) -> Result<()> {
        let (mut low, mut high) = (0, self.directory.len());
        while low < high {
            let middle = low + (high - low) / 2;
            self.load(inner, middle)?;
            let below = footer::page_key(&self.page, 0).is_some_and(|(key, _)| is_below(key.key, lower));
            if below {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        self.load(inner, low.saturating_sub(1)).map(drop)
    }
}

impl Range {
    /// Puts the source's next key into the heap; `last` is the record that it gave before.
    fn advance(&mut self, source: usize, last: Option<&(Vec<u8>, u64)>) -> Result<()> {
        match self.advance_within(source) {
            Err(error) if error.class() == Class::Corrupt => {
                let Source::Footer(pages) = &self.sources[source].1 else { return Err(error) };
                self.sources[source].1 = self.inner.source_behind(&Arc::clone(&pages.segment), last)?;
                self.advance_within(source)
            }
            advanced => advanced,
        }
    }

    fn advance_within(&mut self, source: usize) -> Result<()> {
        let (segment, from) = &mut self.sources[source];
        let head = match from {
            Source::Ram { contents, order, next, .. } => {
                let Some(&at) = order.get(*next) else { return Ok(()) };
                *next += 1;
                let item = &contents.items()[at as usize];
                (contents.key(item).to_vec(), item.offset, item.expires_ms, item.len)
            }
            Source::Footer(pages) => loop {
                if let Some((key, next)) = footer::page_key(&pages.page, pages.at) {
                    let head = (key.key.to_vec(), key.offset, key.expires_ms, key.len);
                    pages.at = next;
                    break head;
                }
                if !pages.load(&self.inner, pages.next_page)? {
                    return Ok(());
                }
            },
        };
        let (key, offset, expires_ms, len) = head;
        let newest_first = Reverse((*segment, offset));
        self.heap.push(Reverse(Head { key, newest_first, expires_ms, len, source }));
        Ok(())
    }

    fn skip_below(&mut self, lower: Bound<&[u8]>) -> Result<()> {
        while self.heap.peek().is_some_and(|Reverse(head)| is_below(&head.key, lower)) {
            self.pop()?;
        }
        Ok(())
    }

    fn pop(&mut self) -> Result<Option<Head>> {
        let Some(Reverse(head)) = self.heap.pop() else { return Ok(None) };
        let Reverse((_, offset)) = head.newest_first;
        let last = (head.key, offset);
        self.advance(head.source, Some(&last))?;
        Ok(Some(Head { key: last.0, ..head }))
    }

    fn next_live(&mut self) -> Result<Option<Entry>> {
        while let Some(mut head) = self.pop()? {
            let beyond = match &self.upper {
                Bound::Included(bound) => head.key > *bound,
                Bound::Excluded(bound) => head.key >= *bound,
                Bound::Unbounded => false,
            };
            if beyond {
                self.heap.clear();
                return Ok(None);
            }
            // Within one segment an older record of a key comes before a newer one.
            while self.heap.peek().is_some_and(|Reverse(other)| other.key == head.key) {
                if let Some(other) = self.pop()? {
                    head = head.min(other);
                }
            }
            let Some((loc, state)) = self.inner.index.peek(self.inner.hash(&head.key)) else { continue };
            let Reverse((segment, offset)) = head.newest_first;
            // Of a record that moved or was replaced since, the deadline is not known here.
            let here = loc == Loc::new(segment, offset, head.len);
            let expires_ms = Some(head.expires_ms).filter(|&ms| here && ms != 0);
            if state == State::Evicted || expires_ms.is_some_and(|ms| self.inner.now_ms() >= ms) {
                continue;
            }
            return Ok(Some(Entry { key: head.key, expires_ms }));
        }
        Ok(None)
    }
}

impl Iterator for Range {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.next_live();
        self.failed = next.is_err();
        next.transpose()
    }
}
