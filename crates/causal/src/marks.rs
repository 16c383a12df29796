//! What is known of one origin's clock: how far it was in its effects when its timestamps were how far.

use std::collections::VecDeque;

use effect::Hlc;

use crate::limits;

/// Marks `(seq, hlc)`, each saying: no effect behind `seq` has this timestamp or a lower one. Both grow from mark to mark.
#[derive(Debug)]
pub(crate) struct Marks {
    /// The last mark that the cut has passed.
    passed: (u64, Hlc),
    ahead: VecDeque<(u64, Hlc)>,
}

impl Default for Marks {
    fn default() -> Self {
        Self { passed: (0, Hlc(0)), ahead: VecDeque::new() }
    }
}

impl Marks {
    /// Takes in a mark. One that says nothing new is passed over; of too many, every second goes.
    pub fn note(&mut self, seq: u64, hlc: Hlc) {
        match self.ahead.back_mut() {
            Some(last) if last.0 == seq => last.1 = last.1.max(hlc),
            Some(last) if last.0 > seq || last.1 >= hlc => {}
            None if self.passed.0 > seq || self.passed.1 >= hlc => {}
            _ => self.ahead.push_back((seq, hlc)),
        }
        debug_assert!(self.ahead.iter().rev().take(2).is_sorted_by(|a, b| a.0 > b.0 && a.1 > b.1), "marks grow");
        if self.ahead.len() > limits::MARKS {
            let mut nth = 0;
            self.ahead.retain(|_| {
                nth += 1;
                nth % 2 == 0
            });
        }
    }

    /// The highest timestamp of which all effects are among the first `stable`.
    pub fn bound(&self, stable: u64) -> Hlc {
        let within = self.ahead.partition_point(|(seq, _)| *seq <= stable);
        within.checked_sub(1).map_or(self.passed.1, |at| self.ahead[at].1)
    }

    /// The timestamp of the last mark.
    pub fn last(&self) -> Hlc {
        self.ahead.back().map_or(self.passed.1, |last| last.1)
    }

    /// Drops the marks up to `hlc`; how many effects are surely below it.
    pub fn pass(&mut self, hlc: Hlc) -> u64 {
        while let Some(mark) = self.ahead.front().filter(|mark| mark.1 <= hlc) {
            self.passed = *mark;
            self.ahead.pop_front();
        }
        self.passed.0
    }

    pub fn is_empty(&self) -> bool {
        self.ahead.is_empty()
    }

    pub fn validate(&self) {
        assert!(self.ahead.len() <= limits::MARKS, "{} marks", self.ahead.len());
    }
}
