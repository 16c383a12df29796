//! Large writes past the page cache, and reads of what will hardly be read again.
//!
//! Large records lie on whole blocks, in memory as on disk: they go to the device from where they are. What is between
//! them, as runs of small records, is gathered into an aligned buffer: a copy within the processor's cache instead of
//! pages that the kernel has to find, mark, write back and drop. While one round gathers, the other is on its way to the
//! device.
//! Measured against buffered writes of the same rounds; see `docs/benchmarks-blob.md`.
//!
//! A read past it takes whole blocks into an aligned buffer and copies what is wanted: that costs less than finding pages
//! for what nobody asks for twice. Files that were written through the page cache are read from there.

use crate::budget::Permit;
use crate::limits::{
    BLOCK_BYTES, DIRECT_MIN_BYTES, DIRECT_PIECE_BYTES, DIRECT_READ_BYTES, DIRECT_READS_AT_ONCE, DISK_BUFFER_BYTES,
    ROUND_JOBS, ROUNDS_AT_ONCE,
};
use rustix::fs::{Mode, OFlags};
use std::io::{ErrorKind, IoSlice, Result};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A buffer, aligned as the device wants it.
struct Aligned {
    bytes: Vec<u8>,
    at: usize,
}

impl Aligned {
    fn new(len: usize) -> Self {
        let bytes = vec![0; len + BLOCK_BYTES];
        let at = bytes.as_ptr().align_offset(BLOCK_BYTES);
        Self { bytes, at }
    }

    fn piece(&mut self, len: usize) -> &mut [u8] {
        &mut self.bytes[self.at..self.at + len]
    }
}

/// The buffers of one directory, and whether its file system takes such writes.
pub(super) struct Direct {
    buffers: Mutex<Vec<Aligned>>,
    read_buffers: Mutex<Vec<Aligned>>,
    refused: AtomicBool,
    reads_refused: AtomicBool,
    paused: AtomicBool,
    _ram: Permit,
}

impl Direct {
    /// `ram` pays for the buffers.
    pub fn new(ram: Permit) -> Self {
        debug_assert!(ram.bytes() >= DISK_BUFFER_BYTES);
        Self {
            buffers: Mutex::new((0..ROUNDS_AT_ONCE).map(|_| Aligned::new(DIRECT_PIECE_BYTES)).collect()),
            read_buffers: Mutex::new((0..DIRECT_READS_AT_ONCE).map(|_| Aligned::new(DIRECT_READ_BYTES)).collect()),
            refused: AtomicBool::new(false),
            reads_refused: AtomicBool::new(false),
            paused: AtomicBool::new(false),
            _ram: ram,
        }
    }

    fn buffers(&self) -> MutexGuard<'_, Vec<Aligned>> {
        self.buffers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_buffers(&self) -> MutexGuard<'_, Vec<Aligned>> {
        self.read_buffers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends `len` bytes at `offset` to `out`. False, and `out` unchanged, if they are too many or if anything is in the
    /// way: then the caller reads through the page cache, and hears of errors there.
    pub fn read(&self, path: &Path, out: &mut Vec<u8>, len: usize, offset: u64) -> bool {
        let within = usize::try_from(offset % BLOCK_BYTES as u64).expect("below the size of a block");
        let blocks = (within + len).next_multiple_of(BLOCK_BYTES);
        if blocks > DIRECT_READ_BYTES || self.reads_refused.load(Ordering::Relaxed) {
            return false;
        }
        let Some(mut buffer) = self.read_buffers().pop() else { return false };
        let read = self.read_blocks(path, buffer.piece(blocks), offset - within as u64);
        // The file may end within the last block.
        let there = read >= within + len;
        if there {
            out.extend_from_slice(&buffer.piece(blocks)[within..within + len]);
        }
        self.read_buffers().push(buffer);
        there
    }

    /// Fills whole blocks. How many bytes there were.
    fn read_blocks(&self, path: &Path, blocks: &mut [u8], offset: u64) -> usize {
        // Opened for each read, so that it takes no place among the open files. A file that is gone by now has no name, and
        // a name is never given to another.
        let Ok(direct) = rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECT | OFlags::CLOEXEC, Mode::empty())
        else {
            return 0;
        };
        match rustix::io::pread(&direct, &mut *blocks, offset) {
            Ok(read) => read,
            Err(error) => {
                // The file system wants another alignment, or none of it.
                self.reads_refused.fetch_or(error == rustix::io::Errno::INVAL, Ordering::Relaxed);
                0
            }
        }
    }

    /// Whether so many bytes are worth it.
    pub fn takes(&self, total: usize) -> bool {
        let may = !self.refused.load(Ordering::Relaxed) && !self.paused.load(Ordering::Relaxed);
        may && total >= DIRECT_MIN_BYTES + BLOCK_BYTES
    }

    /// Has writes go through the page cache until it is told otherwise.
    pub fn pause(&self, paused: bool) {
        self.paused.store(paused, Ordering::Relaxed);
    }

    /// Writes whole blocks out of these slices to `offset`, a multiple of the block, and says how many bytes. `None` if
    /// they are too few, or if they have to go through the page cache.
    pub fn write(&self, path: &Path, slices: &[IoSlice<'_>], offset: u64) -> Option<Result<usize>> {
        let total: usize = slices.iter().map(|slice| slice.len()).sum();
        if !self.takes(total) {
            return None;
        }
        // Opened for each round of megabytes, so that it takes no place among the open files.
        let Ok(file) = rustix::fs::open(path, OFlags::WRONLY | OFlags::DIRECT | OFlags::CLOEXEC, Mode::empty()) else {
            self.refused.store(true, Ordering::Relaxed);
            return None;
        };
        let wanted = total / BLOCK_BYTES * BLOCK_BYTES;
        let mut round = Round { file: &file, source: Source { slices, skip: 0 }, offset, left: wanted };
        let mut buffer = self.buffers().pop()?;
        let result = round.write(&mut buffer);
        self.buffers().push(buffer);
        let written = wanted - round.left;
        match result {
            // The file system wants another alignment, or none of it.
            Err(error) if error.kind() == ErrorKind::InvalidInput => self.refused.store(true, Ordering::Relaxed),
            Err(error) => return Some(Err(error)),
            Ok(()) => {}
        }
        (written > 0).then_some(Ok(written))
    }
}

/// What is still to be written of some slices.
struct Round<'a, 'b> {
    file: &'a OwnedFd,
    source: Source<'a, 'b>,
    offset: u64,
    left: usize,
}

impl Round<'_, '_> {
    /// Writes until nothing is left, or until what goes on is not at a block: what is left then is for the caller.
    fn write(&mut self, buffer: &mut Aligned) -> Result<()> {
        while self.left > 0 && self.offset.is_multiple_of(BLOCK_BYTES as u64) {
            // A little more at the end is better than a write of its own.
            let most = if self.left < DIRECT_PIECE_BYTES / 4 * 5 { self.left } else { DIRECT_PIECE_BYTES };
            let in_place = self.source.in_place(most);
            if !in_place.is_empty() {
                match rustix::io::pwritev(self.file, &in_place, self.offset) {
                    Ok(0) => return Err(ErrorKind::WriteZero.into()),
                    Ok(n) => self.advance(n),
                    Err(rustix::io::Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
                continue;
            }
            let len = self.source.gathered_len().min(self.left).min(DIRECT_PIECE_BYTES);
            let (mut source, gathered) = (self.source, buffer.piece(len));
            source.fill(gathered);
            write_all(self.file, gathered, self.offset)?;
            self.advance(len);
        }
        Ok(())
    }

    fn advance(&mut self, n: usize) {
        self.source.advance(n);
        self.offset += n as u64;
        self.left -= n;
    }
}

fn write_all(file: &OwnedFd, mut bytes: &[u8], mut offset: u64) -> Result<()> {
    while !bytes.is_empty() {
        match rustix::io::pwrite(file, bytes, offset) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(n) => (bytes, offset) = (&bytes[n..], offset + n as u64),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// What is still to be written.
#[derive(Clone, Copy)]
struct Source<'a, 'b> {
    slices: &'a [IoSlice<'b>],
    skip: usize,
}

/// Whether a device can be handed the slice as it is.
fn is_aligned(slice: &[u8]) -> bool {
    slice.len() >= BLOCK_BYTES
        && slice.len().is_multiple_of(BLOCK_BYTES)
        && slice.as_ptr().align_offset(BLOCK_BYTES) == 0
}

impl Source<'_, '_> {
    /// Up to `most` bytes, a multiple of the block, that can go as they are from here on: of several slices, if one
    /// follows the other.
    fn in_place(&self, most: usize) -> Vec<IoSlice<'_>> {
        let (mut skip, mut room, mut out) = (self.skip, most, Vec::new());
        for slice in self.slices {
            let rest = &slice[skip..];
            if room == 0 || !is_aligned(rest) || out.len() == ROUND_JOBS {
                break;
            }
            out.push(IoSlice::new(&rest[..rest.len().min(room)]));
            room -= rest.len().min(room);
            skip = 0;
        }
        out
    }

    /// Bytes up to the next slice that can go as it is, or to the end.
    fn gathered_len(&self) -> usize {
        let (mut skip, mut sum) = (self.skip, 0_usize);
        for slice in self.slices {
            let rest = &slice[skip..];
            if sum > 0 && sum.is_multiple_of(BLOCK_BYTES) && is_aligned(rest) {
                break;
            }
            sum += rest.len();
            skip = 0;
        }
        sum
    }

    fn advance(&mut self, mut n: usize) {
        while let Some((slice, others)) = self.slices.split_first() {
            let rest = slice.len() - self.skip;
            if rest > n {
                self.skip += n;
                return;
            }
            n -= rest;
            (self.slices, self.skip) = (others, 0);
        }
    }

    fn fill(&mut self, mut into: &mut [u8]) {
        while !into.is_empty() {
            let slice = &self.slices[0][self.skip..];
            let n = slice.len().min(into.len());
            let (now, rest) = into.split_at_mut(n);
            now.copy_from_slice(&slice[..n]);
            into = rest;
            self.advance(n);
        }
    }
}
