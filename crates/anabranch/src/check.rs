//! `anabranch check`: says what a data directory holds, what is wrong with it and what can be saved, and saves it.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use engine::{Inspection, Options, inspect, salvage};

/// Everything a start needs is there and good.
const SOUND: u8 = 0;
/// Something is wrong: a start would be refused.
const FAULTY: u8 = 1;
/// It could not be looked at, or not be saved.
const FAILED: u8 = 2;

/// Runs it with the words behind `check`.
pub fn run(args: &[OsString]) -> ExitCode {
    let (dir, to) = match args {
        [dir] => (dir, None),
        [dir, flag, to] if flag == "--salvage" => (dir, Some(Path::new(to))),
        _ => {
            eprintln!("{}", crate::USAGE);
            return FAILED.into();
        }
    };
    check(Path::new(dir), to).unwrap_or_else(|error| {
        eprintln!("{error:#}");
        FAILED.into()
    })
}

#[expect(clippy::print_stdout, reason = "the report is what the user asked for")]
fn check(dir: &Path, to: Option<&Path>) -> anyhow::Result<ExitCode> {
    let seen = inspect(dir).with_context(|| format!("{} cannot be checked", dir.display()))?;
    for line in &seen.found {
        println!("{line}");
    }
    println!("{}", verdict(dir, &seen));
    if let Some(to) = to {
        let saved = salvage(dir, &seen, to, options()?).with_context(|| format!("{}", to.display()))?;
        let (keys, to) = (saved.keys, to.display());
        println!("saved: {keys} keys to {to}; `anabranch serve --dir {to}` starts from it");
    }
    Ok(if seen.faults.is_empty() { SOUND } else { FAULTY }.into())
}

/// The faults and what can be saved, or that there are none.
fn verdict(dir: &Path, seen: &Inspection) -> String {
    if seen.faults.is_empty() {
        return "no fault was found".into();
    }
    let mut said: String = seen.faults.iter().map(|fault| format!("FAULT: {fault}\n")).collect();
    said += "a server refuses to start from this directory\n";
    said += &format!("can be saved: {}", seen.saves());
    if !seen.saves().starts_with("nothing") {
        said += &format!("; `anabranch check {} --salvage NEWDIR` does it", dir.display());
    }
    said
}

/// For opening a directory without a server.
pub fn options() -> anyhow::Result<Options> {
    let mut entropy = [0; 22];
    File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut entropy)).context("/dev/urandom")?;
    let unix_ms = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
    Ok(Options::new(Arc::new(unix_ms), entropy))
}
