//! Unsafe binds: the verdict does not depend on who came first, groups are seen as a whole, and what is undone is reported.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use causal::bind::limits::HORIZON_HARD_MS;
use causal::bind::{
    Ballot, Bind, Binds, Input, Key, KeyUse, Logged, Output, Peers, Safety, TxnError, Vote, Voters, horizon_ms,
};
use effect::{Dot, Hlc, Stamp, Vector};

use crate::cluster::{TIMING, origin};
use crate::rng::Rng;

fn bind(node: u64, ms: i64, keys: &[&str], safety: Safety) -> Arc<Bind> {
    let dot = Dot { origin: origin(node), seq: 1 };
    let keys = keys.iter().map(|name| KeyUse::written(Key::named(name.as_bytes()))).collect();
    let voters = Voters::new(1..=9).expect("voters");
    let at = (dot, Stamp::new(dot, Hlc::at_ms(ms)));
    Arc::new(Bind::new(at, voters, &Vector::new(), keys, safety).expect("few keys"))
}

/// What a node shows and undoes.
#[derive(Default)]
struct Shown {
    commits: BTreeMap<Dot, bool>,
    undone: BTreeSet<Dot>,
    answers: BTreeMap<Dot, Result<(), TxnError>>,
}

impl Shown {
    fn take(&mut self, outputs: Vec<Output>) -> Vec<Dot> {
        let mut shown = Vec::new();
        for output in outputs {
            match output {
                Output::Show(dot, commit) => {
                    assert!(self.commits.insert(dot, commit).is_none(), "{dot:?} was shown twice");
                    shown.push(dot);
                }
                Output::Undone { bind, .. } => {
                    assert_eq!(self.commits.insert(bind, false), Some(true), "{bind:?} was not there to be undone");
                    assert!(self.undone.insert(bind));
                }
                Output::Answer(dot, answer) => drop(self.answers.insert(dot, answer)),
                _ => {}
            }
        }
        shown
    }
}

fn feed(node: &mut Binds, shown: &mut Shown, now_ms: u64, bind: &Arc<Bind>) {
    let bind = Arc::clone(bind);
    let input = match bind.originator() == 1 {
        true => Input::Begin(bind),
        false => Input::Bind { bind, conflicts_with_plain: false },
    };
    shown.take(node.step(now_ms, input));
}

#[test]
fn the_verdict_does_not_depend_on_the_order_of_arrival() {
    let mut rng = Rng(5);
    for round in 0..3_000 {
        let names = ["a", "b", "c", "d"];
        let set: Vec<Arc<Bind>> = (2..2 + 1 + rng.below(5) as u64)
            .map(|node| {
                let keys: Vec<&str> = names.into_iter().filter(|_| rng.percent(40)).collect();
                bind(node, round, &keys, Safety::Unsafe)
            })
            .collect();
        let mut verdicts = BTreeSet::new();
        for _ in 0..12 {
            let mut left = set.clone();
            let (mut node, mut shown, mut now_ms) = (Binds::new(1, TIMING), Shown::default(), 0);
            while !left.is_empty() {
                let at = rng.below(left.len());
                feed(&mut node, &mut shown, now_ms, &left.swap_remove(at));
                now_ms += rng.pick(&[0, 10, 600]);
                shown.take(node.step(now_ms, Input::Tick));
            }
            shown.take(node.step(now_ms + HORIZON_HARD_MS, Input::Tick));
            for (a, b) in set.iter().flat_map(|a| set.iter().map(move |b| (a, b))) {
                let both = shown.commits[&a.dot()] && shown.commits[&b.dot()];
                assert!(!(both && a.competes(b)), "both are committed");
            }
            verdicts.insert(shown.commits);
        }
        assert_eq!(verdicts.len(), 1, "{set:?}");
        let one = verdicts.first().expect("one");
        assert!(one.values().any(|commit| *commit), "the one that fork choice prefers to all is committed");
    }
}

#[test]
fn a_chain_of_three_ends_the_same_way_from_every_side() {
    for ms in 0..50 {
        let chain = [
            bind(2, ms, &["x"], Safety::Unsafe),
            bind(3, ms, &["x", "y"], Safety::Unsafe),
            bind(4, ms, &["y"], Safety::Unsafe),
        ];
        assert!(!chain[0].competes(&chain[2]));
        let mut ends = BTreeSet::new();
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            for pause_ms in [0, 2 * HORIZON_HARD_MS] {
                let (mut node, mut shown, mut now_ms) = (Binds::new(1, TIMING), Shown::default(), 0);
                for at in order {
                    feed(&mut node, &mut shown, now_ms, &chain[at]);
                    now_ms += pause_ms;
                    shown.take(node.step(now_ms, Input::Tick));
                }
                shown.take(node.step(now_ms + HORIZON_HARD_MS, Input::Tick));
                assert!(pause_ms > 0 || shown.undone.is_empty(), "who waits long enough undoes nothing");
                ends.insert(shown.commits);
            }
        }
        assert_eq!(ends.len(), 1);
    }
}

#[test]
fn overlapping_binds_are_shown_together_and_only_then_answered() {
    let (mut node, mut shown) = (Binds::new(1, TIMING), Shown::default());
    let alive = (1..=9).collect();
    let rtt_ms = (2..=9).map(|peer| ((1, peer), 10 * peer)).collect();
    node.step(0, Input::Peers(Peers { alive, rtt_ms }));
    let (a, b) = (bind(1, 1, &["x", "y"], Safety::Unsafe), bind(2, 1, &["y"], Safety::Unsafe));
    feed(&mut node, &mut shown, 0, &a);
    feed(&mut node, &mut shown, 100, &b);
    assert_eq!(shown.take(node.step(279, Input::Tick)), []);
    assert!(node.is_open(&Key::named(b"x")) && shown.answers.is_empty());
    let together = shown.take(node.step(280, Input::Tick));
    assert_eq!(together, [a.dot(), b.dot()], "two of the longest round trip, 90 ms, after the last one came");
    let expected = if a.rank() < b.rank() { Ok(()) } else { Err(TxnError::Lost) };
    assert_eq!(shown.answers, [(a.dot(), expected)].into());
    assert!(!node.is_open(&Key::named(b"x")));
}

#[test]
fn the_wait_is_two_of_the_longest_round_trip_of_those_that_answer() {
    let peers = |alive: &[u64]| Peers {
        alive: alive.iter().copied().collect(),
        rtt_ms: [((1, 2), 10), ((1, 3), 80), ((1, 4), 400)].into(),
    };
    let wait_ms = |alive: &[u64]| horizon_ms(1, [1, 2, 3, 4, 5], &peers(alive));
    assert_eq!([wait_ms(&[]), wait_ms(&[1, 2]), wait_ms(&[2, 3]), wait_ms(&[2, 9])], [0, 20, 160, 20]);
    assert_eq!([wait_ms(&[2, 4]), wait_ms(&[5])], [HORIZON_HARD_MS; 2], "at most that, and where nothing is known");
}

#[test]
fn a_stream_of_competitors_is_seen_at_the_hard_deadline() {
    let (mut node, mut shown) = (Binds::new(1, TIMING), Shown::default());
    for peer in 2..=9 {
        feed(&mut node, &mut shown, 60 * (peer - 2), &bind(peer, 1, &["x"], Safety::Unsafe));
    }
    assert_eq!(shown.take(node.step(HORIZON_HARD_MS - 1, Input::Tick)), []);
    assert_eq!(shown.take(node.step(HORIZON_HARD_MS, Input::Tick)).len(), 8);
}

#[test]
fn what_a_heal_undoes_is_reported_once_also_after_a_restart() {
    let [winner, loser] = two_ranked();
    let mut log = vec![Logged::Bind(Arc::clone(&loser), false)];
    let (mut node, mut shown) = (Binds::new(1, TIMING), Shown::default());
    let log_all = |outputs: &[Output], log: &mut Vec<Logged>| {
        log.extend(outputs.iter().filter_map(|output| match output {
            Output::Persist(record) => Some(Logged::Record(record.clone())),
            _ => None,
        }));
    };
    feed(&mut node, &mut shown, 0, &loser);
    let outputs = node.step(HORIZON_HARD_MS, Input::Tick);
    log_all(&outputs, &mut log);
    shown.take(outputs);
    assert_eq!(shown.commits, [(loser.dot(), true)].into());

    node = Binds::restore(1, TIMING, 0, log.clone());
    assert!(!node.is_open(&Key::named(b"x")), "what was shown stays so");
    log.push(Logged::Bind(Arc::clone(&winner), false));
    feed(&mut node, &mut shown, 0, &winner);
    assert!(shown.undone.is_empty(), "not before the winner is visible");
    let outputs = node.step(HORIZON_HARD_MS, Input::Tick);
    log_all(&outputs, &mut log);
    shown.take(outputs);
    assert_eq!(shown.undone, [loser.dot()].into());

    for again in [log.clone(), Binds::restore(1, TIMING, 0, log).dump()] {
        node = Binds::restore(1, TIMING, 0, again);
        let outputs = node.step(10 * HORIZON_HARD_MS, Input::Tick);
        assert_eq!(outputs, [Output::Undone { bind: loser.dot(), by: winner.dot() }], "it may not have been reported");
        assert!(node.step(10 * HORIZON_HARD_MS, Input::Tick).is_empty(), "once");
    }
    assert_eq!((node.verdict(winner.dot()), node.verdict(loser.dot())), (Some(true), Some(false)));
}

/// A bind of this node, which is shown, and a competitor that is preferred and is not.
fn shown_and_overtaken() -> (Binds, Shown, [Arc<Bind>; 2]) {
    let pair = |ms| [bind(3, ms, &["x"], Safety::Unsafe), bind(1, 1, &["x"], Safety::Unsafe)];
    let two = (2..).map(pair).find(|[winner, loser]| winner.rank() < loser.rank()).expect("ranks differ");
    let (mut node, mut shown) = (Binds::new(1, TIMING), Shown::default());
    feed(&mut node, &mut shown, 0, &two[1]);
    shown.take(node.step(HORIZON_HARD_MS, Input::Tick));
    feed(&mut node, &mut shown, HORIZON_HARD_MS, &two[0]);
    assert_eq!(shown.commits, [(two[1].dot(), true)].into());
    (node, shown, two)
}

#[test]
fn a_verdict_on_what_is_shown_waits_until_that_is_undone() {
    let (mut node, _, [winner, loser]) = shown_and_overtaken();
    let stable: Vector = [loser.dot()].into_iter().collect();
    let mut outputs = node.step(HORIZON_HARD_MS + 1, Input::Stable(stable));
    for ms in 0..=HORIZON_HARD_MS {
        outputs.extend(node.step(HORIZON_HARD_MS + ms, Input::Tick));
    }
    let undone = Output::Undone { bind: loser.dot(), by: winner.dot() };
    let vote = Vote { ballot: Ballot::ORIGINATOR, commit: false };
    let told: Vec<_> = outputs
        .into_iter()
        .filter(|output| matches!(output, Output::Undone { .. } | Output::EmitVerdict(..)))
        .collect();
    assert_eq!(told, [undone, Output::EmitVerdict(loser.dot(), vote)]);
}

#[test]
fn a_verdict_of_others_on_what_is_shown_is_preceded_by_its_undoing() {
    let (mut node, mut shown, [winner, loser]) = shown_and_overtaken();
    let outputs = node.step(HORIZON_HARD_MS + 1, Input::Failed(loser.dot()));
    assert!(outputs.contains(&Output::Undone { bind: loser.dot(), by: winner.dot() }), "{outputs:?}");
    shown.take(outputs);
    assert_eq!(node.step(HORIZON_HARD_MS + 1, Input::Failed(loser.dot())), [], "once");
    let vote = Vote { ballot: Ballot::ORIGINATOR, commit: false };
    let dot = Dot { origin: origin(3), seq: 2 };
    shown.take(node.step(HORIZON_HARD_MS + 1, Input::Verdict { bind: loser.dot(), vote, dot }));
    shown.take(node.step(3 * HORIZON_HARD_MS, Input::Tick));
    assert_eq!(shown.commits, [(loser.dot(), false), (winner.dot(), true)].into());
    assert_eq!(shown.undone, [loser.dot()].into());
}

fn two_ranked() -> [Arc<Bind>; 2] {
    let mut two = [bind(2, 1, &["x"], Safety::Unsafe), bind(3, 1, &["x"], Safety::Unsafe)];
    two.sort_by_key(|bind| bind.rank());
    two
}

#[test]
fn a_safe_commit_undoes_unsafe_competitors_and_is_never_undone() {
    let (safe, one) = (bind(2, 1, &["x"], Safety::Safe), bind(3, 1, &["x"], Safety::Unsafe));
    let (mut node, mut shown) = (Binds::new(1, TIMING), Shown::default());
    feed(&mut node, &mut shown, 0, &one);
    shown.take(node.step(HORIZON_HARD_MS, Input::Tick));
    feed(&mut node, &mut shown, 600, &safe);
    assert_eq!(shown.commits, [(one.dot(), true)].into());
    let vote = Vote { ballot: Ballot::ORIGINATOR, commit: true };
    let dot = Dot { origin: origin(2), seq: 2 };
    shown.take(node.step(700, Input::Verdict { bind: safe.dot(), vote, dot }));
    assert_eq!(shown.undone, [one.dot()].into());
    let late = bind(4, 1, &["x"], Safety::Unsafe);
    feed(&mut node, &mut shown, 800, &late);
    shown.take(node.step(5_000, Input::Tick));
    assert_eq!((shown.commits[&late.dot()], node.verdict(safe.dot())), (false, Some(true)));
}
