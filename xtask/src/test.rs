//! `cargo xtask test`: every check, one after the other, with a list of what ran, failed or was skipped at the end.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Result;

use crate::shell::Shell;
use crate::{docs, tools};

/// From where the property tests make their choices.
const SEED: &str = "PROPTEST_RNG_SEED";

enum Outcome {
    Ok,
    Failed,
    Skipped(String),
}

struct Report<'a> {
    shell: &'a Shell,
    rows: Vec<(String, Outcome, f64)>,
}

impl Report<'_> {
    /// Runs a check unless `need` says why it cannot.
    fn check(&mut self, name: &str, need: &tools::Found<()>, run: impl FnOnce(&Shell) -> Result<bool>) {
        println!("--- {name}");
        let started = Instant::now();
        let outcome = match need {
            Err(why) => Outcome::Skipped(why.clone()),
            Ok(()) => match run(self.shell) {
                Ok(true) => Outcome::Ok,
                Ok(false) => Outcome::Failed,
                Err(e) => {
                    println!("error: {e:#}");
                    Outcome::Failed
                }
            },
        };
        self.rows.push((name.to_owned(), outcome, started.elapsed().as_secs_f64()));
    }

    fn finish(self, no_skips: bool) -> bool {
        println!("\n--- checks");
        let (mut ok, mut failed, mut skipped) = (0, 0, 0);
        for (name, outcome, seconds) in &self.rows {
            match outcome {
                Outcome::Ok => {
                    ok += 1;
                    println!("ok      {name} ({seconds:.1} s)");
                }
                Outcome::Failed => {
                    failed += 1;
                    println!("FAILED  {name} ({seconds:.1} s)");
                }
                Outcome::Skipped(why) => {
                    skipped += 1;
                    println!("SKIPPED {name}: {why}");
                }
            }
        }
        println!("{ok} ok, {failed} failed, {skipped} skipped");
        if skipped > 0 && no_skips {
            println!("skipping is not allowed here, so this is a failure");
        }
        failed == 0 && (skipped == 0 || !no_skips)
    }
}

/// Runs everything; with `no_skips` a check that cannot run is a failure.
pub fn run(shell: &Shell, no_skips: bool, seed: u64) -> Result<bool> {
    let mut report = Report { shell, rows: Vec::new() };
    let redis = tools::redis(shell);
    let strace = tools::strace(shell);
    let nothing = Ok(());
    report.check("unit and property tests", &nothing, |s| unit(s, no_skips, seed));
    report.check("schedules of the blob store's threads", &nothing, |s| {
        s.cargo(&["test", "-p", "blob", "--features", "shuttle", "--test", "shuttle"])
    });
    report.check("build of the server, the harnesses and the clients", &nothing, |s| {
        s.cargo(&["build", "--quiet", "-p", "anabranch", "-p", "proof", "--bins", "--examples"])
    });
    // Others than those of the unit tests.
    report.check("simulated clusters, 1,000", &nothing, |s| {
        s.cargo(&["run", "--quiet", "-p", "sim", "--", "--seeds", "1000", "--seed", "1001"])
    });
    let debug = shell.target().join("debug");
    let harness = |words: &'static [&'static str]| {
        let debug = debug.clone();
        move |s: &Shell| s.harness(&debug, words)
    };
    report.check("golden transcripts", &nothing, harness(&["golden"]));
    report.check("the harnesses catch planted bugs", &redis.clone().and(strace.clone()), harness(&["selftest"]));
    // Two streams: the seeds are arbitrary, any other must do as well.
    report.check("differential test, 500,000 commands", &redis, harness(&["diff", "--commands", "500000"]));
    report.check(
        "differential test, 500,000 others",
        &redis,
        harness(&["diff", "--commands", "500000", "--seed", "20261121"]),
    );
    for (name, fsync) in [("kill -9, 20 cycles, always", "always"), ("kill -9, 20 cycles, everysec", "everysec")] {
        let debug = debug.clone();
        // Checkpoints all the time: about one for each MiB of changes.
        let sut = format!("{} serve --checkpoint-log-size 1mb", debug.join("anabranch").display());
        report.check(name, &nothing, move |s| {
            s.harness(&debug, &["--sut", &sut, "crash", "--cycles", "20", "--appendfsync", fsync])
        });
    }
    report.check("600 crash states of a disk", &strace, harness(&["torn", "--states", "600"]));
    report.check(
        "600 others, names in no order",
        &strace,
        harness(&["torn", "--states", "600", "--seed", "20261122", "--names", "free"]),
    );
    // Where there are no namespaces nodes are not cut off from each other; the rest happens all the same, and the harness says so.
    if let Err(reason) = tools::namespaces(shell) {
        println!("nodes are not cut off from each other: {reason}");
    }
    report.check(
        "three nodes, kills, stops, pauses and partitions, 30 s",
        &nothing,
        harness(&["cluster", "--exclusive", "--seconds", "30", "--rounds", "3"]),
    );
    report.check("10,000 idle and 1,000 active connections, hostile ones", &nothing, harness(&["crowd"]));
    measurements(&mut report, &debug, &redis);
    report.check("fuzzing, five seconds each", &nothing, harness(&["fuzz", "--seconds", "5"]));
    clients(&mut report, debug);
    report.check("docs/commands.md is current", &nothing, |s| docs::run(s, true));
    Ok(report.finish(no_skips))
}

/// All tests of all crates. What they may not skip, they are told by an environment variable.
fn unit(shell: &Shell, no_skips: bool, seed: u64) -> Result<bool> {
    let seed = seed.to_string();
    let set = [(SEED, seed.as_str()), ("FORBID_SKIPS", "1")];
    let set = if no_skips { &set[..] } else { &set[..1] };
    shell.cargo_with(&["test", "--workspace", "--no-fail-fast"], set)
}

/// Tests of these crates make random choices of much.
const RANDOM: [&str; 14] =
    ["-p", "effect", "-p", "engine", "-p", "command", "-p", "mvcc", "-p", "wal", "-p", "backup", "-p", "replication"];

/// How many random histories of replicas, `previews` and `restarts` among them: several times as many as the tests of a commit have.
const HISTORIES: (&str, &str) = ("ANABRANCH_REPLICA_CASES", "300");

/// The property tests from one seed after the other.
pub fn soak(shell: &Shell, time: Duration, seed: Option<u64>) -> Result<bool> {
    let by_clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_secs());
    let (first, started) = (seed.unwrap_or_else(by_clock), Instant::now());
    for seed in first.. {
        println!("--- {SEED}={seed}");
        let set = [(SEED, &*seed.to_string()), HISTORIES];
        if !shell.cargo_with(&[&["test", "--quiet"], &RANDOM[..]].concat(), &set)? {
            println!("seed {seed} failed");
            return Ok(false);
        }
        if started.elapsed() >= time {
            break;
        }
    }
    Ok(true)
}

/// Every measurement with small sizes: that its answers are right, and that it can be run at all. No figure is looked at.
fn measurements(report: &mut Report<'_>, debug: &Path, redis: &tools::Found<()>) {
    let small: [&'static [&'static str]; 6] = [
        &["sustained", "--keys", "10000", "--seconds", "1"],
        &["start", "--keys", "20000", "--seconds", "1"],
        &["beyond-ram", "--bytes", "8mb", "--maxmemory", "100mb", "--seconds", "2", "--quiet-gets", "1000"],
        &["pause", "--keys", "20000", "--rate", "2000", "--seconds", "1", "--times", "1"],
        &["reclaim", "--keys", "10000", "--items", "50000"],
        &["large", "--elements", "10000", "--maxmemory", "100mb", "--commands", "300"],
    ];
    for words in small {
        let name = format!("measurement in small: {}", words[0]);
        report.check(&name, redis, move |s| s.harness(debug, words));
    }
    // The tests have built it.
    report.check("measurement in small: store", &Ok(()), |s| s.run(debug.join("examples/beside_fjall"), &["2000"]));
}

fn clients(report: &mut Report<'_>, debug: PathBuf) {
    let example = debug.join("examples/redis-rs").to_string_lossy().into_owned();
    let python = tools::python(report.shell);
    let node = tools::node(report.shell);
    let with = |program: String, script: &'static str| {
        let debug = debug.clone();
        move |s: &Shell| {
            let mut words = vec!["with", &program];
            words.extend((!script.is_empty()).then_some(script));
            s.harness(&debug, &words)
        }
    };
    let (interpreter, python) = match python {
        Ok(path) => (path.to_string_lossy().into_owned(), Ok(())),
        Err(why) => (String::new(), Err(why)),
    };
    report.check("client redis-rs", &Ok(()), with(example, ""));
    report.check("client redis-py", &python, with(interpreter, "tests/clients/redis-py/usage.py"));
    report.check("client ioredis", &node, with("node".into(), "tests/clients/ioredis/usage.js"));
}
