//! The process: how it starts and stops, where it logs, how many threads it has.

use super::super::directive::{Directive, Kind, Origin};
use super::super::number::{MAX_I32, Number, Unit};
use super::{ANY_INT, COUNT, LONG_COUNT, TEXT, range};
use Kind::{Bool, Choice, Flags};

const ON_SIGNAL: Kind = Flags(&["default", "save", "nosave", "now", "force"]);
const LEVELS: Kind = Choice(&[
    ("debug", "debug"),
    ("verbose", "verbose"),
    ("notice", "notice"),
    ("warning", "warning"),
    ("nothing", "nothing"),
]);
const SUPERVISORS: Kind = Choice(&[("upstart", "upstart"), ("systemd", "systemd"), ("auto", "auto"), ("no", "no")]);
const FACILITIES: Kind = Choice(&[
    ("user", "user"),
    ("local0", "local0"),
    ("local1", "local1"),
    ("local2", "local2"),
    ("local3", "local3"),
    ("local4", "local4"),
    ("local5", "local5"),
    ("local6", "local6"),
    ("local7", "local7"),
]);

/// As Redis bounds it.
const HZ: Kind = Kind::Number(Number { unit: Unit::Clamped, min: 1, max: 500 });

/// A key's route has one byte for its database.
const MAX_DATABASES: i128 = 256;

const STOP_IS_CLEAN: &str = "every stop writes out the log before the process ends; no snapshot is needed";
const NO_SYSLOG: &str = "logs go to standard output or to logfile";
const NO_TITLE: &str = "the process keeps its command line as its title";
const USE_TASKSET: &str = "threads are not pinned by the server: start it under taskset or with systemd's CPUAffinity";
const NO_TIMER: &str = "background work is driven by deadlines, not by a fixed timer";

pub(super) static PROCESS: &[Directive] = &[
    Directive::new("daemonize", Bool, "no", "Leaves the terminal and runs in the background.").at_start(),
    Directive::new("pidfile", TEXT, "\"\"", "File for the process id, removed at a clean stop.").at_start(),
    Directive::new("supervised", SUPERVISORS, "no", "Tells the supervisor when the server is ready.").at_start(),
    Directive::new("loglevel", LEVELS, "notice", "How much is logged."),
    Directive::new("logfile", TEXT, "\"\"", "File for the log; empty: standard output.").at_start(),
    Directive::new("io-threads", range(1, 128), "1", "Threads that read, execute and answer.").at_start(),
    Directive::new(
        "io-coalesce-usecs",
        range(0, 1000),
        "50",
        "Microseconds at most that a busy thread lets requests of many clients gather before it serves them; 0 never.",
    )
    .from(Origin::Anabranch),
    Directive::new(
        "rest-read-threads",
        range(0, 128),
        "4",
        "Threads at most that read from disk what commands miss, while the I/O threads go on; 0: the I/O threads read it.",
    )
    .from(Origin::Anabranch)
    .at_start(),
    Directive::new("databases", range(1, MAX_DATABASES), "16", "How many databases SELECT can choose from.").at_start(),
    Directive::new("include", TEXT, "\"\"", "Reads another file, or all files that a glob matches, at this place.")
        .file_only(),
    Directive::new("io-threads-do-reads", Bool, "no", "Reads in I/O threads too.")
        .at_start()
        .inert("every I/O thread reads and writes"),
    Directive::new("io-threads-do-events", Bool, "yes", "Offloads polling to I/O threads.")
        .hidden()
        .from(Origin::Valkey)
        .inert("every I/O thread has a poller of its own"),
    Directive::new("events-per-io-thread", ANY_INT, "2", "Events that make one more I/O thread worth it.")
        .hidden()
        .from(Origin::Valkey)
        .inert("the number of I/O threads is fixed"),
    Directive::new("prefetch-batch-max-size", range(0, 128), "16", "Keys prefetched together.")
        .from(Origin::Valkey)
        .inert("at most 16 commands are looked ahead for"),
    Directive::new("lookahead", range(1, MAX_I32), "16", "Commands parsed ahead for each client.")
        .from(Origin::Redis8)
        .inert("at most 16 commands are parsed ahead"),
    Directive::new("shutdown-on-sigint", ON_SIGNAL, "default", "What SIGINT does.").inert(STOP_IS_CLEAN),
    Directive::new("shutdown-on-sigterm", ON_SIGNAL, "default", "What SIGTERM does.").inert(STOP_IS_CLEAN),
    Directive::new("shutdown-timeout", COUNT, "10", "Seconds that a stop waits for replicas.")
        .inert(super::NO_REPLICATION),
    Directive::new("syslog-enabled", Bool, "no", "Logs to syslog.").at_start().inert(NO_SYSLOG),
    Directive::new("syslog-ident", TEXT, "redis", "Identity in syslog.").at_start().inert(NO_SYSLOG),
    Directive::new("syslog-facility", FACILITIES, "local0", "Facility in syslog.").at_start().inert(NO_SYSLOG),
    Directive::new(
        "log-format",
        Choice(&[("legacy", "legacy"), ("logfmt", "logfmt")]),
        "legacy",
        "Shape of log lines.",
    )
    .from(Origin::Valkey)
    .inert("log lines have one shape"),
    Directive::new(
        "log-timestamp-format",
        Choice(&[("legacy", "legacy"), ("iso8601", "iso8601"), ("milliseconds", "milliseconds")]),
        "legacy",
        "Shape of the time in log lines.",
    )
    .from(Origin::Valkey)
    .inert("times in log lines are ISO 8601"),
    Directive::new("crash-log-enabled", Bool, "yes", "Logs registers and stack in a crash.")
        .inert("a panic logs its place and message"),
    Directive::new("crash-memcheck-enabled", Bool, "yes", "Tests the memory in a crash.").inert("memory is not tested"),
    Directive::new("use-exit-on-panic", Bool, "no", "Exits instead of aborting.").hidden().inert("a panic aborts"),
    Directive::new("always-show-logo", Bool, "no", "Shows a logo at start.").at_start().inert("there is no logo"),
    Directive::new("set-proc-title", Bool, "yes", "Sets the title of the process.").at_start().inert(NO_TITLE),
    Directive::new("proc-title-template", TEXT, "\"{title} {listen-addr} {server-mode}\"", "That title.")
        .inert(NO_TITLE),
    Directive::new("server_cpulist", TEXT, "\"\"", "CPUs of the server's threads.")
        .alias(&["server-cpulist"])
        .at_start()
        .inert(USE_TASKSET),
    Directive::new("bio_cpulist", TEXT, "\"\"", "CPUs of background threads.")
        .alias(&["bio-cpulist"])
        .at_start()
        .inert(USE_TASKSET),
    Directive::new("aof_rewrite_cpulist", TEXT, "\"\"", "CPUs of log rewriting.")
        .alias(&["aof-rewrite-cpulist"])
        .at_start()
        .inert(USE_TASKSET),
    Directive::new("bgsave_cpulist", TEXT, "\"\"", "CPUs of snapshots.")
        .alias(&["bgsave-cpulist"])
        .at_start()
        .inert(USE_TASKSET),
    Directive::new("ignore-warnings", TEXT, "\"\"", "Warnings at start to leave out.").inert("no such warning is made"),
    Directive::new("hz", HZ, "10", "Rounds of background work a second.").inert(NO_TIMER),
    Directive::new("dynamic-hz", Bool, "yes", "More rounds with more clients.").inert(NO_TIMER),
    Directive::new("watchdog-period", COUNT, "0", "Milliseconds after which a slow command is logged.")
        .hidden()
        .inert("use the slow log"),
    Directive::new("busy-reply-threshold", LONG_COUNT, "5000", "Milliseconds until a script makes others fail.")
        .alias(&["lua-time-limit"])
        .inert("there are no scripts yet"),
    Directive::new("locale-collate", TEXT, "\"\"", "Locale of SORT ALPHA.")
        .from(Origin::Redis8)
        .refused(&["", "C", "POSIX"], "SORT ALPHA compares bytes, as in the C locale"),
    Directive::new("extended-redis-compatibility", Bool, "no", "Says Redis where Valkey would say Valkey.")
        .from(Origin::Valkey)
        .inert("replies always are those that Redis gives"),
    Directive::new("availability-zone", TEXT, "\"\"", "Zone that INFO and HELLO tell.")
        .from(Origin::Valkey)
        .inert("the zone is told nowhere yet"),
    Directive::new("lua-replicate-commands", Bool, "yes", "An old way of replicating scripts.")
        .file_only()
        .inert("Redis itself ignores this one"),
];
