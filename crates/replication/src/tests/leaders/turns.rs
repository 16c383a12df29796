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

    /// It has watched the key as its node has it now.
    fn send_in_turn(&self, at: usize, key: &str, turn: u64, told: &Told<(usize, Answer)>) {
        let watch = Watch { key: Key::named(key.as_bytes()), seen: self.engine(at).vector(), existed: false };
        let commands = vec![vec![b"INCR".to_vec(), key.as_bytes().to_vec()]];
        let exec = Exec { turn, commands, watches: vec![watch], ..Exec::default() };
        let told = Arc::clone(told);
        let tell = Box::new(move |answer| told.lock().push((at, answer)));
        self.nodes[at].serial.forward(vec![Key::named(key.as_bytes())], exec, tell);
    }

    /// Whoever has this turn adds to the key, and has it no more once that is decided.
    fn add_in_turn(&mut self, at: usize, key: &str, turn: u64) {
        let (answers, outcomes) = (Told::default(), Told::default());
        self.send_in_turn(at, key, turn, &answers);
        self.until(|_| !answers.lock().is_empty());
        assert_eq!(*answers.lock(), [(at, Answer::Here)], "it runs where its client is");
        self.add_here(at, key, &outcomes);
        self.until(|_| !outcomes.lock().is_empty());
        assert!(matches!(outcomes.lock()[..], [Ok(_)]), "{outcomes:?}");
        self.nodes[at].serial.end_turn(turn);
    }
}

#[test]
fn whoever_has_the_turn_commits_on_whichever_node_he_is_and_the_others_wait() {
    let mut group = Group::led("hot");
    let (before, turns) = (group.number(0, "hot"), Turns::default());
    (0..3 * NODES).for_each(|n| group.ask(n % NODES, "hot", &turns));
    for n in 1..=3 * NODES {
        group.until(|_| turns.lock().len() >= n);
        (0..5).for_each(|_| group.round());
        assert_eq!(turns.lock().len(), n, "one has it at a time");
        let (at, turn) = turns.lock()[n - 1];
        assert!(turn > 0);
        assert_eq!(group.number(at, "hot") - before, n as i64 - 1, "he sees what all before him have done");
        group.add_in_turn(at, "hot", turn);
    }
    let by_node =
        turns.lock().chunks(3).map(|turns| turns.iter().map(|(at, _)| *at).collect()).collect::<Vec<Vec<_>>>();
    assert!(
        by_node.iter().all(|three| three.iter().all(|at| *at == three[0])),
        "those of a node share one: {by_node:?}"
    );
    group.settle();
    assert_eq!(group.number(0, "hot") - before, 3 * NODES as i64);
    (0..NODES).for_each(|at| assert_eq!(group.nodes[at].serial.forwarded(), 0));
}

#[test]
fn of_those_who_share_a_turn_the_next_has_it_when_one_ends_it_or_keeps_it_for_too_long() {
    let mut group = Group::led("hot");
    let leader = group.leader("hot");
    let [one, other] = [(leader + 1) % NODES, (leader + 2) % NODES];
    let turns = Turns::default();
    group.ask(one, "hot", &turns);
    group.until(|_| turns.lock().len() == 1);
    // They wait together, and so share the next one.
    group.ask(other, "hot", &turns);
    (0..5).for_each(|_| group.round());
    (0..3).for_each(|_| group.ask(one, "hot", &turns));
    (0..5).for_each(|_| group.round());
    group.nodes[one].serial.end_turn(turns.lock()[0].1);
    group.until(|_| turns.lock().len() == 2);
    assert_eq!(turns.lock()[1].0, other, "one asked again, and is behind him");
    group.nodes[other].serial.end_turn(turns.lock()[1].1);
    group.until(|_| turns.lock().len() == 3);
    let (second, began) = (turns.lock()[2].1, group.now());
    group.nodes[one].serial.end_turn(second);
    group.round();
    assert_eq!(turns.lock().len(), 4, "the way to the leader is not gone");
    group.until(|_| turns.lock().len() == 5);
    let kept = group.now() - began;
    assert!(kept >= TURN_PATIENCE && kept < 2 * TURN_PATIENCE, "it was kept for {kept:?}");
    let told = Told::default();
    group.send_in_turn(one, "hot", turns.lock()[3].1, &told);
    let last = turns.lock()[4].1;
    group.add_in_turn(one, "hot", last);
    group.rounds_until(0, |_| !told.lock().is_empty());
    assert_eq!(*told.lock(), [committed(one)], "who is late stands at the end of the leader's queue");
    group.settle();
}

#[test]
fn what_needs_more_than_the_turn_is_for_goes_to_the_leader() {
    let mut group = Group::led("hot");
    let leader = group.leader("hot");
    let (one, turns, told) = ((leader + 1) % NODES, Turns::default(), Told::default());
    // Nobody leads it: the turn is for nothing.
    group.ask(one, "hot", &turns);
    group.until(|_| turns.lock().len() == 1);
    let turn = turns.lock()[0].1;
    let keys = ["hot", "calm"].map(|key| Key::named(key.as_bytes()));
    let exec = Exec { turn, commands: vec![vec![b"INCR".to_vec(), b"hot".to_vec()]], ..Exec::default() };
    let tell = Arc::clone(&told);
    let forward = |group: &Group, exec: &Exec| {
        let tell = Arc::clone(&tell);
        let tell = Box::new(move |answer| tell.lock().push((one, answer)));
        group.nodes[one].serial.forward(keys.to_vec(), exec.clone(), tell);
    };
    forward(&group, &exec);
    group.until(|_| told.lock().len() == 1);
    assert_eq!(told.lock()[0], (one, Answer::Here), "the other key is not led");
    let node = group.engine(leader).origin().node();
    group.nodes[leader].life.as_mut().unwrap().0.emit_serialize(Key::named(b"calm"), Some(node));
    group.until(|group| group.leaders() == [2; NODES]);
    forward(&group, &exec);
    group.rounds_until(0, |_| told.lock().len() == 2);
    assert_eq!(told.lock()[1], committed(one), "as the first of the leader's queue");
    group.settle();
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
    group.nodes[one].serial.end_turn(turns.lock()[0].1);
    group.nodes[other].serial.end_turn(turns.lock()[1].1);
    let began = group.now();
    (0..5).for_each(|_| group.round());
    assert_eq!(turns.lock().len(), 2);
    group.nodes[leader].serial.end_turn(turns.lock()[1].1);
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
