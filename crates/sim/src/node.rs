//! One node: a disk that stays, and a replica with its clock and state that last from a start to a crash.

use std::collections::{BTreeSet, VecDeque};

use causal::bind::Binds;
use causal::{Entry, Replica};
use effect::{Dot, Hlc, HlcClock, Tick, Vector};

use crate::batch::Kind;

use crate::checks::Seen;
use crate::disk::Disk;
use crate::fault::Fault;
use crate::state::{State, Survivors};

/// A node of the simulation.
pub struct Node {
    /// Its id.
    pub id: u64,
    /// What stays.
    pub disk: Disk,
    /// An earlier copy of it.
    pub backup: Option<Disk>,
    /// Counts its starts.
    pub boot: u32,
    /// What runs; None while it is down.
    pub life: Option<Life>,
    /// How wrong its clock is, in ms.
    pub skew_ms: i64,
    /// It does nothing until then.
    pub paused_until: i64,
    /// Each of its messages takes so many ms longer.
    pub slow_ms: i64,
    /// How far ahead of the wall its ceiling is raised, in ms.
    pub ahead_ms: i64,
    /// It belongs to the group, as far as the world wants it to.
    pub is_wanted: bool,
    /// An older disk was put in the place of its last one.
    pub has_lost: bool,
    /// It was dropped, and is ready to join again.
    pub is_back: bool,
    /// The transactions that readers have seen here, but for what a crash took away.
    pub shown: BTreeSet<Dot>,
    /// The unsafe transactions that were shown here as committed, but for what a lost disk takes with it.
    pub previewed: BTreeSet<Dot>,
}

/// What a crash ends.
pub struct Life {
    /// The machine under test.
    pub replica: Replica,
    /// Its clock.
    pub clock: HlcClock,
    /// Its keys.
    pub state: Box<dyn State>,
    /// What the checks know of it.
    pub seen: Seen,
    /// What others' batches the log had at the last own one.
    pub told: Vector,
    /// An fsync is under way.
    pub is_syncing: bool,
    /// Its exclusive transactions.
    pub binds: Binds,
    /// What is stable, and `binds` was not told.
    pub stable: Option<Vector>,
    /// The epoch that `binds` was told of, and whether all of it had been met.
    pub members: Option<(u64, bool)>,
    /// What the log has of transactions and `binds` was not told, as it is not durable.
    pub arrived: VecDeque<(Dot, Kind)>,
}

/// How far above a clock that runs ahead of the wall its ceiling is raised, in ms. With as much as is allowed ahead of the wall, a node that
/// crashes again and again would drive the group's time away: each start is above the last ceiling.
const STEP_MS: i64 = 20;

impl Node {
    /// A node that is down.
    pub fn new(id: u64, disk: Disk, skew_ms: i64, slow_ms: i64, ahead_ms: i64) -> Self {
        let (backup, life, boot, paused_until) = (None, None, 0, 0);
        let (is_wanted, is_back, has_lost) = (true, false, false);
        let (shown, previewed) = (BTreeSet::new(), BTreeSet::new());
        Self {
            id,
            disk,
            backup,
            boot,
            life,
            skew_ms,
            paused_until,
            slow_ms,
            ahead_ms,
            is_wanted,
            has_lost,
            is_back,
            shown,
            previewed,
        }
    }

    /// Builds what runs from what the disk has.
    pub fn start(&mut self, replica: Replica, binds: Binds, fault: Option<Fault>) {
        let mut state = Survivors::new(fault);
        let mut contexts = std::collections::BTreeMap::<_, Vector>::new();
        for entry in &self.disk.log {
            let context = contexts.entry(entry.first.origin).or_default();
            context.join(&entry.grown);
            let is_forgotten = fault == Some(Fault::ForgetsVerdicts)
                && matches!(Kind::of(entry), Kind::Verdict(dot, _) if dot.seq % 3 == 0);
            if !is_forgotten {
                state.apply(entry, context);
            }
        }
        self.boot += 1;
        self.life = Some(Life {
            replica,
            clock: HlcClock::above(self.disk.ceiling),
            state: Box::new(state),
            seen: Seen::starting(&self.disk.has),
            told: Vector::new(),
            is_syncing: false,
            binds,
            stable: None,
            members: None,
            arrived: VecDeque::new(),
        });
    }

    /// Takes timestamps; the ceiling is raised before it is passed.
    pub fn stamp(&mut self, now_ms: i64, count: u64) -> Option<Hlc> {
        loop {
            match self.life.as_mut()?.clock.take(now_ms, count) {
                Tick::At(hlc) => return Some(hlc),
                Tick::NeedsCeiling(to) => self.raise_ceiling(now_ms, to),
            }
        }
    }

    /// A timestamp that the clock has left behind, and that the next start will be above.
    pub fn promise(&mut self, now_ms: i64) -> Hlc {
        let Some(life) = &mut self.life else { return Hlc(0) };
        let promised = life.clock.last().max(Hlc::at_ms(now_ms));
        life.clock.observe(promised);
        if promised > self.disk.ceiling {
            self.raise_ceiling(now_ms, promised);
        }
        promised
    }

    /// Lets the clock reach `wanted` and some time beyond it.
    fn raise_ceiling(&mut self, now_ms: i64, wanted: Hlc) {
        let above = Hlc::at_ms((now_ms + self.ahead_ms).max(wanted.ms() + STEP_MS));
        self.disk.ceiling = self.disk.ceiling.max(above);
        if let Some(life) = &mut self.life {
            life.clock.raise_ceiling(above);
        }
    }

    /// What of others the log has gained since the last own batch.
    pub fn grown(&mut self) -> Option<Vector> {
        let life = self.life.as_mut()?;
        let mut others = self.disk.has.clone();
        others.remove(life.replica.origin());
        let grown = others.since(&life.told).collect();
        life.told = others;
        Some(grown)
    }

    /// Appends an own batch, and lets the state see it.
    pub fn log_own(&mut self, entry: &Entry) {
        self.disk.append(entry.clone());
        let Some(life) = &mut self.life else { return };
        life.state.apply(entry, &life.told);
    }
}
