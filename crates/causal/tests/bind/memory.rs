//! Voters that have lost their disks, members that have left, and epochs that have not been met.

use std::sync::Arc;

use causal::bind::{Bind, Binds, Input, Key, KeyUse, Logged, NodeId, Output, Safety, TxnError, Voters, Why};
use effect::{Dot, Hlc, Origin, Stamp, Vector};

use crate::cluster::{Cluster, TIMING, origin};

const NEVER: u16 = u16::MAX;

fn both(name: &str) -> Vec<KeyUse> {
    vec![KeyUse { read: true, ..KeyUse::written(Key::named(name.as_bytes())) }]
}

/// The node loses its records, and perhaps is told so.
fn lose_records(cluster: &mut Cluster, id: NodeId, says_so: bool) {
    let now_ms = cluster.now_ms;
    let node = cluster.node(id);
    node.log.retain(|item| !matches!(item, Logged::Record(_)));
    node.binds = Binds::restore(id, TIMING, now_ms, node.log.iter().cloned());
    if says_so {
        cluster.step(id, Input::Forgot(Origin::new(id, 2)));
    }
}

fn pass(cluster: &mut Cluster, ms: u64) {
    for _ in 0..ms / 50 {
        cluster.now_ms += 50;
        for id in cluster.ids() {
            cluster.step(id, Input::Tick);
        }
        cluster.settle();
    }
}

fn members(cluster: &mut Cluster, epoch: u64, all: &[NodeId]) {
    for id in all {
        let members = all.iter().copied().collect();
        cluster.step(*id, Input::Members { epoch, members, met: true });
    }
}

/// Node 3 votes for one, whose originator commits it, and loses its records; then a competitor that began before reaches it.
fn votes_again(says_so: bool) -> Cluster {
    let mut cluster = Cluster::new(3, 7);
    cluster.audit = false;
    cluster.node(2).side = 1;
    cluster.begin(1, both("k")).expect("nothing else is going on");
    cluster.settle();
    lose_records(&mut cluster, 3, says_so);
    // Its log has gone as well, in which the first was.
    cluster.node(3).log.clear();
    cluster.node(3).binds = Binds::new(3, TIMING);
    if says_so {
        cluster.step(3, Input::Forgot(Origin::new(3, 2)));
    }
    cluster.node(3).applied = Vector::new();
    cluster.node(1).side = 1;
    cluster.node(2).side = 0;
    cluster.begin(2, both("k")).expect("it has not heard of the other");
    cluster.settle();
    cluster
}

#[test]
#[should_panic(expected = "compete, and both are committed")]
fn a_voter_that_does_not_know_that_it_has_forgotten_commits_two_competitors() {
    votes_again(false);
}

#[test]
fn a_voter_that_has_forgotten_says_so_and_the_others_decide() {
    let mut cluster = votes_again(true);
    assert_eq!(cluster.verdicts.len(), 1, "the second has no majority");
    cluster.node(1).side = 0;
    pass(&mut cluster, 5_000);
    assert_eq!(cluster.verdicts.values().filter(|vote| vote.commit).count(), 1);
    assert_eq!(cluster.verdicts.len(), 2, "both have ended");
}

#[test]
fn its_vote_counts_again_on_what_has_observed_its_new_life() {
    for (life, counts) in [(1, true), (2, false)] {
        let mut cluster = Cluster::new(3, 7);
        cluster.node(2).side = 1;
        cluster.step(3, Input::Forgot(Origin::new(3, life)));
        cluster.write_plain(3, Key::named(b"other"));
        assert!(cluster.apply_next(1, 3));
        let dot = cluster.begin(1, both("k")).expect("nothing else is going on");
        pass(&mut cluster, 5_000);
        assert_eq!(cluster.answers[&dot].is_ok(), counts, "its writer has heard of its first life");
    }
}

#[test]
fn what_a_node_has_forgotten_it_does_not_know_after_a_restart_either() {
    let mut cluster = Cluster::new(3, 7);
    cluster.node(2).side = 1;
    cluster.step(3, Input::Forgot(Origin::new(3, NEVER)));
    cluster.step(3, Input::Members { epoch: 4, members: [1, 2, 3].into(), met: true });
    cluster.step(3, Input::Forgot(Origin::new(3, 2)));
    let again = Binds::restore(3, TIMING, cluster.now_ms, cluster.nodes[&3].binds.dump());
    assert_eq!(again.dump(), cluster.nodes[&3].binds.dump());
    cluster.node(3).up = false;
    cluster.restart(3);
    let dot = cluster.begin(1, both("k")).expect("nothing else is going on");
    pass(&mut cluster, 5_000);
    assert_eq!(cluster.answers[&dot], Err(TxnError::RegionPartitioned));
    assert!(cluster.verdicts.is_empty());
}

#[test]
fn where_those_that_remember_are_no_majority_all_voters_decide() {
    for (n, lost) in [(2, 1), (4, 2), (6, 3)] {
        let mut cluster = Cluster::new(n, 7);
        cluster.audit = false;
        let dot = cluster.begin(1, both("k")).expect("nothing else is going on");
        let last = n - lost + 1..=n;
        // They vote, and their votes are lost with their disks: perhaps the originator had them.
        last.clone().for_each(|id| assert!(cluster.apply_next(id, 1)));
        cluster.net.clear();
        last.clone().for_each(|id| lose_records(&mut cluster, id, true));
        cluster.node(n).side = 1;
        pass(&mut cluster, 10_000);
        assert!(cluster.verdicts.is_empty(), "{n} voters: one of them is not there");
        cluster.node(n).side = 0;
        pass(&mut cluster, 60_000);
        assert!(cluster.verdicts.contains_key(&dot), "{n} voters");
    }
}

#[test]
fn one_that_has_left_is_not_waited_for() {
    let mut cluster = Cluster::new(2, 7);
    let dot = cluster.begin(1, both("k")).expect("nothing else is going on");
    cluster.node(2).side = 1;
    pass(&mut cluster, 10_000);
    assert!(cluster.verdicts.is_empty());
    members(&mut cluster, 2, &[1]);
    cluster.left = 1;
    pass(&mut cluster, 20_000);
    assert!(cluster.verdicts[&dot].commit, "the other may have been told so by its vote");
}

#[test]
fn what_everybody_has_forgotten_is_given_up() {
    for n in 1..=3 {
        let mut cluster = Cluster::new(n, 7);
        cluster.audit = false;
        let ids = cluster.ids();
        let dot = Dot { origin: origin(1), seq: 1 };
        let bind = Bind::new(
            (dot, Stamp::new(dot, Hlc::at_ms(1))),
            cluster.voters.clone(),
            &Vector::new(),
            both("k"),
            Safety::Safe,
        );
        let bind = Arc::new(bind.expect("few keys"));
        cluster.binds.insert(dot, Arc::clone(&bind));
        for id in &ids {
            cluster.node(*id).log.push(Logged::Bind(Arc::clone(&bind), false));
            lose_records(&mut cluster, *id, true);
        }
        members(&mut cluster, 1, &ids);
        for _ in 0..20 {
            cluster.now_ms += 500;
            for id in &ids {
                let now_ms = cluster.now_ms;
                for output in cluster.node(*id).binds.step(now_ms, Input::Tick) {
                    if let Output::Send(to, message) = output {
                        cluster.net.push((*id, to, message));
                    }
                }
            }
            while let Some((from, to, message)) = cluster.net.pop() {
                let now_ms = cluster.now_ms;
                let out = cluster.node(to).binds.step(now_ms, Input::Message(from, message));
                let sent = out.into_iter().filter_map(|output| match output {
                    Output::Send(next, message) => Some((to, next, message)),
                    _ => None,
                });
                cluster.net.extend(sent);
            }
        }
        let verdicts: Vec<Option<bool>> = ids.iter().map(|id| cluster.nodes[id].binds.verdict(dot)).collect();
        assert!(verdicts.iter().all(|verdict| *verdict == Some(false)), "{n} voters: {verdicts:?}");
    }
}

/// Epochs {1, 2, 3}, {1, 2, 3, 4}, {1, 2, 4}: of the first 2 and 3 are a majority, of the last 1 and 4 are. Node 1 begins, and may have met
/// node 2 in its epoch.
fn begins_in_a_later_epoch(met: bool) -> Result<(), TxnError> {
    let mut cluster = Cluster::new(4, 7);
    cluster.audit = false;
    cluster.voters = Voters::new([1, 2, 3]).expect("three");
    [1, 4].into_iter().for_each(|id| cluster.node(id).side = 1);
    cluster.begin(2, both("k")).expect("nothing else is going on");
    cluster.settle();
    assert_eq!(cluster.verdicts.len(), 1, "two of three");
    cluster.voters = Voters::new([1, 2, 4]).expect("three");
    cluster.step(1, Input::Members { epoch: 3, members: [1, 2, 4].into(), met });
    let may = cluster.nodes[&1].binds.may_begin(&both("k"), &cluster.voters);
    if may.is_ok() {
        cluster.begin(1, both("k"));
        cluster.settle();
    }
    may
}

#[test]
#[should_panic(expected = "compete, and both are committed")]
fn competitors_of_two_epochs_that_have_not_met_may_both_commit() {
    let _ = begins_in_a_later_epoch(true);
}

#[test]
fn nothing_is_begun_before_the_members_of_the_epoch_have_been_met() {
    assert_eq!(begins_in_a_later_epoch(false), Err(TxnError::TryAgain(Why::NoVoter)));
}
