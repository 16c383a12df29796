//! Slow log, latency, keyspace notifications.

use super::super::directive::{Directive, Kind, Origin};
use super::super::number::{MAX_I64, Number};
use super::{LONG_COUNT, range};
use Kind::{Bool, Events, Percentiles};

const LARGE_NOT_LOGGED: &str = "only slow commands are logged, not large requests or replies";

pub(super) static OBSERVABILITY: &[Directive] = &[
    Directive::new(
        "slowlog-log-slower-than",
        range(-1, MAX_I64),
        "10000",
        "Microseconds from which a command goes to the slow log; 0 all, -1 none.",
    )
    .alias(&["commandlog-execution-slower-than"]),
    Directive::new("slowlog-max-len", LONG_COUNT, "128", "Entries of the slow log.")
        .alias(&["commandlog-slow-execution-max-len"]),
    Directive::new(
        "latency-monitor-threshold",
        LONG_COUNT,
        "0",
        "Milliseconds from which an event is kept for LATENCY; 0 switches it off.",
    ),
    Directive::new("latency-tracking", Bool, "yes", "Keeps a latency histogram for each command."),
    Directive::new(
        "latency-tracking-info-percentiles",
        Percentiles,
        "50 99 99.9",
        "Percentiles that INFO latencystats prints.",
    ),
    Directive::new(
        "notify-keyspace-events",
        Events,
        "\"\"",
        "What is published about keys: K keyspace channels, E event channels, g generic, $ strings, l lists, s sets, \
         h hashes, z sorted sets, x expired, e evicted, t streams, d modules, A all of these; n new keys, m misses, \
         o overwritten, c type changed.",
    ),
    Directive::new("commandlog-request-larger-than", LARGE, "1mb", "Bytes from which a request is logged.")
        .from(Origin::Valkey)
        .inert(LARGE_NOT_LOGGED),
    Directive::new("commandlog-large-request-max-len", LONG_COUNT, "128", "Entries of that log.")
        .from(Origin::Valkey)
        .inert(LARGE_NOT_LOGGED),
    Directive::new("commandlog-reply-larger-than", LARGE, "1mb", "Bytes from which a reply is logged.")
        .from(Origin::Valkey)
        .inert(LARGE_NOT_LOGGED),
    Directive::new("commandlog-large-reply-max-len", LONG_COUNT, "128", "Entries of that log.")
        .from(Origin::Valkey)
        .inert(LARGE_NOT_LOGGED),
];

const LARGE: Kind = Kind::Number(Number::bytes(-1, MAX_I64));
