//! LATENCY.

use command::{parse, table};
use resp::Args;

use super::Handlers;
use super::percentile::label_us;
use crate::front::Room;
use crate::latency::{Event, Spike};
use crate::limits::LATENCY_GRAPH_COLUMNS;
use crate::net::{Flow, Turn};
use crate::session::{Session, refuse};

/// The handlers of this family.
pub const HANDLERS: Handlers = &[
    ("latency|latest", latest),
    ("latency|history", history),
    ("latency|reset", reset),
    ("latency|doctor", doctor),
    ("latency|graph", graph),
    ("latency|histogram", histogram),
    ("latency|help", |room, session, _, turn| room.help(session, turn, "latency")),
];

fn latest(room: &mut Room, session: &mut Session, _: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    let log = room.node.stats.latency.lock();
    let mut reply = session.reply(turn);
    reply.array(log.events().len());
    for (name, event) in log.events() {
        let last = event.spikes.back().copied().unwrap_or(Spike { at_s: 0, took_ms: 0 });
        reply.array(4);
        reply.bulk(name.as_bytes());
        reply.int(last.at_s);
        reply.int(last.took_ms as i64);
        reply.int(event.max_ms as i64);
    }
    Flow::Continue
}

fn history(room: &mut Room, session: &mut Session, args: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    let log = room.node.stats.latency.lock();
    let spikes = log.find(&args[2]).map(|event| &event.spikes);
    let mut reply = session.reply(turn);
    reply.array(spikes.map_or(0, |spikes| spikes.len()));
    for spike in spikes.into_iter().flatten() {
        reply.array(2);
        reply.int(spike.at_s);
        reply.int(spike.took_ms as i64);
    }
    Flow::Continue
}

fn reset(room: &mut Room, session: &mut Session, args: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    let mut log = room.node.stats.latency.lock();
    let gone = match args.len() {
        2 => log.reset(|_| true),
        _ => log.reset(|name| args.iter().skip(2).any(|given| parse::is(given, name))),
    };
    session.reply(turn).int(gone as i64);
    Flow::Continue
}

fn doctor(room: &mut Room, session: &mut Session, _: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    let settings = room.node.config.settings();
    let threshold = settings.observability.latency_threshold_ms;
    let log = room.node.stats.latency.lock();
    let mut text = String::new();
    if threshold == 0 {
        text.push_str(
            "Latency is not monitored: set latency-monitor-threshold to the number of milliseconds from \
                       which on a command is worth noting, for instance CONFIG SET latency-monitor-threshold 100.\n",
        );
    } else if log.events().len() == 0 {
        text.push_str(&format!("No command has taken {threshold} ms or more.\n"));
    }
    for (name, event) in log.events() {
        text.push_str(&describe(name, event));
    }
    if log.events().len() > 0 {
        text.push_str(
            "Look at SLOWLOG GET for the commands themselves, and at log_fsync_max_usec in INFO \
                       persistence for the disk.\n",
        );
    }
    session.reply(turn).verbatim(*b"txt", text.as_bytes());
    Flow::Continue
}

fn describe(name: &str, event: &Event) -> String {
    let count = event.spikes.len() as u64;
    let mean = event.spikes.iter().map(|spike| spike.took_ms).sum::<u64>() / count.max(1);
    let what = match name {
        "fast-command" => "commands that take constant or logarithmic time: the machine or the disk held them up",
        _ => "commands whose time grows with what they touch",
    };
    format!("{name}: {count} spikes, {mean} ms on average, {} ms at most; {what}.\n", event.max_ms)
}

fn graph(room: &mut Room, session: &mut Session, args: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    let log = room.node.stats.latency.lock();
    let Some(event) = log.find(&args[2]) else {
        let text = [b"ERR No samples available for event '", &args[2], b"'"].concat();
        return refuse(session, turn, text);
    };
    let name = String::from_utf8_lossy(&args[2]).into_owned();
    session.reply(turn).verbatim(*b"txt", draw(&name, event).as_bytes());
    Flow::Continue
}

/// One column a spike, the newest at the right; the taller, the longer.
fn draw(name: &str, event: &Event) -> String {
    const ROWS: u64 = 8;
    let skip = event.spikes.len().saturating_sub(LATENCY_GRAPH_COLUMNS);
    let shown: Vec<u64> = event.spikes.iter().skip(skip).map(|spike| spike.took_ms).collect();
    let high = shown.iter().copied().max().unwrap_or(0);
    let low = shown.iter().copied().min().unwrap_or(0);
    let mut text = format!("{name} - high {high} ms, low {low} ms (all time high {} ms)\n", event.max_ms);
    text.push_str(&"-".repeat(LATENCY_GRAPH_COLUMNS));
    text.push('\n');
    for row in (1..=ROWS).rev() {
        let line: String = shown.iter().map(|ms| if ms * ROWS >= row * high { '#' } else { ' ' }).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn histogram(room: &mut Room, session: &mut Session, args: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    let tracked = room.node.config.settings().observability.latency_tracking;
    let wanted = |name: &str| {
        let container = name.split('|').next().unwrap_or(name);
        args.len() == 2 || args.iter().skip(2).any(|given| parse::is(given, name) || parse::is(given, container))
    };
    let rows = table::ids().map(|id| (table::full_name(id), room.node.stats.command(id)));
    let rows: Vec<_> = rows.filter(|(name, totals)| tracked && totals.tracked() > 0 && wanted(name)).collect();
    let mut reply = session.reply(turn);
    reply.map(rows.len());
    for (name, totals) in &rows {
        reply.bulk(name.as_bytes());
        reply.map(2);
        reply.bulk(b"calls");
        reply.int(totals.tracked() as i64);
        reply.bulk(b"histogram_usec");
        let filled: Vec<_> = totals.buckets.iter().enumerate().filter(|(_, count)| **count > 0).collect();
        reply.map(filled.len());
        let mut sum = 0;
        for (bucket, count) in filled {
            sum += count;
            reply.int(label_us(bucket) as i64);
            reply.int(sum as i64);
        }
    }
    Flow::Continue
}
