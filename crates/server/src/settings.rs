//! From the configuration to what the parts of the server take.

use command::Env;
use engine::{CheckpointPolicy, Limits};

use crate::config::{Compact, Eviction, Fsync, Persistence, Settings};

/// What commands read.
pub fn env_of(settings: &Settings) -> Env {
    Env {
        databases: settings.process.databases.min(256) as u16,
        // No effect can say more.
        max_string: (settings.clients.proto_max_bulk_len as u64).min(effect::limits::MAX_STRING_BYTES),
        limits: limits_of(&settings.compact),
        lfu: matches!(settings.maxmemory_policy, Eviction::AllkeysLfu | Eviction::VolatileLfu),
    }
}

/// Sizes at which small collections become large ones.
pub fn limits_of(compact: &Compact) -> Limits {
    let size = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    Limits {
        hash_max_listpack_entries: size(compact.hash_max_entries),
        hash_max_listpack_value: size(compact.hash_max_value),
        set_max_intset_entries: size(compact.set_max_intset_entries),
        set_max_listpack_entries: size(compact.set_max_entries),
        set_max_listpack_value: size(compact.set_max_value),
        zset_max_listpack_entries: size(compact.zset_max_entries),
        zset_max_listpack_value: size(compact.zset_max_value),
        list_max_listpack_size: compact.list_max_size,
        ..Limits::default()
    }
}

/// When the log is synced.
pub fn fsync_of(fsync: Fsync) -> wal::Fsync {
    match fsync {
        Fsync::Always => wal::Fsync::Always,
        Fsync::EverySecond => wal::Fsync::EverySec,
        Fsync::No => wal::Fsync::No,
    }
}

/// When the log is rewritten by itself.
pub fn checkpoints_of(persistence: &Persistence) -> CheckpointPolicy {
    CheckpointPolicy { log_bytes: persistence.checkpoint_log_bytes }
}
