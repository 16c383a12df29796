//! What one seed means: how many nodes, how bad the world is, and for how long.

use crate::fault::Fault;
use crate::rng::Rng;

/// One simulation.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where all of it comes from.
    pub seed: u64,
    /// Members at the beginning.
    pub nodes: u64,
    /// How long the world is bad, in ms.
    pub bad_ms: i64,
    /// A node writes about every so many ms.
    pub write_ms: usize,
    /// The way from one node to another takes up to so many ms.
    pub latency_ms: usize,
    /// An fsync takes up to so many ms.
    pub sync_ms: usize,
    /// Something bad happens about every so many ms.
    pub trouble_ms: usize,
    /// Clocks differ by up to so many ms.
    pub skew_ms: usize,
    /// How far ahead of the wall the ceilings of clocks are raised, in ms: so much a crash may cost.
    pub ahead_ms: usize,
    /// Largest batch, in bytes.
    pub batch_bytes: usize,
    /// Of the replica.
    pub window_bytes: u64,
    /// Whether disks are replaced by older ones.
    pub restores: bool,
    /// Whether members come and go.
    pub elections: bool,
    /// Whether hardly anything else happens, but that voters crash.
    pub storm: bool,
    /// Whether hardly anything else happens, but that disks are replaced and ways are blocked.
    pub raid: bool,
    /// A client begins an exclusive transaction at a node about every so many ms.
    pub bind_ms: usize,
    /// So many of a hundred messages between voters are lost.
    pub loss_percent: usize,
    /// One of so many steps of transactions ends in the middle, with a crash.
    pub steps_to_crash: usize,
    /// So many of a hundred transactions are unsafe.
    pub unsafe_percent: usize,
    /// A planted bug.
    pub fault: Option<Fault>,
}

impl Plan {
    /// The plan of a seed.
    pub fn of(seed: u64, fault: Option<Fault>) -> Self {
        let mut rng = Rng::new(seed ^ 0xa5a5_5a5a_1234_9876);
        let latency_ms = *rng.pick(&[2, 10, 60, 150]);
        let plan = Self {
            seed,
            nodes: *rng.pick(&[2, 3, 3, 3, 4, 5, 7]),
            bad_ms: rng.between(1_500, 6_000) as i64,
            write_ms: *rng.pick(&[20, 60, 150]),
            latency_ms,
            sync_ms: *rng.pick(&[1, 5, 40, 300]),
            trouble_ms: *rng.pick(&[150, 400, 1_000]),
            skew_ms: *rng.pick(&[0, 50, 2_000, 4_000]),
            batch_bytes: *rng.pick(&[20, 100, 600]),
            window_bytes: *rng.pick(&[400, 2_000, 100_000]),
            restores: rng.one_in(3) || fault == Some(Fault::HidesRestore),
            elections: rng.one_in(4),
            storm: false,
            raid: false,
            fault,
            ahead_ms: *rng.pick(&[500, 2_000, 2_000, 10_000]),
            bind_ms: *rng.pick(&[60, 150, 400]),
            loss_percent: *rng.pick(&[0, 5, 30]),
            steps_to_crash: *rng.pick(&[50, 300, 100_000]),
            unsafe_percent: *Rng::new(seed ^ 0x0d0e_5a5a_9876_4321).pick(&[0, 0, 30, 80, 100]),
        };
        let plan = plan.with_room();
        match rng.below(12) {
            _ if fault == Some(Fault::HidesForgetting) => plan.raid(),
            0 => plan.storm(),
            1 => plan.raid(),
            _ => plan,
        }
    }

    /// The same with windows through which half of what is written fits while it is written: else it takes minutes to arrive.
    fn with_room(self) -> Self {
        let half = self.batch_bytes * self.latency_ms / self.write_ms / 2;
        Self { window_bytes: self.window_bytes.max(half as u64), ..self }
    }

    /// The same with hardly anything but older disks and partitions, on few nodes.
    fn raid(self) -> Self {
        Self {
            nodes: 3,
            trouble_ms: 120,
            bind_ms: 60,
            write_ms: 150,
            restores: true,
            elections: false,
            raid: true,
            ..self
        }
    }

    /// The same with hardly anything but elections and crashes of voters.
    pub fn storm(self) -> Self {
        Self { trouble_ms: 40, window_bytes: self.window_bytes.max(2_000), elections: true, storm: true, ..self }
    }
}
