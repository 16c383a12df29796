//! Unsafe transactions between drivers: both sides of a partition go on, and when it heals one of them is undone everywhere, and reported.

use causal::bind::TxnError;
use effect::{Dot, Vector};
use engine::WatchFlag;

use super::exclusive::{Told, value_of};
use super::*;
use crate::undone::{Loss, Report};

impl Group {
    /// A client's EXEC that watches these keys, and makes them this.
    fn exec_unsafe(&self, at: usize, keys: &[&str], value: &[u8], told: &Told) -> Dot {
        self.exec_as(at, keys, value, told, true).unwrap()
    }

    /// What was reported at a node.
    fn reports(&self, at: usize) -> Vec<Report> {
        self.nodes[at].undone.as_ref().unwrap().since(0, usize::MAX)
    }

    fn losses(&self, at: usize) -> Vec<Dot> {
        let bind = |report: Report| match report.loss {
            Loss::Transaction { bind, .. } => bind,
            other => panic!("{other:?}"),
        };
        self.reports(at).into_iter().map(bind).collect()
    }

    /// From now on a node looks at these keys whenever it reports something.
    fn look_at(&self, at: usize, keys: &'static [&'static str]) {
        let engine = Arc::downgrade(&self.nodes[at].life.as_ref().unwrap().1);
        let look = move || {
            let engine = engine.upgrade().expect("it reports");
            keys.iter().map(|key| value_of(&engine, key)).collect()
        };
        *self.nodes[at].ears.look.lock() = Some(Box::new(look));
    }

    fn watch(&self, at: usize, key: &str) -> WatchFlag {
        let (engine, flag, mut recycled) = (self.engine(at), WatchFlag::default(), Recycled::new());
        let mut context = engine.context(Lock::Key(key.as_bytes(), None), 0, engine.now_ms(), &mut recycled);
        context.watch(key.as_bytes(), &flag).unwrap();
        context.abort();
        flag
    }
}

/// Both sides were told that theirs is committed.
fn on_both_sides(group: &mut Group, turn: usize, told: &Told) -> [Dot; 2] {
    // Fork choice goes by time.
    (0..turn).for_each(|_| group.round());
    for key in ["k", "l"] {
        group.set(0, key, b"before").unwrap();
    }
    group.settle();
    group.hub.cut(0, &[1, 2]);
    let binds = [group.exec_unsafe(0, &["k", "l"], b"one", told), group.exec_unsafe(1, &["k"], b"other", told)];
    assert_eq!(group.get(0, "k").unwrap(), b"before", "nobody sees it before its horizon");
    group.until(|_| binds.iter().all(|bind| told.of(*bind).is_some()));
    assert!(binds.iter().all(|bind| told.of(*bind).unwrap().is_ok()));
    group.until(|group| group.get(2, "k").unwrap() == b"other");
    assert_eq!(["k", "l"].map(|key| group.get(0, key).unwrap()), [b"one", b"one"]);
    assert_eq!(group.get(1, "l").unwrap(), b"before");
    binds
}

/// All agree, and one of the two is reported as undone wherever it was seen.
fn check_end(group: &mut Group, binds: [Dot; 2]) {
    group.decide();
    let value = group.get(0, "k").unwrap();
    let (winner, loser, seen): (_, _, &[usize]) = match &value[..] {
        b"one" => (binds[0], binds[1], &[1, 2]),
        b"other" => (binds[1], binds[0], &[0]),
        other => panic!("{}", other.escape_ascii()),
    };
    let left: &[u8] = if winner == binds[0] { b"one" } else { b"before" };
    for at in 0..NODES {
        assert_eq!((group.get(at, "k").unwrap(), group.get(at, "l").unwrap()), (value.clone(), left.to_vec()));
        let expected: &[Dot] = if seen.contains(&at) { &[loser] } else { &[] };
        assert_eq!(group.losses(at), expected, "at {at}");
    }
    let report = group.reports(seen[0]).remove(0);
    assert_eq!(report.loss, Loss::Transaction { bind: loser, by: winner });
    let keys: &[(u8, Vec<u8>)] = &[(0, b"k".to_vec()), (0, b"l".to_vec())];
    assert_eq!(report.keys, if loser == binds[0] { keys } else { &keys[..1] });
    assert_eq!(*group.nodes[seen[0]].ears.undone.lock().last().unwrap(), report, "whoever listens hears of it");
}

#[test]
fn of_two_sides_of_a_partition_one_is_undone_everywhere_and_reported() {
    for turn in 0..6 {
        let (mut group, told) = (Group::voting(), Told::default());
        let binds = on_both_sides(&mut group, turn, &told);
        group.set(0, "m", b"plain").unwrap();
        check_end(&mut group, binds);
    }
}

#[test]
fn a_node_that_cannot_report_what_is_undone_stops_and_does_not_undo_it() {
    let (mut group, told) = (Group::voting(), Told::default());
    let binds = on_both_sides(&mut group, 0, &told);
    (0..NODES).for_each(|at| group.nodes[at].undone.as_ref().unwrap().fail());
    group.hub.heal();
    group.until(|group| group.nodes.iter().any(|node| !node.ears.stopped.lock().is_empty()));
    for at in (0..NODES).filter(|at| !group.nodes[*at].ears.stopped.lock().is_empty()) {
        let expected: &[u8] = if at == 0 { b"one" } else { b"other" };
        assert_eq!(group.get(at, "k").unwrap(), expected);
    }
    for at in 0..NODES {
        group.crash(at);
        group.start(at).unwrap();
    }
    check_end(&mut group, binds);
}

#[test]
fn what_is_shown_is_shown_again_after_a_start_and_undone_then() {
    for turn in 0..6 {
        let (mut group, told) = (Group::voting(), Told::default());
        let binds = on_both_sides(&mut group, turn, &told);
        if turn % 2 == 0 {
            (0..NODES).for_each(|at| assert!(group.engine(at).checkpoint().unwrap().position > Position::START));
        }
        for at in 0..NODES {
            group.crash(at);
        }
        for at in 0..NODES {
            group.start(at).unwrap();
            let expected: &[u8] = if at == 0 { b"one" } else { b"other" };
            assert_eq!(group.get(at, "k").unwrap(), expected, "before any client can look");
        }
        check_end(&mut group, binds);
        let reports: Vec<_> = (0..NODES).map(|at| group.reports(at)).collect();
        for at in 0..NODES {
            group.crash(at);
            group.start(at).unwrap();
        }
        group.settle();
        assert_eq!((0..NODES).map(|at| group.reports(at)).collect::<Vec<_>>(), reports, "once");
    }
}

/// Also where the verdict overtakes what has won, which is not seen yet.
#[test]
fn what_is_undone_is_reported_before_readers_stop_seeing_it_and_watchers_hear_of_it() {
    let mut undone = [0; 2];
    for turn in 0..40 {
        if undone.iter().all(|undone| *undone > 1) {
            break;
        }
        let (mut group, told) = (Group::voting(), Told::default());
        // Fork choice goes by time.
        (0..turn).for_each(|_| group.round());
        group.set(0, "n", b"before").unwrap();
        group.settle();
        group.hub.cut(0, &[1, 2]);
        let binds =
            [group.exec_unsafe(0, &["k", "l"], b"one", &told), group.exec_unsafe(1, &["k", "m"], b"other", &told)];
        group.until(|group| [("l", 0), ("m", 1), ("m", 2)].iter().all(|(key, at)| group.get(*at, key).is_some()));
        let own: [(&[&str], &[u8]); NODES] = [(&["k", "l"], b"one"), (&["k", "m"], b"other"), (&["k", "m"], b"other")];
        // Nobody else writes the second one.
        let flags: Vec<WatchFlag> = (0..NODES).map(|at| group.watch(at, own[at].0[1])).collect();
        (0..NODES).for_each(|at| group.look_at(at, own[at].0));
        group.decide();
        for at in 0..NODES {
            let lost = group.losses(at);
            assert_eq!(flags[at].is_dirty(), !lost.is_empty(), "who has read at {at} what was taken back");
            let seen = lost.iter().map(|_| vec![Some(own[at].1.to_vec()); 2]).collect::<Vec<_>>();
            assert_eq!(*group.nodes[at].ears.seen.lock(), seen, "at {at}");
        }
        match group.losses(0)[..] {
            [lost] if lost == binds[0] => undone[0] += 1,
            _ => undone[1] += 1,
        }
    }
    assert!(undone.iter().all(|undone| *undone > 1), "{undone:?} of the two sides");
}

/// Of three in a chain, of which the second was written on the first.
#[test]
fn what_was_written_on_one_that_is_undone_stays() {
    let (mut undone, mut kept) = (0, 0);
    for turn in 0..12 {
        let (mut group, told) = (Group::voting(), Told::default());
        let binds = on_both_sides(&mut group, turn, &told);
        group.set(0, "l", b"plain").unwrap();
        let second = group.exec_unsafe(0, &["k"], b"second", &told);
        group.until(|_| told.of(second).is_some());
        group.decide();
        let shown = group.get(0, "k").unwrap();
        (0..NODES).for_each(|at| assert_eq!(group.get(at, "l").unwrap(), b"plain"));
        let losses = group.losses(0);
        assert_eq!(losses.contains(&second), shown != b"second");
        match losses.contains(&binds[0]) {
            true => undone += 1,
            false => kept += 1,
        }
        let lost_there = group.losses(1);
        assert_eq!(lost_there, group.losses(2));
        assert_eq!(lost_there.contains(&binds[1]), losses.len() < 2, "it stays only if it is preferred to both");
    }
    assert!(undone > 0 && kept > 0, "{undone} undone, {kept} kept");
}

#[test]
fn without_a_partition_one_of_competitors_is_answered_with_null_and_nothing_is_undone() {
    let (mut group, told) = (Group::voting(), Told::default());
    for round in 0..10 {
        let binds = [0, 1, 2].map(|at| group.exec_unsafe(at, &["k"], format!("{round}:{at}").as_bytes(), &told));
        group.until(|_| binds.iter().all(|bind| told.of(*bind).is_some()));
        let won = (0..NODES).filter(|at| told.of(binds[*at]).unwrap().is_ok()).collect::<Vec<_>>();
        assert_eq!(won.len(), 1);
        assert!(binds.iter().all(|bind| matches!(told.of(*bind), Some(Ok(_) | Err(TxnError::Lost)))));
        group.decide();
        (0..NODES).for_each(|at| assert_eq!(group.get(at, "k").unwrap(), format!("{round}:{}", won[0]).as_bytes()));
    }
    (0..NODES).for_each(|at| assert_eq!(group.losses(at), []));
    let all: Vec<Vector> = (0..NODES).map(|at| group.engine(at).vector()).collect();
    assert_eq!(all[0], all[1]);
}
