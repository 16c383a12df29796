//! Those who want keys that this node leads, in the order in which they came, clients of this node and of others alike.
//!
//! ```text
//!   WATCH ─▶ asks for a turn ─▶ nobody before it wants its keys ─▶ has them, with others of its node ─▶ EXECs there (`turns`) ─▶ given back
//!   EXEC without a turn ──────▶ nobody before it wants its keys ─▶ runs here ─▶ ended
//! ```
//! Who has the turn reads what the one before has written, and nobody changes it until his EXEC is decided, or he has kept the others waiting
//! for too long.
//!
//! *Invariant:* of those who want a key one at a time has it: it runs, or has the turn, or shares one with others of its node, who see to that.
//! Passed over are only one that has not seen enough yet, and never had a turn, and those before whom others of a node share a turn: [`SHARERS`].

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use causal::bind::{Exec, Key};
use effect::Vector;

use crate::limits::SHARERS;
use crate::turns;

/// Somebody who waits, or whose transaction runs.
struct Guest {
    number: u64,
    from: u64,
    exec: Arc<Exec>,
    /// What must be here before it runs.
    seen: Vector,
    until: Instant,
    /// How long it may keep a turn.
    patience: Duration,
    /// A thread has it.
    is_running: bool,
    /// It comes of a turn.
    had_turn: bool,
    /// How many outcomes there had been when it was last tried.
    tried: Option<u64>,
}

/// Who has been told that the keys are his.
struct Turn {
    number: u64,
    from: u64,
    keys: Vec<Key>,
    until: Instant,
}

/// A turn that is given now.
struct Given {
    number: u64,
    from: u64,
    keys: Vec<Key>,
    patience: Duration,
    sharers: Vec<u64>,
}

impl Given {
    fn takes(&self, guest: &Guest) -> bool {
        self.sharers.len() + 1 < SHARERS && self.from == guest.from && self.keys == guest.exec.led
    }

    fn turn(self, now: Instant) -> (Turn, Call) {
        let Self { number, from, keys, patience, sharers } = self;
        let until = now + turns::patience(patience, 1 + sharers.len());
        (Turn { number, from, keys, until }, Call::Turn(number, sharers))
    }
}

/// What is to be done about one of them.
#[derive(Debug, PartialEq)]
pub(crate) enum Call {
    /// It runs now.
    Run(u64, Arc<Exec>),
    /// It has the turn, and these, of the same node, have it next.
    Turn(u64, Vec<u64>),
    /// It has waited long enough.
    Leave(u64),
}

/// What there is.
pub(crate) struct Now<'a> {
    pub(crate) at: Instant,
    /// Transactions that were decided or shown so far.
    pub(crate) outcomes: u64,
    /// Whether all of this is here.
    pub(crate) has: &'a dyn Fn(&Vector) -> bool,
    /// Whether a transaction that writes the key is undecided.
    pub(crate) is_open: &'a dyn Fn(&Key) -> bool,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Queue {
    guests: VecDeque<Guest>,
    turns: Vec<Turn>,
}

impl Queue {
    pub(crate) fn len(&self) -> usize {
        self.guests.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.guests.is_empty() && self.turns.is_empty()
    }

    /// Somebody comes from a node: he waits until then, and keeps a turn so long.
    pub(crate) fn push(&mut self, (number, from): (u64, u64), exec: Exec, until: Instant, patience: Duration) {
        let mut seen = Vector::new();
        exec.watches.iter().for_each(|watch| seen.join(&watch.seen));
        let had_turn = exec.turn > 0 && self.give_back(from, exec.turn);
        let (exec, is_running, tried) = (Arc::new(exec), false, None);
        let guest = Guest { number, from, exec, seen, until, patience, is_running, had_turn, tried };
        match had_turn {
            true => self.guests.push_front(guest),
            false => self.guests.push_back(guest),
        }
    }

    /// A turn is over; whether it was not before.
    pub(crate) fn give_back(&mut self, from: u64, number: u64) -> bool {
        let before = self.turns.len();
        self.turns.retain(|turn| (turn.number, turn.from) != (number, from));
        self.turns.len() < before
    }

    /// A node is gone, and whoever has turns there.
    pub(crate) fn leave(&mut self, node: u64) {
        self.turns.retain(|turn| turn.from != node);
    }

    /// What ran was not done, as another one on its keys is undecided.
    pub(crate) fn was_busy(&mut self, number: u64) {
        let guest = self.guests.iter_mut().find(|guest| guest.number == number);
        guest.into_iter().for_each(|guest| guest.is_running = false);
    }

    /// It has ended, or has gone.
    pub(crate) fn remove(&mut self, number: u64) {
        self.guests.retain(|guest| guest.number != number);
    }

    /// Who is called now. Those who leave, and those who get a turn, wait no more.
    pub(crate) fn call(&mut self, now: &Now<'_>) -> Vec<Call> {
        let (mut calls, mut given) = (Vec::new(), Vec::<Given>::new());
        self.turns.retain(|turn| now.at < turn.until);
        let mut taken: HashSet<Key> = self.turns.iter().flat_map(|turn| &turn.keys).cloned().collect();
        let running = self.guests.iter().filter(|guest| guest.is_running);
        taken.extend(running.flat_map(|guest| &guest.exec.led).cloned());
        self.guests.retain_mut(|guest| {
            if guest.is_running {
                return true;
            }
            let asks = guest.exec.commands.is_empty();
            if now.at >= guest.until || asks && guest.exec.led.is_empty() {
                calls.push(Call::Leave(guest.number));
                return false;
            }
            if let Some(given) = given.iter_mut().find(|given| asks && given.takes(guest)) {
                given.sharers.push(guest.number);
                return false;
            }
            let keys = &guest.exec.led;
            let has_seen = (now.has)(&guest.seen);
            if !has_seen && !guest.had_turn {
                return true;
            }
            let is_free = has_seen
                && guest.tried.is_none_or(|tried| now.outcomes > tried)
                && !keys.iter().any(|key| taken.contains(key) || asks && (now.is_open)(key));
            taken.extend(keys.iter().cloned());
            match (is_free, asks) {
                (false, _) => true,
                (true, true) => {
                    let Guest { number, from, patience, .. } = *guest;
                    given.push(Given { number, from, keys: keys.clone(), patience, sharers: Vec::new() });
                    false
                }
                (true, false) => {
                    (guest.is_running, guest.tried) = (true, Some(now.outcomes));
                    calls.push(Call::Run(guest.number, Arc::clone(&guest.exec)));
                    true
                }
            }
        });
        for (turn, call) in given.into_iter().map(|given| given.turn(now.at)) {
            self.turns.push(turn);
            calls.push(call);
        }
        calls
    }
}

#[cfg(test)]
mod tests {
    use causal::bind::Watch;
    use effect::{Dot, Origin};

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(100);

    /// A queue, the time in milliseconds, outcomes, what is here, and which keys are undecided.
    struct Desk {
        queue: Queue,
        began: Instant,
        ms: u64,
        outcomes: u64,
        has: Vector,
        open: Vec<Key>,
    }

    impl Desk {
        fn new() -> Self {
            let (queue, has, open) = Default::default();
            Self { queue, began: Instant::now(), ms: 0, outcomes: 0, has, open }
        }

        fn at(&self) -> Instant {
            self.began + Duration::from_millis(self.ms)
        }

        fn push(&mut self, number: u64, exec: Exec) {
            let until = self.at() + Duration::from_secs(1);
            self.queue.push((number, number % 3), exec, until, PATIENCE);
        }

        /// Turns as `t1`, runs as `r1`, and who leaves as `l1`.
        fn call(&mut self) -> String {
            let now = Now {
                at: self.at(),
                outcomes: self.outcomes,
                has: &|seen| self.has.covers(seen),
                is_open: &|key| self.open.contains(key),
            };
            let word = |call: &Call| match call {
                Call::Run(number, _) => format!("r{number}"),
                Call::Turn(number, next) => {
                    format!("t{number}{}", next.iter().map(|number| format!("+{number}")).collect::<String>())
                }
                Call::Leave(number) => format!("l{number}"),
            };
            self.queue.call(&now).iter().map(word).collect::<Vec<_>>().join(" ")
        }

        /// It has ended.
        fn end(&mut self, number: u64) -> String {
            self.queue.remove(number);
            self.outcomes += 1;
            self.call()
        }
    }

    fn keys(names: &[&str]) -> Vec<Key> {
        names.iter().map(|name| Key::named(name.as_bytes())).collect()
    }

    fn asks(names: &[&str]) -> Exec {
        Exec { led: keys(names), ..Exec::default() }
    }

    fn exec(turn: u64, names: &[&str]) -> Exec {
        Exec { turn, led: keys(names), commands: vec![vec![b"INCR".to_vec()]], ..Exec::default() }
    }

    #[test]
    fn they_have_a_key_one_at_a_time_in_the_order_in_which_they_came() {
        let mut desk = Desk::new();
        (1..=3).for_each(|number| desk.push(number, asks(&["k"])));
        desk.push(4, exec(0, &["k"]));
        desk.push(5, asks(&["other"]));
        assert_eq!(desk.call(), "t1 t5");
        assert_eq!(desk.call(), "");
        desk.push(10, exec(1, &["k"]));
        assert_eq!(desk.call(), "r10");
        assert_eq!(desk.end(10), "t2");
        assert!(desk.queue.give_back(2, 2) && !desk.queue.give_back(2, 2));
        assert_eq!(desk.call(), "t3");
        desk.push(12, exec(3, &["k"]));
        assert_eq!(desk.call(), "r12");
        assert_eq!(desk.end(12), "r4");
        assert_eq!(desk.end(4), "");
        assert!(desk.queue.guests.is_empty());
    }

    #[test]
    fn a_turn_that_is_kept_too_long_is_over_and_nobody_takes_that_of_another() {
        let mut desk = Desk::new();
        (1..=2).for_each(|number| desk.push(number, asks(&["k"])));
        assert_eq!(desk.call(), "t1");
        // Of another node.
        desk.push(5, exec(1, &["k"]));
        assert!(!desk.queue.give_back(2, 1));
        desk.ms = PATIENCE.as_millis() as u64 - 1;
        assert_eq!(desk.call(), "");
        desk.ms += 1;
        assert_eq!(desk.call(), "t2");
        desk.push(10, exec(1, &["k"]));
        assert_eq!(desk.call(), "", "what comes too late waits like any other");
        desk.ms += PATIENCE.as_millis() as u64;
        assert_eq!(desk.call(), "r5");
        assert_eq!(desk.end(5), "r10");
    }

    #[test]
    fn those_of_one_node_who_want_the_same_share_a_turn_up_to_a_limit_and_for_as_long_as_each_may_keep_it() {
        let mut desk = Desk::new();
        // Of the same node, but for 2; 7 wants something else as well.
        [1, 2, 4].into_iter().for_each(|number| desk.push(number, asks(&["k"])));
        desk.push(7, asks(&["k", "other"]));
        desk.push(10, exec(0, &["k"]));
        (13..60).step_by(3).for_each(|number| desk.push(number, asks(&["k"])));
        assert_eq!(desk.call(), "t1+4+13+16+19+22+25+28");
        desk.ms = SHARERS as u64 * PATIENCE.as_millis() as u64 - 1;
        assert_eq!(desk.call(), "");
        desk.ms += 1;
        assert_eq!(desk.call(), "t2");
        desk.queue.leave(1);
        assert_eq!(desk.call(), "", "it is another node's");
        desk.queue.leave(2);
        assert_eq!(desk.call(), "t7");
    }

    #[test]
    fn whoever_wants_several_keys_is_not_passed_by_those_behind() {
        let mut desk = Desk::new();
        desk.push(1, exec(0, &["a"]));
        desk.push(2, asks(&["a", "b"]));
        desk.push(3, exec(0, &["b"]));
        assert_eq!(desk.call(), "r1");
        assert_eq!(desk.end(1), "t2");
        desk.push(5, exec(2, &["a", "b"]));
        assert_eq!(desk.call(), "r5");
        assert_eq!(desk.end(5), "r3");
    }

    #[test]
    fn what_is_busy_is_tried_again_behind_a_verdict_and_before_all_others() {
        let mut desk = Desk::new();
        desk.push(1, exec(0, &["k"]));
        desk.push(2, exec(0, &["k"]));
        assert_eq!(desk.call(), "r1");
        desk.queue.was_busy(1);
        assert_eq!(desk.call(), "");
        desk.outcomes += 1;
        assert_eq!(desk.call(), "r1");
        // Of somebody who does not queue.
        desk.open = keys(&["free"]);
        desk.push(3, asks(&["free"]));
        assert_eq!(desk.call(), "");
        desk.open.clear();
        assert_eq!(desk.call(), "t3");
    }

    #[test]
    fn who_has_not_seen_enough_is_passed_over_unless_it_is_his_turn() {
        let mut desk = Desk::new();
        let dot = Dot { origin: Origin::new(1, 1), seq: 7 };
        let early = |turn| {
            let watch = Watch { key: Key::named(b"k"), seen: [dot].into_iter().collect(), existed: false };
            Exec { watches: vec![watch], ..exec(turn, &["k"]) }
        };
        desk.push(1, early(0));
        desk.push(2, asks(&["k"]));
        assert_eq!(desk.call(), "t2");
        desk.push(5, early(2));
        desk.push(3, exec(0, &["k"]));
        assert_eq!(desk.call(), "");
        desk.has.add(dot);
        assert_eq!(desk.call(), "r5");
        assert_eq!(desk.end(5), "r1");
        desk.ms = 1_000;
        assert_eq!(desk.call(), "l3", "what runs does not leave");
        assert_eq!(desk.end(1), "");
    }
}
