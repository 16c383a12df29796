//! The real file system, through pread and pwritev; large writes past the page cache.

use super::direct::Direct;
use super::{Disk, DiskFile};
use crate::budget::Permit;
use crate::limits::DIRECT_BLOCK_BYTES;
use crate::sync::Arc;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, IoSlice, Result};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::OnceLock;

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
        Ok(Arc::new(RealFile { file, path, direct: Arc::clone(&self.direct) }))
    }

    fn open(&self, name: &str) -> Result<Arc<dyn DiskFile>> {
        let path = self.root.join(name);
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        Ok(Arc::new(RealFile { file, path, direct: Arc::clone(&self.direct) }))
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

    fn lend(&self, ram: Permit) {
        self.direct.get_or_init(|| Direct::new(ram));
    }
}

struct RealFile {
    file: File,
    path: PathBuf,
    direct: Arc<OnceLock<Direct>>,
}

impl DiskFile for RealFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        self.file.read_at(buf, offset)
    }

    fn write_at(&self, buffers: &[IoSlice<'_>], offset: u64) -> Result<usize> {
        if let Some(direct) = self.direct.get() {
            let within = usize::try_from(offset % DIRECT_BLOCK_BYTES as u64).expect("below the size of a block");
            if within == 0
                && let Some(written) = direct.write(&self.path, buffers, offset)
            {
                return written;
            }
            let total: usize = buffers.iter().map(|buffer| buffer.len()).sum();
            if within > 0 && direct.takes(total) {
                return self.write_head(buffers, offset, DIRECT_BLOCK_BYTES - within);
            }
        }
        Ok(rustix::io::pwritev(&self.file, buffers, offset)?)
    }

    fn sync(&self) -> Result<()> {
        self.file.sync_data()
    }

    fn len(&self) -> Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.file.set_len(len)
    }
}

impl RealFile {
    /// Writes `len` bytes through the page cache, up to where blocks begin that can go past it.
    fn write_head(&self, buffers: &[IoSlice<'_>], offset: u64, len: usize) -> Result<usize> {
        let mut head = [0; DIRECT_BLOCK_BYTES];
        let mut filled = 0;
        for buffer in buffers {
            let n = buffer.len().min(len - filled);
            head[filled..filled + n].copy_from_slice(&buffer[..n]);
            filled += n;
        }
        Ok(rustix::io::pwrite(&self.file, &head[..filled], offset)?)
    }
}
