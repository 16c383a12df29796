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
use server::keys::{KEYS_VARIABLE, keyring};

/// Everything a start needs is there and good.
const SOUND: u8 = 0;
/// Something is wrong: a start would be refused.
const FAULTY: u8 = 1;
/// It could not be looked at, or not be saved: all of it, or what is encrypted.
const FAILED: u8 = 2;

/// Runs it with the words behind `check`.
pub fn run(args: &[OsString]) -> ExitCode {
    let Some(wanted) = parse(args) else {
        eprintln!("{}", crate::USAGE);
        return FAILED.into();
    };
    check(&wanted).unwrap_or_else(|error| {
        eprintln!("{error:#}");
        FAILED.into()
    })
}

/// What the words say.
struct Wanted<'a> {
    dir: &'a Path,
    to: Option<&'a Path>,
    key_file: Option<&'a Path>,
}

fn parse(args: &[OsString]) -> Option<Wanted<'_>> {
    let (dir, mut flags) = args.split_first()?;
    let mut wanted = Wanted { dir: Path::new(dir), to: None, key_file: None };
    while let [flag, value, rest @ ..] = flags {
        let place = match flag.to_str()? {
            "--salvage" => &mut wanted.to,
            "--encryption-key-file" => &mut wanted.key_file,
            _ => return None,
        };
        if place.replace(Path::new(value)).is_some() {
            return None;
        }
        flags = rest;
    }
    flags.is_empty().then_some(wanted)
}

#[expect(clippy::print_stdout, reason = "the report is what the user asked for")]
fn check(wanted: &Wanted<'_>) -> anyhow::Result<ExitCode> {
    let dir = wanted.dir;
    let keyring = keyring(wanted.key_file)?;
    let seen = inspect(dir, keyring.as_ref()).with_context(|| format!("{} cannot be checked", dir.display()))?;
    for line in &seen.found {
        println!("{line}");
    }
    for line in &seen.unseen {
        println!("NOT SEEN: {line}");
    }
    println!("{}", verdict(dir, &seen));
    if let Some(to) = wanted.to {
        let options = Options { keyring, ..options()? };
        let saved = salvage(dir, &seen, to, options).with_context(|| format!("{}", to.display()))?;
        let (keys, to) = (saved.keys, to.display());
        println!("saved: {keys} keys to {to}; `anabranch serve --dir {to}` starts from it");
    }
    let status = match (seen.faults.is_empty(), seen.unseen.is_empty()) {
        (false, _) => FAULTY,
        (true, false) => FAILED,
        (true, true) => SOUND,
    };
    Ok(status.into())
}

/// The faults and what can be saved, or that there are none.
fn verdict(dir: &Path, seen: &Inspection) -> String {
    if seen.faults.is_empty() {
        return match seen.unseen.is_empty() {
            true => "no fault was found".into(),
            false => format!(
                "no fault was found in what could be looked at; give the master keys for the rest: --encryption-key-file PATH, or {KEYS_VARIABLE}"
            ),
        };
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
