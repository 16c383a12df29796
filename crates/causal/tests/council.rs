//! What members that come, leave and crash could do wrong, step by step.

use std::collections::BTreeMap;

use causal::{Change, Config, Cut, Epoch, Frame, Hello, Input, LinkId, Opening, Output, Record, Replica, Start};
use causal::{Statement, Vote};
use effect::{Dot, GroupId, Hlc, Origin, Vector};

const PEER: LinkId = LinkId(1);
const THIRD: LinkId = LinkId(2);

fn vector(dots: &[(Origin, u64)]) -> Vector {
    dots.iter().map(|(origin, seq)| Dot { origin: *origin, seq: *seq }).collect()
}

/// Node 1, which finds this on its disk.
fn open(start: Start, applied: Vector, epoch: Epoch) -> Replica {
    let (heads, contexts, cut) = (BTreeMap::new(), BTreeMap::new(), Cut::default());
    let origin = Origin::new(1, 1);
    Replica::open(
        Config::default(),
        Opening { origin, start, applied, heads, contexts, cut, epoch, vote: Vote::default() },
    )
}

fn hello(origin: Origin, epoch: Epoch) -> Frame {
    let (group, applied, lives, vote) = (GroupId(0), Vector::new(), Vec::new(), Vote::default());
    Frame::Hello(Hello { group, origin, epoch, applied, lives, window: 1 << 20, vote })
}

/// A connection opens and somebody speaks.
fn meet(replica: &mut Replica, link: LinkId, hello: Frame) -> Vec<Output> {
    replica.step(0, Input::Connected(link));
    hear(replica, link, hello)
}

fn hear(replica: &mut Replica, link: LinkId, frame: Frame) -> Vec<Output> {
    let out = replica.step(0, Input::Received(link, frame));
    replica.validate(0);
    out
}

fn closes(out: &[Output], link: LinkId) -> bool {
    out.iter().any(|output| matches!(output, Output::Close(id, _) if *id == link))
}

#[test]
fn one_that_is_dropped_before_it_has_an_origin_still_takes_one() {
    let mut replica = open(Start::Restored, Vector::new(), Epoch::new(1, [1, 2, 3]));
    let out = meet(&mut replica, PEER, hello(Origin::new(2, 1), Epoch::new(2, [2])));
    assert_eq!(replica.epoch().number, 2);
    let takes = |output: &Output| matches!(output, Output::Persist(Record::Life(origin)) if origin.node() == 1);
    assert!(out.iter().any(takes), "{out:?}");
}

#[test]
fn after_a_restart_nobody_leaves_whose_effects_those_that_stay_may_lack() {
    let (me, peer, group) = (Origin::new(1, 1), Origin::new(2, 1), Epoch::new(1, [1, 2]));
    let proposes = |durable: Vector| {
        let mut replica = open(Start::Sound, vector(&[(me, 5)]), group.clone());
        meet(&mut replica, PEER, hello(peer, group.clone()));
        let (lives, sent_ms, echo) = (Vec::new(), 0, None);
        let said = Statement { seq: 0, hlc: Hlc(1), durable, lives, epoch: 1, sent_ms, echo };
        hear(&mut replica, PEER, Frame::Statement(said));
        let out = replica.step(0, Input::Propose(Change::Leave(1)));
        out.iter().any(|output| matches!(output, Output::Send(PEER, Frame::Motion(_))))
    };
    assert!(!proposes(vector(&[(me, 4)])));
    assert!(proposes(vector(&[(me, 5)])));
}

#[test]
fn one_that_spoke_before_it_came_back_is_not_heard() {
    let (peer, third) = (Origin::new(2, 1), Origin::new(3, 1));
    let mut replica = open(Start::Sound, Vector::new(), Epoch::new(1, [1, 2, 3]));
    meet(&mut replica, THIRD, hello(third, Epoch::new(1, [1, 2, 3])));
    hear(&mut replica, THIRD, Frame::Decided(Epoch::new(2, [1, 3])));
    let out = meet(&mut replica, PEER, hello(peer, Epoch::new(1, [1, 2, 3])));
    assert!(!closes(&out, PEER), "it may hear its end");
    let back = Epoch::new(2, [1, 3]).with(Change::Join(2)).expect("a change");
    let out = hear(&mut replica, THIRD, Frame::Decided(back.clone()));
    assert!(closes(&out, PEER) && !closes(&out, THIRD));
    let out = meet(&mut replica, LinkId(8), hello(peer, Epoch::new(1, [1, 2, 3])));
    assert!(closes(&out, LinkId(8)), "what is late comes from before");
    let out = meet(&mut replica, LinkId(9), hello(Origin::new(2, 2), back));
    assert!(!closes(&out, LinkId(9)));
}

/// What it wrote and nobody heard of is below what has become stable without it.
#[test]
fn one_that_left_and_came_back_without_knowing_takes_leave_first() {
    let (me, peer) = (Origin::new(1, 1), Origin::new(2, 1));
    let first = Epoch::new(1, [1, 2, 3]);
    let back = first.with(Change::Leave(1)).and_then(|left| left.with(Change::Join(1))).expect("changes");
    for start in [Start::Sound, Start::Restored] {
        let mut replica = open(start, vector(&[(me, 5), (peer, 1)]), first.clone());
        let out = meet(&mut replica, PEER, hello(peer, back.clone()));
        assert!(replica.is_outside() && !replica.may_write());
        let noted = |output: &Output| match output {
            Output::Persist(Record::Epoch(epoch)) => Some((epoch.number, epoch.has(1))),
            _ => None,
        };
        assert_eq!(
            out.iter().filter_map(noted).collect::<Vec<_>>(),
            [(0, false)],
            "a start does not believe it either"
        );
        let (mut told, said) = (Vec::new(), |durable: Vector| {
            let (lives, sent_ms, echo) = (Vec::new(), 0, None);
            Frame::Statement(Statement { seq: 0, hlc: Hlc(1), durable, lives, epoch: 3, sent_ms, echo })
        });
        for (link, node) in [(PEER, peer), (THIRD, Origin::new(3, 1))] {
            told.extend(meet(&mut replica, link, hello(node, back.clone())));
            told.extend(hear(&mut replica, link, said(vector(&[(me, 3), (peer, 1)]))));
        }
        let is_life = |output: &Output| matches!(output, Output::Persist(Record::Life(_)) | Output::Writable(_));
        assert!(!told.iter().any(is_life), "{told:?}");
        let farewell = told.iter().find_map(|output| match output {
            Output::Farewell(undelivered) => Some(undelivered.clone()),
            _ => None,
        });
        assert_eq!(farewell, Some(vec![Dot { origin: me, seq: 4 }]));
        let again = hear(&mut replica, PEER, said(vector(&[(me, 3), (peer, 1)])));
        assert!(!again.iter().any(|output| matches!(output, Output::Farewell(_))), "once");
        assert!(replica.is_outside() && !replica.may_write(), "its state is to be given up");
    }
}

#[test]
fn an_epoch_is_met_once_all_of_its_members_have_spoken_in_it_and_what_they_had_is_here() {
    let (me, peer, third) = (Origin::new(1, 1), Origin::new(2, 1), Origin::new(3, 1));
    let group = Epoch::new(2, [1, 2, 3]);
    let mut replica = open(Start::Sound, vector(&[(me, 5)]), group.clone());
    meet(&mut replica, PEER, hello(peer, group.clone()));
    meet(&mut replica, THIRD, hello(third, group.clone()));
    let says = |epoch, durable: Vector| {
        let lives = vec![(1, 1), (2, 1), (3, 1)];
        Frame::Statement(Statement { seq: 0, hlc: Hlc(1), durable, lives, epoch, sent_ms: 0, echo: None })
    };
    hear(&mut replica, PEER, says(2, vector(&[(me, 5)])));
    assert!(!replica.has_met_all(), "the third has not spoken");
    hear(&mut replica, THIRD, says(1, Vector::new()));
    assert!(!replica.has_met_all(), "the third is in an earlier epoch");
    hear(&mut replica, THIRD, says(2, vector(&[(third, 1)])));
    assert!(!replica.has_met_all(), "the third had what is not here");
    let entry = causal::Entry {
        first: Dot { origin: third, seq: 1 },
        count: 1,
        hlc: Hlc(1),
        ticks: 0,
        grown: Vector::new(),
        bytes: vec![1].into(),
    };
    hear(&mut replica, THIRD, Frame::Batches(vec![entry]));
    assert!(!replica.has_met_all(), "a crash would take it away");
    replica.step(0, Input::Synced(vector(&[(third, 1)])));
    assert!(replica.has_met_all());
    hear(&mut replica, PEER, Frame::Decided(Epoch::new(3, [1, 2, 3, 4])));
    assert!(!replica.has_met_all(), "it is another epoch");
}

#[test]
fn a_restored_node_writes_once_what_the_members_have_is_on_its_disk() {
    let (me, peer, group) = (Origin::new(1, 17), Origin::new(2, 1), Epoch::new(1, [1, 2]));
    let mut replica = open(Start::Restored, Vector::new(), group.clone());
    meet(&mut replica, PEER, hello(peer, group.clone()));
    assert_eq!(replica.origin(), me, "all members have spoken");
    meet(&mut replica, THIRD, hello(peer, group));
    let (durable, lives) = (vector(&[(peer, 1)]), vec![(1, 17), (2, 1)]);
    let said = Statement { seq: 1, hlc: Hlc(2), durable, lives, epoch: 1, sent_ms: 0, echo: None };
    hear(&mut replica, THIRD, Frame::Statement(said));
    let first = Dot { origin: peer, seq: 1 };
    let (grown, bytes) = (Vector::new(), vec![1].into());
    let entry = causal::Entry { first, count: 1, hlc: Hlc(1), ticks: 0, grown, bytes };
    hear(&mut replica, THIRD, Frame::Batches(vec![entry]));
    assert!(replica.applied().has(first) && !replica.may_write(), "a crash would take it away");
    replica.step(0, Input::Synced(vector(&[(peer, 1)])));
    assert!(replica.may_write());
}
