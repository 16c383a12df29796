//! Hit ratios of the eviction policies, on synthetic traces or on a recorded one.
//!
//! `cache_sim` prints a table of the synthetic traces; `cache_sim FILE BYTES` replays a recorded one (lines of
//! `key bytes`) against a cache of so many bytes.

use blob::PolicyKind;
use blob::sim::{Synthetic, parse, replay};

#[expect(clippy::print_stdout, reason = "it prints a table")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [file, bytes] = &args[..] {
        let (text, capacity) = (std::fs::read_to_string(file)?, bytes.parse()?);
        println!("| policy | hit ratio | byte hit ratio |\n|---|---|---|");
        for policy in PolicyKind::ALL {
            let outcome = replay(policy, capacity, parse(&text));
            println!("| {policy:?} | {:.3} | {:.3} |", outcome.hit_ratio(), outcome.byte_hit_ratio());
        }
        return Ok(());
    }
    println!("| trace | objects that fit | FIFO | CLOCK | SIEVE | S3-FIFO |\n|---|---|---|---|---|---|");
    for synthetic in Synthetic::ALL {
        for fit in [1_000, 5_000, 20_000] {
            let trace = synthetic.trace(600_000, fit, 1);
            let ratio = |policy| replay(policy, fit * 1024, trace.iter().copied()).hit_ratio();
            let [fifo, clock, sieve, s3fifo] = PolicyKind::ALL.map(ratio);
            println!("| {synthetic:?} | {fit} | {fifo:.3} | {clock:.3} | {sieve:.3} | {s3fifo:.3} |");
        }
    }
    Ok(())
}
