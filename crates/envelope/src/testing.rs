//! A place in memory that crashes, and master keys for tests.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::keyring::Keyring;
use crate::place::Place;

/// Master keys of these numbers: key 1 is 32 times 1, and so on. They protect nothing.
///
/// # Panics
/// If the numbers do not ascend.
#[must_use]
pub fn keyring(ids: &[u32]) -> Keyring {
    let lines: Vec<_> = ids.iter().map(|id| format!("{id} {}", format!("{:02x}", *id as u8).repeat(32))).collect();
    Keyring::parse(lines.join("\n").as_bytes()).expect("these numbers ascend")
}

/// What of the changes that were not synced a crash leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survives {
    /// None.
    Nothing,
    /// All.
    Everything,
    /// Names, but half of the bytes of each file.
    NamesAndHalves,
    /// Bytes, but no name.
    Bytes,
}

/// A directory in memory. Clones are the same one; what is random in it follows from a seed.
#[derive(Clone, Debug)]
pub struct MemPlace {
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Debug, Default)]
struct State {
    files: Vec<File>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    random: u64,
    operations: u64,
    fail_at: Option<(u64, io::ErrorKind)>,
    locked: bool,
}

#[derive(Clone, Debug, Default)]
struct File {
    bytes: Vec<u8>,
    durable: Vec<u8>,
}

impl MemPlace {
    /// An empty directory.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { state: Arc::new(Mutex::new(State { random: seed, ..State::default() })) }
    }

    /// Another directory of the same content, with other random numbers to come.
    #[must_use]
    pub fn copy(&self, seed: u64) -> Self {
        let state = State { random: seed, locked: false, fail_at: None, ..self.state.lock().clone() };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// What is there after a crash of the machine at this moment.
    #[must_use]
    pub fn crashed(&self, survives: Survives) -> Self {
        let mut state = State { locked: false, fail_at: None, ..self.state.lock().clone() };
        state.random = state.random.wrapping_add(1);
        for file in &mut state.files {
            match survives {
                Survives::Nothing => file.bytes.clone_from(&file.durable),
                Survives::NamesAndHalves if file.bytes != file.durable => file.bytes.truncate(file.bytes.len() / 2),
                _ => {}
            }
            file.durable.clone_from(&file.bytes);
        }
        match survives {
            Survives::Nothing | Survives::Bytes => state.names.clone_from(&state.durable_names),
            _ => state.durable_names.clone_from(&state.names),
        }
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// How many operations that change something were asked for.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.state.lock().operations
    }

    /// Makes the operation fail that comes after `count` others that change something, and all after it.
    pub fn fail_after(&self, count: u64, kind: io::ErrorKind) {
        let mut state = self.state.lock();
        state.fail_at = Some((state.operations + count, kind));
    }

    /// Fails nothing any more.
    pub fn heal(&self) {
        self.state.lock().fail_at = None;
    }

    fn change(&self) -> io::Result<parking_lot::MutexGuard<'_, State>> {
        let mut state = self.state.lock();
        match state.fail_at {
            Some((at, kind)) if state.operations >= at => Err(kind.into()),
            _ => {
                state.operations += 1;
                Ok(state)
            }
        }
    }
}

impl Place for MemPlace {
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let state = self.state.lock();
        Ok(state.names.get(name).map(|&file| state.files[file].bytes.clone()))
    }

    fn create(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.change()?;
        let file = state.files.len();
        state.files.push(File { bytes: bytes.to_vec(), durable: Vec::new() });
        state.names.insert(name.to_owned(), file);
        Ok(())
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        let mut state = self.change()?;
        let file = *state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        let file = &mut state.files[file];
        file.durable.clone_from(&file.bytes);
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.change()?;
        let file = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), file);
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.change()?;
        state.durable_names = state.names.clone();
        Ok(())
    }

    fn lock(&self) -> io::Result<Box<dyn Send + Sync>> {
        let mut state = self.state.lock();
        if std::mem::replace(&mut state.locked, true) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(Unlock(Arc::clone(&self.state))))
    }

    fn random(&self, out: &mut [u8]) -> io::Result<()> {
        let mut state = self.state.lock();
        for byte in out {
            // splitmix64
            state.random = state.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut x = state.random;
            x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            *byte = (x >> 56) as u8;
        }
        Ok(())
    }

    fn describe(&self, name: &str) -> String {
        name.to_owned()
    }
}

struct Unlock(Arc<Mutex<State>>);

impl Drop for Unlock {
    fn drop(&mut self) {
        self.0.lock().locked = false;
    }
}
