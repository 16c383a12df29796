//! What a server uses: disk, and memory as it is watched.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::bench;

/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Mebibytes, for figures.
pub fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Bytes of disk that the files of a directory take, with what is below it.
pub fn disk_bytes(dir: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir)?.flatten() {
        // A file that has gone since takes none.
        let Ok(meta) = entry.metadata() else { continue };
        bytes += if meta.is_dir() { disk_bytes(&entry.path()).unwrap_or(0) } else { meta.blocks() * 512 };
    }
    Ok(bytes)
}

/// Processor time of each thread that lives, by its name, in microseconds (in steps of 10 ms).
pub fn threads_cpu_us(pid: u32) -> Result<Vec<(String, f64)>> {
    let mut threads = Vec::new();
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))?.flatten() {
        // A thread that has ended since has none.
        let Ok(stat) = std::fs::read_to_string(task.path().join("stat")) else { continue };
        threads.extend(thread_cpu_us(&stat));
    }
    Ok(threads)
}

/// What a line of the accounting says: the name is in parentheses and may contain anything, times are in ticks of 1/100 s.
fn thread_cpu_us(stat: &str) -> Option<(String, f64)> {
    let (head, rest) = stat.rsplit_once(')')?;
    let (_, name) = head.split_once('(')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let (user, system): (f64, f64) = (fields.get(11)?.parse().ok()?, fields.get(12)?.parse().ok()?);
    Some((name.to_owned(), (user + system) * 10_000.0))
}

/// What a server with this maxmemory may take of the machine's memory: its code, its buffers and what the allocator
/// wastes come on top.
pub fn check_memory(most: u64, maxmemory: u64) -> Result<()> {
    let bound = maxmemory + maxmemory / 4 + (120 << 20);
    ensure!(
        most <= bound,
        "{} MiB of memory were resident; with this maxmemory {} are the most",
        mib(most),
        mib(bound)
    );
    Ok(())
}

/// Watches the resident memory of a process until it is asked for the most that it was.
#[derive(Debug)]
pub struct MemoryWatch {
    most: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl MemoryWatch {
    pub fn start(pid: u32) -> MemoryWatch {
        let (most, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (seen, stopped) = (Arc::clone(&most), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                seen.fetch_max(bench::resident(pid).unwrap_or(0), Ordering::Relaxed);
                std::thread::sleep(LOOK);
            }
        });
        MemoryWatch { most, stop, thread: Some(thread) }
    }

    /// The most so far, in bytes.
    pub fn most(&self) -> u64 {
        self.most.load(Ordering::Relaxed)
    }
}

impl Drop for MemoryWatch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // It can only have ended.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

#[cfg(test)]
mod tests {
    use super::{check_memory, thread_cpu_us};

    #[test]
    fn a_thread_is_told_by_its_name_and_has_user_and_system_time() {
        let stat = "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 30 12 0 0 20 0";
        assert_eq!(thread_cpu_us(stat), Some(("a) b".to_owned(), 420_000.0)));
        assert_eq!(thread_cpu_us("7 (x) S 1"), None);
    }

    #[test]
    fn memory_is_bounded_by_maxmemory_and_what_comes_on_top() {
        check_memory(370 << 20, 200 << 20).unwrap();
        assert!(check_memory((370 << 20) + 1, 200 << 20).is_err());
    }
}
