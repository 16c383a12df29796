//! Exclusive transactions between drivers: one of competitors, the same everywhere, whoever dies.

use causal::bind::TxnError;
use effect::Dot;
use engine::ExclusiveError;

use super::*;
use crate::status::Electorate;
use crate::verdicts::Outcome;

/// What a client was told, by its transaction.
#[derive(Default)]
pub(super) struct Told(Arc<Mutex<Vec<(Dot, Outcome)>>>);

impl Told {
    pub(super) fn of(&self, bind: Dot) -> Option<Outcome> {
        let told = self.0.lock();
        let mut found = told.iter().filter(|(of, _)| *of == bind);
        let outcome = found.next().map(|(_, outcome)| *outcome);
        assert!(found.next().is_none(), "a client is told once");
        outcome
    }
}

impl Group {
    /// One in which transactions may be begun.
    pub(super) fn voting() -> Self {
        let mut group = Self::ready();
        group.until(|group| group.nodes.iter().all(|node| matches!(node.status.electorate(), Electorate::Voters(_))));
        group
    }

    /// A client's EXEC that watches a key and makes it this.
    fn exec(&self, at: usize, key: &str, value: &[u8], told: &Told) -> Result<Dot, ExclusiveError> {
        self.exec_on(at, &[key], value, told)
    }

    /// The same for several keys.
    fn exec_on(&self, at: usize, keys: &[&str], value: &[u8], told: &Told) -> Result<Dot, ExclusiveError> {
        self.exec_as(at, keys, value, told, false)
    }

    pub(super) fn exec_as(
        &self,
        at: usize,
        keys: &[&str],
        value: &[u8],
        told: &Told,
        is_unsafe: bool,
    ) -> Result<Dot, ExclusiveError> {
        let (engine, mut recycled) = (self.engine(at), Recycled::new());
        let Electorate::Voters(voters) = self.nodes[at].status.electorate() else { panic!("they have met") };
        let mut context = engine.context(Lock::All, 0, engine.now_ms(), &mut recycled);
        context.out.set_exclusive();
        let mut watched = Vec::new();
        for key in keys {
            context.out.emit(key.as_bytes(), false, Op::Set { value, deadline: Deadline::Clear });
            watched.push((0, key.as_bytes().into()));
        }
        let begun = context.commit_exclusive(&watched, &voters, &|_| is_unsafe)?;
        let (bind, all) = (begun.bind, Arc::clone(&told.0));
        self.nodes[at].verdicts.wait(bind, Box::new(move |outcome| all.lock().push((bind, outcome))));
        Ok(bind)
    }

    pub(super) fn get(&self, at: usize, key: &str) -> Option<Vec<u8>> {
        value_of(self.engine(at), key)
    }

    /// Nobody waits for a verdict any more, and all show the same.
    pub(super) fn decide(&mut self) {
        self.hub.heal();
        self.until(|group| (0..NODES).all(|at| group.engine(at).undecided().is_empty()));
        self.settle();
    }
}

pub(super) fn value_of(engine: &Engine, key: &str) -> Option<Vec<u8>> {
    let mut recycled = Recycled::new();
    let context = engine.context(Lock::Key(key.as_bytes(), None), 0, engine.now_ms(), &mut recycled);
    let found = context.state.string(key.as_bytes()).unwrap().map(|value| value.to_vec());
    context.abort();
    found
}

#[test]
fn a_transaction_is_invisible_until_its_verdict_and_then_it_is_everywhere() {
    let (mut group, told) = (Group::voting(), Told::default());
    group.set(0, "k", b"before").unwrap();
    group.settle();
    let bind = group.exec(0, "k", b"behind", &told).unwrap();
    assert_eq!(group.get(0, "k").unwrap(), b"before");
    assert!(matches!(group.exec(0, "k", b"another", &told), Err(ExclusiveError::Undecided)));
    group.until(|_| told.of(bind).is_some());
    assert!(told.of(bind).unwrap().is_ok());
    assert_eq!(group.get(0, "k").unwrap(), b"behind", "who was told sees it");
    group.decide();
    (0..NODES).for_each(|at| assert_eq!(group.get(at, "k").unwrap(), b"behind"));
}

#[test]
fn of_competitors_at_most_one_is_committed() {
    let (mut group, told) = (Group::voting(), Told::default());
    let mut committed = 0;
    for round in 0..40 {
        let values: Vec<String> = (0..NODES).map(|at| format!("{round}:{at}")).collect();
        let binds: Vec<_> =
            (0..NODES).filter_map(|at| Some((at, group.exec(at, "k", values[at].as_bytes(), &told).ok()?))).collect();
        (0..round % 4).for_each(|_| group.round());
        group.decide();
        let winners: Vec<usize> =
            binds.iter().filter(|(_, bind)| told.of(*bind).unwrap().is_ok()).map(|(at, _)| *at).collect();
        assert!(winners.len() <= 1, "{winners:?} have won");
        committed += winners.len();
        if let [winner] = winners[..] {
            (0..NODES).for_each(|at| assert_eq!(group.get(at, "k").unwrap(), values[winner].as_bytes()));
        }
    }
    assert!(committed > 10, "{committed} of 40");
}

#[test]
fn a_plain_write_that_others_have_already_makes_a_transaction_fail() {
    let (mut group, told) = (Group::voting(), Told::default());
    group.set(1, "k", b"plain").unwrap();
    let bind = group.exec(0, "k", b"exclusive", &told).unwrap();
    group.decide();
    // One of two others had the write: with it there is no majority at once, and whoever recovers it hears of the write or not.
    let outcome = told.of(bind).unwrap();
    assert!(matches!(outcome, Ok(_) | Err(TxnError::Lost)), "{outcome:?}");
    let shown = group.get(2, "k").unwrap();
    assert_eq!(shown, b"plain", "a plain write comes behind a transaction that is concurrent with it");
}

#[test]
fn without_a_majority_a_client_is_told_so_and_the_verdict_comes_later() {
    let (mut group, told) = (Group::voting(), Told::default());
    group.set(0, "k", b"before").unwrap();
    group.settle();
    group.hub.cut(0, &[1, 2]);
    let bind = group.exec(0, "k", b"behind", &told).unwrap();
    group.until(|_| told.of(bind).is_some());
    assert_eq!(told.of(bind), Some(Err(TxnError::RegionPartitioned)));
    assert_eq!(group.get(0, "k").unwrap(), b"before", "and plain writes go on");
    group.set(0, "other", b"x").unwrap();
    group.decide();
}

#[test]
fn after_many_tries_in_vain_it_is_tried_again_as_soon_as_somebody_is_back() {
    let (mut group, told) = (Group::voting(), Told::default());
    let bind = group.exec(0, "k", b"v", &told).unwrap();
    group.until(|group| (1..NODES).all(|at| group.engine(at).vector().has(bind)));
    // The votes are not back, and those who have given them do not hear of each other for 40 s: their next tries are 20 s away then.
    group.crash(0);
    group.hub.cut(1, &[2]);
    (0..8_000).for_each(|_| group.round());
    assert!((1..NODES).all(|at| !group.engine(at).undecided().is_empty()));
    let before = group.now();
    group.hub.heal();
    group.until(|group| (1..NODES).all(|at| group.engine(at).undecided().is_empty()));
    assert!(group.now() - before < Duration::from_secs(5), "it took {:?}", group.now() - before);
    group.start(0).unwrap();
    group.decide();
}

#[test]
fn the_others_finish_what_a_node_began_that_died() {
    let (mut group, told) = (Group::voting(), Told::default());
    group.set(0, "k", b"before").unwrap();
    group.settle();
    let bind = group.exec(0, "k", b"behind", &told).unwrap();
    // Its bind is out, the votes are not back.
    group.until(|group| (1..3).all(|at| group.engine(at).vector().has(bind)));
    group.crash(0);
    group.until(|group| (1..3).all(|at| group.engine(at).undecided().is_empty()));
    let shown = group.get(1, "k").unwrap();
    assert_eq!(group.get(2, "k").unwrap(), shown);
    group.start(0).unwrap();
    group.decide();
    assert_eq!(group.get(0, "k").unwrap(), shown);
}

#[test]
fn what_all_have_forgotten_but_their_disks_is_decided_once() {
    let (mut group, told) = (Group::voting(), Told::default());
    for round in 0..12 {
        group.set(round % 3, "plain", b"x").unwrap();
        let first = group.exec(0, "k", format!("{round}:0").as_bytes(), &told);
        let second = group.exec(1, "k", format!("{round}:1").as_bytes(), &told);
        (0..round).for_each(|_| group.round());
        (0..NODES).for_each(|at| group.crash(at));
        (0..NODES).for_each(|at| group.start(at).unwrap());
        group.decide();
        let value = group.get(2, "k");
        for (bind, own) in [(first, 0), (second, 1)] {
            let Some(outcome) = bind.ok().and_then(|bind| told.of(bind)) else { continue };
            if outcome.is_ok() {
                assert_eq!(value.as_deref().unwrap(), format!("{round}:{own}").as_bytes(), "what was told stays");
            }
        }
    }
}

/// Its batch is larger than one frame of the mesh.
#[test]
fn a_transaction_of_very_long_keys_is_decided() {
    let (mut group, told) = (Group::voting(), Told::default());
    let keys: Vec<String> = (0..300).map(|n| format!("{n:04000}")).collect();
    let names: Vec<&str> = keys.iter().map(String::as_str).collect();
    let bind = group.exec_on(0, &names, b"v", &told).unwrap();
    group.decide();
    assert!(told.of(bind).is_some_and(|outcome| outcome.is_ok()));
    for at in 0..NODES {
        assert_eq!(group.get(at, names[0]).as_deref(), Some(&b"v"[..]));
    }
}
