//! Delta debugging: fewer commands that still end in a mismatch of the same kind.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::generate::{SESSIONS, is_blocking};
use super::pair::{Mismatch, Pair, Step};
use super::state;

/// The search ends then, with what it has.
const PATIENCE: Duration = Duration::from_secs(60);

/// The smallest sequence found that gives a mismatch with the same key, and that mismatch.
pub fn minimise(sut: u16, oracle: u16, history: &[Step], wanted: &Mismatch) -> Result<(Vec<Step>, Mismatch)> {
    let deadline = Instant::now() + PATIENCE;
    let mut best = history.to_vec();
    let Some(mut last) = attempt(sut, oracle, &best, wanted)? else {
        bail!("the same commands do not give it again");
    };
    best.truncate(last.at.saturating_add(1).min(best.len()));
    let mut size = best.len().div_ceil(2);
    while size > 0 && Instant::now() < deadline {
        let mut at = 0;
        let mut smaller = false;
        while at < best.len() && Instant::now() < deadline {
            let mut fewer = best.clone();
            fewer.drain(at..(at + size).min(best.len()));
            let found = if waits_for_ever(&fewer) { None } else { attempt(sut, oracle, &fewer, wanted)? };
            match found {
                Some(found) => {
                    fewer.truncate(found.at.saturating_add(1).min(fewer.len()));
                    (best, last, smaller) = (fewer, found, true);
                }
                None => at += size,
            }
        }
        if !smaller || size > 1 {
            size = if size == 1 { 0 } else { size.div_ceil(2).min(size - 1) };
        }
    }
    Ok((best, last))
}

/// Runs the steps on emptied servers; the mismatch, if it is one of the wanted kind.
fn attempt(sut: u16, oracle: u16, steps: &[Step], wanted: &Mismatch) -> Result<Option<Mismatch>> {
    let mut pair = Pair::open(sut, oracle)?;
    let found = match pair.run(steps)? {
        None if wanted.is_state => state::compare(&mut pair, true)?,
        found => found,
    };
    Ok(found.filter(|m| m.is_state == wanted.is_state && (m.is_state || m.key() == wanted.key())))
}

/// With its MULTI taken away a blocking command may have no end.
fn waits_for_ever(steps: &[Step]) -> bool {
    let mut multi = [false; SESSIONS];
    steps.iter().any(|step| {
        let name = step.words[0].to_ascii_uppercase();
        match &name[..] {
            b"MULTI" if step.words.len() == 1 => multi[step.session] = true,
            b"EXEC" | b"DISCARD" => multi[step.session] = false,
            _ => {}
        }
        // Any argument that could be an endless timeout counts.
        is_blocking(&name)
            && !multi[step.session]
            && step.words[1..].iter().any(|w| {
                std::str::from_utf8(w)
                    .ok()
                    .and_then(|t| t.trim().parse::<f64>().ok())
                    .is_some_and(|t| t == 0.0 || t > 1.0)
            })
    })
}
