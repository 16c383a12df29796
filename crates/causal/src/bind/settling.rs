//! Unsafe binds without a verdict, by what each waits for before it is looked at again.
//!
//! ```text
//!   put ─▶ unstable ─▶ due ─┬─ not shown as it ends ─────────▶ shown ────────┐
//!                           ├─ another ends before it ───────▶ its verdict ──┼─▶ due
//!                           └─ its verdict was asked for ────▶ a while later ┘
//! ```
//! *Invariant:* a bind is looked at when something has changed for it, however many others wait: in a partition none is.
//!
//! *Invariant:* between two ticks at most [`VERDICTS_A_TICK`] verdicts are asked for.

use std::collections::{BTreeMap, BTreeSet};

use effect::{Dot, Vector};

use crate::bind::limits::VERDICTS_A_TICK;
use crate::bind::transaction::Bind;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Settling {
    /// Competitors of them may still come.
    unstable: BTreeSet<Dot>,
    /// To be looked at, each behind those that it had observed.
    due: BTreeSet<(u128, Dot)>,
    /// Those that wait for the verdict on another, by that.
    behind: BTreeMap<Dot, BTreeSet<Dot>>,
    /// Those whose verdict was asked for, by when it is asked for again.
    asked: BTreeSet<(u64, Dot)>,
    /// How many verdicts may be asked for until the next tick.
    left: usize,
}

impl Default for Settling {
    fn default() -> Self {
        let (unstable, due, behind, asked) = Default::default();
        Self { unstable, due, behind, asked, left: VERDICTS_A_TICK }
    }
}

impl Settling {
    /// A bind has come.
    pub(crate) fn begin(&mut self, dot: Dot) {
        self.unstable.insert(dot);
    }

    /// Takes out those that are stable by now.
    pub(crate) fn stable(&mut self, stable: &Vector) -> Vec<Dot> {
        let of_origin = |last: Dot| self.unstable.range(Dot { seq: 0, ..last }..=last).copied();
        let found: Vec<Dot> = stable.iter().flat_map(of_origin).collect();
        for dot in &found {
            self.unstable.remove(dot);
        }
        found
    }

    /// Something has changed for a bind: it is looked at, if it is stable.
    pub(crate) fn wake(&mut self, bind: &Bind) {
        if !self.unstable.contains(&bind.dot()) {
            self.due.insert((bind.observed_count(), bind.dot()));
        }
    }

    /// The verdict on a bind is known, or the bind is forgotten: those that have waited for that.
    pub(crate) fn end(&mut self, bind: &Bind, next_ms: u64) -> BTreeSet<Dot> {
        self.unstable.remove(&bind.dot());
        self.due.remove(&(bind.observed_count(), bind.dot()));
        self.asked.remove(&(next_ms, bind.dot()));
        self.behind.remove(&bind.dot()).unwrap_or_default()
    }

    /// The next one to be looked at.
    pub(crate) fn next(&mut self) -> Option<Dot> {
        if self.left == 0 {
            return None;
        }
        self.due.pop_first().map(|(_, dot)| dot)
    }

    /// It is looked at again behind the verdict on another.
    pub(crate) fn wait_behind(&mut self, dot: Dot, other: Dot) {
        self.behind.entry(other).or_default().insert(dot);
    }

    /// It is looked at again at this time.
    pub(crate) fn wait_until(&mut self, next_ms: u64, dot: Dot) {
        self.asked.insert((next_ms, dot));
    }

    /// A verdict is asked for.
    pub(crate) fn spend(&mut self) {
        self.left = self.left.saturating_sub(1);
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self) {
        self.left = VERDICTS_A_TICK;
    }

    /// Takes out one whose time has come.
    pub(crate) fn overdue(&mut self, now_ms: u64) -> Option<Dot> {
        let first = self.asked.first().copied().filter(|(next_ms, _)| *next_ms <= now_ms)?;
        self.asked.remove(&first);
        Some(first.1)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;
    use std::sync::Arc;

    use effect::{Hlc, Origin, Stamp};

    use super::*;
    use crate::bind::ballot::Voters;
    use crate::bind::limits::HORIZON_HARD_MS;
    use crate::bind::machine::{Binds, Timing};
    use crate::bind::message::{Input, Output};
    use crate::bind::safety::Safety;
    use crate::bind::transaction::{Key, KeyUse};

    thread_local! {
        /// How many binds this thread has looked at.
        pub(crate) static LOOKED: Cell<usize> = const { Cell::new(0) };
    }

    const TIMING: Timing = Timing { resend_ms: 20, recover_ms: 50, stagger_ms: 10, deadline_ms: 1_000 };
    const MANY: u64 = 3_000;

    fn dot(seq: u64) -> Dot {
        Dot { origin: Origin::new(1, 1), seq }
    }

    /// A node that has shown many, none of which is stable.
    fn alone(key: impl Fn(u64) -> String) -> Binds {
        let mut binds = Binds::new(1, TIMING);
        for seq in 1..=MANY {
            let (at, voters) = ((dot(seq), Stamp::new(dot(seq), Hlc(seq))), Voters::new([1, 2, 3]).expect("three"));
            let keys = vec![KeyUse::written(Key::named(key(seq).as_bytes()))];
            let context: Vector = (seq > 1).then(|| dot(seq - 1)).into_iter().collect();
            let bind = Bind::new(at, voters, &context, keys, Safety::Unsafe).expect("one key");
            binds.step(seq * HORIZON_HARD_MS, Input::Begin(Arc::new(bind)));
            binds.step((seq + 1) * HORIZON_HARD_MS, Input::Tick);
        }
        assert_eq!(binds.counts(), (MANY as usize, 0), "all are shown");
        LOOKED.set(0);
        binds
    }

    /// Ticks until all have their verdicts: in which order, and how many came in one tick at most.
    fn settle(binds: &mut Binds) -> (Vec<u64>, usize) {
        let (mut now_ms, mut verdicts, mut most) = ((MANY + 2) * HORIZON_HARD_MS, Vec::new(), 0);
        let mut outputs = binds.step(now_ms, Input::Stable([dot(MANY)].into_iter().collect()));
        while verdicts.len() < MANY as usize {
            let before = verdicts.len();
            while !outputs.is_empty() {
                for output in std::mem::take(&mut outputs) {
                    let Output::EmitVerdict(bind, vote) = output else { continue };
                    verdicts.push(bind.seq);
                    let dot = dot(MANY + verdicts.len() as u64);
                    outputs.extend(binds.step(now_ms, Input::Verdict { bind, vote, dot }));
                }
            }
            most = most.max(verdicts.len() - before);
            now_ms += 1;
            assert!(now_ms < (MANY + 3) * HORIZON_HARD_MS, "{} of {MANY} are decided", verdicts.len());
            outputs = binds.step(now_ms, Input::Tick);
        }
        (verdicts, most)
    }

    #[test]
    fn what_is_not_stable_costs_nothing_while_time_passes() {
        let mut binds = alone(|seq| format!("k{seq}"));
        (0..1_000).for_each(|ms| drop(binds.step((MANY + 2) * HORIZON_HARD_MS + ms, Input::Tick)));
        assert_eq!(LOOKED.get(), 0);
    }

    #[test]
    fn each_is_looked_at_a_few_times_until_its_verdict() {
        for of_one_key in [false, true] {
            let mut binds = alone(|seq| if of_one_key { "k".to_owned() } else { format!("k{seq}") });
            let (verdicts, most) = settle(&mut binds);
            assert!(verdicts.is_sorted(), "each behind those that it had observed");
            assert!(most <= VERDICTS_A_TICK, "{most} at once");
            assert!(LOOKED.get() <= 2 * MANY as usize, "{} looks at {MANY}", LOOKED.get());
        }
    }
}
