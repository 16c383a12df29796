//! The blob store beside foyer and beside plain files: same machine, same run, incompressible data.
//!
//! `blob-bench DIR RESULTS [--only PART]... [--megabytes N]` measures under DIR, all parts or some, and keeps the
//! figures of each part in RESULTS; then it prints the page of all figures that are there. Each phase of each store
//! is a process of its own (`blob-bench child ...`), so that one's memory and threads are not another's.

mod contender;
#[cfg(feature = "foyer")]
mod foyer_store;
mod measure;
mod page;
mod part;
mod phases;
mod row;
mod workload;

use contender::Failure;
use page::Results;
use part::{Kind, PARTS, Part};
use phases::Task;
use row::Row;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// The allocator of the server that the store is for: all contenders run on it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const USAGE: &str = "usage: blob-bench DIR RESULTS [--only PART]... [--megabytes N]";

fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [child, part, phase, store, dir, bytes] = &words[..]
        && child == "child"
    {
        return measure_in_child(part, phase, store, dir, bytes.parse()?);
    }
    let mut words = words.into_iter();
    let (dir, results) = (words.next().ok_or(USAGE)?, PathBuf::from(words.next().ok_or(USAGE)?));
    let (mut only, mut megabytes) = (Vec::new(), 1_024_u64);
    let mut nothing = false;
    while let Some(flag) = words.next() {
        let value = words.next().ok_or(USAGE)?;
        match flag.as_str() {
            // Only the page, of the figures that are there.
            "--only" if value == "none" => nothing = true,
            "--only" => only.push(Part::named(&value).ok_or_else(unknown_part)?),
            "--megabytes" => megabytes = value.parse()?,
            _ => return Err(USAGE.into()),
        }
    }
    std::fs::create_dir_all(&results)?;
    let wanted = |part: &&Part| only.is_empty() || only.iter().any(|wanted| wanted.name == part.name);
    for part in PARTS.iter().filter(|part| !nothing && wanted(part)) {
        Bench { part, root: Path::new(&dir), bytes: megabytes << 20 }.run()?.save(&results)?;
    }
    print!("{}", page::render(&results)?);
    Ok(())
}

fn unknown_part() -> String {
    format!("the parts are {}", PARTS.iter().map(|part| part.name).collect::<Vec<_>>().join(", "))
}

fn measure_in_child(part: &str, phase: &str, store: &str, dir: &str, bytes: u64) -> Result<(), Failure> {
    let part = Part::named(part).ok_or_else(unknown_part)?;
    let task = Task { part, phase: phase.into(), store: store.into(), dir: dir.into(), bytes };
    print!("{}", task.run()?.to_lines());
    Ok(())
}

/// How much of the machine others use while nothing is measured, in percent.
fn busy_before() -> Result<f64, Failure> {
    let (usage, span) = (measure::Usage::now(), Duration::from_millis(300));
    std::thread::sleep(span);
    let processors = std::thread::available_parallelism()?.get() as f64;
    Ok(usage.cpu_seconds() * 100.0 / span.as_secs_f64() / processors)
}

/// One part, run for all its stores.
struct Bench<'a> {
    part: &'static Part,
    root: &'a Path,
    bytes: u64,
}

impl Bench<'_> {
    fn run(&self) -> Result<Results, Failure> {
        let mut results = Results::new(self.part.name, self.bytes)?;
        let sized = matches!(self.part.kind, Kind::Sizes(_));
        let mut raw = Vec::new();
        for &store in self.part.stores {
            if store == "foyer" && !cfg!(feature = "foyer") {
                continue;
            }
            eprintln!("{}: {store}", self.part.name);
            let dir = self.fresh()?;
            let busy = busy_before()?;
            if sized {
                raw.push(phases::raw_writer(self.root, self.bytes)?);
            }
            let mut row = self.measure(store, &dir)?;
            row.set("busy", busy);
            results.rows.push((store.into(), row));
        }
        std::fs::remove_dir_all(self.root)?;
        if sized {
            results.set_raw(raw.iter().sum::<f64>() / raw.len() as f64);
        }
        Ok(results)
    }

    /// An empty directory, with the device at rest.
    fn fresh(&self) -> Result<PathBuf, Failure> {
        if self.root.exists() {
            std::fs::remove_dir_all(self.root)?;
        }
        let dir = self.root.join("store");
        std::fs::create_dir_all(&dir)?;
        rustix::fs::sync();
        // What was removed is discarded on the device for a moment more.
        std::thread::sleep(Duration::from_millis(300));
        Ok(dir)
    }

    fn measure(&self, store: &str, dir: &Path) -> Result<Row, Failure> {
        let mut row = Row::default();
        let mut peak = 0;
        for &phase in self.part.phases() {
            if phase == "read" {
                measure::forget_pages(dir)?;
            }
            row.merge(self.child(phase, store, dir, &mut peak)?);
        }
        let task =
            Task { part: self.part, phase: String::new(), store: store.into(), dir: dir.into(), bytes: self.bytes };
        row.set("disk_peak", peak as f64 * 100.0 / task.disk_limit() as f64);
        if let (Some(bytes), Some(kept)) = (row.get("ram_item"), row.get("kept")) {
            row.set("ram_item", bytes * 100.0 / kept);
        }
        if let (Some(accepted), Some(kept)) = (row.get("accepted"), row.get("kept")) {
            row.set("persisted", accepted * kept / 100.0);
            // What was dropped has not been stored, cheap as it was.
            for metric in ["device", "cpu"] {
                let value = row.get(metric).unwrap_or_default();
                row.set(metric, value * 100.0 / kept);
            }
        }
        Ok(row)
    }

    /// Runs a phase in a process of its own and watches what the directory takes on disk meanwhile.
    fn child(&self, phase: &str, store: &str, dir: &Path, peak: &mut u64) -> Result<Row, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["child", self.part.name, phase, store]).arg(dir).arg(self.bytes.to_string());
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        // Hundreds of thousands of files cannot be counted without disturbing what is measured.
        let watched = store != "plain files";
        while child.try_wait()?.is_none() {
            std::thread::sleep(Duration::from_millis(20));
            if watched {
                *peak = (*peak).max(measure::disk_bytes(dir));
            }
        }
        let output = child.wait_with_output()?;
        *peak = (*peak).max(measure::disk_bytes(dir));
        if output.status.success() != (phase != "fill") {
            return Err(format!("{store} in {} {phase}: {}", self.part.name, output.status).into());
        }
        Ok(Row::from_lines(&String::from_utf8(output.stdout)?))
    }
}
