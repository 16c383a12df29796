//! Definitions of a group's keyspaces: whatever reaches whom when, all show the same, and that is what the rule says (`docs/merging.md`).

mod support;

use effect::{
    BatchBuf, Batches, DEFAULT_KEYSPACE, Dot, GroupId, GroupKeyspace, GroupKeyspaces, Hlc, Origin, Stamp, Vector,
    WireError,
};
use proptest::prelude::*;
use support::{Act, Change};

const REPLICAS: usize = 3;
const NAMES: [&str; 3] = ["a", "b", DEFAULT_KEYSPACE];

/// What happens.
#[derive(Debug, Clone)]
enum Step {
    /// A node defines a keyspace: its number, whether it is unsafe, its pattern, and by how much the node's clock is ahead.
    Define(usize, usize, bool, u8, u64),
    /// A node ends one, if it has it.
    End(usize, usize),
    /// The next of the first reaches the second, if that has all that its writer had.
    Deliver(usize, usize),
    /// A node goes on from what a checkpoint has of it.
    Restart(usize),
}

/// One that was written: as bytes, with what its writer had applied.
#[derive(Debug, Clone)]
struct Written {
    record: Vec<u8>,
    context: Vector,
    dot: Dot,
    hlc: Hlc,
    name: usize,
    act: Act,
}

#[derive(Default)]
struct Node {
    keyspaces: GroupKeyspaces,
    applied: Vector,
    last: u64,
}

#[derive(Default)]
struct Group {
    nodes: [Node; REPLICAS],
    written: Vec<Written>,
}

fn origin(at: usize) -> Origin {
    Origin::new(at as u64 + 1, 1)
}

impl Group {
    fn step(&mut self, step: &Step) {
        match *step {
            Step::Define(at, name, is_unsafe, pattern, ahead) => {
                let first = self.nodes[at].keyspaces.first(NAMES[name].as_bytes());
                let patterns = if NAMES[name] == DEFAULT_KEYSPACE { Vec::new() } else { vec![vec![pattern]] };
                let first = first.map(|first| (first.hlc.0, first.origin.0));
                self.write(at, name, Act::GroupDefine(is_unsafe, first, patterns), ahead);
            }
            Step::End(at, name) if self.nodes[at].keyspaces.first(NAMES[name].as_bytes()).is_some() => {
                self.write(at, name, Act::GroupUndefine, 0);
            }
            Step::End(..) => {}
            Step::Deliver(from, to) => drop(self.deliver(from, to)),
            Step::Restart(at) => {
                let (node, mut bytes) = (&mut self.nodes[at], Vec::new());
                node.keyspaces.encode(&mut bytes);
                node.keyspaces = GroupKeyspaces::decode(&bytes).expect("its own bytes");
            }
        }
    }

    fn write(&mut self, at: usize, name: usize, act: Act, ahead: u64) {
        let node = &mut self.nodes[at];
        let (key, deps) = (NAMES[name].as_bytes().to_vec(), node.keyspaces.tips(NAMES[name].as_bytes()).collect());
        let mut batch = BatchBuf::new(GroupId(0), origin(at));
        let change = Change { keyspace: 0, db: 0, key, fresh: false, deps, act: act.clone() };
        change.show(origin(at).0, |effect| batch.push(effect));
        let (dot, hlc) =
            (Dot { origin: origin(at), seq: node.applied.get(origin(at)) + 1 }, Hlc(node.last + 1 + ahead));
        let record = batch.begin_record(dot.seq, hlc).to_vec();
        self.written.push(Written { record, context: node.applied.clone(), dot, hlc, name, act });
        self.take(at, self.written.len() - 1);
    }

    /// Whether there was one.
    fn deliver(&mut self, from: usize, to: usize) -> bool {
        let applied = &self.nodes[to].applied;
        let is_next = |one: &Written| {
            one.dot.origin == origin(from)
                && applied.get(one.dot.origin) + 1 == one.dot.seq
                && applied.covers(&one.context)
        };
        let Some(next) = self.written.iter().position(is_next) else { return false };
        self.take(to, next);
        true
    }

    fn take(&mut self, at: usize, number: usize) {
        let (node, one) = (&mut self.nodes[at], &self.written[number]);
        for batch in Batches::decode(&one.record) {
            let batch = batch.expect("a batch");
            batch.effects().for_each(|effect| node.keyspaces.apply(&effect.expect("an effect"), one.dot, one.hlc));
        }
        node.applied.add(one.dot);
        node.last = node.last.max(one.hlc.0);
    }

    fn heal(&mut self) {
        while (0..REPLICAS)
            .flat_map(|a| (0..REPLICAS).map(move |b| (a, b)))
            .fold(false, |came, (a, b)| came | self.deliver(a, b))
        {}
    }

    /// What is left of a name, of what is in the vector: what nobody has observed who defined or ended it.
    fn left(&self, name: usize, known: &Vector) -> Vec<&Written> {
        let of_name = || self.written.iter().filter(move |one| one.name == name && known.has(one.dot));
        let is_left = |one: &&Written| of_name().all(|other| !other.context.has(one.dot));
        of_name().filter(|one| one.act != Act::GroupUndefine).filter(is_left).collect()
    }

    fn first(&self, one: &Written) -> Stamp {
        let before = self.left(one.name, &one.context).into_iter().map(|before| self.first(before)).min();
        before.unwrap_or(Stamp::new(one.dot, one.hlc))
    }

    /// What the rule says of all that is in the vector.
    fn ruled(&self, known: &Vector) -> Vec<GroupKeyspace> {
        let mut all = Vec::new();
        for (name, text) in NAMES.iter().enumerate() {
            let left = self.left(name, known);
            let Some(last) = left.iter().max_by_key(|one| Stamp::new(one.dot, one.hlc)) else { continue };
            let Act::GroupDefine(is_unsafe, _, patterns) = &last.act else { unreachable!("it was looked at") };
            let shown = GroupKeyspace { name: (*text).into(), patterns: patterns.clone(), is_unsafe: *is_unsafe };
            all.push((*text == DEFAULT_KEYSPACE, left.iter().map(|one| self.first(one)).min(), shown));
        }
        all.sort_by_key(|(is_default, first, _)| (*is_default, *first));
        let mut all: Vec<GroupKeyspace> = all.into_iter().map(|(.., shown)| shown).collect();
        if all.last().is_none_or(|last| last.name != DEFAULT_KEYSPACE) {
            all.push(GroupKeyspace { name: DEFAULT_KEYSPACE.into(), patterns: Vec::new(), is_unsafe: false });
        }
        all
    }
}

fn step() -> impl Strategy<Value = Step> {
    let at = || 0..REPLICAS;
    prop_oneof![
        4 => (at(), 0..NAMES.len(), any::<bool>(), b'a'..b'f', 0u64..3).prop_map(|(at, name, is_unsafe, pattern, ahead)| {
            Step::Define(at, name, is_unsafe, pattern, ahead)
        }),
        1 => (at(), 0..NAMES.len() - 1).prop_map(|(at, name)| Step::End(at, name)),
        4 => (at(), at()).prop_map(|(from, to)| Step::Deliver(from, to)),
        1 => at().prop_map(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn replicas_show_what_the_rule_says(steps in prop::collection::vec(step(), 1..60)) {
        let mut group = Group::default();
        for step in &steps {
            group.step(step);
            for node in &group.nodes {
                prop_assert_eq!(node.keyspaces.shown(), group.ruled(&node.applied));
            }
        }
        group.heal();
        for node in &group.nodes {
            prop_assert_eq!(&node.applied, &group.nodes[0].applied, "everything has reached everybody");
            prop_assert_eq!(&node.keyspaces, &group.nodes[0].keyspaces);
            prop_assert_eq!(node.keyspaces.shown(), group.ruled(&node.applied));
        }
    }
}

/// Rows of `docs/merging.md`: what all have seen, what two do then without knowing of each other, the earlier first, and what is shown.
const ROWS: &[(&str, &str, &str, &str)] = &[
    ("", "set a x safe", "set a y unsafe", "a y unsafe"),
    ("", "set a x safe", "set b y unsafe", "a x safe, b y unsafe"),
    ("set a x safe", "set a x unsafe", "set a y safe", "a y safe"),
    ("set a x safe", "del a", "set a y unsafe", "a y unsafe"),
    ("set a x safe", "set a y unsafe", "del a", "a y unsafe"),
    ("set a x safe", "del a", "del a", ""),
    ("set a x safe;set b y safe", "del a", "set a z safe", "a z safe, b y safe"),
    ("set a x safe;set b y safe", "set a z safe", "del a", "a z safe, b y safe"),
    ("set a x safe;set b y safe", "del a;set a z safe", "set b y unsafe", "b y unsafe, a z safe"),
    ("set a x safe;set b y safe", "set b y unsafe", "del a;set a z safe", "b y unsafe, a z safe"),
    ("", "set default - unsafe", "set default - safe", ""),
    ("", "set default - safe", "set default - unsafe", "default unsafe"),
];

#[test]
fn two_who_do_not_know_of_each_other_agree_by_the_table() {
    for (before, earlier, later, shown) in ROWS {
        for (one, other) in [(0, 1), (1, 0)] {
            let mut group = Group::default();
            let run = |group: &mut Group, at: usize, commands: &str| {
                for command in commands.split(';').filter(|command| !command.is_empty()) {
                    let words: Vec<&str> = command.split(' ').collect();
                    let name = NAMES.iter().position(|name| *name == words[1]).expect("a name");
                    match words[0] {
                        "set" => group.step(&Step::Define(at, name, words[3] == "unsafe", words[2].as_bytes()[0], 0)),
                        _ => group.step(&Step::End(at, name)),
                    }
                }
            };
            run(&mut group, 2, before);
            group.heal();
            run(&mut group, one, earlier);
            // Its clock is ahead of whatever the other one has written.
            group.nodes[other].last += 100;
            run(&mut group, other, later);
            group.heal();
            for node in &group.nodes {
                let text = |one: &GroupKeyspace| {
                    let patterns = one.patterns.iter().map(|pattern| format!(" {}", pattern.escape_ascii()));
                    let safety = if one.is_unsafe { "unsafe" } else { "safe" };
                    format!("{}{} {safety}", one.name, patterns.collect::<String>())
                };
                let all: Vec<String> =
                    node.keyspaces.shown().iter().map(text).filter(|text| text != "default safe").collect();
                assert_eq!(all.join(", "), *shown, "{before} | {earlier} | {later}");
            }
        }
    }
}

#[test]
fn what_a_checkpoint_has_is_these_bytes() {
    let mut group = Group::default();
    group.step(&Step::Define(0, 0, true, b'x', 4));
    let mut bytes = Vec::new();
    group.nodes[0].keyspaces.encode(&mut bytes);
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let (origin, hlc) = ("0100010000000000", "0500000000000000");
    assert_eq!(hex, format!("01 01 0161 01 {origin}01 {hlc} {hlc}{origin} 01 01 0178").replace(' ', ""));
    assert_eq!(GroupKeyspaces::decode(&bytes), Ok(group.nodes[0].keyspaces.clone()));
    assert!((0..bytes.len()).all(|len| GroupKeyspaces::decode(&bytes[..len]).is_err()), "a cut row is refused");
    let behind = [&bytes[..], &[0]].concat();
    let at = bytes.len();
    assert_eq!(GroupKeyspaces::decode(&behind), Err(WireError::Invalid { what: "bytes behind keyspaces", at }));
}
