//! Keys whose transactions keep aborting.

use std::collections::BTreeSet;
use std::sync::Arc;

use causal::bind::limits::{DEFAULT_SERIALIZATION_THRESHOLD, FORWARD_TIMEOUT_MS, QUIET_RELEASE_MS};
use causal::bind::{
    Ballot, Bind, Binds, Exec, Input, Key, KeyUse, Output, Peers, Safety, TxnError, Vote, Voters, Watch, Why,
    choose_leader,
};
use effect::{Dot, Hlc, Stamp, Vector};

use crate::cluster::{TIMING, origin};

fn key(name: &str) -> Key {
    Key::named(name.as_bytes())
}

fn stamp(node: u64, ms: i64) -> Stamp {
    Stamp { hlc: Hlc::at_ms(ms), origin: origin(node) }
}

fn peers(alive: &[u64], rtt_ms: &[((u64, u64), u64)]) -> Input {
    Input::Peers(Peers { alive: alive.iter().copied().collect(), rtt_ms: rtt_ms.iter().copied().collect() })
}

/// A bind of `node` over `k`, decided.
fn decided(binds: &mut Binds, node: u64, seq: u64, commit: bool) -> Vec<Output> {
    let dot = Dot { origin: origin(node), seq };
    let voters = Voters::new(1..=3).expect("voters");
    let keys = vec![KeyUse::written(key("k"))];
    let whole = Bind::new((dot, stamp(node, seq as i64)), voters, &Vector::new(), keys, Safety::Safe);
    let bind = Arc::new(whole.expect("one key"));
    match node == 1 {
        true => binds.step(0, Input::Begin(bind)),
        false => binds.step(0, Input::Bind { bind, conflicts_with_plain: false }),
    };
    let vote = Vote { ballot: Ballot::new(seq, 0), commit };
    binds.step(0, Input::Verdict { bind: dot, vote, dot: Dot { origin: origin(node), seq: seq + 1 } })
}

fn serialized(outputs: &[Output]) -> Vec<(Key, Option<u64>)> {
    let one = |output: &Output| match output {
        Output::EmitSerialize(key, leader) => Some((key.clone(), *leader)),
        _ => None,
    };
    outputs.iter().filter_map(one).collect()
}

fn exec(binds: &mut Binds, now_ms: u64, id: u64, keys: &[&str]) -> Vec<Output> {
    let watches = keys.iter().map(|name| Watch { key: key(name), seen: Vector::new(), existed: false }).collect();
    let exec = Exec {
        turn: 9,
        commands: vec![vec![b"INCR".to_vec(), b"k".to_vec()]],
        watches,
        user: b"ann".to_vec(),
        db: 3,
        ..Exec::default()
    };
    binds.step(
        now_ms,
        Input::Exec { id, keys: keys.iter().map(|name| key(name)).collect(), exec: Box::new(exec), forwarded: false },
    )
}

fn lead(binds: &mut Binds, name: &str, leader: Option<u64>, at: Stamp, now_ms: u64) {
    assert!(binds.step(now_ms, Input::Serialize { key: key(name), leader, stamp: at }).is_empty());
}

#[test]
fn three_aborts_in_a_row_name_a_leader() {
    let mut binds = Binds::new(1, TIMING);
    binds.step(0, peers(&[1, 2, 3], &[((1, 2), 90), ((1, 3), 20), ((2, 3), 20)]));
    let mut seq = 0;
    let mut one = |node, commit| {
        seq += 10;
        serialized(&decided(&mut binds, node, seq, commit))
    };
    assert_eq!(DEFAULT_SERIALIZATION_THRESHOLD, 3);
    assert_eq!([one(1, false), one(1, false), one(1, true)], [vec![], vec![], vec![]]);
    assert_eq!([one(1, false), one(1, false)], [vec![], vec![]], "the commit has ended the row");
    assert_eq!([one(2, true), one(3, false), one(3, false)], [vec![], vec![], vec![]], "others count their own");
    assert_eq!(one(1, false), [(key("k"), Some(3))], "node 3 is near to both others");
}

#[test]
fn three_that_could_not_begin_because_of_undecided_ones_name_a_leader() {
    let mut binds = Binds::new(1, TIMING);
    binds.step(0, peers(&[1, 2, 3], &[((1, 2), 90), ((1, 3), 20), ((2, 3), 20)]));
    let lost = |binds: &mut Binds, times| serialized(&binds.step(0, Input::Lost(key("k"), times)));
    assert_eq!(lost(&mut binds, 9), [], "there is nothing that would be in their way");
    let dot = Dot { origin: origin(2), seq: 5 };
    let keys = vec![KeyUse::written(key("k")), KeyUse::read(key("read"))];
    let voters = Voters::new(1..=3).expect("voters");
    let bind = Bind::new((dot, stamp(2, 5)), voters, &Vector::new(), keys, Safety::Safe).expect("two keys");
    binds.step(0, Input::Bind { bind: Arc::new(bind), conflicts_with_plain: false });
    assert_eq!([lost(&mut binds, 1), lost(&mut binds, 1)], [vec![], vec![]]);
    assert_eq!(serialized(&binds.step(0, Input::Lost(key("other"), 9))), []);
    assert_eq!(serialized(&binds.step(0, Input::Lost(key("read"), 9))), [], "it was not that key");
    assert_eq!(lost(&mut binds, 1), [(key("k"), Some(1))], "of nodes 1 and 2, which want it, the lower id");
    assert_eq!(lost(&mut binds, 2), []);
    lead(&mut binds, "k", Some(1), stamp(1, 6), 0);
    assert_eq!(lost(&mut binds, 9), [], "it is led");
}

#[test]
fn whoever_cannot_be_reached_leads_nobody() {
    let mut binds = Binds::new(3, TIMING);
    binds.step(0, peers(&[1, 2], &[((1, 3), 10), ((2, 3), 10)]));
    for node in 1..=2 {
        let dot = Dot { origin: origin(node), seq: 5 };
        let voters = Voters::new(1..=3).expect("voters");
        let keys = vec![KeyUse::written(key("k"))];
        let bind = Bind::new((dot, stamp(node, 5)), voters, &Vector::new(), keys, Safety::Safe).expect("a key");
        binds.step(0, Input::Bind { bind: Arc::new(bind), conflicts_with_plain: false });
    }
    binds.step(0, peers(&[2], &[((2, 3), 10)]));
    assert_eq!(serialized(&binds.step(0, Input::Lost(key("k"), 9))), [(key("k"), Some(2))], "node 1 is gone");
    binds.step(0, peers(&[], &[]));
    lead(&mut binds, "k", None, stamp(2, 7), 0);
    assert_eq!(serialized(&binds.step(0, Input::Lost(key("k"), 9))), [(key("k"), Some(3))], "only this one is left");
}

#[test]
fn the_leader_has_the_shortest_of_the_longest_round_trips() {
    let of = |nodes: &[u64], rtt_ms: &[((u64, u64), u64)]| {
        let peers = Peers { alive: BTreeSet::new(), rtt_ms: rtt_ms.iter().copied().collect() };
        choose_leader(&nodes.iter().copied().collect(), &peers)
    };
    assert_eq!(of(&[1, 2, 3], &[((1, 2), 10), ((2, 3), 50), ((1, 3), 40)]), Some(1));
    assert_eq!(of(&[1, 2, 3], &[((2, 3), 5)]), Some(1), "not known is worst, for all of them: the lowest id");
    assert_eq!(of(&[1, 2, 3], &[((1, 2), 9), ((2, 3), 5)]), Some(2), "only node 2 knows both");
    assert_eq!(of(&[4, 2], &[((2, 4), 9)]), Some(2), "equals: the lowest id");
    assert_eq!(of(&[], &[]), None);
}

#[test]
fn a_whole_exec_goes_to_the_leader_with_its_watches_and_user() {
    let mut binds = Binds::new(1, TIMING);
    binds.step(0, peers(&[2], &[]));
    lead(&mut binds, "k", Some(2), stamp(2, 1), 0);
    assert_eq!(exec(&mut binds, 0, 7, &["other"]), [Output::Run(7)]);
    let [Output::Forward { to: 2, id: 8, exec: whole }] = &exec(&mut binds, 0, 8, &["other", "k"])[..] else {
        panic!("it is forwarded");
    };
    assert_eq!((whole.watches.len(), &whole.user[..], whole.db, whole.commands.len()), (2, &b"ann"[..], 3, 1));
    assert_eq!((&whole.led[..], whole.turn), (&[key("k")][..], 9), "it queues for what is led");
    let gone = Output::Refuse(8, TxnError::TryAgain(Why::NoReply));
    assert!(binds.step(FORWARD_TIMEOUT_MS - 1, Input::Tick).is_empty());
    assert_eq!(binds.step(FORWARD_TIMEOUT_MS, Input::Tick), [gone], "nobody knows whether it ran");
    let sent = Exec::default();
    let input = Input::Exec { id: 5, keys: vec![key("k")], exec: Box::new(sent), forwarded: true };
    assert_eq!(binds.step(0, input), [Output::Run(5)], "what was sent here runs here");
    exec(&mut binds, FORWARD_TIMEOUT_MS, 9, &["k"]);
    assert!(binds.step(FORWARD_TIMEOUT_MS + 1, Input::Replied(9)).is_empty());
    assert!(binds.step(3 * FORWARD_TIMEOUT_MS, Input::Tick).is_empty(), "the reply has come");
}

#[test]
fn the_leader_itself_has_it_queue_and_of_several_leaders_the_lowest_leads_all() {
    let mut binds = Binds::new(1, TIMING);
    binds.step(0, peers(&[2], &[]));
    lead(&mut binds, "mine", Some(1), stamp(2, 1), 0);
    lead(&mut binds, "theirs", Some(2), stamp(2, 2), 0);
    let [Output::Lead { id: 1, exec: whole }] = &exec(&mut binds, 0, 1, &["mine", "other"])[..] else {
        panic!("it runs here");
    };
    assert_eq!(whole.led, [key("mine")]);
    let [Output::EmitSerialize(moved, Some(1)), Output::Lead { id: 2, exec: whole }] =
        &exec(&mut binds, 0, 2, &["theirs", "mine", "theirs"])[..]
    else {
        panic!("it runs here, and all of it in future");
    };
    assert_eq!((moved, &whole.led[..]), (&key("theirs"), &["theirs", "mine", "theirs"].map(key)[..]));
    lead(&mut binds, "theirs", Some(1), stamp(1, 3), 0);
    assert!(matches!(exec(&mut binds, 0, 3, &["theirs", "mine"])[..], [Output::Lead { id: 3, .. }]), "once");
    // Nor does a leader that is not the lowest keep what it has.
    lead(&mut binds, "high", Some(3), stamp(3, 4), 0);
    lead(&mut binds, "low", Some(2), stamp(3, 5), 0);
    binds.step(0, peers(&[2, 3], &[]));
    let moved = exec(&mut binds, 0, 4, &["high", "low", "mine"]);
    assert_eq!(serialized(&moved), [(key("high"), Some(1)), (key("low"), Some(1))]);
    let moved = exec(&mut binds, 0, 5, &["low", "high"]);
    assert_eq!(serialized(&moved), [(key("high"), Some(2))]);
    assert!(matches!(moved[..], [_, Output::Forward { to: 2, id: 5, .. }]));
}

#[test]
fn a_leader_that_does_not_answer_is_passed_over_and_released_once() {
    let mut binds = Binds::new(1, TIMING);
    binds.step(0, peers(&[3], &[]));
    lead(&mut binds, "k", Some(2), stamp(2, 1), 0);
    assert_eq!(exec(&mut binds, 0, 1, &["k"]), [Output::EmitSerialize(key("k"), None), Output::Run(1)]);
    assert_eq!(exec(&mut binds, 0, 2, &["k"]), [Output::Run(2)]);
    lead(&mut binds, "k", None, stamp(1, 2), 0);
    assert_eq!(binds.leader(&key("k")), None);
}

#[test]
fn a_quiet_key_is_released_by_its_leader() {
    let mut binds = Binds::new(1, TIMING);
    lead(&mut binds, "k", Some(1), stamp(2, 1), 0);
    assert!(matches!(exec(&mut binds, 1_000, 1, &["k"])[..], [Output::Lead { id: 1, .. }]));
    assert!(binds.step(1_000, Input::Replied(1)).is_empty());
    assert!(binds.step(QUIET_RELEASE_MS + 999, Input::Tick).is_empty(), "it was used meanwhile");
    let release = Output::EmitSerialize(key("k"), None);
    assert_eq!(binds.step(QUIET_RELEASE_MS + 1_000, Input::Tick), [release]);
    assert!(binds.step(QUIET_RELEASE_MS + 1_001, Input::Tick).is_empty(), "once");
}

#[test]
fn of_several_leaders_of_a_key_the_latest_counts_everywhere() {
    let of = |order: [usize; 3]| {
        let all = [(Some(2), stamp(2, 5)), (Some(3), stamp(3, 7)), (None, stamp(1, 6))];
        let mut binds = Binds::new(1, TIMING);
        order.into_iter().for_each(|at| lead(&mut binds, "k", all[at].0, all[at].1, 0));
        binds.leader(&key("k"))
    };
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        assert_eq!(of(order), Some(3));
    }
}
