//! The differential test: one stream of random commands, sent to the server under test and to a real Redis; the replies
//! and, now and then, the whole state must be the same. Differences that are allowed have names ([`compare::ALLOWED`]).
//!
//! ```text
//!   commands.txt ─ table ─▶ generate ─▶ pair (two servers, two sessions each) ─▶ compare ─▶ minimise ─▶ report
//!                                         └── state, at the end of each chapter ──▶ compare
//! ```
//!
//! A chapter starts from empty servers, so that whatever goes wrong can be reproduced from the chapter's commands alone.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context as _, Result};

use crate::server::{Program, Server};

pub mod compare;
pub mod generate;
mod minimise;
pub mod pair;
pub mod state;
pub mod table;

use generate::Generator;
use pair::{Mismatch, Pair, Step};

/// Commands per round trip.
const BATCH: usize = 250;
/// Commands per chapter.
const CHAPTER: usize = 4000;

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many commands at least.
    pub commands: usize,
    /// Where the random stream starts.
    pub seed: u64,
    /// Stop after that many different mismatches.
    pub failures: usize,
    /// Only productions whose command contains this.
    pub only: Option<String>,
    /// Look for a smaller reproduction.
    pub minimise: bool,
}

/// What came out.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Commands sent to each server.
    pub commands: usize,
    /// Comparisons of the whole state.
    pub states: usize,
    /// How often each allowed difference was met.
    pub allowed: BTreeMap<&'static str, u64>,
    /// Commands by name.
    pub names: BTreeMap<String, u64>,
    /// Reports of the differences that are not allowed.
    pub failures: Vec<String>,
}

/// Starts both servers, runs, prints, and says whether all was well.
pub fn run(sut: &Program, oracle: &Program, options: &Options) -> Result<bool> {
    let (dir_a, dir_b) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let a = Server::start(sut, dir_a.path(), Some(crate::server::Fsync::No))?;
    let oracle = Server::start(&oracle.with(&["--hz", "500"]), dir_b.path(), None)?;
    let started = Instant::now();
    let outcome = run_between(a.port(), oracle.port(), options)?;
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "diff: {} commands of {} names in {seconds:.1} s ({:.0}/s), {} whole states compared, seed {}, {} mismatches",
        outcome.commands,
        outcome.names.len(),
        outcome.commands as f64 / seconds,
        outcome.states,
        options.seed,
        outcome.failures.len()
    );
    for (name, count) in &outcome.allowed {
        println!("  allowed {count:8} × {name}: {}", compare::reason(name));
    }
    Ok(outcome.failures.is_empty())
}

/// Runs against two servers that are already there; the first is the one under test.
pub fn run_between(sut: u16, oracle: u16, options: &Options) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut generator = Generator::new(options.seed, options.only.as_deref())?;
    let mut seen: Vec<String> = Vec::new();
    while outcome.commands < options.commands && seen.len() < options.failures {
        let mut history = Vec::new();
        let mut pair = Pair::open(sut, oracle)?;
        let found = chapter(&mut pair, &mut generator, &mut history, &mut outcome)?;
        pair.allowed().iter().for_each(|(name, n)| *outcome.allowed.entry(name).or_default() += n);
        if let Some(mismatch) = found {
            let key = mismatch.key();
            if !seen.contains(&key) {
                let report = report(sut, oracle, options, &history, &mismatch, outcome.commands);
                println!("{report}");
                outcome.failures.push(report);
                seen.push(key);
            }
            generator.restart();
        }
    }
    Ok(outcome)
}

/// One chapter; stops at the first mismatch.
fn chapter(
    pair: &mut Pair,
    generator: &mut Generator,
    history: &mut Vec<Step>,
    outcome: &mut Outcome,
) -> Result<Option<Mismatch>> {
    generator.restart();
    while history.len() < CHAPTER {
        let batch = generator.batch(BATCH);
        for step in &batch {
            let name = String::from_utf8_lossy(&step.words[0]).to_uppercase();
            if generator.knows(&name) {
                *outcome.names.entry(name).or_default() += 1;
            }
        }
        outcome.commands += batch.len();
        let found = pair.run(&batch).with_context(|| {
            let said: Vec<String> = batch.iter().map(|s| format!("    {s}")).collect();
            format!(
                "command {} of the chapter or one before it; the batch was\n{}",
                history.len() + batch.len(),
                said.join("\n")
            )
        })?;
        let upto = found.as_ref().map_or(batch.len(), |m| m.at + 1);
        history.extend_from_slice(&batch[..upto]);
        if found.is_some() {
            return Ok(found);
        }
    }
    outcome.states += 1;
    state::compare(pair, true)
}

fn report(sut: u16, oracle: u16, options: &Options, history: &[Step], mismatch: &Mismatch, commands: usize) -> String {
    let mut text = format!(
        "MISMATCH (seed {}, near command {commands}, {} of its chapter)\n{mismatch}\n",
        options.seed,
        history.len()
    );
    if options.minimise {
        match minimise::minimise(sut, oracle, history, mismatch) {
            Ok((steps, last)) => {
                text.push_str(&format!("  reproduced by {} commands:\n", steps.len()));
                for step in &steps {
                    text.push_str(&format!("    {step}\n"));
                }
                text.push_str(&format!("  which give\n{last}\n"));
            }
            Err(e) => text.push_str(&format!("  not reproduced by its chapter alone: {e:#}\n")),
        }
    }
    text
}
