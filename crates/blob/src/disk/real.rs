//! The real file system, through pread and pwritev; large writes past the page cache.

use super::direct::Direct;
use super::{Disk, DiskFile};
use crate::budget::Permit;
use crate::limits::BLOCK_BYTES;
use crate::sync::Arc;
use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, IoSlice, Result};
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::ScopedJoinHandle;

/// Threads that sync files at once.
const SYNCING_THREADS: usize = 16;

/// Bytes that the device is asked for at once when a read of more is announced: what has come is copied while the rest
/// is under way.
const ANNOUNCED_BYTES: u64 = 256 * 1024;

/// A file of which so many bytes were written through the page cache is read through it: more than the ends of rounds that
/// went past it.
const CACHED_BYTES: u64 = 128 * 1024;

/// A directory of the file system.
pub struct RealDisk {
    root: PathBuf,
    boot: u128,
    direct: Arc<OnceLock<Direct>>,
}

impl RealDisk {
    /// Uses `root`, which is created if it is not there.
    pub fn new(root: impl Into<PathBuf>) -> Result<Self> {
        let root = root.into();
        std::fs::create_dir_all(&root)?;
        Ok(Self { root, boot: boot_id(), direct: Arc::default() })
    }

    /// Uses `root` only if it is there already.
    pub fn existing(root: impl Into<PathBuf>) -> Result<Self> {
        let root = root.into();
        if !std::fs::metadata(&root)?.is_dir() {
            return Err(ErrorKind::NotADirectory.into());
        }
        Ok(Self { root, boot: boot_id(), direct: Arc::default() })
    }
}

/// The kernel's random id of this boot. Where there is none every open counts as another boot, which is safe.
fn boot_id() -> u128 {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    u128::from_str_radix(&digits, 16).unwrap_or_else(|_| u128::from(crate::options::random_u64()))
}

impl Disk for RealDisk {
    fn create(&self, name: &str) -> Result<Arc<dyn DiskFile>> {
        let path = self.root.join(name);
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        Ok(Arc::new(RealFile::new(file, path, &self.direct)))
    }

    fn open(&self, name: &str) -> Result<Arc<dyn DiskFile>> {
        let path = self.root.join(name);
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        Ok(Arc::new(RealFile::new(file, path, &self.direct)))
    }

    fn remove(&self, name: &str) -> Result<()> {
        std::fs::remove_file(self.root.join(name))
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        std::fs::rename(self.root.join(from), self.root.join(to))
    }

    fn list(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.root)? {
            let entry = entry?;
            if let (true, Ok(name)) = (entry.file_type()?.is_file(), entry.file_name().into_string()) {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn sync_dir(&self) -> Result<()> {
        File::open(&self.root)?.sync_all()
    }

    fn lock(&self, name: &str) -> Result<Option<Box<dyn Send + Sync>>> {
        let path = self.root.join(name);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Box::new(file))),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn boot_id(&self) -> u128 {
        self.boot
    }

    fn sync_files(&self, files: &[Arc<dyn DiskFile>]) -> Result<()> {
        // At once, so that they share the commits of the file system's journal.
        let part = files.len().div_ceil(SYNCING_THREADS).max(1);
        std::thread::scope(|scope| {
            let sync = |files: &[Arc<dyn DiskFile>]| files.iter().try_for_each(|file| file.sync());
            let begin = |files| (std::thread::Builder::new().spawn_scoped(scope, move || sync(files)), files);
            let threads: Vec<_> = files.chunks(part).map(begin).collect();
            let synced = |(thread, files): (Result<ScopedJoinHandle<'_, Result<()>>>, _)| match thread {
                Ok(thread) => thread.join().unwrap_or_else(|_| Err(Error::other("a syncing thread panicked"))),
                // There was no thread to be had.
                Err(_) => sync(files),
            };
            // All are waited for, whatever the first says.
            threads.into_iter().map(synced).fold(Ok(()), Result::and)
        })
    }

    fn expect_reads(&self, soon: bool) {
        if let Some(direct) = self.direct.get() {
            direct.pause(soon);
        }
    }

    fn lend(&self, ram: Permit) {
        self.direct.get_or_init(|| Direct::new(ram));
    }
}

struct RealFile {
    file: File,
    path: PathBuf,
    direct: Arc<OnceLock<Direct>>,
    /// Bytes written through the page cache, where they are likely to be still.
    cached: AtomicU64,
}

impl DiskFile for RealFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        self.file.read_at(buf, offset)
    }

    fn read_append(&self, out: &mut Vec<u8>, len: usize, offset: u64) -> Result<usize> {
        out.reserve_exact(len);
        let end = out.len() + len;
        if out.capacity() > end {
            // The spare room is read into as a whole, and there is more of it.
            out.resize(end, 0);
            let read = self.file.read_at(&mut out[end - len..], offset);
            out.truncate(end - len + read.as_ref().map_or(0, |&n| n));
            return read;
        }
        Ok(rustix::io::pread(&self.file, rustix::buffer::spare_capacity(out), offset)?)
    }

    fn read_once(&self, out: &mut Vec<u8>, len: usize, offset: u64) -> bool {
        let cached = self.cached.load(Ordering::Relaxed) >= CACHED_BYTES;
        !cached && self.direct.get().is_some_and(|direct| direct.read(&self.path, out, len, offset))
    }

    fn write_at(&self, buffers: &[IoSlice<'_>], offset: u64) -> Result<usize> {
        if let Some(direct) = self.direct.get() {
            let within = usize::try_from(offset % BLOCK_BYTES as u64).expect("below the size of a block");
            if within == 0
                && let Some(written) = direct.write(&self.path, buffers, offset)
            {
                return written;
            }
            let total: usize = buffers.iter().map(|buffer| buffer.len()).sum();
            if within > 0 && direct.takes(total) {
                return self.write_head(buffers, offset, BLOCK_BYTES - within);
            }
        }
        let written = rustix::io::pwritev(&self.file, buffers, offset)?;
        self.cached.fetch_add(written as u64, Ordering::Relaxed);
        Ok(written)
    }

    fn sync(&self) -> Result<()> {
        self.file.sync_data()
    }

    fn expect_read(&self, offset: u64, len: u64) {
        let parts = (len / ANNOUNCED_BYTES).max(1);
        for part in 0..parts {
            let start = offset + part * ANNOUNCED_BYTES;
            let len = if part + 1 == parts { offset + len - start } else { ANNOUNCED_BYTES };
            // Without it the read that follows brings the bytes itself.
            let _ = rustix::fs::fadvise(&self.file, start, NonZeroU64::new(len), rustix::fs::Advice::WillNeed);
        }
    }

    fn len(&self) -> Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.file.set_len(len)
    }
}

impl RealFile {
    fn new(file: File, path: PathBuf, direct: &Arc<OnceLock<Direct>>) -> Self {
        // What is wanted is known exactly, so the kernel need not guess; where it does not take the hint, it guesses.
        let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Random);
        Self { file, path, direct: Arc::clone(direct), cached: AtomicU64::new(0) }
    }

    /// Writes `len` bytes through the page cache, up to where blocks begin that can go past it.
    fn write_head(&self, buffers: &[IoSlice<'_>], offset: u64, len: usize) -> Result<usize> {
        let mut head = [0; BLOCK_BYTES];
        let mut filled = 0;
        for buffer in buffers {
            let n = buffer.len().min(len - filled);
            head[filled..filled + n].copy_from_slice(&buffer[..n]);
            filled += n;
        }
        Ok(rustix::io::pwrite(&self.file, &head[..filled], offset)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Budget;
    use crate::buf::Room;
    use crate::format::record;
    use crate::limits::DISK_BUFFER_BYTES;
    use crate::store::write_all;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn what_is_written_past_the_page_cache_is_what_is_read_through_it(
            rounds in prop::collection::vec(
                prop::collection::vec(
                    prop_oneof![3 => 1usize..9_000, 3 => 90_000usize..130_000, 1 => 130_000usize..2_500_000],
                    1..40,
                ),
                1..4,
            ),
            lend: bool,
            parts in prop::collection::vec((any::<prop::sample::Index>(), 1usize..150_000), 0..12),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let disk = RealDisk::new(dir.path()).unwrap();
            if lend {
                disk.lend(Budget::new(DISK_BUFFER_BYTES).try_take(DISK_BUFFER_BYTES).unwrap());
            }
            let file = disk.create("file").unwrap();
            let mut expected: Vec<u8> = Vec::new();
            for (round, lens) in rounds.into_iter().enumerate() {
                let begins = expected.len();
                let mut slices: Vec<Room> = Vec::new();
                for (n, len) in lens.into_iter().enumerate() {
                    // As records are: large ones lie on blocks of memory, and begin at a block of the file.
                    let gap = record::begin(expected.len() as u64, len as u64) as usize - expected.len();
                    let bytes: Vec<u8> = (0..len).map(|i| (i / 7 + i * 31 + n * 5 + round * 3) as u8).collect();
                    slices.push(vec![0; gap].into());
                    slices.push(Room::copy_of(&bytes, len));
                    slices[slices.len() - 2..].iter().for_each(|slice| expected.extend_from_slice(slice));
                }
                let borrowed: Vec<&[u8]> = slices.iter().map(|slice| &slice[..]).collect();
                write_all(&*file, &borrowed, begins as u64).unwrap();
            }
            disk.sync_files(&[Arc::clone(&file)]).unwrap();
            prop_assert_eq!(file.len().unwrap(), expected.len() as u64);
            let mut read = Vec::new();
            while read.len() < expected.len() {
                let left = expected.len() - read.len();
                let n = file.read_append(&mut read, left, (expected.len() - left) as u64).unwrap();
                prop_assert!(n > 0);
            }
            prop_assert!(read == expected);
            // Another handle, which does not know how it was written.
            let file = disk.open("file").unwrap();
            for (from, len) in parts {
                let from = from.index(expected.len());
                let mut once = b"before".to_vec();
                let there = expected.get(from..from + len);
                if file.read_once(&mut once, len, from as u64) {
                    prop_assert!(lend && there.is_some(), "there is no such part, or no buffer for it");
                    prop_assert_eq!(&once[6..], there.unwrap_or_default());
                }
                prop_assert!(once.starts_with(b"before") && (once.len() == 6 || once.len() == 6 + len));
            }
        }
    }
}
