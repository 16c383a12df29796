//! Right histories pass; two of competitors, halves and what has gone are found.

use std::collections::{BTreeMap, BTreeSet};

use super::{Exclusive, Exclusives, Version, check};
use crate::history::anomaly::Anomaly;
use crate::history::{Key, Outcome};
use crate::rng::Rng;

type Versions<'a> = &'a [(Key, Version)];

fn t(outcome: Outcome, saw: Versions<'_>, wrote: Versions<'_>) -> Exclusive {
    Exclusive { saw: saw.to_vec(), wrote: wrote.to_vec(), outcome }
}

fn done(saw: Versions<'_>, wrote: Versions<'_>) -> Exclusive {
    t(Outcome::Done, saw, wrote)
}

fn words(history: &Exclusives) -> BTreeSet<String> {
    let word = |anomaly: Anomaly| match anomaly {
        Anomaly::Missing { breach, .. } => format!("{breach:?}"),
        other => format!("{other:?}").split([' ', '(']).next().unwrap_or_default().to_owned(),
    };
    check(history).into_iter().map(word).collect()
}

fn found(sessions: Vec<Vec<Exclusive>>, last: &[&[(Key, &[Version])]]) -> String {
    let lists = |node: &&[(Key, &[Version])]| node.iter().map(|&(key, versions)| (key, versions.to_vec())).collect();
    let words = words(&Exclusives { sessions, last: last.iter().map(lists).collect() });
    words.into_iter().collect::<Vec<_>>().join(" ")
}

#[test]
fn one_after_the_other_is_right_and_the_last_version_leads_back_to_all() {
    let sessions = vec![vec![done(&[(1, 0)], &[(1, 5)]), done(&[(1, 6)], &[(1, 7)])], vec![done(&[(1, 5)], &[(1, 6)])]];
    assert_eq!(found(sessions.clone(), &[&[(1, &[7])], &[(1, &[7])]]), "");
    assert_eq!(found(sessions.clone(), &[&[(1, &[5, 6, 7])]]), "");
    assert_eq!(found(sessions.clone(), &[&[(1, &[7])], &[(1, &[6])]]), "Diverged Lost");
    assert_eq!(found(sessions.clone(), &[&[(1, &[6, 5, 7])]]), "Lost Reordered");
    assert_eq!(found(sessions.clone(), &[&[(1, &[9, 5, 6, 7])]]), "Reordered");
    assert_eq!(found(sessions, &[&[(1, &[])]]), "Lost");
}

#[test]
fn two_that_replaced_the_same_version() {
    let sessions = vec![vec![done(&[(1, 0)], &[(1, 5)])], vec![done(&[(1, 0)], &[(1, 6)])]];
    assert_eq!(found(sessions.clone(), &[]), "LostUpdate");
    assert_eq!(found(sessions, &[&[(1, &[6])]]), "Lost LostUpdate");
    // One of them was refused, or nobody knows and nobody saw it.
    for outcome in [Outcome::Refused, Outcome::Unknown] {
        let sessions = vec![vec![t(outcome, &[(1, 0)], &[(1, 5)])], vec![done(&[(1, 0)], &[(1, 6)])]];
        assert_eq!(found(sessions, &[&[(1, &[6])]]), "");
    }
    let sessions = vec![
        vec![t(Outcome::Unknown, &[(1, 0)], &[(1, 5)])],
        vec![done(&[(1, 0)], &[(1, 6)])],
        vec![t(Outcome::Refused, &[(1, 5)], &[(1, 7)])],
    ];
    assert_eq!(found(sessions, &[&[(1, &[6])]]), "Lost LostUpdate");
}

#[test]
fn two_each_of_which_read_what_the_other_replaced() {
    let skew = |second: Outcome| {
        let both = &[(1, 0), (2, 0)];
        vec![vec![done(both, &[(1, 5)])], vec![t(second, both, &[(2, 6)])]]
    };
    assert_eq!(found(skew(Outcome::Done), &[&[(1, &[5]), (2, &[6])]]), "Cycle");
    assert_eq!(found(skew(Outcome::Refused), &[&[(1, &[5]), (2, &[])]]), "");
    // Both only read what the other did not write.
    let apart = vec![vec![done(&[(1, 0), (3, 0)], &[(1, 5)])], vec![done(&[(2, 0), (3, 0)], &[(2, 6)])]];
    assert_eq!(found(apart, &[&[(1, &[5]), (2, &[6]), (3, &[])]]), "");
}

#[test]
fn a_session_knows_what_it_was_told_is_done() {
    let stale = |first: Outcome| {
        vec![vec![t(first, &[(1, 0)], &[(1, 5)]), done(&[(1, 0), (2, 0)], &[(2, 6)])], vec![done(&[(1, 5)], &[(1, 7)])]]
    };
    assert_eq!(found(stale(Outcome::Done), &[]), "Cycle");
    // It was done later than it was sent.
    assert_eq!(found(stale(Outcome::Unknown), &[]), "");
}

#[test]
fn halves_what_was_refused_and_what_nobody_wrote() {
    let two = |outcome| vec![vec![t(outcome, &[(1, 0), (2, 0)], &[(1, 5), (2, 6)])]];
    assert_eq!(found(two(Outcome::Unknown), &[&[(1, &[5]), (2, &[6])]]), "");
    assert_eq!(found(two(Outcome::Unknown), &[&[(1, &[]), (2, &[])]]), "");
    assert_eq!(found(two(Outcome::Unknown), &[&[(1, &[5]), (2, &[])]]), "Atomic");
    assert_eq!(found(two(Outcome::Refused), &[&[(1, &[5]), (2, &[])]]), "Aborted");
    let mut sessions = two(Outcome::Refused);
    sessions.push(vec![t(Outcome::Refused, &[(1, 5)], &[])]);
    assert_eq!(found(sessions, &[]), "Aborted");
    assert_eq!(found(vec![vec![done(&[(1, 4)], &[(1, 5)])]], &[]), "Unwritten");
    assert_eq!(found(vec![], &[&[(1, &[4])]]), "Unwritten");
    // Seen by halves: one key with it, the other without.
    let mut sessions = two(Outcome::Done);
    sessions.push(vec![done(&[(1, 5), (2, 0)], &[])]);
    assert_eq!(found(sessions, &[]), "Cycle");
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// Nobody competes with anybody.
    All,
    /// Who only reads competes with nobody.
    ReadsFree,
    /// What is done arrives in pieces.
    Pieces,
    /// What is done is undone everywhere, later.
    Undone,
    /// What was refused is done.
    RefusedDone,
}

struct Committed {
    txn: Exclusive,
    context: BTreeSet<usize>,
}

/// Replicas each of which knows some of what is done; a transaction is done unless one that it does not know competes with it.
fn history(seed: u64, fault: Fault) -> Exclusives {
    const REPLICAS: usize = 3;
    let mut rng = Rng::new(seed);
    let mut all: Vec<Committed> = Vec::new();
    let mut known = vec![BTreeSet::<usize>::new(); REPLICAS];
    let mut states = vec![BTreeMap::<Key, Vec<Version>>::new(); REPLICAS];
    let mut history = Exclusives { sessions: vec![Vec::new(); 6], last: Vec::new() };
    for version in 1..200 {
        let session = rng.below(6);
        let at = session % REPLICAS;
        let keys: BTreeSet<Key> = (0..rng.between(1, 3)).map(|_| rng.below(4) as Key).collect();
        let saw: Vec<_> =
            keys.iter().map(|&k| (k, states[at].get(&k).and_then(|v| v.last()).copied().unwrap_or(0))).collect();
        let wrote: Vec<_> = keys.iter().filter(|_| rng.one_in(2)).map(|&key| (key, version)).collect();
        let competes = |other: &Committed| {
            let over = |a: Versions<'_>, b: Versions<'_>| a.iter().any(|(key, _)| b.iter().any(|(k, _)| k == key));
            let reads = fault != Fault::ReadsFree && (over(&saw, &other.txn.wrote) || over(&wrote, &other.txn.saw));
            fault != Fault::All && (reads || over(&wrote, &other.txn.wrote))
        };
        let loses = all.iter().enumerate().any(|(n, other)| !known[at].contains(&n) && competes(other));
        let mut txn = Exclusive { saw, wrote, outcome: if loses { Outcome::Refused } else { Outcome::Done } };
        if !loses && rng.one_in(8) {
            txn.outcome = Outcome::Unknown;
        }
        history.sessions[session].push(txn.clone());
        let nothing = txn.outcome == Outcome::Unknown && rng.one_in(2);
        if !nothing && (!loses || fault == Fault::RefusedDone) {
            all.push(Committed { txn, context: known[at].clone() });
            receive(&all, all.len() - 1, &mut known[at], &mut states[at], None);
        }
        for _ in 0..rng.below(4) {
            let (n, to) = (rng.below(all.len().max(1)), rng.below(REPLICAS));
            let part = (fault == Fault::Pieces).then(|| rng.below(2));
            receive(&all, n, &mut known[to], &mut states[to], part);
        }
        if fault == Fault::Undone
            && rng.one_in(40)
            && let Some(last) = all.last()
        {
            for (key, version) in &last.txn.wrote {
                states.iter_mut().filter_map(|state| state.get_mut(key)).for_each(|list| list.retain(|v| v != version));
            }
        }
    }
    let settled = (0..REPLICAS).map(|at| {
        (0..all.len()).for_each(|n| receive(&all, n, &mut known[at], &mut states[at], None));
        (0..4).map(|key| (key, states[at].get(&key).cloned().unwrap_or_default())).collect()
    });
    history.last = settled.collect();
    history
}

/// All of it, or one of its parts.
fn receive(
    all: &[Committed],
    n: usize,
    known: &mut BTreeSet<usize>,
    state: &mut BTreeMap<Key, Vec<Version>>,
    part: Option<usize>,
) {
    let Some(Committed { txn, context }) = all.get(n) else { return };
    if context.is_subset(known) && known.insert(n) {
        for (_, &(key, version)) in txn.wrote.iter().enumerate().filter(|(i, _)| part.is_none_or(|part| part == *i)) {
            state.entry(key).or_default().push(version);
        }
    }
}

#[test]
fn histories_of_replicas_that_keep_their_promises_are_right() {
    let mut refused = 0;
    for seed in 0..300 {
        let history = history(seed, Fault::None);
        assert_eq!(check(&history), [], "seed {seed}");
        refused += history.txns().filter(|(_, txn)| txn.outcome == Outcome::Refused).count();
    }
    assert!(refused > 300 * 20, "{refused}");
}

#[test]
fn each_broken_promise_of_a_group_is_found() {
    for (fault, expected) in [
        (Fault::All, &["LostUpdate", "Cycle", "Lost", "Diverged"][..]),
        (Fault::ReadsFree, &["Cycle"]),
        (Fault::Pieces, &["Diverged"]),
        (Fault::Undone, &["Lost", "LostUpdate"]),
        (Fault::RefusedDone, &["Aborted"]),
    ] {
        let all: Vec<_> = (0..40).map(|seed| words(&history(seed, fault))).collect();
        let seen: BTreeSet<&String> = all.iter().flatten().collect();
        for word in expected {
            assert!(seen.iter().any(|seen| seen == word), "{fault:?} was seen as {seen:?}, and not as {word}");
        }
        let without = all.iter().filter(|words| words.is_empty()).count();
        assert!(without < 20, "{fault:?} was not seen in {without} of 40 histories");
    }
}
