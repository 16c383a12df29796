//! The longest that an append waits while a log is written as fast as it can be: by policy, with the disk's own pace for
//! comparison. Usage: `cargo run --release -p wal --example stalls -- [MIB] [DIR]`.

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use wal::{Fsync, Kind, Log, Options};

const RECORD: usize = 4096;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let mib: usize = args.next().map_or(Ok(1024), |mib| mib.parse())?;
    let dir = args.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let mut out = std::io::stdout().lock();
    for (policy, mib_s) in [(Fsync::EverySec, 100), (Fsync::EverySec, 200), (Fsync::EverySec, 0), (Fsync::No, 200)] {
        let place = tempfile::tempdir_in(&dir)?;
        let options = Options { policy, ..Options::default() };
        let (log, _) = Log::open(place.path(), options, ())?;
        let mut waits: Vec<Duration> = Vec::new();
        let begun = Instant::now();
        for n in 0..(mib << 20) / RECORD {
            let due = Duration::from_micros((n * RECORD * 1_000_000).checked_div(mib_s << 20).unwrap_or(0) as u64);
            while begun.elapsed() < due {
                std::thread::sleep(Duration::from_micros(200));
            }
            let before = Instant::now();
            let position = log.lock().append(Kind::new(1).ok_or("1 is a kind")?, &[&[7; RECORD]])?;
            log.write_up_to(position)?;
            waits.push(before.elapsed());
        }
        let took = begun.elapsed();
        waits.sort_unstable();
        let worst: Vec<_> = waits.iter().rev().take(5).map(|wait| wait.as_millis()).collect();
        let stats = log.stats();
        writeln!(
            out,
            "{policy:?} at {mib_s} MiB/s (0: all it can): {mib} MiB in {} ms, {} segments; longest waits in ms: {worst:?}",
            took.as_millis(),
            stats.segments
        )?;
        log.close()?;
    }
    Ok(())
}
