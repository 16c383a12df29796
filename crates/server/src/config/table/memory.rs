//! Memory, eviction, freeing.

use super::super::directive::{Directive, Kind, Origin};
use super::super::number::{MAX_I32, MAX_I64};
use super::{ALWAYS_BACKGROUND, BYTES_U64, COUNT, byte_range, range};
use Kind::{Bool, Choice, OomScores};

const POLICIES: Kind = Choice(&[
    ("volatile-lru", "volatile-lru"),
    ("volatile-lfu", "volatile-lfu"),
    ("volatile-random", "volatile-random"),
    ("volatile-ttl", "volatile-ttl"),
    ("allkeys-lru", "allkeys-lru"),
    ("allkeys-lfu", "allkeys-lfu"),
    ("allkeys-random", "allkeys-random"),
    ("noeviction", "noeviction"),
]);
const ADJUST: Kind = Choice(&[("no", "no"), ("yes", "yes"), ("relative", "yes"), ("absolute", "absolute")]);
const USE_SYSTEMD: &str = "the server leaves its OOM score alone: set OOMScoreAdjust in its unit file";
const NO_DEFRAG: &str = "small values are packed so that there is little to defragment";
const CACHES_EVICT: &str = "nothing is deleted to make room: above maxmemory keys leave memory for the disk, and come back \
                            when they are asked for; only keyspaces of mode cache evict, each within its own bounds";
const NO_SAMPLING: &str = "nothing is sampled for eviction";
const WHEEL: &str = "keys expire exactly when they are read and by a timing wheel behind";

pub(super) static MEMORY: &[Directive] = &[
    Directive::new(
        "maxmemory",
        BYTES_U64,
        "0",
        "Bytes that the process may allocate; 0: no bound. Above it keys leave memory that are at rest.",
    ),
    Directive::new("maxmemory-policy", POLICIES, "noeviction", "What gives way when maxmemory is reached.")
        .refused(&["noeviction"], CACHES_EVICT),
    Directive::new("maxmemory-samples", range(1, MAX_I32), "5", "Keys looked at for each eviction.").inert(NO_SAMPLING),
    Directive::new("maxmemory-eviction-tenacity", range(0, 100), "10", "How long one round of eviction may take.")
        .inert(NO_SAMPLING),
    Directive::new("lfu-log-factor", COUNT, "10", "How slowly the use counter of a key grows.").inert(NO_SAMPLING),
    Directive::new("lfu-decay-time", COUNT, "1", "Minutes after which that counter shrinks.").inert(NO_SAMPLING),
    Directive::new("lazyfree-lazy-eviction", Bool, "no", "Frees evicted values in the background.")
        .inert(ALWAYS_BACKGROUND),
    Directive::new("lazyfree-lazy-expire", Bool, "no", "Frees expired values in the background.")
        .inert(ALWAYS_BACKGROUND),
    Directive::new("lazyfree-lazy-server-del", Bool, "no", "Frees overwritten values in the background.")
        .inert(ALWAYS_BACKGROUND),
    Directive::new("lazyfree-lazy-user-del", Bool, "no", "Makes DEL behave as UNLINK.").inert(ALWAYS_BACKGROUND),
    Directive::new("lazyfree-lazy-user-flush", Bool, "no", "Makes FLUSHALL behave as FLUSHALL ASYNC.")
        .inert(ALWAYS_BACKGROUND),
    Directive::new("active-expire-effort", range(1, 10), "1", "How hard expired keys are looked for.").inert(WHEEL),
    Directive::new("activerehashing", Bool, "yes", "Grows tables between commands.")
        .inert("tables grow with the writes, shard by shard"),
    Directive::new("jemalloc-bg-thread", Bool, "yes", "A thread that gives memory back to the system.")
        .inert("the allocator's own decay gives memory back"),
    Directive::new("activedefrag", Bool, "no", "Moves values to defragment memory.").inert(NO_DEFRAG),
    Directive::new("active-defrag-ignore-bytes", byte_range(1, MAX_I64), "100mb", "Waste that is left alone.")
        .inert(NO_DEFRAG),
    Directive::new("active-defrag-threshold-lower", range(0, 1000), "10", "Percentage of waste to begin at.")
        .inert(NO_DEFRAG),
    Directive::new("active-defrag-threshold-upper", range(0, 1000), "100", "Percentage of waste for full effort.")
        .inert(NO_DEFRAG),
    Directive::new("active-defrag-cycle-min", range(1, 99), "1", "Least percentage of CPU.").inert(NO_DEFRAG),
    Directive::new("active-defrag-cycle-max", range(1, 99), "25", "Largest percentage of CPU.").inert(NO_DEFRAG),
    Directive::new("active-defrag-max-scan-fields", range(1, MAX_I64), "1000", "Elements done at once.")
        .inert(NO_DEFRAG),
    Directive::new("disable-thp", Bool, "yes", "Switches transparent huge pages off for the process.")
        .at_start()
        .inert("huge pages hurt servers that fork; this one does not"),
    Directive::new("oom-score-adj", ADJUST, "no", "Adjusts the score of the kernel's OOM killer.").inert(USE_SYSTEMD),
    Directive::new("oom-score-adj-values", OomScores, "0 200 800", "Scores of master, replica and child.")
        .inert(USE_SYSTEMD),
    Directive::new("key-memory-histograms", Bool, "no", "Keeps histograms of key sizes in bytes.")
        .at_start()
        .from(Origin::Redis8)
        .inert("no such histograms are kept"),
];
