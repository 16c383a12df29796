//! A disk in memory that misbehaves on demand and forgets like a real one when its power is cut.

use super::{Disk, DiskFile};
use std::collections::{BTreeMap, HashMap};
use std::io::{Error, ErrorKind, IoSlice, Result};
use std::sync::{Arc as StdArc, Mutex, PoisonError};

use crate::sync::Arc;

const SECTOR: usize = 512;

/// How the machine comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The process died: everything written is still there.
    Process,
    /// The power went: each unsynced write is kept, dropped or torn by sector, each unsynced name kept or dropped,
    /// all independently of the others.
    Power,
}

/// A fault of one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The operation fails with this kind and does nothing.
    Fail(ErrorKind),
    /// A write writes only so many bytes and says so.
    Short(usize),
}

#[derive(Clone, Debug)]
enum Change {
    Write(u64, Vec<u8>),
    SetLen(u64),
}

#[derive(Clone, Debug, Default)]
struct Inode {
    now: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Clone, Debug)]
enum NameChange {
    Link(String, u64),
    Unlink(String),
    Rename(String, String, u64),
}

#[derive(Default)]
struct State {
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    pending_names: Vec<NameChange>,
    inodes: HashMap<u64, Inode>,
    next_inode: u64,
    boots: u64,
    /// Operations that change something, since the last `reboot`.
    ops: u64,
    crash_at: Option<u64>,
    crashed: bool,
    faults: Vec<(u64, Fault)>,
    broken: Option<ErrorKind>,
    capacity: Option<u64>,
    max_bytes: u64,
    written: u64,
    random: u64,
    locked: bool,
}

/// The disk. Clones share it.
#[derive(Clone)]
pub struct FakeDisk(StdArc<Mutex<State>>);

impl FakeDisk {
    /// An empty disk whose accidents follow from `seed`.
    pub fn new(seed: u64) -> Self {
        let state = State { random: seed | 1, boots: 1, ..State::default() };
        Self(StdArc::new(Mutex::new(state)))
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Dies in the middle of the `n`th changing operation from now, counted from 0.
    pub fn crash_after(&self, n: u64) {
        self.with(|s| s.crash_at = Some(s.ops + n));
    }

    /// Whether it has died.
    pub fn has_crashed(&self) -> bool {
        self.with(|s| s.crashed)
    }

    /// Changing operations so far.
    pub fn ops(&self) -> u64 {
        self.with(|s| s.ops)
    }

    /// Comes back after a crash, or crashes and comes back now.
    pub fn reboot(&self, crash: Crash) {
        self.with(|s| {
            if crash == Crash::Power {
                s.lose_power();
                s.boots += 1;
            }
            (s.crashed, s.crash_at, s.broken, s.locked) = (false, None, None, false);
            s.faults.clear();
        });
    }

    /// Gives the `n`th changing operation from now a fault.
    pub fn inject(&self, n: u64, fault: Fault) {
        self.with(|s| s.faults.push((s.ops + n, fault)));
    }

    /// Makes every changing operation fail, or heals the disk with `None`.
    pub fn set_broken(&self, kind: Option<ErrorKind>) {
        self.with(|s| s.broken = kind);
    }

    /// Limits the bytes of all files; beyond it writes fail with `StorageFull`.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.with(|s| s.capacity = bytes);
    }

    /// Most bytes that all files ever had together.
    pub fn max_bytes(&self) -> u64 {
        self.with(|s| s.max_bytes)
    }

    /// Bytes that all files have, and bytes ever written.
    pub fn bytes(&self) -> (u64, u64) {
        self.with(|s| (s.total(), s.written))
    }

    /// A file's bytes.
    pub fn contents(&self, name: &str) -> Option<Vec<u8>> {
        self.with(|s| s.names.get(name).map(|id| s.inodes[id].now.clone()))
    }

    /// Flips one bit of a file, on the medium: no operation sees it happen.
    pub fn flip_bit(&self, name: &str, bit: u64) {
        self.with(|s| {
            let id = s.names[name];
            let inode = s.inodes.get_mut(&id).expect("names point at inodes");
            let at = usize::try_from(bit / 8).expect("within a file in memory");
            inode.now[at] ^= 1 << (bit % 8);
            if let Some(byte) = inode.durable.get_mut(at) {
                *byte = inode.now[at];
            }
        });
    }

    /// A copy that shares nothing, for trying several futures.
    pub fn fork(&self, seed: u64) -> Self {
        self.with(|s| {
            let state = State {
                names: s.names.clone(),
                durable_names: s.durable_names.clone(),
                pending_names: s.pending_names.clone(),
                inodes: s.inodes.clone(),
                next_inode: s.next_inode,
                boots: s.boots,
                random: seed | 1,
                ..State::default()
            };
            Self(StdArc::new(Mutex::new(state)))
        })
    }
}

impl State {
    fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }

    fn total(&self) -> u64 {
        self.names.values().map(|id| self.inodes[id].now.len() as u64).sum()
    }

    /// Counts a changing operation. `Ok(true)`: die during it. `Err`: it fails.
    fn step(&mut self) -> Result<bool> {
        self.alive()?;
        let op = self.ops;
        self.ops += 1;
        if let Some(kind) = self.broken {
            return Err(kind.into());
        }
        if let Some(at) = self.faults.iter().position(|(n, fault)| *n == op && matches!(fault, Fault::Fail(_)))
            && let (_, Fault::Fail(kind)) = self.faults.swap_remove(at)
        {
            return Err(kind.into());
        }
        if self.crash_at == Some(op) {
            self.crashed = true;
            return Ok(true);
        }
        Ok(false)
    }

    fn alive(&self) -> Result<()> {
        if self.crashed { Err(dead()) } else { Ok(()) }
    }

    fn lose_power(&mut self) {
        let mut ids: Vec<u64> = self.inodes.keys().copied().collect();
        ids.sort_unstable();
        for id in ids {
            let mut inode = self.inodes.remove(&id).expect("listed above");
            let mut image = std::mem::take(&mut inode.durable);
            for change in std::mem::take(&mut inode.pending) {
                match (self.random() % 3, change) {
                    (0, _) => {}
                    (1, Change::Write(offset, data)) => {
                        for (i, sector) in data.chunks(SECTOR).enumerate() {
                            if self.random().is_multiple_of(2) {
                                put(&mut image, offset + (i * SECTOR) as u64, sector);
                            }
                        }
                    }
                    (_, change) => apply(&mut image, &change),
                }
            }
            inode.now.clone_from(&image);
            inode.durable = image;
            self.inodes.insert(id, inode);
        }
        for change in std::mem::take(&mut self.pending_names) {
            if self.random().is_multiple_of(2) {
                apply_name(&mut self.durable_names, &change);
            }
        }
        self.names = self.durable_names.clone();
    }

    fn note_size(&mut self) {
        self.max_bytes = self.max_bytes.max(self.total());
    }

    /// A name changes, unless we die first; dying half way is having done it or not.
    fn change_name(&mut self, change: NameChange) -> Result<()> {
        let dying = self.step()?;
        if !dying || self.random().is_multiple_of(2) {
            apply_name(&mut self.names, &change);
            self.pending_names.push(change);
        }
        if dying { Err(dead()) } else { Ok(()) }
    }
}

fn dead() -> Error {
    Error::other("the machine is down")
}

fn put(image: &mut Vec<u8>, offset: u64, data: &[u8]) {
    let start = usize::try_from(offset).expect("within memory");
    if image.len() < start + data.len() {
        image.resize(start + data.len(), 0);
    }
    image[start..start + data.len()].copy_from_slice(data);
}

fn apply(image: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write(offset, data) => put(image, *offset, data),
        Change::SetLen(len) => image.resize(usize::try_from(*len).expect("within memory"), 0),
    }
}

fn apply_name(names: &mut BTreeMap<String, u64>, change: &NameChange) {
    match change {
        NameChange::Link(name, id) => {
            names.insert(name.clone(), *id);
        }
        NameChange::Unlink(name) => {
            names.remove(name);
        }
        NameChange::Rename(from, to, id) => {
            names.remove(from);
            names.insert(to.clone(), *id);
        }
    }
}

impl Disk for FakeDisk {
    fn create(&self, name: &str) -> Result<Arc<dyn DiskFile>> {
        let id = self.with(|s| {
            if s.names.contains_key(name) {
                return Err(ErrorKind::AlreadyExists.into());
            }
            let id = s.next_inode;
            s.next_inode += 1;
            s.inodes.insert(id, Inode::default());
            s.change_name(NameChange::Link(name.into(), id))?;
            Ok::<_, Error>(id)
        })?;
        Ok(Arc::new(FakeFile { disk: self.clone(), id }))
    }

    fn open(&self, name: &str) -> Result<Arc<dyn DiskFile>> {
        let id = self.with(|s| {
            s.alive()?;
            s.names.get(name).copied().ok_or_else(|| Error::from(ErrorKind::NotFound))
        })?;
        Ok(Arc::new(FakeFile { disk: self.clone(), id }))
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.with(|s| {
            if !s.names.contains_key(name) {
                return Err(ErrorKind::NotFound.into());
            }
            s.change_name(NameChange::Unlink(name.into()))
        })
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.with(|s| {
            let id = *s.names.get(from).ok_or_else(|| Error::from(ErrorKind::NotFound))?;
            s.change_name(NameChange::Rename(from.into(), to.into(), id))
        })
    }

    fn list(&self) -> Result<Vec<String>> {
        self.with(|s| {
            s.alive()?;
            Ok(s.names.keys().cloned().collect())
        })
    }

    fn sync_dir(&self) -> Result<()> {
        self.with(|s| {
            if s.step()? {
                return Err(dead());
            }
            s.pending_names.clear();
            s.durable_names = s.names.clone();
            Ok(())
        })
    }

    fn lock(&self, _name: &str) -> Result<Option<Box<dyn Send + Sync>>> {
        self.with(|s| {
            s.alive()?;
            if s.locked {
                return Ok(None);
            }
            s.locked = true;
            Ok(Some(Box::new(FakeLock(self.clone())) as Box<dyn Send + Sync>))
        })
    }

    fn boot_id(&self) -> u128 {
        self.with(|s| u128::from(s.boots))
    }
}

struct FakeLock(FakeDisk);

impl Drop for FakeLock {
    fn drop(&mut self) {
        self.0.with(|s| s.locked = false);
    }
}

struct FakeFile {
    disk: FakeDisk,
    id: u64,
}

impl FakeFile {
    fn change(&self, change: Change) -> Result<usize> {
        self.disk.with(|s| {
            let op = s.ops;
            let dying = s.step()?;
            let mut change = change;
            if let Change::Write(offset, data) = &mut change {
                if let Some(at) = s.faults.iter().position(|(n, _)| *n == op)
                    && let (_, Fault::Short(len)) = s.faults.swap_remove(at)
                {
                    data.truncate(len);
                }
                if dying {
                    let kept = usize::try_from(s.random()).unwrap_or(0) % (data.len() + 1);
                    data.truncate(kept);
                }
                let grown = (*offset + data.len() as u64).saturating_sub(s.inodes[&self.id].now.len() as u64);
                if s.capacity.is_some_and(|limit| s.total() + grown > limit) {
                    return Err(ErrorKind::StorageFull.into());
                }
                s.written += data.len() as u64;
            }
            let len = if let Change::Write(_, data) = &change { data.len() } else { 0 };
            let inode = s.inodes.get_mut(&self.id).expect("open files have inodes");
            apply(&mut inode.now, &change);
            inode.pending.push(change);
            s.note_size();
            if dying { Err(dead()) } else { Ok(len) }
        })
    }
}

impl DiskFile for FakeFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        self.disk.with(|s| {
            s.alive()?;
            let now = &s.inodes[&self.id].now;
            let start = usize::try_from(offset).expect("within memory").min(now.len());
            let len = buf.len().min(now.len() - start);
            buf[..len].copy_from_slice(&now[start..start + len]);
            Ok(len)
        })
    }

    fn write_at(&self, buffers: &[IoSlice<'_>], offset: u64) -> Result<usize> {
        self.change(Change::Write(offset, buffers.iter().flat_map(|b| b.iter().copied()).collect()))
    }

    fn sync(&self) -> Result<()> {
        self.disk.with(|s| {
            let stepped = s.step();
            let inode = s.inodes.get_mut(&self.id).expect("open files have inodes");
            match stepped {
                Ok(false) => {}
                Ok(true) => return Err(dead()),
                // Like Linux: what a failed sync did not write is forgotten, and a second sync would succeed.
                Err(error) => {
                    inode.pending.clear();
                    return Err(error);
                }
            }
            for change in std::mem::take(&mut inode.pending) {
                apply(&mut inode.durable, &change);
            }
            Ok(())
        })
    }

    fn len(&self) -> Result<u64> {
        self.disk.with(|s| {
            s.alive()?;
            Ok(s.inodes[&self.id].now.len() as u64)
        })
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.change(Change::SetLen(len)).map(drop)
    }
}
