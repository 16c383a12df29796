//! One node: a disk that stays, and a replica with its clock and state that last from a start to a crash.

use causal::{Entry, Replica};
use effect::{Hlc, HlcClock, Tick, Vector};

use crate::checks::Seen;
use crate::disk::Disk;
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
    /// It belongs to the group, as far as the world wants it to.
    pub is_wanted: bool,
    /// It was dropped, and is ready to join again.
    pub is_back: bool,
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
}

/// How far ahead of the clock its ceiling is raised, in ticks.
const AHEAD: u64 = 10_000 << 16;

impl Node {
    /// A node that is down.
    pub fn new(id: u64, disk: Disk, skew_ms: i64, slow_ms: i64) -> Self {
        let (backup, life) = (None, None);
        Self { id, disk, backup, boot: 0, life, skew_ms, paused_until: 0, slow_ms, is_wanted: true, is_back: false }
    }

    /// Builds what runs from what the disk has.
    pub fn start(&mut self, replica: Replica) {
        let mut state = Survivors::default();
        let mut contexts = std::collections::BTreeMap::<_, Vector>::new();
        for entry in &self.disk.log {
            let context = contexts.entry(entry.first.origin).or_default();
            context.join(&entry.grown);
            state.apply(entry, context);
        }
        self.boot += 1;
        self.life = Some(Life {
            replica,
            clock: HlcClock::above(self.disk.ceiling),
            state: Box::new(state),
            seen: Seen::starting(&self.disk.has),
            told: Vector::new(),
            is_syncing: false,
        });
    }

    /// Takes timestamps; the ceiling is raised before it is passed.
    pub fn stamp(&mut self, now_ms: i64, count: u64) -> Option<Hlc> {
        let clock = &mut self.life.as_mut()?.clock;
        loop {
            match clock.take(now_ms, count) {
                Tick::At(hlc) => return Some(hlc),
                Tick::NeedsCeiling(to) => {
                    self.disk.ceiling = to.plus(AHEAD);
                    clock.raise_ceiling(self.disk.ceiling);
                }
            }
        }
    }

    /// A timestamp that the clock has left behind, and that the next start will be above.
    pub fn promise(&mut self, now_ms: i64) -> Hlc {
        let Some(life) = &mut self.life else { return Hlc(0) };
        let promised = life.clock.last().max(Hlc::at_ms(now_ms));
        if promised.plus(AHEAD / 2) > self.disk.ceiling {
            self.disk.ceiling = promised.plus(AHEAD);
            life.clock.raise_ceiling(self.disk.ceiling);
        }
        life.clock.observe(promised);
        promised
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
