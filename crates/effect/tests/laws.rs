//! The laws of merging, over random histories of small groups: whoever has the same effects shows the same, whatever the order of
//! arrival, the shape of merges and the moment of forgetting; and it is what the rule of `docs/merging.md` says, part by part.

mod support;

#[path = "laws/history.rs"]
mod history;
#[path = "laws/model.rs"]
mod model;

use std::collections::BTreeMap;

use effect::reduce::{Reduced, merge_n, merge2};
use effect::wire::Reader;
use effect::{Kind, Vector};
use history::{History, NOW, Plan, Theme, plan};
use model::Model;
use proptest::prelude::*;
use support::group::{Entry, Replica, Written};
use support::oracle::outcome;
use support::view::{Held, View, render};
use support::{Act, Bytes};

const KEY: &str = "k";

fn text(key: &Reduced) -> String {
    render(View::whole(key).as_ref(), NOW)
}

fn shown(replica: &Replica) -> String {
    replica.keys.get(KEY).map_or("no key".to_owned(), text)
}

fn by_the_rule(entries: &[Entry]) -> String {
    render(outcome(&entries.iter().collect::<Vec<_>>()).as_ref(), NOW)
}

fn bytes(key: &Reduced) -> Bytes {
    let mut out = Vec::new();
    key.encode(&mut out);
    out
}

/// So many cases, or as many as `PROPTEST_CASES` asks for.
fn config(cases: u32) -> ProptestConfig {
    let asked = ProptestConfig::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { asked.cases } else { cases };
    ProptestConfig { cases, failure_persistence: None, ..asked }
}

/// Who has folded a value that lost writes for one that has not.
#[test]
fn a_kept_deadline_is_the_same_whether_or_not_a_loser_is_folded() {
    for (one, other, keeping) in [
        ("SET k 1 EX 1", "SET k a", "SET k 2 KEEPTTL"),
        ("SET k 1", "SET k a EX 1", "SET k 2 KEEPTTL"),
        ("SET k 1 EX 1", "SET k a EX 7", "RESTORESTRING k 2"),
        ("HSETEX k f 1 1", "HSET k f a", "HSETEX k f 2 KEEPTTL"),
        ("HSETEX k f 1 1", "HSETEX k f 2 7", "HSETEX k f 2 KEEPTTL"),
    ] {
        for folders in 0..4 {
            let (mut a, mut b) = (Replica::new(1), Replica::new(2));
            let (first, second) = (a.write(NOW, &[one]), b.write(NOW, &[other]));
            a.receive(&second);
            b.receive(&first);
            for (at, replica) in [&mut a, &mut b].into_iter().enumerate() {
                if folders & 1 << at != 0 {
                    let applied = replica.applied.clone();
                    replica.forget(&applied);
                }
            }
            b.receive(&a.write(NOW, &[keeping]));
            let expected = by_the_rule(&b.log);
            assert_eq!([shown(&a), shown(&b)], [expected.clone(), expected], "{one}, {other}, {keeping}: {folders}");
        }
    }
}

proptest! {
    #![proptest_config(config(4000))]

    /// Law 1, and the rule itself: after every batch each replica shows what the declarative rule makes of the effects that it has,
    /// forgetting as it goes; in the end all are the same to the byte, and plain.
    #[test]
    fn all_converge_to_what_the_rule_says(plan in plan(Theme::Mixed)) {
        let mut history = History::new(&plan);
        history.run(&plan, |replica| {
            prop_assert_eq!(shown(replica), by_the_rule(&replica.log), "{:#?}", replica.log);
            Ok(())
        })?;
        history.deliver_all();
        let all: Vector = history.batches.iter().flatten().map(|entry| entry.dot).collect();
        let mut ends = Vec::new();
        for replica in &mut history.replicas {
            let before = shown(replica);
            prop_assert_eq!(&before, &by_the_rule(&replica.log));
            replica.key(KEY).forget(&all);
            prop_assert_eq!(&shown(replica), &before, "forgetting everything");
            prop_assert!(replica.key(KEY).is_plain(), "{:#?}", replica.key(KEY));
            ends.push(bytes(replica.key(KEY)));
        }
        prop_assert!(ends.iter().all(|end| *end == ends[0]));
    }

    /// The state stands still under its own bytes, and every state that is read again goes on as it would have.
    #[test]
    fn states_round_trip(plan in plan(Theme::Mixed)) {
        let mut history = History::new(&plan);
        history.run(&plan, |replica| {
            let Some(key) = replica.keys.get(KEY) else { return Ok(()) };
            let encoded = bytes(key);
            let mut from = Reader::new(&encoded);
            let decoded = Reduced::decode(&mut from).expect("own encoding");
            prop_assert_eq!((&decoded, from.remaining()), (key, 0));
            Ok(())
        })?;
    }

    /// Law 2: one writer, no concurrency: what Redis gives, whether or not the past is forgotten.
    #[test]
    fn alone_it_is_redis(plan in plan(Theme::Mixed), forgets in any::<bool>()) {
        let mut replica = Replica::new(1);
        let mut model = Model::default();
        let mut now = NOW;
        for step in &plan.steps {
            now += step.wait_ms;
            for command in &step.commands {
                replica.write(now, &[command]);
                model.run(now, command);
                let seen = render(replica.view(KEY, now).as_ref(), NOW);
                prop_assert_eq!(seen, render(model.view(now).as_ref(), NOW), "after {}", command);
            }
            if forgets {
                let applied = replica.applied.clone();
                replica.forget(&applied);
            }
        }
    }

    /// Merging the states of replicas, in any order and any shape, is having applied what either had. Inputs stay as they are.
    #[test]
    fn merges_agree_with_histories(plan in plan(Theme::Mixed), picks in prop::collection::vec(any::<prop::sample::Index>(), 5), forgets in any::<bool>()) {
        let mut history = History::new(&plan);
        history.forgets &= forgets;
        history.by_clock = true;
        history.run(&plan, |_| Ok(()))?;
        let states: Vec<Option<Reduced>> = history.replicas.iter().map(|replica| replica.keys.get(KEY).cloned()).collect();
        let picked: Vec<&Option<Reduced>> = picks.iter().map(|pick| pick.get(&states)).collect();
        let (inputs, [a, b, c]) = (states.clone(), [picked[0].as_ref(), picked[1].as_ref(), picked[2].as_ref()]);
        let union = |of: &[usize]| {
            let mut log: Vec<Entry> = Vec::new();
            for at in of {
                let more = history.replicas[*at].log.iter().filter(|entry| !log.iter().any(|known| known.dot == entry.dot));
                let more: Vec<Entry> = more.cloned().collect();
                log.extend(more);
            }
            by_the_rule(&log)
        };
        let at: Vec<usize> = picks.iter().map(|pick| pick.index(states.len())).collect();
        let show = |merged: &Option<Reduced>| merged.as_ref().map_or("no key".to_owned(), text);
        let ab = merge2(a, b);
        prop_assert_eq!(show(&ab), union(&at[..2]));
        prop_assert_eq!(&ab, &merge2(b, a), "commutative");
        prop_assert_eq!(&merge2(a, a), picked[0], "idempotent");
        prop_assert_eq!(show(&merge2(ab.as_ref(), c)), union(&at[..3]));
        prop_assert_eq!(show(&merge2(a, merge2(b, c).as_ref())), union(&at[..3]), "associative");
        let forward = merge_n(picked.iter().map(|state| state.as_ref()));
        let backward = merge_n(picked.iter().rev().map(|state| state.as_ref()));
        prop_assert_eq!(show(&forward), union(&at));
        prop_assert_eq!(show(&backward), union(&at));
        if !history.forgets {
            prop_assert_eq!(&forward, &backward);
            prop_assert_eq!(&merge2(ab.as_ref(), c), &merge2(a, merge2(b, c).as_ref()));
        }
        prop_assert_eq!(states, inputs, "inputs are never changed");
    }

    /// What was merged goes on like what was applied: a replica that took a state in shows the same after the rest has come.
    #[test]
    fn a_merged_state_goes_on(plan in plan(Theme::Mixed), cut in any::<prop::sample::Index>()) {
        let mut history = History::new(&plan);
        history.by_clock = true;
        history.run(&plan, |_| Ok(()))?;
        let merged = merge_n(history.replicas.iter().map(|replica| replica.keys.get(KEY)));
        let mut late = history.replicas[cut.index(history.replicas.len())].clone();
        let Some(merged) = merged else { return Ok(()) };
        // All that was written is in the join: what follows is written on it.
        history.deliver_all();
        let end = shown(&history.replicas[0]);
        prop_assert_eq!(text(&merged), end);
        late.keys.insert(KEY.to_owned(), merged);
        late.applied = history.replicas[0].applied.clone();
        let batch = late_batch(&mut history, &plan);
        for entry in batch.iter().flatten() {
            let key = late.key(KEY);
            key.see(&entry.context);
            entry.apply(key);
        }
        prop_assert_eq!(shown(&late), shown(&history.replicas[0]));
    }
}

/// Batches that replica 0 writes after all has been delivered.
fn late_batch(history: &mut History, plan: &Plan) -> Vec<Written> {
    let steps = plan.steps.iter().take(3);
    steps.map(|step| history.write_at(0, step)).filter(|batch| !batch.is_empty()).collect()
}

/// The positions that an effect gives elements at.
fn given(entry: &Entry) -> Vec<effect::ListPos> {
    match &entry.change.act {
        Act::Push(side, first, values) => {
            let way = if *side == effect::Side::Head { -1 } else { 1 };
            (0..values.len()).map(|i| first.step(way * i as i64)).collect()
        }
        Act::Insert(pos, _) => vec![pos.clone()],
        _ => Vec::new(),
    }
}

/// The effects of a replica that came after it had seen `entry`, and of those only what did not observe it.
fn concurrent<'e>(log: &'e [Entry], entry: &'e Entry) -> impl Iterator<Item = &'e Entry> {
    log.iter().filter(move |other| other.dot != entry.dot && !other.observed(entry.dot) && !entry.observed(other.dot))
}

proptest! {
    #![proptest_config(config(1500))]

    /// Laws 3 and 6: the field that is shown was written by an HSET that no other of the field has observed, and of those the latest.
    #[test]
    fn the_last_writer_wins_among_the_concurrent(plan in plan(Theme::Registers)) {
        let mut history = History::new(&plan);
        history.run(&plan, |_| Ok(()))?;
        history.deliver_all();
        let replica = &history.replicas[0];
        let writes: Vec<(&Entry, &Bytes)> = replica.log.iter().filter_map(|entry| match &entry.change.act {
            Act::Put(Kind::Hash, _, _, items) => match &items[0].1 {
                support::Value::Bytes(value) => Some((entry, value)),
                _ => None,
            },
            _ => None,
        }).collect();
        let unbeaten = writes.iter().filter(|(entry, _)| !writes.iter().any(|(other, _)| other.observed(entry.dot)));
        let winner = unbeaten.max_by_key(|(entry, _)| effect::Stamp::new(entry.dot, entry.hlc));
        let expected = winner.map_or("no key".to_owned(), |(_, value)| format!("{{f: {}}}", value.escape_ascii()));
        prop_assert_eq!(shown(replica), expected);
    }

    /// Law 5: whatever the increments and however they arrive, their sum is shown: of a string, a field and a score.
    #[test]
    fn every_increment_counts_once(plan in plan(Theme::Counters)) {
        let mut history = History::new(&plan);
        history.run(&plan, |_| Ok(()))?;
        history.deliver_all();
        let replica = &history.replicas[0];
        let mut sums: BTreeMap<Bytes, i64> = BTreeMap::new();
        let mut sum = None;
        for entry in &replica.log {
            match &entry.change.act {
                Act::AddInt(delta) => *sum.get_or_insert(0) += delta,
                Act::Put(_, _, _, items) => match items[0].1 {
                    support::Value::Int(delta) => *sums.entry(items[0].0.clone()).or_default() += delta,
                    support::Value::ScoreDelta(from, to) => {
                        *sums.entry(items[0].0.clone()).or_default() += (f64::from_bits(to) - f64::from_bits(from)) as i64;
                    }
                    _ => {}
                },
                _ => {}
            }
        }
        let actual = replica.keys.get(KEY).and_then(View::whole).map(|view| view.value);
        match actual {
            None => prop_assert!(sum.is_none() && sums.is_empty()),
            Some(Held::String(text)) => prop_assert_eq!(text, sum.unwrap_or(0).to_string().into_bytes()),
            Some(Held::Hash(fields)) => {
                let fields: BTreeMap<Bytes, i64> =
                    fields.into_iter().map(|(name, (value, _))| (name, model::number(&String::from_utf8_lossy(&value)))).collect();
                prop_assert_eq!(fields, sums);
            }
            Some(Held::ZSet(members)) => {
                let members: BTreeMap<Bytes, i64> = members.into_iter().map(|(name, score)| (name, score as i64)).collect();
                prop_assert_eq!(members, sums);
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }

    /// Law 4: a member is there iff an SADD of it was observed by nothing that removed it.
    #[test]
    fn removals_take_what_they_observed(plan in plan(Theme::Sets)) {
        let mut history = History::new(&plan);
        history.run(&plan, |_| Ok(()))?;
        history.deliver_all();
        let replica = &history.replicas[0];
        let mut expected: Vec<Bytes> = Vec::new();
        for entry in &replica.log {
            let Act::Put(_, _, _, items) = &entry.change.act else { continue };
            for (member, _) in items {
                let removes = |other: &&Entry| match &other.change.act {
                    Act::Drop(_, members) => members.contains(member),
                    act => *act == Act::Remove || other.change.fresh,
                };
                // Writing it again takes the earlier one, and gives it back.
                if !replica.log.iter().filter(|other| other.observed(entry.dot)).any(|other| removes(&other)) {
                    expected.push(member.clone());
                }
            }
        }
        expected.sort();
        expected.dedup();
        let expected = (!expected.is_empty()).then(|| View::new(Held::Set(expected.into_iter().collect()), None));
        prop_assert_eq!(shown(replica), render(expected.as_ref(), NOW));
    }

    /// Law 7: each push is in one piece, in its order, at the end where it was pushed of all that its writer saw; nothing that was
    /// popped is there; nothing is there twice.
    #[test]
    fn lists_keep_runs_ends_and_removals(plan in plan(Theme::Lists)) {
        let mut history = History::new(&plan);
        history.run(&plan, |_| Ok(()))?;
        history.deliver_all();
        let replica = &history.replicas[0];
        let elements = match replica.keys.get(KEY).and_then(View::whole).map(|view| view.value) {
            Some(Held::List(elements)) => elements,
            _ => Vec::new(),
        };
        // Who pops an end and pushes there gives the position away again: an element is that of the latest who gave it.
        let mut givers: BTreeMap<effect::ListPos, &Entry> = BTreeMap::new();
        let mut log: Vec<&Entry> = replica.log.iter().collect();
        log.sort_by_key(|entry| effect::Stamp::new(entry.dot, entry.hlc));
        for entry in &log {
            givers.extend(given(entry).into_iter().map(|pos| (pos, *entry)));
        }
        let place = |giver: &Entry, pos: &effect::ListPos| {
            let is_it = givers.get(pos).is_some_and(|latest| latest.dot == giver.dot);
            elements.iter().position(|(at, _)| at == pos).filter(|_| is_it)
        };
        for entry in &replica.log {
            if let Act::Push(side, ..) = &entry.change.act {
                let is_tail = *side == effect::Side::Tail;
                let mut places: Vec<usize> = given(entry).iter().filter_map(|pos| place(entry, pos)).collect();
                if !is_tail {
                    places.reverse();
                }
                prop_assert!(places.windows(2).all(|pair| pair[0] < pair[1]), "in its order");
                for pair in places.windows(2) {
                    let between = &elements[pair[0] + 1..pair[1]];
                    prop_assert!(between.iter().all(|(pos, _)| !pos.path.is_empty()), "in one piece but for what was inserted");
                }
                for seen in replica.log.iter().filter(|other| entry.observed(other.dot)) {
                    for old in given(seen).iter().filter_map(|pos| place(seen, pos)) {
                        prop_assert!(places.iter().all(|new| (*new > old) == is_tail), "at its end");
                    }
                }
            }
            if let Act::Cut(runs) = &entry.change.act {
                for (pos, _) in runs {
                    let again = replica.log.iter().any(|other| !entry.observed(other.dot) && given(other).contains(pos));
                    prop_assert!(again || elements.iter().all(|(at, _)| at != pos), "nothing comes back");
                }
            }
        }
        prop_assert!(elements.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    /// Law 8: of concurrent EXPIREs and PERSISTs the latest moment, never being the last.
    #[test]
    fn the_latest_deadline_counts(plan in plan(Theme::Deadlines)) {
        let mut history = History::new(&plan);
        history.run(&plan, |_| Ok(()))?;
        history.deliver_all();
        let replica = &history.replicas[0];
        let states = |entry: &Entry| match &entry.change.act {
            Act::Expire(at) => Some(at.unwrap_or(i64::MAX)),
            Act::Set(..) => Some(i64::MAX),
            _ => None,
        };
        let stating: Vec<&Entry> = replica.log.iter().filter(|entry| states(entry).is_some()).collect();
        let open = stating.iter().filter(|entry| !stating.iter().any(|other| other.observed(entry.dot)));
        let expected = open.filter_map(|entry| states(entry)).max().filter(|at| *at != i64::MAX);
        let actual = replica.keys.get(KEY).and_then(View::whole);
        prop_assert_eq!(actual.and_then(|view| view.deadline), expected);
        for entry in &stating {
            let other_sets = concurrent(&replica.log, entry).filter(|other| matches!(other.change.act, Act::Set(..)));
            prop_assert_eq!(other_sets.count(), 0, "the theme has one SET, before all else");
        }
    }
}
