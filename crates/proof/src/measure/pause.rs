//! Latencies of SET and GET at a steady rate: at rest, and beside a checkpoint, a compaction and a backup (in Redis a rewrite
//! of its log, and a snapshot).

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::common::{Common, compare};
use super::latency::Latencies;
use super::subject::{Running, Subject};
use super::table::Figure;
use super::{info, keys};
use crate::server::Program;

pub(super) mod steady;
mod work;

use steady::{Asked, Steady};
use work::Work;

/// What to run.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Keys with values of 64 B; all are written before each work in the background.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(100..=100_000_000))]
    pub keys: u64,
    /// Commands a second, half of them SET; each is due at a moment of its own, and late ones count from then.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(100..=1_000_000))]
    pub rate: u64,
    /// Connections.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..=100))]
    pub connections: u64,
    /// How long is measured at rest.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub seconds: u64,
    /// How often each kind of work in the background is done in a round.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=100))]
    pub times: u64,
    /// How both are measured.
    #[command(flatten)]
    pub common: Common,
}

/// All latencies of a phase.
#[derive(Debug, Default)]
struct Phase {
    set: Latencies,
    get: Latencies,
    seconds: f64,
}

/// Measures both.
pub fn run(sut: &Program, oracle: &Program, options: &Options) -> Result<bool> {
    let conditions = format!(
        "{} keys with values of 64 B, all written before each work in the background; {} commands/s from {} connections, half SET, half GET, \
         each counted from when it was due; everysec",
        options.keys, options.rate, options.connections
    );
    compare("pause", &conditions, (sut, oracle), &options.common, &|subject| once(subject, options))
}

/// One server.
pub fn once(subject: &Subject, options: &Options) -> Result<Vec<Figure>> {
    let dir = tempfile::tempdir()?;
    let running = subject.start(dir.path())?;
    keys::load(running.port, 0..options.keys, 0)?;
    info::checkpoint(&mut running.open()?, "BGREWRITEAOF")?;
    let works = Work::all(&subject.program)?;
    let (mut quiet, mut version) = (Phase::default(), 0);
    let mut busy: Vec<Phase> = works.iter().map(|_| Phase::default()).collect();
    for _ in 0..options.times {
        for (work, busy) in works.iter().zip(&mut busy) {
            version += 1 << 24;
            work.prepare(&running, options.keys)?;
            keys::load(running.port, 0..options.keys, version)?;
            info::settle(&mut running.open()?)?;
            measure(&running, version, work, options, &mut quiet, busy).with_context(|| work.name())?;
        }
    }
    running.server.stop()?;
    let mut figures = quiet.figures("quiet");
    for (work, busy) in works.iter().zip(busy) {
        figures.extend(busy.figures(&format!("beside {}", work.name())));
        figures.push(Figure::cost(work.name(), "s", busy.seconds / options.times as f64));
    }
    Ok(figures)
}

/// Runs the steady load, at rest for a while and then beside work in the background until its end.
fn measure(
    running: &Running,
    version: u32,
    work: &Work,
    options: &Options,
    quiet: &mut Phase,
    busy: &mut Phase,
) -> Result<()> {
    let mut steady = Steady::connect(running.port, options, version)?;
    let stop = std::sync::atomic::AtomicBool::new(false);
    let began = Instant::now();
    let (asked, until, (from, to)) = std::thread::scope(|scope| {
        let load = scope.spawn(|| steady.run(began, &stop));
        std::thread::sleep(Duration::from_secs(options.seconds));
        let until = began.elapsed();
        let done = work.carry_out(running);
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let asked = load.join().unwrap_or_else(|_| bail!("the load panicked"))?;
        let (from, to) = done?;
        Ok::<_, anyhow::Error>((asked, until, (from - began, to - began)))
    })?;
    busy.seconds += (to - from).as_secs_f64();
    for Asked { due, took, set } in asked {
        // What was due before the work and answered within it had to wait for both: it counts for neither. Nor does what
        // came while the work was made ready.
        let phase = match due {
            due if due + took < until => &mut *quiet,
            due if due >= from && due <= to => &mut *busy,
            _ => continue,
        };
        if set { phase.set.push(took) } else { phase.get.push(took) }
    }
    Ok(())
}

impl Phase {
    fn figures(&self, when: &str) -> Vec<Figure> {
        let mut figures = self.set.figures(&format!("SET {when}"));
        figures.extend(self.get.figures(&format!("GET {when}")));
        figures
    }
}
