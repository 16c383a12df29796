//! Right histories pass; each thing that must not be seen is found, in a history of a few steps and in those of a broken group.

use std::collections::BTreeSet;

use super::super::model::{Fault, history};
use super::super::{Element, History, Key, Op, Outcome, Session, Txn};
use super::check;
use crate::history::anomaly::Anomaly;

fn done(ops: Vec<Op>) -> Txn {
    Txn { ops, outcome: Outcome::Done, connection: 0 }
}

fn open(connection: u32, ops: Vec<Op>) -> Txn {
    Txn { ops, outcome: Outcome::Unknown, connection }
}

fn a(key: Key, element: Element) -> Op {
    Op::Append(key, element)
}

fn r(key: Key, list: &[Element]) -> Op {
    Op::Read(key, list.to_vec())
}

/// The word of what was found, if it is one thing.
fn found(sessions: Vec<Session>, last: &[&[(Key, &[Element])]]) -> String {
    let lists = |node: &&[(Key, &[Element])]| node.iter().map(|&(key, list)| (key, list.to_vec())).collect();
    let words = words(&History { sessions, last: last.iter().map(lists).collect() });
    words.into_iter().collect::<Vec<_>>().join(" ")
}

fn words(history: &History) -> BTreeSet<String> {
    let word = |anomaly: Anomaly| match anomaly {
        Anomaly::Missing { breach, .. } => format!("{breach:?}"),
        other => format!("{other:?}").split([' ', '(']).next().unwrap_or_default().to_owned(),
    };
    check(history).into_iter().map(word).collect()
}

#[test]
fn histories_of_replicas_that_keep_their_promises_are_right() {
    for seed in 0..300 {
        let history = history(seed, Fault::None, (2 + seed as usize % 3, 3 + seed as usize % 5, 120));
        assert_eq!(check(&history), [], "seed {seed}");
    }
}

#[test]
fn each_broken_promise_of_a_group_is_found() {
    for (fault, expected) in [
        (Fault::NoWaiting, &["Causality", "WritesFollowReads", "NotBehind"][..]),
        (Fault::Pieces, &["Atomic"]),
        (Fault::Twice, &["Twice", "Diverged"]),
        (Fault::Hole, &["Lost", "Diverged", "MonotonicWrites", "WritesFollowReads"]),
        (Fault::Forgetful, &["Lost", "ReadYourWrites", "MonotonicWrites"]),
        (Fault::SeenTooEarly, &["Lost", "Diverged", "ReadYourWrites", "MonotonicReads"]),
        (Fault::Renumbered, &["Diverged", "Reordered", "NotBehind"]),
        (Fault::Front, &["NotBehind"]),
        (Fault::RefusedDone, &["Aborted"]),
        (Fault::Wanders, &["ReadYourWrites", "MonotonicReads"]),
    ] {
        let all = (0..40).map(|seed| words(&history(seed, fault, (3, 6, 120))));
        let seen: BTreeSet<String> = all.flatten().collect();
        for word in expected {
            assert!(seen.contains(*word), "{fault:?} was seen as {seen:?}, and not as {word}");
        }
        let without = (0..40).filter(|&seed| check(&history(seed, fault, (3, 6, 120))).is_empty()).count();
        assert!(without < 20, "{fault:?} was not seen in {without} of 40 histories");
    }
}

#[test]
fn an_element_of_nobody_one_of_a_refused_writer_and_one_twice() {
    assert_eq!(found(vec![vec![done(vec![r(1, &[5])])]], &[]), "Unwritten");
    assert_eq!(found(vec![vec![done(vec![a(2, 5)]), done(vec![r(1, &[5])])]], &[]), "Unwritten");
    let refused = Txn { outcome: Outcome::Refused, ..done(vec![a(1, 5)]) };
    assert_eq!(found(vec![vec![refused.clone()], vec![done(vec![r(1, &[5])])]], &[]), "Aborted");
    assert_eq!(found(vec![vec![refused.clone()]], &[&[(1, &[5])]]), "Aborted");
    assert_eq!(found(vec![vec![refused]], &[&[(1, &[])]]), "");
    assert_eq!(found(vec![vec![done(vec![a(1, 5)])], vec![done(vec![r(1, &[5, 5])])]], &[]), "Twice");
}

#[test]
fn a_transaction_sees_its_own_steps_up_to_where_it_is() {
    assert_eq!(found(vec![vec![done(vec![r(1, &[]), a(1, 5), r(1, &[5]), a(1, 6)])]], &[]), "");
    assert_eq!(found(vec![vec![done(vec![a(1, 5), r(1, &[])])]], &[]), "Internal");
    assert_eq!(found(vec![vec![done(vec![r(1, &[5]), a(1, 5)])]], &[]), "Internal");
}

#[test]
fn a_transaction_is_seen_whole() {
    let writer = vec![done(vec![a(1, 5), a(2, 6), a(1, 7)])];
    assert_eq!(found(vec![writer.clone(), vec![done(vec![r(1, &[5, 7]), r(2, &[6])])]], &[]), "");
    assert_eq!(found(vec![writer.clone(), vec![done(vec![r(1, &[5])])]], &[]), "Atomic");
    assert_eq!(found(vec![writer.clone(), vec![done(vec![r(2, &[]), r(1, &[5, 7])])]], &[]), "Atomic");
    // One that nobody was told of may be there or not, but not by halves.
    let unanswered = vec![open(0, vec![a(1, 5), a(2, 6)])];
    assert_eq!(found(vec![unanswered.clone()], &[&[(1, &[]), (2, &[])]]), "");
    assert_eq!(found(vec![unanswered.clone()], &[&[(1, &[5]), (2, &[6])]]), "");
    assert_eq!(found(vec![unanswered], &[&[(1, &[5]), (2, &[])]]), "Atomic");
}

#[test]
fn the_four_guarantees_of_a_session() {
    assert_eq!(found(vec![vec![done(vec![a(1, 5)]), done(vec![r(1, &[])])]], &[]), "ReadYourWrites");
    let writer = vec![done(vec![a(1, 5)]), done(vec![a(2, 6)])];
    let reads = vec![done(vec![r(1, &[5])]), done(vec![r(1, &[])])];
    assert_eq!(found(vec![writer.clone(), reads], &[]), "MonotonicReads");
    assert_eq!(found(vec![writer.clone(), vec![done(vec![r(2, &[6]), r(1, &[])])]], &[]), "MonotonicWrites");
    let follows = vec![done(vec![r(1, &[5])]), done(vec![a(3, 7)])];
    let reader = vec![done(vec![r(3, &[7])]), done(vec![r(1, &[])])];
    assert_eq!(found(vec![writer.clone(), follows.clone(), reader], &[]), "Causality");
    assert_eq!(found(vec![writer.clone(), follows, vec![done(vec![r(3, &[7]), r(1, &[])])]], &[]), "WritesFollowReads");
    // Nobody has to see what others do not tell of.
    assert_eq!(found(vec![writer, vec![done(vec![r(1, &[])])], vec![done(vec![r(2, &[])])]], &[]), "");
}

#[test]
fn a_longer_path_binds_as_a_short_one() {
    let chain = |upto: u64| -> Vec<Session> {
        let link = |n| vec![done(vec![r(n, &[n])]), done(vec![a(n + 1, n + 1)])];
        std::iter::once(vec![done(vec![a(1, 1)])]).chain((1..upto).map(link)).collect()
    };
    let mut sessions = chain(5);
    sessions.push(vec![done(vec![r(5, &[5]), r(1, &[])])]);
    assert_eq!(found(sessions, &[]), "Causality");
}

#[test]
fn what_was_not_answered_may_be_done_after_later_ones_of_its_session_but_in_order_on_its_connection() {
    let session = vec![open(0, vec![a(1, 5)]), open(0, vec![a(2, 6)]), Txn { connection: 1, ..done(vec![r(1, &[])]) }];
    // Neither is seen: neither was done.
    assert_eq!(found(vec![session.clone()], &[&[(1, &[]), (2, &[])]]), "");
    // It was done after the read on the next connection.
    assert_eq!(found(vec![session.clone()], &[&[(1, &[5]), (2, &[])]]), "");
    // The second was done, so the first was as well.
    assert_eq!(found(vec![session.clone()], &[&[(1, &[]), (2, &[6])]]), "Lost");
    let both = vec![done(vec![r(2, &[6]), r(1, &[])])];
    assert_eq!(found(vec![session, both], &[&[(1, &[5]), (2, &[6])]]), "MonotonicWrites");
    // What was answered before it is in its past.
    let session = vec![done(vec![a(3, 7)]), open(0, vec![a(1, 5)])];
    assert_eq!(found(vec![session, vec![done(vec![r(1, &[5]), r(3, &[])])]], &[]), "MonotonicWrites");
}

#[test]
fn nobody_reads_from_the_future() {
    let one = vec![done(vec![r(1, &[5]), a(2, 6)])];
    let other = vec![done(vec![r(2, &[6]), a(1, 5)])];
    assert_eq!(found(vec![one, other], &[]), "Cycle");
    let one = vec![done(vec![r(1, &[5])]), done(vec![a(2, 6)])];
    let other = vec![done(vec![r(2, &[6])]), done(vec![a(1, 5)])];
    assert_eq!(found(vec![one, other], &[]), "Cycle");
}

#[test]
fn places_are_kept_and_an_append_is_behind_what_its_writer_saw() {
    let two = [vec![done(vec![a(1, 5)])], vec![done(vec![a(1, 6)])]];
    let with = |reads: &[&[Element]]| {
        let read = |list: &&[Element]| vec![done(vec![r(1, list)])];
        two.iter().cloned().chain(reads.iter().map(read)).collect::<Vec<_>>()
    };
    // Concurrent ones come between, so a read is no prefix.
    assert_eq!(found(with(&[&[6], &[5, 6]]), &[&[(1, &[5, 6])]]), "");
    assert_eq!(found(with(&[&[6, 5]]), &[&[(1, &[5, 6])]]), "Reordered");
    let saw = |first: Op| vec![two[0].clone(), vec![done(vec![first]), done(vec![a(1, 6)])]];
    assert_eq!(found(saw(r(1, &[5])), &[&[(1, &[5, 6])]]), "");
    assert_eq!(found(saw(r(1, &[5])), &[&[(1, &[6, 5])]]), "NotBehind");
    assert_eq!(found(saw(r(1, &[])), &[&[(1, &[6, 5])]]), "");
    assert_eq!(found(vec![vec![done(vec![a(1, 5), a(1, 6)])]], &[&[(1, &[6, 5])]]), "NotBehind");
}

#[test]
fn at_last_all_nodes_are_equal_and_nothing_is_lost() {
    let two = vec![vec![done(vec![a(1, 5)])], vec![done(vec![a(1, 6)])]];
    let all: &[(Key, &[Element])] = &[(1, &[5, 6])];
    assert_eq!(found(two.clone(), &[all, all, all]), "");
    assert_eq!(found(two.clone(), &[all, &[(1, &[6, 5])]]), "Diverged");
    assert_eq!(found(two.clone(), &[&[(1, &[5])], &[(1, &[5])]]), "Lost");
    assert_eq!(found(two.clone(), &[all, &[(1, &[5])]]), "Diverged Lost");
    assert_eq!(found(two.clone(), &[all, &[]]), "Diverged Lost");
    // Seen by somebody is as good as acknowledged.
    let seen = vec![vec![open(0, vec![a(1, 5)])], vec![done(vec![r(1, &[5])])]];
    assert_eq!(found(seen, &[&[(1, &[])]]), "Lost");
}
