//! Copies of the state: of what no log has any more, on nodes that go on writing, of what a founder had.

use super::*;

#[test]
fn what_no_log_has_any_more_comes_as_a_copy_of_the_state() {
    let mut group = Group::keeping(0);
    for (round, victim) in [2, 0].into_iter().enumerate() {
        // It has effects of its own that it must not lose.
        group.set(victim, "own", format!("{round}").as_bytes()).unwrap();
        group.engine(victim).log().sync().unwrap();
        group.crash(victim);
        let others: Vec<usize> = (0..NODES).filter(|at| *at != victim).collect();
        for n in 0..400 {
            group.set(others[n % 2], &format!("k{}", n % 300), format!("{round}:{n}").as_bytes()).unwrap();
            if n % 20 == 0 {
                group.round();
            }
        }
        others.iter().for_each(|at| group.cut_log(*at));
        group.start(victim).unwrap();
        group.settle();
        assert_eq!(group.copies, round + 1);
        // 300 that the others wrote, and its own.
        assert_eq!(group.engine(others[0]).key_counts(0).keys, 301 + u64::from(round > 0));
        group.set(victim, "again", b"it writes").unwrap();
        group.settle();
    }
}

#[test]
fn a_node_that_never_stops_writing_gets_its_copy_and_loses_nothing() {
    let mut group = Group::keeping(0);
    group.crash(2);
    for n in 0..400 {
        group.set(n % 2, &format!("k{}", n % 300), &[b'x'; 100]).unwrap();
        if n % 20 == 0 {
            group.round();
        }
    }
    (0..2).for_each(|at| group.cut_log(at));
    group.start(2).unwrap();
    let told = AtomicI64::new(0);
    group.until(|group| {
        // It is closed for a moment: then nobody is told.
        let set = |at: usize| group.set(at, &format!("{at}:{:?}", group.now()), b"x").is_ok();
        told.fetch_add((0..NODES).filter(|at| set(*at)).count() as i64, Ordering::Relaxed);
        group.copies == 1
    });
    group.settle();
    assert_eq!(group.engine(2).key_counts(0).keys as i64, 300 + told.into_inner());
}

#[test]
fn what_a_founder_had_before_comes_as_a_copy_as_well() {
    let mut group = Group::unfounded(u64::MAX);
    let dir = group.nodes[0].dir.path().to_owned();
    let engine = Arc::new(Engine::open(&dir, group.options(0)).unwrap());
    let mut recycled = Recycled::new();
    let mut emit = |key: &str, op: Op<'_>| {
        let mut context = engine.context(Lock::All, 0, START_MS, &mut recycled);
        context.out.emit(key.as_bytes(), false, op);
        context.commit().unwrap();
    };
    for n in 0..50 {
        let (key, to) = (format!("k{n}"), format!("renamed{n}"));
        emit(&key, Op::Set { value: b"before", deadline: Deadline::Clear });
        // Nobody else could follow that from the log.
        emit(&key, Op::Rename { keyspace: KeyspaceId(0), db: 0, key: to.as_bytes() });
    }
    Arc::into_inner(engine).unwrap().close().unwrap();
    (0..NODES).for_each(|at| group.start(at).unwrap());
    group.until(|group| group.nodes.iter().all(|n| n.status.get().role == Role::Member));
    assert_eq!(group.copies, 2);
    (0..NODES).for_each(|at| group.set(at, &format!("new{at}"), b"x").unwrap());
    group.settle();
    assert_eq!(group.engine(1).key_counts(0).keys, 53);
}

#[test]
fn a_node_with_keys_of_its_own_does_not_join() {
    let mut group = Group::new();
    group.crash(1);
    let dir = group.nodes[1].dir.path().to_owned();
    std::fs::remove_file(dir.join("membership")).unwrap();
    let engine = Engine::open(&dir, Options::new(Arc::new(|| START_MS), [9; 22])).unwrap();
    let mut recycled = Recycled::new();
    let mut context = engine.context(Lock::Key(b"own", None), 0, START_MS, &mut recycled);
    context.out.emit(b"own", false, Op::Set { value: b"1", deadline: Deadline::Clear });
    context.commit().unwrap();
    drop(context);
    engine.close().unwrap();
    assert!(matches!(group.start(1), Err(Error::OwnData { effects: 1 })));
}
