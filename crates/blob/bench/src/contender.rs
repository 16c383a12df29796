//! What is compared: one trait, three implementations.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A store under test. `finish` makes everything accepted persistent.
pub trait Contender: Send + Sync {
    fn put(&self, key: u64, value: &[u8]) -> Result<(), Failure>;
    fn get(&self, key: u64) -> Result<Option<usize>, Failure>;
    fn remove(&self, key: u64) -> Result<(), Failure>;
    fn finish(&self) -> Result<(), Failure>;
    /// RAM of the index for each item, where it can be known.
    fn index_bytes_per_item(&self) -> Option<f64> {
        None
    }
}

pub struct Ours(pub blob::Store);

impl Ours {
    pub fn open(dir: &Path, durable: bool, disk: u64, ram: u64) -> Result<Self, Failure> {
        let mode = if durable { blob::Mode::Durable } else { blob::Mode::Cache { fsync: false } };
        let store = blob::Store::open(dir, blob::Options::new(mode, disk, ram))?;
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
        Ok(self.0.get(&key.to_le_bytes())?.map(|guard| guard.len()))
    }

    fn remove(&self, key: u64) -> Result<(), Failure> {
        self.0.delete(&key.to_le_bytes())?;
        Ok(())
    }

    fn finish(&self) -> Result<(), Failure> {
        Ok(self.0.close()?)
    }

    fn index_bytes_per_item(&self) -> Option<f64> {
        let stats = self.0.stats();
        (stats.items > 0).then(|| stats.index_bytes as f64 / stats.items as f64)
    }
}

/// A file for each value in 256 directories, the oldest removed beyond the limit.
pub struct PlainFiles {
    root: PathBuf,
    limit: u64,
    used: AtomicU64,
    oldest: std::sync::Mutex<std::collections::VecDeque<(u64, u64)>>,
}

impl PlainFiles {
    pub fn open(root: &Path, limit: u64) -> Result<Self, Failure> {
        for n in 0..256 {
            std::fs::create_dir_all(root.join(format!("{n:02x}")))?;
        }
        let oldest = std::sync::Mutex::default();
        Ok(Self { root: root.into(), limit, used: AtomicU64::new(0), oldest })
    }

    fn path(&self, key: u64) -> PathBuf {
        self.root.join(format!("{:02x}/{key:016x}", key & 255))
    }
}

impl Contender for PlainFiles {
    fn put(&self, key: u64, value: &[u8]) -> Result<(), Failure> {
        std::fs::write(self.path(key), value)?;
        let mut oldest = self.oldest.lock().map_err(|_| "poisoned")?;
        oldest.push_back((key, value.len() as u64));
        let mut used = self.used.fetch_add(value.len() as u64, Ordering::Relaxed) + value.len() as u64;
        while used > self.limit {
            let Some((key, len)) = oldest.pop_front() else { break };
            let _ = std::fs::remove_file(self.path(key));
            used = self.used.fetch_sub(len, Ordering::Relaxed) - len;
        }
        Ok(())
    }

    fn get(&self, key: u64) -> Result<Option<usize>, Failure> {
        match std::fs::read(self.path(key)) {
            Ok(bytes) => Ok(Some(bytes.len())),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    fn remove(&self, key: u64) -> Result<(), Failure> {
        let _ = std::fs::remove_file(self.path(key));
        Ok(())
    }

    fn finish(&self) -> Result<(), Failure> {
        let file = std::fs::File::open(&self.root)?;
        Ok(rustix::fs::syncfs(&file)?)
    }
}

#[cfg(feature = "foyer")]
pub use with_foyer::Foyer;

#[cfg(feature = "foyer")]
mod with_foyer {
    use super::{Contender, Failure};
    use foyer::{BlockEngineConfig, DeviceBuilder, FsDeviceBuilder, HybridCache, HybridCacheBuilder, HybridCachePolicy};
    use std::path::{Path, PathBuf};

    pub struct Foyer {
        cache: HybridCache<u64, Vec<u8>>,
        runtime: tokio::runtime::Runtime,
        root: PathBuf,
    }

    impl Foyer {
        pub fn open(root: &Path, disk: u64, ram: u64) -> Result<Self, Failure> {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build()?;
            let (disk, ram) = (usize::try_from(disk)?, usize::try_from(ram)?);
            let cache = runtime.block_on(async {
                let device = FsDeviceBuilder::new(root).with_capacity(disk).build()?;
                let engine = BlockEngineConfig::new(device)
                    .with_block_size(32 << 20)
                    .with_buffer_pool_size(128 << 20)
                    .with_submit_queue_size_threshold(256 << 20);
                HybridCacheBuilder::new()
                    .with_policy(HybridCachePolicy::WriteOnInsertion)
                    .memory(ram)
                    .with_weighter(|_key: &u64, value: &Vec<u8>| value.len() + 8)
                    .storage()
                    .with_engine_config(engine)
                    .build()
                    .await
            })?;
            Ok(Self { cache, runtime, root: root.into() })
        }
    }

    impl Contender for Foyer {
        fn put(&self, key: u64, value: &[u8]) -> Result<(), Failure> {
            let _runtime = self.runtime.enter();
            self.cache.insert(key, value.to_vec());
            Ok(())
        }

        fn get(&self, key: u64) -> Result<Option<usize>, Failure> {
            let found = self.runtime.block_on(async { self.cache.get(&key).await })?;
            Ok(found.map(|entry| entry.value().len()))
        }

        fn remove(&self, key: u64) -> Result<(), Failure> {
            let _runtime = self.runtime.enter();
            self.cache.remove(&key);
            Ok(())
        }

        fn finish(&self) -> Result<(), Failure> {
            self.runtime.block_on(async { self.cache.close().await })?;
            let file = std::fs::File::open(&self.root)?;
            Ok(rustix::fs::syncfs(&file)?)
        }
    }
}
