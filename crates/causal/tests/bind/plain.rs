//! What a client can count on, one thing at a time.

use std::sync::Arc;

use causal::bind::{Ballot, Binds, Input, Key, KeyUse, Logged, Message, NodeId, Output, Refusal, TxnError, Why};
use effect::Dot;

use crate::cluster::{Cluster, TIMING, origin};

fn key(name: &str) -> Key {
    Key::named(name.as_bytes())
}

fn both(name: &str) -> Vec<KeyUse> {
    vec![KeyUse { read: true, ..KeyUse::written(key(name)) }]
}

fn cluster(n: u64) -> Cluster {
    Cluster::new(n, 7)
}

fn cut_off(cluster: &mut Cluster, nodes: impl IntoIterator<Item = NodeId>) {
    nodes.into_iter().for_each(|id| cluster.node(id).side = 1);
}

/// Lets time pass in which everybody tries what it can.
fn pass(cluster: &mut Cluster, ms: u64) {
    for _ in 0..ms / 50 {
        cluster.now_ms += 50;
        for id in cluster.ids() {
            if cluster.nodes[&id].up {
                cluster.step(id, Input::Tick);
            }
        }
        cluster.settle();
    }
}

#[test]
fn without_contention_the_quorum_commits_in_one_round_trip() {
    for n in 1..=9 {
        let mut cluster = cluster(n);
        let fast = cluster.voters.fast() as u64;
        cut_off(&mut cluster, fast + 1..=n);
        let dot = cluster.begin(1, both("k")).expect("nothing else is going on");
        for id in 2..=fast {
            assert!(cluster.apply_next(id, 1));
        }
        assert!(cluster.net.iter().all(|(_, to, message)| *to == 1 && matches!(message, Message::Voted { .. })));
        cluster.settle();
        assert_eq!(cluster.answers.get(&dot), Some(&Ok(())), "{n} voters");
        assert_eq!(cluster.verdicts[&dot].ballot.0, 0, "{n} voters");
    }
}

#[test]
fn a_bare_majority_commits() {
    for n in 1..=9 {
        let mut cluster = cluster(n);
        let majority = cluster.voters.majority() as u64;
        cut_off(&mut cluster, majority + 1..=n);
        let dot = cluster.begin(1, both("k")).expect("nothing else is going on");
        pass(&mut cluster, 500);
        assert_eq!(cluster.answers.get(&dot), Some(&Ok(())), "{n} voters");
    }
}

#[test]
fn without_a_majority_of_the_epoch_nothing_is_decided_however_long_the_others_are_silent() {
    for n in 2..=7 {
        let mut cluster = cluster(n);
        let minority = n - cluster.voters.majority() as u64;
        cut_off(&mut cluster, 1..=minority.max(1));
        let majority_left = n - minority.max(1) >= cluster.voters.majority() as u64;
        let dot = cluster.begin(1, both("k")).expect("nothing else is going on");
        pass(&mut cluster, 3_600_000);
        assert_eq!(cluster.answers.get(&dot), Some(&Err(TxnError::RegionPartitioned)), "{n} voters");
        assert!(cluster.verdicts.is_empty(), "{n} voters");
        let node = &cluster.nodes[&1].binds;
        assert!(node.is_open(&key("k")) && !node.is_open(&key("other")));
        if majority_left {
            let free = cluster.begin(n, both("k")).expect("the majority goes on");
            pass(&mut cluster, 500);
            assert_eq!(cluster.answers.get(&free), Some(&Ok(())), "{n} voters");
        }
        cluster.heal();
        cluster.agree();
        assert_eq!(cluster.verdicts[&dot].commit, !majority_left, "{n} voters: whoever was first to a majority");
        assert!(!cluster.nodes[&1].binds.is_open(&key("k")));
    }
}

#[test]
fn of_two_that_split_the_votes_fork_choice_commits_one() {
    for n in 2..=7 {
        let mut cluster = cluster(n);
        let a = cluster.begin(1, both("k")).expect("nothing else is going on");
        let b = cluster.begin(n, both("k")).expect("it has not heard of the other");
        for id in 2..n {
            assert!(cluster.apply_next(id, if id % 2 == 0 { 1 } else { n }));
        }
        pass(&mut cluster, 5_000);
        let committed = |dot: Dot| cluster.verdicts[&dot].commit;
        assert!(committed(a) != committed(b), "{n} voters: one of them");
        let winner = if cluster.binds[&a].rank() < cluster.binds[&b].rank() { a } else { b };
        let split = n > 2 && 1 + (n - 2) / 2 < cluster.voters.fast() as u64 && n % 2 == 0;
        assert!(!split || committed(winner), "{n} voters: neither had enough, so fork choice decides");
        let loser = if committed(a) { b } else { a };
        assert_eq!(cluster.answers[&loser], Err(TxnError::Lost));
    }
}

#[test]
fn of_many_competitors_each_is_decided_as_soon_as_another_is() {
    for n in 3..=7 {
        let mut cluster = cluster(n);
        let all: Vec<Dot> = (1..=n).map(|id| cluster.begin(id, both("k")).expect("nobody has heard")).collect();
        cluster.settle();
        let mut decided = all.iter().filter(|dot| cluster.verdicts.contains_key(dot)).count();
        assert!(decided > 0, "{n} voters: the highest ballot is overtaken by none");
        while decided < all.len() {
            pass(&mut cluster, 50);
            let before = decided;
            decided = all.iter().filter(|dot| cluster.verdicts.contains_key(dot)).count();
            assert!(decided > before, "{n} voters: {before} of them wait for what will not come");
        }
        assert_eq!(all.iter().filter(|dot| cluster.verdicts[dot].commit).count(), 1, "{n} voters");
    }
}

#[test]
fn what_may_have_been_committed_is_committed_by_those_who_are_left() {
    let mut cluster = cluster(5);
    let dot = cluster.begin(1, both("k")).expect("nothing else is going on");
    (2..=3).for_each(|id| assert!(cluster.apply_next(id, 1)));
    cluster.net.clear();
    cluster.node(1).up = false;
    cluster.node(2).up = false;
    pass(&mut cluster, 20_000);
    assert!(cluster.verdicts[&dot].commit, "its originator may have told its client");
}

#[test]
fn both_originators_and_a_minority_may_die() {
    for n in 5..=9 {
        for seed in 0..200 {
            let mut cluster = Cluster::new(n, seed);
            let dead = n - cluster.voters.majority() as u64;
            cluster.begin(1, both("k")).expect("nothing else is going on");
            cluster.begin(2, both("k")).expect("it has not heard of the other");
            for id in 3..=n {
                let first = 1 + cluster.rng.below(2) as u64;
                cluster.apply_next(id, first);
                cluster.apply_next(id, 3 - first);
            }
            let kept = cluster.rng.below(cluster.net.len());
            cluster.net.truncate(kept);
            (1..=dead).for_each(|id| cluster.node(id).up = false);
            pass(&mut cluster, 60_000);
            assert_eq!(cluster.verdicts.len(), 2, "{n} voters, seed {seed}: a majority is left");
        }
    }
}

#[test]
fn a_voter_that_holds_a_concurrent_plain_write_refuses() {
    let mut cluster = cluster(3);
    (2..=3).for_each(|id| cluster.write_plain(id, key("k")));
    let dot = cluster.begin(1, both("k")).expect("it has not heard of the writes");
    let other = cluster.begin(1, both("other")).expect("another key");
    pass(&mut cluster, 2_000);
    assert_eq!(cluster.answers.get(&dot), Some(&Err(TxnError::Lost)));
    assert_eq!(cluster.answers.get(&other), Some(&Ok(())));
}

#[test]
fn nothing_is_begun_over_what_is_undecided() {
    let mut cluster = cluster(3);
    cut_off(&mut cluster, [2, 3]);
    cluster.begin(1, vec![KeyUse::read(key("r")), KeyUse::written(key("w"))]).expect("nothing else is going on");
    let may = |keys: &[KeyUse]| cluster.nodes[&1].binds.may_begin(keys, &cluster.voters);
    assert_eq!(may(&[KeyUse::read(key("w"))]), Err(TxnError::Lost));
    assert_eq!(may(&[KeyUse::written(key("r"))]), Err(TxnError::Lost));
    assert_eq!(may(&[KeyUse::read(key("r")), KeyUse::written(key("x"))]), Ok(()));
    let without = causal::bind::Voters::new([2, 3]).expect("voters");
    assert_eq!(cluster.nodes[&1].binds.may_begin(&[], &without), Err(TxnError::TryAgain(Why::NoVoter)));
}

#[test]
fn one_after_the_other_is_no_competition() {
    let mut cluster = cluster(3);
    for round in 0..20 {
        let dot = cluster.begin(1 + round % 3, both("k")).expect("the one before is decided everywhere");
        cluster.settle();
        assert_eq!(cluster.verdicts.get(&dot).map(|vote| (vote.commit, vote.ballot.0)), Some((true, 0)));
    }
}

#[test]
fn what_is_stable_is_forgotten_and_does_not_come_back() {
    let mut cluster = cluster(3);
    cluster.audit = false;
    let mut late = Vec::new();
    for round in 0..50 {
        let id = 1 + round % 3;
        let dot = cluster.begin(id, both("k")).expect("the one before is decided everywhere");
        cluster.step(id % 3 + 1, Input::Recover(dot));
        late.extend(cluster.net.clone());
        cluster.heal();
        (1..=3).for_each(|id| cluster.write_plain(id, key("beat")));
        cluster.settle();
        (1..=3).for_each(|id| cluster.stable(id));
        for id in 1..=3 {
            assert!(cluster.nodes[&id].binds.counts().0 <= 2, "{:?}", cluster.nodes[&id].binds.counts());
        }
    }
    let before: Vec<usize> = cluster.nodes.values().map(|node| node.binds.counts().0).collect();
    cluster.net.extend(late);
    cluster.settle();
    let after: Vec<usize> = cluster.nodes.values().map(|node| node.binds.counts().0).collect();
    assert_eq!(before, after);
}

#[test]
fn a_committed_bind_is_remembered_while_a_competitor_is_undecided() {
    let mut cluster = cluster(3);
    cut_off(&mut cluster, [3]);
    let loser = cluster.begin(3, both("k")).expect("it is alone");
    let winner = cluster.begin(1, both("k")).expect("it has not heard of the other");
    cluster.settle();
    cluster.node(3).side = 0;
    for id in 1..=2 {
        assert!(cluster.apply_next(id, 3));
        let all = [1, 2, 3].map(|id| Dot { origin: origin(id), seq: cluster.written[&id].len() as u64 });
        cluster.step(id, Input::Stable(all.into_iter().collect()));
        assert_eq!(cluster.nodes[&id].binds.verdict(winner), Some(true));
    }
    cluster.heal();
    assert!(!cluster.verdicts[&loser].commit);
}

#[test]
fn no_ballot_is_used_twice_not_even_in_two_lives() {
    let mut cluster = cluster(3);
    let dot = cluster.begin(1, both("k")).expect("nothing else is going on");
    let mut last = None;
    for _ in 0..5 {
        cluster.step(1, Input::Recover(dot));
        let ballot = cluster.net.iter().filter_map(|(_, _, message)| match message {
            Message::Prepare { ballot, .. } => Some(*ballot),
            _ => None,
        });
        let ballot = ballot.max();
        assert!(ballot > last, "{ballot:?} after {last:?}");
        last = ballot;
        cluster.node(1).up = false;
        cluster.restart(1);
    }
}

#[test]
fn an_originator_refuses_competitors_of_its_bind_though_it_crashed_before_it_voted() {
    let mut cluster = cluster(3);
    let own = cluster.begin(1, both("k")).expect("nothing else is going on");
    let other = cluster.begin(2, both("k")).expect("it has not heard of the other");
    let [own, other] = [own, other].map(|dot| Arc::clone(&cluster.binds[&dot]));
    let mut node = Binds::restore(1, TIMING, 0, [Logged::Bind(own, false)]);
    let outputs = node.step(0, Input::Bind { bind: Arc::clone(&other), conflicts_with_plain: false });
    let (bind, ballot, cause) = (other.dot(), Ballot::ORIGINATOR, Refusal::Competitor);
    assert_eq!(outputs, [Output::Send(2, Message::Refused { bind, ballot, cause })]);
}

#[test]
fn a_dump_is_what_a_restart_needs() {
    let mut cluster = cluster(3);
    cut_off(&mut cluster, [3]);
    cluster.begin(3, both("k")).expect("it is alone");
    cluster.begin(1, both("k")).expect("it has not heard of the other");
    cluster.settle();
    for id in 1..=3 {
        let dump = cluster.nodes[&id].binds.dump();
        let again = Binds::restore(id, TIMING, 0, dump.clone());
        assert_eq!(again.dump(), dump);
        assert!(!dump.is_empty());
    }
    let bind = Arc::clone(cluster.binds.values().next().expect("two"));
    assert_eq!(bind.voters(), &cluster.voters);
}
