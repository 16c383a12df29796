//! The bounds of this crate, with unit and reason.

/// Bytes of the commands of one transaction: as many as a query buffer may hold.
pub const TRANSACTION_BYTES_MAX: usize = 1 << 30;

/// Bytes of a key that is read ahead for a command behind one that has missed something: longer arguments are seldom keys.
pub const READ_AHEAD_KEY_BYTES: usize = 1024;

/// Time between two looks whether there is room in memory again, for writers that wait.
pub const ROOM_LOOK: std::time::Duration = std::time::Duration::from_millis(5);

/// How long a writer waits for it at most; and then for how long nobody does.
pub const ROOM_WAIT: std::time::Duration = std::time::Duration::from_secs(5);

/// Keys that changed and wait to be served in one go; more than this means that served clients keep feeding each other.
pub const SERVE_ROUNDS_MAX: usize = 100_000;

/// Effects on a key that EFFECT LOG keeps while it reads the log, and tells of at most: each is compared with each.
pub const EFFECTS_MAX: usize = 128;

/// Elements of an effect that are shown.
pub const EFFECT_WORDS: usize = 8;

/// Bytes of a value that are shown.
pub const EFFECT_WORD_BYTES: usize = 64;

/// Kinds of errors that are counted apart: an error's first word may be a client's text.
pub const ERROR_KINDS_MAX: usize = 128;

/// Powers of two of a command's durations, from 1 µs on: the last one holds what took longer than 4 s.
pub const LATENCY_BUCKETS: usize = 24;

/// Spikes of one event that are kept.
pub const LATENCY_SAMPLES_MAX: usize = 160;

/// Characters that one line of a latency graph may have.
pub const LATENCY_GRAPH_COLUMNS: usize = 80;

/// Bytes that the table of a database takes for each key beside its value, as MEMORY STATS tells: an entry of 24, and its
/// part of the header of a segment that is about half full.
pub const TABLE_BYTES_A_KEY: u64 = 28;

/// Bytes that a deadline takes beside its key, as MEMORY STATS tells.
pub const TIMER_BYTES: u64 = 16;

/// Time between two looks of the archive whether something is to be stored: a part of the shortest interval.
pub const ARCHIVE_LOOK: std::time::Duration = std::time::Duration::from_millis(200);

/// How long a server that stops waits for the place of its archive to answer.
pub const ARCHIVE_STOP: std::time::Duration = std::time::Duration::from_secs(5);

/// Time between two looks for what the archive does not need any more: each lists all that it has.
pub const ARCHIVE_PRUNE_EVERY: std::time::Duration = std::time::Duration::from_secs(3600);

/// Looks at the figures from which rates are made.
pub const RATE_SAMPLES: usize = 16;

/// Bytes and arguments of a transaction that goes to the leader of its keys, and bytes of what it answers: larger ones would keep other
/// nodes' frames waiting, and run where their clients are.
pub const FORWARDED_BYTES_MAX: usize = 1 << 20;
/// See [`FORWARDED_BYTES_MAX`].
pub const FORWARDED_ARGUMENTS_MAX: usize = 1 << 16;
/// See [`FORWARDED_BYTES_MAX`].
pub const FORWARDED_REPLY_MAX: usize = 64 << 20;
