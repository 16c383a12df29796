//! One sorted set, one hash and one list of very many elements: what commands take on them after a restart.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::common::{Common, bytes, compare};
use super::latency::Latencies;
use super::subject::Subject;
use super::table::Figure;
use super::usage::{MemoryWatch, disk_bytes, mib};
use crate::conn::{Command, Conn, command};
use crate::resp::Value;
use crate::rng::Rng;
use crate::server::Program;

/// Elements that one command adds while loading.
const BATCH: u64 = 200;

/// Elements of a page of ZRANGE.
const PAGE: u64 = 10;

/// What to run.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Elements of each.
    #[arg(long, default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(1000..=1_000_000_000))]
    pub elements: u64,
    /// The bound on memory of the server under test (`64mb`); the peer has none.
    #[arg(long, value_parser = bytes)]
    pub maxmemory: Option<u64>,
    /// Commands of each kind that are timed.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub commands: u64,
    /// How both are measured.
    #[command(flatten)]
    pub common: Common,
}

/// What is timed.
#[derive(Clone, Copy, Debug)]
enum Kind {
    ZAdd,
    HGet,
    LPush,
    ZRange,
    ZRank,
}

const KINDS: [(Kind, &str); 5] = [
    (Kind::ZRank, "ZRANK"),
    (Kind::HGet, "HGET"),
    (Kind::ZRange, "ZRANGE page"),
    (Kind::ZAdd, "ZADD"),
    (Kind::LPush, "LPUSH"),
];

/// Measures both.
pub fn run(sut: &Program, oracle: &Program, options: &Options) -> Result<bool> {
    let bound = options.maxmemory.map_or("no bound".into(), |bytes| format!("{} MiB for ours", mib(bytes)));
    let conditions = format!(
        "a sorted set, a hash and a list of {} elements each, maxmemory: {bound}; {} commands of each kind, one at a time, after a restart",
        options.elements, options.commands
    );
    compare("large", &conditions, (sut, oracle), &options.common, &|subject| once(subject, options))
}

/// One server.
pub fn once(subject: &Subject, options: &Options) -> Result<Vec<Figure>> {
    let subject = &subject.bounded(options.maxmemory);
    let dir = tempfile::tempdir()?;
    let running = subject.start(dir.path())?;
    let began = Instant::now();
    load(&mut running.open()?, options.elements).context("load")?;
    let loaded = began.elapsed();
    running.server.stop()?;
    let began = Instant::now();
    let running = subject.start(dir.path())?;
    let started = began.elapsed();
    let memory = MemoryWatch::start(running.server.pid());
    let mut figures = vec![
        Figure::cost("load", "s", loaded.as_secs_f64()),
        Figure::cost("start", "s", started.as_secs_f64()),
        Figure::cost("disk", "MiB", mib(disk_bytes(dir.path())?)),
    ];
    let (mut conn, mut rng) = (running.open()?, Rng::new(1));
    for (kind, name) in KINDS {
        let (first, all) = time(&mut conn, kind, options, &mut rng).context(name)?;
        figures.push(Figure::cost(format!("{name}, the first"), "µs", first.as_secs_f64() * 1e6));
        figures.extend(all.figures(name));
    }
    for (name, len) in [("ZCARD z", 0), ("HLEN h", 0), ("LLEN l", options.commands)] {
        let reply = conn.call(&name.split(' ').collect::<Vec<_>>())?;
        let expected = Value::Int((options.elements + len) as i64);
        ensure!(reply == expected, "{name} was answered {reply}, not {expected}");
    }
    figures.push(Figure::cost("resident memory, most", "MiB", mib(memory.most())));
    running.server.stop()?;
    Ok(figures)
}

fn member(element: u64) -> String {
    format!("m{element:011}")
}

/// Element n of the sorted set has score n, that of the hash the value of n, and the list begins with the last.
fn load(conn: &mut Conn, elements: u64) -> Result<()> {
    for first in (0..elements).step_by(BATCH as usize) {
        let range = first..elements.min(first + BATCH);
        let (mut z, mut h, mut l) = (command(&["ZADD", "z"]), command(&["HSET", "h"]), command(&["LPUSH", "l"]));
        for element in range.clone() {
            let (name, number) = (member(element).into_bytes(), element.to_string().into_bytes());
            z.extend([number.clone(), name.clone()]);
            h.extend([name, number.clone()]);
            l.push(number);
        }
        let added = Value::Int((range.end - range.start) as i64);
        let replies = conn.pipeline(&[z, h, l])?;
        let expected = [added.clone(), added, Value::Int(range.end as i64)];
        ensure!(replies[..] == expected, "elements from {first} on were answered {replies:?}, not {expected:?}");
    }
    Ok(())
}

/// Times commands of one kind on random elements; the first of them apart, since nothing is warm then.
fn time(conn: &mut Conn, kind: Kind, options: &Options, rng: &mut Rng) -> Result<(Duration, Latencies)> {
    let (mut first, mut all) = (None, Latencies::default());
    for number in 0..options.commands {
        let element = rng.below((options.elements - PAGE) as usize) as u64;
        let (words, expected) = question(kind, element, options.elements + number);
        let began = Instant::now();
        let reply = conn.call(&words)?;
        let took = began.elapsed();
        ensure!(reply == expected, "element {element} was answered {reply}, not {expected}");
        first.get_or_insert(took);
        all.push(took);
    }
    Ok((first.unwrap_or_default(), all))
}

/// A command about an element and the only right answer; the list has `len` elements before it.
fn question(kind: Kind, element: u64, len: u64) -> (Command, Value) {
    let (name, bulk) = (member(element), |text: String| Value::Bulk(text.into_bytes()));
    match kind {
        // A little more, so that it changes and no rank does.
        Kind::ZAdd => (command(&["ZADD", "z", &format!("{element}.25"), &name]), Value::Int(0)),
        Kind::HGet => (command(&["HGET", "h", &name]), bulk(element.to_string())),
        Kind::LPush => (command(&["LPUSH", "l", &len.to_string()]), Value::Int(len as i64 + 1)),
        Kind::ZRank => (command(&["ZRANK", "z", &name]), Value::Int(element as i64)),
        Kind::ZRange => {
            let page = (element..element + PAGE).map(|element| bulk(member(element))).collect();
            let (from, to) = (element.to_string(), (element + PAGE - 1).to_string());
            (command(&["ZRANGE", "z", &from, &to]), Value::Array(page))
        }
    }
}
