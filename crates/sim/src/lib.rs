//! Whole clusters from one seed: replicas as they are, on a network, disks and clocks that are made up and as bad as they can be.
//!
//! ```text
//! seed ─▶ Plan ─▶ Cluster: events in the order of their time ─▶ Replica::step ─▶ outputs ─▶ net, disks, Checks
//!                 └ trouble: partitions, resets, crashes, pauses, clocks, older disks, elections
//! ```
//! The same seed is the same run on every machine: there is no clock, thread or hash order in it.
//!
//! Read first: [`run`], [`Cluster`], [`Checks`].
//!
//! *Invariant:* only tests depend on this crate. *Invariant:* each check has a [`Fault`] that it catches.

pub mod batch;
pub mod checks;
mod clients;
pub mod cluster;
pub mod definitions;
pub mod disk;
pub mod fault;
mod fsync;
pub mod net;
pub mod node;
pub mod outcomes;
pub mod plan;
pub mod rng;
pub mod state;
pub mod transactions;
pub mod trouble;

use std::panic::{AssertUnwindSafe, catch_unwind};

pub use checks::{Checks, Violation};
pub use cluster::Cluster;
pub use fault::Fault;
pub use plan::Plan;

/// How long a cluster may take to become equal once nothing bad happens any more, in ms of its own time.
const SETTLES_MS: i64 = 120_000;

/// What a run was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// How many batches were written.
    pub batches: usize,
    /// How long it took to become equal and stable, in ms of its own time.
    pub settled_ms: i64,
    /// How exclusive transactions ended.
    pub transactions: outcomes::Counts,
}

/// Runs a plan; a violated invariant of the replica is a violation like any other.
pub fn run(plan: &Plan) -> Result<Report, Violation> {
    let whole = catch_unwind(AssertUnwindSafe(|| simulate(plan)));
    whole.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
        Err(Violation { check: "invariants of the replica", what: text.unwrap_or_default() })
    })
}

fn simulate(plan: &Plan) -> Result<Report, Violation> {
    let mut cluster = Cluster::new(plan.clone());
    let failed = |cluster: &Cluster| cluster.checks.failed().cloned().map_or(Ok(()), Err);
    let end = cluster.now_ms + plan.bad_ms;
    while cluster.now_ms < end {
        cluster.turn();
        failed(&cluster)?;
    }
    cluster.heal();
    let healed = cluster.now_ms;
    loop {
        let next = cluster.now_ms + 250;
        while cluster.now_ms < next {
            cluster.turn();
            failed(&cluster)?;
        }
        cluster.insist();
        let Some(what) = cluster.unsettled() else { break };
        if cluster.now_ms - healed > SETTLES_MS {
            let is_open = what.starts_with("transactions");
            let check =
                if is_open { "every transaction gets a verdict" } else { "everything arrives and becomes stable" };
            return Err(Violation { check, what });
        }
    }
    cluster.final_checks();
    failed(&cluster)?;
    let (batches, transactions) = (cluster.checks.count(), cluster.checks.outcomes.counts());
    Ok(Report { batches, settled_ms: cluster.now_ms - healed, transactions })
}
