//! Members that are given up while they write alone: they stay so until they are started to join again, and then nothing is lost.

use effect::items::{BytesShape, ItemShape};
use effect::{Item, ItemValue, Kind, ListPos, Merge, SeqBuf, Side};

use super::*;
use crate::undone::{Loss, Report};

const OTHERS: [usize; 2] = [0, 1];
const VICTIM: usize = 2;

/// What a reader sees of a key, as it is at rest.
fn shown(group: &Group, at: usize, key: &str) -> Option<Vec<u8>> {
    let (engine, mut recycled) = (group.engine(at), Recycled::new());
    let context = engine.context(Lock::All, 0, engine.now_ms(), &mut recycled);
    let entry = context.state.whole_entry(key.as_bytes()).map_err(|_| "nothing is at rest").unwrap();
    let value = entry.map(|entry| {
        let mut bytes = Vec::new();
        engine::fold(entry, 0, i64::MIN, &mut bytes);
        bytes
    });
    context.abort();
    value
}

fn emit(group: &Group, at: usize, key: &str, op: Op<'_>) {
    let fresh = shown(group, at, key).is_none();
    let (engine, mut recycled) = (group.engine(at), Recycled::new());
    let mut context = engine.context(Lock::All, 0, engine.now_ms(), &mut recycled);
    context.out.emit(key.as_bytes(), fresh, op);
    context.commit().unwrap();
}

fn put(group: &Group, at: usize, key: &str, kind: Kind, id: &str, value: &str) {
    let merge = Merge::LastWriter;
    let mut items = SeqBuf::new(ItemShape { kind, merge });
    let value = match kind {
        Kind::Hash => ItemValue::Bytes(value.as_bytes()),
        Kind::ZSet => ItemValue::Score(value.parse().unwrap()),
        _ => ItemValue::Member,
    };
    items.push(Item { id: id.as_bytes(), value });
    emit(group, at, key, Op::Put { kind, merge, deadline: Deadline::Clear, items: items.seq() });
}

fn push(group: &Group, at: usize, key: &str, n: i64, value: &str) {
    let mut values = SeqBuf::new(BytesShape);
    values.push(value.as_bytes());
    let first = ListPos::new(1, group.engine(at).origin().0, n);
    emit(group, at, key, Op::Push { side: Side::Tail, first, values: values.seq() });
}

/// The others go on without the victim, which does not hear of it.
fn give_up(group: &mut Group) {
    let node = group.engine(VICTIM).origin().node();
    group.nodes[OTHERS[0]].wants.push(Change::Leave(node));
    group.until(|group| OTHERS.iter().all(|at| !group.nodes[*at].status.get().members.contains(&node)));
    (0..20).for_each(|_| group.round());
}

fn is_member(group: &Group) -> bool {
    group.nodes[VICTIM].status.get().role == Role::Member
}

fn role(group: &Group) -> Role {
    group.nodes[VICTIM].status.get().role
}

fn reports(group: &Group) -> Vec<Report> {
    group.nodes[VICTIM].undone.as_ref().unwrap().since(0, 100)
}

/// One that wrote alone, of every type, and was given up meanwhile; how many increments it has made.
fn partitioned(kept_log_bytes: u64) -> (Group, i64) {
    let mut group = Group::keeping(kept_log_bytes);
    group.set(VICTIM, "mine", b"1").unwrap();
    emit(&group, VICTIM, "counter", Op::AddInt(1));
    put(&group, 0, "set", Kind::Set, "x", "");
    put(&group, 0, "hash", Kind::Hash, "f", "1");
    push(&group, 0, "list", 0, "x");
    group.set(0, "gone", b"1").unwrap();
    group.set(0, "kept", b"1").unwrap();
    group.settle();
    group.hub.cut(VICTIM, &OTHERS);
    (0..40).for_each(|_| group.round());
    let at = VICTIM;
    for n in 0..30 {
        emit(&group, at, "counter", Op::AddInt(1));
        put(&group, at, "set", Kind::Set, &format!("m{n}"), "");
        push(&group, at, "list", n, &format!("v{n}"));
        put(&group, at, "scores", Kind::ZSet, &format!("m{n}"), "2.5");
        group.round();
    }
    put(&group, at, "hash", Kind::Hash, "g", "alone");
    group.set(at, "mine", b"alone").unwrap();
    group.set(at, "kept", b"alone").unwrap();
    emit(&group, at, "gone", Op::Remove);
    // Later, also by the clocks of the others, and not known to it.
    (0..600).for_each(|_| group.round());
    group.set(0, "kept", b"later").unwrap();
    emit(&group, 1, "counter", Op::AddInt(100));
    put(&group, 1, "hash", Kind::Hash, "f", "2");
    (group, 131)
}

/// It was started again meanwhile, and hears that it was given up.
fn on_its_way_back() -> (Group, i64) {
    let (mut group, counter) = partitioned(u64::MAX);
    group.crash(VICTIM);
    group.start(VICTIM).unwrap();
    group.hub.cut(VICTIM, &OTHERS);
    give_up(&mut group);
    group.hub.heal();
    (group, counter)
}

fn nothing_is_lost(group: &Group, counter: i64) {
    for at in 0..NODES {
        let string = |text: &str| {
            let mut bytes = Vec::new();
            effect::FoldedWriter::string(&mut bytes, text.as_bytes());
            Some(bytes)
        };
        assert_eq!(shown(group, at, "counter"), string(&counter.to_string()), "increments count once");
        assert_eq!(shown(group, at, "mine"), string("alone"), "nobody wrote it since");
        assert_eq!(shown(group, at, "kept"), string("later"), "it was written later");
        assert_eq!(shown(group, at, "gone"), None);
        let (mut recycled, engine) = (Recycled::new(), group.engine(at));
        let context = engine.context(Lock::All, 0, engine.now_ms(), &mut recycled);
        let len = |key: &str| {
            context.state.whole_entry(key.as_bytes()).map_err(drop).unwrap().map(|entry| match entry.kind() {
                Kind::Set => entry.set().unwrap().len(),
                Kind::List => entry.list().unwrap().len(),
                Kind::ZSet => entry.zset().unwrap().len(),
                _ => entry.hash().unwrap().len(),
            })
        };
        let lens = ["set", "list", "scores", "hash"].map(len);
        context.abort();
        assert_eq!(lens, [Some(31), Some(31), Some(30), Some(2)], "what was added is there");
    }
}

fn only_the_superseded_is_reported(group: &Group) {
    let all = reports(group);
    let [Report { loss: Loss::Superseded { op, element: None, .. }, keys, .. }] = &all[..] else { panic!("{all:?}") };
    assert_eq!((op.as_str(), &keys[..]), ("set", &[(0, b"kept".to_vec())][..]));
}

#[test]
fn one_that_was_given_up_stays_so_until_it_is_started_again_and_loses_nothing() {
    let (mut group, counter) = partitioned(u64::MAX);
    give_up(&mut group);
    group.hub.heal();
    group.until(|group| role(group) == Role::Dropped);
    let epoch = group.nodes[0].status.get().epoch;
    (0..600).for_each(|_| group.round());
    assert_eq!(
        (role(&group), group.nodes[0].status.get().epoch, group.copies),
        (Role::Dropped, epoch, 0),
        "it does not ask"
    );
    assert!(matches!(group.set(VICTIM, "late", b"x"), Err(Refusal::NotOpen)));
    let before = group.engine(VICTIM).origin();
    group.crash(VICTIM);
    group.start(VICTIM).unwrap();
    group.until(is_member);
    assert_eq!(group.copies, 1, "it began with nothing");
    assert!(group.engine(VICTIM).origin() > before && !group.engine(VICTIM).has_undelivered());
    group.settle();
    nothing_is_lost(&group, counter);
    only_the_superseded_is_reported(&group);
    group.set(VICTIM, "again", b"x").unwrap();
    group.settle();
}

#[test]
fn one_that_cannot_report_what_was_superseded_stops_before_that_counts() {
    let (mut group, counter) = on_its_way_back();
    group.until(|group| group.copies == 1);
    group.nodes[VICTIM].undone.as_ref().unwrap().fail();
    group.until(|group| !group.nodes[VICTIM].ears.stopped.lock().is_empty());
    (0..100).for_each(|_| group.round());
    assert!(group.engine(VICTIM).has_undelivered(), "it tries again after a start");
    group.crash(VICTIM);
    group.start(VICTIM).unwrap();
    group.hub.heal();
    group.until(is_member);
    group.settle();
    nothing_is_lost(&group, counter);
    only_the_superseded_is_reported(&group);
}

#[test]
fn one_that_is_not_started_to_join_stays_as_it_is() {
    let mut group = Group::ready();
    group.set(0, "k", b"v").unwrap();
    group.settle();
    // The founder joins nobody.
    let node = group.engine(0).origin().node();
    group.nodes[1].wants.push(Change::Leave(node));
    group.until(|group| group.nodes[0].status.get().role == Role::Dropped);
    for _ in 0..2 {
        group.crash(0);
        group.start(0).unwrap();
        group.hub.heal();
        (0..400).for_each(|_| group.round());
        assert_eq!((group.nodes[0].status.get().role, group.copies), (Role::Dropped, 0));
        assert!(shown(&group, 0, "k").is_some(), "what it has can be read");
        assert!(!group.nodes[1].status.get().members.contains(&node), "it does not ask to be let in");
    }
}

#[test]
fn one_whose_group_has_cut_its_logs_gets_a_copy_first() {
    let (mut group, counter) = partitioned(0);
    OTHERS.iter().for_each(|at| group.set(*at, "more", b"x").unwrap());
    group.crash(VICTIM);
    group.start(VICTIM).unwrap();
    group.hub.cut(VICTIM, &OTHERS);
    give_up(&mut group);
    (0..100).for_each(|_| group.round());
    OTHERS.iter().for_each(|at| group.cut_log(*at));
    group.hub.heal();
    group.until(|group| group.copies == 2 && is_member(group));
    assert_eq!(group.copies, 2, "nothing, and then a copy");
    group.settle();
    let told: Vec<_> = reports(&group).into_iter().map(|report| report.keys).collect();
    assert!(told.contains(&vec![(0, b"kept".to_vec())]), "{told:?}");
    for at in 0..NODES {
        let mut bytes = Vec::new();
        effect::FoldedWriter::string(&mut bytes, counter.to_string().as_bytes());
        assert_eq!(shown(&group, at, "counter"), Some(bytes), "increments count once");
    }
}

#[test]
fn crashes_on_the_way_back_lose_nothing_and_write_nothing_twice() {
    for crash_at in 0..12 {
        let (mut group, counter) = on_its_way_back();
        let crash = |group: &mut Group| {
            group.crash(VICTIM);
            group.start(VICTIM).unwrap();
            group.hub.heal();
        };
        match crash_at {
            // It has heard that it is no member, and no more.
            0 => group.until(|group| role(group) == Role::Dropped),
            // Kept aside, and not given up.
            1 => {
                group.until(|group| role(group) == Role::Dropped);
                let mut delivered = group.engine(0).vector();
                delivered.join(&group.engine(1).vector());
                group.engine(VICTIM).set_open(false);
                assert!(group.engine(VICTIM).keep_aside(&delivered).unwrap().batches > 0);
            }
            // It has nothing, or is let in, or writes again.
            _ => {
                group.until(|group| group.copies == 1);
                (0..(crash_at - 2) * 4).for_each(|_| group.round());
            }
        }
        crash(&mut group);
        group.until(|group| group.copies == 1 && is_member(group));
        group.settle();
        nothing_is_lost(&group, counter);
        only_the_superseded_is_reported(&group);
    }
}

#[test]
fn one_that_is_given_up_again_on_its_way_back_loses_nothing() {
    let (mut group, counter) = on_its_way_back();
    group.until(|group| group.copies == 1 && is_member(group));
    // What it has written again has reached nobody, or one of them.
    group.hub.cut(VICTIM, &OTHERS);
    emit(&group, VICTIM, "counter", Op::AddInt(1));
    group.round();
    give_up(&mut group);
    group.crash(VICTIM);
    group.start(VICTIM).unwrap();
    group.hub.heal();
    group.until(|group| group.copies == 2 && is_member(group));
    group.settle();
    nothing_is_lost(&group, counter + 1);
}

#[test]
fn what_holds_it_up_has_nothing_counted_twice_and_nothing_begun_anew() {
    let (mut group, counter) = on_its_way_back();
    let back = |group: &Group| {
        let (driver, _) = group.nodes[VICTIM].life.as_ref()?;
        Some((driver.back.again.as_ref()?.left(), driver.back.superseded))
    };
    // `kept`, which is superseded, and `gone` are left.
    group.until(|group| back(group).is_some_and(|(left, _)| left == 2));
    group.engine(VICTIM).set_open(false);
    for _ in 0..100 {
        group.round();
        assert_eq!(back(&group), Some((2, 0)));
    }
    assert!(group.nodes[VICTIM].status.get().waits_for.contains("to be written again: "), "it says why");
    group.engine(VICTIM).set_open(true);
    group.until(is_member);
    assert_eq!(group.nodes[VICTIM].status.get().superseded, 1);
    group.settle();
    nothing_is_lost(&group, counter);
    only_the_superseded_is_reported(&group);
}
