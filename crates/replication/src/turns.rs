//! Turns that leaders have given to clients of this node. Those who wait here for the same keys share one: one after the other has it, and
//! EXEC runs here, so that the way to the leader and back is gone once for all of them.
//!
//! ```text
//!   the leader's Queue ─ a turn, and who shares it ─▶ the first has it ─▶ EXEC runs here ─▶ verdict ─▶ the next has it ─▶ … ─▶ given back
//!                                                        └ keeps it for too long, or goes away ─▶ the next
//! ```
//! *Invariant:* of those who share a turn one at a time has it.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use causal::bind::Key;

use crate::limits::{TURN_PATIENCE, VERDICT_PATIENCE};

/// A turn that a client of this node has.
#[derive(Debug, PartialEq)]
pub(crate) struct Held {
    /// What its leader calls it.
    pub(crate) number: u64,
    pub(crate) keys: Vec<Key>,
    /// Who has it next, as they came.
    pub(crate) next: VecDeque<u64>,
}

/// What becomes of an EXEC.
#[derive(Debug, PartialEq)]
pub(crate) enum Exec {
    /// It runs here, and its client still has the turn.
    Here,
    /// It goes to the leader, which calls the turn so: here it is over.
    There(u64),
    /// Its client has no turn any more.
    Late,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    held: BTreeMap<u64, (Held, Instant)>,
    /// The number of the last one here.
    last: u64,
}

impl Turns {
    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Somebody has it now. Its number here, which nobody had before.
    pub(crate) fn begin(&mut self, held: Held, now: Instant) -> u64 {
        self.last += 1;
        self.held.insert(self.last, (held, now + TURN_PATIENCE));
        self.last
    }

    /// Whoever has it sends his EXEC, which needs the turns of these keys.
    pub(crate) fn exec(&mut self, turn: u64, needs: &[Key], now: Instant) -> Exec {
        let Some((held, until)) = self.held.get_mut(&turn) else { return Exec::Late };
        if needs.iter().all(|key| held.keys.contains(key)) {
            *until = now + VERDICT_PATIENCE;
            return Exec::Here;
        }
        match held.next.is_empty() {
            true => self.end(turn).map_or(Exec::Late, |held| Exec::There(held.number)),
            // It needs what others may have: nobody here waits for that.
            false => {
                *until = now;
                Exec::Late
            }
        }
    }

    /// It is over for whoever has it.
    pub(crate) fn end(&mut self, turn: u64) -> Option<Held> {
        self.held.remove(&turn).map(|(held, _)| held)
    }

    /// Those that were kept for too long.
    pub(crate) fn late(&self, now: Instant) -> Vec<u64> {
        self.held.iter().filter(|(_, (_, until))| *until <= now).map(|(turn, _)| *turn).collect()
    }
}

/// How long a leader leaves a turn to so many who share it, of whom each may keep it so long.
pub(crate) fn patience(each: Duration, many: usize) -> Duration {
    each * u32::try_from(many).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(names: &[&str]) -> Vec<Key> {
        names.iter().map(|name| Key::named(name.as_bytes())).collect()
    }

    fn held(number: u64, next: &[u64]) -> Held {
        Held { number, keys: keys(&["a", "b"]), next: next.iter().copied().collect() }
    }

    #[test]
    fn who_has_it_runs_here_and_is_late_once_it_is_over() {
        let (mut turns, now) = (Turns::default(), Instant::now());
        let turn = turns.begin(held(7, &[1]), now);
        assert_eq!(turns.exec(turn, &keys(&["b"]), now), Exec::Here);
        assert!(turns.late(now + TURN_PATIENCE).is_empty(), "it waits for its verdict");
        assert_eq!(turns.late(now + VERDICT_PATIENCE), [turn]);
        assert_eq!(turns.end(turn), Some(held(7, &[1])));
        assert_eq!((turns.exec(turn, &keys(&["b"]), now), turns.end(turn)), (Exec::Late, None));
        let other = turns.begin(held(7, &[]), now);
        assert!(other != turn && turns.late(now).is_empty());
        assert_eq!(turns.late(now + TURN_PATIENCE), [other]);
    }

    #[test]
    fn what_needs_more_keys_goes_to_the_leader_unless_that_keeps_others_waiting() {
        let (mut turns, now) = (Turns::default(), Instant::now());
        let more = keys(&["a", "c"]);
        let alone = turns.begin(held(7, &[]), now);
        assert_eq!(turns.exec(alone, &more, now), Exec::There(7));
        assert!(turns.is_empty());
        let shared = turns.begin(held(8, &[1]), now);
        assert_eq!(turns.exec(shared, &more, now), Exec::Late);
        assert_eq!(turns.late(now), [shared]);
    }
}
