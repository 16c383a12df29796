//! Turns on a led key: whoever has one reads what the one before has written, and nobody comes between that and his EXEC.

use crate::limits::TURN_PATIENCE;
use crate::serial::turn_of;

use super::*;

/// Nodes and the turns that their clients were given, in their order.
type Turns = Told<(usize, u64)>;

impl Group {
    fn ask(&self, at: usize, key: &str, turns: &Turns) {
        let turns = Arc::clone(turns);
        let tell = Box::new(move |answer| turns.lock().push((at, turn_of(&answer))));
        self.nodes[at].serial.forward(vec![Key::named(key.as_bytes())], Exec::default(), tell);
    }

    fn give_back(&self, at: usize, key: &str, turn: u64) {
        let exec = Exec { turn, ..Exec::default() };
        self.nodes[at].serial.forward(vec![Key::named(key.as_bytes())], exec, Box::new(|_| {}));
    }

    /// It has watched the key as its node has it now.
    fn send_in_turn(&self, at: usize, key: &str, turn: u64, told: &Told<(usize, Answer)>) {
        let watch = Watch { key: Key::named(key.as_bytes()), seen: self.engine(at).vector(), existed: false };
        let commands = vec![vec![b"INCR".to_vec(), key.as_bytes().to_vec()]];
        let exec = Exec { turn, commands, watches: vec![watch], ..Exec::default() };
        let told = Arc::clone(told);
        let tell = Box::new(move |answer| told.lock().push((at, answer)));
        self.nodes[at].serial.forward(vec![Key::named(key.as_bytes())], exec, tell);
    }
}

#[test]
fn whoever_has_the_turn_commits_on_whichever_node_he_is_and_the_others_wait() {
    let mut group = Group::led("hot");
    let (before, turns, told) = (group.number(0, "hot"), Turns::default(), Told::default());
    (0..3 * NODES).for_each(|n| group.ask(n % NODES, "hot", &turns));
    for n in 1..=3 * NODES {
        group.rounds_until(1, |_| turns.lock().len() >= n);
        (0..5).for_each(|_| group.round());
        assert_eq!(turns.lock().len(), n, "one has it at a time");
        let (at, turn) = turns.lock()[n - 1];
        assert!(turn > 0);
        let has = group.number(at, "hot");
        let done = told.lock().len();
        assert_eq!(has - before, done as i64, "he sees what all before him have done");
        group.send_in_turn(at, "hot", turn, &told);
        group.rounds_until(1, |_| told.lock().len() > done);
        assert_eq!(told.lock()[done], committed(at));
    }
    for at in 0..NODES {
        assert_eq!(told.lock().iter().filter(|answer| **answer == committed(at)).count(), 3, "each its share");
    }
    group.settle();
    assert_eq!(group.number(0, "hot") - before, 3 * NODES as i64);
    let leader = group.leader("hot");
    let forwarded = |at: usize| if at == leader { 0 } else { 3 };
    (0..NODES).for_each(|at| assert_eq!(group.nodes[at].serial.forwarded(), forwarded(at)));
}

#[test]
fn a_turn_ends_when_it_is_given_back_or_was_kept_for_too_long() {
    let mut group = Group::led("hot");
    let leader = group.leader("hot");
    let [one, other] = [(leader + 1) % NODES, (leader + 2) % NODES];
    let turns = Turns::default();
    group.ask(one, "hot", &turns);
    group.until(|_| turns.lock().len() == 1);
    let began = group.now();
    group.ask(leader, "hot", &turns);
    group.ask(other, "hot", &turns);
    group.until(|_| turns.lock().len() == 2);
    let kept = group.now() - began;
    assert!(kept >= TURN_PATIENCE && kept < 2 * TURN_PATIENCE, "the first was kept for {kept:?}");
    // The first has it no more, and the last waits for the second.
    group.give_back(one, "hot", turns.lock()[0].1);
    group.give_back(other, "hot", turns.lock()[1].1);
    let began = group.now();
    (0..5).for_each(|_| group.round());
    assert_eq!(turns.lock().len(), 2);
    group.give_back(leader, "hot", turns.lock()[1].1);
    group.until(|_| turns.lock().len() == 3);
    assert!(group.now() - began < TURN_PATIENCE);
    assert_eq!(
        turns.lock().iter().map(|(at, turn)| (*at, *turn > 0)).collect::<Vec<_>>(),
        [(one, true), (leader, true), (other, true)]
    );
}

#[test]
fn who_waits_for_a_turn_of_a_leader_that_dies_goes_on_without() {
    let mut group = Group::led("hot");
    let leader = group.leader("hot");
    let (one, turns, began) = ((leader + 1) % NODES, Turns::default(), group.now());
    group.ask(leader, "hot", &turns);
    group.until(|_| turns.lock().len() == 1);
    group.ask(one, "hot", &turns);
    group.round();
    group.crash(leader);
    group.until(|_| turns.lock().len() == 2);
    assert_eq!(turns.lock()[1], (one, 0));
    assert!(group.now() - began < Duration::from_millis(2 * FORWARD_TIMEOUT_MS));
    group.start(leader).unwrap();
    group.settle();
}
