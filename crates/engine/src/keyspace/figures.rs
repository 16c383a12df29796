//! What is known of keyspaces, for whoever shows it.

use std::sync::atomic::Ordering::Relaxed;

use super::Definition;
use super::tier::Tier;
use crate::engine::Engine;

/// A keyspace with what it takes and what it has done since the start. Sizes are bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyspaceFigures {
    /// The keyspace as it was defined.
    pub definition: Definition,
    /// Keys, those included that have expired or been given up and are not reclaimed yet.
    pub keys: u64,
    /// Of these, keys whose value is only on disk.
    pub keys_at_rest: u64,
    /// RAM that values, husks and the disk tier's index and buffers take.
    pub ram_bytes: u64,
    /// Disk that the disk tier takes.
    pub disk_bytes: u64,
    /// Most that it took since the start.
    pub disk_bytes_peak: u64,
    /// Look-ups that found a key.
    pub hits: u64,
    /// Values that were loaded from disk.
    pub disk_hits: u64,
    /// Look-ups that found no key.
    pub misses: u64,
    /// Values that went from RAM to disk.
    pub demotions: u64,
    /// Keys that went to make room, in RAM or on disk.
    pub evictions: u64,
    /// Why there is no disk tier although one is defined.
    pub disk_trouble: Option<String>,
    /// Keys may not be yet where the definitions put them.
    pub moving: bool,
}

impl Engine {
    /// All keyspaces but `default`, in the order in which they are asked. Locks no shard.
    pub fn keyspaces(&self) -> Vec<KeyspaceFigures> {
        let keyspaces = &self.shared.keyspaces;
        let figures = |definition: Definition| {
            let space = keyspaces.space(definition.id)?;
            let store = match &*space.tier.read() {
                Tier::None => blob::Stats::default(),
                Tier::Open(store) => store.stats(),
                Tier::Away(away) => blob::Stats {
                    disk_bytes: away.disk_bytes,
                    disk_bytes_peak: away.disk_bytes,
                    ..blob::Stats::default()
                },
            };
            let ((value_bytes, values), (husk_bytes, husks)) = (space.values(), space.husks());
            let counters = &space.figures;
            let disk_trouble = space.trouble.lock().clone();
            Some(KeyspaceFigures {
                definition,
                keys: values.saturating_add(husks),
                keys_at_rest: husks,
                ram_bytes: value_bytes.saturating_add(husk_bytes).saturating_add(store.ram_bytes),
                disk_bytes: store.disk_bytes,
                disk_bytes_peak: store.disk_bytes_peak,
                hits: counters.hits.load(Relaxed),
                disk_hits: counters.disk_hits.load(Relaxed),
                misses: counters.misses.load(Relaxed),
                demotions: counters.demotions.load(Relaxed),
                evictions: counters.evictions.load(Relaxed).saturating_add(store.evictions),
                disk_trouble,
                moving: keyspaces.is_moving(),
            })
        };
        keyspaces.definitions().into_iter().filter_map(figures).collect()
    }

    /// Whether there is any keyspace but `default`.
    pub fn has_keyspaces(&self) -> bool {
        self.shared.keyspaces.is_active()
    }
}
