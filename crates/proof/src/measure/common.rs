//! What all measurements share: flags, the cores, the rounds in which both servers take turns.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::subject::Subject;
use super::table::{Figure, Table};
use crate::bench;
use crate::server::Program;

/// How both are measured.
#[derive(clap::Args, Clone, Debug)]
pub struct Common {
    /// Rounds; each measures both servers, in turns. A figure is the median, and the worst round is shown beside it.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=100))]
    pub rounds: u64,
    /// Only the server under test.
    #[arg(long)]
    pub alone: bool,
    /// The cores of the server, as taskset has them.
    #[arg(long, default_value = "0")]
    pub server_cpus: String,
    /// The cores of the load.
    #[arg(long, default_value = "1")]
    pub load_cpus: String,
    /// A file to which the figures are appended, as one line of JSON.
    #[arg(long)]
    pub results: Option<PathBuf>,
}

/// A measurement of one server.
pub type Once<'a> = dyn Fn(&Subject) -> Result<Vec<Figure>> + 'a;

/// Measures both in turns and prints the table. `conditions` says under which.
pub fn compare(
    name: &str,
    conditions: &str,
    (sut, oracle): (&Program, &Program),
    common: &Common,
    once: &Once<'_>,
) -> Result<bool> {
    let cores = pin_load(common)?;
    let place =
        |program: &Program| if cores.is_some() { program.on_cpus(&common.server_cpus) } else { program.clone() };
    let theirs = (!common.alone && runs(oracle)).then(|| Subject::new(place(oracle)));
    let ours = Subject::new(place(sut));
    let mut table = Table::default();
    for round in 0..common.rounds {
        let mut order: Vec<&Subject> = std::iter::once(&ours).chain(&theirs).collect();
        // Neither always runs on a machine that the other has warmed or tired.
        if !round.is_multiple_of(2) {
            order.reverse();
        }
        for subject in order {
            let is_ours = std::ptr::eq(subject, &ours);
            let who = if is_ours { "the server under test" } else { "the peer" };
            let figures = once(subject).with_context(|| format!("{name}, round {}: {who}", round + 1))?;
            table.add(is_ours, figures);
        }
    }
    let cores = cores.unwrap_or_else(|| "nothing is bound to a core".into());
    let peer = if theirs.is_some() { "" } else { "; no peer" };
    let head = format!("{conditions}; {cores}; rounds: {}{peer}", common.rounds);
    println!("{name}: {head}\n{}\n\n{table}", bench::describe());
    if let Some(path) = &common.results {
        table.append_to(path, name, &head).with_context(|| format!("append to {}", path.display()))?;
    }
    Ok(true)
}

fn runs(program: &Program) -> bool {
    program.is_redis() && program.version().is_ok()
}

/// Binds this process, and the load that it starts, to the cores of the load; says which, or nothing if there is only one.
pub(super) fn pin_load(common: &Common) -> Result<Option<String>> {
    let many = std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1);
    let taskset = |words: &[&str]| Command::new("taskset").args(words).stdout(Stdio::null()).status();
    if !many || taskset(&["--version"]).is_err() {
        return Ok(None);
    }
    let pid = std::process::id().to_string();
    if !taskset(&["-acp", &common.load_cpus, &pid]).context("run taskset")?.success() {
        bail!("taskset does not take the cores {}", common.load_cpus);
    }
    Ok(Some(format!("server on core {}, load on core {}", common.server_cpus, common.load_cpus)))
}

/// A number of bytes with a unit: `64kb`, `200mb`, `2gb` (powers of 1024), or none.
pub fn bytes(text: &str) -> Result<u64, String> {
    let lower = text.to_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &lower[digits.len()..] {
        "" | "b" => 1,
        "kb" => 1 << 10,
        "mb" => 1 << 20,
        "gb" => 1 << 30,
        unit => return Err(format!("no unit of bytes: {unit}")),
    };
    let number: u64 = digits.parse().map_err(|_| format!("no number: {digits}"))?;
    number.checked_mul(unit).ok_or_else(|| format!("too many bytes: {text}"))
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn bytes_have_units() {
        assert_eq!(["7", "64kb", "200MB", "2gb"].map(|t| bytes(t).unwrap()), [7, 64 << 10, 200 << 20, 2 << 30]);
        assert!(bytes("mb").is_err() && bytes("3tb").is_err());
    }
}
