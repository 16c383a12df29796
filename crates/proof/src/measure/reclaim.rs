//! Disk that is given back: after DEL, FLUSHALL and expiry of everything, and of a queue through which much has gone.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::common::{Common, compare};
use super::latency::Latencies;
use super::subject::Subject;
use super::table::Figure;
use super::usage::{disk_bytes, mib};
use super::{info, keys};
use crate::conn::{Conn, encode};
use crate::resp::Value;
use crate::server::Program;

/// Expired keys that are still there after so long count as kept for ever.
const EXPIRY_PATIENCE: Duration = Duration::from_secs(300);

/// Items that are in the queue at any time.
const LIVE: u64 = 100;

/// How often the queue is read when all has gone through.
const READS: usize = 200;

/// What to run.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Keys that come and go, with values of 64 B.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub keys: u64,
    /// Items that go through one list.
    #[arg(long, default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(1000..=1_000_000_000))]
    pub items: u64,
    /// How both are measured.
    #[command(flatten)]
    pub common: Common,
}

/// How everything goes.
#[derive(Clone, Copy)]
enum Way {
    Delete,
    Flush,
    Expire,
}

/// Measures both.
pub fn run(sut: &Program, oracle: &Program, options: &Options) -> Result<bool> {
    let conditions = format!(
        "{} keys of 16 B with values of 64 B, everysec, BGREWRITEAOF before and after; {} items through a list of {LIVE}",
        options.keys, options.items
    );
    compare("reclaim", &conditions, (sut, oracle), &options.common, &|subject| once(subject, options))
}

/// One server.
pub fn once(subject: &Subject, options: &Options) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (way, name) in [(Way::Delete, "DEL"), (Way::Flush, "FLUSHALL"), (Way::Expire, "expiry")] {
        figures.extend(everything(subject, options, way, name).context(name)?);
    }
    figures.extend(queue(subject, options).context("the queue")?);
    Ok(figures)
}

fn everything(subject: &Subject, options: &Options, way: Way, name: &str) -> Result<Vec<Figure>> {
    let dir = tempfile::tempdir()?;
    let running = subject.start(dir.path())?;
    let mut conn = running.open()?;
    let (port, all, disk) = (running.port, 0..options.keys, |dir: &Path| disk_bytes(dir).map(mib));
    let empty = disk(dir.path())?;
    keys::load(port, all.clone(), 0)?;
    info::checkpoint(&mut conn, "BGREWRITEAOF")?;
    let full = disk(dir.path())?;
    let began = Instant::now();
    match way {
        Way::Delete => keys::each(port, all, &Value::Int(1), |index, out| encode(&["DEL", &keys::key(index)], out))?,
        Way::Flush => {
            let reply = conn.call(&["FLUSHALL"])?;
            ensure!(reply == Value::Simple(b"OK".to_vec()), "FLUSHALL was answered {reply}");
        }
        Way::Expire => {
            keys::each(port, all, &Value::Int(1), |index, out| encode(&["PEXPIRE", &keys::key(index), "1"], out))?;
            while info::dbsize(&mut conn)? > 0 {
                ensure!(began.elapsed() < EXPIRY_PATIENCE, "{} expired keys are kept", info::dbsize(&mut conn)?);
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
    let took = began.elapsed();
    let left = info::dbsize(&mut conn)?;
    ensure!(left == 0, "{left} keys are left");
    let before = disk(dir.path())?;
    let checkpoint = info::checkpoint(&mut conn, "BGREWRITEAOF")?;
    let after = disk(dir.path())?;
    running.server.stop()?;
    // A start must find it as empty.
    let running = subject.start(dir.path())?;
    let there = info::dbsize(&mut running.open()?)?;
    ensure!(there == 0, "{there} keys are back after a restart");
    let figure = |what: &str, value| Figure::cost(format!("{name}: {what}"), "MiB", value);
    Ok(vec![
        figure("disk of all", full - empty),
        Figure::cost(format!("{name}: until all are gone"), "s", took.as_secs_f64()),
        figure("disk then", before - empty),
        figure("disk after BGREWRITEAOF", after - empty),
        Figure::cost(format!("{name}: BGREWRITEAOF"), "s", checkpoint.as_secs_f64()),
    ])
}

fn queue(subject: &Subject, options: &Options) -> Result<Vec<Figure>> {
    let dir = tempfile::tempdir()?;
    let running = subject.start(dir.path())?;
    let mut conn = running.open()?;
    let began = Instant::now();
    through(&mut conn, options.items)?;
    let took = began.elapsed();
    let mut reads = read(&mut conn, options.items, "queue")?;
    let before = disk_bytes(dir.path())?;
    info::checkpoint(&mut conn, "BGREWRITEAOF")?;
    let mut figures = vec![
        Figure::gain("queue: LPUSH and RPOP", "items/s", options.items as f64 / took.as_secs_f64()),
        Figure::cost("queue: disk", "MiB", mib(before)),
        Figure::cost("queue: disk after BGREWRITEAOF", "MiB", mib(disk_bytes(dir.path())?)),
    ];
    figures.append(&mut reads);
    running.server.stop()?;
    let running = subject.start(dir.path())?;
    figures.extend(read(&mut running.open()?, options.items, "queue after a restart")?);
    running.server.stop()?;
    Ok(figures)
}

/// Pushes the items from 0 on, and pops each when [`LIVE`] more have come.
fn through(conn: &mut Conn, items: u64) -> Result<()> {
    const BATCH: u64 = 200;
    let mut bytes = Vec::new();
    for first in (0..items).step_by(BATCH as usize) {
        bytes.clear();
        let range = first..items.min(first + BATCH);
        for item in range.clone() {
            encode(&["LPUSH", "queue", &item.to_string()], &mut bytes);
            if item >= LIVE {
                encode(&["RPOP", "queue"], &mut bytes);
            }
        }
        conn.send_raw(&bytes)?;
        for item in range {
            let pushed = conn.reply()?;
            let len = (item + 1).min(LIVE + 1) as i64;
            ensure!(pushed == Value::Int(len), "LPUSH of item {item} was answered {pushed}, not {len}");
            if item >= LIVE {
                let (popped, oldest) = (conn.reply()?, (item - LIVE).to_string());
                ensure!(popped == Value::Bulk(oldest.clone().into_bytes()), "RPOP was answered {popped}, not {oldest}");
            }
        }
    }
    Ok(())
}

/// Reads what is live, which must be the last that were pushed. The first time is shown apart: nothing may be in memory then.
fn read(conn: &mut Conn, items: u64, when: &str) -> Result<Vec<Figure>> {
    let live = (items - LIVE..items).rev().map(|item| Value::Bulk(item.to_string().into_bytes())).collect();
    let mut figures = Vec::new();
    for (words, expected) in
        [(&["LRANGE", "queue", "0", "-1"][..], Value::Array(live)), (&["LLEN", "queue"], Value::Int(LIVE as i64))]
    {
        let (mut first, mut took) = (None, Latencies::default());
        for _ in 0..READS {
            let began = Instant::now();
            let reply = conn.call(words)?;
            let elapsed = began.elapsed();
            ensure!(reply == expected, "{} was answered {reply}, not {expected}", words.join(" "));
            if first.replace(first.unwrap_or(elapsed)).is_some() {
                took.push(elapsed);
            }
        }
        let (what, first) = (format!("{when}: {}", words[0]), first.unwrap_or_default());
        figures.push(Figure::cost(format!("{what}, the first"), "µs", first.as_secs_f64() * 1e6));
        figures.extend(took.brief(&what));
    }
    Ok(figures)
}
