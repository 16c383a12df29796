//! A disk in memory that forgets what was not synced, fails on request, and crashes.
//!
//! Each file has two contents: what a running process sees, and what has reached the medium. A write goes to the first, and is
//! remembered as pending for the second. A sync moves what is pending; a crash moves a random part of it, in any order,
//! a write possibly only up to a random byte or sector by sector, and forgets the rest. Names work the same way. A sync that
//! fails does what Linux does: it moves a random part, and what it did not move is never written, though
//! it can still be read and the next sync succeeds.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use crate::disk::{Disk, DiskFile};

const SECTOR_BYTES: usize = 512;

/// What an operation that is made to fail does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It does nothing and says EIO. A sync also loses what was pending.
    Io,
    /// A write writes a part and says ENOSPC the next time; it goes on saying so until `free_space`.
    NoSpace,
    /// A write writes only a part, and says so. Other operations are not hurt.
    Short,
    /// The machine stops: this and every later operation of who has the disk open fail.
    Crash,
}

/// A disk in memory. Clones are the same disk.
#[derive(Clone, Debug)]
pub struct MemDisk {
    state: Arc<Mutex<State>>,
    before_sync: Arc<OnceLock<Hook>>,
    /// Of which boot this handle is.
    boot: u64,
}

/// What to do while somebody waits for a sync.
struct Hook(Box<dyn Fn() + Send + Sync>);

impl std::fmt::Debug for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hook")
    }
}

#[derive(Debug)]
struct State {
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    pending_names: Vec<NameChange>,
    inodes: Vec<Inode>,
    boot: u64,
    locked: bool,
    crashed: bool,
    full: bool,
    operations: u64,
    fault_at: Option<(u64, Fault)>,
    random: u64,
}

#[derive(Debug, Default)]
struct Inode {
    seen: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Truncate(usize),
}

#[derive(Clone, Debug)]
enum NameChange {
    Set(String, usize),
    Rename(String, String, usize),
    Remove(String),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Op {
    Read,
    Write,
    Change,
    Sync,
}

impl MemDisk {
    /// An empty disk, whose random choices follow from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let state = State {
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            pending_names: Vec::new(),
            inodes: Vec::new(),
            boot: 0,
            locked: false,
            crashed: false,
            full: false,
            operations: 0,
            fault_at: None,
            random: seed ^ 0x5851_f42d_4c95_7f2d,
        };
        Self { state: Arc::new(Mutex::new(state)), before_sync: Arc::default(), boot: 0 }
    }

    /// How many operations that change something were asked for.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.state.lock().operations
    }

    /// Makes the operation fail that comes after `count` others that change something.
    pub fn fail_after(&self, count: u64, fault: Fault) {
        let mut state = self.state.lock();
        state.fault_at = Some((state.operations + count, fault));
    }

    /// Calls `hook` in every sync of a file before it takes effect: what other threads may do while one waits for
    /// the disk. Only the first hook counts.
    pub fn before_sync(&self, hook: impl Fn() + Send + Sync + 'static) {
        let _ = self.before_sync.set(Hook(Box::new(hook)));
    }

    /// Whether a `Crash` has struck.
    #[must_use]
    pub fn has_crashed(&self) -> bool {
        self.state.lock().crashed
    }

    /// There is space again.
    pub fn free_space(&self) {
        self.state.lock().full = false;
    }

    /// The machine stops and starts again: pending changes are kept or lost at random. Handles of before are dead. Gives the
    /// disk as the next process finds it.
    #[must_use]
    pub fn crash(&self) -> Self {
        let mut state = self.state.lock();
        state.crash();
        self.reborn(&mut state)
    }

    /// The process stops and another starts, on the same machine: all that was written is still seen. Handles of before
    /// are dead.
    #[must_use]
    pub fn restart(&self) -> Self {
        self.reborn(&mut self.state.lock())
    }

    fn reborn(&self, state: &mut State) -> Self {
        state.boot += 1;
        state.locked = false;
        state.crashed = false;
        state.fault_at = None;
        Self { state: Arc::clone(&self.state), before_sync: Arc::clone(&self.before_sync), boot: state.boot }
    }

    /// A copy of the disk as it is seen now, with nothing pending.
    #[must_use]
    pub fn snapshot(&self) -> Self {
        let state = self.state.lock();
        let copy = Self::new(state.random);
        {
            let mut other = copy.state.lock();
            for (name, inode) in &state.names {
                let seen = state.inodes[*inode].seen.clone();
                let index = other.inodes.len();
                other.inodes.push(Inode { durable: seen.clone(), seen, pending: Vec::new() });
                other.names.insert(name.clone(), index);
            }
            other.durable_names = other.names.clone();
        }
        copy
    }

    /// Changes one byte behind everybody's back, durably: what a broken medium does. False if there is no such byte.
    pub fn damage(&self, name: &str, offset: usize, xor: u8) -> bool {
        let mut state = self.state.lock();
        let Some(inode) = state.names.get(name).copied() else { return false };
        let inode = &mut state.inodes[inode];
        for content in [&mut inode.durable, &mut inode.seen] {
            if let Some(byte) = content.get_mut(offset) {
                *byte ^= xor;
            }
        }
        offset < inode.seen.len()
    }

    /// The content of a file as it is seen.
    #[must_use]
    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.state.lock();
        state.names.get(name).map(|inode| state.inodes[*inode].seen.clone())
    }

    /// What others do while somebody waits for a sync.
    fn meanwhile(&self) {
        if let Some(Hook(hook)) = self.before_sync.get() {
            hook();
        }
    }

    fn begin(&self, op: Op) -> io::Result<(parking_lot::MutexGuard<'_, State>, Option<Fault>)> {
        let mut state = self.state.lock();
        if state.crashed || state.boot != self.boot {
            return Err(io::Error::other("this machine has crashed"));
        }
        if op == Op::Read {
            return Ok((state, None));
        }
        let struck = state.fault_at.filter(|(at, _)| *at == state.operations).map(|(_, fault)| fault);
        state.operations += 1;
        match struck {
            Some(Fault::Crash) => state.crashed = true,
            Some(Fault::NoSpace) => state.full = true,
            _ => {}
        }
        Ok((state, struck))
    }

    /// An operation on names: fails as told, or goes on.
    fn begin_name(&self, op: Op, makes: bool) -> io::Result<parking_lot::MutexGuard<'_, State>> {
        let (state, fault) = self.begin(op)?;
        match fault {
            Some(Fault::Io) => Err(io::Error::other("injected EIO")),
            // Whether the change happened is not known to who asked for it.
            Some(Fault::Crash) if op == Op::Sync => Err(io::Error::other("injected crash")),
            Some(Fault::Crash) => Ok(state),
            _ if makes && state.full => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(state),
        }
    }

    fn file(&self, inode: usize) -> Arc<dyn DiskFile> {
        Arc::new(MemFile { disk: self.clone(), inode })
    }
}

impl State {
    /// A random number below `n`, which is not 0 (xorshift, as good as is needed here).
    fn below(&mut self, n: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        ((self.random >> 11) % n as u64) as usize
    }

    fn crash(&mut self) {
        for change in std::mem::take(&mut self.pending_names) {
            if self.below(2) == 0 {
                apply_name(&mut self.durable_names, change);
            }
        }
        self.names = self.durable_names.clone();
        for index in 0..self.inodes.len() {
            self.persist_some(index);
            let inode = &mut self.inodes[index];
            inode.seen = inode.durable.clone();
        }
    }

    /// Moves a random part of what is pending for a file to the medium, and forgets the rest.
    fn persist_some(&mut self, index: usize) {
        let pending = std::mem::take(&mut self.inodes[index].pending);
        // In half of all cases in order up to a torn one, as most filesystems do; else any of them.
        let in_order = self.below(2) == 0;
        let stop = self.below(pending.len() + 1);
        for (i, change) in pending.into_iter().enumerate() {
            if in_order && i > stop {
                return;
            }
            let part = if in_order && i < stop { 2 } else { self.below(4) };
            let changes = match (part, change) {
                (0, _) => Vec::new(),
                (1, Change::Write(at, bytes)) => {
                    let keep = self.below(bytes.len() + 1);
                    vec![Change::Write(at, bytes[..keep].to_vec())]
                }
                (3, Change::Write(at, bytes)) => self.some_sectors(at, &bytes),
                (_, whole) => vec![whole],
            };
            for change in changes {
                apply(&mut self.inodes[index].durable, &change);
            }
        }
    }

    /// Some of the sectors that a write touches.
    fn some_sectors(&mut self, at: usize, bytes: &[u8]) -> Vec<Change> {
        let mut kept = Vec::new();
        let mut from = 0;
        while from < bytes.len() {
            let to = bytes.len().min(from + SECTOR_BYTES - (at + from) % SECTOR_BYTES);
            if self.below(2) == 0 {
                kept.push(Change::Write(at + from, bytes[from..to].to_vec()));
            }
            from = to;
        }
        kept
    }
}

fn apply(content: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Truncate(len) => content.resize(*len, 0),
        Change::Write(at, bytes) => {
            if bytes.is_empty() {
                return;
            }
            let end = at + bytes.len();
            if content.len() < end {
                content.resize(end, 0);
            }
            content[*at..end].copy_from_slice(bytes);
        }
    }
}

fn apply_name(names: &mut BTreeMap<String, usize>, change: NameChange) {
    match change {
        NameChange::Set(name, inode) => {
            names.insert(name, inode);
        }
        NameChange::Rename(from, to, inode) => {
            if names.get(&from) == Some(&inode) {
                names.remove(&from);
            }
            names.insert(to, inode);
        }
        NameChange::Remove(name) => {
            names.remove(&name);
        }
    }
}

impl Disk for MemDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        let (state, _) = self.begin(Op::Read)?;
        Ok(state.names.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.begin_name(Op::Change, true)?;
        let inode = match state.names.get(name).copied() {
            Some(inode) => {
                state.inodes[inode].seen.clear();
                state.inodes[inode].pending.push(Change::Truncate(0));
                inode
            }
            None => {
                let inode = state.inodes.len();
                state.inodes.push(Inode::default());
                state.names.insert(name.into(), inode);
                state.pending_names.push(NameChange::Set(name.into(), inode));
                inode
            }
        };
        drop(state);
        Ok(self.file(inode))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let (state, _) = self.begin(Op::Read)?;
        let inode = state.names.get(name).copied().ok_or(io::ErrorKind::NotFound)?;
        drop(state);
        Ok(self.file(inode))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.begin_name(Op::Change, false)?;
        let inode = *state.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        let change = NameChange::Rename(from.into(), to.into(), inode);
        apply_name(&mut state.names, change.clone());
        state.pending_names.push(change);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.begin_name(Op::Change, false)?;
        state.names.remove(name).ok_or(io::ErrorKind::NotFound)?;
        state.pending_names.push(NameChange::Remove(name.into()));
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.begin_name(Op::Sync, false)?;
        for change in std::mem::take(&mut state.pending_names) {
            apply_name(&mut state.durable_names, change);
        }
        Ok(())
    }

    fn lock(&self) -> io::Result<Box<dyn Send + Sync>> {
        let (mut state, _) = self.begin(Op::Read)?;
        if state.locked {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        state.locked = true;
        drop(state);
        Ok(Box::new(MemLock { disk: self.clone() }))
    }

    fn unix_ms(&self) -> u64 {
        1_700_000_000_000
    }

    fn entropy(&self) -> u64 {
        let mut state = self.state.lock();
        state.below(2);
        state.random
    }

    fn describe(&self, name: &str) -> String {
        name.into()
    }
}

struct MemLock {
    disk: MemDisk,
}

impl Drop for MemLock {
    fn drop(&mut self) {
        let mut state = self.disk.state.lock();
        if state.boot == self.disk.boot {
            state.locked = false;
        }
    }
}

#[derive(Debug)]
struct MemFile {
    disk: MemDisk,
    inode: usize,
}

impl MemFile {
    fn sync(&self) -> io::Result<()> {
        let (mut state, fault) = self.disk.begin(Op::Sync)?;
        match fault {
            Some(Fault::Io | Fault::NoSpace) => {
                state.persist_some(self.inode);
                Err(io::Error::other("injected sync failure"))
            }
            Some(Fault::Crash) => Err(io::Error::other("injected crash")),
            _ => {
                let inode = &mut state.inodes[self.inode];
                for change in std::mem::take(&mut inode.pending) {
                    apply(&mut inode.durable, &change);
                }
                Ok(())
            }
        }
    }

    fn change(&self, state: &mut State, change: Change) {
        let inode = &mut state.inodes[self.inode];
        apply(&mut inode.seen, &change);
        inode.pending.push(change);
    }
}

impl DiskFile for MemFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        let (mut state, fault) = self.disk.begin(Op::Write)?;
        let keep = match fault {
            None if state.full => return Err(io::ErrorKind::StorageFull.into()),
            None => bytes.len(),
            Some(Fault::Io) => return Err(io::Error::other("injected EIO")),
            Some(_) => state.below(bytes.len().max(1)),
        };
        if keep > 0 {
            self.change(&mut state, Change::Write(offset as usize, bytes[..keep].to_vec()));
        }
        match fault {
            Some(Fault::Crash) => Err(io::Error::other("injected crash")),
            Some(Fault::NoSpace) if keep == 0 => Err(io::ErrorKind::StorageFull.into()),
            // A short write of nothing is no progress: write one byte after all.
            Some(Fault::Short) if keep == 0 && !bytes.is_empty() => {
                self.change(&mut state, Change::Write(offset as usize, bytes[..1].to_vec()));
                Ok(1)
            }
            _ => Ok(keep),
        }
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        let (state, _) = self.disk.begin(Op::Read)?;
        let seen = &state.inodes[self.inode].seen;
        let from = (offset as usize).min(seen.len());
        let n = bytes.len().min(seen.len() - from);
        bytes[..n].copy_from_slice(&seen[from..from + n]);
        Ok(n)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.meanwhile();
        self.sync()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.disk.meanwhile();
        self.sync()
    }

    fn len(&self) -> io::Result<u64> {
        let (state, _) = self.disk.begin(Op::Read)?;
        Ok(state.inodes[self.inode].seen.len() as u64)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        let mut state = self.disk.begin_name(Op::Change, false)?;
        self.change(&mut state, Change::Truncate(len as usize));
        Ok(())
    }

    fn preallocate(&self, len: u64) -> io::Result<()> {
        let mut state = self.disk.begin_name(Op::Change, true)?;
        if state.inodes[self.inode].seen.len() < len as usize {
            self.change(&mut state, Change::Truncate(len as usize));
        }
        Ok(())
    }
}
