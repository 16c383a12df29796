//! Large writes past the page cache.
//!
//! The bytes are gathered into aligned buffers, one of which is filled while the other is on its way to the device:
//! a copy within the processor's cache instead of pages that the kernel has to find, mark, write back and drop.
//! Measured against buffered writes of the same rounds; see `docs/benchmarks-blob.md`.

use crate::budget::Permit;
use crate::limits::{DIRECT_BLOCK_BYTES, DIRECT_MIN_BYTES, DIRECT_PIECE_BYTES, DISK_BUFFER_BYTES};
use rustix::fs::{Mode, OFlags};
use std::io::{Error, ErrorKind, IoSlice, Result};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// A buffer of one piece, aligned as the device wants it.
struct Aligned {
    bytes: Vec<u8>,
    at: usize,
}

impl Aligned {
    fn new() -> Self {
        let bytes = vec![0; DIRECT_PIECE_BYTES + DIRECT_BLOCK_BYTES];
        let at = bytes.as_ptr().align_offset(DIRECT_BLOCK_BYTES);
        Self { bytes, at }
    }

    fn piece(&mut self) -> &mut [u8] {
        &mut self.bytes[self.at..self.at + DIRECT_PIECE_BYTES]
    }
}

/// A filled buffer, and how much of it goes where.
struct Filled {
    buffer: Aligned,
    len: usize,
    offset: u64,
}

/// The buffers of one directory, and whether its file system takes such writes.
pub(super) struct Direct {
    buffers: Mutex<Vec<Aligned>>,
    refused: AtomicBool,
    paused: AtomicBool,
    _ram: Permit,
}

impl Direct {
    /// `ram` pays for the buffers.
    pub fn new(ram: Permit) -> Self {
        debug_assert!(ram.bytes() >= DISK_BUFFER_BYTES);
        Self {
            buffers: Mutex::new(vec![Aligned::new(), Aligned::new()]),
            refused: AtomicBool::new(false),
            paused: AtomicBool::new(false),
            _ram: ram,
        }
    }

    /// Whether so many bytes are worth it.
    pub fn takes(&self, total: usize) -> bool {
        let may = !self.refused.load(Ordering::Relaxed) && !self.paused.load(Ordering::Relaxed);
        may && total >= DIRECT_MIN_BYTES + DIRECT_BLOCK_BYTES
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
        let mut buffers = self.buffers.try_lock().ok()?;
        // Opened for each round of megabytes, so that it takes no place among the open files.
        let Ok(file) = rustix::fs::open(path, OFlags::WRONLY | OFlags::DIRECT | OFlags::CLOEXEC, Mode::empty()) else {
            self.refused.store(true, Ordering::Relaxed);
            return None;
        };
        let wanted = total / DIRECT_BLOCK_BYTES * DIRECT_BLOCK_BYTES;
        let written = write_pieces(&file, &mut buffers, slices, wanted, offset);
        match written {
            // Nothing was written: the file system wants another alignment, or none of it.
            Err(error) if error.kind() == ErrorKind::InvalidInput => {
                self.refused.store(true, Ordering::Relaxed);
                None
            }
            Ok(false) => None,
            written => Some(written.map(|_| wanted)),
        }
    }
}

/// False if there was no thread to be had, and nothing was written.
fn write_pieces(
    file: &OwnedFd,
    buffers: &mut Vec<Aligned>,
    slices: &[IoSlice<'_>],
    wanted: usize,
    mut offset: u64,
) -> Result<bool> {
    let (filled, to_write) = sync_channel(2);
    let (emptied, empty) = sync_channel(2);
    buffers.drain(..).try_for_each(|buffer| emptied.send(buffer)).expect("the channel has room for both");
    let result = std::thread::scope(|scope| {
        let writer = std::thread::Builder::new().name("blob-direct".into());
        let Ok(writer) = writer.spawn_scoped(scope, || write_filled(file, to_write, &emptied)) else {
            return Ok(false);
        };
        let (mut source, mut left) = (Source { slices, skip: 0 }, wanted);
        while left > 0 {
            let Ok(mut buffer) = empty.recv() else { break };
            // A small first piece, so that the device has something to do early.
            let piece = if left == wanted { DIRECT_PIECE_BYTES / 4 } else { DIRECT_PIECE_BYTES };
            let len = left.min(piece);
            source.fill(&mut buffer.piece()[..len]);
            if filled.send(Filled { buffer, len, offset }).is_err() {
                break;
            }
            left -= len;
            offset += len as u64;
        }
        drop(filled);
        let written = writer.join().unwrap_or_else(|_| Err(Error::other("the writing thread panicked")));
        written.map(|()| true)
    });
    buffers.extend(empty.try_iter());
    buffers.resize_with(2, Aligned::new);
    result
}

fn write_filled(file: &OwnedFd, filled: Receiver<Filled>, emptied: &SyncSender<Aligned>) -> Result<()> {
    for mut piece in filled {
        let mut done = 0;
        while done < piece.len {
            let rest = &piece.buffer.piece()[done..piece.len];
            match rustix::io::pwrite(file, rest, piece.offset + done as u64) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(n) => done += n,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        emptied.send(piece.buffer).map_err(|_| Error::other("nobody fills the buffers"))?;
    }
    Ok(())
}

/// What is still to be copied.
struct Source<'a, 'b> {
    slices: &'a [IoSlice<'b>],
    skip: usize,
}

impl Source<'_, '_> {
    fn fill(&mut self, mut into: &mut [u8]) {
        while !into.is_empty() {
            let slice = &self.slices[0][self.skip..];
            let n = slice.len().min(into.len());
            let (now, rest) = into.split_at_mut(n);
            now.copy_from_slice(&slice[..n]);
            into = rest;
            self.skip += n;
            if self.skip == self.slices[0].len() {
                self.slices = &self.slices[1..];
                self.skip = 0;
            }
        }
    }
}
