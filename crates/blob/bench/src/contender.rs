//! What is compared: one trait, and its implementations on our store and on plain files.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Bounds that every contender gets.
#[derive(Clone, Copy)]
pub struct Bounds {
    pub disk: u64,
    pub ram: u64,
}

/// A store under test.
pub trait Contender: Send + Sync {
    fn put(&self, key: u64, value: &[u8]) -> Result<(), Failure>;
    /// The length of the value, of which a byte in each page is looked at.
    fn get(&self, key: u64) -> Result<Option<usize>, Failure>;
    fn remove(&self, key: u64) -> Result<(), Failure>;
    /// The value, loaded from an origin that takes `delay` if it is not there. True if it was loaded.
    fn get_or_load(&self, key: u64, value: &[u8], delay: Duration) -> Result<bool, Failure>;
    /// Makes everything that was accepted persistent and ends the store.
    fn finish(&self) -> Result<(), Failure>;
    /// RAM of the index for each item, where the store tells.
    fn index_bytes_per_item(&self) -> Option<f64> {
        None
    }
}

/// Opens one by its name.
pub fn open(name: &str, dir: &Path, bounds: Bounds) -> Result<Box<dyn Contender>, Failure> {
    match name {
        "blob cache" => Ok(Box::new(Ours::open(dir, blob::Mode::Cache { fsync: false }, true, bounds)?)),
        "blob buffered" => Ok(Box::new(Ours::open(dir, blob::Mode::Cache { fsync: false }, false, bounds)?)),
        "blob durable" => Ok(Box::new(Ours::open(dir, blob::Mode::Durable, true, bounds)?)),
        #[cfg(feature = "foyer")]
        "foyer" => Ok(Box::new(crate::foyer_store::Foyer::open(dir, bounds)?)),
        "plain files" => Ok(Box::new(PlainFiles::open(dir, bounds.disk)?)),
        _ => Err(format!("no store is called {name} in this build").into()),
    }
}

/// Looks at one byte of each page, so that nobody wins by handing out memory that was never read.
pub fn look_at(value: &[u8]) -> usize {
    std::hint::black_box(value.iter().step_by(4096).fold(0_u8, |sum, &byte| sum ^ byte));
    value.len()
}

struct Ours(blob::Store);

impl Ours {
    fn open(dir: &Path, mode: blob::Mode, direct: bool, bounds: Bounds) -> Result<Self, Failure> {
        let mut options = blob::Options::new(mode, bounds.disk, bounds.ram);
        options.direct_writes = direct;
        let store = blob::Store::open(dir, options)?;
        store.start();
        Ok(Self(store))
    }
}

impl Contender for Ours {
    fn put(&self, key: u64, value: &[u8]) -> Result<(), Failure> {
        self.0.put(&key.to_le_bytes(), value)?;
        Ok(())
    }

    fn get(&self, key: u64) -> Result<Option<usize>, Failure> {
        Ok(self.0.get(&key.to_le_bytes())?.map(|guard| look_at(&guard)))
    }

    fn remove(&self, key: u64) -> Result<(), Failure> {
        self.0.delete(&key.to_le_bytes())?;
        Ok(())
    }

    fn get_or_load(&self, key: u64, value: &[u8], delay: Duration) -> Result<bool, Failure> {
        let mut loaded = false;
        let guard = self.0.get_or_load(&key.to_le_bytes(), blob::PutOptions::default(), || {
            loaded = true;
            std::thread::sleep(delay);
            Ok::<_, blob::Error>(value.to_vec())
        })?;
        look_at(&guard);
        Ok(loaded)
    }

    fn finish(&self) -> Result<(), Failure> {
        Ok(self.0.close()?)
    }

    fn index_bytes_per_item(&self) -> Option<f64> {
        let stats = self.0.stats();
        (stats.items > 0).then(|| stats.index_bytes as f64 / stats.items as f64)
    }
}

/// A file for each value in 256 directories, the oldest removed beyond the limit. Its RAM is the page cache.
struct PlainFiles {
    root: PathBuf,
    limit: u64,
    state: Mutex<Files>,
}

#[derive(Default)]
struct Files {
    oldest: std::collections::VecDeque<(u64, u64)>,
    sizes: std::collections::HashMap<u64, u64>,
    used: u64,
}

impl Files {
    fn forget(&mut self, key: u64) {
        self.used -= self.sizes.remove(&key).unwrap_or(0);
    }
}

impl PlainFiles {
    /// Starting anew it asks the file system what there is, as opening any store does.
    fn open(root: &Path, limit: u64) -> Result<Self, Failure> {
        let mut files = Files::default();
        for n in 0..256 {
            let dir = root.join(format!("{n:02x}"));
            std::fs::create_dir_all(&dir)?;
            for entry in std::fs::read_dir(dir)? {
                let entry = entry?;
                let (name, len) = (entry.file_name(), entry.metadata()?.len());
                let key = u64::from_str_radix(&name.to_string_lossy(), 16)?;
                files.sizes.insert(key, len);
                files.oldest.push_back((key, len));
                files.used += len;
            }
        }
        Ok(Self { root: root.into(), limit, state: Mutex::new(files) })
    }

    fn path(&self, key: u64) -> PathBuf {
        self.root.join(format!("{:02x}/{key:016x}", key & 255))
    }
}

impl Contender for PlainFiles {
    fn put(&self, key: u64, value: &[u8]) -> Result<(), Failure> {
        std::fs::write(self.path(key), value)?;
        let mut files = self.state.lock().map_err(|_| "poisoned")?;
        let len = value.len() as u64;
        files.forget(key);
        files.sizes.insert(key, len);
        files.oldest.push_back((key, len));
        files.used += len;
        while files.used > self.limit {
            let Some((key, _)) = files.oldest.pop_front() else { break };
            if files.sizes.contains_key(&key) {
                files.forget(key);
                std::fs::remove_file(self.path(key))?;
            }
        }
        Ok(())
    }

    fn get(&self, key: u64) -> Result<Option<usize>, Failure> {
        match std::fs::read(self.path(key)) {
            Ok(bytes) => Ok(Some(look_at(&bytes))),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    fn remove(&self, key: u64) -> Result<(), Failure> {
        self.state.lock().map_err(|_| "poisoned")?.forget(key);
        match std::fs::remove_file(self.path(key)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e.into()),
            _ => Ok(()),
        }
    }

    fn get_or_load(&self, key: u64, value: &[u8], delay: Duration) -> Result<bool, Failure> {
        let missing = self.get(key)?.is_none();
        if missing {
            std::thread::sleep(delay);
            self.put(key, value)?;
        }
        Ok(missing)
    }

    fn finish(&self) -> Result<(), Failure> {
        Ok(rustix::fs::syncfs(&std::fs::File::open(&self.root)?)?)
    }
}
