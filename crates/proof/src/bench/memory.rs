//! Memory per key beside Redis': a million strings, and a million small hashes.

use anyhow::{Context, Result};

use super::machine;
use crate::conn::encode;
use crate::server::{Fsync, Program, Server};

/// Keys per round trip.
const BATCH: usize = 2000;

/// One kind of data, measured in both.
pub struct Row {
    what: &'static str,
    ours: (u64, u64),
    theirs: (u64, u64),
}

impl Row {
    /// As a line of the table.
    pub fn line(&self) -> String {
        let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / 1_048_576.0);
        let ratio = |a: u64, b: u64| a as f64 / b as f64;
        format!(
            "| {} | {} | {} | {:.2} | {} | {} | {:.2} |\n",
            self.what,
            mib(self.ours.0),
            mib(self.theirs.0),
            ratio(self.ours.0, self.theirs.0),
            mib(self.ours.1),
            mib(self.theirs.1),
            ratio(self.ours.1, self.theirs.1)
        )
    }
}

type Make = fn(usize, &mut Vec<u8>);

fn string(i: usize, out: &mut Vec<u8>) {
    encode(&["SET", &format!("key:{i:012}"), &format!("{i:064}")], out);
}

fn hash(i: usize, out: &mut Vec<u8>) {
    let (key, id) = (format!("key:{i:012}"), i.to_string());
    encode(&["HSET", &key, "id", &id, "name", "ada", "age", "36", "city", "london", "plan", "free"], out);
}

/// Fills both with each kind of data and reads `used_memory` and the resident size.
pub fn measure(sut: &Program, oracle: &Program, quick: bool) -> Result<Vec<Row>> {
    let n = if quick { 20_000 } else { 1_000_000 };
    let kinds: [(&'static str, Make); 2] =
        [("1 M strings, keys of 16 B, values of 64 B", string), ("1 M hashes of five short fields", hash)];
    kinds
        .into_iter()
        .map(|(what, make)| Ok(Row { what, ours: fill(sut, n, make)?, theirs: fill(oracle, n, make)? }))
        .collect()
}

fn fill(program: &Program, n: usize, make: Make) -> Result<(u64, u64)> {
    let dir = tempfile::tempdir()?;
    let server = Server::start(program, dir.path(), Some(Fsync::No))?;
    let mut conn = server.open()?;
    for start in (0..n).step_by(BATCH) {
        let mut bytes = Vec::new();
        (start..start + BATCH).for_each(|i| make(i, &mut bytes));
        conn.send_raw(&bytes)?;
        for _ in 0..BATCH {
            anyhow::ensure!(!conn.reply()?.is_error(), "a write was refused");
        }
    }
    let info = conn.call(&["INFO", "memory"])?.text();
    let used = info.lines().find_map(|l| l.strip_prefix("used_memory:")).context("used_memory in INFO")?;
    Ok((used.trim().parse()?, machine::resident(server.pid())?))
}
