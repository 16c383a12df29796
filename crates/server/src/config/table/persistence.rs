//! The data directory, the log, and Redis' snapshots, which have no counterpart here.

use super::super::directive::{Directive, Kind, Origin};
use super::super::number::MAX_I32;
use super::{ANY_INT, BYTES, BYTES_U64, COUNT, LONG_COUNT, NO_FORK, TEXT, byte_range, range};
use Kind::{Bool, Choice, Directory, Save};

const FSYNC: Kind = Choice(&[("everysec", "everysec"), ("always", "always"), ("no", "no")]);
/// A batch is one record of the log.
const MAX_BATCH_BYTES: i128 = wal::MAX_PAYLOAD_BYTES as i128;
const _: () = assert!(MAX_BATCH_BYTES >= 1 << 30, "the default of max-batch-bytes must be allowed");

const LOG_ALWAYS_ON: &str = "the log is always on: appendfsync says how durable it is";
const NAMES_FIXED: &str = "the log has names of its own below dir";
const NEVER_WEAKER: &str = "rewriting the log never makes it less durable";
const DUMP_ONLY: &str = "RDB is only the format of DUMP and RESTORE";

pub(super) static PERSISTENCE: &[Directive] = &[
    // DIFFERENCE: Redis can change its directory while it runs, if protected directives may be set.
    Directive::new("dir", Directory, "./data", "Directory of the data; made if it does not exist.").at_start(),
    Directive::new(
        "encryption-key-file",
        TEXT,
        "\"\"",
        "File with the master keys that the data is encrypted under; empty: no encryption, unless ANABRANCH_ENCRYPTION_KEYS is set in the environment.",
    )
    .from(Origin::Anabranch)
    .at_start(),
    Directive::new(
        "appendfsync",
        FSYNC,
        "everysec",
        "When the log is forced to disk: before each reply, once a second, or when the system likes.",
    ),
    Directive::new(
        "max-batch-bytes",
        byte_range(1 << 20, MAX_BATCH_BYTES),
        "1gb",
        "Largest batch of changes that one command or transaction may make; a larger one is refused.",
    )
    .from(Origin::Anabranch),
    Directive::new("log-segment-bytes", byte_range(1 << 20, 4 << 30), "64mb", "Size at which a log file is full.")
        .from(Origin::Anabranch)
        .at_start(),
    Directive::new(
        "auto-aof-rewrite-percentage",
        COUNT,
        "100",
        "0: checkpoints are taken only when asked for, and the log grows until then. Any other percentage means the same.",
    )
    .alias(&["log-rewrite-percentage"]),
    Directive::new("auto-aof-rewrite-min-size", BYTES, "64mb", "Leaves the log alone below this size.")
        .alias(&["log-rewrite-min-size"])
        .inert("checkpoint-log-size says when the log is cut"),
    Directive::new(
        "checkpoint-log-size",
        byte_range(1 << 20, 1 << 40),
        "512mb",
        "Takes a checkpoint when the log has grown by this size: what a start has to read again at most, about.",
    )
    .from(Origin::Anabranch),
    Directive::new(
        "backup-log-size",
        byte_range(0, 1 << 50),
        "1gb",
        "Log that is kept for the next backup, at most, once there has been one; if more is written, the next is a whole one.",
    )
    .from(Origin::Anabranch),
    Directive::new(
        "archive",
        TEXT,
        "\"\"",
        "Where the log is stored as it is written, sealed, with all rows now and then: a URL or an absolute path, as for backups; empty: nowhere.",
    )
    .from(Origin::Anabranch)
    .at_start(),
    Directive::new(
        "archive-recipient",
        TEXT,
        "\"\"",
        "File with the public key that the archive is sealed for; `anabranch backup-key` makes one.",
    )
    .from(Origin::Anabranch)
    .at_start(),
    Directive::new(
        "archive-interval",
        range(1, 86_400),
        "60",
        "Seconds after which what was written is sent to the archive, if it does not fill a log file before.",
    )
    .from(Origin::Anabranch),
    Directive::new(
        "archive-log-bytes",
        BYTES_U64,
        "4gb",
        "Log that waits for the archive while that cannot be reached, at most. Beyond that it is given up, and the archive has a hole.",
    )
    .from(Origin::Anabranch),
    Directive::new(
        "archive-keep",
        LONG_COUNT,
        "0",
        "Seconds of which any moment can be restored; what only serves older ones is removed from the archive. 0: nothing is removed.",
    )
    .from(Origin::Anabranch),
    Directive::new("archive-rate", BYTES_U64, "0", "Bytes that are read for the archive in a second, at most; 0: no bound.")
        .from(Origin::Anabranch),
    Directive::new(
        "large-value-size",
        byte_range(1 << 10, 1 << 30),
        "4kb",
        "Values of this size and more stand apart from their rows at rest, so that compactions do not rewrite them. Those that are at rest stay as they are.",
    )
    .from(Origin::Anabranch),
    Directive::new("appendonly", Bool, "yes", "Whether there is a log.").inert(LOG_ALWAYS_ON),
    Directive::new("appendfilename", TEXT, "appendonly.aof", "Name of the log.").at_start().inert(NAMES_FIXED),
    Directive::new("appenddirname", TEXT, "appendonlydir", "Directory of the log.").at_start().inert(NAMES_FIXED),
    Directive::new("no-appendfsync-on-rewrite", Bool, "no", "No fsync while the log is rewritten.").inert(NEVER_WEAKER),
    Directive::new("aof-rewrite-incremental-fsync", Bool, "yes", "Fsync in steps while rewriting.")
        .inert("it always does"),
    Directive::new("aof-load-truncated", Bool, "yes", "Starts with a log whose last record is cut off.")
        .inert("a torn tail is always cut, damage in the middle always refused"),
    Directive::new("aof-use-rdb-preamble", Bool, "yes", "A rewritten log begins with a snapshot.")
        .inert("the log never holds the state: that is in rows beside it"),
    Directive::new("aof-timestamp-enabled", Bool, "no", "Times in the log.").inert("every record has its time"),
    Directive::new("aof-disable-auto-gc", Bool, "no", "Keeps old logs.")
        .inert("segments go as soon as nothing needs them"),
    Directive::new("aof-load-corrupt-tail-max-size", BYTES, "0", "Damage at the end that is cut off.")
        .from(Origin::Redis8)
        .refused(&["0"], "damage is never dropped in silence: `anabranch check DIR` says what can be saved"),
    Directive::new("save", Save, "3600 1 300 100 60 10000", "When to write a snapshot.").inert(NO_FORK),
    Directive::new("dbfilename", TEXT, "dump.rdb", "Name of the snapshot.").protected().inert(NO_FORK),
    Directive::new("stop-writes-on-bgsave-error", Bool, "yes", "Refuses writes after a failed snapshot.")
        .inert("writes are refused whenever the log cannot be written"),
    Directive::new("rdbcompression", Bool, "yes", "Compresses snapshots.").inert(NO_FORK),
    Directive::new("rdbchecksum", Bool, "yes", "Checksum of snapshots.").at_start().inert(DUMP_ONLY),
    Directive::new("rdb-save-incremental-fsync", Bool, "yes", "Fsync in steps.").inert(NO_FORK),
    Directive::new("rdb-del-sync-files", Bool, "no", "Removes files of full synchronisations.").inert(NO_FORK),
    Directive::new(
        "rdb-version-check",
        Choice(&[("strict", "strict"), ("relaxed", "relaxed")]),
        "strict",
        "Whether newer formats are loaded.",
    )
    .from(Origin::Valkey)
    .inert(DUMP_ONLY),
    Directive::new("import-mode", Bool, "no", "Takes writes of a synchronisation tool.")
        .from(Origin::Valkey)
        .inert("keys that expired are hidden, and restored keys keep their deadlines"),
    Directive::new("rdb-key-save-delay", ANY_INT, "0", "Slows snapshots down, for tests.").hidden().inert(NO_FORK),
    Directive::new("key-load-delay", ANY_INT, "0", "Slows loading down, for tests.").hidden().inert(NO_FORK),
    Directive::new("loading-process-events-interval-bytes", range(1024, MAX_I32), "2097152", "Answers while loading.")
        .hidden()
        .inert(NO_FORK),
];
