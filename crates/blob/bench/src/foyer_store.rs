//! foyer as a contender: written on insertion, buffers raised so that it drops as little as it can.

use crate::contender::{Bounds, Contender, Failure, look_at};
use foyer::{BlockEngineConfig, DeviceBuilder, FsDeviceBuilder, HybridCache, HybridCacheBuilder, HybridCachePolicy};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub struct Foyer {
    cache: HybridCache<u64, Vec<u8>>,
    runtime: tokio::runtime::Runtime,
    root: PathBuf,
}

impl Foyer {
    pub fn open(root: &Path, bounds: Bounds) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build()?;
        let (disk, ram) = (usize::try_from(bounds.disk)?, usize::try_from(bounds.ram)?);
        let cache = runtime.block_on(async {
            let device = FsDeviceBuilder::new(root).with_capacity(disk).build()?;
            // The tombstone log is what keeps removed entries from coming back after a restart, as ours never do.
            let engine = BlockEngineConfig::new(device)
                .with_block_size(32 << 20)
                .with_buffer_pool_size(128 << 20)
                .with_submit_queue_size_threshold(256 << 20)
                .with_tombstone_log(true);
            HybridCacheBuilder::new()
                .with_policy(HybridCachePolicy::WriteOnInsertion)
                .memory(ram)
                .with_shards(2)
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
        Ok(found.map(|entry| look_at(entry.value())))
    }

    fn remove(&self, key: u64) -> Result<(), Failure> {
        let _runtime = self.runtime.enter();
        self.cache.remove(&key);
        Ok(())
    }

    fn get_or_load(&self, key: u64, value: &[u8], delay: Duration) -> Result<bool, Failure> {
        let loaded = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let (noted, value) = (loaded.clone(), value.to_vec());
        let entry = self.runtime.block_on(async {
            self.cache
                .get_or_fetch(&key, || async move {
                    noted.store(true, std::sync::atomic::Ordering::Relaxed);
                    tokio::time::sleep(delay).await;
                    Ok::<_, std::io::Error>(value)
                })
                .await
        })?;
        look_at(entry.value());
        Ok(loaded.load(std::sync::atomic::Ordering::Relaxed))
    }

    fn finish(&self) -> Result<(), Failure> {
        self.runtime.block_on(async { self.cache.close().await })?;
        Ok(rustix::fs::syncfs(&std::fs::File::open(&self.root)?)?)
    }
}
