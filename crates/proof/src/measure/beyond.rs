//! More data than memory: a model of every key beside the server, every reply compared, memory watched throughout.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::common::{Common, bytes, compare};
use super::info;
use super::latency::Latencies;
use super::subject::{Running, Subject};
use super::table::Figure;
use super::usage::{MemoryWatch, check_memory, disk_bytes, mib};
use crate::bench;
use crate::conn::{Conn, command};
use crate::server::Program;

mod expect;
mod isolated;
mod item;
mod owner;
mod probe;
mod zipf;

use owner::Owner;

/// Commands of one pipeline.
const BATCH: usize = 16;

/// A key that has expired is reclaimed well before so long, and how often that is looked at.
const RECLAIMED: Duration = Duration::from_secs(30);
const EXPIRY_LOOK: Duration = Duration::from_millis(10);

/// Keys that an error names, at most.
const NAMED: usize = 8;

/// What to run.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Bytes of values that are loaded (`2gb`).
    #[arg(long, default_value = "2gb", value_parser = bytes)]
    pub bytes: u64,
    /// The bound on memory of the server under test; the peer has none.
    #[arg(long, default_value = "200mb", value_parser = bytes)]
    pub maxmemory: u64,
    /// How long is read and written.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=36_000))]
    pub seconds: u64,
    /// Connections, each with keys of its own.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=64))]
    pub connections: u64,
    /// Where the random choices start.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// GETs a second when nothing else goes on, of keys that are in memory and of keys that are not.
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub quiet_rate: u64,
    /// How many of each.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub quiet_gets: u64,
    /// How both are measured.
    #[command(flatten)]
    pub common: Common,
}

/// Measures both.
pub fn run(sut: &Program, oracle: &Program, options: &Options) -> Result<bool> {
    let conditions = format!(
        "{} MiB of values of 64 B to 16 KiB, three quarters strings; maxmemory {} MiB for ours, none for the peer; {} connections, \
         zipfian, for {} s; everysec; seed {}",
        mib(options.bytes),
        mib(options.maxmemory),
        options.connections,
        options.seconds,
        options.seed
    );
    compare("beyond-ram", &conditions, (sut, oracle), &options.common, &|subject| once(subject, options))
}

/// One server.
pub fn once(subject: &Subject, options: &Options) -> Result<Vec<Figure>> {
    let subject = &subject.bounded(Some(options.maxmemory));
    let dir = tempfile::tempdir()?;
    let running = subject.start(dir.path())?;
    let memory = MemoryWatch::start(running.server.pid());
    // One more, of whose keys only latencies of reads are taken.
    let share = options.bytes / (options.connections + 1);
    let mut owners: Vec<Owner> = (0..=options.connections).map(|id| Owner::new(id, share, options.seed)).collect();
    let began = Instant::now();
    each(&mut owners, |owner| owner.load(&mut running.open()?))?;
    let loaded = began.elapsed();
    check_all(&running, &mut owners).context("after loading")?;
    let at_load = memory.most();

    let stop = AtomicBool::new(false);
    let cpu = bench::cpu_us(running.server.pid())?;
    let ((hits, others), commands) = work(&running, &mut owners, options, &stop)?;
    let cpu = bench::cpu_us(running.server.pid())? - cpu;
    check_all(&running, &mut owners).context("at the end")?;
    let probed = owners.last().context("an owner")?;
    let isolated = isolated::run(&running, probed, options).context("with nothing else going on")?;
    let most = memory.most();
    if !subject.program.is_redis() {
        check_memory(most, options.maxmemory)?;
    }
    let mut figures = vec![
        Figure::gain("load", "MiB/s", mib(options.bytes) / loaded.as_secs_f64()),
        Figure::gain("mixed commands", "1/s", commands as f64 / options.seconds as f64),
        Figure::cost("processor, with children", "µs/command", cpu / commands.max(1) as f64),
        Figure::cost("resident memory, most while loading", "MiB", mib(at_load)),
        Figure::cost("resident memory, most", "MiB", mib(most)),
        Figure::cost("disk", "MiB", mib(disk_bytes(dir.path())?)),
    ];
    figures.extend(hits.figures("GET of a key just touched"));
    figures.extend(others.figures("GET of any key"));
    figures.extend(isolated.figures());
    // What was there must be there after a restart.
    running.server.stop()?;
    let running = subject.start(dir.path())?;
    check_all(&running, &mut owners).context("after a restart")?;
    Ok(figures)
}

/// Lets all but the last work on their keys, and the last be probed, until time is up. How many commands were answered.
fn work(
    running: &Running,
    owners: &mut [Owner],
    options: &Options,
    stop: &AtomicBool,
) -> Result<((Latencies, Latencies), u64)> {
    let Some((probed, working)) = owners.split_last_mut() else { bail!("nobody works") };
    let probed = &*probed;
    let drive = |owner: &mut Owner| -> Result<u64> {
        let (mut conn, mut answered) = (running.open()?, 0);
        while !stop.load(Ordering::Relaxed) {
            owner.turn(&mut conn, BATCH)?;
            answered += BATCH as u64;
        }
        Ok(answered)
    };
    // Whoever fails ends it for all.
    let drive = |owner: &mut Owner| drive(owner).inspect_err(|_| stop.store(true, Ordering::Relaxed));
    let drive = &drive;
    std::thread::scope(|scope| {
        let probe = scope.spawn(|| probe::run(&mut running.open()?, probed, options.seed, stop));
        let driven: Vec<_> = working.iter_mut().map(|owner| scope.spawn(move || drive(owner))).collect();
        let end = Instant::now() + Duration::from_secs(options.seconds);
        while Instant::now() < end && !stop.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(20));
        }
        stop.store(true, Ordering::Relaxed);
        let mut answered = 0;
        for thread in driven {
            answered += thread.join().unwrap_or_else(|_| bail!("a connection's thread panicked"))?;
        }
        let latencies = probe.join().unwrap_or_else(|_| bail!("the probe panicked"))?;
        Ok((latencies, answered))
    })
}

/// All keys of all owners are as their models say; there are no others, by SCAN and by DBSIZE.
fn check_all(running: &Running, owners: &mut [Owner]) -> Result<()> {
    each(owners, |owner| owner.check(&mut running.open()?))?;
    let expected: HashSet<Vec<u8>> = owners.iter().flat_map(|owner| owner.alive()).collect();
    let mut conn = running.open()?;
    let found = scan(&mut conn)?;
    let named =
        |keys: Vec<&Vec<u8>>| keys.iter().map(|key| String::from_utf8_lossy(key)).collect::<Vec<_>>().join(", ");
    let lacking: Vec<_> = expected.difference(&found).take(NAMED).collect();
    ensure!(lacking.is_empty(), "SCAN has not given {}", named(lacking));
    let surplus: Vec<_> = found.difference(&expected).take(NAMED).collect();
    ensure!(surplus.is_empty(), "SCAN has given {}, which are gone", named(surplus));
    // It counts keys that have expired until they are reclaimed, after a start all that did since they were logged.
    let began = Instant::now();
    loop {
        let there = info::dbsize(&mut conn)?;
        if there == expected.len() as u64 {
            return Ok(());
        }
        ensure!(began.elapsed() < RECLAIMED, "DBSIZE is {there} still, {} keys are alive", expected.len());
        std::thread::sleep(EXPIRY_LOOK);
    }
}

/// All keys that a whole SCAN gives.
fn scan(conn: &mut Conn) -> Result<HashSet<Vec<u8>>> {
    let (mut found, mut cursor) = (HashSet::new(), b"0".to_vec());
    loop {
        let reply = conn.call(&command(&[&b"SCAN"[..], &cursor, b"COUNT", b"1000"]))?;
        let (next, keys) = expect::page(&reply)?;
        found.extend(keys);
        cursor = next;
        if cursor == b"0" {
            return Ok(found);
        }
    }
}

/// Does the same for all owners at once.
fn each(owners: &mut [Owner], of: impl Fn(&mut Owner) -> Result<()> + Sync) -> Result<()> {
    let of = &of;
    std::thread::scope(|scope| {
        let threads: Vec<_> = owners.iter_mut().map(|owner| scope.spawn(move || of(owner))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| bail!("a thread panicked")))
    })
}
