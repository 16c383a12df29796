//! MEMORY, apart from MEMORY USAGE, which is about a key.
//!
//! *Invariant:* nothing here locks a shard: these commands may run inside a transaction, which holds them.

use std::sync::atomic::Ordering;

use resp::{Args, Reply};

use super::Handlers;
use super::info_sections::{client_bytes, ratio};
use crate::front::Room;
use crate::limits::{TABLE_BYTES_A_KEY, TIMER_BYTES};
use crate::memory::{human, resident_bytes};
use crate::net::{Flow, Turn};
use crate::session::{Session, ok};

/// The handlers of this family.
pub const HANDLERS: Handlers = &[
    ("memory|doctor", doctor),
    ("memory|malloc-stats", malloc_stats),
    ("memory|purge", purge),
    ("memory|stats", stats),
    ("memory|help", |room, session, _, turn| room.help(session, turn, "memory")),
];

/// Below this many bytes the shape of memory says nothing.
const SMALL: u64 = 5 << 20;

fn doctor(room: &mut Room, session: &mut Session, _: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    let figures = room.node.look_at_memory();
    let (used, rss) = (figures.allocated, resident_bytes());
    let peak = room.node.stats.peak_memory.load(Ordering::Relaxed);
    let limit = room.node.config.settings().maxmemory;
    let clients = client_bytes(room) as u64;
    let mut findings = Vec::new();
    if used >= SMALL {
        if ratio(peak, used) > 1.5 {
            findings.push(format!(
                "At its peak the server used {}, now {}: the resident set may stay large. MEMORY PURGE gives pages back.",
                human(peak),
                human(used)
            ));
        }
        if ratio(rss, used) > 1.4 {
            findings.push(format!(
                "The resident set is {} for {} in use: memory is fragmented, or its pages were not given back yet.",
                human(rss),
                human(used)
            ));
        }
        if clients > used / 4 {
            findings.push(format!("{} wait in clients' buffers: look at omem in CLIENT LIST.", human(clients)));
        }
    }
    if limit > 0 && used > limit / 10 * 9 {
        findings.push(format!(
            "{} of maxmemory {} are in use: writes that need memory are refused above it.",
            human(used),
            human(limit)
        ));
    }
    let text = match findings.is_empty() {
        true => "Nothing about the use of memory looks wrong.\n".to_owned(),
        false => findings.iter().map(|finding| format!("* {finding}\n")).collect(),
    };
    session.reply(turn).verbatim(*b"txt", text.as_bytes());
    Flow::Continue
}

fn malloc_stats(room: &mut Room, session: &mut Session, _: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    let report = room.node.allocator().report();
    session.reply(turn).verbatim(*b"txt", report.as_bytes());
    Flow::Continue
}

fn purge(room: &mut Room, session: &mut Session, _: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    room.node.allocator().purge();
    ok(session, turn)
}

/// A value of MEMORY STATS.
enum Figure {
    Bytes(u64),
    Signed(i64),
    Ratio(f64),
}

fn stats(room: &mut Room, session: &mut Session, _: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    use Figure::{Bytes, Ratio, Signed};
    let node = &room.node;
    let figures = node.look_at_memory();
    let (used, rss) = (figures.allocated, resident_bytes());
    let peak = node.stats.peak_memory.load(Ordering::Relaxed);
    let (startup, clients) = (node.startup_memory(), client_bytes(room) as u64);
    let log = node.engine.log().stats().buffered_bytes;
    let databases = node.config.settings().process.databases.min(256);
    let counts = |db: u32| node.engine.key_counts(db as u8);
    let tables: Vec<_> = (0..databases).map(|db| (db, counts(db))).filter(|(_, counts)| counts.keys > 0).collect();
    let keys: u64 = tables.iter().map(|(_, counts)| counts.keys).sum();
    let overhead = startup + clients + log;
    let dataset = used.saturating_sub(overhead);
    let first = [
        ("peak.allocated", Bytes(peak)),
        ("total.allocated", Bytes(used)),
        ("startup.allocated", Bytes(startup)),
        ("replication.backlog", Bytes(0)),
        ("clients.slaves", Bytes(0)),
        ("clients.normal", Bytes(clients)),
        ("cluster.links", Bytes(0)),
        ("aof.buffer", Bytes(log)),
        ("lua.caches", Bytes(0)),
        ("functions.caches", Bytes(0)),
    ];
    let then = [
        ("overhead.total", Bytes(overhead)),
        ("keys.count", Bytes(keys)),
        ("keys.bytes-per-key", Bytes(used.saturating_sub(startup).checked_div(keys).unwrap_or(0))),
        ("dataset.bytes", Bytes(dataset)),
        ("dataset.percentage", Ratio(ratio(dataset, used.saturating_sub(startup)) * 100.0)),
        ("peak.percentage", Ratio(ratio(used, peak) * 100.0)),
        ("allocator.allocated", Bytes(figures.allocated)),
        ("allocator.active", Bytes(figures.active)),
        ("allocator.resident", Bytes(figures.resident)),
        ("allocator-fragmentation.ratio", Ratio(ratio(figures.active, figures.allocated))),
        ("allocator-fragmentation.bytes", Signed(figures.active as i64 - figures.allocated as i64)),
        ("allocator-rss.ratio", Ratio(ratio(figures.resident, figures.active))),
        ("allocator-rss.bytes", Signed(figures.resident as i64 - figures.active as i64)),
        ("rss-overhead.ratio", Ratio(ratio(rss, figures.resident))),
        ("rss-overhead.bytes", Signed(rss as i64 - figures.resident as i64)),
        ("fragmentation", Ratio(ratio(rss, used))),
        ("fragmentation.bytes", Signed(rss as i64 - used as i64)),
    ];
    let mut reply = session.reply(turn);
    reply.map(first.len() + tables.len() + then.len());
    first.iter().for_each(|(name, figure)| write(&mut reply, name, figure));
    tables.iter().for_each(|(db, counts)| write_table(&mut reply, *db, counts.keys, counts.volatile));
    then.iter().for_each(|(name, figure)| write(&mut reply, name, figure));
    Flow::Continue
}

/// What the table of a database takes.
///
/// `DIFFERENCE:` this is told from the numbers of keys and deadlines and not measured: tables are spread over all shards.
fn write_table(reply: &mut Reply<'_>, db: u32, keys: u64, deadlines: u64) {
    reply.bulk(format!("db.{db}").as_bytes());
    let fields = [
        ("overhead.hashtable.main", Figure::Bytes(keys * TABLE_BYTES_A_KEY)),
        ("overhead.hashtable.expires", Figure::Bytes(deadlines * TIMER_BYTES)),
        ("overhead.hashtable.slot-to-keys", Figure::Bytes(0)),
    ];
    reply.map(fields.len());
    fields.iter().for_each(|(name, figure)| write(reply, name, figure));
}

fn write(reply: &mut Reply<'_>, name: &str, figure: &Figure) {
    reply.bulk(name.as_bytes());
    match figure {
        Figure::Bytes(bytes) => reply.int(*bytes as i64),
        Figure::Signed(bytes) => reply.int(*bytes),
        Figure::Ratio(ratio) => reply.double(*ratio),
    }
}
