//! Two proposers, and a voter that crashes between them: the schedule in which a forgotten vote decides an epoch twice. By chance it
//! hardly ever comes about, so it is directed here.

use std::collections::VecDeque;

use causal::{Ballot, Change, Config, Epoch, Frame, Input, LinkId, Output, Record, Replica, Vote};
use effect::Origin;
use sim::Checks;
use sim::disk::Disk;

struct Voter {
    replica: Replica,
    disk: Disk,
}

/// Starts on a disk, in another life.
fn start(mut disk: Disk) -> Voter {
    disk.origin = Origin::new(disk.origin.node(), disk.origin.incarnation() + 1);
    Voter { replica: disk.open(Config::default()), disk }
}

/// Two voters that only hear each other, until they have no more to say. The first proposes. What was decided the other never hears.
fn decide(proposer: &mut Voter, other: &mut Voter, change: Change, checks: &mut Checks) {
    let link = LinkId(proposer.disk.origin.0);
    let mut inputs = VecDeque::from([(0, Input::Connected(link)), (1, Input::Connected(link))]);
    let mut proposal = Some((0, Input::Propose(change)));
    while let Some((at, input)) = inputs.pop_front().or_else(|| proposal.take()) {
        let voter = if at == 0 { &mut *proposer } else { &mut *other };
        for output in voter.replica.step(1_000_000, input) {
            match output {
                Output::Send(_, Frame::Decided(_)) => {}
                Output::Send(link, frame) => inputs.push_back((1 - at, Input::Received(link, frame))),
                Output::Persist(Record::Vote(vote)) => voter.disk.vote = vote,
                Output::Persist(Record::Epoch(epoch)) => {
                    checks.decided(&epoch);
                    voter.disk.epoch = epoch;
                }
                _ => {}
            }
        }
    }
}

/// The epoch behind the first one that has the node.
fn joined(node: u64) -> Epoch {
    Epoch::new(1, 1..=3).with(Change::Join(node)).expect("a change")
}

/// The first decides with the third, which crashes; then the second decides with it. What the check says, and what each decided.
fn decide_twice(forgets: bool) -> (Option<&'static str>, [Epoch; 2]) {
    let mut checks = Checks::default();
    let [mut first, mut second, mut third] = [1, 2, 3].map(|node| {
        let mut disk = Disk::new(node, Epoch::new(1, 1..=3));
        disk.origin = Origin::new(node, 0);
        start(disk)
    });
    decide(&mut first, &mut third, Change::Join(4), &mut checks);
    assert_eq!(first.disk.epoch, joined(4), "the first has a majority");
    assert_eq!(third.disk.epoch.number, 1, "the third has not heard of it");
    assert_eq!(third.disk.vote.promised, Ballot { round: 1, node: 1 });
    if forgets {
        third.disk.vote = Vote::default();
    }
    third = start(third.disk);
    decide(&mut second, &mut third, Change::Join(5), &mut checks);
    (checks.failed().map(|violation| violation.check), [first.disk.epoch, second.disk.epoch])
}

#[test]
fn a_voter_that_remembers_makes_the_second_decide_what_the_first_did() {
    let (violation, [first, second]) = decide_twice(false);
    assert_eq!((violation, first), (None, second));
}

#[test]
fn a_voter_that_forgets_its_vote_at_a_crash_is_caught() {
    let (violation, [first, second]) = decide_twice(true);
    assert_eq!(violation, Some("an epoch is decided once"));
    assert_eq!((first, second), (joined(4), joined(5)));
}
